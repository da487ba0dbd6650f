// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUPAIRLOOPSAVX2_H_
#define OPENMMGRAD_CPUPAIRLOOPSAVX2_H_

#include "CpuPairLoops.h"
#include <immintrin.h>

// Instructions are chosen function by function: inline code of the standard library compiled here stays portable.
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX2_INLINE AVX2 inline __attribute__((always_inline))

namespace OpenMMGrad {

/** The members of CpuPairLoops. */
namespace avx2 {

int findWithin(const CpuGridScale& scale, const int32_t* x, const int32_t* y, const int32_t* z, int i, int begin, int end,
               int* entries);
void addForcesInSingle(const CpuPairList& list, const CpuSplineTable& table, const int32_t* grid, int begin, int end,
                       float* forces);
double addForces(const CpuPairShare& share, double* forces);
void addCoefficientDerivatives(const CpuPairShare& share, double* sums);
void addHessianVectorProduct(const CpuPairShare& share, const double* lambda, double* product, double* sums);
void addVirial(const CpuPairShare& share, double* virial, double* sums);

} // namespace avx2
} // namespace OpenMMGrad

#endif
