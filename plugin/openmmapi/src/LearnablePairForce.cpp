// SPDX-License-Identifier: MIT
#include "LearnablePairForce.h"
#include "internal/CheckArgument.h"
#include "internal/LearnablePairForceImpl.h"
#include <algorithm>
#include <cmath>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

void checkCutoff(double distance) {
    CHECK_ARG(isfinite(distance) && distance > 0,
              "the cutoff must be positive and finite, found " << distance << " nm. Give it in nm.");
}

void checkIndex(const char* what, int index, int size) {
    CHECK_ARG(index >= 0 && index < size, what << " index must be between 0 and " << size - 1 << ", found " << index
                                               << ". Add it first, or correct the index.");
}

} // namespace

LearnablePairForce::LearnablePairForce(int numTypes, double cutoff, int numCoefficients)
    : numTypes(numTypes), numCoefficients(numCoefficients), cutoff(cutoff), useDoublePrecision(false),
      nonbondedMethod(CutoffPeriodic) {
    CHECK_ARG(numTypes >= 1,
              "the number of types must be at least 1, found " << numTypes << ". Count the kinds of particles.");
    CHECK_ARG(numCoefficients >= 7, "the number of coefficients must be at least 7, found "
                                        << numCoefficients << ". Use more, for example 64; the last three are zero.");
    checkCutoff(cutoff);
    setName("LearnablePairForce");
    coefficients.assign(getNumTypePairs(), vector<double>(numCoefficients, 0.0));
}

void LearnablePairForce::setNonbondedMethod(NonbondedMethod method) {
    CHECK_ARG(method == CutoffNonPeriodic || method == CutoffPeriodic,
              "the nonbonded method must be CutoffNonPeriodic (0) or CutoffPeriodic (1), found "
                  << static_cast<int>(method) << ". Use one of the two.");
    nonbondedMethod = method;
}

void LearnablePairForce::setCutoffDistance(double distance) {
    checkCutoff(distance);
    cutoff = distance;
}

int LearnablePairForce::getTypePairIndex(int type1, int type2) const {
    checkIndex("type", type1, numTypes);
    checkIndex("type", type2, numTypes);
    const int first = min(type1, type2), second = max(type1, type2);
    return first * numTypes - first * (first - 1) / 2 + second - first;
}

void LearnablePairForce::getCoefficients(int type1, int type2, vector<double>& values) const {
    values = coefficients[getTypePairIndex(type1, type2)];
}

void LearnablePairForce::setCoefficients(int type1, int type2, const vector<double>& values) {
    const int pair = getTypePairIndex(type1, type2);
    CHECK_ARG(static_cast<int>(values.size()) == numCoefficients,
              numCoefficients << " coefficients were expected for types (" << type1 << ", " << type2 << "), found "
                              << values.size() << ". Give one value in kJ/mol for each spline of the force.");
    for (int k = 0; k < numCoefficients; k++)
        CHECK_ARG(isfinite(values[k]), "coefficients must be finite, found "
                                           << values[k] << " kJ/mol at index " << k << " for types (" << type1 << ", "
                                           << type2 << "). Look for NaN or overflow where they were computed.");
    for (int k = numCoefficients - 3; k < numCoefficients; k++)
        CHECK_ARG(values[k] == 0, "the last three coefficients must be zero, found "
                                      << values[k] << " kJ/mol at index " << k << " for types (" << type1 << ", "
                                      << type2 << "). Shift the potential to vanish at the cutoff and set them to 0.");
    coefficients[pair] = values;
}

int LearnablePairForce::addParticle(int type) {
    checkIndex("type", type, numTypes);
    particles.push_back(type);
    return getNumParticles() - 1;
}

int LearnablePairForce::getParticleType(int index) const {
    checkIndex("particle", index, getNumParticles());
    return particles[index];
}

void LearnablePairForce::setParticleType(int index, int type) {
    checkIndex("particle", index, getNumParticles());
    checkIndex("type", type, numTypes);
    particles[index] = type;
}

int LearnablePairForce::addExclusion(int particle1, int particle2) {
    exclusions.emplace_back(particle1, particle2);
    return getNumExclusions() - 1;
}

void LearnablePairForce::getExclusionParticles(int index, int& particle1, int& particle2) const {
    checkIndex("exclusion", index, getNumExclusions());
    particle1 = exclusions[index].first;
    particle2 = exclusions[index].second;
}

void LearnablePairForce::setExclusionParticles(int index, int particle1, int particle2) {
    checkIndex("exclusion", index, getNumExclusions());
    exclusions[index] = {particle1, particle2};
}

void LearnablePairForce::createExclusionsFromBonds(const vector<pair<int, int> >& bonds, int bondCutoff) {
    CHECK_ARG(bondCutoff >= 0,
              "the bond cutoff must not be negative, found " << bondCutoff << ". Use 2 to leave out angles, 3 for torsions.");
    vector<vector<int> > bonded(particles.size());
    for (const auto& bond : bonds) {
        checkIndex("bonded particle", bond.first, getNumParticles());
        checkIndex("bonded particle", bond.second, getNumParticles());
        bonded[bond.first].push_back(bond.second);
        bonded[bond.second].push_back(bond.first);
    }
    set<pair<int, int> > known;
    for (const auto& exclusion : exclusions)
        known.insert(minmax(exclusion.first, exclusion.second));
    for (int i = 0; i < getNumParticles(); i++) {
        set<int> reached = {i}, shell = {i};
        for (int step = 0; step < bondCutoff; step++) {
            set<int> next;
            for (int j : shell)
                for (int k : bonded[j])
                    if (reached.insert(k).second)
                        next.insert(k);
            shell.swap(next);
        }
        for (int j : reached)
            if (i < j && known.insert({i, j}).second)
                addExclusion(i, j);
    }
}

int LearnablePairForce::addInteractionGroup(const set<int>& set1, const set<int>& set2) {
    CHECK_ARG(interactionGroups.size() < 64, "at most 64 interaction groups are possible, found 65. Merge groups: a "
                                             "pair interacts if any group holds it.");
    interactionGroups.emplace_back(set1, set2);
    return getNumInteractionGroups() - 1;
}

void LearnablePairForce::getInteractionGroupParameters(int index, set<int>& set1, set<int>& set2) const {
    checkIndex("interaction group", index, getNumInteractionGroups());
    set1 = interactionGroups[index].first;
    set2 = interactionGroups[index].second;
}

void LearnablePairForce::setInteractionGroupParameters(int index, const set<int>& set1, const set<int>& set2) {
    checkIndex("interaction group", index, getNumInteractionGroups());
    interactionGroups[index] = {set1, set2};
}

ForceImpl* LearnablePairForce::createImpl() const { return new LearnablePairForceImpl(*this); }

LearnablePairForceImpl& LearnablePairForce::getImpl(Context& context) const {
    LearnablePairForceImpl* impl = nullptr;
    try {
        impl = dynamic_cast<LearnablePairForceImpl*>(&getImplInContext(context));
    } catch (const OpenMMException&) {
        // OpenMM's message does not say what to do: the check below does.
    }
    CHECK_ARG(impl != nullptr, "this force is not part of the given Context. Add it to the System before creating the "
                               "Context, and pass that Context (a copy of a force does not count).");
    return *impl;
}

void LearnablePairForce::updateParametersInContext(Context& context) {
    getImpl(context).updateParametersInContext(getContextImpl(context));
}

void LearnablePairForce::computeCoefficientDerivatives(Context& context, vector<double>& derivatives) const {
    getImpl(context).computeCoefficientDerivatives(getContextImpl(context), derivatives);
}

void LearnablePairForce::computeHessianVectorProduct(Context& context, const vector<Vec3>& lambda,
                                                     vector<Vec3>& product, vector<double>& parameterProduct,
                                                     bool inPrecisionOfForces) const {
    getImpl(context).computeHessianVectorProduct(getContextImpl(context), lambda, product, parameterProduct,
                                                 inPrecisionOfForces);
}

void LearnablePairForce::computeVirial(Context& context, vector<double>& virial,
                                       vector<double>& traceDerivatives) const {
    getImpl(context).computeVirial(getContextImpl(context), virial, traceDerivatives);
}

} // namespace OpenMMGrad
