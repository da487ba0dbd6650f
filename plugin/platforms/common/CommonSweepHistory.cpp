// SPDX-License-Identifier: MIT
#include "CommonSweepHistory.h"
#include "openmm/common/ContextSelector.h"
#include <atomic>
#include <cstring>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

/** No two windows have the same name, in whatever Context they are: one never stands for another. */
atomic<long long> nextName(0);

} // namespace

CommonSweepHistory::CommonSweepHistory(ComputeContext& cc, ComputeProgram& program, size_t memory)
    : cc(cc), memory(memory), rowSize(3 * sizeof(double) * cc.getNumAtoms()), numDownloads(0) {
    store.create(program, "storeState");
    prepareArray(cc, cellOffsets, cc.getNumAtoms(), sizeof(mm_int4), "sweepCellOffsets");
}

CommonSweepHistory::Window* CommonSweepHistory::find(long long name) {
    for (auto& window : windows)
        if (window->name == name)
            return window.get();
    return nullptr;
}

CommonSweepHistory::Window* CommonSweepHistory::reserve(int numStates) {
    const size_t needed = static_cast<size_t>(numStates) * rowSize;
    if (needed > memory)
        return nullptr;
    size_t used = 0;
    for (auto& window : windows)
        used += static_cast<size_t>(window->numStates) * rowSize;
    unique_ptr<Window> window;
    while (used + needed > memory) {
        used -= static_cast<size_t>(windows.front()->numStates) * rowSize;
        // Memory of the right size is used again: allocating it can cost as much as a step.
        if (windows.front()->numStates == numStates)
            window = move(windows.front());
        windows.pop_front();
    }
    if (!window) {
        window.reset(new Window());
        window->numStates = numStates;
        window->states.initialize(cc, numStates, rowSize, "sweepStates");
    }
    window->name = nextName++;
    windows.push_back(move(window));
    return windows.back().get();
}

void CommonSweepHistory::storeState(ComputeArray& states, int row, int velocityRow) {
    if (cc.getAtomsWereReordered())
        cellOffsets->uploadSubArray(cc.getPosCellOffsets().data(), 0, cc.getNumAtoms());
    Vec3 a, b, c;
    cc.getPeriodicBoxVectors(a, b, c);
    const auto vector4 = [](const Vec3& v) { return mm_double4(v[0], v[1], v[2], 0); };
    ArrayInterface& correction = cc.getUseMixedPrecision() ? cc.getPosqCorrection() : cc.getPosq();
    store(cc.getNumAtoms(), cc.getNumAtoms(), row, velocityRow, cc.getPosq(), correction, cc.getVelm(),
          cc.getAtomIndexArray(), *cellOffsets, vector4(a), vector4(b), vector4(c), states, *velocityBuffer);
}

void CommonSweepHistory::readRows(ComputeArray& array, int count, const vector<double*>& rows) {
    if (count == 0)
        return;
    numDownloads++;
    bool consecutive = count == static_cast<int>(array.getSize());
    for (int k = 1; k < count; k++)
        consecutive = consecutive && rows[k] == rows[k - 1] + rowSize / sizeof(double);
    if (consecutive) {
        array.download(rows[0]);
        return;
    }
    staging.resize(array.getSize() * rowSize / sizeof(double));
    array.download(staging.data());
    for (int k = 0; k < count; k++)
        memcpy(rows[k], &staging[k * (rowSize / sizeof(double))], rowSize);
}

long long CommonSweepHistory::run(int numSteps, const int* wanted, const function<void(int)>& advance, double* positions,
                                  double* velocities) {
    ContextSelector selector(cc);
    const size_t stride = rowSize / sizeof(double);
    Window* window = reserve(numSteps + 1);
    const int piece = min<size_t>(numSteps, max<size_t>(1, memory / 4 / rowSize));
    if (window == nullptr)
        prepareArray(cc, buffer, piece, rowSize, "sweepBuffer");
    else
        window->states.uploadSubArray(positions, 0, 1);
    cellOffsets->uploadSubArray(cc.getPosCellOffsets().data(), 0, cc.getNumAtoms());
    for (int begin = 0; begin < numSteps; begin += piece) {
        const int end = min(numSteps, begin + piece);
        vector<double*> rows, velocityRows;
        for (int state = begin + 1; state <= end; state++)
            if (wanted[state])
                velocityRows.push_back(velocities + state * stride);
        prepareArray(cc, velocityBuffer, velocityRows.size(), rowSize, "sweepVelocities");
        int velocityRow = 0;
        for (int state = begin + 1; state <= end; state++) {
            advance(state - 1);
            storeState(window == nullptr ? *buffer : window->states, window == nullptr ? state - begin - 1 : state,
                       wanted[state] ? velocityRow++ : -1);
            rows.push_back(positions + state * stride);
        }
        if (window == nullptr)
            readRows(*buffer, rows.size(), rows);
        readRows(*velocityBuffer, velocityRows.size(), velocityRows);
    }
    if (window == nullptr)
        return -1;
    numDownloads++;
    window->states.download(positions);
    window->order = cc.getAtomIndex();
    return window->name;
}

} // namespace OpenMMGrad
