// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_LEARNABLEPAIRFORCEIMPL_H_
#define OPENMMGRAD_LEARNABLEPAIRFORCEIMPL_H_

#include "LearnablePairForce.h"
#include "openmm/Kernel.h"
#include "openmm/internal/ForceImpl.h"
#include <map>
#include <string>
#include <vector>

namespace OpenMMGrad {

/**
 * LearnablePairForce in one Context. It checks whatever depends on the System, the box or the arguments, and hands
 * the work to the platform's kernel, which may rely on these checks.
 */
class OPENMMGRAD_EXPORT LearnablePairForceImpl : public OpenMM::ForceImpl {
public:
    LearnablePairForceImpl(const LearnablePairForce& owner);
    void initialize(OpenMM::ContextImpl& context);
    const LearnablePairForce& getOwner() const { return owner; }
    void updateContextState(OpenMM::ContextImpl&, bool&) {}
    double calcForcesAndEnergy(OpenMM::ContextImpl& context, bool includeForces, bool includeEnergy, int groups);
    std::map<std::string, double> getDefaultParameters() { return {}; }
    std::vector<std::string> getKernelNames();

    void updateParametersInContext(OpenMM::ContextImpl& context);
    void computeCoefficientDerivatives(OpenMM::ContextImpl& context, std::vector<double>& derivatives);
    void computeHessianVectorProduct(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& lambda,
                                     std::vector<OpenMM::Vec3>& product, std::vector<double>& parameterProduct,
                                     bool inPrecisionOfForces);
    void computeVirial(OpenMM::ContextImpl& context, std::vector<double>& virial, std::vector<double>& traceDerivatives);

private:
    void checkBox(OpenMM::ContextImpl& context) const;
    const LearnablePairForce& owner;
    /** The force as it was when the Context was made: what cannot change afterwards is compared with it. */
    const LearnablePairForce created;
    OpenMM::Kernel kernel;
};

} // namespace OpenMMGrad

#endif
