// SPDX-License-Identifier: MIT
// The spline of a pair on a device: the basis of SplineBasis.h, and a potential given as one cubic per interval,
// u = c.x + c.y t + c.z t^2 + c.w t^3 with t = r/h - interval. Derivatives are with respect to t: multiply by 1/h.

/** The interval that holds a distance below the cutoff, and where in it. Rounding never leads out of the last one. */
DEVICE int splineInterval(real r, real inverseWidth, int numIntervals, real* t) {
    const real x = r*inverseWidth;
    int interval = (int) x;
    if (interval > numIntervals-1)
        interval = numIntervals-1;
    *t = x-interval;
    return interval;
}

/** The four splines that are not zero in the interval, B_interval .. B_interval+3. */
DEVICE real4 splineBasis(real t) {
    const real s = 1-t;
    const real sixth = 1/(real) 6;
    return make_real4(s*s*s*sixth, (4+t*t*(3*t-6))*sixth, (1+3*t*(1+t*(1-t)))*sixth, t*t*t*sixth);
}

DEVICE real4 splineBasisSlope(real t) {
    const real s = 1-t;
    const real two = 2;
    return make_real4(-s*s/two, t*(3*t-4)/two, (1+t*(2-3*t))/two, t*t/two);
}

DEVICE real cubicValue(real4 c, real t) {
    return c.x+t*(c.y+t*(c.z+t*c.w));
}

DEVICE real cubicSlope(real4 c, real t) {
    return c.y+t*(2*c.z+t*3*c.w);
}

DEVICE real cubicCurvature(real4 c, real t) {
    return 2*c.z+6*t*c.w;
}
