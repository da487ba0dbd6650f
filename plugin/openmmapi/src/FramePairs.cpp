// SPDX-License-Identifier: MIT
#include "FramePairs.h"
#include "CpuPairLoops.h"
#include "analysis/AtomCells.h"
#include "analysis/FrameThreads.h"
#include "openmm/OpenMMException.h"
#include "openmm/internal/ThreadPool.h"
#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <mutex>
#include <sstream>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

template <class... Parts> void check(bool condition, const Parts&... parts) {
    if (condition)
        return;
    stringstream message;
    message << "FramePairs: ";
    (void)initializer_list<int>{(message << parts, 0)...};
    throw OpenMMException(message.str());
}

/** A box given as nine numbers, by vectors of the same lattice with little skew. */
CpuPairGeometry describeBox(const double* box, double reach) {
    Vec3 v[3];
    for (int k = 0; k < 9; k++)
        v[k / 3][k % 3] = box[k];
    check(v[0][1] == 0 && v[0][2] == 0 && v[1][2] == 0,
          "box vectors with a along x and b in the xy plane were expected, found a = ", v[0], " nm and b = ", v[1],
          " nm. Turn the frames.");
    const double shortest = min({v[0][0], v[1][1], v[2][2]});
    check(shortest > 0 && isfinite(v[0][0] + v[1].dot(v[1]) + v[2].dot(v[2])),
          "finite box vectors of positive volume were expected, found ", v[0], ", ", v[1], ", ", v[2], " nm.");
    check(2 * reach <= shortest * (1 + 1e-6), "distances up to ", reach,
          " nm must not exceed half the smallest box width (", shortest / 2,
          " nm). Use a larger box or look less far.");
    v[2] -= v[1] * round(v[2][1] / v[1][1]);
    v[2] -= v[0] * round(v[2][0] / v[0][0]);
    v[1] -= v[0] * round(v[1][0] / v[0][0]);
    CpuPairGeometry geometry(true, reach);
    geometry.setVectors(v);
    return geometry;
}

double findDistance(const CpuPairGeometry& geometry, const double* positions, int i, int j) {
    const double *p = positions + 3 * static_cast<size_t>(i), *q = positions + 3 * static_cast<size_t>(j);
    const Vec3 d(p[0] - q[0], p[1] - q[1], p[2] - q[2]);
    const Vec3 image = geometry.getShape() == CpuPairGeometry::Rectangular
                           ? geometry.findImage<CpuPairGeometry::Rectangular>(d)
                           : geometry.findImage<CpuPairGeometry::Triclinic>(d);
    return sqrt(image.dot(image));
}

/** Goes through a frame's atoms of one group, each with the ranges of another group, or of its own beyond it. */
class FrameVisitor {
public:
    /** @return false for coordinates that are not finite */
    bool sort(const CpuPairGeometry& geometry, double reach, const double* positions, const vector<int>& atoms,
              const vector<int>& partners) {
        within = &atoms == &partners;
        grid.reset(new CellGrid(geometry, partners.size(), reach));
        return second.sort(geometry, *grid, positions, partners) &&
               (within || first.sort(geometry, *grid, positions, atoms));
    }
    const AtomCells& getAtoms() const { return within ? second : first; }
    const AtomCells& getPartners() const { return second; }
    /** Calls visit(place, ranges, number of ranges) with at most MaxPartners in the ranges; every step-th cell. */
    template <class Visit> void visit(int firstCell, int step, Visit visit) {
        const AtomCells& atoms = getAtoms();
        for (int cell = firstCell; cell < grid->getNumCells(); cell += step) {
            if (atoms.starts[cell] == atoms.starts[cell + 1])
                continue;
            grid->findRanges(cell, second.starts, ranges);
            limited.resize(ranges.size() + 1);
            for (int i = atoms.starts[cell]; i < atoms.starts[cell + 1]; i++) {
                int count = 0, room = MaxPartners;
                for (const CpuRange& range : ranges) {
                    int begin = within ? max(range.begin, i + 1) : range.begin;
                    while (begin < range.end) {
                        const int end = min(range.end, begin + room);
                        limited[count].begin = begin;
                        limited[count++].end = end;
                        room -= end - begin;
                        begin = end;
                        if (room == 0) {
                            visit(i, limited.data(), count);
                            count = 0;
                            room = MaxPartners;
                        }
                    }
                }
                if (count > 0)
                    visit(i, limited.data(), count);
            }
        }
    }
    static const int MaxPartners = 2048;

private:
    bool within;
    unique_ptr<CellGrid> grid;
    AtomCells first, second;
    vector<CpuRange> ranges, limited;
};

/** One thread's histogram. */
class Histogram {
public:
    Histogram(const vector<double>& edges, const CpuPairLoops& loops)
        : edges(edges), numBins(edges.size() - 1), loops(loops), stride(numBins + 16), tables(NumTables * stride),
          bins(FrameVisitor::MaxPartners + CpuPairLoops::MaxLanes), doubtful(bins.size()), pending(0),
          counts(numBins) {}

    bool add(const CpuPairGeometry& geometry, const double* positions, const vector<int>& atoms,
             const vector<int>& partners, int part, int numParts) {
        if (!visitor.sort(geometry, edges.back(), positions, atoms, partners))
            return false;
        const double width = (edges.back() - edges[0]) / numBins;
        const float start = static_cast<float>(edges[0] / width);
        // Rounding: of the sum of squares and its root to 8 units in the last place; of the grid, and in a skewed box
        // of shifts along its vectors, in units of the longest.
        const double longest = max({geometry.getVector(0)[0], geometry.getVector(1)[1], geometry.getVector(2)[2]});
        const bool skewed = geometry.getShape() == CpuPairGeometry::Triclinic;
        const double doubt = 8 * 6e-8 * (start + numBins) + (skewed ? 5e-7 : 2e-9) * longest / width;
        const CpuDistanceBins single = {CpuGridScale(geometry, 1 / width), start, static_cast<float>(numBins),
                                        static_cast<float>(doubt)};
        visitor.visit(part, numParts, [&](int i, const CpuRange* ranges, int numRanges) {
            const AtomCells& all = visitor.getAtoms();
            const int32_t point[3] = {all.x[i], all.y[i], all.z[i]};
            CpuBinnedPartners found = {bins.data(), doubtful.data(), 0, 0};
            const AtomCells& partners = visitor.getPartners();
            loops.binDistances(single, partners.x.data(), partners.y.data(), partners.z.data(), point, ranges,
                               numRanges, found);
            addToTables(found.numBins);
            for (int n = 0; n < found.numDoubtful; n++)
                addExactly(findDistance(geometry, positions, all.atoms[i], partners.atoms[doubtful[n]]));
        });
        return true;
    }
    const vector<int64_t>& collect() {
        for (int n = 0; n < NumTables; n++)
            for (int k = 0; k < numBins; k++)
                counts[k] += tables[n * stride + k];
        fill(tables.begin(), tables.end(), 0);
        pending = 0;
        return counts;
    }
    void clear() { fill(counts.begin(), counts.end(), 0); }

private:
    /** Neighbouring entries go into different tables: two additions to one place would wait for each other. */
    void addToTables(int count) {
        uint32_t* table = tables.data();
        int n = 0;
        for (; n + NumTables <= count; n += NumTables) {
            table[bins[n]]++;
            table[bins[n + 1] + stride]++;
            table[bins[n + 2] + 2 * stride]++;
            table[bins[n + 3] + 3 * stride]++;
        }
        for (; n < count; n++)
            table[bins[n]]++;
        pending += count;
        if (pending > (1u << 31))
            collect();
    }
    void addExactly(double r) {
        if (!(r >= edges[0] && r < edges[numBins]))
            return;
        int k = min(static_cast<int>((r - edges[0]) / (edges[numBins] - edges[0]) * numBins), numBins - 1);
        while (r < edges[k])
            k--;
        while (r >= edges[k + 1])
            k++;
        counts[k]++;
    }

    enum { NumTables = 4 };
    const vector<double>& edges;
    const int numBins;
    const CpuPairLoops& loops;
    const int stride;
    vector<uint32_t> tables;
    vector<int32_t> bins, doubtful;
    uint32_t pending;
    vector<int64_t> counts;
    FrameVisitor visitor;
};

} // namespace

FramePairs::FramePairs(const vector<int>& a, const vector<int>& b) : numAtomsNeeded(0) {
    vector<int> sortedA = a, sortedB = b;
    for (vector<int>* atoms : {&sortedA, &sortedB}) {
        sort(atoms->begin(), atoms->end());
        check(adjacent_find(atoms->begin(), atoms->end()) == atoms->end(), "atoms of a selection must be distinct.");
        check(atoms->empty() || atoms->front() >= 0, "atoms count from 0.");
        if (!atoms->empty())
            numAtomsNeeded = max(numAtomsNeeded, atoms->back() + 1);
    }
    set_intersection(sortedA.begin(), sortedA.end(), sortedB.begin(), sortedB.end(), back_inserter(common));
    set_difference(sortedA.begin(), sortedA.end(), sortedB.begin(), sortedB.end(), back_inserter(onlyA));
    set_difference(sortedB.begin(), sortedB.end(), sortedA.begin(), sortedA.end(), back_inserter(onlyB));
}

void FramePairs::checkAtoms(int numAtoms) const {
    check(numAtomsNeeded <= numAtoms, "frames of at least ", numAtomsNeeded, " atoms were expected, found ", numAtoms,
          ". Select atoms that are there.");
}

vector<FramePairs::Pairing> FramePairs::getPairings() const {
    vector<Pairing> pairings = {{&common, &common}};
    for (const Pairing& p : {Pairing{&onlyA, &onlyB}, Pairing{&onlyA, &common}, Pairing{&onlyB, &common}})
        pairings.push_back(p.first->size() <= p.second->size() ? p : Pairing{p.second, p.first});
    pairings.erase(remove_if(pairings.begin(), pairings.end(), [](const Pairing& p) { return p.first->empty(); }),
                   pairings.end());
    return pairings;
}

void FramePairs::countDistances(const double* positions, const double* boxes, int numFrames, int numAtoms,
                                const vector<double>& edges, int numThreads, double* counts) const {
    checkAtoms(numAtoms);
    check(edges.size() >= 2 && edges.front() >= 0 && is_sorted(edges.begin(), edges.end()),
          "increasing edges of bins from 0 or more were expected.");
    vector<CpuPairGeometry> geometries;
    for (int s = 0; s < numFrames; s++)
        geometries.push_back(describeBox(boxes + 9 * s, edges.back()));
    const int numBins = edges.size() - 1;
    fill(counts, counts + static_cast<size_t>(numFrames) * numBins, 0.0);
    // A thread that takes part of a frame sorts all its atoms: worth while for many only.
    const FrameShares shares(numFrames, numThreads, 1 + numAtoms / 1000);
    ThreadPool threads(shares.threads);
    const int numJobs = shares.whole + (numFrames - shares.whole) * shares.parts;
    const vector<Pairing> pairings = getPairings();
    const CpuPairLoops& loops = CpuPairLoops::choose();
    atomic<int> nextJob(0), badFrame(-1);
    mutex lock;
    threads.execute([&](ThreadPool&, int) {
        Histogram histogram(edges, loops);
        for (int job = nextJob++; job < numJobs; job = nextJob++) {
            const bool isWhole = job < shares.whole;
            const int frame = isWhole ? job : shares.whole + (job - shares.whole) / shares.parts;
            const int numParts = isWhole ? 1 : shares.parts, part = isWhole ? 0 : (job - shares.whole) % shares.parts;
            histogram.clear();
            for (const Pairing& pairing : pairings)
                if (!histogram.add(geometries[frame], positions + static_cast<size_t>(frame) * 3 * numAtoms,
                                   *pairing.first, *pairing.second, part, numParts))
                    badFrame = frame;
            const vector<int64_t>& found = histogram.collect();
            lock_guard<mutex> guard(lock);
            for (int k = 0; k < numBins; k++)
                counts[static_cast<size_t>(frame) * numBins + k] += found[k];
        }
    });
    threads.waitForThreads();
    check(badFrame < 0, "coordinates must be finite and within 1e8 nm, found others in frame ", badFrame.load(),
          ". Check the positions.");
}

void FramePairs::findWithin(const double* positions, const double* box, int numAtoms, double distance,
                            vector<int>& pairs, vector<double>& distances) const {
    checkAtoms(numAtoms);
    pairs.clear();
    distances.clear();
    const CpuPairGeometry geometry = describeBox(box, distance);
    // One bin up to the distance, and a little beyond, of which no distance is sure.
    const double longest = max({geometry.getVector(0)[0], geometry.getVector(1)[1], geometry.getVector(2)[2]});
    const double margin = 1e-6 + 5e-7 * longest / distance, doubt = 0.6;
    const CpuDistanceBins all = {CpuGridScale(geometry, 1 / distance), 0.0f, static_cast<float>(1 + margin - doubt),
                            static_cast<float>(doubt)};
    const CpuPairLoops& loops = CpuPairLoops::choose();
    FrameVisitor visitor;
    vector<int32_t> bins(FrameVisitor::MaxPartners + CpuPairLoops::MaxLanes), places(bins.size());
    for (const Pairing& pairing : getPairings()) {
        check(visitor.sort(geometry, distance, positions, *pairing.first, *pairing.second),
              "coordinates must be finite and within 1e8 nm, found others. Check the positions.");
        const AtomCells &atoms = visitor.getAtoms(), &partners = visitor.getPartners();
        visitor.visit(0, 1, [&](int i, const CpuRange* ranges, int numRanges) {
            const int32_t point[3] = {atoms.x[i], atoms.y[i], atoms.z[i]};
            CpuBinnedPartners found = {bins.data(), places.data(), 0, 0};
            loops.binDistances(all, partners.x.data(), partners.y.data(), partners.z.data(), point, ranges, numRanges,
                               found);
            for (int n = 0; n < found.numDoubtful; n++) {
                const int j = partners.atoms[places[n]];
                const double r = findDistance(geometry, positions, atoms.atoms[i], j);
                if (r < distance) {
                    pairs.push_back(atoms.atoms[i]);
                    pairs.push_back(j);
                    distances.push_back(r);
                }
            }
        });
    }
}

} // namespace OpenMMGrad
