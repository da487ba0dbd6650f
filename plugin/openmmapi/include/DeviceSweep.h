// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_DEVICESWEEP_H_
#define OPENMMGRAD_DEVICESWEEP_H_

#include "ForceDerivatives.h"
#include "TrajectorySweepKernels.h"
#include "internal/windowsExportOpenMMGrad.h"
#include "openmm/Kernel.h"
#include <functional>
#include <vector>

namespace OpenMMGrad {

/**
 * The part of a TrajectorySweep that runs on the device of its Context's platform, where there is one and the System is
 * within its reach: no constraints, no forces with products of their own (torch), no virtual sites beside a
 * LearnablePairForce, and no parameter derivatives that OpenMM computes on the host. All else stays with the host.
 */
class OPENMMGRAD_EXPORT DeviceSweep {
public:
    /** @param step, masses, removalFrequencies  of the integrator and System; see SweepSystem */
    DeviceSweep(ForceDerivatives& derivatives, const LinearStep& step, const std::vector<double>& masses,
                const std::vector<int>& removalFrequencies);
    /** The device's kernel, or null where the host has to do the sweep; made anew after Context::reinitialize(). */
    RunTrajectorySweepKernel* get();
    OpenMM::ContextImpl& getContextImpl();
    /** False: the host does all. */
    void setEnabled(bool enabled) { this->enabled = enabled; }
    /** Bytes on the device; takes effect when the kernel is made. */
    void setMemory(size_t bytes) { memory = bytes; }
    /** Whether windows can be swept together: nothing is differenced. */
    bool sweepsTogether() { return get() != nullptr && describe().pairsOnly(); }
    /** As RunTrajectorySweepKernel::startNoise(); false on the host. */
    bool startNoise(int seed) { return get() != nullptr && get()->startNoise(seed); }
    /** The host needs a history no more. */
    void release(long long history) {
        if (hasKernel && kernel.getAs<RunTrajectorySweepKernel>().isAlive())
            kernel.getAs<RunTrajectorySweepKernel>().release(history);
    }
    long long getNumDownloads() { return get() == nullptr ? 0 : get()->getNumDownloads(); }

    /** The windows that add() has collected, and then none. */
    void add(const SweepWindow& window);
    void reverse(int firstStep, int numSteps, const int* positionRows, const int* velocityRows,
                 const std::function<void(int)>& prepare, double* coefficients, double* parameterProducts);

private:
    bool isWithinReach() const;
    SweepSystem describe() const;
    ForceDerivatives& derivatives;
    const LinearStep step;
    const std::vector<double> masses;
    const std::vector<int> removalFrequencies;
    bool enabled, tried, hasKernel;
    size_t memory;
    OpenMM::Kernel kernel;
    std::vector<SweepWindow> windows;
};

} // namespace OpenMMGrad

#endif
