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
    SIMD_INLINE Floats find(Ints slot, Floats t) const {
        alignas(64) int offsets[Floats::Size];
        timesFour(slot).store(offsets);
        Floats p[4];
        gatherRows(rows, offsets, p);
        return fma(t, fma(t, p[2], p[1]), p[0]);
    }
};

/** Partners of one particle that are within the cutoff, one after the other; with room for a last vector. */
struct WithinOnGrid {
    static const int Size = 64, Room = Size + Floats::Size;
    alignas(64) float x[Room], y[Room], z[Room];
    alignas(64) int types[Room], partners[Room];
};

template <bool triclinic, bool oneType, class Table>
SIMD void addForcesOnGrid(const CpuPairList& list, const CpuSplineTable& splines, const Table& table,
                          const int32_t* grid, int begin, int end, float* forces) {
    // Lengths in intervals of the spline.
    const CpuGridScale scale(list.getGeometry(), splines.inverseWidth);
    const Floats cutoffSquare(static_cast<float>(splines.numIntervals) * splines.numIntervals);
    const Ints lastInterval(splines.numIntervals - 1);
    const int numTypes = splines.numTypes;
    WithinOnGrid w = {}; // finite also in lanes that hold no pair
    for (int i = begin; i < end; i++) {
        const int* partners = list.getPartners(i);
        const int numPartners = list.getNumPartners(i);
        const FewSlots slotsOfI(splines.slots + grid[4 * i + 3] * numTypes, numTypes);
        const Ints xi(grid[4 * i]), yi(grid[4 * i + 1]), zi(grid[4 * i + 2]);
        Displacements onI = {Floats(0.0f), Floats(0.0f), Floats(0.0f)};
        for (int n = 0; n < numPartners;) {
            int count = 0;
            for (; n < numPartners && count <= WithinOnGrid::Size - Floats::Size; n += Floats::Size) {
                Ints xj[4];
                gatherRows(grid, partners + n, xj);
                const Displacements d = findImages<triclinic>(scale, xi - xj[0], yi - xj[1], zi - xj[2]);
                // Two particles in the same place have no direction, hence no force.
                const Floats square = findSquare(d);
                const FloatMask interact = both(less(square, cutoffSquare), less(Floats(0.0f), square));
                const FloatPacker packer(both(interact, firstFloats(numPartners - n)));
                packer.store(d.x, w.x + count);
                packer.store(d.y, w.y + count);
                packer.store(d.z, w.z + count);
                packer.store(Ints::load(partners + n), w.partners + count);
                if (!oneType)
                    packer.store(xj[3], w.types + count);
                count += packer.count;
            }
            for (int k = count; k % Floats::Size != 0; k++)
                w.partners[k] = w.partners[0];
            for (int k = 0; k < count; k += Floats::Size) {
                const Displacements d = {Floats::load(w.x + k), Floats::load(w.y + k), Floats::load(w.z + k)};
                Floats r, inverseR;
                findRoot(findSquare(d), r, inverseR);
                const Ints interval = min(truncate(r), lastInterval);
                const Ints slot = oneType ? interval : slotsOfI.find(Ints::load(w.types + k)) + interval;
                const Floats force = table.find(slot, r - toFloats(interval));
                const Floats overR = only(firstFloats(count - k), force * inverseR);
                const Displacements g = {d.x * overR, d.y * overR, d.z * overR};
                onI.x = onI.x + g.x;
                onI.y = onI.y + g.y;
                onI.z = onI.z + g.z;
                subtractRows(forces, w.partners + k, g.x, g.y, g.z);
            }
        }
        forces[4 * i] += sum(onI.x);
        forces[4 * i + 1] += sum(onI.y);
        forces[4 * i + 2] += sum(onI.z);
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
