// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUVECTORSAVX2_H_
#define OPENMMGRAD_CPUVECTORSAVX2_H_

#include <cstdint>
#include <cstring>
#include <immintrin.h>

// AVX2 and FMA; see CpuVectorsScalar.h. Instructions are chosen function by function: inline code of the standard
// library compiled beside it stays portable.
#define SIMD __attribute__((target("avx2,fma")))
#define SIMD_INLINE SIMD inline __attribute__((always_inline))

namespace OpenMMGrad {

namespace {

struct Doubles {
    static const int Size = 4;
    __m256d v;
    Doubles() = default;
    SIMD_INLINE Doubles(__m256d v) : v(v) {}
    SIMD_INLINE Doubles(double v) : v(_mm256_set1_pd(v)) {}
    SIMD_INLINE static Doubles load(const double* p) { return _mm256_loadu_pd(p); }
    SIMD_INLINE void store(double* p) const { _mm256_storeu_pd(p, v); }
};
struct DoubleMask {
    __m256d v;
};
struct Indices {
    __m128i v;
    Indices() = default;
    SIMD_INLINE Indices(__m128i v) : v(v) {}
    SIMD_INLINE Indices(int32_t v) : v(_mm_set1_epi32(v)) {}
    SIMD_INLINE static Indices load(const int* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
    SIMD_INLINE void store(int* p) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v); }
};
struct Floats {
    static const int Size = 8;
    __m256 v;
    Floats() = default;
    SIMD_INLINE Floats(__m256 v) : v(v) {}
    SIMD_INLINE Floats(float v) : v(_mm256_set1_ps(v)) {}
    SIMD_INLINE static Floats load(const float* p) { return _mm256_loadu_ps(p); }
    SIMD_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
};
struct FloatMask {
    __m256 v;
};
struct Ints {
    __m256i v;
    Ints() = default;
    SIMD_INLINE Ints(__m256i v) : v(v) {}
    SIMD_INLINE Ints(int32_t v) : v(_mm256_set1_epi32(v)) {}
    SIMD_INLINE static Ints load(const int* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
    SIMD_INLINE void store(int* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
};

SIMD_INLINE Doubles operator+(Doubles a, Doubles b) { return _mm256_add_pd(a.v, b.v); }
SIMD_INLINE Doubles operator-(Doubles a, Doubles b) { return _mm256_sub_pd(a.v, b.v); }
SIMD_INLINE Doubles operator*(Doubles a, Doubles b) { return _mm256_mul_pd(a.v, b.v); }
SIMD_INLINE Doubles fma(Doubles a, Doubles b, Doubles c) { return _mm256_fmadd_pd(a.v, b.v, c.v); }
SIMD_INLINE Doubles fnma(Doubles a, Doubles b, Doubles c) { return _mm256_fnmadd_pd(a.v, b.v, c.v); }
SIMD_INLINE Doubles roundToNearest(Doubles a) {
    return _mm256_round_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
SIMD_INLINE DoubleMask less(Doubles a, Doubles b) { return DoubleMask{_mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ)}; }
SIMD_INLINE DoubleMask both(DoubleMask a, DoubleMask b) { return DoubleMask{_mm256_and_pd(a.v, b.v)}; }
SIMD_INLINE Doubles only(DoubleMask mask, Doubles a) { return _mm256_and_pd(mask.v, a.v); }
SIMD_INLINE DoubleMask firstDoubles(int n) {
    const __m128i lanes = _mm_cmpgt_epi32(_mm_set1_epi32(n), _mm_setr_epi32(0, 1, 2, 3));
    return DoubleMask{_mm256_castsi256_pd(_mm256_cvtepi32_epi64(lanes))};
}
SIMD_INLINE double sum(Doubles a) {
    const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}
/** row += (sum of x, sum of y, sum of z, something) */
SIMD_INLINE void addSums(double* row, Doubles x, Doubles y, Doubles z) {
    const __m256d xy = _mm256_hadd_pd(x.v, y.v), zz = _mm256_hadd_pd(z.v, z.v);
    const __m256d low = _mm256_permute2f128_pd(xy, zz, 0x20), high = _mm256_permute2f128_pd(xy, zz, 0x31);
    _mm256_storeu_pd(row, _mm256_add_pd(_mm256_loadu_pd(row), _mm256_add_pd(low, high)));
}
SIMD_INLINE Indices truncate(Doubles a) { return _mm256_cvttpd_epi32(a.v); }
SIMD_INLINE Doubles toDoubles(Indices a) { return _mm256_cvtepi32_pd(a.v); }
SIMD_INLINE Indices operator+(Indices a, Indices b) { return _mm_add_epi32(a.v, b.v); }
SIMD_INLINE Indices min(Indices a, Indices b) { return _mm_min_epi32(a.v, b.v); }
SIMD_INLINE Indices timesFour(Indices a) { return _mm_slli_epi32(a.v, 2); }

SIMD_INLINE Floats operator+(Floats a, Floats b) { return _mm256_add_ps(a.v, b.v); }
SIMD_INLINE Floats operator-(Floats a, Floats b) { return _mm256_sub_ps(a.v, b.v); }
SIMD_INLINE Floats operator*(Floats a, Floats b) { return _mm256_mul_ps(a.v, b.v); }
SIMD_INLINE Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
SIMD_INLINE FloatMask less(Floats a, Floats b) { return FloatMask{_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
SIMD_INLINE FloatMask both(FloatMask a, FloatMask b) { return FloatMask{_mm256_and_ps(a.v, b.v)}; }
SIMD_INLINE Floats only(FloatMask mask, Floats a) { return _mm256_and_ps(mask.v, a.v); }
SIMD_INLINE Ints countUp() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
SIMD_INLINE FloatMask firstFloats(int n) {
    return FloatMask{_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), countUp().v))};
}
SIMD_INLINE void addSums(float* row, Floats x, Floats y, Floats z) {
    const __m256 xy = _mm256_hadd_ps(x.v, y.v), zz = _mm256_hadd_ps(z.v, z.v);
    const __m256 parts = _mm256_hadd_ps(xy, zz);
    const __m128 sums = _mm_add_ps(_mm256_castps256_ps128(parts), _mm256_extractf128_ps(parts, 1));
    _mm_storeu_ps(row, _mm_add_ps(_mm_loadu_ps(row), sums));
}
SIMD_INLINE Ints operator+(Ints a, Ints b) { return _mm256_add_epi32(a.v, b.v); }
SIMD_INLINE Ints operator-(Ints a, Ints b) { return _mm256_sub_epi32(a.v, b.v); }
SIMD_INLINE Ints min(Ints a, Ints b) { return _mm256_min_epi32(a.v, b.v); }
SIMD_INLINE Ints timesFour(Ints a) { return _mm256_slli_epi32(a.v, 2); }
SIMD_INLINE Ints truncate(Floats a) { return _mm256_cvttps_epi32(a.v); }
SIMD_INLINE Ints roundToInts(Floats a) { return _mm256_cvtps_epi32(a.v); }
SIMD_INLINE Floats toFloats(Ints a) { return _mm256_cvtepi32_ps(a.v); }

SIMD_INLINE void findRoot(Doubles square, Doubles& root, Doubles& inverse) {
    root = _mm256_sqrt_pd(square.v); // beside the division, not before it
    const Doubles inverseSquare = _mm256_div_pd(_mm256_set1_pd(1.0), square.v);
    inverse = only(less(_mm256_setzero_pd(), square), root * inverseSquare);
}
SIMD_INLINE void findRoot(Floats square, Floats& root, Floats& inverse) {
    root = _mm256_sqrt_ps(square.v);
    inverse = only(less(_mm256_setzero_ps(), square), _mm256_div_ps(_mm256_set1_ps(1.0f), root.v));
}

SIMD_INLINE void transpose(__m256d v[4]) {
    const __m256d a = _mm256_unpacklo_pd(v[0], v[1]), b = _mm256_unpackhi_pd(v[0], v[1]);
    const __m256d c = _mm256_unpacklo_pd(v[2], v[3]), d = _mm256_unpackhi_pd(v[2], v[3]);
    v[0] = _mm256_permute2f128_pd(a, c, 0x20);
    v[1] = _mm256_permute2f128_pd(b, d, 0x20);
    v[2] = _mm256_permute2f128_pd(a, c, 0x31);
    v[3] = _mm256_permute2f128_pd(b, d, 0x31);
}
SIMD_INLINE void gatherRows(const double* base, const int* offsets, Doubles columns[4]) {
    __m256d rows[4];
    for (int n = 0; n < 4; n++)
        rows[n] = _mm256_loadu_pd(base + offsets[n]);
    transpose(rows);
    for (int m = 0; m < 4; m++)
        columns[m] = rows[m];
}
SIMD_INLINE void addRows(double* base, const int* offsets, const Doubles columns[4]) {
    __m256d rows[4] = {columns[0].v, columns[1].v, columns[2].v, columns[3].v};
    transpose(rows);
    for (int n = 0; n < 4; n++)
        _mm256_storeu_pd(base + offsets[n], _mm256_add_pd(_mm256_loadu_pd(base + offsets[n]), rows[n]));
}
SIMD_INLINE void gatherRows(const float* base, const int* offsets, Floats columns[4]) {
    __m256 rows[4];
    for (int n = 0; n < 4; n++)
        rows[n] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(base + offsets[n])),
                                       _mm_loadu_ps(base + offsets[n + 4]), 1);
    const __m256 ab01 = _mm256_unpacklo_ps(rows[0], rows[1]), cd01 = _mm256_unpackhi_ps(rows[0], rows[1]);
    const __m256 ab23 = _mm256_unpacklo_ps(rows[2], rows[3]), cd23 = _mm256_unpackhi_ps(rows[2], rows[3]);
    columns[0] = _mm256_shuffle_ps(ab01, ab23, 0x44);
    columns[1] = _mm256_shuffle_ps(ab01, ab23, 0xee);
    columns[2] = _mm256_shuffle_ps(cd01, cd23, 0x44);
    columns[3] = _mm256_shuffle_ps(cd01, cd23, 0xee);
}
SIMD_INLINE void gatherRows(const int32_t* base, const int* offsets, Ints columns[4]) {
    Floats bits[4];
    gatherRows(reinterpret_cast<const float*>(base), offsets, bits);
    for (int m = 0; m < 4; m++)
        columns[m] = _mm256_castps_si256(bits[m].v);
}
SIMD_INLINE void subtractRows(float* base, const int* offsets, Floats x, Floats y, Floats z) {
    const __m256 none = _mm256_setzero_ps();
    const __m256 xy01 = _mm256_unpacklo_ps(x.v, y.v), xy23 = _mm256_unpackhi_ps(x.v, y.v);
    const __m256 z01 = _mm256_unpacklo_ps(z.v, none), z23 = _mm256_unpackhi_ps(z.v, none);
    const __m256 rows[4] = {_mm256_shuffle_ps(xy01, z01, 0x44), _mm256_shuffle_ps(xy01, z01, 0xee),
                            _mm256_shuffle_ps(xy23, z23, 0x44), _mm256_shuffle_ps(xy23, z23, 0xee)};
    for (int n = 0; n < 4; n++) {
        float* low = base + offsets[n];
        _mm_storeu_ps(low, _mm_sub_ps(_mm_loadu_ps(low), _mm256_castps256_ps128(rows[n])));
        float* high = base + offsets[n + 4];
        _mm_storeu_ps(high, _mm_sub_ps(_mm_loadu_ps(high), _mm256_extractf128_ps(rows[n], 1)));
    }
}

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

/** For each mask of four lanes: the doubles of set lanes first, as permutation of eight halves. */
alignas(32) const int32_t laneOrder[16][8] = {
    {0, 1, 2, 3, 4, 5, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7}, {2, 3, 0, 1, 4, 5, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7},
    {4, 5, 0, 1, 2, 3, 6, 7}, {0, 1, 4, 5, 2, 3, 6, 7}, {2, 3, 4, 5, 0, 1, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7},
    {6, 7, 0, 1, 2, 3, 4, 5}, {0, 1, 6, 7, 2, 3, 4, 5}, {2, 3, 6, 7, 0, 1, 4, 5}, {0, 1, 2, 3, 6, 7, 4, 5},
    {4, 5, 6, 7, 0, 1, 2, 3}, {0, 1, 4, 5, 6, 7, 2, 3}, {2, 3, 4, 5, 6, 7, 0, 1}, {0, 1, 2, 3, 4, 5, 6, 7}};

struct FloatPacker {
    __m256i order;
    int count;
    SIMD_INLINE explicit FloatPacker(FloatMask mask) {
        const int bits = _mm256_movemask_ps(mask.v);
        order = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(setLanes.lanes[bits]));
        count = __builtin_popcount(bits);
    }
    SIMD_INLINE void store(Floats v, float* to) const { _mm256_storeu_ps(to, _mm256_permutevar8x32_ps(v.v, order)); }
    SIMD_INLINE void store(Ints v, int* to) const { Ints(_mm256_permutevar8x32_epi32(v.v, order)).store(to); }
};

struct DoublePacker {
    __m256i order, halfOrder;
    int count;
    SIMD_INLINE explicit DoublePacker(DoubleMask mask) {
        const int bits = _mm256_movemask_pd(mask.v);
        order = _mm256_load_si256(reinterpret_cast<const __m256i*>(laneOrder[bits]));
        // the same order for integers: every second of the halves
        const __m256i halves = _mm256_permutevar8x32_epi32(order, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
        halfOrder = _mm256_srli_epi32(halves, 1);
        count = __builtin_popcount(bits);
    }
    SIMD_INLINE void store(Doubles v, double* to) const {
        const __m256i packed = _mm256_permutevar8x32_epi32(_mm256_castpd_si256(v.v), order);
        _mm256_storeu_pd(to, _mm256_castsi256_pd(packed));
    }
    SIMD_INLINE void store(Indices v, int* to) const {
        Indices(_mm256_castsi256_si128(_mm256_permutevar8x32_epi32(_mm256_castsi128_si256(v.v), halfOrder))).store(to);
    }
};

struct FewSlots {
    const int* slots;
    bool few;
    __m256i held;
    SIMD_INLINE FewSlots(const int* slots, int numTypes) : slots(slots), few(numTypes <= 8) {
        held = _mm256_maskload_epi32(slots, _mm256_cmpgt_epi32(_mm256_set1_epi32(numTypes), countUp().v));
    }
    SIMD_INLINE Ints find(Ints types) const {
        return few ? _mm256_permutevar8x32_epi32(held, types.v) : _mm256_i32gather_epi32(slots, types.v, 4);
    }
    SIMD_INLINE Indices find(Indices types) const {
        return _mm256_castsi256_si128(find(Ints(_mm256_zextsi128_si256(types.v))).v);
    }
};

struct RegisterTable {
    static const bool Exists = false;
    SIMD_INLINE RegisterTable(const float*, int) {}
    static bool fits(int) { return false; }
    SIMD_INLINE Floats find(const int*, Floats t) const { return t; }
};

} // namespace
} // namespace OpenMMGrad

#endif
