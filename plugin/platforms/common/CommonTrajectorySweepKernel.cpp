// SPDX-License-Identifier: MIT
#include "CommonTrajectorySweepKernel.h"
#include "KernelSources.h"
#include "openmm/common/ContextSelector.h"
#include <algorithm>
#include <cstring>
#include <numeric>
#include <sstream>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

enum Phase { Settle = 1, Kick = 2, Finish = 4 };

/** Parts of a window that are reduced on their own. */
int countParts(int numAtoms) { return min(32, (numAtoms + SweepGroup - 1) / SweepGroup); }

class EndOfContext : public ComputeContext::ReorderListener {
public:
    explicit EndOfContext(const shared_ptr<unique_ptr<CommonTrajectorySweep> >& sweep) : sweep(sweep) {}
    ~EndOfContext() { sweep->reset(); }
    void execute() {}

private:
    shared_ptr<unique_ptr<CommonTrajectorySweep> > sweep;
};

} // namespace

bool CommonRunTrajectorySweepKernel::initialize(ContextImpl& context, const SweepSystem& system, size_t memory) {
    if (!cc->getSupportsDoublePrecision() || cc->getNumContexts() > 1)
        return false;
    ContextSelector selector(*cc);
    sweep->reset(new CommonTrajectorySweep(context, *cc, system, memory));
    cc->addReorderListener(new EndOfContext(sweep));
    return true;
}

CommonTrajectorySweep::CommonTrajectorySweep(ContextImpl& context, ComputeContext& cc, const SweepSystem& system,
                                             size_t memory)
    : context(context), cc(cc), system(system), memory(memory), numAtoms(cc.getNumAtoms()),
      paddedNumAtoms((numAtoms + 31) / 32 * 32), totalMass(0), numSums(0), numDownloads(0), states(nullptr),
      firstStateRow(0) {
    map<string, string> defines;
    defines["GROUP"] = cc.intToString(SweepGroup);
    defines["SETTLE"] = cc.intToString(Settle);
    defines["KICK"] = cc.intToString(Kick);
    defines["FINISH"] = cc.intToString(Finish);
    const bool periodic = any_of(system.pairForces.begin(), system.pairForces.end(), [](const LearnablePairForce* force) {
        return force->usesPeriodicBoundaryConditions();
    });
    if (periodic)
        defines["USE_PERIODIC"] = "1";
    ComputeProgram program = cc.compileProgram(string(KernelSources::sweepLength) + KernelSources::sweepStep, defines);
    sort.create(program, "sortPositions");
    begin.create(program, "beginStep");
    displacePositions.create(program, "displace");
    keepForces.create(program, "keepForces");
    addForces.create(program, "addForceDifference");
    projectForces.create(program, "projectForceDifference");
    addDerivative.create(program, "addEnergyDerivative");
    history.reset(new CommonSweepHistory(cc, program, memory / 2));
    for (const LearnablePairForce* force : system.pairForces) {
        pairs.emplace_back(new CommonSweepPairs(cc, *force, numSums));
        numSums += pairs.back()->getNumSums();
    }
    vector<double> values = system.masses;
    for (int i = 0; i < numAtoms; i++) {
        totalMass += values[i];
        if (context.getSystem().isVirtualSite(i))
            values[i] = -1;
    }
    masses.initialize<double>(cc, max(numAtoms, 1), "sweepMasses");
    masses.upload(values);
    arrays.numParts = countParts(numAtoms);
}

bool CommonTrajectorySweep::startNoise(int seed) {
    ContextSelector selector(cc);
    // A Context's seed is final, but a checkpoint of its random numbers holds what has been made of the seed:
    // [used, count, count float4, and int4 for the generators].
    IntegrationUtilities& integration = cc.getIntegrationUtilities();
    ostringstream saved;
    integration.createCheckpoint(saved);
    string bytes = saved.str();
    const size_t header = 2 * sizeof(int), value = sizeof(mm_float4);
    if (bytes.size() < header)
        return false;
    int count;
    memcpy(&count, &bytes[sizeof(int)], sizeof(int));
    const size_t first = header + count * value;
    if (count != static_cast<int>(integration.getRandom().getSize()) || bytes.size() <= first ||
        (bytes.size() - first) % sizeof(mm_int4) != 0)
        return false;
    memcpy(&bytes[0], &count, sizeof(int)); // all used: new ones come first
    unsigned int r = seed;
    for (size_t k = first; k < bytes.size(); k += sizeof(r)) {
        r = 1664525 * r + 1013904223; // IntegrationUtilities::initRandomNumberGenerator()
        memcpy(&bytes[k], &r, sizeof(r));
    }
    istringstream changed(bytes);
    integration.loadCheckpoint(changed);
    vector<int> order(cc.getAtomIndex().size());
    iota(order.begin(), order.end(), 0);
    cc.setAtomIndex(order);
    forgetCells();
    cc.forceReorder();
    return true;
}

size_t CommonTrajectorySweep::bytesPerRow(const vector<SweepWindow>& windows) const {
    // Sorted positions with their bounds, two rows of cotangents, and positions that are uploaded for one window.
    const size_t real4 = cc.getUseDoublePrecision() ? sizeof(mm_double4) : sizeof(mm_float4);
    return windows.size() * (paddedNumAtoms * (real4 + real4 / 16) + 2 * 3 * sizeof(double) * numAtoms) +
           3 * sizeof(double) * numAtoms;
}

void CommonTrajectorySweep::prepareWindows(int numRows, const vector<SweepWindow>& windows) {
    const int size = windows.size(), real = cc.getUseDoublePrecision() ? sizeof(double) : sizeof(float);
    arrays.numWindows = size;
    arrays.numRows = numRows;
    const size_t rows = static_cast<size_t>(size) * numRows, vectors = 3 * static_cast<size_t>(size) * numAtoms;
    prepareArray(cc, arrays.sorted, rows * paddedNumAtoms, 4 * real, "sweepPositions");
    prepareArray(cc, arrays.bounds, rows * paddedNumAtoms / 16, 4 * real, "sweepBounds");
    prepareArray(cc, arrays.order, size * paddedNumAtoms, sizeof(int), "sweepOrder");
    prepareArray(cc, arrays.boxes, 9 * size, sizeof(double), "sweepBoxes");
    prepareArray(cc, arrays.boxVectors, 5 * size, 4 * real, "sweepBoxVectors");
    for (auto* array : {&arrays.gx, &arrays.gv, &arrays.direction})
        prepareArray(cc, *array, vectors, sizeof(double), "sweepCotangents");
    prepareArray(cc, arrays.sortedDirection, size * paddedNumAtoms, 4 * real, "sweepDirection");
    prepareArray(cc, arrays.momenta, 3 * size * arrays.numParts, sizeof(double), "sweepMomenta");
    prepareArray(cc, arrays.squares, size * arrays.numParts, sizeof(double), "sweepSquares");
    prepareArray(cc, arrays.oldSquares, size * arrays.numParts, sizeof(double), "sweepSquares");
    prepareArray(cc, arrays.sums, size * numSums, sizeof(long long), "sweepSums");
    prepareArray(cc, arrays.sumScales, numSums, sizeof(double), "sweepSumScales");
    prepareArray(cc, arrays.coefficients, size * numSums, sizeof(double), "sweepCoefficients");
    cc.clearBuffer(*arrays.sums);
    cc.clearBuffer(*arrays.coefficients);

    vector<double> scales(max(numSums, 1)), gx, gv, boxes;
    for (auto& force : pairs)
        force->update(scales);
    arrays.sumScales->upload(scales);
    vector<int> order;
    vector<mm_double4> boxVectors;
    for (const SweepWindow& window : windows) {
        gx.insert(gx.end(), window.gx, window.gx + 3 * numAtoms);
        gv.insert(gv.end(), window.gv, window.gv + 3 * numAtoms);
        const CommonSweepHistory::Window* kept = history->find(window.history);
        const vector<int>& own = kept != nullptr ? kept->order : cc.getAtomIndex();
        order.insert(order.end(), own.begin(), own.begin() + numAtoms);
        order.resize((order.size() + 31) / 32 * 32, 0);
        const Vec3* box = window.box;
        for (int k = 0; k < 9; k++)
            boxes.push_back(box[k / 3][k % 3]);
        boxVectors.emplace_back(box[0][0], box[1][1], box[2][2], 0);
        boxVectors.emplace_back(1 / box[0][0], 1 / box[1][1], 1 / box[2][2], 0);
        for (int k = 0; k < 3; k++)
            boxVectors.emplace_back(box[k][0], box[k][1], box[k][2], 0);
    }
    arrays.gx->upload(gx);
    arrays.gv->upload(gv);
    arrays.order->upload(order);
    arrays.boxes->upload(boxes);
    if (cc.getUseDoublePrecision())
        arrays.boxVectors->upload(boxVectors);
    else {
        vector<mm_float4> rounded;
        for (const mm_double4& v : boxVectors)
            rounded.emplace_back(static_cast<float>(v.x), static_cast<float>(v.y), static_cast<float>(v.z), 0.0f);
        arrays.boxVectors->upload(rounded);
    }
}

void CommonTrajectorySweep::loadPositions(int begin, int end, const vector<SweepWindow>& windows) {
    const size_t rowSize = 3 * sizeof(double) * numAtoms;
    for (size_t w = 0; w < windows.size(); w++) {
        CommonSweepHistory::Window* kept = history->find(windows[w].history);
        if (kept != nullptr) {
            states = &kept->states;
            firstStateRow = windows[w].firstState + begin;
        }
        else {
            prepareArray(cc, uploaded, arrays.numRows, rowSize, "sweepUploaded");
            uploaded->uploadSubArray(windows[w].positions + static_cast<size_t>(begin) * 3 * numAtoms, 0, end - begin);
            states = uploaded.get();
            firstStateRow = 0;
        }
        if (!pairs.empty())
            sort(static_cast<size_t>(arrays.numRows) * paddedNumAtoms, numAtoms, paddedNumAtoms, static_cast<int>(w),
                 arrays.numRows, end - begin, firstStateRow, *states, *arrays.order, *arrays.boxes, *arrays.sorted);
    }
    if (!pairs.empty())
        pairs[0]->findBounds(arrays);
}

void CommonTrajectorySweep::loadOuter(int begin, int end, int numStates, const int* rows,
                                      const vector<SweepWindow>& windows, bool ofPositions, Outer& outer) {
    outer.rows.assign(numStates, -1);
    outer.numRows = 0;
    for (int state = begin; state <= end; state++)
        if (rows[state] >= 0)
            outer.rows[state] = outer.numRows++;
    prepareArray(cc, outer.values, windows.size() * outer.numRows, 3 * sizeof(double) * numAtoms, "sweepOuter");
    for (size_t w = 0; w < windows.size(); w++) {
        const double* values = ofPositions ? windows[w].gPositions : windows[w].gVelocities;
        // Rows that follow each other go together.
        for (int state = begin; state <= end;) {
            int last = state;
            int count = rows[state] >= 0 ? 1 : 0;
            for (; count > 0 && last < end && rows[last + 1] == rows[last] + 1; last++)
                count++;
            if (count > 0)
                outer.values->uploadSubArray(values + static_cast<size_t>(rows[state]) * 3 * numAtoms,
                                             w * outer.numRows + outer.rows[state], count);
            state = last + 1;
        }
    }
}

void CommonTrajectorySweep::beginStep(int phases, int endPositionRow, int endVelocityRow, int velocityRow, bool removes,
                                      double startKick) {
    begin(static_cast<size_t>(arrays.numWindows) * arrays.numParts * SweepGroup, phases, arrays.numWindows, numAtoms,
          paddedNumAtoms, arrays.numParts, endPositionRow, endVelocityRow, velocityRow, outerPositions.numRows,
          outerVelocities.numRows, removes ? 1 : 0, system.step.keep, system.step.gain, system.step.kick, startKick,
          *arrays.order, masses, totalMass, *arrays.gx, *arrays.gv, *arrays.direction, *arrays.sortedDirection,
          *outerPositions.values, *outerVelocities.values, *arrays.momenta, *arrays.oldSquares, *arrays.squares, numSums,
          *arrays.sums, *arrays.sumScales, *arrays.coefficients);
}

void CommonTrajectorySweep::reverse(int firstStep, int numSteps, const int* positionRows, const int* velocityRows,
                                    const vector<SweepWindow>& windows, const RunTrajectorySweepKernel::Action& prepare,
                                    double* coefficients, double* parameterProducts) {
    ContextSelector selector(cc);
    const int piece = max<size_t>(1, min<size_t>(numSteps, memory / 2 / bytesPerRow(windows)));
    prepareWindows(piece, windows);
    const int numParameters = system.parameters.size();
    prepareArray(cc, products, static_cast<size_t>(numSteps) * numParameters, sizeof(double), "sweepProducts");
    cc.clearBuffer(*products);
    if (!system.differences.empty() || numParameters > 0)
        prepareArray(cc, keptForces, 3 * numAtoms, sizeof(long long), "sweepForces");
    for (int end = numSteps; end > 0;) {
        const int begin = max(0, end - piece);
        loadPositions(begin, end, windows);
        // The cotangent of x at a state is added when the step from it has been undone, that of v before.
        loadOuter(begin == 0 ? 0 : begin + 1, end, numSteps + 1, positionRows, windows, true, outerPositions);
        loadOuter(begin, end == numSteps ? end : end - 1, numSteps + 1, velocityRows, windows, false, outerVelocities);
        for (int step = end - 1; step >= begin; step--) {
            prepare(step);
            const bool removes = any_of(system.removalFrequencies.begin(), system.removalFrequencies.end(),
                                        [&](int frequency) { return (firstStep + step) % frequency == 0; });
            const double startKick = firstStep + step == 0 ? 0.5 * system.step.kick : 0.0;
            const int atEnd = outerPositions.rows[step + 1];
            const int velocityAtEnd = step == numSteps - 1 ? outerVelocities.rows[numSteps] : -1;
            if (!removes)
                beginStep(Settle | Kick | Finish, atEnd, velocityAtEnd, outerVelocities.rows[step], false, startKick);
            else {
                beginStep(Settle | Kick, atEnd, velocityAtEnd, -1, true, 0);
                beginStep(Finish, -1, -1, outerVelocities.rows[step], true, startKick);
            }
            for (auto& force : pairs)
                force->add(arrays, step - begin);
            addDifferences(step, firstStateRow + step - begin);
            swap(arrays.squares, arrays.oldSquares);
        }
        if (begin == 0)
            beginStep(Settle, outerPositions.rows[0], -1, -1, false, 0);
        end = begin;
    }
    finish(windows, numSteps, coefficients, parameterProducts);
}

void CommonTrajectorySweep::displace(int row, double displacement) {
    ArrayInterface& correction = cc.getUseMixedPrecision() ? cc.getPosqCorrection() : cc.getPosq();
    displacePositions(numAtoms, numAtoms, row, displacement, arrays.numParts, *states, *arrays.direction, *arrays.squares,
                      cc.getAtomIndexArray(), cc.getPosq(), correction);
    if (system.virtualSites)
        cc.getIntegrationUtilities().computeVirtualSites();
}

void CommonTrajectorySweep::addDifferences(int step, int row) {
    if (system.pairsOnly())
        return;
    // As if positions had been set: their order on the device may change now and then, and they are in no other cell.
    cc.reorderAtoms();
    const int padded = cc.getPaddedNumAtoms(), numParameters = system.parameters.size();
    ArrayInterface &index = cc.getAtomIndexArray(), &forces = cc.getLongForceBuffer();
    const auto evaluate = [&](int groups, bool keep) {
        context.calcForcesAndEnergy(true, false, groups);
        if (keep)
            keepForces(numAtoms, numAtoms, padded, index, forces, *keptForces);
    };
    for (int p = 0; p < numParameters; p++) {
        const SweepSystem::Parameter& parameter = system.parameters[p];
        if (parameter.step == 0)
            continue;
        const double value = context.getParameter(parameter.name);
        displace(row, 0);
        context.setParameter(parameter.name, value + parameter.step);
        evaluate(parameter.groups, true);
        context.setParameter(parameter.name, value - parameter.step);
        evaluate(parameter.groups, false);
        context.setParameter(parameter.name, value);
        projectForces(SweepGroup, numAtoms, padded, 1 / (2 * parameter.step * 4294967296.0), step * numParameters + p, index,
                      forces, *keptForces, *arrays.direction, *products);
    }
    const vector<string>& derivatives = cc.getEnergyParamDerivNames();
    for (const SweepSystem::Difference& part : system.differences) {
        for (int sign : {1, -1}) {
            displace(row, sign * part.displacement);
            evaluate(part.groups, sign == 1);
            for (int p = 0; p < numParameters; p++)
                if (system.parameters[p].step == 0) {
                    const int column = find(derivatives.begin(), derivatives.end(), system.parameters[p].name) -
                                       derivatives.begin();
                    ArrayInterface& buffer = cc.getEnergyParamDerivBuffer();
                    addDerivative(SweepGroup, static_cast<int>(buffer.getSize()), static_cast<int>(derivatives.size()),
                                  column, sign * part.displacement, arrays.numParts, step * numParameters + p, buffer,
                                  *arrays.squares, *products);
                }
        }
        addForces(numAtoms, numAtoms, padded, part.displacement, arrays.numParts, index, forces, *keptForces,
                  *arrays.squares, masses, *arrays.gx);
    }
}

void CommonTrajectorySweep::finish(const vector<SweepWindow>& windows, int numSteps, double* coefficients,
                                   double* parameterProducts) {
    vector<double> gx, gv, totals, parts;
    arrays.gx->download(gx);
    arrays.gv->download(gv);
    arrays.coefficients->download(totals);
    products->download(parts);
    numDownloads += 4;
    for (size_t w = 0; w < windows.size(); w++) {
        copy_n(gx.begin() + 3 * w * numAtoms, 3 * numAtoms, windows[w].gx);
        copy_n(gv.begin() + 3 * w * numAtoms, 3 * numAtoms, windows[w].gv);
        for (int k = 0; k < numSums; k++)
            coefficients[k] += totals[w * numSums + k];
    }
    copy_n(parts.begin(), numSteps * system.parameters.size(), parameterProducts);
    forgetCells();
}

void CommonTrajectorySweep::forgetCells() {
    for (auto& offset : cc.getPosCellOffsets())
        offset = mm_int4(0, 0, 0, 0);
}

} // namespace OpenMMGrad
