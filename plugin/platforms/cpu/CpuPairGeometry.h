// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUPAIRGEOMETRY_H_
#define OPENMMGRAD_CPUPAIRGEOMETRY_H_

#include "openmm/Vec3.h"
#include <cstdint>

namespace OpenMMGrad {

/** Round to nearest without a call to the C library; |x| < 2^51. */
inline double nearest(double x) {
    const double shift = 6755399441055744.0; // 1.5 * 2^52: adding it drops the fraction
    return (x + shift) - shift;
}

/**
 * Images of pairs, in double precision and on a grid of integers.
 *
 * Box vectors are in reduced form (a along x, b in the xy plane), so every displacement has exactly one image in the
 * brick |x| <= ax/2, |y| <= by/2, |z| <= cz/2. Where the cutoff is at most min(ax, by, cz)/2 a pair within the cutoff
 * has no other image within it.
 *
 * On the grid a box vector is 2^32 steps long (without periodicity: a length far above the cutoff). Differences of
 * 32-bit integers wrap around, so they are minimum images already, and they are exact: converted to float they carry a
 * relative error, not the absolute one of float coordinates.
 */
class CpuPairGeometry {
public:
    enum Shape { Open, Rectangular, Triclinic };
    /** @param range  without periodicity, the largest distance that the grid must tell apart */
    CpuPairGeometry(bool periodic, double range);
    /** Without effect unless periodic. */
    void setVectors(const OpenMM::Vec3* boxVectors);
    bool hasVectors(const OpenMM::Vec3* boxVectors) const;

    Shape getShape() const { return shape; }
    const OpenMM::Vec3& getVector(int axis) const { return vectors[axis]; }
    /** Distance between the two faces of the box that vector `axis` joins. */
    double getWidth(int axis) const { return widths[axis]; }
    /** Whether a pair within distance r of each other shows it in the brick image. */
    bool brickShowsAllWithin(double r) const { return shape != Triclinic || r <= 0.5 * shortest; }

    /** Coordinates in units of the box vectors. */
    OpenMM::Vec3 toFractions(const OpenMM::Vec3& x) const {
        const double f2 = x[2] * inverse[2];
        const double f1 = (x[1] - vectors[2][1] * f2) * inverse[1];
        return OpenMM::Vec3((x[0] - vectors[1][0] * f1 - vectors[2][0] * f2) * inverse[0], f1, f2);
    }
    static int32_t toGrid(double fraction) {
        return static_cast<int32_t>(static_cast<int64_t>(fraction * 4294967296.0));
    }
    /** The image of a displacement in the brick. */
    template <Shape S> OpenMM::Vec3 findImage(OpenMM::Vec3 d) const {
        if (S == Rectangular) {
            for (int k = 0; k < 3; k++)
                d[k] -= vectors[k][k] * nearest(d[k] * inverse[k]);
        }
        else if (S == Triclinic) {
            d -= vectors[2] * nearest(d[2] * inverse[2]);
            d -= vectors[1] * nearest(d[1] * inverse[1]);
            d[0] -= vectors[0][0] * nearest(d[0] * inverse[0]);
        }
        return d;
    }
    /** Squared length of the shortest image, right up to the shortest of ax, by and cz. */
    double findShortestSquare(const OpenMM::Vec3& displacement) const;

private:
    void describe(const OpenMM::Vec3* boxVectors);

    Shape shape;
    double shortest;
    OpenMM::Vec3 vectors[3], inverse;
    double widths[3];
};

/** From differences on the grid to brick images, in single precision. */
struct CpuGridScale {
    bool triclinic;
    float x, y, z;    // length of a step along each vector
    float yx, zx, zy; // slopes of the box: bx/ax, cx/ax, cy/by
    /** @param inverseUnit  1/(the unit of length) in 1/nm */
    CpuGridScale(const CpuPairGeometry& geometry, double inverseUnit);

    /** Squared length of the brick image of a difference (mod 2^32) on the grid. */
    float findSquare(uint32_t dx, uint32_t dy, uint32_t dz) const {
        const float alongC = toFloat(dz);
        if (triclinic) {
            // A box vector more or less in z shifts y and x. The shifts are taken from the image of z, and differences
            // wrap: this is the order in which CpuPairGeometry::findImage() goes.
            dy += toSteps(alongC * zy);
            const float alongB = toFloat(dy) - alongC * zy;
            dx += toSteps(alongB * yx) + toSteps(alongC * zx);
        }
        const float ex = toFloat(dx) * x, ey = toFloat(dy) * y, ez = alongC * z;
        return ex * ex + ey * ey + ez * ez;
    }

private:
    static float toFloat(uint32_t d) { return static_cast<float>(static_cast<int32_t>(d)); }
    static uint32_t toSteps(float d) { return static_cast<uint32_t>(static_cast<int64_t>(d)); }
};

} // namespace OpenMMGrad

#endif
