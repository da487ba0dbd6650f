// SPDX-License-Identifier: MIT
//
// The cases that every platform must pass. A platform's file, Test<Platform>LearnablePairForce.cpp, fills a Setup and
// calls runTests(). Oracles: sums over all images (PairOracle.h), CustomNonbondedForce, differences, symmetries.
#ifndef OPENMMGRAD_TESTLEARNABLEPAIRFORCE_H_
#define OPENMMGRAD_TESTLEARNABLEPAIRFORCE_H_

#include "PairOracle.h"
#include "TestLearnablePairForceErrors.h"
#include "TestSupport.h"
#include "openmm/CustomNonbondedForce.h"

/** Everything the platform computes for a case. */
struct Results {
    double energy;
    std::vector<OpenMM::Vec3> forces, product;
    std::vector<double> derivatives, parameterProduct, virial, traceDerivatives;
};

inline Results evaluate(TestContext& test, const std::vector<OpenMM::Vec3>& lambda) {
    Results r;
    const OpenMM::State state = test.state();
    r.energy = state.getPotentialEnergy();
    r.forces = state.getForces();
    test.force->computeCoefficientDerivatives(test.context(), r.derivatives);
    test.force->computeHessianVectorProduct(test.context(), lambda, r.product, r.parameterProduct);
    test.force->computeVirial(test.context(), r.virial, r.traceDerivatives);
    return r;
}

/** Energy, forces, dU/dc, products and virial against sums over all images and central differences of these. */
inline void compareWithOracle(const Setup& setup, const Case& c) {
    std::mt19937 random(7);
    const int N = c.positions.size();
    const std::vector<OpenMM::Vec3> lambda = randomVectors(N, 1.0, random);
    TestContext test(setup, c);
    const Results found = evaluate(test, lambda);
    const Oracle expected = evaluateOracle(c, c.positions);
    assertClose(expected.energy, found.energy, setup.tolerance);
    assertClose(expected.forces, found.forces, setup.tolerance);
    assertClose(expected.derivatives, found.derivatives, setup.derivativeTolerance);
    assertClose(expected.virial, found.virial, setup.derivativeTolerance);
    assertClose(expected.traceDerivatives, found.traceDerivatives, setup.derivativeTolerance);

    const double step = 1e-6;   // error of the differences: 1e-16/step from rounding, step^2 from curvature
    std::vector<OpenMM::Vec3> plus(N), minus(N), product(N);
    for (int i = 0; i < N; i++) {
        plus[i] = c.positions[i] + lambda[i] * step;
        minus[i] = c.positions[i] - lambda[i] * step;
    }
    const Oracle after = evaluateOracle(c, plus), before = evaluateOracle(c, minus);
    for (int i = 0; i < N; i++)
        product[i] = (after.forces[i] - before.forces[i]) / (2 * step);
    std::vector<double> parameterProduct(expected.derivatives.size());
    for (size_t k = 0; k < parameterProduct.size(); k++)
        parameterProduct[k] = (before.derivatives[k] - after.derivatives[k]) / (2 * step);
    const double differenceTolerance = std::max(1e-5, setup.derivativeTolerance);
    assertClose(product, found.product, differenceTolerance);
    assertClose(parameterProduct, found.parameterProduct, differenceTolerance);
}

inline void testAgreesWithSumsOverAllImages(const Setup& setup) {
    compareWithOracle(setup, makeCase(60, true, false, 1));
    compareWithOracle(setup, makeCase(60, true, true, 2));
    compareWithOracle(setup, makeCase(60, false, false, 3));
    if (setup.canBeAlone)
        compareWithOracle(setup, makeCase(1, true, false, 4, 1));
    compareWithOracle(setup, makeCase(2, true, false, 4, 1));
    compareWithOracle(setup, makeCase(60, true, true, 5, 4));
}

inline void testExclusionsAndInteractionGroups(const Setup& setup) {
    for (bool periodic : {true, false}) {
        Case c = makeCase(60, periodic, true, 11);
        std::vector<std::pair<int, int> > bonds;
        for (int i = 0; i + 1 < 60; i++)
            bonds.emplace_back(i + 1, i);
        c.force.addExclusion(4, 40);
        c.force.createExclusionsFromBonds(bonds, 2);
        ASSERT_EQUAL(1 + 59 + 58, c.force.getNumExclusions());
        compareWithOracle(setup, c);
        c.force.addInteractionGroup({0, 1, 2, 3, 20, 21, 22}, {20, 21, 22, 23, 40});   // sets may overlap
        compareWithOracle(setup, c);
        c.force.addInteractionGroup({20, 21, 22, 23, 40}, {0, 1, 2, 3});   // the same pairs again count once
        c.force.addInteractionGroup({5}, {});
        for (int i = 0; i < 61; i++)
            c.force.addInteractionGroup({i % 60}, {(3 * i + 1) % 60});
        ASSERT_EQUAL(64, c.force.getNumInteractionGroups());
        compareWithOracle(setup, c);
    }
}

inline void testCubicMatchesCustomNonbondedForce(const Setup& setup) {
    for (bool periodic : {true, false}) {
        Case c = makeCase(200, periodic, true, 21, 1);
        for (OpenMM::Vec3& v : c.box)
            v = v * 2;  // in a tighter skewed box OpenMM's own Reference list misses pairs
        const double cutoff = c.force.getCutoffDistance();
        c.force.setCoefficients(0, 0, cubicCoefficients(c.force.getNumCoefficients(), cutoff));
        c.force.addExclusion(3, 8);
        auto* custom = new OpenMM::CustomNonbondedForce("(rc-r)^3");
        custom->addGlobalParameter("rc", cutoff);
        custom->setCutoffDistance(cutoff);
        custom->setNonbondedMethod(periodic ? OpenMM::CustomNonbondedForce::CutoffPeriodic
                                            : OpenMM::CustomNonbondedForce::CutoffNonPeriodic);
        custom->addExclusion(3, 8);
        for (size_t i = 0; i < c.positions.size(); i++)
            custom->addParticle();
        custom->setForceGroup(1);
        TestContext test(setup, c, {custom});
        assertClose(test.state(2).getPotentialEnergy(), test.state(1).getPotentialEnergy(), setup.tolerance);
        assertClose(test.state(2).getForces(), test.state(1).getForces(), setup.tolerance);
    }
}

inline void testForceIsMinusEnergyGradient(const Setup& setup) {
    const Case c = makeCase(60, true, true, 31);
    TestContext test(setup, c);
    const std::vector<OpenMM::Vec3> forces = test.state().getForces();
    const double size = norm(forces), step = std::max(1e-5, 0.1 * std::sqrt(setup.tolerance));
    double energy[2];
    for (int side = 0; side < 2; side++) {
        std::vector<OpenMM::Vec3> x = c.positions;
        for (size_t i = 0; i < x.size(); i++)
            x[i] += forces[i] * ((2 * side - 1) * step / size);
        test.context().setPositions(x);
        energy[side] = test.state().getPotentialEnergy();
    }
    assertClose(size, (energy[0] - energy[1]) / (2 * step), std::max(1e-7, 10 * std::sqrt(setup.tolerance)));
}

inline void testEnergyAndForcesAreLinearInCoefficients(const Setup& setup) {
    Case c = makeCase(60, true, false, 41);
    std::mt19937 random(42);
    const std::vector<OpenMM::Vec3> lambda = randomVectors(60, 1.0, random);
    TestContext test(setup, c);
    const Results r = evaluate(test, lambda);
    assertClose(r.energy, dot(r.derivatives, flatCoefficients(*test.force)), setup.tolerance);
    assertClose(r.virial[0] + r.virial[4] + r.virial[8], dot(r.traceDerivatives, flatCoefficients(*test.force)),
                setup.derivativeTolerance);
    // Changing c changes the forces by (dF/dc) dc: its product with lambda is dc . (dF/dc)^T lambda.
    std::vector<double> change = flatCoefficients(*test.force);
    for (int type1 : {0, 1})
        for (int type2 = type1; type2 < 2; type2++)
            test.force->setCoefficients(type1, type2, randomCoefficients(20, random));
    test.force->updateParametersInContext(test.context());
    const std::vector<double> next = flatCoefficients(*test.force);
    for (size_t k = 0; k < change.size(); k++)
        change[k] = next[k] - change[k];
    const OpenMM::State state = test.state();
    assertClose(state.getPotentialEnergy() - r.energy, dot(change, r.derivatives), setup.tolerance, norm(change));
    double work = 0;
    for (size_t i = 0; i < lambda.size(); i++)
        work += lambda[i].dot(state.getForces()[i] - r.forces[i]);
    assertClose(work, dot(change, r.parameterProduct), setup.tolerance, norm(r.forces) * norm(lambda));
}

inline void testHessianIsSymmetricAndBlindToTranslation(const Setup& setup) {
    std::mt19937 random(51);
    TestContext test(setup, makeCase(60, true, true, 52));
    const std::vector<OpenMM::Vec3> u = randomVectors(60, 1.0, random), v = randomVectors(60, 1.0, random);
    const Results ru = evaluate(test, u), rv = evaluate(test, v);
    assertClose(dot(u, rv.product), dot(v, ru.product), setup.derivativeTolerance, norm(u) * norm(rv.product));
    const std::vector<OpenMM::Vec3> shift(60, OpenMM::Vec3(0.3, -0.2, 0.9));
    ASSERT(norm(evaluate(test, shift).product) < setup.derivativeTolerance * norm(ru.product));
    ASSERT(std::abs(dot(shift, ru.product)) < setup.derivativeTolerance * norm(shift) * norm(ru.product));
    ASSERT(std::abs(dot(shift, ru.forces)) < 10 * setup.tolerance * norm(shift) * norm(ru.forces));
}

/** The energy of a moved case is unchanged, and forces and products move along: map gives the new vectors. */
template <class Map>
void assertMovesAlong(const Setup& setup, const Case& c, const Case& moved, Map map) {
    std::mt19937 random(61);
    const std::vector<OpenMM::Vec3> lambda = randomVectors(c.positions.size(), 1.0, random);
    TestContext before(setup, c), after(setup, moved);
    const Results expected = evaluate(before, lambda), found = evaluate(after, map(lambda));
    assertClose(expected.energy, found.energy, 10 * setup.tolerance);
    assertClose(map(expected.forces), found.forces, 10 * setup.tolerance);
    assertClose(map(expected.product), found.product, 10 * setup.derivativeTolerance);
    assertClose(expected.derivatives, found.derivatives, 10 * setup.derivativeTolerance);
    assertClose(expected.parameterProduct, found.parameterProduct, 10 * setup.derivativeTolerance);
}

inline void testSymmetries(const Setup& setup) {
    typedef std::vector<OpenMM::Vec3> Vectors;
    const Case c = makeCase(60, true, true, 62);
    const auto unchanged = [](const Vectors& v) { return v; };

    Case translated = c;
    for (OpenMM::Vec3& x : translated.positions)
        x += OpenMM::Vec3(0.37, -1.21, 5.5);
    assertMovesAlong(setup, c, translated, unchanged);

    Case reimaged = c;
    for (int i = 0; i < 60; i++)
        reimaged.positions[i] += c.box[0] * (i % 3) - c.box[1] * (i % 2) + c.box[2] * (i % 5 - 2);
    assertMovesAlong(setup, c, reimaged, unchanged);

    // Half a turn about x: b and c leave the reduced form and are replaced by -b and -c, which span the same lattice.
    Case turned = c;
    const auto turn = [](const Vectors& v) {
        Vectors result;
        for (const OpenMM::Vec3& x : v)
            result.emplace_back(x[0], -x[1], -x[2]);
        return result;
    };
    turned.positions = turn(c.positions);
    turned.box[1] = OpenMM::Vec3(-c.box[1][0], c.box[1][1], 0);
    turned.box[2] = OpenMM::Vec3(-c.box[2][0], c.box[2][1], c.box[2][2]);
    assertMovesAlong(setup, c, turned, turn);

    Case reversed = c;
    const auto reverse = [](Vectors v) { return Vectors(v.rbegin(), v.rend()); };
    reversed.positions = reverse(c.positions);
    for (int i = 0; i < 60; i++)
        reversed.force.setParticleType(i, c.force.getParticleType(59 - i));
    assertMovesAlong(setup, c, reversed, reverse);

    const Case open = makeCase(60, false, false, 63);
    Case rotated = open;
    const auto rotate = [](const Vectors& v) {
        const double angle = 0.7, cosine = std::cos(angle), sine = std::sin(angle);
        Vectors result;
        for (const OpenMM::Vec3& x : v)
            result.emplace_back(x[2], cosine * x[0] - sine * x[1], sine * x[0] + cosine * x[1]);
        return result;
    };
    rotated.positions = rotate(open.positions);
    assertMovesAlong(setup, open, rotated, rotate);
}

inline void testVirialIsMinusStrainDerivative(const Setup& setup) {
    const Case c = makeCase(60, true, true, 71);
    Case larger = c;   // room for the strained box
    for (OpenMM::Vec3& v : larger.box)
        v = v * 1.05;
    TestContext test(setup, larger);
    std::vector<double> virial, traceDerivatives;
    test.force->computeVirial(test.context(), virial, traceDerivatives);
    const double step = std::max(1e-6, 0.1 * std::sqrt(setup.tolerance));
    for (int a = 0; a < 3; a++)
        for (int b = a; b < 3; b++) {   // these strains keep the box in reduced form
            double energy[2];
            for (int side = 0; side < 2; side++) {
                const auto strained = [&](OpenMM::Vec3 v) {
                    v[a] += (2 * side - 1) * step * v[b];
                    return v;
                };
                test.context().setPeriodicBoxVectors(strained(larger.box[0]), strained(larger.box[1]),
                                                     strained(larger.box[2]));
                std::vector<OpenMM::Vec3> x;
                for (const OpenMM::Vec3& position : larger.positions)
                    x.push_back(strained(position));
                test.context().setPositions(x);
                energy[side] = test.state().getPotentialEnergy();
            }
            const double expected = (energy[0] - energy[1]) / (2 * step), size = norm(virial);
            assertClose(expected, virial[3 * a + b], std::max(1e-6, 10 * std::sqrt(setup.tolerance)), size);
            assertClose(virial[3 * a + b], virial[3 * b + a], setup.derivativeTolerance, size);
        }
}

inline void testTypePairsAreOrdered(const Setup&) {
    const OpenMMGrad::LearnablePairForce force(4, 1.0, 20);
    ASSERT_EQUAL(10, force.getNumTypePairs());
    int index = 0;
    for (int a = 0; a < 4; a++)
        for (int b = a; b < 4; b++, index++) {
            ASSERT_EQUAL(index, force.getTypePairIndex(a, b));
            ASSERT_EQUAL(index, force.getTypePairIndex(b, a));
        }
}

inline void testVanishesSmoothlyAtCutoff(const Setup& setup) {
    for (double cutoff : {1.0, 0.9, 1.0 / 3, 1.1234567}) {
        Case c = makeCase(2, false, false, 81, 1);
        c.force.setCutoffDistance(cutoff);
        for (double r : {cutoff * (1 - 1e-3), cutoff - 1e-7, std::nextafter(cutoff, 0.0), cutoff,
                         std::nextafter(cutoff, 2.0), cutoff + 1e-7, 10 * cutoff}) {
            c.positions = {OpenMM::Vec3(), OpenMM::Vec3(0, r, 0)};
            TestContext test(setup, c);
            const Results found = evaluate(test, {OpenMM::Vec3(1, 2, 3), OpenMM::Vec3()});
            // In intervals, and as far as positions are known: u = c_16 x^3/6.
            const double x = (std::max(0.0, 1 - r / cutoff) + setup.resolution) * 17;
            const double rounding = 1e-12 + setup.resolution;   // of terms that cancel towards the cutoff
            ASSERT(std::abs(found.energy) <= std::pow(x, 3) + rounding);
            ASSERT(norm(found.forces) <= 17 / cutoff * (x * x + rounding));
            ASSERT(r < cutoff * (1 + setup.resolution) ||
                   (found.energy == 0 && norm(found.forces) == 0 && norm(found.product) == 0 &&
                    norm(found.derivatives) == 0 && norm(found.parameterProduct) == 0));
        }
        c.positions = {OpenMM::Vec3(), OpenMM::Vec3()};   // in the same place: finite energy, no direction, no force
        TestContext test(setup, c);
        const Results found = evaluate(test, {OpenMM::Vec3(1, 2, 3), OpenMM::Vec3()});
        assertClose(evaluateOracle(c, {OpenMM::Vec3(), OpenMM::Vec3(0, 1e-9, 0)}).energy, found.energy,
                    std::max(1e-6, setup.tolerance));
        ASSERT_EQUAL(0.0, norm(found.forces));
        ASSERT_EQUAL(0.0, norm(found.product));
    }
}

inline void testSeveralForcesInOneSystem(const Setup& setup) {
    Case a = makeCase(60, true, true, 91), b = makeCase(60, true, true, 92, 3);
    b.positions = a.positions;
    b.force.setCutoffDistance(0.6);
    b.force.addInteractionGroup({0, 1, 2, 3, 4, 5}, {30, 31, 32, 33, 34, 35, 36, 37});
    a.force.addExclusion(1, 2);
    b.force.setForceGroup(3);
    auto* second = new OpenMMGrad::LearnablePairForce(b.force);
    TestContext both(setup, a, {second});
    const Oracle first = evaluateOracle(a, a.positions), other = evaluateOracle(b, b.positions);
    assertClose(first.energy + other.energy, both.state().getPotentialEnergy(), 2 * setup.tolerance);
    assertClose(first.energy, both.state(1).getPotentialEnergy(), setup.tolerance);
    assertClose(other.forces, both.state(1 << 3).getForces(), setup.tolerance);
    std::vector<double> derivatives, virial;
    both.force->computeCoefficientDerivatives(both.context(), derivatives);
    assertClose(first.derivatives, derivatives, setup.derivativeTolerance);
    second->computeVirial(both.context(), virial, derivatives);
    assertClose(other.virial, virial, setup.derivativeTolerance);
}

inline void testUpdateParametersEqualsRebuild(const Setup& setup) {
    const Case c = makeCase(60, true, false, 101), target = makeCase(60, true, false, 102);
    TestContext updated(setup, c);
    updated.state();
    Case expected = c;
    std::vector<double> coefficients;
    for (OpenMMGrad::LearnablePairForce* force : {updated.force, &expected.force}) {
        for (int type : {0, 1}) {
            target.force.getCoefficients(type, 1, coefficients);
            force->setCoefficients(type, 1, coefficients);
        }
        for (int i = 0; i < 60; i += 3)
            force->setParticleType(i, 1);
    }
    updated.force->updateParametersInContext(updated.context());
    TestContext rebuilt(setup, expected);
    std::mt19937 random(103);
    const std::vector<OpenMM::Vec3> lambda = randomVectors(60, 1.0, random);
    const Results found = evaluate(updated, lambda), fresh = evaluate(rebuilt, lambda);
    assertClose(fresh.energy, found.energy, setup.tolerance);
    assertClose(fresh.forces, found.forces, setup.tolerance);
    assertClose(fresh.derivatives, found.derivatives, setup.derivativeTolerance);
    assertClose(fresh.product, found.product, setup.derivativeTolerance);
    assertClose(fresh.virial, found.virial, setup.derivativeTolerance);
}

/** Run every case on the platform of the setup and name those that fail. @return the exit status, 0 if none does */
inline int runTests(const Setup& setup) {
    loadPlugins();
    const std::pair<const char*, void (*)(const Setup&)> cases[] = {
        {"agrees with sums over all images", testAgreesWithSumsOverAllImages},
        {"exclusions and interaction groups", testExclusionsAndInteractionGroups},
        {"cubic matches CustomNonbondedForce", testCubicMatchesCustomNonbondedForce},
        {"force is minus energy gradient", testForceIsMinusEnergyGradient},
        {"energy and forces are linear in coefficients", testEnergyAndForcesAreLinearInCoefficients},
        {"Hessian is symmetric and blind to translation", testHessianIsSymmetricAndBlindToTranslation},
        {"symmetries", testSymmetries},
        {"virial is minus strain derivative", testVirialIsMinusStrainDerivative},
        {"pairs of types are ordered", testTypePairsAreOrdered},
        {"vanishes smoothly at cutoff", testVanishesSmoothlyAtCutoff},
        {"several forces in one System", testSeveralForcesInOneSystem},
        {"updating parameters equals rebuilding", testUpdateParametersEqualsRebuild},
        {"errors", testErrors}};
    int failures = 0;
    for (const auto& test : cases) {
        try {
            test.second(setup);
        } catch (const std::exception& error) {
            std::cout << setup.platformName << ", " << test.first << ": " << error.what() << std::endl;
            failures++;
        }
    }
    std::cout << (failures == 0 ? "Done" : "FAILED") << std::endl;
    return failures;
}

#endif
