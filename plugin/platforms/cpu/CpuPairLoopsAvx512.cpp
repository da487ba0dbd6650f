// SPDX-License-Identifier: MIT
#if defined(__x86_64__) && defined(__GNUC__)

#pragma GCC diagnostic ignored "-Wuninitialized" // false alarms in GCC 12's own <immintrin.h>
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include "CpuVectorsAvx512.h"
#include "CpuPairLoopsDouble.h"
#include "CpuPairLoopsSingle.h"
#include "CpuPairLoopsProduct.h"
#include "CpuPairLoopsBins.h"

namespace OpenMMGrad {

extern const CpuPairLoops cpuAvx512Loops = {findWithin,
                                            binDistances,
                                            addForcesInSingle,
                                            addProductInSingle,
                                            addForces,
                                            addCoefficientDerivatives,
                                            addHessianVectorProduct,
                                            addVirial};

} // namespace OpenMMGrad

#endif

