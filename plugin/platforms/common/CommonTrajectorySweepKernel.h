// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_COMMONTRAJECTORYSWEEPKERNEL_H_
#define OPENMMGRAD_COMMONTRAJECTORYSWEEPKERNEL_H_

#include "CommonSweepHistory.h"
#include "CommonSweepPairs.h"
#include "TrajectorySweepKernels.h"
#include <memory>
#include <vector>

namespace OpenMMGrad {

/**
 * A sweep in one ComputeContext. In a reverse step nothing is read by the host:
 *
 *     beginStep        gv and the direction a, for all windows
 *     addPairProducts  each LearnablePairForce, for all windows
 *     differences      OpenMM's forces at x + h a and x - h a, for one window
 *
 * What is left to wait for is OpenMM's own: the size of its neighbour list, once for each evaluation of forces.
 */
class CommonTrajectorySweep {
public:
    CommonTrajectorySweep(OpenMM::ContextImpl& context, OpenMM::ComputeContext& cc, const SweepSystem& system,
                          size_t memory);
    CommonSweepHistory& getHistory() { return *history; }
    void reverse(int firstStep, int numSteps, const int* positionRows, const int* velocityRows,
                 const std::vector<SweepWindow>& windows, const RunTrajectorySweepKernel::Action& prepare,
                 double* coefficients, double* parameterProducts);
    bool startNoise(int seed);
    long long getNumDownloads() const { return numDownloads + history->getNumDownloads(); }

private:
    /** Outer cotangents of some states: [window][row][particle][3], and where a state's are, or -1. */
    struct Outer {
        std::unique_ptr<OpenMM::ComputeArray> values;
        std::vector<int> rows;
        int numRows;
    };
    void prepareWindows(int numRows, const std::vector<SweepWindow>& windows);
    void loadPositions(int begin, int end, const std::vector<SweepWindow>& windows);
    void loadOuter(int begin, int end, int numStates, const int* rows, const std::vector<SweepWindow>& windows,
                   bool ofPositions, Outer& outer);
    void beginStep(int phases, int endPositionRow, int endVelocityRow, int velocityRow, bool removes, double startKick);
    void addDifferences(int step, int row);
    void displace(int row, double displacement);
    /** Positions on the device are those of the particles, in no other cell of the periodic box. */
    void forgetCells();
    void finish(const std::vector<SweepWindow>& windows, int numSteps, double* coefficients, double* parameterProducts);
    size_t bytesPerRow(const std::vector<SweepWindow>& windows) const;

    OpenMM::ContextImpl& context;
    OpenMM::ComputeContext& cc;
    const SweepSystem system;
    const size_t memory;
    const int numAtoms, paddedNumAtoms;
    double totalMass;
    int numSums;
    long long numDownloads;
    std::unique_ptr<CommonSweepHistory> history;
    std::vector<std::unique_ptr<CommonSweepPairs> > pairs;
    SweepArrays arrays;
    Outer outerPositions, outerVelocities;
    OpenMM::ComputeArray masses;
    /** Positions of one window, where they are not in a history; and where those of the rows being swept are. */
    std::unique_ptr<OpenMM::ComputeArray> uploaded, keptForces, products;
    OpenMM::ComputeArray* states;
    int firstStateRow;
    SweepLauncher sort, begin, displacePositions, keepForces, addForces, projectForces, addDerivative;
};

/** Ends with its ComputeContext, whichever of the two ends first. */
class CommonRunTrajectorySweepKernel : public RunTrajectorySweepKernel {
public:
    CommonRunTrajectorySweepKernel(std::string name, const OpenMM::Platform& platform, OpenMM::ComputeContext& cc)
        : RunTrajectorySweepKernel(name, platform), cc(&cc), sweep(new std::unique_ptr<CommonTrajectorySweep>()) {}
    ~CommonRunTrajectorySweepKernel() { sweep->reset(); }
    bool initialize(OpenMM::ContextImpl& context, const SweepSystem& system, size_t memory);
    bool isAlive() const { return *sweep != nullptr; }
    bool startNoise(int seed) { return (*sweep)->startNoise(seed); }
    long long run(OpenMM::ContextImpl&, int numSteps, const int* shown, const int* wanted, bool hold, const Action& advance,
                  double* positions, double* velocities) {
        return (*sweep)->getHistory().run(numSteps, shown, wanted, hold, advance, positions, velocities);
    }
    void release(long long history) { (*sweep)->getHistory().release(history); }
    void reverse(OpenMM::ContextImpl&, int firstStep, int numSteps, const int* positionRows, const int* velocityRows,
                 const std::vector<SweepWindow>& windows, const Action& prepare, double* coefficients,
                 double* parameterProducts) {
        (*sweep)->reverse(firstStep, numSteps, positionRows, velocityRows, windows, prepare, coefficients,
                          parameterProducts);
    }
    long long getNumDownloads() const { return (*sweep)->getNumDownloads(); }

private:
    OpenMM::ComputeContext* cc;
    std::shared_ptr<std::unique_ptr<CommonTrajectorySweep> > sweep;
};

} // namespace OpenMMGrad

#endif
