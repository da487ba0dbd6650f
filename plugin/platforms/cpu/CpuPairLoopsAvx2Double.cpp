// SPDX-License-Identifier: MIT
#if defined(__x86_64__) && defined(__GNUC__)

#include "CpuPairList.h"
#include "CpuPairLoopsAvx2.h"

namespace OpenMMGrad {

namespace {

typedef CpuPairGeometry::Shape Shape;

struct Vec4 {
    __m256d x, y, z;
};

/** Four pairs of one particle i. In lanes that hold none, r and inverseR are zero. */
struct FourPairs {
    Vec4 e;
    __m256d r, inverseR, t, within;
    const int* partners; // where they stand in arrays of shape [sorted][4]
    int slots[4];        // four times the slot
};

AVX2_INLINE __m256d broadcast(double v) { return _mm256_set1_pd(v); }
AVX2_INLINE __m256d add(__m256d a, __m256d b) { return _mm256_add_pd(a, b); }
AVX2_INLINE __m256d sub(__m256d a, __m256d b) { return _mm256_sub_pd(a, b); }
AVX2_INLINE __m256d mul(__m256d a, __m256d b) { return _mm256_mul_pd(a, b); }
/** a*b + c and c - a*b */
AVX2_INLINE __m256d fma(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }
AVX2_INLINE __m256d fnma(__m256d a, __m256d b, __m256d c) { return _mm256_fnmadd_pd(a, b, c); }
AVX2_INLINE __m256d dot(const Vec4& a, const Vec4& b) { return fma(a.x, b.x, fma(a.y, b.y, mul(a.z, b.z))); }
AVX2_INLINE Vec4 zero() { return Vec4{_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()}; }
AVX2_INLINE Vec4 broadcast(const double* v) { return Vec4{broadcast(v[0]), broadcast(v[1]), broadcast(v[2])}; }
AVX2_INLINE Vec4 scale(const Vec4& v, __m256d s) { return Vec4{mul(v.x, s), mul(v.y, s), mul(v.z, s)}; }
AVX2_INLINE Vec4 add(const Vec4& a, const Vec4& b) { return Vec4{add(a.x, b.x), add(a.y, b.y), add(a.z, b.z)}; }
AVX2_INLINE Vec4 sub(const Vec4& a, const Vec4& b) { return Vec4{sub(a.x, b.x), sub(a.y, b.y), sub(a.z, b.z)}; }

AVX2_INLINE double sumLanes(__m256d v) {
    const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}

AVX2_INLINE void transpose(__m256d v[4]) {
    const __m256d a = _mm256_unpacklo_pd(v[0], v[1]), b = _mm256_unpackhi_pd(v[0], v[1]);
    const __m256d c = _mm256_unpacklo_pd(v[2], v[3]), d = _mm256_unpackhi_pd(v[2], v[3]);
    v[0] = _mm256_permute2f128_pd(a, c, 0x20);
    v[1] = _mm256_permute2f128_pd(b, d, 0x20);
    v[2] = _mm256_permute2f128_pd(a, c, 0x31);
    v[3] = _mm256_permute2f128_pd(b, d, 0x31);
}

/** Rows of four elements, as columns. */
AVX2_INLINE void gather(const double* base, const int offsets[4], __m256d columns[4]) {
    for (int n = 0; n < 4; n++)
        columns[n] = _mm256_loadu_pd(base + offsets[n]);
    transpose(columns);
}

AVX2_INLINE Vec4 gather(const double* base, const int offsets[4]) {
    __m256d columns[4];
    gather(base, offsets, columns);
    return Vec4{columns[0], columns[1], columns[2]};
}

/** Add columns to rows, one after the other: two of them may be the same. */
AVX2_INLINE void scatter(double* base, const int offsets[4], __m256d columns[4]) {
    transpose(columns);
    for (int n = 0; n < 4; n++)
        _mm256_storeu_pd(base + offsets[n], add(_mm256_loadu_pd(base + offsets[n]), columns[n]));
}

AVX2_INLINE void scatter(double* base, const int offsets[4], const Vec4& v) {
    __m256d columns[4] = {v.x, v.y, v.z, _mm256_setzero_pd()};
    scatter(base, offsets, columns);
}

AVX2_INLINE void addSums(double* vector, const Vec4& v) {
    vector[0] += sumLanes(v.x);
    vector[1] += sumLanes(v.y);
    vector[2] += sumLanes(v.z);
}

/** The brick image, as CpuPairGeometry::findImage(). */
template <Shape S> AVX2_INLINE Vec4 findImage(const CpuPairGeometry& box, Vec4 d) {
    const int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    const auto& a = box.getVector(0);
    const auto& b = box.getVector(1);
    const auto& c = box.getVector(2);
    if (S == CpuPairGeometry::Open)
        return d;
    const __m256d alongC = _mm256_round_pd(mul(d.z, broadcast(1 / c[2])), mode);
    d.z = fnma(alongC, broadcast(c[2]), d.z);
    if (S == CpuPairGeometry::Triclinic) {
        d.y = fnma(alongC, broadcast(c[1]), d.y);
        d.x = fnma(alongC, broadcast(c[0]), d.x);
    }
    const __m256d alongB = _mm256_round_pd(mul(d.y, broadcast(1 / b[1])), mode);
    d.y = fnma(alongB, broadcast(b[1]), d.y);
    if (S == CpuPairGeometry::Triclinic)
        d.x = fnma(alongB, broadcast(b[0]), d.x);
    const __m256d alongA = _mm256_round_pd(mul(d.x, broadcast(1 / a[0])), mode);
    d.x = fnma(alongA, broadcast(a[0]), d.x);
    return d;
}

/** For each mask of four lanes: the doubles of set lanes first, as permutation of eight halves. */
alignas(32) const int32_t laneOrder[16][8] = {
    {0, 1, 2, 3, 4, 5, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7}, {2, 3, 0, 1, 4, 5, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7},
    {4, 5, 0, 1, 2, 3, 6, 7}, {0, 1, 4, 5, 2, 3, 6, 7}, {2, 3, 4, 5, 0, 1, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7},
    {6, 7, 0, 1, 2, 3, 4, 5}, {0, 1, 6, 7, 2, 3, 4, 5}, {2, 3, 6, 7, 0, 1, 4, 5}, {0, 1, 2, 3, 6, 7, 4, 5},
    {4, 5, 6, 7, 0, 1, 2, 3}, {0, 1, 4, 5, 6, 7, 2, 3}, {2, 3, 4, 5, 6, 7, 0, 1}, {0, 1, 2, 3, 4, 5, 6, 7}};

/** Partners of one particle that are within the cutoff, one after the other; with room for a last group of four. */
struct Within {
    static const int Size = 64;
    alignas(32) double x[Size + 4], y[Size + 4], z[Size + 4], square[Size + 4];
    alignas(16) int partners[Size + 4];
    int count;
};

AVX2_INLINE __m256d permute(__m256d v, __m256i lanes) {
    return _mm256_castsi256_pd(_mm256_permutevar8x32_epi32(_mm256_castpd_si256(v), lanes));
}

/** Pack partners n, n + 1, .. of particle i that are within the cutoff, as many as there is room for. @return the next n */
template <Shape S> AVX2 int packPartners(const CpuPairShare& share, int i, int n, const CpuPairGeometry& box, Within& w) {
    const CpuPairList& list = share.list;
    const int numPartners = list.getNumPartners(i);
    const __m256d cutoffSquare = broadcast(share.table.cutoff * share.table.cutoff);
    const Vec4 xi = broadcast(share.positions + 4 * i);
    w.count = 0;
    for (; n < numPartners && w.count <= Within::Size - 4; n += 4) {
        const int* partners = list.getPartners(i) + n;
        const Vec4 d = findImage<S>(box, sub(xi, gather(share.positions, partners)));
        const __m256d square = dot(d, d);
        const __m128i lanes = _mm_cmpgt_epi32(_mm_set1_epi32(numPartners - n), _mm_setr_epi32(0, 1, 2, 3));
        const int mask = _mm256_movemask_pd(_mm256_and_pd(_mm256_cmp_pd(square, cutoffSquare, _CMP_LT_OQ),
                                                          _mm256_castsi256_pd(_mm256_cvtepi32_epi64(lanes))));
        const __m256i order = _mm256_load_si256(reinterpret_cast<const __m256i*>(laneOrder[mask]));
        _mm256_storeu_pd(w.x + w.count, permute(d.x, order));
        _mm256_storeu_pd(w.y + w.count, permute(d.y, order));
        _mm256_storeu_pd(w.z + w.count, permute(d.z, order));
        _mm256_storeu_pd(w.square + w.count, permute(square, order));
        // the same order for integers: every second of the halves
        const __m256i halves = _mm256_permutevar8x32_epi32(order, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
        const __m128i four = _mm_loadu_si128(reinterpret_cast<const __m128i*>(partners));
        const __m256i chosen = _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(four), _mm256_srli_epi32(halves, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(w.partners + w.count), _mm256_castsi256_si128(chosen));
        w.count += __builtin_popcount(mask);
    }
    for (int k = w.count; k < ((w.count + 3) & ~3); k++) {
        w.square[k] = 0.0;
        w.partners[k] = w.partners[0];
    }
    return n;
}

/** Calls loop.visit(FourPairs) for the packed partners of a particle whose types' slots are given. */
template <class Loop> AVX2 void visitPacked(const CpuPairShare& share, const int* slotsOfI, Within& w, Loop& loop) {
    const CpuSplineTable& table = share.table;
    const __m256d none = _mm256_setzero_pd();
    const __m128i lastInterval = _mm_set1_epi32(table.numIntervals - 1);
    FourPairs p;
    for (int k = 0; k < w.count; k += 4) {
        const __m256d square = _mm256_load_pd(w.square + k);
        const __m128i lanes = _mm_cmpgt_epi32(_mm_set1_epi32(w.count - k), _mm_setr_epi32(0, 1, 2, 3));
        p.within = _mm256_castsi256_pd(_mm256_cvtepi32_epi64(lanes));
        p.partners = w.partners + k;
        p.r = _mm256_sqrt_pd(square);
        p.inverseR = _mm256_and_pd(mul(p.r, _mm256_div_pd(broadcast(1.0), square)),
                                   _mm256_cmp_pd(square, none, _CMP_GT_OQ));
        p.e = Vec4{mul(_mm256_load_pd(w.x + k), p.inverseR), mul(_mm256_load_pd(w.y + k), p.inverseR),
                   mul(_mm256_load_pd(w.z + k), p.inverseR)};
        const __m256d intervals = mul(p.r, broadcast(table.inverseWidth));
        const __m128i interval = _mm_min_epi32(_mm256_cvttpd_epi32(intervals), lastInterval);
        p.t = sub(intervals, _mm256_cvtepi32_pd(interval));
        __m128i first = _mm_set1_epi32(slotsOfI[0]);
        if (table.numTypes > 1) {
            const __m128i js = _mm_srli_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p.partners)), 2);
            first = _mm_i32gather_epi32(slotsOfI, _mm_i32gather_epi32(share.types, js, 4), 4);
        }
        const __m128i slots = _mm_slli_epi32(_mm_add_epi32(first, interval), 2);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p.slots), slots);
        loop.visit(p);
    }
}

/** Calls loop.begin(i), loop.visit(FourPairs) as often as needed and loop.end(i) for each particle of the share. */
template <Shape S, class Loop> AVX2 void visitPairs(const CpuPairShare& share, Loop& loop) {
    const CpuPairGeometry box = share.list.getGeometry();
    Within w = {}; // finite also in lanes that hold no pair
    for (int i = share.begin; i < share.end; i++) {
        const int* slotsOfI = share.table.slots + share.types[i] * share.table.numTypes;
        loop.begin(i);
        for (int n = 0; n < share.list.getNumPartners(i);) {
            n = packPartners<S>(share, i, n, box, w);
            visitPacked(share, slotsOfI, w, loop);
        }
        loop.end(i);
    }
}

template <class Loop> void visitPairs(const CpuPairShare& share, Loop& loop) {
    const Shape shape = share.list.getGeometry().getShape();
    if (shape == CpuPairGeometry::Open)
        visitPairs<CpuPairGeometry::Open>(share, loop);
    else if (shape == CpuPairGeometry::Rectangular)
        visitPairs<CpuPairGeometry::Rectangular>(share, loop);
    else
        visitPairs<CpuPairGeometry::Triclinic>(share, loop);
}

/** u'(r) from the four coefficients of u. */
AVX2_INLINE __m256d findSlope(const CpuSplineTable& table, const __m256d u[4], __m256d t) {
    const __m256d twice = add(u[2], u[2]);
    return mul(fma(t, fma(mul(broadcast(3.0), t), u[3], twice), u[1]), broadcast(table.inverseWidth));
}

/** sums of slot and m += factor B'_{interval+m}(r) */
AVX2_INLINE void addBasisSlopes(const CpuSplineTable& table, const FourPairs& p, __m256d factor, double* sums) {
    const auto& b = table.basis;
    const __m256d f = mul(factor, broadcast(table.inverseWidth)), ft2 = mul(f, add(p.t, p.t));
    const __m256d ft3 = mul(mul(broadcast(1.5), p.t), ft2);
    __m256d slopes[4];
    for (int m = 0; m < 4; m++)
        slopes[m] = fma(ft3, broadcast(b[3][m]), fma(ft2, broadcast(b[2][m]), mul(f, broadcast(b[1][m]))));
    scatter(sums, p.slots, slopes);
}

struct Forces {
    const CpuSplineTable& table;
    double* forces;
    __m256d energy;
    Vec4 onI;

    AVX2_INLINE void begin(int) { onI = zero(); }
    AVX2_INLINE void visit(const FourPairs& p) {
        __m256d u[4];
        gather(table.energies, p.slots, u);
        energy = add(energy, _mm256_and_pd(fma(p.t, fma(p.t, fma(p.t, u[3], u[2]), u[1]), u[0]), p.within));
        const Vec4 onJ = scale(p.e, findSlope(table, u, p.t));
        onI = sub(onI, onJ);
        scatter(forces, p.partners, onJ);
    }
    AVX2_INLINE void end(int i) { addSums(forces + 4 * i, onI); }
};

struct CoefficientDerivatives {
    const CpuSplineTable& table;
    double* sums;

    AVX2_INLINE void begin(int) {}
    AVX2_INLINE void visit(const FourPairs& p) {
        const auto& b = table.basis;
        __m256d values[4];
        for (int m = 0; m < 4; m++) {
            const __m256d upper = fma(p.t, broadcast(b[3][m]), broadcast(b[2][m]));
            values[m] = _mm256_and_pd(fma(p.t, fma(p.t, upper, broadcast(b[1][m])), broadcast(b[0][m])), p.within);
        }
        scatter(sums, p.slots, values);
    }
    AVX2_INLINE void end(int) {}
};

struct HessianVectorProduct {
    const CpuSplineTable& table;
    const double* lambda;
    double *product, *sums;
    Vec4 lambdaI, onI;

    AVX2_INLINE void begin(int i) {
        lambdaI = broadcast(lambda + 4 * i);
        onI = zero();
    }
    AVX2_INLINE void visit(const FourPairs& p) {
        __m256d u[4];
        gather(table.energies, p.slots, u);
        const __m256d square = broadcast(table.inverseWidth * table.inverseWidth);
        const __m256d curvature = mul(fma(mul(broadcast(6.0), p.t), u[3], add(u[2], u[2])), square);
        const __m256d slopeOverR = mul(findSlope(table, u, p.t), p.inverseR);
        const Vec4 w = sub(lambdaI, gather(lambda, p.partners));
        const __m256d along = dot(p.e, w);
        const Vec4 onJ = add(scale(p.e, mul(along, sub(curvature, slopeOverR))), scale(w, slopeOverR));
        onI = sub(onI, onJ);
        scatter(product, p.partners, onJ);
        addBasisSlopes(table, p, sub(_mm256_setzero_pd(), along), sums);
    }
    AVX2_INLINE void end(int i) { addSums(product + 4 * i, onI); }
};

struct Virial {
    const CpuSplineTable& table;
    double* sums;
    Vec4 ofX, ofY; // xx xy xz, yy yz zz

    AVX2_INLINE void begin(int) {}
    AVX2_INLINE void visit(const FourPairs& p) {
        __m256d u[4];
        gather(table.energies, p.slots, u);
        const __m256d minusR = sub(_mm256_setzero_pd(), p.r);
        const Vec4 f = scale(p.e, mul(findSlope(table, u, p.t), minusR));
        ofX = add(ofX, scale(p.e, f.x));
        ofY.x = fma(f.y, p.e.y, ofY.x);
        ofY.y = fma(f.y, p.e.z, ofY.y);
        ofY.z = fma(f.z, p.e.z, ofY.z);
        addBasisSlopes(table, p, minusR, sums);
    }
    AVX2_INLINE void end(int) {}
};

} // namespace

namespace avx2 {

AVX2 double addForces(const CpuPairShare& share, double* forces) {
    Forces loop = {share.table, forces, _mm256_setzero_pd(), zero()};
    visitPairs(share, loop);
    return sumLanes(loop.energy);
}

AVX2 void addCoefficientDerivatives(const CpuPairShare& share, double* sums) {
    CoefficientDerivatives loop = {share.table, sums};
    visitPairs(share, loop);
}

AVX2 void addHessianVectorProduct(const CpuPairShare& share, const double* lambda, double* product, double* sums) {
    HessianVectorProduct loop = {share.table, lambda, product, sums, zero(), zero()};
    visitPairs(share, loop);
}

AVX2 void addVirial(const CpuPairShare& share, double* virial, double* sums) {
    Virial loop = {share.table, sums, zero(), zero()};
    visitPairs(share, loop);
    double xx[3] = {}, yy[3] = {};
    addSums(xx, loop.ofX);
    addSums(yy, loop.ofY);
    const double tensor[9] = {xx[0], xx[1], xx[2], xx[1], yy[0], yy[1], xx[2], yy[1], yy[2]};
    for (int k = 0; k < 9; k++)
        virial[k] += tensor[k];
}

} // namespace avx2
} // namespace OpenMMGrad

#endif
