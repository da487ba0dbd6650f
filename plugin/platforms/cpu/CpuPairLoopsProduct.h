// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUPAIRLOOPSPRODUCT_H_
#define OPENMMGRAD_CPUPAIRLOOPSPRODUCT_H_

// The Hessian-vector product on the grid and in single precision: include CpuPairLoopsSingle.h first.

#include <algorithm>

namespace OpenMMGrad {

namespace {

/** Moments of few pairs in single precision, [slot] (t, t^2, t^3, nothing), on their way to sums in double. */
struct WaitingMoments {
    static const int Most = 2048; // pairs
    float* rows;
    double* moments;
    double factor;
    int numSlots, waiting;

    void add() {
        for (int slot = 0; slot < numSlots; slot++)
            for (int p = 1; p < 4; p++)
                moments[4 * slot + p] += factor * rows[4 * slot + p - 1];
        std::fill(rows, rows + 4 * numSlots, 0.0f);
        waiting = 0;
    }
};

/** lambda of the particle i of each packed pair. */
struct OwnLambdas {
    alignas(64) float x[PackedOnGrid::Room], y[PackedOnGrid::Room], z[PackedOnGrid::Room];

    SIMD_INLINE void fill(const PackedOnGrid& packed, const float* lambda) {
        for (int s = 0, k = 0; s < packed.numParticles; s++) {
            const float* own = lambda + 4 * packed.particles[s];
            for (; k < packed.ends[s]; k += Floats::Size) {
                Floats(own[0]).store(x + k);
                Floats(own[1]).store(y + k);
                Floats(own[2]).store(z + k);
            }
            k = packed.ends[s];
        }
    }
};

template <bool triclinic, bool oneType>
SIMD void addProductOnGrid(const CpuPairList& list, const CpuSplineTable& splines, const int32_t* grid,
                           const float* lambda, int begin, int end, float* product, WaitingMoments& waiting) {
    // Lengths in intervals of the spline, where lanes that hold no pair have no direction: they add zeros.
    const CpuGridScale scale(list.getGeometry(), splines.inverseWidth);
    PackedOnGrid packed = {};
    OwnLambdas own = {};
    for (int i = begin, n = 0; i < end;) {
        packOnGrid<triclinic, oneType>(list, splines, scale, grid, i, n, end, packed);
        findPlacesOnGrid<oneType>(splines, packed);
        own.fill(packed, lambda);
        for (int k = 0; k < packed.count; k += Floats::Size) {
            Floats f[4], other[4];
            gatherRows(splines.forces, packed.slots + k, f);
            gatherRows(lambda, packed.partners + k, other);
            const Floats t = Floats::load(packed.t + k), inverseR = Floats::load(packed.inverseR + k);
            const Displacements e = {Floats::load(packed.x + k) * inverseR, Floats::load(packed.y + k) * inverseR,
                                     Floats::load(packed.z + k) * inverseR};
            const Displacements w = {Floats::load(own.x + k) - other[0], Floats::load(own.y + k) - other[1],
                                     Floats::load(own.z + k) - other[2]};
            const Floats along = fma(e.x, w.x, fma(e.y, w.y, e.z * w.z));
            const Floats overR = fma(t, fma(t, f[2], f[1]), f[0]) * inverseR; // -u'/r
            const Floats onE = along * (fma(t + t, f[2], f[1]) - overR);      // (u'/r - u'') (e.w)
            exchange(packed, k, Displacements{fma(e.x, onE, w.x * overR), fma(e.y, onE, w.y * overR),
                                              fma(e.z, onE, w.z * overR)}, product);
            const Floats twice = along * (t + t);
            subtractRows(waiting.rows, packed.slots + k, along, twice, twice * (Floats(1.5f) * t));
        }
        addOwn(packed, product);
        waiting.waiting += packed.count;
        if (waiting.waiting >= WaitingMoments::Most)
            waiting.add();
    }
    waiting.add();
}

template <bool triclinic>
SIMD void addProductOnGrid(const CpuPairList& list, const CpuSplineTable& splines, const int32_t* grid,
                           const float* lambda, int begin, int end, float* product, WaitingMoments& waiting) {
    if (splines.numTypes > 1)
        addProductOnGrid<triclinic, false>(list, splines, grid, lambda, begin, end, product, waiting);
    else
        addProductOnGrid<triclinic, true>(list, splines, grid, lambda, begin, end, product, waiting);
}

SIMD void addProductInSingle(const CpuPairList& list, const CpuSplineTable& splines, const int32_t* grid,
                             const float* lambda, int begin, int end, float* product, float* rows, int numSlots,
                             double* moments) {
    WaitingMoments waiting = {rows, moments, splines.inverseWidth, numSlots, 0};
    if (list.getGeometry().getShape() == CpuPairGeometry::Triclinic)
        addProductOnGrid<true>(list, splines, grid, lambda, begin, end, product, waiting);
    else
        addProductOnGrid<false>(list, splines, grid, lambda, begin, end, product, waiting);
}

} // namespace
} // namespace OpenMMGrad

#endif
