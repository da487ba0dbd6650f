// SPDX-License-Identifier: MIT
#include "ReferenceLearnablePairForceKernels.h"
#include "SplineBasis.h"
#include "openmm/internal/ContextImpl.h"
#include "openmm/reference/ReferenceForce.h"
#include "openmm/reference/ReferencePlatform.h"
#include <algorithm>
#include <cmath>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

ReferencePlatform::PlatformData& dataOf(ContextImpl& context) {
    return *static_cast<ReferencePlatform::PlatformData*>(context.getPlatformData());
}

} // namespace

void ReferenceCalcLearnablePairForceKernel::initialize(const System& system, const LearnablePairForce& force) {
    const int numParticles = system.getNumParticles();
    numTypes = force.getNumTypes();
    numCoefficients = force.getNumCoefficients();
    cutoff = force.getCutoffDistance();
    inverseWidth = (numCoefficients - 3) / cutoff;
    periodic = force.usesPeriodicBoundaryConditions();

    exclusions.assign(numParticles, {});
    for (int index = 0; index < force.getNumExclusions(); index++) {
        int i, j;
        force.getExclusionParticles(index, i, j);
        exclusions[i].insert(j);
        exclusions[j].insert(i);
    }
    hasGroups = force.getNumInteractionGroups() > 0;
    inSet1.assign(numParticles, 0);
    inSet2.assign(numParticles, 0);
    for (int group = 0; group < force.getNumInteractionGroups(); group++) {
        const uint64_t bit = uint64_t(1) << group;
        set<int> set1, set2;
        force.getInteractionGroupParameters(group, set1, set2);
        for (int i : set1)
            inSet1[i] |= bit;
        for (int i : set2)
            inSet2[i] |= bit;
    }
    typePairs.resize(numTypes * numTypes);
    for (int a = 0; a < numTypes; a++)
        for (int b = 0; b < numTypes; b++)
            typePairs[a * numTypes + b] = force.getTypePairIndex(a, b);
    types.resize(numParticles);
    coefficients.resize(force.getNumTypePairs() * numCoefficients);
    readParameters(force);
}

void ReferenceCalcLearnablePairForceKernel::readParameters(const LearnablePairForce& force) {
    for (size_t i = 0; i < types.size(); i++)
        types[i] = force.getParticleType(i);
    vector<double> values;
    for (int a = 0; a < numTypes; a++)
        for (int b = a; b < numTypes; b++) {
            force.getCoefficients(a, b, values);
            copy(values.begin(), values.end(), coefficients.begin() + force.getTypePairIndex(a, b) * numCoefficients);
        }
}

void ReferenceCalcLearnablePairForceKernel::copyParametersToContext(ContextImpl&, const LearnablePairForce& force) {
    readParameters(force);
}

template <class Visit>
void ReferenceCalcLearnablePairForceKernel::forEachPair(ContextImpl& context, Visit visit) const {
    const vector<Vec3>& x = *dataOf(context).positions;
    const Vec3* box = dataOf(context).periodicBoxVectors;
    // All pairs, not OpenMM's voxel list: that one misses pairs in a skewed box of twice the cutoff.
    for (int i = 0; i < static_cast<int>(x.size()); i++)
        for (int j = 0; j < i; j++) {
            const Vec3 delta = periodic ? ReferenceForce::getDeltaRPeriodic(x[j], x[i], box) : x[i] - x[j];
            const double r = sqrt(delta.dot(delta));
            if (r < cutoff && interact(i, j))
                visit(makePair(i, j, r, delta));
        }
}

bool ReferenceCalcLearnablePairForceKernel::interact(int i, int j) const {
    if (exclusions[i].count(j) != 0)
        return false;
    return !hasGroups || ((inSet1[i] & inSet2[j]) | (inSet2[i] & inSet1[j])) != 0;
}

ReferenceCalcLearnablePairForceKernel::Pair
ReferenceCalcLearnablePairForceKernel::makePair(int i, int j, double r, const Vec3& delta) const {
    const int interval = min(static_cast<int>(r * inverseWidth), numCoefficients - 4);
    const int typePair = typePairs[types[i] * numTypes + types[j]];
    // Two particles in the same place have no direction: by symmetry their force and its derivatives are zero.
    const Vec3 e = r > 0 ? delta / r : Vec3();
    return {i, j, r, e, typePair * numCoefficients + interval, r * inverseWidth - interval};
}

double ReferenceCalcLearnablePairForceKernel::combine(int first, const double basis[4]) const {
    const double* c = &coefficients[first];
    return c[0] * basis[0] + c[1] * basis[1] + c[2] * basis[2] + c[3] * basis[3];
}

/** U = sum u(r);  F_i = -u'(r) e, F_j = u'(r) e. */
double ReferenceCalcLearnablePairForceKernel::execute(ContextImpl& context, bool, bool) {
    vector<Vec3>& force = *dataOf(context).forces;
    double energy = 0;
    forEachPair(context, [&](const Pair& p) {
        double b[4], d[4];
        SplineBasis::values(p.t, b);
        SplineBasis::derivatives(p.t, inverseWidth, d);
        energy += combine(p.first, b);
        const double slope = combine(p.first, d);
        force[p.i] -= p.e * slope;
        force[p.j] += p.e * slope;
    });
    return energy;
}

/** dU/dc_k = sum B_k(r). */
void ReferenceCalcLearnablePairForceKernel::computeCoefficientDerivatives(ContextImpl& context,
                                                                          vector<double>& derivatives) {
    derivatives.assign(coefficients.size(), 0.0);
    forEachPair(context, [&](const Pair& p) {
        double b[4];
        SplineBasis::values(p.t, b);
        for (int m = 0; m < 4; m++)
            derivatives[p.first + m] += b[m];
    });
}

/**
 * With w = lambda_i - lambda_j: on i -[u''(r)(e.w) e + (u'(r)/r)(w - (e.w) e)], on j the opposite;
 * (dF/dc_k)^T lambda = -sum (e.w) B'_k(r).
 */
void ReferenceCalcLearnablePairForceKernel::computeHessianVectorProduct(ContextImpl& context,
                                                                        const vector<Vec3>& lambda,
                                                                        vector<Vec3>& product,
                                                                        vector<double>& parameterProduct, bool) {
    product.assign(lambda.size(), Vec3());
    parameterProduct.assign(coefficients.size(), 0.0);
    forEachPair(context, [&](const Pair& p) {
        double d[4], s[4];
        SplineBasis::derivatives(p.t, inverseWidth, d);
        SplineBasis::secondDerivatives(p.t, inverseWidth, s);
        const double slopeOverR = p.r > 0 ? combine(p.first, d) / p.r : 0.0;
        const double curvature = combine(p.first, s);
        const Vec3 w = lambda[p.i] - lambda[p.j];
        const double along = p.e.dot(w);
        const Vec3 change = p.e * (curvature * along) + (w - p.e * along) * slopeOverR;
        product[p.i] -= change;
        product[p.j] += change;
        for (int m = 0; m < 4; m++)
            parameterProduct[p.first + m] -= along * d[m];
    });
}

/** W_ab = sum F_ij,a r_ij,b = -sum u'(r) r e_a e_b;  d(tr W)/dc_k = -sum r B'_k(r). */
void ReferenceCalcLearnablePairForceKernel::computeVirial(ContextImpl& context, vector<double>& virial,
                                                          vector<double>& traceDerivatives) {
    virial.assign(9, 0.0);
    traceDerivatives.assign(coefficients.size(), 0.0);
    forEachPair(context, [&](const Pair& p) {
        double d[4];
        SplineBasis::derivatives(p.t, inverseWidth, d);
        const double trace = -combine(p.first, d) * p.r;
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < 3; b++)
                virial[3 * a + b] += trace * p.e[a] * p.e[b];
        for (int m = 0; m < 4; m++)
            traceDerivatives[p.first + m] -= p.r * d[m];
    });
}

} // namespace OpenMMGrad
