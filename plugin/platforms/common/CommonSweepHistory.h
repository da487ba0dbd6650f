// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_COMMONSWEEPHISTORY_H_
#define OPENMMGRAD_COMMONSWEEPHISTORY_H_

#include "CommonSweepSupport.h"
#include "openmm/internal/ContextImpl.h"
#include <functional>
#include <list>
#include <memory>
#include <mutex>

namespace OpenMMGrad {

/**
 * States of trajectories on the device: double [state][particle][3] in the particles' own order, unwrapped, the same
 * numbers that the host is given. Each is written when its step has been taken, and all are read back together.
 *
 * Histories share the memory that they may take: the oldest are given up first, but for those that the host does not have
 * whole. A window that does not fit goes through a buffer in pieces, to the host, and is not kept.
 */
class CommonSweepHistory {
public:
    struct Window {
        long long name;
        int numStates;
        /** Until release(): the host has some of the states only. */
        bool held;
        OpenMM::ComputeArray states;
        /** The particle at each place on the device when the window ended: near in space, near in order. */
        std::vector<int> order;
    };
    CommonSweepHistory(OpenMM::ComputeContext& cc, OpenMM::ComputeProgram& program, size_t memory);
    /** See RunTrajectorySweepKernel::run(). */
    long long run(int numSteps, const int* shown, const int* wanted, bool hold,
                  const std::function<void(int)>& advance, double* positions, double* velocities);
    /** A window that is still there; null where its states have to come from the host. */
    Window* find(long long name);
    void release(long long name);
    long long getNumDownloads() const { return numDownloads; }

private:
    Window* reserve(int numStates);
    void storeState(OpenMM::ComputeArray& states, int row, int velocityRow);
    void readShown(Window& window, const int* shown, bool hold, double* positions);
    void readRows(OpenMM::ComputeArray& array, int count, const std::vector<double*>& rows);

    OpenMM::ComputeContext& cc;
    size_t memory;
    int rowSize;
    long long numDownloads;
    SweepLauncher store, copyRows;
    std::list<std::unique_ptr<Window> > windows;
    /** release() comes when Python collects what it does not need, from any thread. */
    std::mutex lock;
    std::unique_ptr<OpenMM::ComputeArray> buffer, velocityBuffer, cellOffsets, shownBuffer, shownRows;
    std::vector<double> staging;
};

} // namespace OpenMMGrad

#endif
