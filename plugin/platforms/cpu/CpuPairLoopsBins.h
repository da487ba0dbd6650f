// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUPAIRLOOPSBINS_H_
#define OPENMMGRAD_CPUPAIRLOOPSBINS_H_

// The loop that sorts distances into bins, over the vectors of one CpuVectors*.h: include that first.

#include "CpuPairLoopsSingle.h"
#include <cmath>

namespace OpenMMGrad {

namespace {

template <bool triclinic>
SIMD void binOnGrid(const CpuDistanceBins& bins, const int32_t* x, const int32_t* y, const int32_t* z,
                    const int32_t point[3], const CpuRange* ranges, int numRanges, CpuBinnedPartners& found) {
    const CpuGridScale scale = bins.scale;
    const Ints xi(point[0]), yi(point[1]), zi(point[2]);
    const Floats start(bins.start), below(-bins.doubt), above(bins.count + bins.doubt);
    const float square = bins.doubt * bins.doubt;
    const Floats doubt(square), next(std::nextafter(square, 2 * square)); // less than the next is at most this
    int *sure = found.bins, *doubtful = found.doubtful;
    for (int n = 0; n < numRanges; n++)
        for (int j = ranges[n].begin; j < ranges[n].end; j += Floats::Size) {
            const Displacements d = findImages<triclinic>(scale, xi - Ints::load(x + j), yi - Ints::load(y + j),
                                                          zi - Ints::load(z + j));
            Floats r, inverse;
            findRoot(findSquare(d), r, inverse);
            const Floats place = r - start;
            const FloatMask inside = both(both(less(below, place), less(place, above)), firstFloats(ranges[n].end - j));
            const Floats fromEdge = place - toFloats(roundToInts(place)), distance = fromEdge * fromEdge;
            const FloatPacker packer(both(inside, less(doubt, distance)));
            packer.store(truncate(place), sure);
            sure += packer.count;
            const FloatPacker unsure(both(inside, less(distance, next)));
            if (unsure.count > 0) {
                unsure.store(Ints(j) + countUp(), doubtful);
                doubtful += unsure.count;
            }
        }
    found.numBins = sure - found.bins;
    found.numDoubtful = doubtful - found.doubtful;
}

SIMD void binDistances(const CpuDistanceBins& bins, const int32_t* x, const int32_t* y, const int32_t* z,
                       const int32_t point[3], const CpuRange* ranges, int numRanges, CpuBinnedPartners& found) {
    (bins.scale.triclinic ? binOnGrid<true> : binOnGrid<false>)(bins, x, y, z, point, ranges, numRanges, found);
}

} // namespace
} // namespace OpenMMGrad

#endif
