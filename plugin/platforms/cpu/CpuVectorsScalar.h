// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUVECTORSSCALAR_H_
#define OPENMMGRAD_CPUVECTORSSCALAR_H_

#include <cmath>
#include <cstdint>

/**
 * Vectors of one element, for any processor. What CpuPairLoops{Single,Double}.h ask of a set of instructions:
 *
 * SIMD, SIMD_INLINE   what to write before a function that uses it
 * Floats, Ints        as many 32-bit floats as integers; FloatMask
 * Doubles, Indices    as many doubles as 32-bit integers; DoubleMask
 * *Packer             of the lanes that a mask sets, first things first; stores whole vectors
 * FewSlots            the slots of one particle's pairs, by the partner's type
 * RegisterTable       forces of one spline, held in registers; of no use where Exists is false
 */
#define SIMD
#define SIMD_INLINE inline

namespace OpenMMGrad {

namespace {

typedef bool FloatMask;
typedef bool DoubleMask;

template <class T> struct One {
    static const int Size = 1;
    T v;
    One() = default;
    One(T v) : v(v) {}
    static One load(const T* p) { return *p; }
    void store(T* p) const { *p = v; }
};
typedef One<double> Doubles;
typedef One<float> Floats;
typedef One<int32_t> Ints;
typedef Ints Indices;

template <class T> One<T> operator+(One<T> a, One<T> b) { return a.v + b.v; }
template <class T> One<T> operator-(One<T> a, One<T> b) { return a.v - b.v; }
template <class T> One<T> operator*(One<T> a, One<T> b) { return a.v * b.v; }
/** Grid coordinates wrap around. */
inline Ints operator+(Ints a, Ints b) { return static_cast<int32_t>(static_cast<uint32_t>(a.v) + b.v); }
inline Ints operator-(Ints a, Ints b) { return static_cast<int32_t>(static_cast<uint32_t>(a.v) - b.v); }
/** a*b + c and c - a*b */
template <class T> One<T> fma(One<T> a, One<T> b, One<T> c) { return a.v * b.v + c.v; }
template <class T> One<T> fnma(One<T> a, One<T> b, One<T> c) { return c.v - a.v * b.v; }
template <class T> bool less(One<T> a, One<T> b) { return a.v < b.v; }
template <class T> One<T> only(bool mask, One<T> a) { return mask ? a.v : T(0); }
inline double sum(Doubles a) { return a.v; }
template <class T> void addSums(T* row, One<T> x, One<T> y, One<T> z) {
    row[0] += x.v;
    row[1] += y.v;
    row[2] += z.v;
}
inline bool both(bool a, bool b) { return a && b; }
inline FloatMask firstFloats(int n) { return n > 0; }
inline DoubleMask firstDoubles(int n) { return n > 0; }
inline Ints min(Ints a, Ints b) { return a.v < b.v ? a : b; }
inline Ints timesFour(Ints a) { return 4 * a.v; }
inline Ints countUp() { return 0; }

inline Doubles roundToNearest(Doubles a) {
    const double shift = 6755399441055744.0; // 1.5 * 2^52: adding it drops the fraction
    return (a.v + shift) - shift;
}
inline Indices truncate(Doubles a) { return static_cast<int32_t>(a.v); }
inline Doubles toDoubles(Indices a) { return static_cast<double>(a.v); }
inline Ints truncate(Floats a) { return static_cast<int32_t>(a.v); }
inline Ints roundToInts(Floats a) { return static_cast<int32_t>(static_cast<int64_t>(std::nearbyint(a.v))); }
inline Floats toFloats(Ints a) { return static_cast<float>(a.v); }

/** The square root and its inverse; zero and zero for zero. */
template <class T> void findRoot(One<T> square, One<T>& root, One<T>& inverse) {
    root = std::sqrt(square.v);
    inverse = square.v > 0 ? 1 / root.v : T(0);
}

/** Rows of four elements, as columns. */
template <class T> void gatherRows(const T* base, const int* offsets, One<T> columns[4]) {
    for (int m = 0; m < 4; m++)
        columns[m] = base[offsets[0] + m];
}
/** Add columns to rows, one after the other: two of them may be the same. */
inline void addRows(double* base, const int* offsets, const Doubles columns[4]) {
    for (int m = 0; m < 4; m++)
        base[offsets[0] + m] += columns[m].v;
}
/** The same for rows (x, y, z, 0), subtracting. */
inline void subtractRows(float* base, const int* offsets, Floats x, Floats y, Floats z) {
    base[offsets[0]] -= x.v;
    base[offsets[0] + 1] -= y.v;
    base[offsets[0] + 2] -= z.v;
}

struct Packer {
    const int count;
    explicit Packer(bool mask) : count(mask) {}
    template <class T> void store(One<T> v, T* to) const { v.store(to); }
};
typedef Packer FloatPacker;
typedef Packer DoublePacker;

struct FewSlots {
    const int* slots;
    FewSlots(const int* slots, int) : slots(slots) {}
    Ints find(Ints types) const { return slots[types.v]; }
};

struct RegisterTable {
    static const bool Exists = false;
    RegisterTable(const float*, int) {}
    static bool fits(int) { return false; }
    Floats find(const int*, Floats t) const { return t; }
};

} // namespace
} // namespace OpenMMGrad

#endif
