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
/** The splines of an interval as polynomials, CpuSplineTable::basis. */
void fillBasis(double basis[4][4]);

} // namespace OpenMMGrad

#endif
