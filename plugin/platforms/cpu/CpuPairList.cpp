// SPDX-License-Identifier: MIT
#include "CpuPairList.h"
#include "openmm/OpenMMException.h"
#include <algorithm>
#include <sstream>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

CpuPairList::CpuPairList(int numParticles, double cutoff, double padding, bool periodic,
                         const PairSelection& selection, const CpuPairLoops& loops)
    : numParticles(numParticles), cutoff(cutoff), padding(padding), range((cutoff + padding) * (1 + 1e-6)),
      selection(selection), geometry(periodic, range), loops(loops), gridScale(geometry, 1 / range), complete(false), version(0),
      order(numParticles), numPartners(numParticles), partners(numParticles), builtAt(numParticles),
      heights(numParticles), gridX(numParticles + CpuPairLoops::MaxLanes),
      gridY(numParticles + CpuPairLoops::MaxLanes), gridZ(numParticles + CpuPairLoops::MaxLanes) {}

long long CpuPairList::getMemory() const {
    long long bytes = 0;
    for (const vector<int>& entries : storage)
        bytes += entries.capacity() * sizeof(int);
    return bytes;
}

void CpuPairList::build(const vector<Vec3>& positions, const Vec3* boxVectors, ThreadPool& threads) {
    geometry.setVectors(boxVectors);
    gridScale = CpuGridScale(geometry, 1 / range);
    describeColumns();
    const int numThreads = threads.getNumThreads();
    storage.resize(numThreads);
    parts.resize(numThreads);
    places.resize(numParticles);
    sortedPlaces.resize(numParticles);
    CpuBarrier barrier(numThreads);
    int lost = -1;
    threads.execute([&](ThreadPool&, int thread) {
        Part& part = parts[thread];
        part.begin = thread * static_cast<long long>(numParticles) / numThreads;
        part.end = (thread + 1) * static_cast<long long>(numParticles) / numThreads;
        findPlaces(positions, part);
        barrier.wait();
        if (thread == 0)
            for (const Part& other : parts)
                lost = lost < 0 ? other.lost : lost;
        sortPlaces(thread, barrier);
        if (lost >= 0)
            return;
        orderParticles(positions, part);
        barrier.wait();
        if (thread == 0)
            joinColumns();
        barrier.wait();
        findPartners(part.begin, part.end, storage[thread]);
    });
    threads.waitForThreads();
    complete = lost < 0;
    if (!complete)
        throwLost(positions[lost], lost);
    shareOut(numThreads);
    version++;
}

namespace {

const int HeightBits = 24, CellBits = 20;

int64_t clamp(double value, int bits) {
    const double half = static_cast<double>(int64_t(1) << (bits - 1));
    return static_cast<int64_t>(min(max(floor(value), -half), half - 1) + half);
}

bool isLost(const Vec3& x) { return !(fabs(x[0]) <= 1e8 && fabs(x[1]) <= 1e8 && fabs(x[2]) <= 1e8); }

} // namespace

void CpuPairList::throwLost(const Vec3& x, int particle) {
    const int axis = !(fabs(x[0]) <= 1e8) ? 0 : !(fabs(x[1]) <= 1e8) ? 1 : 2;
    stringstream message;
    message << "LearnablePairForce: coordinates must be finite and within 1e8 nm, found " << x[axis]
            << " nm for particle " << particle << ". Check the positions, or use a smaller time step.";
    throw OpenMMException(message.str());
}

void CpuPairList::describeColumns() {
    const bool open = geometry.getShape() == CpuPairGeometry::Open;
    const double maxCells = 1 << CellBits;
    for (int k = 0; k < 2; k++)
        numCells[k] = static_cast<int>(open ? maxCells : max(1.0, min(geometry.getWidth(k) / range, maxCells)));
    heightUnit = (open ? 4096 * range : geometry.getWidth(2)) / (1 << HeightBits);
}

/** The places of a part of the particles, in their own order. */
void CpuPairList::findPlaces(const vector<Vec3>& positions, Part& part) {
    const bool open = geometry.getShape() == CpuPairGeometry::Open;
    part.lost = -1;
    for (int i = part.begin; i < part.end; i++) {
        const Vec3& x = positions[i];
        if (isLost(x)) {
            part.lost = part.lost < 0 ? i : part.lost;
            places[i] = Place{0, i};
            continue;
        }
        uint64_t cell[2], height;
        if (open) { // far-off cells merge, but neighbours stay neighbours
            for (int k = 0; k < 2; k++)
                cell[k] = clamp(x[k] / range, CellBits);
            height = clamp(x[2] / heightUnit, HeightBits);
        }
        else {
            const Vec3 f = geometry.toFractions(x);
            for (int k = 0; k < 2; k++)
                cell[k] = static_cast<uint64_t>(static_cast<uint32_t>(CpuPairGeometry::toGrid(f[k]))) * numCells[k] >> 32;
            height = static_cast<uint32_t>(CpuPairGeometry::toGrid(f[2])) >> (32 - HeightBits);
        }
        places[i] = Place{(cell[0] << CellBits | cell[1]) << HeightBits | height, i};
    }
}

/** Radix sort by key on all threads, each with its part of the places; those of equal keys keep their order. */
void CpuPairList::sortPlaces(int thread, CpuBarrier& barrier) {
    Part& part = parts[thread];
    Place *from = places.data(), *to = sortedPlaces.data();
    for (int digit = 0; digit < 8; digit++) {
        fill(part.counts, part.counts + 256, 0);
        for (int k = part.begin; k < part.end; k++)
            part.counts[from[k].key >> (8 * digit) & 255]++;
        barrier.wait();
        int next[256], sum = 0;
        bool same = false;
        for (int value = 0; value < 256; value++) {
            const int before = sum;
            for (size_t other = 0; other < parts.size(); other++) {
                if (static_cast<int>(other) == thread)
                    next[value] = sum;
                sum += parts[other].counts[value];
            }
            same = same || sum - before == numParticles;
        }
        if (!same) {
            for (int k = part.begin; k < part.end; k++)
                to[next[from[k].key >> (8 * digit) & 255]++] = from[k];
            swap(from, to);
        }
        barrier.wait(); // before counts and places change again
    }
    part.sorted = from;
}

/** What the list keeps of a part of the sorted places. */
void CpuPairList::orderParticles(const vector<Vec3>& positions, Part& part) {
    part.columns.clear();
    for (int k = part.begin; k < part.end; k++) {
        if (k + 16 < part.end)
            prefetch(&positions[part.sorted[k + 16].particle]);
        const Place& place = part.sorted[k];
        order[k] = place.particle;
        heights[k] = place.key & ((1 << HeightBits) - 1);
        builtAt[k] = positions[place.particle];
        const Vec3 f = geometry.toFractions(builtAt[k]);
        gridX[k] = CpuPairGeometry::toGrid(f[0]);
        gridY[k] = CpuPairGeometry::toGrid(f[1]);
        gridZ[k] = CpuPairGeometry::toGrid(f[2]);
        const uint64_t column = place.key >> HeightBits;
        if (k == 0 || part.sorted[k - 1].key >> HeightBits != column)
            part.columns.push_back(Column{column, k});
    }
}

void CpuPairList::joinColumns() {
    columns.clear();
    for (const Part& part : parts)
        columns.insert(columns.end(), part.columns.begin(), part.columns.end());
    columns.push_back(Column{numeric_limits<uint64_t>::max(), numParticles});
}

/** The columns within reach of a column, itself and later ones only: each pair is found from its earlier member. */
void CpuPairList::findRuns(int column, vector<Run>& runs) const {
    const bool open = geometry.getShape() == CpuPairGeometry::Open;
    const bool wraps = !open && 2 * range < geometry.getWidth(2);
    const int64_t centre[2] = {static_cast<int64_t>(columns[column].key >> CellBits),
                               static_cast<int64_t>(columns[column].key & ((1 << CellBits) - 1))};
    // Per axis the cells within reach, as up to two intervals inside the box.
    int64_t intervals[2][2][2];
    int numIntervals[2];
    for (int k = 0; k < 2; k++) {
        const int64_t n = numCells[k], low = centre[k] - 1, high = centre[k] + 1;
        int count = 0;
        auto add = [&](int64_t from, int64_t to) {
            intervals[k][count][0] = from;
            intervals[k][count++][1] = to;
        };
        if (!open && n <= 3)
            add(0, n - 1);
        else {
            add(max<int64_t>(low, 0), min(high, n - 1));
            if (!open && low < 0)
                add(low + n, n - 1);
            if (!open && high >= n)
                add(0, high - n);
        }
        numIntervals[k] = count;
    }
    runs.clear();
    for (int ix = 0; ix < numIntervals[0]; ix++)
        for (int64_t x = intervals[0][ix][0]; x <= intervals[0][ix][1]; x++)
            for (int iy = 0; iy < numIntervals[1]; iy++) {
                const uint64_t row = static_cast<uint64_t>(x) << CellBits;
                auto it = lower_bound(columns.begin() + column, columns.end() - 1, row | intervals[1][iy][0],
                                      [](const Column& c, uint64_t key) { return c.key < key; });
                for (; it->key <= (row | intervals[1][iy][1]); ++it) {
                    const int begin = it->begin, end = (it + 1)->begin;
                    runs.push_back(Run{begin, end, 0, begin, begin});
                    if (wraps) {
                        runs.push_back(Run{begin, end, 1 << HeightBits, begin, begin});
                        runs.push_back(Run{begin, end, -(1 << HeightBits), begin, begin});
                    }
                }
            }
}

void CpuPairList::findPartners(int begin, int end, vector<int>& entries) {
    const bool open = geometry.getShape() == CpuPairGeometry::Open;
    const bool wholeColumns = !open && 2 * range >= geometry.getWidth(2);
    const int window = wholeColumns ? 1 << HeightBits : static_cast<int>(range / heightUnit) + 2;
    vector<Run> runs;
    vector<int> mark(selection.exclusions.empty() ? 0 : numParticles, -1);
    size_t used = 0;
    auto later = [](int i, const Column& c) { return i < c.begin; };
    for (int i = begin, column = -1; i < end; i++) {
        if (column < 0 || i == columns[column + 1].begin) {
            column = upper_bound(columns.begin(), columns.end(), i, later) - columns.begin() - 1;
            findRuns(column, runs);
        }
        const int lowest = heights[i] - window, highest = heights[i] + window;
        int count = 0;
        for (Run& run : runs) {
            while (run.first < run.end && heights[run.first] + run.shift < lowest)
                run.first++;
            while (run.last < run.end && heights[run.last] + run.shift <= highest)
                run.last++;
            const int first = max(run.first, i + 1);
            if (first >= run.last)
                continue;
            const size_t needed = used + count + (run.last - first) + CpuPairLoops::MaxLanes;
            if (entries.size() < needed)
                entries.resize(max(needed, entries.size() + entries.size() / 2));
            count += findWithinRange(i, first, run.last, &entries[used + count]);
        }
        numPartners[i] = keepSelected(i, entries.data() + used, count, mark);
        used += numPartners[i];
    }
    const int* next = entries.data();
    for (int i = begin; i < end; i++) {
        partners[i] = next;
        next += numPartners[i];
    }
}

int CpuPairList::findWithinRange(int sorted, int begin, int end, int* entries) const {
    int count = 0;
    if (!geometry.brickShowsAllWithin(range))
        for (int j = begin; j < end; j++) {
            entries[count] = 4 * j;
            count += geometry.findShortestSquare(builtAt[sorted] - builtAt[j]) < range * range;
        }
    else
        count = loops.findWithin(gridScale, gridX.data(), gridY.data(), gridZ.data(), sorted, begin, end, entries);
    return count;
}

int CpuPairList::keepSelected(int sorted, int* entries, int count, vector<int>& mark) const {
    const int i = order[sorted];
    if (!selection.exclusions.empty() && !selection.exclusions[i].empty()) {
        for (int j : selection.exclusions[i])
            mark[j] = i;
        count = remove_if(entries, entries + count, [&](int entry) { return mark[order[entry / 4]] == i; }) - entries;
    }
    if (!selection.inSet1.empty())
        count = remove_if(entries, entries + count, [&](int entry) {
                    const int j = order[entry / 4];
                    return ((selection.inSet1[i] & selection.inSet2[j]) | (selection.inSet2[i] & selection.inSet1[j])) == 0;
                }) - entries;
    return count;
}

void CpuPairList::shareOut(int numThreads) {
    const int perParticle = 8; // what a particle costs beside its pairs, in pairs
    long long total = 0, passed = 0;
    for (int i = 0; i < numParticles; i++)
        total += numPartners[i] + perParticle;
    shares.assign(1, 0);
    for (int i = 0; i < numParticles; i++) {
        while (static_cast<long long>(shares.size()) * total <= passed * numThreads)
            shares.push_back(i);
        passed += numPartners[i] + perParticle;
    }
    shares.resize(numThreads + 1, numParticles);
}

} // namespace OpenMMGrad
