// SPDX-License-Identifier: MIT
#include "AtomCells.h"
#include <algorithm>
#include <cmath>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

const double AtomsInRange = 64, AtomsInCell = 8;

int wrap(int cell, int size) { return cell < 0 ? cell + size : cell >= size ? cell - size : cell; }

} // namespace

CellGrid::CellGrid(const CpuPairGeometry& geometry, int numAtoms, double reach) {
    reach *= 1 + 1e-6; // whole steps of the grid move atoms across faces of cells
    const double widths[3] = {geometry.getWidth(0), geometry.getWidth(1), geometry.getWidth(2)};
    const double columns = max(1.0, numAtoms * min(1.0, 2 * reach / widths[2]) / AtomsInRange);
    size[0] = static_cast<int>(min(max(1.0, round(sqrt(columns * widths[0] / widths[1]))), columns));
    size[1] = static_cast<int>(max(1.0, round(columns / size[0])));
    size[2] = static_cast<int>(max(1.0, numAtoms / (AtomsInCell * size[0] * size[1])));
    // Faces of the box are at most as far apart as its vectors are long, so these are the least distances.
    int steps[2];
    for (int k = 0; k < 2; k++)
        steps[k] = min(static_cast<int>(min(reach / widths[k] * size[k], 1e9)) + 1, size[k] / 2);
    const bool rectangular = geometry.getShape() == CpuPairGeometry::Rectangular;
    for (int dx = -steps[0]; dx <= steps[0]; dx++)
        for (int dy = -steps[1]; dy <= steps[1]; dy++) {
            if ((size[0] % 2 == 0 && dx == size[0] / 2) || (size[1] % 2 == 0 && dy == size[1] / 2))
                continue; // the same column as -dx or -dy
            const double gapX = max(abs(dx) - 1, 0) * widths[0] / size[0];
            const double gapY = max(abs(dy) - 1, 0) * widths[1] / size[1];
            const double square = reach * reach - (rectangular ? gapX * gapX + gapY * gapY : 0.0);
            if (max(gapX, gapY) > reach || square < 0)
                continue;
            windows.push_back({dx, dy, static_cast<int>(min(sqrt(square) / widths[2] * size[2], 1e9)) + 1});
        }
}

void CellGrid::findRanges(int cell, const vector<int>& starts, vector<CpuRange>& ranges) const {
    ranges.clear();
    auto add = [&](int first, int last) {
        const int begin = starts[first], end = starts[last];
        if (!ranges.empty() && ranges.back().end == begin)
            ranges.back().end = end;
        else if (begin < end)
            ranges.push_back({begin, end});
    };
    const int z = cell % size[2], y = cell / size[2] % size[1], x = cell / size[2] / size[1];
    for (const Window& window : windows) {
        const int column = (wrap(x + window.dx, size[0]) * size[1] + wrap(y + window.dy, size[1])) * size[2];
        const int low = z - window.dz, high = z + window.dz + 1;
        if (2 * window.dz + 1 >= size[2])
            add(column, column + size[2]);
        else {
            if (high > size[2])
                add(column, column + high - size[2]);
            add(column + max(low, 0), column + min(high, size[2]));
            if (low < 0)
                add(column + low + size[2], column + size[2]);
        }
    }
}

bool AtomCells::sort(const CpuPairGeometry& geometry, const CellGrid& grid, const double* positions,
                     const vector<int>& selected) {
    const int numAtoms = selected.size();
    cells.resize(numAtoms);
    points.resize(3 * numAtoms);
    starts.assign(grid.getNumCells() + 2, 0);
    for (int n = 0; n < numAtoms; n++) {
        const double* p = positions + 3 * static_cast<size_t>(selected[n]);
        if (!(fabs(p[0]) <= 1e8 && fabs(p[1]) <= 1e8 && fabs(p[2]) <= 1e8))
            return false;
        const Vec3 f = geometry.toFractions(Vec3(p[0], p[1], p[2]));
        for (int k = 0; k < 3; k++)
            points[3 * n + k] = CpuPairGeometry::toGrid(f[k]);
        cells[n] = grid.findCell(&points[3 * n]);
        starts[cells[n] + 2]++;
    }
    for (size_t cell = 2; cell < starts.size(); cell++)
        starts[cell] += starts[cell - 1];
    atoms.resize(numAtoms);
    for (vector<int32_t>* coordinate : {&x, &y, &z})
        coordinate->resize(numAtoms + CpuPairLoops::MaxLanes);
    for (int n = 0; n < numAtoms; n++) {
        const int place = starts[cells[n] + 1]++; // one further on than the cell: it ends up as the cell's start
        atoms[place] = selected[n];
        x[place] = points[3 * n];
        y[place] = points[3 * n + 1];
        z[place] = points[3 * n + 2];
    }
    starts.pop_back();
    return true;
}

} // namespace OpenMMGrad
