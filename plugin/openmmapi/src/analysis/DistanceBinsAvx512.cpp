// SPDX-License-Identifier: MIT
#if defined(__x86_64__) && defined(__GNUC__)

#include "DistanceBins.h"
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f")))
#define INLINE TARGET inline __attribute__((always_inline))

namespace OpenMMGrad {
namespace avx512 {

namespace {

struct Lanes {
    typedef __m512 Float;
    typedef __m512i Int;
    typedef __mmask16 Mask;
    enum { Width = 16 };
    INLINE static Int load(const int32_t* p) { return _mm512_loadu_si512(p); }
    INLINE static Int set(int32_t v) { return _mm512_set1_epi32(v); }
    INLINE static Float set(float v) { return _mm512_set1_ps(v); }
    INLINE static Int add(Int a, Int b) { return _mm512_add_epi32(a, b); }
    INLINE static Int sub(Int a, Int b) { return _mm512_sub_epi32(a, b); }
    INLINE static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
    INLINE static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
    INLINE static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
    INLINE static Float sqrt(Float v) { return _mm512_sqrt_ps(v); }
    INLINE static Float abs(Float v) { return _mm512_abs_ps(v); }
    INLINE static Float round(Float v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT); }
    INLINE static Float toFloat(Int v) { return _mm512_cvtepi32_ps(v); }
    INLINE static Int toInt(Float v) { return _mm512_cvtps_epi32(v); }
    INLINE static Int truncate(Float v) { return _mm512_cvttps_epi32(v); }
    INLINE static Mask less(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
    INLINE static Mask first(int n) { return n < Width ? (1u << n) - 1 : 0xffff; }
    INLINE static Mask both(Mask a, Mask b) { return a & b; }
    INLINE static Mask without(Mask a, Mask b) { return a & ~b; }
    INLINE static unsigned bits(Mask mask) { return mask; }
    /** Store the elements that are set, one after the other. @return how many they are */
    INLINE static int storeSet(int32_t* p, Int v, Mask mask) {
        _mm512_storeu_si512(p, _mm512_maskz_compress_epi32(mask, v));
        return __builtin_popcount(mask);
    }
};

#include "DistanceBinsLoop.h"

} // namespace

extern const BinDistances binDistances = choose;

} // namespace avx512
} // namespace OpenMMGrad

#endif
