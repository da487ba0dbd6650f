// SPDX-License-Identifier: MIT
#include "CommonSweepHistory.h"
#include "openmm/OpenMMException.h"
#include "openmm/common/ContextSelector.h"
#include <atomic>
#include <cstring>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

/** No two windows have the same name, in whatever Context they are: one never stands for another. Odd names are held. */
atomic<long long> nextName(0);

} // namespace

CommonSweepHistory::CommonSweepHistory(ComputeContext& cc, ComputeProgram& program, size_t memory)
    : cc(cc), memory(memory), rowSize(3 * sizeof(double) * cc.getNumAtoms()), numDownloads(0) {
    store.create(program, "storeState");
    copyRows.create(program, "copyRows");
    prepareArray(cc, cellOffsets, cc.getNumAtoms(), sizeof(mm_int4), "sweepCellOffsets");
}

CommonSweepHistory::Window* CommonSweepHistory::find(long long name) {
    lock_guard<mutex> locked(lock);
    for (auto& window : windows)
        if (window->name == name)
            return window.get();
    if (name >= 0 && name % 2 == 1)
        throw OpenMMException("TrajectorySweep: states that were kept on the device alone are there no more, because the "
                              "Context has been reinitialized. Run the window again.");
    return nullptr;
}

void CommonSweepHistory::release(long long name) {
    lock_guard<mutex> locked(lock);
    for (auto& window : windows)
        if (window->name == name)
            window->held = false;
}

CommonSweepHistory::Window* CommonSweepHistory::reserve(int numStates) {
    lock_guard<mutex> locked(lock);
    const size_t needed = static_cast<size_t>(numStates) * rowSize;
    if (needed > memory)
        return nullptr;
    size_t used = 0, held = 0;
    for (auto& window : windows) {
        used += static_cast<size_t>(window->numStates) * rowSize;
        held += window->held ? static_cast<size_t>(window->numStates) * rowSize : 0;
    }
    if (held + needed > memory)
        return nullptr;
    unique_ptr<Window> window;
    for (auto oldest = windows.begin(); used + needed > memory;) {
        if ((*oldest)->held) {
            ++oldest;
            continue;
        }
        used -= static_cast<size_t>((*oldest)->numStates) * rowSize;
        // Memory of the right size is used again: allocating it can cost as much as a step.
        if ((*oldest)->numStates == numStates)
            window = move(*oldest);
        oldest = windows.erase(oldest);
    }
    if (!window) {
        window.reset(new Window());
        window->numStates = numStates;
        window->states.initialize(cc, numStates, rowSize, "sweepStates");
    }
    window->name = nextName.fetch_add(2);
    window->held = false;
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

void CommonSweepHistory::readShown(Window& window, const int* shown, bool hold, double* positions) {
    vector<double*> rows;
    vector<int> states;
    for (int state = 1; state < window.numStates; state++)
        if (shown[state]) {
            rows.push_back(positions + state * (rowSize / sizeof(double)));
            states.push_back(state);
        }
    if (static_cast<int>(states.size()) == window.numStates - 1) {
        numDownloads++;
        window.states.download(positions);
        return;
    }
    {
        lock_guard<mutex> locked(lock);
        window.held = hold;
        window.name += hold ? 1 : 0;
    }
    const int count = states.size();
    prepareArray(cc, shownRows, count, sizeof(int), "sweepShownRows");
    prepareArray(cc, shownBuffer, count, rowSize, "sweepShown");
    if (count == 0)
        return;
    shownRows->upload(states);
    copyRows(static_cast<size_t>(count) * cc.getNumAtoms(), cc.getNumAtoms(), count, *shownRows, window.states, *shownBuffer);
    readRows(*shownBuffer, count, rows);
}

long long CommonSweepHistory::run(int numSteps, const int* shown, const int* wanted, bool hold,
                                  const function<void(int)>& advance, double* positions, double* velocities) {
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
    readShown(*window, shown, hold, positions);
    window->order = cc.getAtomIndex();
    return window->name;
}

} // namespace OpenMMGrad
