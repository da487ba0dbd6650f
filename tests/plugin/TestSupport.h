// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_TESTSUPPORT_H_
#define OPENMMGRAD_TESTSUPPORT_H_

#include "PairOracle.h"
#include "openmm/Context.h"
#include "openmm/Platform.h"
#include "openmm/System.h"
#include "openmm/VerletIntegrator.h"
#include "openmm/internal/AssertionUtilities.h"
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#define ASSERT_THROWS(statement, part)                                                                                 \
    {                                                                                                                  \
        std::string text;                                                                                              \
        try {                                                                                                          \
            statement;                                                                                                 \
        } catch (const OpenMM::OpenMMException& error) {                                                               \
            text = error.what();                                                                                       \
        }                                                                                                              \
        if (text.find(part) == std::string::npos)                                                                      \
            OpenMM::throwException(__FILE__, __LINE__,                                                                 \
                                   std::string("expected an error with '") + part + "', found '" + text + "'");        \
    }

using OpenMM::throwException;   // the ASSERT macros use it unqualified

/** The platform under test and the relative error that its precision allows. */
struct Setup {
    std::string platformName;
    std::map<std::string, std::string> properties;
    /** Of energy and forces. */
    double tolerance;
    /** Of dU/dc, the Hessian-vector product, (dF/dc)^T lambda and the virial. */
    double derivativeTolerance;
    /** Of a number: how far beyond the cutoff a pair may be taken to be within it, and how well terms cancel there. */
    double resolution = 0;
    /** Whether a System of one particle is possible: in a process with PoCL it ends OpenMM, whatever the forces. */
    bool canBeAlone = true;
    /** What is said where forces are asked for in a box that has become too small. */
    std::string narrowBox = "half the smallest box width (1.99 nm)";
};

inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
    ASSERT_EQUAL(a.size(), b.size());
    double sum = 0;
    for (size_t i = 0; i < a.size(); i++)
        sum += a[i] * b[i];
    return sum;
}

inline double dot(const std::vector<OpenMM::Vec3>& a, const std::vector<OpenMM::Vec3>& b) {
    ASSERT_EQUAL(a.size(), b.size());
    double sum = 0;
    for (size_t i = 0; i < a.size(); i++)
        sum += a[i].dot(b[i]);
    return sum;
}

template <class T> double norm(const std::vector<T>& a) { return std::sqrt(dot(a, a)); }

/** |expected - found| <= tolerance * scale, where the scale is |expected| unless it is given. NaN fails. */
inline void assertClose(double expected, double found, double tolerance, double scale = 0) {
    const double error = std::abs(expected - found), size = scale > 0 ? scale : std::abs(expected);
    if (!(error <= tolerance * size)) {
        std::ostringstream text;
        text << "expected " << expected << ", found " << found << ": error " << error / size << " > " << tolerance;
        throwException(__FILE__, __LINE__, text.str());
    }
}

template <class T> void assertClose(const std::vector<T>& expected, const std::vector<T>& found, double tolerance) {
    ASSERT_EQUAL(expected.size(), found.size());
    std::vector<T> difference = expected;
    for (size_t i = 0; i < expected.size(); i++)
        difference[i] -= found[i];
    assertClose(0.0, norm(difference), tolerance, norm(expected) > 0 ? norm(expected) : 1e-300);
}

inline std::vector<double> flatCoefficients(const OpenMMGrad::LearnablePairForce& force) {
    std::vector<double> flat, values;
    for (int a = 0; a < force.getNumTypes(); a++)
        for (int b = a; b < force.getNumTypes(); b++) {
            force.getCoefficients(a, b, values);
            flat.insert(flat.end(), values.begin(), values.end());
        }
    return flat;
}

/** A Context on the platform under test, holding a copy of the case's force (and other forces, which it owns). */
class TestContext {
public:
    TestContext(const Setup& setup, const Case& c, const std::vector<OpenMM::Force*>& others = {})
        : force(new OpenMMGrad::LearnablePairForce(c.force)), integrator(0.001) {
        for (size_t i = 0; i < c.positions.size(); i++)
            system.addParticle(1.0);
        system.setDefaultPeriodicBoxVectors(c.box[0], c.box[1], c.box[2]);
        system.addForce(force);
        for (OpenMM::Force* other : others)
            system.addForce(other);
        OpenMM::Platform& platform = OpenMM::Platform::getPlatformByName(setup.platformName);
        owned = std::make_unique<OpenMM::Context>(system, integrator, platform, setup.properties);
        owned->setPositions(c.positions);
    }
    OpenMM::Context& context() { return *owned; }
    OpenMM::State state(int groups = -1) {
        return owned->getState(OpenMM::State::Energy | OpenMM::State::Forces, false, groups);
    }
    OpenMMGrad::LearnablePairForce* force;

private:
    OpenMM::System system;
    OpenMM::VerletIntegrator integrator;
    std::unique_ptr<OpenMM::Context> owned;
};

#ifdef PLUGIN_LIBRARY
/** Load the platform (if it is a plugin of OpenMM) and our kernels for it, as OpenMM does. */
inline void loadPlugins() {
    if (std::string(PLATFORM_LIBRARY) != "")
        OpenMM::Platform::loadPluginLibrary(PLATFORM_LIBRARY);
    OpenMM::Platform::loadPluginLibrary(PLUGIN_LIBRARY);
}
#endif

#endif
