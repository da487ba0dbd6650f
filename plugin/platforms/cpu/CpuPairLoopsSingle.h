// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUPAIRLOOPSSINGLE_H_
#define OPENMMGRAD_CPUPAIRLOOPSSINGLE_H_

// The loops on the grid and in single precision, over the vectors of one CpuVectors*.h: include that first.

#include "CpuPairList.h"
#include "CpuPairLoops.h"

namespace OpenMMGrad {

namespace {

struct Displacements {
    Floats x, y, z;
};

SIMD_INLINE Floats findSquare(const Displacements& d) { return fma(d.x, d.x, fma(d.y, d.y, d.z * d.z)); }

/** Brick images of differences on the grid, as in CpuGridScale::findSquare(). */
template <bool triclinic> SIMD_INLINE Displacements findImages(const CpuGridScale& scale, Ints gx, Ints gy, Ints gz) {
    const Floats z = toFloats(gz);
    if (triclinic) {
        const Floats zInY = z * Floats(scale.zy);
        gy = gy + roundToInts(zInY);
        const Floats alongB = toFloats(gy) - zInY;
        gx = gx + roundToInts(alongB * Floats(scale.yx));
        gx = gx + roundToInts(z * Floats(scale.zx));
    }
    return Displacements{toFloats(gx) * Floats(scale.x), toFloats(gy) * Floats(scale.y), z * Floats(scale.z)};
}

template <bool triclinic>
SIMD int findOnGrid(const CpuGridScale& scale, const int32_t* x, const int32_t* y, const int32_t* z, int i, int begin,
                    int end, int* entries) {
    const Ints xi(x[i]), yi(y[i]), zi(z[i]);
    int count = 0;
    for (int j = begin; j < end; j += Floats::Size) {
        const Displacements d = findImages<triclinic>(scale, xi - Ints::load(x + j), yi - Ints::load(y + j),
                                                      zi - Ints::load(z + j));
        const FloatPacker packer(both(less(findSquare(d), Floats(1.0f)), firstFloats(end - j)));
        packer.store(timesFour(Ints(j) + countUp()), entries + count);
        count += packer.count;
    }
    return count;
}

SIMD int findWithin(const CpuGridScale& scale, const int32_t* x, const int32_t* y, const int32_t* z, int i, int begin,
                    int end, int* entries) {
    return scale.triclinic ? findOnGrid<true>(scale, x, y, z, i, begin, end, entries)
                           : findOnGrid<false>(scale, x, y, z, i, begin, end, entries);
}

/** Forces from rows in memory, one per slot. */
struct RowTable {
    const float* rows;
    SIMD_INLINE RowTable(const CpuSplineTable& table) : rows(table.forces) {}
    /** -u'(r) */
    SIMD_INLINE Floats find(const int* slots, Floats t) const {
        Floats p[4];
        gatherRows(rows, slots, p);
        return fma(t, fma(t, p[2], p[1]), p[0]);
    }
};

/** As PackedPairs in double precision. */
struct PackedOnGrid {
    static const int Size = 256, Room = Size + Floats::Size;
    alignas(64) float x[Room], y[Room], z[Room]; // displacements, then forces
    alignas(64) float inverseR[Room], t[Room];
    alignas(64) int slots[Room];    // the first of the pair of types, then four times that of the pair
    alignas(64) int partners[Room]; // where they stand
    int particles[Size], ends[Size]; // pairs ends[s - 1] <= k < ends[s] are those of particles[s]
    int count, numParticles;
};

/** Pack as many pairs as there is room for, from partner n of particle i on: both are moved on. */
template <bool triclinic, bool oneType>
SIMD_INLINE void packOnGrid(const CpuPairList& list, const CpuSplineTable& splines, const CpuGridScale& scale,
                           const int32_t* grid, int& i, int& n, int end, PackedOnGrid& packed) {
    const Floats cutoffSquare(static_cast<float>(splines.numIntervals) * splines.numIntervals);
    int count = 0, particles = 0;
    for (; i < end && particles < PackedOnGrid::Size; i++, n = 0) {
        const int* partners = list.getPartners(i);
        const int numPartners = list.getNumPartners(i);
        const FewSlots slotsOfI(splines.slots + grid[4 * i + 3] * splines.numTypes, splines.numTypes);
        const Ints xi(grid[4 * i]), yi(grid[4 * i + 1]), zi(grid[4 * i + 2]);
        for (; n < numPartners && count <= PackedOnGrid::Size - Floats::Size; n += Floats::Size) {
            Ints xj[4];
            gatherRows(grid, partners + n, xj);
            const Displacements d = findImages<triclinic>(scale, xi - xj[0], yi - xj[1], zi - xj[2]);
            // Two particles in the same place have no direction, hence no force.
            const Floats square = findSquare(d);
            const FloatMask interact = both(less(square, cutoffSquare), less(Floats(0.0f), square));
            const FloatPacker packer(both(interact, firstFloats(numPartners - n)));
            packer.store(d.x, packed.x + count);
            packer.store(d.y, packed.y + count);
            packer.store(d.z, packed.z + count);
            packer.store(Ints::load(partners + n), packed.partners + count);
            if (!oneType)
                packer.store(slotsOfI.find(xj[3]), packed.slots + count);
            count += packer.count;
        }
        packed.particles[particles] = i;
        packed.ends[particles++] = count;
        if (n < numPartners)
            break;
    }
    packed.count = count;
    packed.numParticles = particles;
    // The last vector may hold fewer pairs: others of its lanes see nothing, at places that exist.
    Floats(0.0f).store(packed.x + count);
    Floats(0.0f).store(packed.y + count);
    Floats(0.0f).store(packed.z + count);
    Ints::load(packed.partners).store(packed.partners + count);
    Ints(0).store(packed.slots + count);
}

/** Where packed pairs stand in the table. */
template <bool oneType> SIMD_INLINE void findPlacesOnGrid(const CpuSplineTable& splines, PackedOnGrid& packed) {
    const Ints lastInterval(splines.numIntervals - 1);
    for (int k = 0; k < packed.count; k += Floats::Size) {
        const Displacements d = {Floats::load(packed.x + k), Floats::load(packed.y + k), Floats::load(packed.z + k)};
        Floats r, inverseR;
        findRoot(findSquare(d), r, inverseR);
        const Ints interval = min(truncate(r), lastInterval);
        const Floats t = r - toFloats(interval);
        t.store(packed.t + k);
        inverseR.store(packed.inverseR + k);
        timesFour(oneType ? interval : Ints::load(packed.slots + k) + interval).store(packed.slots + k);
    }
}

/** A vector on i and its opposite on j: the former in place of the displacement. */
SIMD_INLINE void exchange(PackedOnGrid& packed, int k, const Displacements& onI, float* vectors) {
    onI.x.store(packed.x + k);
    onI.y.store(packed.y + k);
    onI.z.store(packed.z + k);
    subtractRows(vectors, packed.partners + k, onI.x, onI.y, onI.z);
}

/** What was exchanged, on the particles i. */
SIMD_INLINE void addOwn(const PackedOnGrid& packed, float* vectors) {
    for (int s = 0, k = 0; s < packed.numParticles; s++) {
        Displacements onI = {Floats(0.0f), Floats(0.0f), Floats(0.0f)};
        for (; k < packed.ends[s]; k += Floats::Size) {
            const FloatMask own = firstFloats(packed.ends[s] - k);
            onI.x = onI.x + only(own, Floats::load(packed.x + k));
            onI.y = onI.y + only(own, Floats::load(packed.y + k));
            onI.z = onI.z + only(own, Floats::load(packed.z + k));
        }
        k = packed.ends[s];
        addSums(vectors + 4 * packed.particles[s], onI.x, onI.y, onI.z);
    }
}

template <bool triclinic, bool oneType, class Table>
SIMD void addForcesOnGrid(const CpuPairList& list, const CpuSplineTable& splines, const Table& table,
                          const int32_t* grid, int begin, int end, float* forces) {
    // Lengths in intervals of the spline.
    const CpuGridScale scale(list.getGeometry(), splines.inverseWidth);
    PackedOnGrid packed = {}; // valid also in lanes that hold no pair
    for (int i = begin, n = 0; i < end;) {
        packOnGrid<triclinic, oneType>(list, splines, scale, grid, i, n, end, packed);
        findPlacesOnGrid<oneType>(splines, packed);
        for (int k = 0; k < packed.count; k += Floats::Size) {
            const Floats overR = table.find(packed.slots + k, Floats::load(packed.t + k)) * Floats::load(packed.inverseR + k);
            exchange(packed, k, Displacements{Floats::load(packed.x + k) * overR, Floats::load(packed.y + k) * overR,
                                              Floats::load(packed.z + k) * overR}, forces);
        }
        addOwn(packed, forces);
    }
}

template <bool triclinic>
SIMD void addForcesOnGrid(const CpuPairList& list, const CpuSplineTable& splines, const int32_t* grid, int begin, int end,
                          float* forces) {
    if (splines.numTypes > 1)
        addForcesOnGrid<triclinic, false>(list, splines, RowTable(splines), grid, begin, end, forces);
    else if (RegisterTable::Exists && RegisterTable::fits(splines.numIntervals))
        addForcesOnGrid<triclinic, true>(list, splines, RegisterTable(splines.forces, splines.numIntervals), grid, begin,
                                         end, forces);
    else
        addForcesOnGrid<triclinic, true>(list, splines, RowTable(splines), grid, begin, end, forces);
}

SIMD void addForcesInSingle(const CpuPairList& list, const CpuSplineTable& splines, const int32_t* grid, int begin,
                            int end, float* forces) {
    if (list.getGeometry().getShape() == CpuPairGeometry::Triclinic)
        addForcesOnGrid<true>(list, splines, grid, begin, end, forces);
    else
        addForcesOnGrid<false>(list, splines, grid, begin, end, forces);
}

} // namespace
} // namespace OpenMMGrad

#endif
