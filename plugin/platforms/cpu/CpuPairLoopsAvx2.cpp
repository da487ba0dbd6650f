// SPDX-License-Identifier: MIT
#if defined(__x86_64__) && defined(__GNUC__)

#include "CpuVectorsAvx2.h"
#include "CpuPairLoopsDouble.h"
#include "CpuPairLoopsSingle.h"
#include "CpuPairLoopsProduct.h"
#include "CpuPairLoopsBins.h"

namespace OpenMMGrad {

extern const CpuPairLoops cpuAvx2Loops = {findWithin,
                                            binDistances,
                                            addForcesInSingle,
                                            addProductInSingle,
                                            addForces,
                                            addCoefficientDerivatives,
                                            addHessianVectorProduct,
                                            addVirial};

} // namespace OpenMMGrad

#endif

