// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_SPLINEBASIS_H_
#define OPENMMGRAD_SPLINEBASIS_H_

namespace OpenMMGrad {

/**
 * Uniform cubic B-splines on [0, cutoff]: u(r) = sum_k c_k B_k(r), k = 0 .. numCoefficients-1.
 *
 * The grid has numCoefficients-3 intervals of width h = cutoff/(numCoefficients-3). In interval i, with
 * t = r/h - i, four splines are non-zero: B_i .. B_{i+3}. The last three coefficients are zero by contract, so
 * u, u' and u'' vanish at the cutoff. This file is the single definition of the basis: every kernel uses it.
 */
struct SplineBasis {
    /** Values b[m] = B_{i+m}. */
    template <class Real> static inline void values(Real t, Real b[4]) {
        const Real s = 1 - t;
        b[0] = s * s * s / 6;
        b[1] = (4 + t * t * (3 * t - 6)) / 6;
        b[2] = (1 + 3 * t * (1 + t * (1 - t))) / 6;
        b[3] = t * t * t / 6;
    }
    /** First derivatives with respect to r, d[m] = B'_{i+m}; inverseWidth = 1/h. */
    template <class Real> static inline void derivatives(Real t, Real inverseWidth, Real d[4]) {
        const Real s = 1 - t;
        d[0] = -s * s / 2 * inverseWidth;
        d[1] = t * (3 * t - 4) / 2 * inverseWidth;
        d[2] = (1 + t * (2 - 3 * t)) / 2 * inverseWidth;
        d[3] = t * t / 2 * inverseWidth;
    }
    /** Second derivatives with respect to r, s[m] = B''_{i+m}; inverseWidth = 1/h. */
    template <class Real> static inline void secondDerivatives(Real t, Real inverseWidth, Real s[4]) {
        const Real w2 = inverseWidth * inverseWidth;
        s[0] = (1 - t) * w2;
        s[1] = (3 * t - 2) * w2;
        s[2] = (1 - 3 * t) * w2;
        s[3] = t * w2;
    }
    /** As polynomials of t: B_{i+m} = sum_p cubics[p][m] t^p, from value and derivatives at t = 0. */
    static inline void polynomials(double cubics[4][4]) {
        double last[4];
        values(0.0, cubics[0]);
        derivatives(0.0, 1.0, cubics[1]);
        secondDerivatives(0.0, 1.0, cubics[2]);
        secondDerivatives(1.0, 1.0, last);
        for (int m = 0; m < 4; m++) {
            cubics[3][m] = (last[m] - cubics[2][m]) / 6;
            cubics[2][m] /= 2;
        }
    }
};

} // namespace OpenMMGrad

#endif
