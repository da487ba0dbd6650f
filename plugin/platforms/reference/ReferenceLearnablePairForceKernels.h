// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_REFERENCELEARNABLEPAIRFORCEKERNELS_H_
#define OPENMMGRAD_REFERENCELEARNABLEPAIRFORCEKERNELS_H_

#include "LearnablePairForceKernels.h"
#include <cstdint>
#include <set>
#include <vector>

namespace OpenMMGrad {

/**
 * Double loops that read like the formulas: the specification that the other platforms are tested against.
 */
class ReferenceCalcLearnablePairForceKernel : public CalcLearnablePairForceKernel {
public:
    ReferenceCalcLearnablePairForceKernel(std::string name, const OpenMM::Platform& platform)
        : CalcLearnablePairForceKernel(name, platform) {}
    void initialize(const OpenMM::System& system, const LearnablePairForce& force);
    double execute(OpenMM::ContextImpl& context, bool includeForces, bool includeEnergy);
    void copyParametersToContext(OpenMM::ContextImpl& context, const LearnablePairForce& force);
    void computeCoefficientDerivatives(OpenMM::ContextImpl& context, std::vector<double>& derivatives);
    void computeHessianVectorProduct(OpenMM::ContextImpl& context, const std::vector<OpenMM::Vec3>& lambda,
                                     std::vector<OpenMM::Vec3>& product, std::vector<double>& parameterProduct,
                                     bool inPrecisionOfForces);
    void computeVirial(OpenMM::ContextImpl& context, std::vector<double>& virial, std::vector<double>& traceDerivatives);

private:
    void readParameters(const LearnablePairForce& force);
    /** One interacting pair: the distance and direction, and where its four splines stand in the coefficients. */
    struct Pair {
        int i, j;
        /** r in nm; e = (x_i - x_j)/r for the nearest image. */
        double r;
        OpenMM::Vec3 e;
        /** B_k .. B_{k+3} are not zero at r; first = typePair*numCoefficients + k, and t = r/h - k. */
        int first;
        double t;
    };
    /** Call visit(Pair) once for every pair closer than the cutoff that is neither excluded nor outside the groups. */
    template <class Visit> void forEachPair(OpenMM::ContextImpl& context, Visit visit) const;
    bool interact(int i, int j) const;
    Pair makePair(int i, int j, double r, const OpenMM::Vec3& delta) const;
    /** sum_m c_{first+m} basis[m] */
    double combine(int first, const double basis[4]) const;

    int numTypes, numCoefficients;
    double cutoff, inverseWidth;
    bool periodic, hasGroups;
    std::vector<int> types;
    std::vector<int> typePairs;
    std::vector<double> coefficients;
    std::vector<std::set<int> > exclusions;
    /** Bit g of inSet1[i] says that particle i belongs to the first set of interaction group g. */
    std::vector<std::uint64_t> inSet1, inSet2;
};

} // namespace OpenMMGrad

#endif
