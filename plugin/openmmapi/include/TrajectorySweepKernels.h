// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_TRAJECTORYSWEEPKERNELS_H_
#define OPENMMGRAD_TRAJECTORYSWEEPKERNELS_H_

#include "LinearStep.h"
#include "openmm/KernelImpl.h"
#include "openmm/Platform.h"
#include "openmm/internal/ContextImpl.h"
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace OpenMMGrad {

class LearnablePairForce;

/** What a sweep on a device has to know of a System: everything that does not change between windows. */
struct SweepSystem {
    struct Difference {
        int groups;
        double displacement;
    };
    struct Parameter {
        std::string name;
        int groups;
        double step;
    };
    LinearStep step;
    /** Per particle; a massless one does not move. */
    std::vector<double> masses;
    /** One per CMMotionRemover: it acts at the beginning of steps that this divides. */
    std::vector<int> removalFrequencies;
    std::vector<const LearnablePairForce*> pairForces;
    std::vector<Difference> differences;
    std::vector<Parameter> parameters;
    bool virtualSites;

    /** Only closed forms: windows can be swept together. */
    bool pairsOnly() const { return differences.empty() && parameters.empty(); }
};

/** One window of a reverse sweep. Arrays are those of TrajectorySweep::reverse(). */
struct SweepWindow {
    /** What run() returned, and which of its states is the first; or -1: positions are read. */
    long long history;
    int firstState;
    const double* positions;
    const double *gPositions, *gVelocities;
    double *gx, *gv;
    OpenMM::Vec3 box[3];
};

/**
 * A platform's sweep without a host round trip per step: run() keeps the states on the device, reverse() reads them there.
 * See TrajectorySweep, which decides whether a System is within reach.
 */
class RunTrajectorySweepKernel : public OpenMM::KernelImpl {
public:
    typedef std::function<void(int step)> Action;
    static std::string Name() { return "RunTrajectorySweep"; }
    RunTrajectorySweepKernel(std::string name, const OpenMM::Platform& platform) : KernelImpl(name, platform) {}

    /**
     * @param memory  bytes that states and cotangents may take on the device
     * @return false where the device lacks something: nothing else may be called then
     */
    virtual bool initialize(OpenMM::ContextImpl& context, const SweepSystem& system, size_t memory) = 0;
    /** False once the Context has been reinitialized or is gone: nothing else may be called then. */
    virtual bool isAlive() const = 0;
    /**
     * The integrator's noise from now on is that of a new Context with this seed, particles in their own order.
     * @return false if the Context has to be made anew for that
     */
    virtual bool startNoise(int seed) = 0;
    /**
     * Call advance(step) for 0 .. numSteps-1, which must take one step of the integrator, and store the states.
     * @param shown       [numSteps + 1]: the positions that the host has to have
     * @param wanted      [numSteps + 1]: whether velocities are stored
     * @param hold        whether the device keeps positions that are not shown until release(); where it cannot, all are
     *                    given to the host
     * @param positions   row 0 as given; out: the shown rows from 1
     * @param velocities  out: the wanted rows from 1
     * @return a name for the history that was kept for reverse(), or -1
     */
    virtual long long run(OpenMM::ContextImpl& context, int numSteps, const int* shown, const int* wanted, bool hold,
                          const Action& advance, double* positions, double* velocities) = 0;
    virtual void release(long long history) = 0;
    /**
     * The adjoint of run() for windows of equal length whose cotangents belong to the same states.
     * @param prepare            called before each step, last to first: sets the Context's parameters
     * @param coefficients       increased
     * @param parameterProducts  [step][parameter], set
     */
    virtual void reverse(OpenMM::ContextImpl& context, int firstStep, int numSteps, const int* positionRows,
                         const int* velocityRows, const std::vector<SweepWindow>& windows, const Action& prepare,
                         double* coefficients, double* parameterProducts) = 0;
    /** How often the host has waited for data from the device in run() and reverse(), OpenMM's own waits not counted. */
    virtual long long getNumDownloads() const = 0;
};

} // namespace OpenMMGrad

#endif
