// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_COMMONSWEEPPAIRS_H_
#define OPENMMGRAD_COMMONSWEEPPAIRS_H_

#include "CommonPairParameters.h"
#include "CommonSweepSupport.h"
#include "LearnablePairForce.h"
#include <memory>

namespace OpenMMGrad {

/** Where the windows of a reverse sweep are on the device. Sorted arrays are in blocks of 32 particles. */
struct SweepArrays {
    int numWindows, numRows, numParts;
    /** Of states that are swept at a time. */
    std::unique_ptr<OpenMM::ComputeArray> sorted, bounds;
    std::unique_ptr<OpenMM::ComputeArray> order, boxes, boxVectors;
    /** Cotangents and the direction a of the product; per part of a window: sums of gv, and the largest |a|^2. */
    std::unique_ptr<OpenMM::ComputeArray> gx, gv, direction, sortedDirection, momenta, squares, oldSquares;
    /** Of all pair forces: fixed-point sums of one step, what they count, and their totals. */
    std::unique_ptr<OpenMM::ComputeArray> sums, sumScales, coefficients;
};

/** A LearnablePairForce's products at stored positions of many windows at once: see kernels/sweepPairs.cc. */
class CommonSweepPairs {
public:
    /** @param firstSum  where its coefficients begin among those of all pair forces */
    CommonSweepPairs(OpenMM::ComputeContext& cc, const LearnablePairForce& force, int firstSum);
    /** The force's types and coefficients to the device. @param scales  set for its coefficients: of one unit of a sum */
    void update(std::vector<double>& scales);
    int getNumSums() const { return parameters.getNumSums(); }
    /** Bounds of the blocks of all rows. */
    void findBounds(SweepArrays& arrays);
    /** gx and sums are increased. @param row  the states among the stored rows */
    void add(SweepArrays& arrays, int row);

private:
    void readExclusions();
    OpenMM::ComputeContext& cc;
    const LearnablePairForce& force;
    const int firstSum, numBlocks;
    CommonPairParameters parameters;
    double sumScale;
    OpenMM::ComputeArray exclusionStart, exclusions;
    SweepLauncher bound, addProducts;
};

} // namespace OpenMMGrad

#endif
