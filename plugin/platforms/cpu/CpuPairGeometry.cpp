// SPDX-License-Identifier: MIT
#include "CpuPairGeometry.h"
#include <algorithm>
#include <cmath>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

CpuPairGeometry::CpuPairGeometry(bool periodic, double range) : shape(periodic ? Rectangular : Open) {
    const double side = 8 * range;
    const Vec3 cube[3] = {Vec3(side, 0, 0), Vec3(0, side, 0), Vec3(0, 0, side)};
    describe(cube);
}

void CpuPairGeometry::describe(const Vec3* boxVectors) {
    copy(boxVectors, boxVectors + 3, vectors);
    const Vec3 &a = vectors[0], &b = vectors[1], &c = vectors[2];
    shortest = min({a[0], b[1], c[2]});
    inverse = Vec3(1 / a[0], 1 / b[1], 1 / c[2]);
    const double volume = a[0] * b[1] * c[2];
    for (int k = 0; k < 3; k++) {
        const Vec3 normal = vectors[(k + 1) % 3].cross(vectors[(k + 2) % 3]);
        widths[k] = volume / sqrt(normal.dot(normal));
    }
}

void CpuPairGeometry::setVectors(const Vec3* boxVectors) {
    if (shape == Open)
        return;
    describe(boxVectors);
    shape = vectors[1][0] == 0 && vectors[2][0] == 0 && vectors[2][1] == 0 ? Rectangular : Triclinic;
}

bool CpuPairGeometry::hasVectors(const Vec3* boxVectors) const {
    return shape == Open || equal(vectors, vectors + 3, boxVectors);
}

double CpuPairGeometry::findShortestSquare(const Vec3& displacement) const {
    if (shape == Open)
        return displacement.dot(displacement);
    if (shape == Rectangular) {
        const Vec3 d = findImage<Rectangular>(displacement);
        return d.dot(d);
    }
    // Below the shortest side, z and y differ from the brick image by at most one vector; then x is rounded.
    const Vec3 brick = findImage<Triclinic>(displacement);
    double shortestSquare = brick.dot(brick);
    for (int n2 = -1; n2 <= 1; n2++)
        for (int n1 = -1; n1 <= 1; n1++) {
            Vec3 d = brick + vectors[2] * n2 + vectors[1] * n1;
            d[0] -= vectors[0][0] * nearest(d[0] * inverse[0]);
            shortestSquare = min(shortestSquare, d.dot(d));
        }
    return shortestSquare;
}

CpuGridScale::CpuGridScale(const CpuPairGeometry& geometry, double inverseUnit)
    : triclinic(geometry.getShape() == CpuPairGeometry::Triclinic) {
    const double step = inverseUnit / 4294967296.0;
    const Vec3 &a = geometry.getVector(0), &b = geometry.getVector(1), &c = geometry.getVector(2);
    x = static_cast<float>(a[0] * step);
    y = static_cast<float>(b[1] * step);
    z = static_cast<float>(c[2] * step);
    yx = static_cast<float>(b[0] / a[0]);
    zx = static_cast<float>(c[0] / a[0]);
    zy = static_cast<float>(c[1] / b[1]);
}

} // namespace OpenMMGrad
