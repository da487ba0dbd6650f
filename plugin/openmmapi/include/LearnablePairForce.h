// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_LEARNABLEPAIRFORCE_H_
#define OPENMMGRAD_LEARNABLEPAIRFORCE_H_

#include "internal/windowsExportOpenMMGrad.h"
#include "openmm/Context.h"
#include "openmm/Force.h"
#include "openmm/Vec3.h"
#include <set>
#include <utility>
#include <vector>

namespace OpenMMGrad {

class LearnablePairForceImpl;

/**
 * A pair potential u_ab(r) = sum_k c_ab,k B_k(r) between particles of types a and b: uniform cubic B-splines on
 * [0, cutoff], one vector of coefficients per unordered pair of types (see SplineBasis.h). The last three
 * coefficients are zero, so that u, u' and u'' vanish at the cutoff.
 *
 * Besides energy and forces it gives, in closed form, the derivatives that fitting needs: dU/dc, the
 * Hessian-vector product with (dF/dc)^T lambda, and the virial.
 */
class OPENMMGRAD_EXPORT LearnablePairForce : public OpenMM::Force {
public:
    enum NonbondedMethod {
        /** Pairs beyond the cutoff do not interact; no periodic boundary conditions. */
        CutoffNonPeriodic = 0,
        /** Minimum-image convention in a rectangular or triclinic box; the cutoff is at most half its smallest width. */
        CutoffPeriodic = 1
    };
    /**
     * A force without particles, with zero coefficients and CutoffPeriodic.
     *
     * @param numTypes         the number of particle types, at least 1
     * @param cutoff           the cutoff distance, measured in nm
     * @param numCoefficients  the length of each coefficient vector, at least 7 (the last three are zero)
     */
    LearnablePairForce(int numTypes, double cutoff, int numCoefficients);

    int getNumParticles() const { return particles.size(); }
    int getNumTypes() const { return numTypes; }
    /** numTypes*(numTypes+1)/2 unordered pairs, each with its own coefficients. */
    int getNumTypePairs() const { return numTypes * (numTypes + 1) / 2; }
    int getNumCoefficients() const { return numCoefficients; }
    int getNumExclusions() const { return exclusions.size(); }
    int getNumInteractionGroups() const { return interactionGroups.size(); }

    NonbondedMethod getNonbondedMethod() const { return nonbondedMethod; }
    void setNonbondedMethod(NonbondedMethod method);
    /** The cutoff distance, measured in nm. */
    double getCutoffDistance() const { return cutoff; }
    void setCutoffDistance(double distance);

    /** Index of the unordered pair: pairs are ordered (0,0), (0,1), .., (0,n-1), (1,1), (1,2), .. */
    int getTypePairIndex(int type1, int type2) const;
    /** The coefficients of a pair of types, measured in kJ/mol; zero until they are set. */
    void getCoefficients(int type1, int type2, std::vector<double>& coefficients) const;
    /** Set the coefficients of a pair of types. Takes effect in existing Contexts with updateParametersInContext(). */
    void setCoefficients(int type1, int type2, const std::vector<double>& coefficients);

    /** Add a particle; call it once for every particle of the System, in order. @return its index */
    int addParticle(int type);
    int getParticleType(int index) const;
    /** Takes effect in existing Contexts with updateParametersInContext(). */
    void setParticleType(int index, int type);

    /** Leave out the interaction of two particles. @return the index of the exclusion */
    int addExclusion(int particle1, int particle2);
    void getExclusionParticles(int index, int& particle1, int& particle2) const;
    void setExclusionParticles(int index, int particle1, int particle2);
    /** Exclude all pairs of particles separated by at most bondCutoff bonds. */
    void createExclusionsFromBonds(const std::vector<std::pair<int, int> >& bonds, int bondCutoff);

    /**
     * Restrict the force to pairs with one particle in set1 and the other in set2. With several groups a pair
     * interacts if any group holds it, and once only. At most 64 groups. Without groups all pairs interact.
     * @return the index of the group
     */
    int addInteractionGroup(const std::set<int>& set1, const std::set<int>& set2);
    void getInteractionGroupParameters(int index, std::set<int>& set1, std::set<int>& set2) const;
    void setInteractionGroupParameters(int index, const std::set<int>& set1, const std::set<int>& set2);

    /** Copy particle types and coefficients to a Context. Exclusions, groups and the cutoff cannot be changed so. */
    void updateParametersInContext(OpenMM::Context& context);
    bool usesPeriodicBoundaryConditions() const { return nonbondedMethod == CutoffPeriodic; }

    /** Whether forces asked for without the energy, as in dynamics, are in double precision too; false by default. */
    bool getUseDoublePrecision() const { return useDoublePrecision; }
    /**
     * Set whether forces asked for without the energy, as in dynamics, are in double precision on the CPU platform.
     * Energies, forces asked for with them, and all derivatives always are. Other platforms ignore it: Reference is in
     * double precision, and the property Precision of a GPU platform rules this force as it does others.
     */
    void setUseDoublePrecision(bool use) { useDoublePrecision = use; }

    /**
     * dU/dc at the Context's positions.
     * @param[out] derivatives  [typePair*numCoefficients + k], dimensionless
     */
    void computeCoefficientDerivatives(OpenMM::Context& context, std::vector<double>& derivatives) const;
    /**
     * One pass for an adjoint step.
     * @param lambda                 one vector per particle
     * @param[out] product           (dF/dx) lambda = -(d2U/dx2) lambda, in kJ/mol/nm^2 times the unit of lambda
     * @param[out] parameterProduct  (dF/dc)^T lambda, [typePair*numCoefficients + k], in 1/nm times the unit of lambda
     * @param inPrecisionOfForces    faster where forces are in single precision: so are pairs then, and sums of parameters
     *                               are double. Otherwise all is double where the platform has it.
     */
    void computeHessianVectorProduct(OpenMM::Context& context, const std::vector<OpenMM::Vec3>& lambda,
                                     std::vector<OpenMM::Vec3>& product, std::vector<double>& parameterProduct,
                                     bool inPrecisionOfForces = false) const;
    /**
     * The virial tensor W_ab = sum over pairs of F_a r_b. The pressure is (N kT + tr W / 3)/V.
     * @param[out] virial            row major [9], measured in kJ/mol
     * @param[out] traceDerivatives  d(tr W)/dc, [typePair*numCoefficients + k], dimensionless
     */
    void computeVirial(OpenMM::Context& context, std::vector<double>& virial,
                       std::vector<double>& traceDerivatives) const;

protected:
    OpenMM::ForceImpl* createImpl() const;

private:
    LearnablePairForceImpl& getImpl(OpenMM::Context& context) const;
    int numTypes, numCoefficients;
    double cutoff;
    bool useDoublePrecision;
    NonbondedMethod nonbondedMethod;
    std::vector<int> particles;
    std::vector<std::vector<double> > coefficients;
    std::vector<std::pair<int, int> > exclusions;
    std::vector<std::pair<std::set<int>, std::set<int> > > interactionGroups;
};

} // namespace OpenMMGrad

#endif
