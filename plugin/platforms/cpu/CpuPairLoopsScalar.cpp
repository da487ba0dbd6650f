// SPDX-License-Identifier: MIT
#include "CpuVectorsScalar.h"
#include "CpuPairLoopsDouble.h"
#include "CpuPairLoopsSingle.h"
#include "CpuPairLoopsProduct.h"
#include "CpuPairLoopsBins.h"

namespace OpenMMGrad {

extern const CpuPairLoops cpuScalarLoops = {findWithin,
                                            binDistances,
                                            addForcesInSingle,
                                            addProductInSingle,
                                            addForces,
                                            addCoefficientDerivatives,
                                            addHessianVectorProduct,
                                            addVirial};

} // namespace OpenMMGrad

