// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_COMMONLEARNABLEPAIRFORCEKERNELS_H_
#define OPENMMGRAD_COMMONLEARNABLEPAIRFORCEKERNELS_H_

#include "CommonPairParameters.h"
#include "CommonPairPass.h"
#include "LearnablePairForceKernels.h"
#include "openmm/common/ComputeContext.h"
#include <memory>
#include <vector>

namespace OpenMMGrad {

/**
 * OpenCL and CUDA, over OpenMM's ComputeContext. Energy and forces are an interaction in OpenMM's own nonbonded kernel,
 * one pass for all such forces of a System; derivatives are passes of our own over the same neighbour list, added up in
 * integers, so that the same call at the same positions gives the same bits.
 *
 * What OpenMM asks of all forces in its kernel holds here too: equal exclusions (a force without exclusions goes with any),
 * equal cutoffs within a force group (ours may be shorter), and a cutoff, periodic or not, for all.
 */
class CommonCalcLearnablePairForceKernel : public CalcLearnablePairForceKernel {
public:
    CommonCalcLearnablePairForceKernel(std::string name, const OpenMM::Platform& platform, OpenMM::ComputeContext& cc)
        : CalcLearnablePairForceKernel(name, platform), cc(cc), info(nullptr) {}
    ~CommonCalcLearnablePairForceKernel();
    void initialize(const OpenMM::System& system, const LearnablePairForce& force);
    /** Nothing but to return 0: OpenMM's nonbonded kernel adds forces and energy. */
    double execute(OpenMM::ContextImpl& context, bool includeForces, bool includeEnergy);
    void copyParametersToContext(OpenMM::ContextImpl& context, const LearnablePairForce& force);
    void computeCoefficientDerivatives(OpenMM::ContextImpl& context, std::vector<double>& derivatives);
    void computeHessianVectorProduct(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& lambda,
                                     std::vector<OpenMM::Vec3>& product, std::vector<double>& parameterProduct,
                                     bool inPrecisionOfForces);
    void computeVirial(OpenMM::ContextImpl& context, std::vector<double>& virial, std::vector<double>& traceDerivatives);

private:
    class ForceInfo;
    void addInteraction(const OpenMM::System& system, const LearnablePairForce& force, int forceIndex);
    /** The neighbour list for the Context's positions. */
    void prepareList(OpenMM::ContextImpl& context);
    CommonPairPass& getPass(CommonPairPass::Kind kind);
    /** lambda/scale in the order of the device. */
    template <class Real4, class Real> void uploadDirection(const std::vector<OpenMM::Vec3>& lambda, double scale);

    OpenMM::ComputeContext& cc;
    ForceInfo* info;
    int forceGroup;
    bool usesPeriodic, usesExclusions;
    std::unique_ptr<CommonPairParameters> parameters;
    std::unique_ptr<CommonPairPass> passes[3];
    OpenMM::ComputeArray direction;
};

} // namespace OpenMMGrad

#endif
