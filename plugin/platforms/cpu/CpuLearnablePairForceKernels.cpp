// SPDX-License-Identifier: MIT
#include "CpuLearnablePairForceKernels.h"
#include "CpuBarrier.h"
#include "SplineBasis.h"
#include "openmm/internal/ContextImpl.h"
#include "openmm/reference/ReferencePlatform.h"
#include <algorithm>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

/** Padding of the list as a fraction of the cutoff. */
const double PaddingFraction = 0.12;

ReferencePlatform::PlatformData& dataOf(ContextImpl& context) {
    return *static_cast<ReferencePlatform::PlatformData*>(context.getPlatformData());
}

PairSelection selectionOf(const LearnablePairForce& force, int numParticles) {
    PairSelection selection;
    if (force.getNumExclusions() > 0)
        selection.exclusions.resize(numParticles);
    for (int index = 0; index < force.getNumExclusions(); index++) {
        int i, j;
        force.getExclusionParticles(index, i, j);
        selection.exclusions[i].push_back(j);
        selection.exclusions[j].push_back(i);
    }
    if (force.getNumInteractionGroups() > 0) {
        selection.inSet1.resize(numParticles);
        selection.inSet2.resize(numParticles);
    }
    for (int group = 0; group < force.getNumInteractionGroups(); group++) {
        const uint64_t bit = uint64_t(1) << group;
        set<int> set1, set2;
        force.getInteractionGroupParameters(group, set1, set2);
        for (int i : set1)
            selection.inSet1[i] |= bit;
        for (int i : set2)
            selection.inSet2[i] |= bit;
    }
    return selection;
}

} // namespace

/** One interacting pair, by sorted index. */
struct CpuCalcLearnablePairForceKernel::Pair {
    int i, j;
    /** r in nm; e = (x_i - x_j)/r for the nearest image, zero for two particles in the same place. */
    double r, inverseR;
    Vec3 e;
    /** B_k .. B_{k+3} are not zero at r; first = typePair*numCoefficients + k, and t = r/h - k. */
    int first;
    double t;
};

void CpuCalcLearnablePairForceKernel::initialize(const System& system, const LearnablePairForce& force) {
    numParticles = system.getNumParticles();
    numTypes = force.getNumTypes();
    numCoefficients = force.getNumCoefficients();
    cutoff = force.getCutoffDistance();
    inverseWidth = (numCoefficients - 3) / cutoff;
    typePairs.resize(numTypes * numTypes);
    for (int a = 0; a < numTypes; a++)
        for (int b = 0; b < numTypes; b++)
            typePairs[a * numTypes + b] = force.getTypePairIndex(a, b);
    for (int pair : typePairs)
        rows.push_back(pair * (numCoefficients - 3));
    simd = CpuSimd::choose();
    types.resize(numParticles);
    coefficients.resize(force.getNumTypePairs() * numCoefficients);
    readParameters(force);
    list.reset(new CpuPairList(numParticles, cutoff, PaddingFraction * cutoff, force.usesPeriodicBoundaryConditions(),
                               selectionOf(force, numParticles), simd));
    sums.resize(data.threads.getNumThreads());
    sortedPositions.resize(numParticles);
    sortedLambda.resize(numParticles);
    sortedTypes.resize(numParticles);
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
    // The slope is a quadratic in each interval: three of its values give its polynomial.
    polynomials.clear();
    for (int pair = 0; pair < force.getNumTypePairs(); pair++)
        for (int interval = 0; interval < numCoefficients - 3; interval++) {
            double force[3];
            for (int n = 0; n < 3; n++) {
                double d[4];
                SplineBasis::derivatives(0.5 * n, inverseWidth, d);
                force[n] = -combine(pair * numCoefficients + interval, d);
            }
            polynomials.push_back(force[0]);
            polynomials.push_back(-3 * force[0] + 4 * force[1] - force[2]);
            polynomials.push_back(2 * force[0] - 4 * force[1] + 2 * force[2]);
            polynomials.push_back(0);
        }
}

void CpuCalcLearnablePairForceKernel::copyParametersToContext(ContextImpl&, const LearnablePairForce& force) {
    readParameters(force);
}

template <class Pack, class Work, class Finish>
void CpuCalcLearnablePairForceKernel::sweep(ContextImpl& context, Pack pack, Work work, Finish finish) {
    const vector<Vec3>& positions = *dataOf(context).positions;
    const Vec3* boxVectors = dataOf(context).periodicBoxVectors;
    const int numThreads = data.threads.getNumThreads();
    if (!list->isFor(boxVectors))
        list->build(positions, boxVectors, data.threads);
    CpuBarrier barrier(numThreads);
    bool safe = false;
    auto task = [&](ThreadPool&, int thread) {
        const int begin = thread * static_cast<long long>(numParticles) / numThreads;
        const int end = (thread + 1) * static_cast<long long>(numParticles) / numThreads;
        LargestTwo mine;
        for (int k = begin; k < end; k++) {
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
        for (int k = begin; k < end; k++)
            finish(k, list->getParticle(k));
    };
    while (true) {
        data.threads.execute(task);
        data.threads.waitForThreads();
        if (safe)
            break;
        list->build(positions, boxVectors, data.threads);
    }
}

template <class Pack, class Visit, class Finish>
void CpuCalcLearnablePairForceKernel::sweepPairs(ContextImpl& context, Pack pack, Visit visit, Finish finish) {
    sweep(
        context,
        [&](int k, int i, const Vec3& x) {
            sortedPositions[k] = x;
            sortedTypes[k] = types[i];
            pack(k, i);
        },
        [&](int thread) {
            Sums& mine = sums[thread];
            mine.energy = 0;
            fill(mine.virial, mine.virial + 9, 0.0);
            const int begin = list->getShare(thread), end = list->getShare(thread + 1);
            const CpuPairGeometry::Shape shape = list->getGeometry().getShape();
            if (shape == CpuPairGeometry::Open)
                visitPairs<CpuPairGeometry::Open>(mine, begin, end, visit);
            else if (shape == CpuPairGeometry::Rectangular)
                visitPairs<CpuPairGeometry::Rectangular>(mine, begin, end, visit);
            else
                visitPairs<CpuPairGeometry::Triclinic>(mine, begin, end, visit);
        },
        finish);
}

template <CpuPairGeometry::Shape S, class Visit>
void CpuCalcLearnablePairForceKernel::visitPairs(Sums& mine, int begin, int end, Visit visit) const {
    const CpuPairGeometry geometry = list->getGeometry();
    const double cutoffSquare = cutoff * cutoff;
    for (int i = begin; i < end; i++) {
        const int* partners = list->getPartners(i);
        const int* typePairsOfI = &typePairs[sortedTypes[i] * numTypes];
        const Vec3 x = sortedPositions[i];
        for (int n = 0; n < list->getNumPartners(i); n++) {
            const int j = partners[n] / 4;
            const Vec3 d = geometry.findImage<S>(x - sortedPositions[j]);
            const double square = d.dot(d);
            if (!(square < cutoffSquare))
                continue;
            const double r = sqrt(square), inverseR = r > 0 ? 1 / r : 0.0;
            const int interval = min(static_cast<int>(r * inverseWidth), numCoefficients - 4);
            visit(mine, Pair{i, j, r, inverseR, d * inverseR,
                             typePairsOfI[sortedTypes[j]] * numCoefficients + interval, r * inverseWidth - interval});
        }
    }
}

double CpuCalcLearnablePairForceKernel::execute(ContextImpl& context, bool includeForces, bool includeEnergy) {
    if (includeForces && !includeEnergy && simd != nullptr) {
        addForcesInSinglePrecision(context);
        return 0;
    }
    vector<Vec3>& forces = *dataOf(context).forces;
    for (Sums& s : sums)
        s.vectors.assign(numParticles, Vec3());
    // U = sum u(r);  F_i = -u'(r) e, F_j = u'(r) e.
    sweepPairs(
        context, [](int, int) {},
        [&](Sums& s, const Pair& p) {
            double b[4], d[4];
            SplineBasis::values(p.t, b);
            SplineBasis::derivatives(p.t, inverseWidth, d);
            s.energy += combine(p.first, b);
            const Vec3 force = p.e * -combine(p.first, d);
            s.vectors[p.i] += force;
            s.vectors[p.j] -= force;
        },
        [&](int k, int i) {
            for (const Sums& s : sums)
                forces[i] += s.vectors[k];
        });
    double energy = 0;
    for (const Sums& s : sums)
        energy += s.energy;
    return energy;
}

void CpuCalcLearnablePairForceKernel::addForcesInSinglePrecision(ContextImpl& context) {
    vector<Vec3>& forces = *dataOf(context).forces;
    const CpuForceTable table = {polynomials.data(), rows.data(), numTypes, numCoefficients - 3, inverseWidth};
    sweep(
        context,
        [&](int k, int i, const Vec3& x) {
            const Vec3 f = list->getGeometry().toFractions(x);
            grid[4 * k] = CpuPairGeometry::toGrid(f[0]);
            grid[4 * k + 1] = CpuPairGeometry::toGrid(f[1]);
            grid[4 * k + 2] = CpuPairGeometry::toGrid(f[2]);
            grid[4 * k + 3] = types[i];
        },
        [&](int thread) {
            vector<float>& mine = sums[thread].forces;
            mine.assign(4 * numParticles, 0.0f);
            simd->addForces(*list, table, grid.data(), list->getShare(thread), list->getShare(thread + 1), mine.data());
        },
        [&](int k, int i) {
            for (const Sums& s : sums)
                forces[i] += Vec3(s.forces[4 * k], s.forces[4 * k + 1], s.forces[4 * k + 2]);
        });
}

void CpuCalcLearnablePairForceKernel::addCoefficientSums(vector<double>& total) const {
    total.assign(coefficients.size(), 0.0);
    for (const Sums& s : sums)
        for (size_t k = 0; k < total.size(); k++)
            total[k] += s.coefficients[k];
}

/** dU/dc_k = sum B_k(r). */
void CpuCalcLearnablePairForceKernel::computeCoefficientDerivatives(ContextImpl& context, vector<double>& derivatives) {
    for (Sums& s : sums)
        s.coefficients.assign(coefficients.size(), 0.0);
    sweepPairs(
        context, [](int, int) {},
        [](Sums& s, const Pair& p) {
            double b[4];
            SplineBasis::values(p.t, b);
            for (int m = 0; m < 4; m++)
                s.coefficients[p.first + m] += b[m];
        },
        [](int, int) {});
    addCoefficientSums(derivatives);
}

/**
 * With w = lambda_i - lambda_j: on i -[u''(r)(e.w) e + (u'(r)/r)(w - (e.w) e)], on j the opposite;
 * (dF/dc_k)^T lambda = -sum (e.w) B'_k(r).
 */
void CpuCalcLearnablePairForceKernel::computeHessianVectorProduct(ContextImpl& context, const vector<Vec3>& lambda,
                                                                  vector<Vec3>& product,
                                                                  vector<double>& parameterProduct) {
    product.assign(numParticles, Vec3());
    for (Sums& s : sums) {
        s.coefficients.assign(coefficients.size(), 0.0);
        s.vectors.assign(numParticles, Vec3());
    }
    sweepPairs(
        context, [&](int k, int i) { sortedLambda[k] = lambda[i]; },
        [&](Sums& s, const Pair& p) {
            double d[4], dd[4];
            SplineBasis::derivatives(p.t, inverseWidth, d);
            SplineBasis::secondDerivatives(p.t, inverseWidth, dd);
            const double slopeOverR = combine(p.first, d) * p.inverseR, curvature = combine(p.first, dd);
            const Vec3 w = sortedLambda[p.i] - sortedLambda[p.j];
            const double along = p.e.dot(w);
            const Vec3 change = p.e * (curvature * along) + (w - p.e * along) * slopeOverR;
            s.vectors[p.i] -= change;
            s.vectors[p.j] += change;
            for (int m = 0; m < 4; m++)
                s.coefficients[p.first + m] -= along * d[m];
        },
        [&](int k, int i) {
            for (const Sums& s : sums)
                product[i] += s.vectors[k];
        });
    addCoefficientSums(parameterProduct);
}

/** W_ab = sum F_ij,a r_ij,b = -sum u'(r) r e_a e_b;  d(tr W)/dc_k = -sum r B'_k(r). */
void CpuCalcLearnablePairForceKernel::computeVirial(ContextImpl& context, vector<double>& virial,
                                                    vector<double>& traceDerivatives) {
    for (Sums& s : sums)
        s.coefficients.assign(coefficients.size(), 0.0);
    sweepPairs(
        context, [](int, int) {},
        [&](Sums& s, const Pair& p) {
            double d[4];
            SplineBasis::derivatives(p.t, inverseWidth, d);
            const double trace = -combine(p.first, d) * p.r;
            for (int a = 0; a < 3; a++)
                for (int b = 0; b < 3; b++)
                    s.virial[3 * a + b] += trace * p.e[a] * p.e[b];
            for (int m = 0; m < 4; m++)
                s.coefficients[p.first + m] -= p.r * d[m];
        },
        [](int, int) {});
    virial.assign(9, 0.0);
    for (const Sums& s : sums)
        for (int k = 0; k < 9; k++)
            virial[k] += s.virial[k];
    addCoefficientSums(traceDerivatives);
}

} // namespace OpenMMGrad
