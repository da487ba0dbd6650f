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

/** Pairs i, j. In lanes that hold none, e, r, inverseR and t are zero. */
struct Pairs {
    Vectors e;
    Doubles r, inverseR, t;
    DoubleMask within;
    const int* partners; // where j stand in arrays of shape [sorted][4]
    const int* slots;    // four times the slot
    Vectors lambdaI;
};

SIMD_INLINE Doubles dot(const Vectors& a, const Vectors& b) { return fma(a.x, b.x, fma(a.y, b.y, a.z * b.z)); }
SIMD_INLINE Vectors zero() { return Vectors{Doubles(0.0), Doubles(0.0), Doubles(0.0)}; }
SIMD_INLINE Vectors broadcast(const double* v) { return Vectors{Doubles(v[0]), Doubles(v[1]), Doubles(v[2])}; }
SIMD_INLINE Vectors operator*(const Vectors& v, Doubles s) { return Vectors{v.x * s, v.y * s, v.z * s}; }
SIMD_INLINE Vectors operator+(const Vectors& a, const Vectors& b) { return Vectors{a.x + b.x, a.y + b.y, a.z + b.z}; }
SIMD_INLINE Vectors operator-(const Vectors& a, const Vectors& b) { return Vectors{a.x - b.x, a.y - b.y, a.z - b.z}; }

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

/**
 * Pairs within the cutoff, one after the other, of particles one after the other; with room for a last vector. They are
 * packed first and visited when there are many: vectors are then full, and what was stored in parts has reached the
 * cache before it is read as a whole.
 */
struct PackedPairs {
    static const int Size = 128, Room = Size + Doubles::Size;
    alignas(64) double x[Room], y[Room], z[Room]; // displacements, then directions, then vectors on j
    alignas(64) double r[Room], inverseR[Room], t[Room];
    alignas(64) double lambdaX[Room], lambdaY[Room], lambdaZ[Room];
    alignas(64) int slots[Room];                  // the first of the pair of types, then four times that of the pair
    alignas(64) int partners[Room];               // where they stand
    int particles[Size], ends[Size];              // pairs ends[s - 1] <= k < ends[s] are those of particles[s]
    int count, numParticles;
};

/** Pack as many pairs as there is room for, from partner n of particle i on: both are moved on. */
template <Shape S, bool oneType, class Loop>
SIMD_INLINE void packPairs(const CpuPairShare& share, const CpuSplineTable& table, const Box& box, const Loop& loop,
                           int& i, int& n, PackedPairs& packed) {
    const Doubles cutoffSquare(table.cutoff * table.cutoff);
    int count = 0, particles = 0;
    for (; i < share.end && particles < PackedPairs::Size; i++, n = 0) {
        const int* partners = share.list.getPartners(i);
        const int numPartners = share.list.getNumPartners(i);
        const double* rowOfI = share.positions + 4 * i;
        const FewSlots slotsOfI(table.slots + static_cast<int>(rowOfI[3]) * table.numTypes, table.numTypes);
        const Vectors xi = broadcast(rowOfI);
        for (; n < numPartners && count <= PackedPairs::Size - Doubles::Size; n += Doubles::Size) {
            Doubles xj[4];
            gatherRows(share.positions, partners + n, xj);
            const Vectors d = findImage<S>(box, xi - Vectors{xj[0], xj[1], xj[2]});
            const DoublePacker packer(both(less(dot(d, d), cutoffSquare), firstDoubles(numPartners - n)));
            packer.store(d.x, packed.x + count);
            packer.store(d.y, packed.y + count);
            packer.store(d.z, packed.z + count);
            packer.store(Indices::load(partners + n), packed.partners + count);
            if (!oneType)
                packer.store(slotsOfI.find(truncate(xj[3])), packed.slots + count);
            if (Loop::HasLambda) {
                Doubles(loop.lambda[4 * i]).store(packed.lambdaX + count);
                Doubles(loop.lambda[4 * i + 1]).store(packed.lambdaY + count);
                Doubles(loop.lambda[4 * i + 2]).store(packed.lambdaZ + count);
            }
            count += packer.count;
        }
        packed.particles[particles] = i;
        packed.ends[particles++] = count;
        if (n < numPartners)
            break;
    }
    packed.count = count;
    packed.numParticles = particles;
    // The last vector may hold fewer pairs: others of its lanes see nothing, at places that exist.
    Doubles(0.0).store(packed.x + count);
    Doubles(0.0).store(packed.y + count);
    Doubles(0.0).store(packed.z + count);
    Indices::load(packed.partners).store(packed.partners + count);
    Indices(0).store(packed.slots + count);
}

/** From displacements to distances, directions and places in the table. */
template <bool oneType> SIMD_INLINE void findPlaces(const CpuSplineTable& table, PackedPairs& packed) {
    const Indices lastInterval(table.numIntervals - 1);
    const Doubles inverseWidth(table.inverseWidth);
    for (int k = 0; k < packed.count; k += Doubles::Size) {
        const Vectors d = {Doubles::load(packed.x + k), Doubles::load(packed.y + k), Doubles::load(packed.z + k)};
        Doubles r, inverseR;
        findRoot(dot(d, d), r, inverseR);
        const Vectors e = d * inverseR;
        const Doubles intervals = r * inverseWidth;
        const Indices interval = min(truncate(intervals), lastInterval);
        const Doubles t = intervals - toDoubles(interval);
        e.x.store(packed.x + k);
        e.y.store(packed.y + k);
        e.z.store(packed.z + k);
        r.store(packed.r + k);
        inverseR.store(packed.inverseR + k);
        t.store(packed.t + k);
        timesFour(oneType ? interval : Indices::load(packed.slots + k) + interval).store(packed.slots + k);
    }
}

/** Calls loop.visit(Pairs) for all pairs of the share, and adds the vectors that it finds on particles j to the other. */
template <Shape S, bool oneType, class Loop> SIMD void visitPairs(const CpuPairShare& share, Loop& result) {
    const CpuSplineTable table = share.table;
    Loop loop = result; // here, not behind a pointer: what it holds stays in registers
    const Box box(share.list.getGeometry());
    PackedPairs packed = {}; // valid also in lanes that hold no pair
    Pairs p;
    for (int i = share.begin, n = 0; i < share.end;) {
        packPairs<S, oneType>(share, table, box, loop, i, n, packed);
        findPlaces<oneType>(table, packed);
        for (int k = 0; k < packed.count; k += Doubles::Size) {
            p.within = firstDoubles(packed.count - k);
            p.partners = packed.partners + k;
            p.slots = packed.slots + k;
            p.e = Vectors{Doubles::load(packed.x + k), Doubles::load(packed.y + k), Doubles::load(packed.z + k)};
            p.r = Doubles::load(packed.r + k);
            p.inverseR = Doubles::load(packed.inverseR + k);
            p.t = Doubles::load(packed.t + k);
            p.lambdaI = zero();
            if (Loop::HasLambda)
                p.lambdaI = Vectors{Doubles::load(packed.lambdaX + k), Doubles::load(packed.lambdaY + k),
                                    Doubles::load(packed.lambdaZ + k)};
            const Vectors onJ = loop.visit(p);
            if (Loop::HasVectors) {
                const Doubles columns[4] = {onJ.x, onJ.y, onJ.z, Doubles(0.0)};
                addRows(loop.vectors, p.partners, columns);
                onJ.x.store(packed.x + k);
                onJ.y.store(packed.y + k);
                onJ.z.store(packed.z + k);
            }
        }
        if (!Loop::HasVectors)
            continue;
        for (int s = 0, k = 0; s < packed.numParticles; s++) {
            Vectors onI = zero();
            for (; k < packed.ends[s]; k += Doubles::Size) {
                const DoubleMask own = firstDoubles(packed.ends[s] - k);
                onI = onI - Vectors{only(own, Doubles::load(packed.x + k)), only(own, Doubles::load(packed.y + k)),
                                    only(own, Doubles::load(packed.z + k))};
            }
            k = packed.ends[s];
            addSums(loop.vectors + 4 * packed.particles[s], onI.x, onI.y, onI.z);
        }
    }
    result = loop;
}

template <Shape S, class Loop> SIMD void visitPairs(const CpuPairShare& share, Loop& loop) {
    if (share.table.numTypes == 1)
        visitPairs<S, true>(share, loop);
    else
        visitPairs<S, false>(share, loop);
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

/** Whether a loop reads vectors lambda, and makes vectors; if not there are null pointers instead. */
template <bool lambdas, bool results> struct Uses {
    static const bool HasLambda = lambdas, HasVectors = results;
    const double* lambda = nullptr;
    double* vectors = nullptr;
};

struct Forces : Uses<false, true> {
    CpuSplineTable table;
    Doubles energy;

    SIMD_INLINE Forces(const CpuSplineTable& table, double* forces) : table(table), energy(0.0) { vectors = forces; }
    SIMD_INLINE Vectors visit(const Pairs& p) {
        Doubles u[4];
        gatherRows(table.energies, p.slots, u);
        energy = energy + only(p.within, fma(p.t, fma(p.t, fma(p.t, u[3], u[2]), u[1]), u[0]));
        return p.e * findSlope(table, u, p.t);
    }
};

struct CoefficientDerivatives : Uses<false, false> {
    double* moments;

    explicit CoefficientDerivatives(double* moments) : moments(moments) {}
    SIMD_INLINE Vectors visit(const Pairs& p) {
        const Doubles one = only(p.within, Doubles(1.0)), t = one * p.t, t2 = t * p.t;
        const Doubles powers[4] = {one, t, t2, t2 * p.t};
        addRows(moments, p.slots, powers);
        return zero();
    }
};

struct HessianVectorProduct : Uses<true, true> {
    CpuSplineTable table;
    double* moments;

    HessianVectorProduct(const CpuSplineTable& table, const double* lambdas, double* product, double* moments)
        : table(table), moments(moments) {
        lambda = lambdas;
        vectors = product;
    }
    SIMD_INLINE Vectors visit(const Pairs& p) {
        Doubles u[4], lambdaJ[4];
        gatherRows(table.energies, p.slots, u);
        gatherRows(lambda, p.partners, lambdaJ);
        const Doubles square(table.inverseWidth * table.inverseWidth);
        const Doubles curvature = fma(Doubles(6.0) * p.t, u[3], u[2] + u[2]) * square;
        const Doubles slopeOverR = findSlope(table, u, p.t) * p.inverseR;
        const Vectors w = p.lambdaI - Vectors{lambdaJ[0], lambdaJ[1], lambdaJ[2]};
        const Doubles along = dot(p.e, w);
        addSlopes(table, p, Doubles(0.0) - along, moments);
        return p.e * (along * (curvature - slopeOverR)) + w * slopeOverR;
    }
};

struct Virial : Uses<false, false> {
    CpuSplineTable table;
    double* moments;
    Vectors ofX, ofY; // xx xy xz, yy yz zz

    SIMD_INLINE Virial(const CpuSplineTable& table, double* moments)
        : table(table), moments(moments), ofX(zero()), ofY(zero()) {}
    SIMD_INLINE Vectors visit(const Pairs& p) {
        Doubles u[4];
        gatherRows(table.energies, p.slots, u);
        const Doubles minusR = Doubles(0.0) - p.r;
        const Vectors f = p.e * (findSlope(table, u, p.t) * minusR);
        ofX = ofX + p.e * f.x;
        ofY.x = fma(f.y, p.e.y, ofY.x);
        ofY.y = fma(f.y, p.e.z, ofY.y);
        ofY.z = fma(f.z, p.e.z, ofY.z);
        addSlopes(table, p, minusR, moments);
        return zero();
    }
};

SIMD double addForces(const CpuPairShare& share, double* forces) {
    Forces loop(share.table, forces);
    visitPairs(share, loop);
    return sum(loop.energy);
}

SIMD void addCoefficientDerivatives(const CpuPairShare& share, double* moments) {
    CoefficientDerivatives loop(moments);
    visitPairs(share, loop);
}

SIMD void addHessianVectorProduct(const CpuPairShare& share, const double* lambda, double* product, double* moments) {
    HessianVectorProduct loop(share.table, lambda, product, moments);
    visitPairs(share, loop);
}

SIMD void addVirial(const CpuPairShare& share, double* virial, double* moments) {
    Virial loop(share.table, moments);
    visitPairs(share, loop);
    const double xx = sum(loop.ofX.x), xy = sum(loop.ofX.y), xz = sum(loop.ofX.z);
    const double yy = sum(loop.ofY.x), yz = sum(loop.ofY.y), zz = sum(loop.ofY.z);
    const double tensor[9] = {xx, xy, xz, xy, yy, yz, xz, yz, zz};
    for (int k = 0; k < 9; k++)
        virial[k] += tensor[k];
}

} // namespace
} // namespace OpenMMGrad

#endif
