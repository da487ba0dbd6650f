// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_NOSEHOOVERCHAIN_H_
#define OPENMMGRAD_NOSEHOOVERCHAIN_H_

#include <cmath>
#include <vector>

namespace OpenMMGrad {

/**
 * Half a step of a Nose-Hoover chain of momenta p_1 .. p_M with masses Q_1 .. Q_M, coupled to the kinetic energy K:
 *
 *     dv/dt = -(p_1/Q_1) v      dp_1/dt = 2 K - n kT - p_1 p_2/Q_2      dp_k/dt = p_{k-1}^2/Q_{k-1} - kT - p_k p_{k+1}/Q_{k+1}
 *
 * split symmetrically [Martyna, Tuckerman, Tobias, Klein, Mol. Phys. 87, 1117 (1996), section 4], so that the step with
 * -time undoes it. Real is double, or a number that carries derivatives.
 */
struct NoseHooverChain {
    double kT;                    // kJ/mol
    int degreesOfFreedom;         // n
    std::vector<double> masses;   // Q, kJ/mol ps^2

    /** @return the factor by which velocities are scaled; kinetic energy and momenta are updated. */
    template <class Real> Real halfStep(double time, Real& kineticEnergy, std::vector<Real>& p) const {
        using std::exp;
        const int last = static_cast<int>(masses.size()) - 1;
        const auto drive = [&](int k) -> Real {
            return k == 0 ? 2.0 * kineticEnergy - degreesOfFreedom * kT
                          : p[k - 1] * p[k - 1] * (1.0 / masses[k - 1]) - kT;
        };
        const auto update = [&](int k) {
            if (k == last) {
                p[k] = p[k] + (time / 2) * drive(k);
                return;
            }
            const Real damping = exp((-time / 4) * p[k + 1] * (1.0 / masses[k + 1]));
            p[k] = (p[k] * damping + (time / 2) * drive(k)) * damping;
        };
        for (int k = last; k >= 0; k--)
            update(k);
        const Real scale = exp(-time * p[0] * (1.0 / masses[0]));
        kineticEnergy = kineticEnergy * scale * scale;
        for (int k = 0; k <= last; k++)
            update(k);
        return scale;
    }
};

} // namespace OpenMMGrad

#endif
