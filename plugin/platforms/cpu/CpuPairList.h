// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUPAIRLIST_H_
#define OPENMMGRAD_CPUPAIRLIST_H_

#include "CpuBarrier.h"
#include "CpuPairGeometry.h"
#include "CpuPairLoops.h"
#include "openmm/Vec3.h"
#include "openmm/internal/ThreadPool.h"
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace OpenMMGrad {

/** Which pairs may interact, whatever their distance. */
struct PairSelection {
    /** exclusions[i]: the particles that i does not interact with. */
    std::vector<std::vector<int> > exclusions;
    /** Bit g is set where interaction group g holds the particle in its first or second set; empty without groups. */
    std::vector<uint64_t> inSet1, inSet2;
};

/** Ask for memory that is read or written soon. */
inline void prefetch(const void* address) {
#if defined(__GNUC__)
    __builtin_prefetch(address);
#else
    (void) address;
#endif
}

/** The squares of the two largest displacements among some particles, in nm^2. */
struct LargestTwo {
    double first = 0, second = 0;
    void include(double square) {
        if (square > second) {
            second = square > first ? first : square;
            first = square > first ? square : first;
        }
    }
};

/**
 * A Verlet list of pairs closer than cutoff + padding, each pair once.
 *
 * No pair within the cutoff is ever missed: the list must be rebuilt as soon as the two largest displacements since
 * the last build add up to more than the padding (two particles can then have approached by more than the padding), and
 * when the box changes. Displacements are plain differences of coordinates: a particle put back into the box by a
 * whole box vector costs a rebuild, never a pair.
 *
 * Particles are sorted by columns of the box, at least as wide as the range, and by height within a column, so that
 * neighbours are close in memory.
 * A "sorted index" is a position in that order.
 */
class CpuPairList {
public:
    CpuPairList(int numParticles, double cutoff, double padding, bool periodic, const PairSelection& selection,
                const CpuPairLoops& loops);

    int getNumParticles() const { return numParticles; }
    double getCutoff() const { return cutoff; }
    const CpuPairGeometry& getGeometry() const { return geometry; }
    /** The particle at a sorted index. */
    int getParticle(int sorted) const { return order[sorted]; }
    /** Four times the sorted indices of a particle's partners: where they stand in arrays of shape [N][4]. */
    const int* getPartners(int sorted) const { return partners[sorted]; }
    int getNumPartners(int sorted) const { return numPartners[sorted]; }
    /** Thread t works on sorted indices getShare(t) <= i < getShare(t+1): about equal numbers of pairs. */
    int getShare(int thread) const { return shares[thread]; }
    /** Changes with every build. */
    long long getVersion() const { return version; }
    /** Bytes taken by the pairs. */
    long long getMemory() const;

    /** Whether the list was built, for this box. */
    bool isFor(const OpenMM::Vec3* boxVectors) const { return complete && geometry.hasVectors(boxVectors); }
    /** Squared distance (nm^2) from where the particle at a sorted index was at the last build; infinite for a NaN. */
    double getDisplacementSquare(int sorted, const OpenMM::Vec3& x) const {
        const OpenMM::Vec3 d = x - builtAt[sorted];
        const double square = d.dot(d), infinity = std::numeric_limits<double>::infinity();
        return square < infinity ? square : infinity;
    }
    /** Whether every pair within the cutoff is sure to be listed. */
    bool isSafe(const LargestTwo& displacements) const {
        return std::sqrt(displacements.first) + std::sqrt(displacements.second) <= padding;
    }
    /** @throw OpenMMException if a coordinate is not finite or beyond 1e8 nm */
    void build(const std::vector<OpenMM::Vec3>& positions, const OpenMM::Vec3* boxVectors, OpenMM::ThreadPool& threads);

private:
    struct Place {
        uint64_t key; // column, then height
        int particle;
    };
    /** Particles with begin <= sorted index < the next column's begin; the key grows with x, then with y. */
    struct Column {
        uint64_t key;
        int begin;
    };
    /** Sorted indices begin <= j < end seen through a vertical shift; first and last bound those within range. */
    struct Run {
        int begin, end;
        int shift;
        int first, last;
    };
    /** What one thread does of a build: its part of the particles, then of the sorted places. */
    struct Part {
        int begin, end;
        int lost; // the first particle whose coordinates are out of bounds, or -1
        int counts[256];
        const Place* sorted;
        std::vector<Column> columns;
    };
    [[noreturn]] static void throwLost(const OpenMM::Vec3& x, int particle);
    void describeColumns();
    void findPlaces(const std::vector<OpenMM::Vec3>& positions, Part& part);
    void sortPlaces(int thread, CpuBarrier& barrier);
    void orderParticles(const std::vector<OpenMM::Vec3>& positions, Part& part);
    void joinColumns();
    void findRuns(int column, std::vector<Run>& runs) const;
    void findPartners(int begin, int end, std::vector<int>& entries);
    int findWithinRange(int sorted, int begin, int end, int* entries) const;
    int keepSelected(int sorted, int* entries, int count, std::vector<int>& mark) const;
    void shareOut(int numThreads);

    int numParticles;
    double cutoff, padding, range;
    PairSelection selection;
    CpuPairGeometry geometry;
    const CpuPairLoops& loops;
    CpuGridScale gridScale; // in units of the range
    bool complete;
    long long version;

    std::vector<int> order, numPartners, shares;
    std::vector<const int*> partners;
    std::vector<std::vector<int> > storage; // one per thread
    std::vector<OpenMM::Vec3> builtAt;
    std::vector<Column> columns;
    std::vector<Place> places, sortedPlaces;
    std::vector<Part> parts;
    std::vector<int> heights;
    std::vector<int32_t> gridX, gridY, gridZ;
    int numCells[2];
    double heightUnit;
};

} // namespace OpenMMGrad

#endif
