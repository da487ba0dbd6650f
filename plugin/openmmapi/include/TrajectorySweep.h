// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_TRAJECTORYSWEEP_H_
#define OPENMMGRAD_TRAJECTORYSWEEP_H_

#include "ConstraintAdjoint.h"
#include "DeviceSweep.h"
#include "ForceDerivatives.h"
#include "LinearStep.h"
#include "NoseHooverChain.h"
#include "internal/windowsExportOpenMMGrad.h"
#include "openmm/Vec3.h"
#include <string>
#include <vector>

namespace OpenMMGrad {

/**
 * A trajectory of a Context, step by step forwards with OpenMM's own integrator, and the exact adjoint of those discrete
 * steps backwards:
 *
 *     Verlet            v' = v + dt F(x)/m;  x' = x + dt v'
 *     LangevinMiddle    u = v + dt F(x)/m;  v' = e^(-friction dt) u + noise;  x' = x + dt (u + v')/2
 *     NoseHooverChain   velocity Verlet between two half steps of the chain
 *
 * Velocities of the first two are half a step behind the positions: start() makes them from velocities at the positions'
 * time, v(-1/2) = v - dt/2 F(x)/m. A CMMotionRemover acts before the kick of its steps. With constraints (Verlet only) x'
 * is constrained, and v' = (x' - x)/dt. Arrays of positions, velocities and cotangents are [step][particle][3].
 */
class OPENMMGRAD_EXPORT TrajectorySweep {
public:
    enum Scheme { Verlet = 0, LangevinMiddle = 1, NoseHoover = 2 };
    /**
     * @param derivatives  of the Context's forces; must outlive the sweep
     * @param friction     1/ps, of LangevinMiddle
     */
    TrajectorySweep(ForceDerivatives& derivatives, Scheme scheme, double friction = 0);
    void setChain(const NoseHooverChain& chain) { this->chain = chain; }
    /** Global parameters that have a value of their own at each step, by index in the ForceDerivatives. */
    void setControls(const std::vector<int>& parameters) { controls = parameters; }
    int getNumParticles() const { return inverseMasses.size(); }
    int getNumControls() const { return controls.size(); }
    int getNumChainMomenta() const { return chain.masses.size(); }

    /**
     * Begin a window: velocities, at the time of the positions, become those that the integrator wants.
     * @param controlValues  of the first step
     */
    void start(const double* positions, double* velocities, const double* controlValues);
    /**
     * Steps from a state that start() or an earlier run() left, or from a stored one.
     * @param firstStep      number of the first step in its window
     * @param controlValues  [step][control]
     * @param wanted         for steps 0 .. numSteps: whether its velocities are read; others are left as they are
     * @param positions, velocities, momenta  in: row 0; out: rows 1 .. numSteps
     * @param shown          the same for positions: a device need not give the others; null: all
     * @param hold           whether it keeps them for reverse() then, until getDevice().release()
     * @return a name of the positions that are kept on the device for reverse(), or -1
     */
    long long run(int firstStep, int numSteps, const double* controlValues, const int* wanted, double* positions,
                  double* velocities, double* momenta, const int* shown = nullptr, bool hold = false);
    /**
     * The adjoint of run(), and of start() if it began the window.
     * @param positions, velocities, momenta  as run() left them; velocities are read by NoseHoover and with constraints
     * @param positionRows, velocityRows      for steps 0 .. numSteps: the row of its cotangent, or -1
     * @param gPositions, gVelocities         cotangents that come from outside, [row][particle][3]
     * @param gx, gv, gMomenta                in: cotangents of the last state; out: of the first
     * @param gCoefficients, gParameters      increased
     * @param gControls                       [step][control], increased
     * @param history, firstState             what run() returned, and which of its states is the first here
     */
    void reverse(int firstStep, int numSteps, const double* controlValues, const double* positions,
                 const double* velocities, const double* momenta, const int* positionRows, const int* velocityRows,
                 const double* gPositions, const double* gVelocities, double* gx, double* gv, double* gMomenta,
                 double* gCoefficients, double* gParameters, double* gControls, long long history = -1,
                 int firstState = 0);

    /** The part that runs on the device, where the platform has one and the System is within its reach. */
    DeviceSweep& getDevice() { return device; }
    /** Adds a window to those that reverseTogether() sweeps at the same time; its arrays are read and written there. */
    void addWindow(const double* positions, const double* gPositions, const double* gVelocities, double* gx, double* gv,
                   long long history, int firstState) {
        device.add({history, firstState, positions, gPositions, gVelocities, gx, gv, {}});
    }
    /** As reverse(), for windows whose shown states are the same. Only where getDevice().sweepsTogether(). */
    void reverseTogether(int firstStep, int numSteps, const int* positionRows, const int* velocityRows,
                         double* gCoefficients);

private:
    typedef std::vector<OpenMM::Vec3> Vectors;
    void setControlValues(const double* values);
    void addKick(const Vectors& positions, const Vectors& direction, Vectors& gx, double* gControls,
                 const Vectors* forces = nullptr, int side = 1);
    /** What moved a step of Verlet, F(x) = m (x'' - 2 x' + x)/dt^2 with motion removed or not, into `known`. */
    void recoverForces(const double* before, const double* at, const double* after, bool removes);
    void addParameterProducts(const double* products, double* sums, double* gControls) const;
    long long runOnDevice(RunTrajectorySweepKernel& kernel, int numSteps, const double* controlValues, const int* wanted,
                          double* positions, double* velocities, const int* shown, bool hold);
    RunTrajectorySweepKernel* getKernel() { return scheme == NoseHoover ? nullptr : device.get(); }
    void reverseOnDevice(int firstStep, int numSteps, const double* controlValues, const int* positionRows,
                         const int* velocityRows, double* gCoefficients, double* gParameters, double* gControls);
    /** Outer cotangents, those of virtual sites given to their particles. */
    const double* pullBackRows(const double* given, const int* rows, int numSteps, std::vector<double>& onParents) const;
    void addCotangent(int row, const double* given, Vectors& cotangent) const;
    void pullBackConstraints(const Vectors& before, const Vectors& velocities, const Vectors& after, bool removes,
                             Vectors& gx, Vectors& gv);
    bool removesMotion(int step) const;
    void removeMotion(Vectors& velocities) const;
    void pullBackMotionRemoval(Vectors& gv) const;
    void halfChain(double time, Vectors& velocities, std::vector<double>& momenta) const;
    void pullBackHalfChain(const Vectors& velocities, const std::vector<double>& momenta, Vectors& gv,
                           std::vector<double>& gMomenta) const;
    void addScaled(const Vectors& cotangent, double factor, Vectors& direction) const;

    ForceDerivatives& derivatives;
    OpenMM::Context& context;
    Scheme scheme;
    double timestep, totalMass;
    LinearStep linear;
    NoseHooverChain chain;
    ConstraintAdjoint constraints;
    std::vector<int> controls;
    std::vector<int> removalFrequencies;
    std::vector<double> masses, inverseMasses;
    DeviceSweep device;
    Vectors product, heldForBefore, known;
    std::vector<double> coefficients, parameterProducts, parameterSums;
};

} // namespace OpenMMGrad

#endif
