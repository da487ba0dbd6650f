// SPDX-License-Identifier: MIT
#include "CpuVectorsScalar.h"
#include "CpuPairLoopsDouble.h"
#include "CpuPairLoopsSingle.h"
#include "CpuPairLoopsBins.h"

namespace OpenMMGrad {

extern const CpuPairLoops cpuScalarLoops = {findWithin,
                                            binDistances,
                                            addForcesInSingle,
                                            addForces,
                                            addCoefficientDerivatives,
                                            addHessianVectorProduct,
                                            addVirial};

} // namespace OpenMMGrad

