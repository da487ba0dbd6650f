// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CONSTRAINTADJOINT_H_
#define OPENMMGRAD_CONSTRAINTADJOINT_H_

#include "internal/windowsExportOpenMMGrad.h"
#include "openmm/System.h"
#include "openmm/Vec3.h"
#include <vector>

namespace OpenMMGrad {

/**
 * The adjoint of a constrained position update. SHAKE, CCMA and SETTLE all solve
 *
 *     x' = y + M^-1 A(x)^T mu,     |x'_i - x'_j| = d for each constraint,
 *
 * where y is the unconstrained update of x and row c of A(x) is x_i - x_j on i, and minus that on j. Differentiating both
 * equations gives, with G = A(x') M^-1 A(x)^T, for the cotangent g of x':
 *
 *     of y:  h = g - A(x')^T G^-T A(x) M^-1 g          of x, through A:  mu_c (h_i/m_i - h_j/m_j) on i, minus that on j.
 */
class OPENMMGRAD_EXPORT ConstraintAdjoint {
public:
    explicit ConstraintAdjoint(const OpenMM::System& system);
    bool empty() const { return clusters.empty(); }
    /**
     * @param before, free, after  x, y and x'
     * @param g                    in: cotangent of x'; out: of y
     * @param gBefore              increased by that of x through A
     */
    void pullBack(const std::vector<OpenMM::Vec3>& before, const std::vector<OpenMM::Vec3>& free,
                  const std::vector<OpenMM::Vec3>& after, std::vector<OpenMM::Vec3>& g,
                  std::vector<OpenMM::Vec3>& gBefore) const;

private:
    struct Constraint {
        int i, j;
    };
    /** Constraints that share particles, directly or through others. */
    typedef std::vector<Constraint> Cluster;
    void pullBack(const Cluster& cluster, const std::vector<OpenMM::Vec3>& before, const std::vector<OpenMM::Vec3>& free,
                  const std::vector<OpenMM::Vec3>& after, std::vector<OpenMM::Vec3>& g,
                  std::vector<OpenMM::Vec3>& gBefore) const;
    std::vector<Cluster> clusters;
    std::vector<double> inverseMasses;
};

} // namespace OpenMMGrad

#endif
