// SPDX-License-Identifier: MIT
#include "CpuPairList.h"
#include "CpuPairLoops.h"
#include <algorithm>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

typedef CpuPairGeometry::Shape Shape;

/** One pair within the cutoff. */
struct Pair {
    int i, j; // where they stand in arrays of shape [sorted][4]
    double r, inverseR;
    Vec3 e; // (x_i - x_j)/r for the nearest image, zero for two particles in the same place
    int slot;
    double t;
};

template <Shape S, class Visit> void visitPairs(const CpuPairShare& share, Visit visit) {
    const CpuPairList& list = share.list;
    const CpuSplineTable& table = share.table;
    const CpuPairGeometry geometry = list.getGeometry();
    const double cutoffSquare = table.cutoff * table.cutoff;
    for (int i = share.begin; i < share.end; i++) {
        const int* partners = list.getPartners(i);
        const int* slots = &table.slots[share.types[i] * table.numTypes];
        const double* xi = &share.positions[4 * i];
        for (int n = 0; n < list.getNumPartners(i); n++) {
            const double* xj = &share.positions[partners[n]];
            const Vec3 d = geometry.findImage<S>(Vec3(xi[0] - xj[0], xi[1] - xj[1], xi[2] - xj[2]));
            const double square = d.dot(d);
            if (!(square < cutoffSquare))
                continue;
            const double r = sqrt(square), inverseR = r > 0 ? 1 / r : 0.0;
            const int interval = min(static_cast<int>(r * table.inverseWidth), table.numIntervals - 1);
            const int slot = slots[share.types[partners[n] / 4]] + interval;
            visit(Pair{4 * i, partners[n], r, inverseR, d * inverseR, slot, r * table.inverseWidth - interval});
        }
    }
}

template <class Visit> void visitPairs(const CpuPairShare& share, Visit visit) {
    const Shape shape = share.list.getGeometry().getShape();
    if (shape == CpuPairGeometry::Open)
        visitPairs<CpuPairGeometry::Open>(share, visit);
    else if (shape == CpuPairGeometry::Rectangular)
        visitPairs<CpuPairGeometry::Rectangular>(share, visit);
    else
        visitPairs<CpuPairGeometry::Triclinic>(share, visit);
}

void add(double* vector, const Vec3& v) {
    for (int k = 0; k < 3; k++)
        vector[k] += v[k];
}

int findWithin(const CpuGridScale& scale, const int32_t* x, const int32_t* y, const int32_t* z, int i, int begin, int end,
               int* entries) {
    const uint32_t xi = x[i], yi = y[i], zi = z[i];
    int count = 0;
    for (int j = begin; j < end; j++) {
        entries[count] = 4 * j;
        count += scale.findSquare(xi - x[j], yi - y[j], zi - z[j]) < 1;
    }
    return count;
}

double addForces(const CpuPairShare& share, double* forces) {
    double energy = 0;
    visitPairs(share, [&](const Pair& p) {
        const double* u = &share.table.energies[4 * p.slot];
        energy += u[0] + p.t * (u[1] + p.t * (u[2] + p.t * u[3]));
        const double slope = (u[1] + p.t * (2 * u[2] + p.t * 3 * u[3])) * share.table.inverseWidth;
        add(&forces[p.i], p.e * -slope);
        add(&forces[p.j], p.e * slope);
    });
    return energy;
}

void addCoefficientDerivatives(const CpuPairShare& share, double* sums) {
    const auto& b = share.table.basis;
    visitPairs(share, [&](const Pair& p) {
        for (int m = 0; m < 4; m++)
            sums[4 * p.slot + m] += b[0][m] + p.t * (b[1][m] + p.t * (b[2][m] + p.t * b[3][m]));
    });
}

/** B'_{interval+m}(r) */
double slopeOfBasis(const CpuSplineTable& table, double t, int m) {
    const auto& b = table.basis;
    return (b[1][m] + t * (2 * b[2][m] + t * 3 * b[3][m])) * table.inverseWidth;
}

void addHessianVectorProduct(const CpuPairShare& share, const double* lambda, double* product, double* sums) {
    const double inverseWidth = share.table.inverseWidth;
    visitPairs(share, [&](const Pair& p) {
        const double* u = &share.table.energies[4 * p.slot];
        const double slope = (u[1] + p.t * (2 * u[2] + p.t * 3 * u[3])) * inverseWidth;
        const double curvature = (2 * u[2] + 6 * p.t * u[3]) * inverseWidth * inverseWidth;
        const double *li = &lambda[p.i], *lj = &lambda[p.j];
        const Vec3 w(li[0] - lj[0], li[1] - lj[1], li[2] - lj[2]);
        const double along = p.e.dot(w);
        const Vec3 change = p.e * (curvature * along) + (w - p.e * along) * (slope * p.inverseR);
        add(&product[p.i], -change);
        add(&product[p.j], change);
        for (int m = 0; m < 4; m++)
            sums[4 * p.slot + m] -= along * slopeOfBasis(share.table, p.t, m);
    });
}

void addVirial(const CpuPairShare& share, double* virial, double* sums) {
    visitPairs(share, [&](const Pair& p) {
        const double* u = &share.table.energies[4 * p.slot];
        const double slope = (u[1] + p.t * (2 * u[2] + p.t * 3 * u[3])) * share.table.inverseWidth;
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < 3; b++)
                virial[3 * a + b] -= slope * p.r * p.e[a] * p.e[b];
        for (int m = 0; m < 4; m++)
            sums[4 * p.slot + m] -= p.r * slopeOfBasis(share.table, p.t, m);
    });
}

} // namespace

extern const CpuPairLoops cpuPortableLoops = {
    findWithin, nullptr, addForces, addCoefficientDerivatives, addHessianVectorProduct, addVirial};

} // namespace OpenMMGrad
