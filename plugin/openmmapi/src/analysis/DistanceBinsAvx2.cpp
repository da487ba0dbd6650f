// SPDX-License-Identifier: MIT
#if defined(__x86_64__) && defined(__GNUC__)

#include "DistanceBins.h"
#include <cstring>
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma,popcnt")))
#define INLINE TARGET inline __attribute__((always_inline))

namespace OpenMMGrad {
namespace avx2 {

namespace {

/** For each mask of eight bits, the lanes that are set, as eight bytes. */
struct SetLanes {
    uint64_t lanes[256];
    SetLanes() {
        for (int mask = 0; mask < 256; mask++) {
            unsigned char bytes[8] = {};
            for (int lane = 0, count = 0; lane < 8; lane++)
                if (mask >> lane & 1)
                    bytes[count++] = lane;
            std::memcpy(&lanes[mask], bytes, 8);
        }
    }
};
const SetLanes setLanes;

struct Lanes {
    typedef __m256 Float;
    typedef __m256i Int;
    typedef __m256 Mask;
    enum { Width = 8 };
    INLINE static Int load(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
    INLINE static Int set(int32_t v) { return _mm256_set1_epi32(v); }
    INLINE static Float set(float v) { return _mm256_set1_ps(v); }
    INLINE static Int add(Int a, Int b) { return _mm256_add_epi32(a, b); }
    INLINE static Int sub(Int a, Int b) { return _mm256_sub_epi32(a, b); }
    INLINE static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
    INLINE static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
    INLINE static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
    INLINE static Float sqrt(Float v) { return _mm256_sqrt_ps(v); }
    INLINE static Float abs(Float v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }
    INLINE static Float round(Float v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    INLINE static Float toFloat(Int v) { return _mm256_cvtepi32_ps(v); }
    INLINE static Int toInt(Float v) { return _mm256_cvtps_epi32(v); }
    INLINE static Int truncate(Float v) { return _mm256_cvttps_epi32(v); }
    INLINE static Mask less(Float a, Float b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
    INLINE static Mask first(int n) {
        return _mm256_castsi256_ps(_mm256_cmpgt_epi32(set(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
    }
    INLINE static Mask both(Mask a, Mask b) { return _mm256_and_ps(a, b); }
    INLINE static Mask without(Mask a, Mask b) { return _mm256_andnot_ps(b, a); }
    INLINE static unsigned bits(Mask mask) { return _mm256_movemask_ps(mask); }
    /** Store the elements that are set, one after the other. @return how many they are */
    INLINE static int storeSet(int32_t* p, Int v, Mask mask) {
        const unsigned set = bits(mask);
        const __m256i lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(setLanes.lanes[set]));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permutevar8x32_epi32(v, lanes));
        return __builtin_popcount(set);
    }
};

#include "DistanceBinsLoop.h"

} // namespace

extern const BinDistances binDistances = choose;

} // namespace avx2
} // namespace OpenMMGrad

#endif
