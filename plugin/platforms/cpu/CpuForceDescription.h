// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUFORCEDESCRIPTION_H_
#define OPENMMGRAD_CPUFORCEDESCRIPTION_H_

#include "CpuPairList.h"
#include "LearnablePairForce.h"
#include <vector>

namespace OpenMMGrad {

/** Exclusions and interaction groups. */
PairSelection selectionOf(const LearnablePairForce& force);
/** CpuSplineTable::slots. */
std::vector<int> slotsOf(const LearnablePairForce& force);

} // namespace OpenMMGrad

#endif
