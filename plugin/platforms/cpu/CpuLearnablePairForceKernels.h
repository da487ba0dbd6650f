// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPULEARNABLEPAIRFORCEKERNELS_H_
#define OPENMMGRAD_CPULEARNABLEPAIRFORCEKERNELS_H_

#include "CpuPairList.h"
#include "LearnablePairForceKernels.h"
#include "openmm/cpu/CpuPlatform.h"
#include <memory>
#include <vector>

namespace OpenMMGrad {

/**
 * Threaded loops over a Verlet list of our own (CpuPairList).
 *
 * Forces without energy, the work of a molecular dynamics step, run in single precision where the processor has the
 * instructions (CpuSimd); their sums over threads, and everything else, in double precision.
 *
 * OpenMM's CPU list is not used: it demands the same exclusions of every force that shares it, and it may miss a pair.
 * For a given number of threads every sum is made in a fixed order: the same call on the same list gives the same bits.
 */
class CpuCalcLearnablePairForceKernel : public CalcLearnablePairForceKernel {
public:
    CpuCalcLearnablePairForceKernel(std::string name, const OpenMM::Platform& platform,
                                    OpenMM::CpuPlatform::PlatformData& data)
        : CalcLearnablePairForceKernel(name, platform), data(data) {}
    void initialize(const OpenMM::System& system, const LearnablePairForce& force);
    double execute(OpenMM::ContextImpl& context, bool includeForces, bool includeEnergy);
    void copyParametersToContext(OpenMM::ContextImpl& context, const LearnablePairForce& force);
    void computeCoefficientDerivatives(OpenMM::ContextImpl& context, std::vector<double>& derivatives);
    void computeHessianVectorProduct(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& lambda,
                                     std::vector<OpenMM::Vec3>& product, std::vector<double>& parameterProduct);
    void computeVirial(OpenMM::ContextImpl& context, std::vector<double>& virial, std::vector<double>& traceDerivatives);

private:
    struct Pair;
    /** What one thread adds up. */
    struct Sums {
        LargestTwo displacements;
        double energy;
        double virial[9];
        std::vector<OpenMM::Vec3> vectors;        // one per particle, sorted
        std::vector<double> coefficients;         // [typePair*numCoefficients + k]
        std::vector<float> forces;                // [sorted][4]
    };
    void readParameters(const LearnablePairForce& force);
    /**
     * On every thread: pack(sorted, particle, x) for its share of the particles, work(thread) when the list is known to
     * hold, and finish(sorted, particle) for its share of the particles when all have done their work.
     */
    template <class Pack, class Work, class Finish>
    void sweep(OpenMM::ContextImpl& context, Pack pack, Work work, Finish finish);
    /** The same in double precision, with visit(sums, pair) for every pair within the cutoff. */
    template <class Pack, class Visit, class Finish>
    void sweepPairs(OpenMM::ContextImpl& context, Pack pack, Visit visit, Finish finish);
    template <CpuPairGeometry::Shape S, class Visit> void visitPairs(Sums& mine, int begin, int end, Visit visit) const;
    void addForcesInSinglePrecision(OpenMM::ContextImpl& context);
    void addCoefficientSums(std::vector<double>& total) const;
    /** sum_m c_{first+m} basis[m] */
    double combine(int first, const double basis[4]) const {
        const double* c = &coefficients[first];
        return c[0] * basis[0] + c[1] * basis[1] + c[2] * basis[2] + c[3] * basis[3];
    }

    OpenMM::CpuPlatform::PlatformData& data;
    int numParticles, numTypes, numCoefficients;
    double cutoff, inverseWidth;
    std::vector<int> types;
    std::vector<int> typePairs;       // [type1*numTypes + type2], the index of the pair
    std::vector<double> coefficients; // [typePair*numCoefficients + k]
    const CpuSimd* simd;
    std::vector<float> polynomials; // see CpuForceTable
    std::vector<int> rows;
    std::unique_ptr<CpuPairList> list;
    std::vector<Sums> sums; // one per thread
    // In the list's order:
    std::vector<OpenMM::Vec3> sortedPositions, sortedLambda;
    std::vector<int> sortedTypes;
    std::vector<int32_t> grid; // [sorted][4]: grid coordinates and type
};

} // namespace OpenMMGrad

#endif
