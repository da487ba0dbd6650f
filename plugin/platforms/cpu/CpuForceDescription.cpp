// SPDX-License-Identifier: MIT
#include "CpuForceDescription.h"
#include <set>

using namespace std;

namespace OpenMMGrad {

PairSelection selectionOf(const LearnablePairForce& force) {
    const int numParticles = force.getNumParticles();
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

vector<int> slotsOf(const LearnablePairForce& force) {
    const int numTypes = force.getNumTypes();
    vector<int> slots(numTypes * numTypes);
    for (int a = 0; a < numTypes; a++)
        for (int b = 0; b < numTypes; b++)
            slots[a * numTypes + b] = force.getTypePairIndex(a, b) * (force.getNumCoefficients() - 3);
    return slots;
}

} // namespace OpenMMGrad
