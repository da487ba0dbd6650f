// SPDX-License-Identifier: MIT
#include "CpuLearnablePairForceKernels.h"
#include "CpuBarrier.h"
#include "CpuForceDescription.h"
#include "SplineBasis.h"
#include "openmm/internal/ContextImpl.h"
#include "openmm/reference/ReferencePlatform.h"
#include <algorithm>
#include <cmath>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

/** Padding of the list as a fraction of the cutoff: a list then serves 15 to 30 steps of a simple liquid. */
const double PaddingFraction = 0.08;

ReferencePlatform::PlatformData& dataOf(ContextImpl& context) {
    return *static_cast<ReferencePlatform::PlatformData*>(context.getPlatformData());
}

} // namespace

void CpuCalcLearnablePairForceKernel::initialize(const System& system, const LearnablePairForce& force) {
    numParticles = system.getNumParticles();
    numTypes = force.getNumTypes();
    numTypePairs = force.getNumTypePairs();
    numCoefficients = force.getNumCoefficients();
    cutoff = force.getCutoffDistance();
    useDoublePrecision = force.getUseDoublePrecision();
    tableSlots = slotsOf(force);
    types.resize(numParticles);
    coefficients.resize(numTypePairs * numCoefficients);
    readParameters(force);
    list.reset(new CpuPairList(numParticles, cutoff, PaddingFraction * cutoff, force.usesPeriodicBoundaryConditions(),
                               selectionOf(force), loops));
    sums.resize(data.threads.getNumThreads());
    sortedPositions.resize(4 * numParticles);
    sortedLambda.resize(4 * numParticles);
    grid.resize(4 * numParticles);
}

void CpuCalcLearnablePairForceKernel::readParameters(const LearnablePairForce& force) {
    for (int i = 0; i < numParticles; i++)
        types[i] = force.getParticleType(i);
    vector<double> values;
    for (int a = 0; a < numTypes; a++)
        for (int b = a; b < numTypes; b++) {
            force.getCoefficients(a, b, values);
            copy(values.begin(), values.end(), coefficients.begin() + force.getTypePairIndex(a, b) * numCoefficients);
        }
    fillTable();
}

void CpuCalcLearnablePairForceKernel::fillTable() {
    const int numIntervals = numCoefficients - 3;
    table.numTypes = numTypes;
    table.numIntervals = numIntervals;
    table.cutoff = cutoff;
    table.inverseWidth = numIntervals / cutoff;
    SplineBasis::polynomials(table.basis);
    tableEnergies.assign(4 * numTypePairs * numIntervals, 0.0);
    tableForces.assign(4 * numTypePairs * numIntervals, 0.0f);
    for (int slot = 0; slot < numTypePairs * numIntervals; slot++) {
        const double* c = &coefficients[slot + 3 * (slot / numIntervals)];
        double* u = &tableEnergies[4 * slot];
        for (int p = 0; p < 4; p++)
            for (int m = 0; m < 4; m++)
                u[p] += c[m] * table.basis[p][m];
        for (int p = 0; p < 3; p++)
            tableForces[4 * slot + p] = static_cast<float>(-(p + 1) * u[p + 1] * table.inverseWidth);
    }
    table.slots = tableSlots.data();
    table.energies = tableEnergies.data();
    table.forces = tableForces.data();
}

void CpuCalcLearnablePairForceKernel::copyParametersToContext(ContextImpl&, const LearnablePairForce& force) {
    readParameters(force);
}

template <class Pack, class Work, class Finish>
void CpuCalcLearnablePairForceKernel::sweep(ContextImpl& context, Pack pack, Work work, Finish finish) {
    const vector<Vec3>& positions = *dataOf(context).positions;
    const Vec3* boxVectors = dataOf(context).periodicBoxVectors;
    const vector<Vec3>& forces = *dataOf(context).forces;
    const int numThreads = data.threads.getNumThreads();
    const int Ahead = 16; // particles: they are in another order than the list's, so their places are foretold
    if (!list->isFor(boxVectors))
        list->build(positions, boxVectors, data.threads);
    CpuBarrier barrier(numThreads);
    bool safe = false;
    auto task = [&](ThreadPool&, int thread) {
        const int begin = thread * static_cast<long long>(numParticles) / numThreads;
        const int end = (thread + 1) * static_cast<long long>(numParticles) / numThreads;
        LargestTwo mine;
        for (int k = begin; k < end; k++) {
            if (k + Ahead < end)
                prefetch(&positions[list->getParticle(k + Ahead)]);
            const int i = list->getParticle(k);
            mine.include(list->getDisplacementSquare(k, positions[i]));
            pack(k, i, positions[i]);
        }
        sums[thread].displacements = mine;
        barrier.wait();
        LargestTwo all;
        for (const Sums& other : sums) {
            all.include(other.displacements.first);
            all.include(other.displacements.second);
        }
        const bool listIsSafe = list->isSafe(all);
        if (thread == 0)
            safe = listIsSafe;
        if (!listIsSafe)
            return;
        work(thread);
        barrier.wait();
        for (int k = begin; k < end; k++) {
            if (k + Ahead < end)
                prefetch(&forces[list->getParticle(k + Ahead)]);
            finish(k, list->getParticle(k));
        }
    };
    while (true) {
        data.threads.execute(task);
        data.threads.waitForThreads();
        if (safe)
            break;
        list->build(positions, boxVectors, data.threads);
    }
}

template <class Pack, class Work, class Finish>
void CpuCalcLearnablePairForceKernel::sweepInDouble(ContextImpl& context, Pack pack, Work work, Finish finish) {
    sweep(
        context,
        [&](int k, int i, const Vec3& x) {
            for (int axis = 0; axis < 3; axis++)
                sortedPositions[4 * k + axis] = x[axis];
            sortedPositions[4 * k + 3] = types[i];
            pack(k, i);
        },
        [&](int thread) {
            work(CpuPairShare{*list, table, list->getShare(thread), list->getShare(thread + 1), sortedPositions.data()},
                 sums[thread]);
        },
        finish);
}

double CpuCalcLearnablePairForceKernel::execute(ContextImpl& context, bool includeForces, bool includeEnergy) {
    if (includeForces && !includeEnergy && !useDoublePrecision) {
        addForcesInSingle(context);
        return 0;
    }
    return addForces(context);
}

void CpuCalcLearnablePairForceKernel::packOnGrid(int sorted, int particle, const Vec3& x) {
    const Vec3 f = list->getGeometry().toFractions(x);
    for (int axis = 0; axis < 3; axis++)
        grid[4 * sorted + axis] = CpuPairGeometry::toGrid(f[axis]);
    grid[4 * sorted + 3] = types[particle];
}

void CpuCalcLearnablePairForceKernel::addForcesInSingle(ContextImpl& context) {
    vector<Vec3>& forces = *dataOf(context).forces;
    sweep(
        context, [&](int k, int i, const Vec3& x) { packOnGrid(k, i, x); },
        [&](int thread) {
            vector<float>& mine = sums[thread].singles;
            mine.assign(4 * numParticles, 0.0f);
            loops.addForcesInSingle(*list, table, grid.data(), list->getShare(thread), list->getShare(thread + 1),
                                    mine.data());
        },
        [&](int k, int i) {
            for (const Sums& s : sums)
                forces[i] += Vec3(s.singles[4 * k], s.singles[4 * k + 1], s.singles[4 * k + 2]);
        });
}

double CpuCalcLearnablePairForceKernel::addForces(ContextImpl& context) {
    vector<Vec3>& forces = *dataOf(context).forces;
    sweepInDouble(
        context, [](int, int) {},
        [&](const CpuPairShare& share, Sums& mine) {
            mine.vectors.assign(4 * numParticles, 0.0);
            mine.energy = loops.addForces(share, mine.vectors.data());
        },
        [&](int k, int i) { forces[i] += sumVectors(k); });
    double energy = 0;
    for (const Sums& s : sums)
        energy += s.energy;
    return energy;
}

void CpuCalcLearnablePairForceKernel::computeCoefficientDerivatives(ContextImpl& context, vector<double>& derivatives) {
    sweepInDouble(
        context, [](int, int) {},
        [&](const CpuPairShare& share, Sums& mine) {
            mine.moments.assign(tableEnergies.size(), 0.0);
            loops.addCoefficientDerivatives(share, mine.moments.data());
        },
        [](int, int) {});
    collectCoefficients(derivatives);
}

void CpuCalcLearnablePairForceKernel::computeHessianVectorProduct(ContextImpl& context, const vector<Vec3>& lambda,
                                                                  vector<Vec3>& product,
                                                                  vector<double>& parameterProduct,
                                                                  bool inPrecisionOfForces) {
    product.resize(numParticles);
    if (inPrecisionOfForces && !useDoublePrecision) {
        computeProductInSingle(context, lambda, product, parameterProduct);
        return;
    }
    sweepInDouble(
        context,
        [&](int k, int i) {
            for (int axis = 0; axis < 3; axis++)
                sortedLambda[4 * k + axis] = lambda[i][axis];
        },
        [&](const CpuPairShare& share, Sums& mine) {
            mine.vectors.assign(4 * numParticles, 0.0);
            mine.moments.assign(tableEnergies.size(), 0.0);
            loops.addHessianVectorProduct(share, sortedLambda.data(), mine.vectors.data(), mine.moments.data());
        },
        [&](int k, int i) { product[i] = sumVectors(k); });
    collectCoefficients(parameterProduct);
}

void CpuCalcLearnablePairForceKernel::computeProductInSingle(ContextImpl& context, const vector<Vec3>& lambda,
                                                             vector<Vec3>& product, vector<double>& parameterProduct) {
    double largest = 0; // lambda is taken in units of it, so that nothing is too small for a float
    for (const Vec3& v : lambda)
        largest = max({largest, abs(v[0]), abs(v[1]), abs(v[2])});
    const double unit = largest > 0 ? largest : 1.0;
    singleLambda.resize(4 * numParticles);
    sweep(
        context,
        [&](int k, int i, const Vec3& x) {
            packOnGrid(k, i, x);
            for (int axis = 0; axis < 3; axis++)
                singleLambda[4 * k + axis] = static_cast<float>(lambda[i][axis] / unit);
        },
        [&](int thread) {
            Sums& mine = sums[thread];
            mine.singles.assign(4 * numParticles, 0.0f);
            mine.singleMoments.assign(tableForces.size(), 0.0f);
            mine.moments.assign(tableEnergies.size(), 0.0);
            loops.addProductInSingle(*list, table, grid.data(), singleLambda.data(), list->getShare(thread),
                                     list->getShare(thread + 1), mine.singles.data(), mine.singleMoments.data(),
                                     tableForces.size() / 4, mine.moments.data());
        },
        [&](int k, int i) {
            Vec3 total;
            for (const Sums& s : sums)
                total += Vec3(s.singles[4 * k], s.singles[4 * k + 1], s.singles[4 * k + 2]);
            product[i] = total * (unit * table.inverseWidth);
        });
    collectCoefficients(parameterProduct);
    for (double& value : parameterProduct)
        value *= unit;
}

void CpuCalcLearnablePairForceKernel::computeVirial(ContextImpl& context, vector<double>& virial,
                                                    vector<double>& traceDerivatives) {
    sweepInDouble(
        context, [](int, int) {},
        [&](const CpuPairShare& share, Sums& mine) {
            fill(mine.virial, mine.virial + 9, 0.0);
            mine.moments.assign(tableEnergies.size(), 0.0);
            loops.addVirial(share, mine.virial, mine.moments.data());
        },
        [](int, int) {});
    virial.assign(9, 0.0);
    for (const Sums& s : sums)
        for (int k = 0; k < 9; k++)
            virial[k] += s.virial[k];
    collectCoefficients(traceDerivatives);
}

Vec3 CpuCalcLearnablePairForceKernel::sumVectors(int sorted) const {
    Vec3 total;
    for (const Sums& s : sums)
        total += Vec3(s.vectors[4 * sorted], s.vectors[4 * sorted + 1], s.vectors[4 * sorted + 2]);
    return total;
}

void CpuCalcLearnablePairForceKernel::collectCoefficients(vector<double>& result) const {
    result.assign(coefficients.size(), 0.0);
    for (const Sums& s : sums)
        table.addMoments(s.moments.data(), numTypePairs, result.data());
}

} // namespace OpenMMGrad
