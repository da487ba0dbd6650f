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
    types.resize(numParticles);
    coefficients.resize(force.getNumTypePairs() * numCoefficients);
    readParameters(force);
    list.reset(new CpuPairList(numParticles, cutoff, PaddingFraction * cutoff, force.usesPeriodicBoundaryConditions(),
                               selectionOf(force, numParticles)));
    sums.resize(data.threads.getNumThreads());
    sortedPositions.resize(numParticles);
    sortedLambda.resize(numParticles);
    sortedTypes.resize(numParticles);
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
}

void CpuCalcLearnablePairForceKernel::copyParametersToContext(ContextImpl&, const LearnablePairForce& force) {
    readParameters(force);
}

template <class Prepare, class Visit, class Finish>
void CpuCalcLearnablePairForceKernel::sweep(ContextImpl& context, Prepare prepare, Visit visit, Finish finish) {
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
        LargestTwo& mine = sums[thread].displacements;
        mine = LargestTwo();
        for (int k = begin; k < end; k++) {
            const int i = list->getParticle(k);
            sortedPositions[k] = positions[i];
            sortedTypes[k] = types[i];
            mine.include(list->getDisplacementSquare(k, positions[i]));
        }
        prepare(begin, end);
        barrier.wait();
        LargestTwo displacements;
        for (const Sums& other : sums) {
            displacements.include(other.displacements.first);
            displacements.include(other.displacements.second);
        }
        const bool listIsSafe = list->isSafe(displacements);
        if (thread == 0)
            safe = listIsSafe;
        if (!listIsSafe)
            return;
        const CpuPairGeometry::Shape shape = list->getGeometry().getShape();
        if (shape == CpuPairGeometry::Open)
            visitPairs<CpuPairGeometry::Open>(thread, visit);
        else if (shape == CpuPairGeometry::Rectangular)
            visitPairs<CpuPairGeometry::Rectangular>(thread, visit);
        else
            visitPairs<CpuPairGeometry::Triclinic>(thread, visit);
        barrier.wait();
        finish(begin, end);
    };
    while (true) {
        data.threads.execute(task);
        data.threads.waitForThreads();
        if (safe)
            break;
        list->build(positions, boxVectors, data.threads);
    }
}

template <CpuPairGeometry::Shape S, class Visit>
void CpuCalcLearnablePairForceKernel::visitPairs(int thread, Visit visit) {
    Sums& mine = sums[thread];
    mine.energy = 0;
    fill(mine.virial, mine.virial + 9, 0.0);
    const CpuPairGeometry geometry = list->getGeometry();
    const double cutoffSquare = cutoff * cutoff;
    for (int i = list->getShare(thread); i < list->getShare(thread + 1); i++) {
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

/** U = sum u(r);  F_i = -u'(r) e, F_j = u'(r) e. */
double CpuCalcLearnablePairForceKernel::execute(ContextImpl& context, bool, bool) {
    vector<Vec3>& forces = *dataOf(context).forces;
    for (Sums& s : sums)
        s.vectors.assign(numParticles, Vec3());
    sweep(
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
        [&](int begin, int end) {
            for (int k = begin; k < end; k++)
                for (const Sums& s : sums)
                    forces[list->getParticle(k)] += s.vectors[k];
        });
    double energy = 0;
    for (const Sums& s : sums)
        energy += s.energy;
    return energy;
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
    sweep(
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
    sweep(
        context,
        [&](int begin, int end) {
            for (int k = begin; k < end; k++)
                sortedLambda[k] = lambda[list->getParticle(k)];
        },
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
        [&](int begin, int end) {
            for (int k = begin; k < end; k++)
                for (const Sums& s : sums)
                    product[list->getParticle(k)] += s.vectors[k];
        });
    addCoefficientSums(parameterProduct);
}

/** W_ab = sum F_ij,a r_ij,b = -sum u'(r) r e_a e_b;  d(tr W)/dc_k = -sum r B'_k(r). */
void CpuCalcLearnablePairForceKernel::computeVirial(ContextImpl& context, vector<double>& virial,
                                                    vector<double>& traceDerivatives) {
    for (Sums& s : sums)
        s.coefficients.assign(coefficients.size(), 0.0);
    sweep(
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
