// SPDX-License-Identifier: MIT
#include "CommonPairPass.h"
#include "KernelSources.h"
#include "openmm/common/NonbondedUtilities.h"
#include <algorithm>
#include <cmath>
#include <map>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

const char* const Names[] = {"COEFFICIENTS", "PRODUCT", "VIRIAL"};
/** Of one term of a sum by coefficient, see CommonPairParameters.h. */
const double LargestTerms[] = {2.0 / 3, 2.4, 2.0 / 3};
const int MaxGroupSize = 256, MaxLocalSums = 16384;
/** Positions of the arguments that are set at each call. */
const int ListArguments = 6, BoxArguments = 12, ScaleArgument = 27;

} // namespace

CommonPairPass::CommonPairPass(ComputeContext& cc, CommonPairParameters& parameters, Kind kind, bool usesPeriodic,
                               bool usesExclusions)
    : cc(cc), parameters(parameters), kind(kind), usesPeriodic(usesPeriodic), usesExclusions(usesExclusions),
      sumExponent(0), extraExponent(0) {
    sums.initialize<long long>(cc, parameters.getNumSums(), "learnablePairSums");
    if (kind == Product)
        extra.initialize<long long>(cc, 3 * cc.getPaddedNumAtoms(), "learnablePairProduct");
    else if (kind == Virial)
        extra.initialize<long long>(cc, 6, "learnablePairVirial");
    compile();
}

void CommonPairPass::compile() {
    NonbondedUtilities& nb = cc.getNonbondedUtilities();
    const int tile = ComputeContext::TileSize, realSize = cc.getUseDoublePrecision() ? sizeof(double) : sizeof(float);
    // Bytes of local memory: for each thread, and for sums by coefficient, which are global where they do not fit.
    const double perThread = sizeof(int) + realSize * (kind == Product ? 11 : 4) + (kind == Virial ? 8 : 0);
    int forSums = 2048;
    while (forSums < 8 * parameters.getNumSums())   // few sizes make few programs, which drivers keep
        forSums *= 2;
    const bool localSums =
        forSums <= MaxLocalSums && cc.computeThreadBlockSize(perThread + forSums / 128.0) >= 128;
    groupSize = cc.getIsCPU() ? tile : min(MaxGroupSize, cc.computeThreadBlockSize(perThread + forSums * localSums / 128.0));
    groupSize = max(tile, groupSize / tile * tile);

    map<string, string> defines;
    defines[Names[kind]] = "1";
    defines["GROUP_SIZE"] = cc.intToString(groupSize);
    defines["TILE_SIZE"] = cc.intToString(tile);
    if (localSums)
        defines["LOCAL_SUMS"] = cc.intToString(forSums / 8);
    if (usesPeriodic)
        defines["USE_PERIODIC"] = "1";
    if (usesExclusions)
        defines["USE_EXCLUSIONS"] = "1";
    // A list made for a longer cutoff, or tiles kept for their exclusions, hold tiles without a pair.
    if (nb.getMaxCutoffDistance() > 1.05 * parameters.getCutoff() ||
        nb.getExclusionTiles().getSize() > static_cast<size_t>(cc.getNumAtomBlocks()))
        defines["SKIP_DISTANT_TILES"] = "1";
    const string source = string(KernelSources::integerSums) + KernelSources::splinePair + KernelSources::pairTiles;
    kernel = cc.compileProgram(source, defines)->createKernel("sumOverPairs");
    groupSize = max(tile, min(groupSize, kernel->getMaxBlockSize() / tile * tile));

    kernel->addArg(cc.getPosq());
    kernel->addArg(parameters.getClasses());
    kernel->addArg(parameters.getRows());
    kernel->addArg(parameters.getTable());
    kernel->addArg(nb.getExclusions());
    kernel->addArg(nb.getExclusionTiles());
    for (int index = ListArguments; index < BoxArguments + 5; index++)
        kernel->addArg();
    kernel->addArg(cc.getNumAtoms());
    kernel->addArg(cc.getPaddedNumAtoms());
    kernel->addArg(static_cast<int>(nb.getExclusionTiles().getSize()));
    kernel->addArg(parameters.getNumClasses());
    kernel->addArg(parameters.getOnlyRow());
    kernel->addArg(parameters.getNumIntervals());
    kernel->addArg(parameters.getNumSums());
    addReal(parameters.getCutoff());
    addReal(parameters.getInverseWidth());
    kernel->addArg(sums);
    kernel->addArg();
    if (kind == Product)
        kernel->addArg();
    if (kind != Coefficients) {
        kernel->addArg(extra);
        kernel->addArg();
    }
}

void CommonPairPass::addReal(double value) {
    if (cc.getUseDoublePrecision())
        kernel->addArg(value);
    else
        kernel->addArg(static_cast<float>(value));
}

void CommonPairPass::setReal(int index, double value) {
    if (cc.getUseDoublePrecision())
        kernel->setArg(index, value);
    else
        kernel->setArg(index, static_cast<float>(value));
}

void CommonPairPass::run(ArrayInterface* direction) {
    // OpenMM makes its list longer, in new arrays, when it has to.
    NonbondedUtilities& nb = cc.getNonbondedUtilities();
    kernel->setArg(ListArguments, nb.getInteractingTiles());
    kernel->setArg(ListArguments + 1, nb.getInteractionCount());
    kernel->setArg(ListArguments + 2, nb.getInteractingAtoms());
    kernel->setArg(ListArguments + 3, static_cast<unsigned int>(nb.getInteractingTiles().getSize()));
    kernel->setArg(ListArguments + 4, nb.getBlockCenters());
    kernel->setArg(ListArguments + 5, nb.getBlockBoundingBoxes());
    Vec3 a, b, c;
    cc.getPeriodicBoxVectors(a, b, c);
    const Vec3 box[5] = {Vec3(a[0], b[1], c[2]), Vec3(1 / a[0], 1 / b[1], 1 / c[2]), a, b, c};
    for (int k = 0; k < 5; k++)
        if (cc.getUseDoublePrecision())
            kernel->setArg(BoxArguments + k, mm_double4(box[k][0], box[k][1], box[k][2], 0));
        else
            kernel->setArg(BoxArguments + k, mm_float4(static_cast<float>(box[k][0]), static_cast<float>(box[k][1]),
                                                       static_cast<float>(box[k][2]), 0));
    sumExponent = parameters.getSumExponent(LargestTerms[kind]);
    setReal(ScaleArgument, ldexp(1.0, sumExponent));
    cc.clearBuffer(sums);
    if (kind != Coefficients) {
        extraExponent = kind == Product ? parameters.getProductExponent() : parameters.getVirialExponent();
        if (kind == Product)
            kernel->setArg(ScaleArgument + 1, *direction);
        setReal(ScaleArgument + (kind == Product ? 3 : 2), ldexp(1.0, extraExponent));
        cc.clearBuffer(extra);
    }
    kernel->execute(cc.getNumThreadBlocks() * groupSize, groupSize);
}

void CommonPairPass::downloadSums(double factor, vector<double>& result) {
    vector<long long> integers;
    sums.download(integers);
    result.resize(integers.size());
    for (size_t k = 0; k < integers.size(); k++)
        result[k] = ldexp(static_cast<double>(integers[k]), -sumExponent) * factor;
}

void CommonPairPass::downloadProduct(double factor, vector<Vec3>& result) {
    vector<long long> integers;
    extra.download(integers);
    const vector<int>& order = cc.getAtomIndex();
    result.resize(cc.getNumAtoms());
    for (int i = 0; i < cc.getNumAtoms(); i++)
        for (int axis = 0; axis < 3; axis++)
            result[order[i]][axis] =
                ldexp(static_cast<double>(integers[i + axis * cc.getPaddedNumAtoms()]), -extraExponent) * factor;
}

void CommonPairPass::downloadVirial(double result[6]) {
    vector<long long> integers;
    extra.download(integers);
    for (int k = 0; k < 6; k++)
        result[k] = ldexp(static_cast<double>(integers[k]), -extraExponent);
}

} // namespace OpenMMGrad
