// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_TESTLEARNABLEPAIRFORCEERRORS_H_
#define OPENMMGRAD_TESTLEARNABLEPAIRFORCEERRORS_H_

#include "TestSupport.h"
#include <limits>

/** Wrong arguments are refused where they are given. */
inline void testArgumentErrors() {
    typedef OpenMMGrad::LearnablePairForce Force;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    ASSERT_THROWS(Force(0, 1.0, 20), "LearnablePairForce: the number of types must be at least 1, found 0.");
    ASSERT_THROWS(Force(1, 1.0, 6), "the number of coefficients must be at least 7, found 6.");
    ASSERT_THROWS(Force(1, 0.0, 20), "the cutoff must be positive and finite, found 0 nm.");
    ASSERT_THROWS(Force(1, nan, 20), "the cutoff must be positive and finite, found nan nm.");
    Force force(2, 1.0, 8);
    ASSERT_THROWS(force.setCutoffDistance(-1), "found -1 nm.");
    ASSERT_THROWS(force.setNonbondedMethod(static_cast<Force::NonbondedMethod>(2)), "found 2.");
    ASSERT_THROWS(force.addParticle(2), "type index must be between 0 and 1, found 2.");
    ASSERT_THROWS(force.addParticle(-1), "type index must be between 0 and 1, found -1.");
    ASSERT_THROWS(force.getParticleType(0), "particle index");
    ASSERT_THROWS(force.setParticleType(0, 0), "particle index");
    ASSERT_THROWS(force.getTypePairIndex(0, 2), "type index must be between 0 and 1, found 2.");
    ASSERT_THROWS(force.setCoefficients(0, 1, {1, 2, 3}), "8 coefficients were expected for types (0, 1), found 3.");
    ASSERT_THROWS(force.setCoefficients(0, 0, {1, 2, nan, 4, 5, 0, 0, 0}), "finite, found nan kJ/mol at index 2");
    ASSERT_THROWS(force.setCoefficients(0, 0, {1, 2, 3, 4, 5, 0, 7, 0}), "must be zero, found 7 kJ/mol at index 6");
    ASSERT_THROWS(force.setInteractionGroupParameters(0, {}, {}), "interaction group index");
    ASSERT_THROWS(force.createExclusionsFromBonds({{0, 1}}, 2), "bonded particle index");
    int p, q;
    ASSERT_THROWS(force.getExclusionParticles(0, p, q), "exclusion index");
    for (int group = 0; group < 64; group++)
        force.addInteractionGroup({0}, {1});
    ASSERT_THROWS(force.addInteractionGroup({0}, {1}), "at most 64 interaction groups are possible, found 65.");
}

/** What contradicts the System or the box is refused when the Context is made, changed or used. */
inline void testErrors(const Setup& setup) {
    testArgumentErrors();
    const Case good = makeCase(10, true, true, 111);
    Case c = good;
    c.force.addParticle(0);
    ASSERT_THROWS(TestContext(setup, c), "each of the 10 particles of the System was expected, found 11.");
    c = good;
    c.force.addExclusion(1, 10);
    ASSERT_THROWS(TestContext(setup, c), "exclusion 0 must name particles between 0 and 9, found (1, 10).");
    c.force.setExclusionParticles(0, 4, 4);
    ASSERT_THROWS(TestContext(setup, c), "two different particles, found (4, 4).");
    c.force.setExclusionParticles(0, 4, 5);
    c.force.addExclusion(5, 4);
    ASSERT_THROWS(TestContext(setup, c), "each pair may be excluded once, found (5, 4) again as exclusion 1.");
    c = good;
    c.force.addInteractionGroup({0, 1}, {2, 12});
    ASSERT_THROWS(TestContext(setup, c), "interaction group 0 must name particles between 0 and 9, found 2 to 12.");
    c = good;
    c.box[0][0] = 1.9;
    ASSERT_THROWS(TestContext(setup, c),
                  "the cutoff (1 nm) must not exceed half the smallest box width (1.9 nm). Use a larger box");

    TestContext test(setup, good);
    const std::vector<OpenMM::Vec3> lambda(10);
    std::vector<OpenMM::Vec3> product;
    std::vector<double> values, others;
    ASSERT_THROWS(test.force->computeHessianVectorProduct(test.context(), std::vector<OpenMM::Vec3>(3), product, values),
                  "one vector for each of the 10 particles, found 3.");
    const OpenMMGrad::LearnablePairForce copy = good.force;
    ASSERT_THROWS(copy.computeCoefficientDerivatives(test.context(), values), "not part of the given Context");
    test.force->setCutoffDistance(0.7);
    ASSERT_THROWS(test.force->updateParametersInContext(test.context()), "cannot change the cutoff (1 nm), found 0.7 nm");
    test.force->setCutoffDistance(1.0);
    test.force->addExclusion(0, 1);
    ASSERT_THROWS(test.force->updateParametersInContext(test.context()), "copies types and coefficients only");
    OpenMM::Vec3 narrow = good.box[2];
    narrow[2] = 1.99;
    test.context().setPeriodicBoxVectors(good.box[0], good.box[1], narrow);
    ASSERT_THROWS(test.state(), setup.narrowBox);
    ASSERT_THROWS(test.force->computeCoefficientDerivatives(test.context(), values), "smallest box width");
    ASSERT_THROWS(test.force->computeHessianVectorProduct(test.context(), lambda, product, values), "smallest box width");
    ASSERT_THROWS(test.force->computeVirial(test.context(), values, others), "smallest box width");
}

#endif
