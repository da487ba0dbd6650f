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
 * Threaded loops over a Verlet list of our own (CpuPairList), in double precision.
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
    };
    void readParameters(const LearnablePairForce& force);
    /**
     * On every thread: prepare(begin, end) its share of the particles, visit(sums, Pair) its share of the pairs, and
     * finish(begin, end) its share of the particles, each when all threads are done with the former. Sorted indices.
     */
    template <class Prepare, class Visit, class Finish>
    void sweep(OpenMM::ContextImpl& context, Prepare prepare, Visit visit, Finish finish);
    template <CpuPairGeometry::Shape S, class Visit> void visitPairs(int thread, Visit visit);
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
    std::unique_ptr<CpuPairList> list;
    std::vector<Sums> sums;           // one per thread
    // In the list's order:
    std::vector<OpenMM::Vec3> sortedPositions, sortedLambda;
    std::vector<int> sortedTypes;
};

} // namespace OpenMMGrad

#endif
