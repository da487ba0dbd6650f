// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_PAIRORACLE_H_
#define OPENMMGRAD_PAIRORACLE_H_

#include "LearnablePairForce.h"
#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <vector>

/** A test case: particles, box (reduced form; ignored unless periodic) and a force on them. */
struct Case {
    OpenMMGrad::LearnablePairForce force{1, 1.0, 20};
    std::vector<OpenMM::Vec3> positions;
    OpenMM::Vec3 box[3];
};

/** What the platforms compute, by another way: sums over all pairs and images with splines from their definition. */
struct Oracle {
    double energy = 0;
    std::vector<OpenMM::Vec3> forces;
    std::vector<double> derivatives, virial = std::vector<double>(9, 0.0), traceDerivatives;
};

/**
 * The cardinal cubic B-spline from truncated powers, sum_j (-1)^j C(4,j) (x-j)_+^3 / 6, or its first derivative. It is
 * symmetric about 2; on the left no small value is a difference of large ones.
 */
inline double cardinalSpline(double x, int derivative) {
    if (x > 2)
        return (derivative == 0 ? 1 : -1) * cardinalSpline(4 - x, derivative);
    static const double binomial[] = {1, -4, 6, -4, 1};
    double sum = 0;
    for (int j = 0; j <= 4; j++)
        if (x > j)
            sum += binomial[j] * (derivative == 0 ? std::pow(x - j, 3) / 6 : std::pow(x - j, 2) / 2);
    return sum;
}

inline bool interact(const OpenMMGrad::LearnablePairForce& force, int i, int j) {
    for (int index = 0; index < force.getNumExclusions(); index++) {
        int p, q;
        force.getExclusionParticles(index, p, q);
        if ((p == i && q == j) || (p == j && q == i))
            return false;
    }
    for (int group = 0; group < force.getNumInteractionGroups(); group++) {
        std::set<int> set1, set2;
        force.getInteractionGroupParameters(group, set1, set2);
        if ((set1.count(i) && set2.count(j)) || (set1.count(j) && set2.count(i)))
            return true;
    }
    return force.getNumInteractionGroups() == 0;
}

inline Oracle evaluateOracle(const Case& c, const std::vector<OpenMM::Vec3>& x) {
    const OpenMMGrad::LearnablePairForce& force = c.force;
    const int K = force.getNumCoefficients(), images = force.usesPeriodicBoundaryConditions() ? 4 : 0;
    const double cutoff = force.getCutoffDistance(), h = cutoff / (K - 3);
    Oracle result;
    result.forces.assign(x.size(), OpenMM::Vec3());
    result.derivatives.assign(force.getNumTypePairs() * K, 0.0);
    result.traceDerivatives.assign(force.getNumTypePairs() * K, 0.0);
    std::vector<double> coefficients;
    for (int i = 0; i < (int) x.size(); i++)
        for (int j = 0; j < i; j++) {
            if (!interact(force, i, j))
                continue;
            const int type1 = force.getParticleType(i), type2 = force.getParticleType(j);
            const int offset = force.getTypePairIndex(type1, type2) * K;
            force.getCoefficients(type1, type2, coefficients);
            const int side = 2 * images + 1;
            for (int image = 0; image < side * side * side; image++) {
                const OpenMM::Vec3 delta = x[i] - x[j] + c.box[0] * (image % side - images) +
                                           c.box[1] * (image / side % side - images) +
                                           c.box[2] * (image / side / side - images);
                const double r = std::sqrt(delta.dot(delta));
                if (r >= cutoff)
                    continue;
                for (int k = 0; k < K; k++) {
                    const double value = cardinalSpline(r / h - (k - 3), 0);
                    const double slope = cardinalSpline(r / h - (k - 3), 1) / h;
                    result.energy += coefficients[k] * value;
                    result.derivatives[offset + k] += value;
                    result.traceDerivatives[offset + k] -= r * slope;
                    const OpenMM::Vec3 pairForce = delta * (-coefficients[k] * slope / r);
                    result.forces[i] += pairForce;
                    result.forces[j] -= pairForce;
                    for (int a = 0; a < 3; a++)
                        for (int b = 0; b < 3; b++)
                            result.virial[3 * a + b] += pairForce[a] * delta[b];
                }
            }
        }
    return result;
}

/** Coefficients that make the force purely repulsive or wavy: smooth random numbers, the last three zero. */
inline std::vector<double> randomCoefficients(int K, std::mt19937& random) {
    std::normal_distribution<double> normal;
    std::vector<double> c(K, 0.0);
    for (int k = 0; k < K - 3; k++)
        c[k] = normal(random) * (K - 3 - k) / K;
    return c;
}

/** Coefficients of (cutoff - r)^3: the polynomial's blossom at each spline's inner knots, exactly in the space. */
inline std::vector<double> cubicCoefficients(int K, double cutoff) {
    const double h = cutoff / (K - 3);
    std::vector<double> c(K, 0.0);
    for (int k = 0; k < K - 3; k++)
        c[k] = (cutoff - (k - 2) * h) * (cutoff - (k - 1) * h) * (cutoff - k * h);
    return c;
}

inline std::vector<OpenMM::Vec3> randomVectors(int n, double scale, std::mt19937& random) {
    std::uniform_real_distribution<double> uniform(-scale, scale);
    std::vector<OpenMM::Vec3> vectors(n);
    for (OpenMM::Vec3& v : vectors)
        v = OpenMM::Vec3(uniform(random), uniform(random), uniform(random));
    return vectors;
}

/** Two types with random coefficients in a box: cubic, or triclinic and as small as the cutoff allows. */
inline Case makeCase(int numParticles, bool periodic, bool triclinic, unsigned seed, int numTypes = 2) {
    std::mt19937 random(seed);
    const double cutoff = 1.0, width = 2 * cutoff;
    const int K = 20;
    Case c;
    c.force = OpenMMGrad::LearnablePairForce(numTypes, cutoff, K);
    c.force.setNonbondedMethod(periodic ? OpenMMGrad::LearnablePairForce::CutoffPeriodic
                                        : OpenMMGrad::LearnablePairForce::CutoffNonPeriodic);
    for (int a = 0; a < numTypes; a++)
        for (int b = a; b < numTypes; b++)
            c.force.setCoefficients(a, b, randomCoefficients(K, random));
    c.box[0] = OpenMM::Vec3(width, 0, 0);
    c.box[1] = OpenMM::Vec3(triclinic ? -0.9 : 0, width + 0.1, 0);
    c.box[2] = OpenMM::Vec3(triclinic ? 0.8 : 0, triclinic ? 1.0 : 0, width + 0.3);
    c.positions = randomVectors(numParticles, width, random);   // some outside the box
    for (int i = 0; i < numParticles; i++)
        c.force.addParticle(i % numTypes);
    return c;
}

#endif
