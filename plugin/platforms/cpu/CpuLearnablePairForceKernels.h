// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPULEARNABLEPAIRFORCEKERNELS_H_
#define OPENMMGRAD_CPULEARNABLEPAIRFORCEKERNELS_H_

#include "CpuPairList.h"
#include "CpuPairLoops.h"
#include "LearnablePairForceKernels.h"
#include "openmm/cpu/CpuPlatform.h"
#include <memory>
#include <vector>

namespace OpenMMGrad {

/**
 * Threads, sums and tables around the inner loops (CpuPairLoops), on a Verlet list of our own (CpuPairList).
 *
 * Forces without energy, the work of a molecular dynamics step, are in single precision unless the force asks for
 * double, summed in double precision over threads and with other forces. So are Hessian-vector products where that
 * precision is asked for. Everything else is in double precision.
 *
 * OpenMM's CPU list is not used: it demands the same exclusions of every force that shares it, and it may miss a pair.
 * For a given number of threads every sum is made in a fixed order: the same call on the same list gives the same bits.
 */
class CpuCalcLearnablePairForceKernel : public CalcLearnablePairForceKernel {
public:
    CpuCalcLearnablePairForceKernel(std::string name, const OpenMM::Platform& platform,
                                    OpenMM::CpuPlatform::PlatformData& data)
        : CalcLearnablePairForceKernel(name, platform), data(data), loops(CpuPairLoops::choose()) {}
    void initialize(const OpenMM::System& system, const LearnablePairForce& force);
    double execute(OpenMM::ContextImpl& context, bool includeForces, bool includeEnergy);
    void copyParametersToContext(OpenMM::ContextImpl& context, const LearnablePairForce& force);
    void computeCoefficientDerivatives(OpenMM::ContextImpl& context, std::vector<double>& derivatives);
    void computeHessianVectorProduct(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& lambda,
                                     std::vector<OpenMM::Vec3>& product, std::vector<double>& parameterProduct,
                                     bool inPrecisionOfForces);
    void computeVirial(OpenMM::ContextImpl& context, std::vector<double>& virial, std::vector<double>& traceDerivatives);

private:
    /** What one thread adds up. */
    struct Sums {
        LargestTwo displacements;
        double energy;
        double virial[9];
        std::vector<double> vectors; // [sorted][4]
        std::vector<double> moments; // see CpuSplineTable::addMoments()
        std::vector<float> singles;  // [sorted][4]
        std::vector<float> singleMoments;
    };
    void readParameters(const LearnablePairForce& force);
    void fillTable();
    /**
     * On every thread: pack(sorted, particle, x) for its share of the particles, work(thread) when the list is known to
     * hold, and finish(sorted, particle) for its share of the particles when all have done their work.
     */
    template <class Pack, class Work, class Finish>
    void sweep(OpenMM::ContextImpl& context, Pack pack, Work work, Finish finish);
    /** The same in double precision: also pack positions and types, and give work(share, sums) the thread's share. */
    template <class Pack, class Work, class Finish>
    void sweepInDouble(OpenMM::ContextImpl& context, Pack pack, Work work, Finish finish);
    void packOnGrid(int sorted, int particle, const OpenMM::Vec3& x);
    void addForcesInSingle(OpenMM::ContextImpl& context);
    void computeProductInSingle(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& lambda,
                                std::vector<OpenMM::Vec3>& product, std::vector<double>& parameterProduct);
    double addForces(OpenMM::ContextImpl& context);
    /** The sum over threads of the vectors at a sorted index. */
    OpenMM::Vec3 sumVectors(int sorted) const;
    /** From sums by slot to sums by coefficient. */
    void collectCoefficients(std::vector<double>& result) const;

    OpenMM::CpuPlatform::PlatformData& data;
    int numParticles, numTypes, numTypePairs, numCoefficients;
    double cutoff;
    bool useDoublePrecision;
    std::vector<int> types;
    std::vector<double> coefficients; // [typePair*numCoefficients + k]
    CpuSplineTable table;
    std::vector<int> tableSlots;
    std::vector<double> tableEnergies;
    std::vector<float> tableForces;
    const CpuPairLoops& loops;
    std::unique_ptr<CpuPairList> list;
    std::vector<Sums> sums; // one per thread
    // In the list's order, see CpuPairShare:
    std::vector<double> sortedPositions, sortedLambda;
    std::vector<int32_t> grid;
    std::vector<float> singleLambda;
};

} // namespace OpenMMGrad

#endif
