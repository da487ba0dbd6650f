// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUSIMD_H_
#define OPENMMGRAD_CPUSIMD_H_

#include "CpuPairGeometry.h"
#include <cstdint>

namespace OpenMMGrad {

class CpuPairList;

/** The slope of a spline, for single precision. */
struct CpuForceTable {
    const float* polynomials; // [row][4]: -u'(r) = p[0] + t (p[1] + t p[2]), t = r/h - interval, in kJ/mol/nm
    const int* rows;          // [type1*numTypes + type2]: row of the pair's first interval
    int numTypes, numIntervals;
    double inverseWidth; // 1/h
};

/**
 * The two inner loops of molecular dynamics for one instruction set. They run in single precision, but on exact
 * differences of grid coordinates (CpuPairGeometry): displacements carry a relative error only.
 */
struct CpuSimd {
    /**
     * The grid points j, begin <= j < end, within distance 1 of point i. The brick image must show them.
     * @param x,y,z         grid coordinates; up to seven elements from `end` on are read
     * @param[out] entries  4*j for each; up to seven elements beyond the last are overwritten
     * @return how many there are
     */
    int (*findWithin)(const CpuGridScale& scale, const int32_t* x, const int32_t* y, const int32_t* z, int i, int begin,
                      int end, int* entries);
    /**
     * Add the forces of the pairs of sorted indices begin <= i < end.
     * @param grid            [sorted][4]: grid coordinates and type
     * @param[in,out] forces  [sorted][4], in kJ/mol/nm; the fourth elements stay as they are
     */
    void (*addForces)(const CpuPairList& list, const CpuForceTable& table, const int32_t* grid, int begin, int end,
                      float* forces);

    /**
     * The loops for this processor, or null where the portable double loops must do (they also do if the environment
     * sets OPENMMGRAD_CPU_SIMD=off).
     */
    static const CpuSimd* choose();
};

} // namespace OpenMMGrad

#endif
