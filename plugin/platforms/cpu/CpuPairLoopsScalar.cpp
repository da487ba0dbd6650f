// SPDX-License-Identifier: MIT
#include "CpuVectorsScalar.h"
#include "CpuPairLoopsDouble.h"
#include "CpuPairLoopsSingle.h"

namespace OpenMMGrad {

extern const CpuPairLoops cpuScalarLoops = {findWithin,
                                            addForcesInSingle,
                                            addForces,
                                            addCoefficientDerivatives,
                                            addHessianVectorProduct,
                                            addVirial};

} // namespace OpenMMGrad

