// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUPAIRLOOPS_H_
#define OPENMMGRAD_CPUPAIRLOOPS_H_

#include "CpuPairGeometry.h"
#include <cstdint>

namespace OpenMMGrad {

class CpuPairList;

/**
 * The splines of all pairs of types. A slot is one interval of one pair's spline: slot = typePair*numIntervals +
 * interval; in it t = r/h - interval.
 */
struct CpuSplineTable {
    int numTypes, numIntervals;
    double cutoff, inverseWidth; // nm, 1/h in 1/nm
    const int* slots;            // [type1*numTypes + type2]: the pair's first slot
    const double* energies;      // [slot][4]: u = p[0] + t (p[1] + t (p[2] + t p[3])), in kJ/mol
    const float* forces;         // [slot][4]: -u' = p[0] + t (p[1] + t p[2]), in kJ/mol/nm
    double basis[4][4];          // B_{interval+m} = sum_p basis[p][m] t^p
    /**
     * From sums of factor*t^p (or of factor*dt^p/dr), [slot][4], to sums of factor*B_k (or of factor*B'_k),
     * [typePair][numIntervals + 3].
     */
    void addMoments(const double* moments, int numTypePairs, double* sums) const {
        for (int slot = 0; slot < numTypePairs * numIntervals; slot++)
            for (int p = 0; p < 4; p++)
                for (int m = 0; m < 4; m++)
                    sums[slot + 3 * (slot / numIntervals) + m] += basis[p][m] * moments[4 * slot + p];
    }
};

/** One thread's share of the work: the pairs of sorted indices begin <= i < end. */
struct CpuPairShare {
    const CpuPairList& list;
    const CpuSplineTable& table;
    int begin, end;
    const double* positions; // [sorted][4]: x, y, z and the type
};

/** Places begin <= j < end in arrays of grid coordinates. */
struct CpuRange {
    int begin, end;
};

/** Bins of equal width for distances in single precision. */
struct CpuDistanceBins {
    CpuGridScale scale; // lengths in units of a bin's width
    float start, count; // where the first bin begins, and how many there are
    float doubt;        // distances so near to the end of a bin may belong to the next
};

/** Bins of distances that are sure, and places of partners whose bins are not. Both have room for MaxLanes more. */
struct CpuBinnedPartners {
    int *bins, *doubtful;
    int numBins, numDoubtful;
};

/**
 * The inner loops for one instruction set. All of them add to their results. Vectors are in arrays of shape [sorted][4]
 * with fourth elements that mean nothing. Pairs in the same place have an energy, but no direction: their force and
 * its derivatives are zero.
 */
struct CpuPairLoops {
    /**
     * The grid points j, begin <= j < end, within distance 1 of point i. The brick image must show them.
     * @param x,y,z         grid coordinates; up to MaxLanes elements from `end` on are read
     * @param[out] entries  4*j for each; up to MaxLanes elements beyond the last are overwritten
     * @return how many there are
     */
    int (*findWithin)(const CpuGridScale& scale, const int32_t* x, const int32_t* y, const int32_t* z, int i, int begin,
                      int end, int* entries);
    /**
     * The bins of the distances from a point to the grid points of some ranges, as far as they lie in a bin.
     * @param x,y,z  as for findWithin()
     */
    void (*binDistances)(const CpuDistanceBins& bins, const int32_t* x, const int32_t* y, const int32_t* z,
                         const int32_t point[3], const CpuRange* ranges, int numRanges, CpuBinnedPartners& found);
    /**
     * Forces in single precision, from exact differences of grid coordinates (CpuPairGeometry): displacements carry a
     * relative error only.
     * @param grid  [sorted][4]: grid coordinates and type
     */
    void (*addForcesInSingle)(const CpuPairList& list, const CpuSplineTable& table, const int32_t* grid, int begin,
                              int end, float* forces);
    /**
     * The Hessian-vector product, see addHessianVectorProduct(), in the same way but over 1/h: of lambda and product,
     * [sorted][4], in single precision. Moments are summed in double precision.
     * @param rows  [numSlots][4], zeros before and after
     */
    void (*addProductInSingle)(const CpuPairList& list, const CpuSplineTable& table, const int32_t* grid,
                               const float* lambda, int begin, int end, float* product, float* rows, int numSlots,
                               double* moments);
    /** F_i = -u'(r) e, F_j = u'(r) e. @return the energy, sum u(r) */
    double (*addForces)(const CpuPairShare& share, double* forces);
    /** sum B_k(r). @param[in,out] moments  of t^p, see CpuSplineTable::addMoments(); so below */
    void (*addCoefficientDerivatives)(const CpuPairShare& share, double* moments);
    /**
     * With w = lambda_i - lambda_j: on i -[u''(r)(e.w) e + (u'(r)/r)(w - (e.w) e)], on j the opposite; moments of
     * -(e.w) B'_k(r).
     */
    void (*addHessianVectorProduct)(const CpuPairShare& share, const double* lambda, double* product, double* moments);
    /** W_ab = -u'(r) r e_a e_b, row major [9]; moments of -r B'_k(r). */
    void (*addVirial)(const CpuPairShare& share, double* virial, double* moments);

    static const int MaxLanes = 16;
    /**
     * The best loops for this processor; those that the environment asks for by OPENMMGRAD_CPU_SIMD=off, sse, avx2 or
     * avx512.
     * @throw OpenMMException if it asks for what the processor does not have
     */
    static const CpuPairLoops& choose();
};

} // namespace OpenMMGrad

#endif
