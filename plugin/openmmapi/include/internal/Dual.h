// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_DUAL_H_
#define OPENMMGRAD_DUAL_H_

#include <cmath>
#include <vector>

namespace OpenMMGrad {

/** A number with its derivatives with respect to n variables. */
struct Dual {
    double value;
    std::vector<double> derivatives;

    /** Variable number `index` of n. */
    static Dual variable(double value, int index, int n) {
        Dual x{value, std::vector<double>(n, 0.0)};
        x.derivatives[index] = 1;
        return x;
    }
    /** fa a' + fb b'. */
    static Dual combine(double value, double fa, const Dual& a, double fb, const Dual& b) {
        Dual x{value, a.derivatives};
        for (size_t k = 0; k < x.derivatives.size(); k++)
            x.derivatives[k] = fa * a.derivatives[k] + fb * b.derivatives[k];
        return x;
    }
};

inline Dual operator+(const Dual& a, const Dual& b) { return Dual::combine(a.value + b.value, 1, a, 1, b); }
inline Dual operator*(const Dual& a, const Dual& b) { return Dual::combine(a.value * b.value, b.value, a, a.value, b); }
inline Dual operator*(double s, const Dual& a) { return Dual::combine(s * a.value, s, a, 0, a); }
inline Dual operator*(const Dual& a, double s) { return s * a; }
inline Dual operator-(const Dual& a, double s) { return Dual::combine(a.value - s, 1, a, 0, a); }
inline Dual exp(const Dual& a) {
    const double value = std::exp(a.value);
    return Dual::combine(value, value, a, 0, a);
}

} // namespace OpenMMGrad

#endif
