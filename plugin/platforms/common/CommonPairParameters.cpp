// SPDX-License-Identifier: MIT
#include "CommonPairParameters.h"
#include "SplineBasis.h"
#include "internal/CheckArgument.h"
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

const int MaxClasses = 4096;

/** The largest exponent that keeps sums up to the bound below 2^62. */
int exponentOf(double bound, int largest) {
    return bound > 0 ? min(largest, static_cast<int>(floor(62 - log2(bound)))) : largest;
}

} // namespace

CommonPairParameters::CommonPairParameters(ComputeContext& cc, const LearnablePairForce& force)
    : cc(cc), numParticles(force.getNumParticles()), numTypes(force.getNumTypes()),
      numTypePairs(force.getNumTypePairs()), numIntervals(force.getNumCoefficients() - 3),
      cutoff(force.getCutoffDistance()) {
    findMemberships(force);
    const int elementSize = cc.getUseDoublePrecision() ? sizeof(mm_double4) : sizeof(mm_float4);
    classes.initialize<int>(cc, cc.getPaddedNumAtoms(), "learnablePairClasses");
    table.initialize(cc, numTypePairs * numIntervals, elementSize, "learnablePairTable");
    update(force);
}

void CommonPairParameters::findMemberships(const LearnablePairForce& force) {
    vector<pair<uint64_t, uint64_t> > sets(numParticles, {0, 0});
    for (int group = 0; group < force.getNumInteractionGroups(); group++) {
        const uint64_t bit = uint64_t(1) << group;
        set<int> set1, set2;
        force.getInteractionGroupParameters(group, set1, set2);
        for (int i : set1)
            sets[i].first |= bit;
        for (int i : set2)
            sets[i].second |= bit;
    }
    vector<pair<uint64_t, uint64_t> > memberships = sets;
    sort(memberships.begin(), memberships.end());
    memberships.erase(unique(memberships.begin(), memberships.end()), memberships.end());
    numClasses = memberships.size() * numTypes;
    CHECK_ARG(numClasses <= MaxClasses,
              "on " << cc.getContextImpl()->getPlatform().getName() << " at most " << MaxClasses
                    << " kinds of particles (types times sets of interaction groups) are possible, found " << numClasses
                    << ". Use fewer interaction groups, or the CPU platform.");
    membershipOfParticle.resize(numParticles);
    for (int i = 0; i < numParticles; i++)
        membershipOfParticle[i] = lower_bound(memberships.begin(), memberships.end(), sets[i]) - memberships.begin();
    // class = membership*numTypes + type: the table of classes stays the same when types change.
    vector<int> rowOfClasses(numClasses * numClasses);
    for (int a = 0; a < numClasses; a++)
        for (int b = 0; b < numClasses; b++) {
            const auto& first = memberships[a / numTypes];
            const auto& second = memberships[b / numTypes];
            const bool interact = force.getNumInteractionGroups() == 0 ||
                                  ((first.first & second.second) | (first.second & second.first)) != 0;
            rowOfClasses[a * numClasses + b] = interact ? force.getTypePairIndex(a % numTypes, b % numTypes) : -1;
        }
    onlyRow = rowOfClasses[0];
    rows.initialize<int>(cc, rowOfClasses.size(), "learnablePairRows");
    rows.upload(rowOfClasses);
}

bool CommonPairParameters::update(const LearnablePairForce& force) {
    // By index in the System: particles that OpenMM reorders are identical, so that the list stays right on the device.
    vector<int> now(cc.getPaddedNumAtoms(), 0);
    for (int i = 0; i < numParticles; i++)
        now[i] = membershipOfParticle[i] * numTypes + force.getParticleType(i);
    const bool changed = now != classOfParticle;
    if (changed) {
        classOfParticle = now;
        classes.upload(now);
    }
    fillTable(force);
    return changed;
}

void CommonPairParameters::fillTable(const LearnablePairForce& force) {
    double basis[4][4];
    SplineBasis::polynomials(basis);
    const double width = cutoff / numIntervals, nearest = cutoff / 32;
    vector<double> cubics(4 * numTypePairs * numIntervals, 0.0), c;
    largestStiffness = largestVirial = 0;
    for (int a = 0; a < numTypes; a++)
        for (int b = a; b < numTypes; b++) {
            force.getCoefficients(a, b, c);
            for (int interval = 0; interval < numIntervals; interval++) {
                double* u = &cubics[4 * (force.getTypePairIndex(a, b) * numIntervals + interval)];
                for (int p = 0; p < 4; p++)
                    for (int m = 0; m < 4; m++)
                        u[p] += c[interval + m] * basis[p][m];
                const double slope = (abs(u[1]) + 2 * abs(u[2]) + 3 * abs(u[3])) / width;
                const double curvature = (2 * abs(u[2]) + 6 * abs(u[3])) / (width * width);
                largestVirial = max(largestVirial, slope * (interval + 1) * width);
                largestStiffness = max({largestStiffness, curvature, slope / max(interval * width, nearest)});
            }
        }
    if (cc.getUseDoublePrecision())
        uploadTable<mm_double4, double>(cubics);
    else
        uploadTable<mm_float4, float>(cubics);
}

template <class Real4, class Real> void CommonPairParameters::uploadTable(const vector<double>& cubics) {
    vector<Real4> rounded(table.getSize());
    for (size_t k = 0; k < rounded.size(); k++)
        rounded[k] = Real4(static_cast<Real>(cubics[4 * k]), static_cast<Real>(cubics[4 * k + 1]),
                           static_cast<Real>(cubics[4 * k + 2]), static_cast<Real>(cubics[4 * k + 3]));
    table.upload(rounded);
}

int CommonPairParameters::getSumExponent(double largestTerm) const {
    const double pairs = min(0.5 * numParticles * (numParticles - 1.0), 1024.0 * numParticles);
    // Terms of single precision have 24 bits: below 2^31 most of them fit into one word of the sum.
    return exponentOf(max(pairs, 1.0) * largestTerm, cc.getUseDoublePrecision() ? 60 : 31);
}

int CommonPairParameters::getProductExponent() const { return exponentOf(64 * 2 * sqrt(3.0) * largestStiffness, 100); }

int CommonPairParameters::getVirialExponent() const { return exponentOf(64.0 * numParticles * largestVirial, 100); }

} // namespace OpenMMGrad
