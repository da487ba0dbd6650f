// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_FORCEDERIVATIVES_H_
#define OPENMMGRAD_FORCEDERIVATIVES_H_

#include "LearnablePairForce.h"
#include "VirtualSiteMap.h"
#include "internal/windowsExportOpenMMGrad.h"
#include "openmm/Context.h"
#include "openmm/State.h"
#include "openmm/Vec3.h"
#include <functional>
#include <string>
#include <vector>

namespace OpenMMGrad {

/**
 * Derivatives of a Context's forces F(x; c, p) along a direction a, for any System:
 *
 *     product = (dF/dx) a          coefficients = (dF/dc)^T a          parameters = (dF/dp)^T a
 *
 * A LearnablePairForce gives its share in closed form, a ForceProduct its own way. Every other force is differenced:
 * [F(x + h a) - F(x - h a)] / 2h, where h moves the fastest particle by a displacement that suits the precision and the
 * smoothness of the forces. Global parameters with energy derivatives come from the same two evaluations; the others from
 * two more, of the force groups that hold them.
 * Where the caller knows F(x), the groups of addOneSidedDifferences() need half of these: [F(x + h a) - F(x)] / h. If h is
 * positive and negative in turns, what one side is wrong by cancels over the steps.
 * Virtual sites follow their particles: derivatives are with respect to the particles, and zero for the sites.
 */
class OPENMMGRAD_EXPORT ForceDerivatives {
public:
    /** Adds its share of (dF/dx) a to the product; a and the positions include virtual sites. */
    typedef std::function<void(const std::vector<OpenMM::Vec3>& positions, const std::vector<OpenMM::Vec3>& direction,
                               std::vector<OpenMM::Vec3>& product)>
        ForceProduct;

    explicit ForceDerivatives(OpenMM::Context& context);

    /** A force of the Context's System whose share is closed form; its group must not be among the differenced. */
    void addPairForce(const LearnablePairForce& force);
    void addForceProduct(const ForceProduct& product);
    /**
     * Call it once for each displacement; a group must not be given twice.
     * @param groups        bits of the force groups to difference
     * @param displacement  of the fastest particle, measured in nm
     */
    void addDifferences(int groups, double displacement);
    /**
     * The same for at most one set of groups, which no parameter with energy derivatives depends on.
     * @param alternates  whether compute() chooses the side
     */
    void addOneSidedDifferences(int groups, double displacement, bool alternates);
    /**
     * A global parameter of the Context.
     * @param groups  bits of the force groups that depend on it
     * @param step    of the parameter in differences; 0 where its forces have been asked for energy derivatives
     * @return its index
     */
    int addParameter(const std::string& name, int groups, double step);

    int getNumCoefficients() const;
    int getNumParameters() const { return parameters.size(); }
    const std::string& getParameterName(int index) const { return parameters[index].name; }
    OpenMM::Context& getContext() const { return context; }
    const VirtualSiteMap& getVirtualSites() const { return sites; }

    /** Whether compute() is faster where it is given forces. */
    bool usesForces() const { return oneSidedGroups != 0; }
    /**
     * @param positions     all particles
     * @param direction     a, zero for virtual sites
     * @param product       set to (dF/dx) a
     * @param coefficients  increased by (dF/dc)^T a, the forces' coefficients one after the other
     * @param parameters    set to (dF/dp)^T a
     * @param forces        F(x) of all force groups, if it is known
     * @param side          1 or -1: the side of differences that start from these forces
     */
    void compute(const std::vector<OpenMM::Vec3>& positions, const std::vector<OpenMM::Vec3>& direction,
                 std::vector<OpenMM::Vec3>& product, std::vector<double>& coefficients,
                 std::vector<double>& parameters, const std::vector<OpenMM::Vec3>* forces = nullptr, int side = 1);
    /** What a device needs to compute the same. */
    bool hasForceProducts() const { return !products.empty(); }
    const std::vector<const LearnablePairForce*>& getPairForces() const { return pairForces; }
    const auto& getParameters() const { return parameters; }
    const auto& getDifferences() const { return differences; }
    /** Positions for the Context, with its virtual sites. */
    void setPositions(const std::vector<OpenMM::Vec3>& positions);

private:
    struct Parameter {
        std::string name;
        int groups;
        double step;
    };
    void addClosedForms(const std::vector<OpenMM::Vec3>& positions, const std::vector<OpenMM::Vec3>& direction,
                        std::vector<OpenMM::Vec3>& product, std::vector<double>& coefficients);
    struct Differences {
        int groups;
        double displacement;
    };
    void difference(const Differences& part, const std::vector<OpenMM::Vec3>& positions,
                    const std::vector<OpenMM::Vec3>& direction, std::vector<OpenMM::Vec3>& product,
                    std::vector<double>& parameterProducts, int side);
    double differenceParameter(const Parameter& parameter, const std::vector<OpenMM::Vec3>& direction, int side);
    /** Of the one-sided groups at the positions, from those of all groups. */
    void findKnownForces(const std::vector<OpenMM::Vec3>& positions, const std::vector<OpenMM::Vec3>& forces);
    /** Of a parameter moved by a number of its steps. */
    double projectForces(const Parameter& parameter, int steps, const std::vector<OpenMM::Vec3>& direction);
    /** The Context's groups at the positions moved along the direction. */
    OpenMM::State evaluate(const std::vector<OpenMM::Vec3>& positions, const std::vector<OpenMM::Vec3>& direction,
                           double distance, int groups, int wanted);

    OpenMM::Context& context;
    VirtualSiteMap sites;
    std::vector<const LearnablePairForce*> pairForces;
    std::vector<ForceProduct> products;
    std::vector<Parameter> parameters;
    std::vector<Differences> differences;
    bool anyAnalytic, alternates;
    int otherGroups, oneSidedGroups;
    std::vector<OpenMM::Vec3> shifted, share, extended, known;
};

} // namespace OpenMMGrad

#endif
