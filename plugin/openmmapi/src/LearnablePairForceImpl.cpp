// SPDX-License-Identifier: MIT
#include "internal/LearnablePairForceImpl.h"
#include "LearnablePairForceKernels.h"
#include "internal/CheckArgument.h"
#include "openmm/internal/ContextImpl.h"
#include <algorithm>
#include <set>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

void checkParticleCount(const LearnablePairForce& force, int numParticles) {
    CHECK_ARG(force.getNumParticles() == numParticles,
              "one type for each of the " << numParticles << " particles of the System was expected, found "
                                          << force.getNumParticles()
                                          << ". Call addParticle() once for every particle, in order.");
}

void checkExclusions(const LearnablePairForce& force) {
    const int numParticles = force.getNumParticles();
    set<pair<int, int> > seen;
    for (int index = 0; index < force.getNumExclusions(); index++) {
        int i, j;
        force.getExclusionParticles(index, i, j);
        CHECK_ARG(min(i, j) >= 0 && max(i, j) < numParticles,
                  "exclusion " << index << " must name particles between 0 and " << numParticles - 1 << ", found (" << i
                               << ", " << j << "). Correct it with setExclusionParticles().");
        CHECK_ARG(i != j, "exclusion " << index << " must name two different particles, found (" << i << ", " << j
                                       << "). A particle never interacts with itself: leave it out.");
        CHECK_ARG(seen.insert(minmax(i, j)).second, "each pair may be excluded once, found (" << i << ", " << j
                                                        << ") again as exclusion " << index << ". Leave it out.");
    }
}

void checkInteractionGroups(const LearnablePairForce& force) {
    const int numParticles = force.getNumParticles();
    for (int index = 0; index < force.getNumInteractionGroups(); index++) {
        set<int> sets[2];
        force.getInteractionGroupParameters(index, sets[0], sets[1]);
        for (const set<int>& particles : sets)
            CHECK_ARG(particles.empty() || (*particles.begin() >= 0 && *particles.rbegin() < numParticles),
                      "interaction group " << index << " must name particles between 0 and " << numParticles - 1
                                           << ", found " << *particles.begin() << " to " << *particles.rbegin()
                                           << ". Correct it with setInteractionGroupParameters().");
    }
}

bool haveEqualExclusions(const LearnablePairForce& a, const LearnablePairForce& b) {
    if (a.getNumExclusions() != b.getNumExclusions())
        return false;
    for (int index = 0; index < a.getNumExclusions(); index++) {
        pair<int, int> first, second;
        a.getExclusionParticles(index, first.first, first.second);
        b.getExclusionParticles(index, second.first, second.second);
        if (first != second)
            return false;
    }
    return true;
}

bool haveEqualInteractionGroups(const LearnablePairForce& a, const LearnablePairForce& b) {
    if (a.getNumInteractionGroups() != b.getNumInteractionGroups())
        return false;
    for (int index = 0; index < a.getNumInteractionGroups(); index++) {
        pair<set<int>, set<int> > first, second;
        a.getInteractionGroupParameters(index, first.first, first.second);
        b.getInteractionGroupParameters(index, second.first, second.second);
        if (first != second)
            return false;
    }
    return true;
}

} // namespace

LearnablePairForceImpl::LearnablePairForceImpl(const LearnablePairForce& owner) : owner(owner), created(owner) {}

void LearnablePairForceImpl::initialize(ContextImpl& context) {
    checkParticleCount(owner, context.getSystem().getNumParticles());
    checkExclusions(owner);
    checkInteractionGroups(owner);
    checkBox(context);
    kernel = context.getPlatform().createKernel(CalcLearnablePairForceKernel::Name(), context);
    kernel.getAs<CalcLearnablePairForceKernel>().initialize(context.getSystem(), owner);
}

void LearnablePairForceImpl::checkBox(ContextImpl& context) const {
    if (!created.usesPeriodicBoundaryConditions())
        return;
    // Box vectors are in reduced form (a along x, b in the xy plane), so every displacement has exactly one image in
    // the brick |x| <= ax/2, |y| <= by/2, |z| <= cz/2. A sphere of radius min(ax, by, cz)/2 lies inside it: within
    // this cutoff a pair has at most one image, and it is the one that the platforms find.
    Vec3 a, b, c;
    context.getPeriodicBoxVectors(a, b, c);
    const double width = min({a[0], b[1], c[2]}), cutoff = created.getCutoffDistance();
    CHECK_ARG(cutoff <= 0.5 * width, "the cutoff (" << cutoff << " nm) must not exceed half the smallest box width ("
                                                    << width << " nm). Use a larger box or a smaller cutoff.");
}

vector<string> LearnablePairForceImpl::getKernelNames() { return {CalcLearnablePairForceKernel::Name()}; }

double LearnablePairForceImpl::calcForcesAndEnergy(ContextImpl& context, bool includeForces, bool includeEnergy,
                                                   int groups) {
    if ((groups & (1 << owner.getForceGroup())) == 0)
        return 0.0;
    checkBox(context);
    return kernel.getAs<CalcLearnablePairForceKernel>().execute(context, includeForces, includeEnergy);
}

void LearnablePairForceImpl::updateParametersInContext(ContextImpl& context) {
    checkParticleCount(owner, context.getSystem().getNumParticles());
    CHECK_ARG(owner.getCutoffDistance() == created.getCutoffDistance(),
              "updateParametersInContext() cannot change the cutoff (" << created.getCutoffDistance() << " nm), found "
                  << owner.getCutoffDistance() << " nm. Call context.reinitialize().");
    CHECK_ARG(owner.getNonbondedMethod() == created.getNonbondedMethod() && haveEqualExclusions(owner, created) &&
                  haveEqualInteractionGroups(owner, created),
              "updateParametersInContext() copies types and coefficients only, found a changed nonbonded method, "
              "exclusion or interaction group. Call context.reinitialize().");
    kernel.getAs<CalcLearnablePairForceKernel>().copyParametersToContext(context, owner);
    context.systemChanged();
}

void LearnablePairForceImpl::computeCoefficientDerivatives(ContextImpl& context, vector<double>& derivatives) {
    checkBox(context);
    kernel.getAs<CalcLearnablePairForceKernel>().computeCoefficientDerivatives(context, derivatives);
}

void LearnablePairForceImpl::computeHessianVectorProduct(ContextImpl& context, const vector<Vec3>& lambda,
                                                         vector<Vec3>& product, vector<double>& parameterProduct,
                                                         bool inPrecisionOfForces) {
    CHECK_ARG(static_cast<int>(lambda.size()) == created.getNumParticles(),
              "lambda must hold one vector for each of the " << created.getNumParticles() << " particles, found "
                                                             << lambda.size() << ". Give an array of shape [N, 3].");
    checkBox(context);
    kernel.getAs<CalcLearnablePairForceKernel>().computeHessianVectorProduct(context, lambda, product, parameterProduct,
                                                                               inPrecisionOfForces);
}

void LearnablePairForceImpl::computeVirial(ContextImpl& context, vector<double>& virial,
                                           vector<double>& traceDerivatives) {
    checkBox(context);
    kernel.getAs<CalcLearnablePairForceKernel>().computeVirial(context, virial, traceDerivatives);
}

} // namespace OpenMMGrad
