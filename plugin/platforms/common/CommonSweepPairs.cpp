// SPDX-License-Identifier: MIT
#include "CommonSweepPairs.h"
#include "KernelSources.h"
#include <algorithm>
#include <cmath>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

/** More would not leave room for the particles of a group in local memory. */
const int MaxLocalSums = 2048;

} // namespace

CommonSweepPairs::CommonSweepPairs(ComputeContext& cc, const LearnablePairForce& force, int firstSum)
    : cc(cc), force(force), firstSum(firstSum), numBlocks((cc.getNumAtoms() + 31) / 32), parameters(cc, force),
      sumScale(0) {
    readExclusions();
    map<string, string> defines;
    defines["GROUP"] = cc.intToString(SweepGroup);
    defines["PARTS"] = cc.intToString(SweepGroup / 32);
    defines["CUTOFF"] = cc.doubleToString(parameters.getCutoff());
    defines["INVERSE_WIDTH"] = cc.doubleToString(parameters.getInverseWidth());
    defines["NUM_CLASSES"] = cc.intToString(parameters.getNumClasses());
    defines["NUM_INTERVALS"] = cc.intToString(parameters.getNumIntervals());
    defines["NUM_SUMS"] = cc.intToString(parameters.getNumSums());
    if (parameters.getNumSums() <= MaxLocalSums)
        defines["LOCAL_SUMS"] = "1";
    if (force.getNumExclusions() > 0)
        defines["USE_EXCLUSIONS"] = "1";
    if (force.usesPeriodicBoundaryConditions())
        defines["USE_PERIODIC"] = "1";
    if (cc.getBoxIsTriclinic())
        defines["TRICLINIC"] = "1";
    const string source = string(KernelSources::integerSums) + KernelSources::splinePair + KernelSources::sweepLength +
                          KernelSources::sweepPairs;
    ComputeProgram program = cc.compileProgram(source, defines);
    bound.create(program, "findBounds");
    addProducts.create(program, "addPairProducts");
}

void CommonSweepPairs::readExclusions() {
    vector<vector<int> > partners(cc.getNumAtoms());
    for (int index = 0; index < force.getNumExclusions(); index++) {
        int i, j;
        force.getExclusionParticles(index, i, j);
        partners[i].push_back(j);
        partners[j].push_back(i);
    }
    vector<int> start(1, 0), all;
    for (const vector<int>& some : partners) {
        all.insert(all.end(), some.begin(), some.end());
        start.push_back(all.size());
    }
    all.resize(max<size_t>(all.size(), 1));
    exclusionStart.initialize<int>(cc, start.size(), "sweepExclusionStart");
    exclusionStart.upload(start);
    exclusions.initialize<int>(cc, all.size(), "sweepExclusions");
    exclusions.upload(all);
}

void CommonSweepPairs::update(vector<double>& scales) {
    parameters.update(force);
    // |w| <= 2 times the longest direction, which is divided out; h B' <= 2/3.
    sumScale = ldexp(1.0, parameters.getSumExponent(4.0 / 3));
    fill_n(scales.begin() + firstSum, getNumSums(), parameters.getInverseWidth() / sumScale);
}

void CommonSweepPairs::findBounds(SweepArrays& arrays) {
    bound(static_cast<size_t>(arrays.numWindows) * arrays.numRows * numBlocks, arrays.numWindows, arrays.numRows, numBlocks,
          cc.getNumAtoms(), *arrays.sorted, *arrays.boxVectors, *arrays.bounds);
}

void CommonSweepPairs::add(SweepArrays& arrays, int row) {
    const int numSums = arrays.sumScales->getSize();
    addProducts(static_cast<size_t>(arrays.numWindows) * numBlocks * SweepGroup, arrays.numWindows, arrays.numRows, row,
                numBlocks, cc.getNumAtoms(), *arrays.sorted, *arrays.bounds, *arrays.sortedDirection, *arrays.order,
                parameters.getClasses(), parameters.getRows(), parameters.getTable(), exclusionStart, exclusions,
                *arrays.boxVectors, arrays.numParts, *arrays.squares, numSums, firstSum, sumScale, *arrays.gx,
                *arrays.sums);
}

} // namespace OpenMMGrad
