// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUPAIRLOOPSDOUBLE_H_
#define OPENMMGRAD_CPUPAIRLOOPSDOUBLE_H_

// The loops in double precision, over the vectors of one CpuVectors*.h: include that first.

#include "CpuPairList.h"
#include "CpuPairLoops.h"

namespace OpenMMGrad {

namespace {

typedef CpuPairGeometry::Shape Shape;

struct Vectors {
    Doubles x, y, z;
};

/** Pairs of one particle i. In lanes that hold none, r and inverseR are zero. */
struct Pairs {
    Vectors e;
    Doubles r, inverseR, t;
    DoubleMask within;
    const int* partners;       // where they stand in arrays of shape [sorted][4]
    int slots[Doubles::Size];  // four times the slot
};

SIMD_INLINE Doubles dot(const Vectors& a, const Vectors& b) { return fma(a.x, b.x, fma(a.y, b.y, a.z * b.z)); }
SIMD_INLINE Vectors zero() { return Vectors{Doubles(0.0), Doubles(0.0), Doubles(0.0)}; }
SIMD_INLINE Vectors broadcast(const double* v) { return Vectors{Doubles(v[0]), Doubles(v[1]), Doubles(v[2])}; }
SIMD_INLINE Vectors operator*(const Vectors& v, Doubles s) { return Vectors{v.x * s, v.y * s, v.z * s}; }
SIMD_INLINE Vectors operator+(const Vectors& a, const Vectors& b) { return Vectors{a.x + b.x, a.y + b.y, a.z + b.z}; }
SIMD_INLINE Vectors operator-(const Vectors& a, const Vectors& b) { return Vectors{a.x - b.x, a.y - b.y, a.z - b.z}; }

SIMD_INLINE Vectors gatherVectors(const double* base, const int* offsets) {
    Doubles columns[4];
    gatherRows(base, offsets, columns);
    return Vectors{columns[0], columns[1], columns[2]};
}
SIMD_INLINE void addVectors(double* base, const int* offsets, const Vectors& v) {
    const Doubles columns[4] = {v.x, v.y, v.z, Doubles(0.0)};
    addRows(base, offsets, columns);
}
SIMD_INLINE void addSums(double* vector, const Vectors& v) {
    vector[0] += sum(v.x);
    vector[1] += sum(v.y);
    vector[2] += sum(v.z);
}

/** The box and its inverse lengths, which the compiler would look up for every pair. */
struct Box {
    double ax, bx, by, cx, cy, cz, inverseX, inverseY, inverseZ;
    explicit Box(const CpuPairGeometry& geometry) {
        ax = geometry.getVector(0)[0];
        bx = geometry.getVector(1)[0];
        by = geometry.getVector(1)[1];
        cx = geometry.getVector(2)[0];
        cy = geometry.getVector(2)[1];
        cz = geometry.getVector(2)[2];
        inverseX = 1 / ax;
        inverseY = 1 / by;
        inverseZ = 1 / cz;
    }
};

/** The brick image, as CpuPairGeometry::findImage(). */
template <Shape S> SIMD_INLINE Vectors findImage(const Box& box, Vectors d) {
    if (S == CpuPairGeometry::Open)
        return d;
    const Doubles alongC = roundToNearest(d.z * Doubles(box.inverseZ));
    d.z = fnma(alongC, Doubles(box.cz), d.z);
    if (S == CpuPairGeometry::Triclinic) {
        d.y = fnma(alongC, Doubles(box.cy), d.y);
        d.x = fnma(alongC, Doubles(box.cx), d.x);
    }
    const Doubles alongB = roundToNearest(d.y * Doubles(box.inverseY));
    d.y = fnma(alongB, Doubles(box.by), d.y);
    if (S == CpuPairGeometry::Triclinic)
        d.x = fnma(alongB, Doubles(box.bx), d.x);
    const Doubles alongA = roundToNearest(d.x * Doubles(box.inverseX));
    d.x = fnma(alongA, Doubles(box.ax), d.x);
    return d;
}

/** Partners of one particle that are within the cutoff, one after the other; with room for a last vector. */
struct Within {
    static const int Size = 64, Room = Size + Doubles::Size;
    alignas(64) double x[Room], y[Room], z[Room], square[Room], types[Room];
    alignas(64) int partners[Room];
    int count;
};

/** Pack partners n, n + 1, .. of particle i that are within the cutoff, as many as there is room for. @return the next n */
template <Shape S> SIMD_INLINE int packPartners(const CpuPairShare& share, int i, int n, const Box& box, Within& w) {
    const int numPartners = share.list.getNumPartners(i);
    const int* partners = share.list.getPartners(i);
    const Doubles cutoffSquare(share.table.cutoff * share.table.cutoff);
    const Vectors xi = broadcast(share.positions + 4 * i);
    const bool oneType = share.table.numTypes == 1;
    int count = 0;
    for (; n < numPartners && count <= Within::Size - Doubles::Size; n += Doubles::Size) {
        Doubles xj[4];
        gatherRows(share.positions, partners + n, xj);
        const Vectors d = findImage<S>(box, xi - Vectors{xj[0], xj[1], xj[2]});
        const Doubles square = dot(d, d);
        const DoublePacker packer(both(less(square, cutoffSquare), firstDoubles(numPartners - n)));
        packer.store(d.x, w.x + count);
        packer.store(d.y, w.y + count);
        packer.store(d.z, w.z + count);
        packer.store(square, w.square + count);
        packer.store(Indices::load(partners + n), w.partners + count);
        if (!oneType)
            packer.store(xj[3], w.types + count);
        count += packer.count;
    }
    w.count = count;
    for (int k = count; k % Doubles::Size != 0; k++) {
        w.square[k] = 0.0;
        w.partners[k] = w.partners[0];
    }
    return n;
}

/** Calls loop.visit(Pairs) for the packed partners of a particle whose types' slots are given. */
template <class Loop>
SIMD_INLINE void visitPacked(const CpuSplineTable& table, const FewSlots& slotsOfI, const Within& w, Loop& loop) {
    const Indices lastInterval(table.numIntervals - 1);
    Pairs p;
    for (int k = 0; k < w.count; k += Doubles::Size) {
        p.within = firstDoubles(w.count - k);
        p.partners = w.partners + k;
        findRoot(Doubles::load(w.square + k), p.r, p.inverseR);
        p.e = Vectors{Doubles::load(w.x + k), Doubles::load(w.y + k), Doubles::load(w.z + k)} * p.inverseR;
        const Doubles intervals = p.r * Doubles(table.inverseWidth);
        const Indices interval = min(truncate(intervals), lastInterval);
        p.t = intervals - toDoubles(interval);
        const Indices first = table.numTypes == 1 ? Indices(table.slots[0])
                                                  : slotsOfI.find(truncate(Doubles::load(w.types + k)));
        timesFour(first + interval).store(p.slots);
        loop.visit(p);
    }
}

/** Calls loop.begin(i), loop.visit(Pairs) as often as needed and loop.end(i) for each particle of the share. */
template <Shape S, class Loop> SIMD void visitPairs(const CpuPairShare& share, Loop& loop) {
    const CpuSplineTable table = share.table;
    const Box box(share.list.getGeometry());
    Within w = {}; // finite also in lanes that hold no pair
    for (int i = share.begin; i < share.end; i++) {
        const FewSlots slotsOfI(table.slots + static_cast<int>(share.positions[4 * i + 3]) * table.numTypes, table.numTypes);
        loop.begin(i);
        for (int n = 0; n < share.list.getNumPartners(i);) {
            n = packPartners<S>(share, i, n, box, w);
            visitPacked(table, slotsOfI, w, loop);
        }
        loop.end(i);
    }
}

template <class Loop> SIMD void visitPairs(const CpuPairShare& share, Loop& loop) {
    const Shape shape = share.list.getGeometry().getShape();
    if (shape == CpuPairGeometry::Open)
        visitPairs<CpuPairGeometry::Open>(share, loop);
    else if (shape == CpuPairGeometry::Rectangular)
        visitPairs<CpuPairGeometry::Rectangular>(share, loop);
    else
        visitPairs<CpuPairGeometry::Triclinic>(share, loop);
}

/** u'(r) from the four coefficients of u. */
SIMD_INLINE Doubles findSlope(const CpuSplineTable& table, const Doubles u[4], Doubles t) {
    return fma(t, fma(Doubles(3.0) * t, u[3], u[2] + u[2]), u[1]) * Doubles(table.inverseWidth);
}

/** Moments of factor times the derivative of t^p, p = 0 .. 3, by r. */
SIMD_INLINE void addSlopes(const CpuSplineTable& table, const Pairs& p, Doubles factor, double* moments) {
    const Doubles f = factor * Doubles(table.inverseWidth), twice = f * (p.t + p.t);
    const Doubles slopes[4] = {Doubles(0.0), f, twice, twice * (Doubles(1.5) * p.t)};
    addRows(moments, p.slots, slopes);
}

struct Forces {
    const CpuSplineTable& table;
    double* forces;
    Doubles energy;
    Vectors onI;

    SIMD_INLINE void begin(int) { onI = zero(); }
    SIMD_INLINE void visit(const Pairs& p) {
        Doubles u[4];
        gatherRows(table.energies, p.slots, u);
        energy = energy + only(p.within, fma(p.t, fma(p.t, fma(p.t, u[3], u[2]), u[1]), u[0]));
        const Vectors onJ = p.e * findSlope(table, u, p.t);
        onI = onI - onJ;
        addVectors(forces, p.partners, onJ);
    }
    SIMD_INLINE void end(int i) { addSums(forces + 4 * i, onI); }
};

struct CoefficientDerivatives {
    double* moments;

    SIMD_INLINE void begin(int) {}
    SIMD_INLINE void visit(const Pairs& p) {
        const Doubles one = only(p.within, Doubles(1.0)), t = one * p.t, t2 = t * p.t;
        const Doubles powers[4] = {one, t, t2, t2 * p.t};
        addRows(moments, p.slots, powers);
    }
    SIMD_INLINE void end(int) {}
};

struct HessianVectorProduct {
    const CpuSplineTable& table;
    const double* lambda;
    double *product, *moments;
    Vectors lambdaI, onI;

    SIMD_INLINE void begin(int i) {
        lambdaI = broadcast(lambda + 4 * i);
        onI = zero();
    }
    SIMD_INLINE void visit(const Pairs& p) {
        Doubles u[4];
        gatherRows(table.energies, p.slots, u);
        const Doubles square(table.inverseWidth * table.inverseWidth);
        const Doubles curvature = fma(Doubles(6.0) * p.t, u[3], u[2] + u[2]) * square;
        const Doubles slopeOverR = findSlope(table, u, p.t) * p.inverseR;
        const Vectors w = lambdaI - gatherVectors(lambda, p.partners);
        const Doubles along = dot(p.e, w);
        const Vectors onJ = p.e * (along * (curvature - slopeOverR)) + w * slopeOverR;
        onI = onI - onJ;
        addVectors(product, p.partners, onJ);
        addSlopes(table, p, Doubles(0.0) - along, moments);
    }
    SIMD_INLINE void end(int i) { addSums(product + 4 * i, onI); }
};

struct Virial {
    const CpuSplineTable& table;
    double* moments;
    Vectors ofX, ofY; // xx xy xz, yy yz zz

    SIMD_INLINE void begin(int) {}
    SIMD_INLINE void visit(const Pairs& p) {
        Doubles u[4];
        gatherRows(table.energies, p.slots, u);
        const Doubles minusR = Doubles(0.0) - p.r;
        const Vectors f = p.e * (findSlope(table, u, p.t) * minusR);
        ofX = ofX + p.e * f.x;
        ofY.x = fma(f.y, p.e.y, ofY.x);
        ofY.y = fma(f.y, p.e.z, ofY.y);
        ofY.z = fma(f.z, p.e.z, ofY.z);
        addSlopes(table, p, minusR, moments);
    }
    SIMD_INLINE void end(int) {}
};

SIMD double addForces(const CpuPairShare& share, double* forces) {
    Forces loop = {share.table, forces, Doubles(0.0), zero()};
    visitPairs(share, loop);
    return sum(loop.energy);
}

SIMD void addCoefficientDerivatives(const CpuPairShare& share, double* moments) {
    CoefficientDerivatives loop = {moments};
    visitPairs(share, loop);
}

SIMD void addHessianVectorProduct(const CpuPairShare& share, const double* lambda, double* product, double* moments) {
    HessianVectorProduct loop = {share.table, lambda, product, moments, zero(), zero()};
    visitPairs(share, loop);
}

SIMD void addVirial(const CpuPairShare& share, double* virial, double* moments) {
    Virial loop = {share.table, moments, zero(), zero()};
    visitPairs(share, loop);
    double xx[3] = {}, yy[3] = {};
    addSums(xx, loop.ofX);
    addSums(yy, loop.ofY);
    const double tensor[9] = {xx[0], xx[1], xx[2], xx[1], yy[0], yy[1], xx[2], yy[1], yy[2]};
    for (int k = 0; k < 9; k++)
        virial[k] += tensor[k];
}

} // namespace
} // namespace OpenMMGrad

#endif
