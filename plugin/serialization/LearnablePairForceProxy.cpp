// SPDX-License-Identifier: MIT
#include "LearnablePairForceProxy.h"
#include "LearnablePairForce.h"
#include "internal/CheckArgument.h"
#include "openmm/serialization/SerializationNode.h"
#include <memory>
#include <set>
#include <vector>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

namespace {

/** Version 1 had no useDoublePrecision. */
const int version = 2;

/** Registers the proxy as soon as the library is loaded, so that a System can be read without our Python package. */
const bool registered = [] {
    SerializationProxy::registerProxy(typeid(LearnablePairForce), new LearnablePairForceProxy());
    return true;
}();

void writeSet(SerializationNode& node, const set<int>& particles) {
    for (int i : particles)
        node.createChildNode("Particle").setIntProperty("index", i);
}

set<int> readSet(const SerializationNode& node) {
    set<int> particles;
    for (const SerializationNode& child : node.getChildren())
        particles.insert(child.getIntProperty("index"));
    return particles;
}

unique_ptr<LearnablePairForce> read(const SerializationNode& node) {
    auto force = make_unique<LearnablePairForce>(node.getIntProperty("numTypes"), node.getDoubleProperty("cutoff"),
                                                 node.getIntProperty("numCoefficients"));
    force->setForceGroup(node.getIntProperty("forceGroup"));
    force->setName(node.getStringProperty("name"));
    force->setNonbondedMethod(static_cast<LearnablePairForce::NonbondedMethod>(node.getIntProperty("method")));
    force->setUseDoublePrecision(node.getBoolProperty("useDoublePrecision", false));
    set<int> pairs;
    for (const SerializationNode& pair : node.getChildNode("Coefficients").getChildren()) {
        const int type1 = pair.getIntProperty("type1"), type2 = pair.getIntProperty("type2");
        vector<double> coefficients;
        for (const SerializationNode& value : pair.getChildren())
            coefficients.push_back(value.getDoubleProperty("c"));
        force->setCoefficients(type1, type2, coefficients);
        pairs.insert(force->getTypePairIndex(type1, type2));
    }
    CHECK_ARG(static_cast<int>(pairs.size()) == force->getNumTypePairs(),
              "coefficients of " << force->getNumTypePairs() << " pairs of types were expected, found " << pairs.size()
                                 << ". Write one <TypePair> for each.");
    for (const SerializationNode& particle : node.getChildNode("Particles").getChildren())
        force->addParticle(particle.getIntProperty("type"));
    for (const SerializationNode& exclusion : node.getChildNode("Exclusions").getChildren())
        force->addExclusion(exclusion.getIntProperty("p1"), exclusion.getIntProperty("p2"));
    for (const SerializationNode& group : node.getChildNode("InteractionGroups").getChildren())
        force->addInteractionGroup(readSet(group.getChildNode("Set1")), readSet(group.getChildNode("Set2")));
    return force;
}

} // namespace

void LearnablePairForceProxy::serialize(const void* object, SerializationNode& node) const {
    const LearnablePairForce& force = *static_cast<const LearnablePairForce*>(object);
    node.setIntProperty("version", version);
    node.setIntProperty("forceGroup", force.getForceGroup());
    node.setStringProperty("name", force.getName());
    node.setIntProperty("method", force.getNonbondedMethod());
    node.setBoolProperty("useDoublePrecision", force.getUseDoublePrecision());
    node.setIntProperty("numTypes", force.getNumTypes());
    node.setDoubleProperty("cutoff", force.getCutoffDistance());
    node.setIntProperty("numCoefficients", force.getNumCoefficients());
    SerializationNode& coefficients = node.createChildNode("Coefficients");
    for (int a = 0; a < force.getNumTypes(); a++)
        for (int b = a; b < force.getNumTypes(); b++) {
            SerializationNode& pair = coefficients.createChildNode("TypePair");
            pair.setIntProperty("type1", a).setIntProperty("type2", b);
            vector<double> values;
            force.getCoefficients(a, b, values);
            for (double c : values)
                pair.createChildNode("Coefficient").setDoubleProperty("c", c);
        }
    SerializationNode& particles = node.createChildNode("Particles");
    for (int i = 0; i < force.getNumParticles(); i++)
        particles.createChildNode("Particle").setIntProperty("type", force.getParticleType(i));
    SerializationNode& exclusions = node.createChildNode("Exclusions");
    for (int index = 0; index < force.getNumExclusions(); index++) {
        int i, j;
        force.getExclusionParticles(index, i, j);
        exclusions.createChildNode("Exclusion").setIntProperty("p1", i).setIntProperty("p2", j);
    }
    SerializationNode& groups = node.createChildNode("InteractionGroups");
    for (int index = 0; index < force.getNumInteractionGroups(); index++) {
        SerializationNode& group = groups.createChildNode("InteractionGroup");
        set<int> set1, set2;
        force.getInteractionGroupParameters(index, set1, set2);
        writeSet(group.createChildNode("Set1"), set1);
        writeSet(group.createChildNode("Set2"), set2);
    }
}

void* LearnablePairForceProxy::deserialize(const SerializationNode& node) const {
    const int found = node.getIntProperty("version", 0);
    CHECK_ARG(1 <= found && found <= version,
              "XML of version 1 to " << version << " was expected, found version " << found
                                     << ". Read it with the release of OpenMM-Grad that wrote it.");
    try {
        return read(node).release();
    } catch (const OpenMMException& error) {
        CHECK_ARG(false, "the XML cannot be read: " << error.what() << " Write it again with XmlSerializer.");
    }
    return nullptr;
}

} // namespace OpenMMGrad
