// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUVECTORSAVX512_H_
#define OPENMMGRAD_CPUVECTORSAVX512_H_

#include <cstdint>
#include <immintrin.h>

// AVX-512 (F, VL, DQ, BW); see CpuVectorsScalar.h and CpuVectorsAvx2.h. Lanes are packed in registers: storing packed
// lanes in one instruction is microcode on some processors.
#define SIMD __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")))
#define SIMD_INLINE SIMD inline __attribute__((always_inline))

namespace OpenMMGrad {

namespace {

struct Doubles {
    static const int Size = 8;
    __m512d v;
    Doubles() = default;
    SIMD_INLINE Doubles(__m512d v) : v(v) {}
    SIMD_INLINE Doubles(double v) : v(_mm512_set1_pd(v)) {}
    SIMD_INLINE static Doubles load(const double* p) { return _mm512_loadu_pd(p); }
    SIMD_INLINE void store(double* p) const { _mm512_storeu_pd(p, v); }
};
struct DoubleMask {
    __mmask8 v;
};
struct Indices {
    __m256i v;
    Indices() = default;
    SIMD_INLINE Indices(__m256i v) : v(v) {}
    SIMD_INLINE Indices(int32_t v) : v(_mm256_set1_epi32(v)) {}
    SIMD_INLINE static Indices load(const int* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
    SIMD_INLINE void store(int* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
};
struct Floats {
    static const int Size = 16;
    __m512 v;
    Floats() = default;
    SIMD_INLINE Floats(__m512 v) : v(v) {}
    SIMD_INLINE Floats(float v) : v(_mm512_set1_ps(v)) {}
    SIMD_INLINE static Floats load(const float* p) { return _mm512_loadu_ps(p); }
    SIMD_INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
};
struct FloatMask {
    __mmask16 v;
};
struct Ints {
    __m512i v;
    Ints() = default;
    SIMD_INLINE Ints(__m512i v) : v(v) {}
    SIMD_INLINE Ints(int32_t v) : v(_mm512_set1_epi32(v)) {}
    SIMD_INLINE static Ints load(const int* p) { return _mm512_loadu_si512(p); }
    SIMD_INLINE void store(int* p) const { _mm512_storeu_si512(p, v); }
};

SIMD_INLINE Doubles operator+(Doubles a, Doubles b) { return _mm512_add_pd(a.v, b.v); }
SIMD_INLINE Doubles operator-(Doubles a, Doubles b) { return _mm512_sub_pd(a.v, b.v); }
SIMD_INLINE Doubles operator*(Doubles a, Doubles b) { return _mm512_mul_pd(a.v, b.v); }
SIMD_INLINE Doubles fma(Doubles a, Doubles b, Doubles c) { return _mm512_fmadd_pd(a.v, b.v, c.v); }
SIMD_INLINE Doubles fnma(Doubles a, Doubles b, Doubles c) { return _mm512_fnmadd_pd(a.v, b.v, c.v); }
SIMD_INLINE Doubles roundToNearest(Doubles a) {
    return _mm512_roundscale_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
SIMD_INLINE DoubleMask less(Doubles a, Doubles b) { return DoubleMask{_mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ)}; }
SIMD_INLINE DoubleMask both(DoubleMask a, DoubleMask b) { return DoubleMask{static_cast<__mmask8>(a.v & b.v)}; }
SIMD_INLINE Doubles only(DoubleMask mask, Doubles a) { return _mm512_maskz_mov_pd(mask.v, a.v); }
SIMD_INLINE DoubleMask firstDoubles(int n) { return DoubleMask{static_cast<__mmask8>(n < 8 ? (1 << n) - 1 : 255)}; }
SIMD_INLINE double sum(Doubles a) { return _mm512_reduce_add_pd(a.v); }
SIMD_INLINE __m256d sumHalves(__m512d v) {
    return _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
}
/** row += (sum of x, sum of y, sum of z, something) */
SIMD_INLINE void addSums(double* row, Doubles x, Doubles y, Doubles z) {
    const __m256d zHalf = sumHalves(z.v);
    const __m256d xy = _mm256_hadd_pd(sumHalves(x.v), sumHalves(y.v)), zz = _mm256_hadd_pd(zHalf, zHalf);
    const __m256d low = _mm256_permute2f128_pd(xy, zz, 0x20), high = _mm256_permute2f128_pd(xy, zz, 0x31);
    _mm256_storeu_pd(row, _mm256_add_pd(_mm256_loadu_pd(row), _mm256_add_pd(low, high)));
}
SIMD_INLINE Indices truncate(Doubles a) { return _mm512_cvttpd_epi32(a.v); }
SIMD_INLINE Doubles toDoubles(Indices a) { return _mm512_cvtepi32_pd(a.v); }
SIMD_INLINE Indices operator+(Indices a, Indices b) { return _mm256_add_epi32(a.v, b.v); }
SIMD_INLINE Indices min(Indices a, Indices b) { return _mm256_min_epi32(a.v, b.v); }
SIMD_INLINE Indices timesFour(Indices a) { return _mm256_slli_epi32(a.v, 2); }

SIMD_INLINE Floats operator+(Floats a, Floats b) { return _mm512_add_ps(a.v, b.v); }
SIMD_INLINE Floats operator-(Floats a, Floats b) { return _mm512_sub_ps(a.v, b.v); }
SIMD_INLINE Floats operator*(Floats a, Floats b) { return _mm512_mul_ps(a.v, b.v); }
SIMD_INLINE Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
SIMD_INLINE FloatMask less(Floats a, Floats b) { return FloatMask{_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
SIMD_INLINE FloatMask both(FloatMask a, FloatMask b) { return FloatMask{static_cast<__mmask16>(a.v & b.v)}; }
SIMD_INLINE Floats only(FloatMask mask, Floats a) { return _mm512_maskz_mov_ps(mask.v, a.v); }
SIMD_INLINE Ints countUp() {
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
SIMD_INLINE FloatMask firstFloats(int n) {
    return FloatMask{static_cast<__mmask16>(n < 16 ? (1 << n) - 1 : 65535)};
}
SIMD_INLINE __m256 sumHalves(__m512 v) {
    return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}
SIMD_INLINE void addSums(float* row, Floats x, Floats y, Floats z) {
    const __m256 xy = _mm256_hadd_ps(sumHalves(x.v), sumHalves(y.v)), zz = sumHalves(z.v);
    const __m256 parts = _mm256_hadd_ps(xy, _mm256_hadd_ps(zz, zz));
    const __m128 sums = _mm_add_ps(_mm256_castps256_ps128(parts), _mm256_extractf128_ps(parts, 1));
    _mm_storeu_ps(row, _mm_add_ps(_mm_loadu_ps(row), sums));
}
SIMD_INLINE Ints operator+(Ints a, Ints b) { return _mm512_add_epi32(a.v, b.v); }
SIMD_INLINE Ints operator-(Ints a, Ints b) { return _mm512_sub_epi32(a.v, b.v); }
SIMD_INLINE Ints min(Ints a, Ints b) { return _mm512_min_epi32(a.v, b.v); }
SIMD_INLINE Ints timesFour(Ints a) { return _mm512_slli_epi32(a.v, 2); }
SIMD_INLINE Ints truncate(Floats a) { return _mm512_cvttps_epi32(a.v); }
SIMD_INLINE Ints roundToInts(Floats a) { return _mm512_cvtps_epi32(a.v); }
SIMD_INLINE Floats toFloats(Ints a) { return _mm512_cvtepi32_ps(a.v); }

SIMD_INLINE void findRoot(Doubles square, Doubles& root, Doubles& inverse) {
    // Newton's steps double the 14 bits of the estimate: on half the registers' ports a square root is a long wait.
    Doubles y = only(less(_mm512_setzero_pd(), square), _mm512_rsqrt14_pd(square.v));
    const Doubles half = Doubles(0.5) * square;
    y = y * fnma(half * y, y, Doubles(1.5));
    y = y * fnma(half * y, y, Doubles(1.5));
    root = square * y;
    // and once more for the last bits
    root = fma(fnma(root, root, square), Doubles(0.5) * y, root);
    inverse = fma(fnma(root, y, Doubles(1.0)), y, y);
}
SIMD_INLINE void findRoot(Floats square, Floats& root, Floats& inverse) {
    root = _mm512_sqrt_ps(square.v);
    inverse = only(less(_mm512_setzero_ps(), square), _mm512_div_ps(_mm512_set1_ps(1.0f), root.v));
}

SIMD_INLINE __m512d twoRows(const double* first, const double* second) {
    return _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(first)), _mm256_loadu_pd(second), 1);
}
SIMD_INLINE void gatherRows(const double* base, const int* offsets, Doubles columns[4]) {
    const __m512d rows02 = twoRows(base + offsets[0], base + offsets[2]);
    const __m512d rows13 = twoRows(base + offsets[1], base + offsets[3]);
    const __m512d rows46 = twoRows(base + offsets[4], base + offsets[6]);
    const __m512d rows57 = twoRows(base + offsets[5], base + offsets[7]);
    const __m512d ac03 = _mm512_unpacklo_pd(rows02, rows13), bd03 = _mm512_unpackhi_pd(rows02, rows13);
    const __m512d ac47 = _mm512_unpacklo_pd(rows46, rows57), bd47 = _mm512_unpackhi_pd(rows46, rows57);
    columns[0] = _mm512_shuffle_f64x2(ac03, ac47, 0x88);
    columns[1] = _mm512_shuffle_f64x2(bd03, bd47, 0x88);
    columns[2] = _mm512_shuffle_f64x2(ac03, ac47, 0xdd);
    columns[3] = _mm512_shuffle_f64x2(bd03, bd47, 0xdd);
}
SIMD_INLINE void addRow(double* row, __m256d v) { _mm256_storeu_pd(row, _mm256_add_pd(_mm256_loadu_pd(row), v)); }
SIMD_INLINE void addRows(double* base, const int* offsets, const Doubles columns[4]) {
    // pairs of elements of rows 0 2 4 6 and 1 3 5 7
    const __m512d abEven = _mm512_unpacklo_pd(columns[0].v, columns[1].v);
    const __m512d abOdd = _mm512_unpackhi_pd(columns[0].v, columns[1].v);
    const __m512d cdEven = _mm512_unpacklo_pd(columns[2].v, columns[3].v);
    const __m512d cdOdd = _mm512_unpackhi_pd(columns[2].v, columns[3].v);
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    const __m512d rows02 = _mm512_permutex2var_pd(abEven, low, cdEven);
    const __m512d rows46 = _mm512_permutex2var_pd(abEven, high, cdEven);
    const __m512d rows13 = _mm512_permutex2var_pd(abOdd, low, cdOdd);
    const __m512d rows57 = _mm512_permutex2var_pd(abOdd, high, cdOdd);
    addRow(base + offsets[0], _mm512_castpd512_pd256(rows02));
    addRow(base + offsets[1], _mm512_castpd512_pd256(rows13));
    addRow(base + offsets[2], _mm512_extractf64x4_pd(rows02, 1));
    addRow(base + offsets[3], _mm512_extractf64x4_pd(rows13, 1));
    addRow(base + offsets[4], _mm512_castpd512_pd256(rows46));
    addRow(base + offsets[5], _mm512_castpd512_pd256(rows57));
    addRow(base + offsets[6], _mm512_extractf64x4_pd(rows46, 1));
    addRow(base + offsets[7], _mm512_extractf64x4_pd(rows57, 1));
}
SIMD_INLINE void gatherRows(const float* base, const int* offsets, Floats columns[4]) {
    __m512 rows[4]; // n, n + 4, n + 8, n + 12
    for (int n = 0; n < 4; n++) {
        rows[n] = _mm512_castps128_ps512(_mm_loadu_ps(base + offsets[n]));
        rows[n] = _mm512_insertf32x4(rows[n], _mm_loadu_ps(base + offsets[n + 4]), 1);
        rows[n] = _mm512_insertf32x4(rows[n], _mm_loadu_ps(base + offsets[n + 8]), 2);
        rows[n] = _mm512_insertf32x4(rows[n], _mm_loadu_ps(base + offsets[n + 12]), 3);
    }
    const __m512 ab01 = _mm512_unpacklo_ps(rows[0], rows[1]), cd01 = _mm512_unpackhi_ps(rows[0], rows[1]);
    const __m512 ab23 = _mm512_unpacklo_ps(rows[2], rows[3]), cd23 = _mm512_unpackhi_ps(rows[2], rows[3]);
    columns[0] = _mm512_shuffle_ps(ab01, ab23, 0x44);
    columns[1] = _mm512_shuffle_ps(ab01, ab23, 0xee);
    columns[2] = _mm512_shuffle_ps(cd01, cd23, 0x44);
    columns[3] = _mm512_shuffle_ps(cd01, cd23, 0xee);
}
SIMD_INLINE void gatherRows(const int32_t* base, const int* offsets, Ints columns[4]) {
    Floats bits[4];
    gatherRows(reinterpret_cast<const float*>(base), offsets, bits);
    for (int m = 0; m < 4; m++)
        columns[m] = _mm512_castps_si512(bits[m].v);
}
SIMD_INLINE void subtractRow(float* row, __m128 v) { _mm_storeu_ps(row, _mm_sub_ps(_mm_loadu_ps(row), v)); }
SIMD_INLINE void subtractRows(float* base, const int* offsets, Floats x, Floats y, Floats z) {
    const __m512 none = _mm512_setzero_ps();
    const __m512 xy01 = _mm512_unpacklo_ps(x.v, y.v), xy23 = _mm512_unpackhi_ps(x.v, y.v);
    const __m512 z01 = _mm512_unpacklo_ps(z.v, none), z23 = _mm512_unpackhi_ps(z.v, none);
    const __m512 rows[4] = {_mm512_shuffle_ps(xy01, z01, 0x44), _mm512_shuffle_ps(xy01, z01, 0xee),
                            _mm512_shuffle_ps(xy23, z23, 0x44), _mm512_shuffle_ps(xy23, z23, 0xee)};
    for (int n = 0; n < 4; n++) {
        subtractRow(base + offsets[n], _mm512_castps512_ps128(rows[n]));
        subtractRow(base + offsets[n + 4], _mm512_extractf32x4_ps(rows[n], 1));
        subtractRow(base + offsets[n + 8], _mm512_extractf32x4_ps(rows[n], 2));
        subtractRow(base + offsets[n + 12], _mm512_extractf32x4_ps(rows[n], 3));
    }
}

struct FloatPacker {
    __mmask16 mask;
    int count;
    SIMD_INLINE explicit FloatPacker(FloatMask mask) : mask(mask.v), count(__builtin_popcount(mask.v)) {}
    SIMD_INLINE void store(Floats v, float* to) const { _mm512_storeu_ps(to, _mm512_maskz_compress_ps(mask, v.v)); }
    SIMD_INLINE void store(Ints v, int* to) const { Ints(_mm512_maskz_compress_epi32(mask, v.v)).store(to); }
};

struct DoublePacker {
    __mmask8 mask;
    int count;
    SIMD_INLINE explicit DoublePacker(DoubleMask mask) : mask(mask.v), count(__builtin_popcount(mask.v)) {}
    SIMD_INLINE void store(Doubles v, double* to) const { Doubles(_mm512_maskz_compress_pd(mask, v.v)).store(to); }
    SIMD_INLINE void store(Indices v, int* to) const { Indices(_mm256_maskz_compress_epi32(mask, v.v)).store(to); }
};

struct FewSlots {
    const int* slots;
    bool few;
    __m512i held;
    SIMD_INLINE FewSlots(const int* slots, int numTypes) : slots(slots), few(numTypes <= 16) {
        held = _mm512_maskz_loadu_epi32(firstFloats(numTypes).v, slots);
    }
    SIMD_INLINE Ints find(Ints types) const {
        return few ? _mm512_permutexvar_epi32(types.v, held) : _mm512_i32gather_epi32(types.v, slots, 4);
    }
    SIMD_INLINE Indices find(Indices types) const {
        return few ? _mm512_castsi512_si256(_mm512_permutexvar_epi32(_mm512_zextsi256_si512(types.v), held))
                   : _mm256_i32gather_epi32(slots, types.v, 4);
    }
};

/** Three coefficients for up to 64 intervals, in twelve registers. */
struct RegisterTable {
    static const bool Exists = true;
    static bool fits(int numIntervals) { return numIntervals <= 64; }
    __m512 held[3][4];
    SIMD_INLINE RegisterTable(const float* rows, int numIntervals) {
        alignas(64) float columns[3][64] = {};
        for (int interval = 0; interval < numIntervals; interval++)
            for (int p = 0; p < 3; p++)
                columns[p][interval] = rows[4 * interval + p];
        for (int p = 0; p < 3; p++)
            for (int part = 0; part < 4; part++)
                held[p][part] = _mm512_load_ps(columns[p] + 16 * part);
    }
    SIMD_INLINE Floats find(int p, __m512i interval, __mmask16 upper) const {
        const __m512 low = _mm512_permutex2var_ps(held[p][0], interval, held[p][1]);
        return _mm512_mask_mov_ps(low, upper, _mm512_permutex2var_ps(held[p][2], interval, held[p][3]));
    }
    /** -u'(r) */
    SIMD_INLINE Floats find(const int* slots, Floats t) const {
        const Ints interval(_mm512_srli_epi32(Ints::load(slots).v, 2));
        const __mmask16 upper = _mm512_test_epi32_mask(interval.v, _mm512_set1_epi32(32));
        return fma(t, fma(t, find(2, interval.v, upper), find(1, interval.v, upper)), find(0, interval.v, upper));
    }
};

} // namespace
} // namespace OpenMMGrad

#endif
