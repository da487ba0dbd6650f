// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_DISTANCEBINS_H_
#define OPENMMGRAD_DISTANCEBINS_H_

#include "AtomCells.h"
#include "CpuPairGeometry.h"
#include <cstdint>

namespace OpenMMGrad {

/** Bins for distances in single precision: in units of a bin's width, the first starts at `start`. */
struct SingleBins {
    CpuGridScale scale;
    float start, count;
    float doubt; // distances so near to the end of a bin may belong to the next
};

/** What the loop finds; both have room for all partners, and for sixteen more. */
struct BinnedPartners {
    int32_t *bins, *doubtful; // bins that are sure, and places of partners whose bins are not
    int numBins, numDoubtful;
};

/** The inner loop for one instruction set: bins of the distances from one atom to the atoms of some ranges. */
typedef void (*BinDistances)(const SingleBins& bins, const AtomCells& partners, const int32_t atom[3],
                             const AtomRange* ranges, int numRanges, BinnedPartners& found);

/** The best loop for this processor; the portable one if the environment sets OPENMMGRAD_CPU_SIMD=off. */
BinDistances chooseBinDistances();

} // namespace OpenMMGrad

#endif
