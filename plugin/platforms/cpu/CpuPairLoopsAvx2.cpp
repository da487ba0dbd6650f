// SPDX-License-Identifier: MIT
#if defined(__x86_64__) && defined(__GNUC__)

#include "CpuVectorsAvx2.h"
#include "CpuPairLoopsDouble.h"
#include "CpuPairLoopsSingle.h"

namespace OpenMMGrad {

extern const CpuPairLoops cpuAvx2Loops = {findWithin,
                                            addForcesInSingle,
                                            addForces,
                                            addCoefficientDerivatives,
                                            addHessianVectorProduct,
                                            addVirial};

} // namespace OpenMMGrad

#endif

