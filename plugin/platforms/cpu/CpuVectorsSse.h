// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUVECTORSSSE_H_
#define OPENMMGRAD_CPUVECTORSSSE_H_

#include <cstdint>
#include <cstring>
#include <smmintrin.h>

// SSE4.1; see CpuVectorsScalar.h and CpuVectorsAvx2.h.
#define SIMD __attribute__((target("sse4.1")))
#define SIMD_INLINE SIMD inline __attribute__((always_inline))

namespace OpenMMGrad {

namespace {

struct Doubles {
    static const int Size = 2;
    __m128d v;
    Doubles() = default;
    SIMD_INLINE Doubles(__m128d v) : v(v) {}
    SIMD_INLINE Doubles(double v) : v(_mm_set1_pd(v)) {}
    SIMD_INLINE static Doubles load(const double* p) { return _mm_loadu_pd(p); }
    SIMD_INLINE void store(double* p) const { _mm_storeu_pd(p, v); }
};
struct DoubleMask {
    __m128d v;
};
/** Two integers, in the lower half. */
struct Indices {
    __m128i v;
    Indices() = default;
    SIMD_INLINE Indices(__m128i v) : v(v) {}
    SIMD_INLINE Indices(int32_t v) : v(_mm_set1_epi32(v)) {}
    SIMD_INLINE static Indices load(const int* p) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)); }
    SIMD_INLINE void store(int* p) const { _mm_storel_epi64(reinterpret_cast<__m128i*>(p), v); }
};
struct Floats {
    static const int Size = 4;
    __m128 v;
    Floats() = default;
    SIMD_INLINE Floats(__m128 v) : v(v) {}
    SIMD_INLINE Floats(float v) : v(_mm_set1_ps(v)) {}
    SIMD_INLINE static Floats load(const float* p) { return _mm_loadu_ps(p); }
    SIMD_INLINE void store(float* p) const { _mm_storeu_ps(p, v); }
};
struct FloatMask {
    __m128 v;
};
struct Ints {
    __m128i v;
    Ints() = default;
    SIMD_INLINE Ints(__m128i v) : v(v) {}
    SIMD_INLINE Ints(int32_t v) : v(_mm_set1_epi32(v)) {}
    SIMD_INLINE static Ints load(const int* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
    SIMD_INLINE void store(int* p) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v); }
};

SIMD_INLINE Doubles operator+(Doubles a, Doubles b) { return _mm_add_pd(a.v, b.v); }
SIMD_INLINE Doubles operator-(Doubles a, Doubles b) { return _mm_sub_pd(a.v, b.v); }
SIMD_INLINE Doubles operator*(Doubles a, Doubles b) { return _mm_mul_pd(a.v, b.v); }
SIMD_INLINE Doubles fma(Doubles a, Doubles b, Doubles c) { return a * b + c; }
SIMD_INLINE Doubles fnma(Doubles a, Doubles b, Doubles c) { return c - a * b; }
SIMD_INLINE Doubles roundToNearest(Doubles a) {
    return _mm_round_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
SIMD_INLINE DoubleMask less(Doubles a, Doubles b) { return DoubleMask{_mm_cmplt_pd(a.v, b.v)}; }
SIMD_INLINE DoubleMask both(DoubleMask a, DoubleMask b) { return DoubleMask{_mm_and_pd(a.v, b.v)}; }
SIMD_INLINE Doubles only(DoubleMask mask, Doubles a) { return _mm_and_pd(mask.v, a.v); }
SIMD_INLINE DoubleMask firstDoubles(int n) {
    return DoubleMask{_mm_castsi128_pd(_mm_cmpgt_epi32(_mm_set1_epi32(n), _mm_setr_epi32(0, 0, 1, 1)))};
}
SIMD_INLINE double sum(Doubles a) { return _mm_cvtsd_f64(_mm_add_sd(a.v, _mm_unpackhi_pd(a.v, a.v))); }
/** row += (sum of x, sum of y, sum of z, something) */
SIMD_INLINE void addSums(double* row, Doubles x, Doubles y, Doubles z) {
    const __m128d xy = _mm_add_pd(_mm_unpacklo_pd(x.v, y.v), _mm_unpackhi_pd(x.v, y.v));
    _mm_storeu_pd(row, _mm_add_pd(_mm_loadu_pd(row), xy));
    row[2] += sum(z);
}
SIMD_INLINE Indices truncate(Doubles a) { return _mm_cvttpd_epi32(a.v); }
SIMD_INLINE Doubles toDoubles(Indices a) { return _mm_cvtepi32_pd(a.v); }
SIMD_INLINE Indices operator+(Indices a, Indices b) { return _mm_add_epi32(a.v, b.v); }
SIMD_INLINE Indices min(Indices a, Indices b) { return _mm_min_epi32(a.v, b.v); }
SIMD_INLINE Indices timesFour(Indices a) { return _mm_slli_epi32(a.v, 2); }

SIMD_INLINE Floats operator+(Floats a, Floats b) { return _mm_add_ps(a.v, b.v); }
SIMD_INLINE Floats operator-(Floats a, Floats b) { return _mm_sub_ps(a.v, b.v); }
SIMD_INLINE Floats operator*(Floats a, Floats b) { return _mm_mul_ps(a.v, b.v); }
SIMD_INLINE Floats fma(Floats a, Floats b, Floats c) { return a * b + c; }
SIMD_INLINE FloatMask less(Floats a, Floats b) { return FloatMask{_mm_cmplt_ps(a.v, b.v)}; }
SIMD_INLINE FloatMask both(FloatMask a, FloatMask b) { return FloatMask{_mm_and_ps(a.v, b.v)}; }
SIMD_INLINE Floats only(FloatMask mask, Floats a) { return _mm_and_ps(mask.v, a.v); }
SIMD_INLINE Ints countUp() { return _mm_setr_epi32(0, 1, 2, 3); }
SIMD_INLINE FloatMask firstFloats(int n) {
    return FloatMask{_mm_castsi128_ps(_mm_cmpgt_epi32(_mm_set1_epi32(n), countUp().v))};
}
SIMD_INLINE void addSums(float* row, Floats x, Floats y, Floats z) {
    const __m128 xy = _mm_add_ps(_mm_unpacklo_ps(x.v, y.v), _mm_unpackhi_ps(x.v, y.v));
    const __m128 z0 = _mm_add_ps(z.v, _mm_movehl_ps(z.v, z.v));
    const __m128 sums = _mm_add_ps(_mm_shuffle_ps(xy, z0, 0x44), _mm_shuffle_ps(xy, z0, 0x5e));
    _mm_storeu_ps(row, _mm_add_ps(_mm_loadu_ps(row), sums));
}
SIMD_INLINE Ints operator+(Ints a, Ints b) { return _mm_add_epi32(a.v, b.v); }
SIMD_INLINE Ints operator-(Ints a, Ints b) { return _mm_sub_epi32(a.v, b.v); }
SIMD_INLINE Ints min(Ints a, Ints b) { return _mm_min_epi32(a.v, b.v); }
SIMD_INLINE Ints timesFour(Ints a) { return _mm_slli_epi32(a.v, 2); }
SIMD_INLINE Ints truncate(Floats a) { return _mm_cvttps_epi32(a.v); }
SIMD_INLINE Ints roundToInts(Floats a) { return _mm_cvtps_epi32(a.v); }
SIMD_INLINE Floats toFloats(Ints a) { return _mm_cvtepi32_ps(a.v); }

SIMD_INLINE void findRoot(Doubles square, Doubles& root, Doubles& inverse) {
    root = _mm_sqrt_pd(square.v); // beside the division, not before it
    const Doubles inverseSquare = _mm_div_pd(_mm_set1_pd(1.0), square.v);
    inverse = only(less(_mm_setzero_pd(), square), root * inverseSquare);
}
SIMD_INLINE void findRoot(Floats square, Floats& root, Floats& inverse) {
    root = _mm_sqrt_ps(square.v);
    inverse = only(less(_mm_setzero_ps(), square), _mm_div_ps(_mm_set1_ps(1.0f), root.v));
}

SIMD_INLINE void gatherRows(const double* base, const int* offsets, Doubles columns[4]) {
    const double *first = base + offsets[0], *second = base + offsets[1];
    for (int m = 0; m < 4; m += 2) {
        const __m128d a = _mm_loadu_pd(first + m), b = _mm_loadu_pd(second + m);
        columns[m] = _mm_unpacklo_pd(a, b);
        columns[m + 1] = _mm_unpackhi_pd(a, b);
    }
}
SIMD_INLINE void addRows(double* base, const int* offsets, const Doubles columns[4]) {
    double *first = base + offsets[0], *second = base + offsets[1];
    for (int m = 0; m < 4; m += 2) {
        const __m128d a = _mm_unpacklo_pd(columns[m].v, columns[m + 1].v);
        const __m128d b = _mm_unpackhi_pd(columns[m].v, columns[m + 1].v);
        _mm_storeu_pd(first + m, _mm_add_pd(_mm_loadu_pd(first + m), a));
        _mm_storeu_pd(second + m, _mm_add_pd(_mm_loadu_pd(second + m), b));
    }
}
SIMD_INLINE void gatherRows(const float* base, const int* offsets, Floats columns[4]) {
    __m128 rows[4];
    for (int n = 0; n < 4; n++)
        rows[n] = _mm_loadu_ps(base + offsets[n]);
    _MM_TRANSPOSE4_PS(rows[0], rows[1], rows[2], rows[3]);
    for (int m = 0; m < 4; m++)
        columns[m] = rows[m];
}
SIMD_INLINE void gatherRows(const int32_t* base, const int* offsets, Ints columns[4]) {
    Floats bits[4];
    gatherRows(reinterpret_cast<const float*>(base), offsets, bits);
    for (int m = 0; m < 4; m++)
        columns[m] = _mm_castps_si128(bits[m].v);
}
SIMD_INLINE void subtractRows(float* base, const int* offsets, Floats x, Floats y, Floats z) {
    __m128 rows[4] = {x.v, y.v, z.v, _mm_setzero_ps()};
    _MM_TRANSPOSE4_PS(rows[0], rows[1], rows[2], rows[3]);
    for (int n = 0; n < 4; n++)
        _mm_storeu_ps(base + offsets[n], _mm_sub_ps(_mm_loadu_ps(base + offsets[n]), rows[n]));
}

/** For each mask of four lanes: the bytes of set lanes first, then zeros; and how many lanes are set. */
struct SetLanes {
    alignas(16) unsigned char bytes[16][16];
    int counts[16];
    SetLanes() : counts() {
        std::memset(bytes, 0x80, sizeof(bytes));
        for (int mask = 0; mask < 16; mask++)
            for (int lane = 0; lane < 4; lane++)
                if (mask >> lane & 1) {
                    for (int byte = 0; byte < 4; byte++)
                        bytes[mask][4 * counts[mask] + byte] = 4 * lane + byte;
                    counts[mask]++;
                }
    }
};
const SetLanes setLanes;

struct FloatPacker {
    __m128i order;
    int count;
    SIMD_INLINE explicit FloatPacker(FloatMask mask) {
        const int bits = _mm_movemask_ps(mask.v);
        order = _mm_load_si128(reinterpret_cast<const __m128i*>(setLanes.bytes[bits]));
        count = setLanes.counts[bits];
    }
    SIMD_INLINE void store(Floats v, float* to) const {
        _mm_storeu_ps(to, _mm_castsi128_ps(_mm_shuffle_epi8(_mm_castps_si128(v.v), order)));
    }
    SIMD_INLINE void store(Ints v, int* to) const { Ints(_mm_shuffle_epi8(v.v, order)).store(to); }
};

struct DoublePacker {
    int bits, count;
    SIMD_INLINE explicit DoublePacker(DoubleMask mask) {
        bits = _mm_movemask_pd(mask.v);
        count = (bits & 1) + (bits >> 1);
    }
    SIMD_INLINE void store(Doubles v, double* to) const {
        v.store(to);
        if (bits == 2)
            _mm_storeh_pd(to, v.v);
    }
    SIMD_INLINE void store(Indices v, int* to) const {
        v.store(to);
        if (bits == 2)
            to[0] = to[1];
    }
};

struct FewSlots {
    const int* slots;
    SIMD_INLINE FewSlots(const int* slots, int) : slots(slots) {}
    SIMD_INLINE Ints find(Ints types) const {
        return _mm_setr_epi32(slots[_mm_extract_epi32(types.v, 0)], slots[_mm_extract_epi32(types.v, 1)],
                              slots[_mm_extract_epi32(types.v, 2)], slots[_mm_extract_epi32(types.v, 3)]);
    }
    SIMD_INLINE Indices find(Indices types) const {
        return _mm_setr_epi32(slots[_mm_extract_epi32(types.v, 0)], slots[_mm_extract_epi32(types.v, 1)], 0, 0);
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
