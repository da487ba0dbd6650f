// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_ATOMCELLS_H_
#define OPENMMGRAD_ATOMCELLS_H_

#include "CpuPairGeometry.h"
#include "CpuPairLoops.h"
#include <cstdint>
#include <vector>

namespace OpenMMGrad {

/**
 * A box cut into columns along its third vector, and columns into cells: cells of a column follow one another, so that
 * a column's atoms within reach are one range of places, or two around the boundary.
 */
class CellGrid {
public:
    /** Columns such that a range holds some sixty of the atoms: a few registers full. */
    CellGrid(const CpuPairGeometry& geometry, int numAtoms, double reach);

    int getNumCells() const { return size[0] * size[1] * size[2]; }
    int findCell(const int32_t grid[3]) const {
        int cell = 0;
        for (int k = 0; k < 3; k++)
            cell = cell * size[k] + (static_cast<uint64_t>(static_cast<uint32_t>(grid[k])) * size[k] >> 32);
        return cell;
    }
    /**
     * Disjoint ranges that hold every atom within reach of any point of a cell.
     * @param starts  [cell], and the end: the first place of each cell
     */
    void findRanges(int cell, const std::vector<int>& starts, std::vector<CpuRange>& ranges) const;

private:
    /** A column within reach, as steps from one's own, and how many cells up and down. */
    struct Window {
        int dx, dy, dz;
    };
    int size[3];
    std::vector<Window> windows;
};

/** Some atoms of a frame in the order of their cells. */
struct AtomCells {
    std::vector<int> starts; // [cell], and the end
    std::vector<int> atoms;  // [place]
    std::vector<int32_t> x, y, z; // [place], and some more that may be read: where CpuPairGeometry has them on its grid
    /** @return whether all coordinates are finite, and within 1e8 nm */
    bool sort(const CpuPairGeometry& geometry, const CellGrid& grid, const double* positions,
              const std::vector<int>& selected);

private:
    std::vector<int> cells;
    std::vector<int32_t> points;
};

} // namespace OpenMMGrad

#endif
