// SPDX-License-Identifier: MIT
#if defined(__x86_64__) && defined(__GNUC__)

#include "CpuPairList.h"
#include "CpuPairLoopsAvx2.h"
#include <cstring>

namespace OpenMMGrad {

namespace {

struct Displacements {
    __m256 x, y, z, square;
};

/** Brick images of differences on the grid, as in CpuGridScale::findSquare(). */
template <bool triclinic>
AVX2_INLINE Displacements findImages(const CpuGridScale& scale, __m256i gx, __m256i gy, __m256i gz) {
    const __m256 z = _mm256_cvtepi32_ps(gz);
    if (triclinic) {
        const __m256 zInY = _mm256_mul_ps(z, _mm256_set1_ps(scale.zy));
        gy = _mm256_add_epi32(gy, _mm256_cvtps_epi32(zInY));
        const __m256 alongB = _mm256_sub_ps(_mm256_cvtepi32_ps(gy), zInY);
        gx = _mm256_add_epi32(gx, _mm256_cvtps_epi32(_mm256_mul_ps(alongB, _mm256_set1_ps(scale.yx))));
        gx = _mm256_add_epi32(gx, _mm256_cvtps_epi32(_mm256_mul_ps(z, _mm256_set1_ps(scale.zx))));
    }
    Displacements d;
    d.x = _mm256_mul_ps(_mm256_cvtepi32_ps(gx), _mm256_set1_ps(scale.x));
    d.y = _mm256_mul_ps(_mm256_cvtepi32_ps(gy), _mm256_set1_ps(scale.y));
    d.z = _mm256_mul_ps(z, _mm256_set1_ps(scale.z));
    d.square = _mm256_fmadd_ps(d.x, d.x, _mm256_fmadd_ps(d.y, d.y, _mm256_mul_ps(d.z, d.z)));
    return d;
}

AVX2_INLINE __m256i load(const int32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

/** Bits of the first n of eight lanes. */
AVX2_INLINE __m256i firstLanes(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
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

template <bool triclinic>
AVX2 int findOnGrid(const CpuGridScale& scale, const int32_t* x, const int32_t* y, const int32_t* z, int i,
                    int begin, int end, int* entries) {
    const __m256i xi = _mm256_set1_epi32(x[i]), yi = _mm256_set1_epi32(y[i]), zi = _mm256_set1_epi32(z[i]);
    const __m256i eights = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    int count = 0;
    for (int j = begin; j < end; j += 8) {
        const Displacements d = findImages<triclinic>(scale, _mm256_sub_epi32(xi, load(x + j)), _mm256_sub_epi32(yi, load(y + j)),
                                              _mm256_sub_epi32(zi, load(z + j)));
        const __m256 within = _mm256_and_ps(_mm256_cmp_ps(d.square, _mm256_set1_ps(1.0f), _CMP_LT_OQ),
                                            _mm256_castsi256_ps(firstLanes(end - j)));
        const int mask = _mm256_movemask_ps(within);
        const __m256i lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(setLanes.lanes[mask]));
        const __m256i indices = _mm256_add_epi32(_mm256_set1_epi32(4 * j), eights);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(entries + count), _mm256_permutevar8x32_epi32(indices, lanes));
        count += __builtin_popcount(mask);
    }
    return count;
}

/** Rows of four 32-bit elements for eight pairs, as four vectors of eight. */
template <class Element>
AVX2_INLINE void gather(const Element* base, const int* offsets, __m256& a, __m256& b, __m256& c, __m256& d) {
    auto row = [&](int n) __attribute__((target("avx2,fma"), always_inline)) {
        return _mm256_insertf128_ps(
            _mm256_castps128_ps256(_mm_loadu_ps(reinterpret_cast<const float*>(base + offsets[n]))),
            _mm_loadu_ps(reinterpret_cast<const float*>(base + offsets[n + 4])), 1);
    };
    const __m256 r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
    const __m256 ab01 = _mm256_unpacklo_ps(r0, r1), cd01 = _mm256_unpackhi_ps(r0, r1);
    const __m256 ab23 = _mm256_unpacklo_ps(r2, r3), cd23 = _mm256_unpackhi_ps(r2, r3);
    a = _mm256_shuffle_ps(ab01, ab23, 0x44);
    b = _mm256_shuffle_ps(ab01, ab23, 0xee);
    c = _mm256_shuffle_ps(cd01, cd23, 0x44);
    d = _mm256_shuffle_ps(cd01, cd23, 0xee);
}

/** The reverse of gather(), subtracting: rows (a, b, c, 0). */
AVX2_INLINE void subtract(float* base, const int* offsets, __m256 a, __m256 b, __m256 c) {
    const __m256 ab01 = _mm256_unpacklo_ps(a, b), ab23 = _mm256_unpackhi_ps(a, b);
    const __m256 c01 = _mm256_unpacklo_ps(c, _mm256_setzero_ps()), c23 = _mm256_unpackhi_ps(c, _mm256_setzero_ps());
    const __m256 rows[4] = {_mm256_shuffle_ps(ab01, c01, 0x44), _mm256_shuffle_ps(ab01, c01, 0xee),
                            _mm256_shuffle_ps(ab23, c23, 0x44), _mm256_shuffle_ps(ab23, c23, 0xee)};
    for (int n = 0; n < 4; n++) { // one after the other: two partners may be the same beyond the end of a list
        float* low = base + offsets[n];
        _mm_storeu_ps(low, _mm_sub_ps(_mm_loadu_ps(low), _mm256_castps256_ps128(rows[n])));
        float* high = base + offsets[n + 4];
        _mm_storeu_ps(high, _mm_sub_ps(_mm_loadu_ps(high), _mm256_extractf128_ps(rows[n], 1)));
    }
}

AVX2_INLINE float sumLanes(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

template <bool triclinic>
AVX2 void addForcesOnGrid(const CpuPairList& list, const CpuSplineTable& table, const int32_t* grid, int begin, int end,
                    float* forces) {
    // Lengths in intervals of the spline.
    const CpuGridScale scale(list.getGeometry(), table.inverseWidth);
    const float cutoffSquare = static_cast<float>(table.numIntervals) * table.numIntervals;
    const __m256i lastInterval = _mm256_set1_epi32(table.numIntervals - 1);
    for (int i = begin; i < end; i++) {
        const int* partners = list.getPartners(i);
        const int numPartners = list.getNumPartners(i);
        const int* slotsOfI = table.slots + grid[4 * i + 3] * table.numTypes;
        const __m256i fewSlots = _mm256_maskload_epi32(slotsOfI, firstLanes(table.numTypes));
        const __m256i xi = _mm256_set1_epi32(grid[4 * i]), yi = _mm256_set1_epi32(grid[4 * i + 1]);
        const __m256i zi = _mm256_set1_epi32(grid[4 * i + 2]);
        __m256 fx = _mm256_setzero_ps(), fy = fx, fz = fx;
        for (int n = 0; n < numPartners; n += 8) {
            __m256 xj, yj, zj, typeJ, p0, p1, p2, unused;
            gather(grid, partners + n, xj, yj, zj, typeJ);
            const Displacements d = findImages<triclinic>(scale, _mm256_sub_epi32(xi, _mm256_castps_si256(xj)),
                                                  _mm256_sub_epi32(yi, _mm256_castps_si256(yj)),
                                                  _mm256_sub_epi32(zi, _mm256_castps_si256(zj)));
            // Two particles in the same place have no direction, hence no force.
            __m256 interact = _mm256_and_ps(_mm256_cmp_ps(d.square, _mm256_set1_ps(cutoffSquare), _CMP_LT_OQ),
                                            _mm256_cmp_ps(d.square, _mm256_setzero_ps(), _CMP_GT_OQ));
            interact = _mm256_and_ps(interact, _mm256_castsi256_ps(firstLanes(numPartners - n)));
            if (_mm256_movemask_ps(interact) == 0)
                continue;
            const __m256 r = _mm256_sqrt_ps(d.square);
            const __m256i interval = _mm256_min_epi32(_mm256_cvttps_epi32(r), lastInterval);
            const __m256 t = _mm256_sub_ps(r, _mm256_cvtepi32_ps(interval));
            const __m256i slot = table.numTypes <= 8
                                    ? _mm256_permutevar8x32_epi32(fewSlots, _mm256_castps_si256(typeJ))
                                    : _mm256_i32gather_epi32(slotsOfI, _mm256_castps_si256(typeJ), 4);
            alignas(32) int offsets[8];
            _mm256_store_si256(reinterpret_cast<__m256i*>(offsets),
                               _mm256_slli_epi32(_mm256_add_epi32(slot, interval), 2));
            gather(table.forces, offsets, p0, p1, p2, unused);
            const __m256 force = _mm256_fmadd_ps(t, _mm256_fmadd_ps(t, p2, p1), p0);
            const __m256 overR = _mm256_and_ps(_mm256_div_ps(force, r), interact);
            const __m256 gx = _mm256_mul_ps(overR, d.x), gy = _mm256_mul_ps(overR, d.y), gz = _mm256_mul_ps(overR, d.z);
            fx = _mm256_add_ps(fx, gx);
            fy = _mm256_add_ps(fy, gy);
            fz = _mm256_add_ps(fz, gz);
            subtract(forces, partners + n, gx, gy, gz);
        }
        forces[4 * i] += sumLanes(fx);
        forces[4 * i + 1] += sumLanes(fy);
        forces[4 * i + 2] += sumLanes(fz);
    }
}

} // namespace

namespace avx2 {

int findWithin(const CpuGridScale& scale, const int32_t* x, const int32_t* y, const int32_t* z, int i, int begin, int end,
               int* entries) {
    return scale.triclinic ? findOnGrid<true>(scale, x, y, z, i, begin, end, entries)
                           : findOnGrid<false>(scale, x, y, z, i, begin, end, entries);
}

void addForcesInSingle(const CpuPairList& list, const CpuSplineTable& table, const int32_t* grid, int begin, int end,
                       float* forces) {
    if (list.getGeometry().getShape() == CpuPairGeometry::Triclinic)
        addForcesOnGrid<true>(list, table, grid, begin, end, forces);
    else
        addForcesOnGrid<false>(list, table, grid, begin, end, forces);
}

} // namespace avx2

extern const CpuPairLoops cpuAvx2Loops = {avx2::findWithin,
                                          avx2::addForcesInSingle,
                                          avx2::addForces,
                                          avx2::addCoefficientDerivatives,
                                          avx2::addHessianVectorProduct,
                                          avx2::addVirial};

} // namespace OpenMMGrad

#endif
