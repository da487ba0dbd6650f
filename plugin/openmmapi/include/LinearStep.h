// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_LINEARSTEP_H_
#define OPENMMGRAD_LINEARSTEP_H_

#include <cmath>

namespace OpenMMGrad {

/**
 * The adjoint of one step of an integrator whose velocities are half a step behind. Additive noise drops out, and what
 * remains is linear in the cotangents gx of x' and gv of v':
 *
 *     gv <- keep gv + gain gx;     a = kick gv/m;     gx <- gx + (dF/dx) a
 *
 * The start of a window, v(-1/2) = v - dt/2 F(x)/m, adds -dt/2 gv/m to a.
 */
struct LinearStep {
    double keep, gain, kick;
    /** v' = v + dt F(x)/m;  x' = x + dt v' */
    static LinearStep verlet(double timestep) { return {1.0, timestep, timestep}; }
    /** u = v + dt F(x)/m;  v' = e^(-friction dt) u + noise;  x' = x + dt (u + v')/2 */
    static LinearStep langevinMiddle(double timestep, double friction) {
        const double damping = std::exp(-friction * timestep);
        return {damping, 0.5 * timestep * (1 + damping), timestep};
    }
};

} // namespace OpenMMGrad

#endif
