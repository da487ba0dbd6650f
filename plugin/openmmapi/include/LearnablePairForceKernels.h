// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_LEARNABLEPAIRFORCEKERNELS_H_
#define OPENMMGRAD_LEARNABLEPAIRFORCEKERNELS_H_

#include "LearnablePairForce.h"
#include "openmm/KernelImpl.h"
#include "openmm/Platform.h"
#include "openmm/System.h"
#include "openmm/Vec3.h"
#include <string>
#include <vector>

namespace OpenMMGrad {

/**
 * What a platform computes for LearnablePairForce. Every method works on the Context's current positions.
 * Validation has been done by LearnablePairForceImpl; kernels may rely on it.
 */
class CalcLearnablePairForceKernel : public OpenMM::KernelImpl {
public:
    static std::string Name() { return "CalcLearnablePairForce"; }
    CalcLearnablePairForceKernel(std::string name, const OpenMM::Platform& platform) : KernelImpl(name, platform) {}

    virtual void initialize(const OpenMM::System& system, const LearnablePairForce& force) = 0;
    /** Add the forces to the Context's and return the energy (kJ/mol). */
    virtual double execute(OpenMM::ContextImpl& context, bool includeForces, bool includeEnergy) = 0;
    /** Copy types and coefficients; exclusions, groups, cutoff and sizes do not change. */
    virtual void copyParametersToContext(OpenMM::ContextImpl& context, const LearnablePairForce& force) = 0;

    /** dU/dc, [typePair*numCoefficients + k], dimensionless. */
    virtual void computeCoefficientDerivatives(OpenMM::ContextImpl& context, std::vector<double>& derivatives) = 0;
    /**
     * One pass over the pairs for one adjoint step:
     * product = (dF/dx) lambda = -(d2U/dx2) lambda;  parameterProduct = (dF/dc)^T lambda.
     * On i: -[u''(r)(e.w) e + (u'(r)/r)(w - (e.w) e)], w = lambda_i - lambda_j, e = (x_i - x_j)/r; parameter: -(e.w) B'_k(r).
     * inPrecisionOfForces: in single precision will do where forces are.
     */
    virtual void computeHessianVectorProduct(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& lambda,
                                             std::vector<OpenMM::Vec3>& product,
                                             std::vector<double>& parameterProduct, bool inPrecisionOfForces) = 0;
    /**
     * Virial tensor W_ab = sum_{i<j} F_ij,a r_ij,b (kJ/mol), row major [9]; pressure = (N kT + tr W / 3)/V.
     * traceDerivatives: d(tr W)/dc = -sum_{i<j} r B'_k(r), [typePair*numCoefficients + k], dimensionless.
     */
    virtual void computeVirial(OpenMM::ContextImpl& context, std::vector<double>& virial,
                               std::vector<double>& traceDerivatives) = 0;
};

} // namespace OpenMMGrad

#endif
