// SPDX-License-Identifier: MIT
#include "TestSupport.h"
#include "openmm/serialization/XmlSerializer.h"

using namespace OpenMM;
using namespace OpenMMGrad;
using namespace std;

string toXml(const LearnablePairForce& force) {
    ostringstream buffer;
    XmlSerializer::serialize<Force>(&force, "Force", buffer);
    return buffer.str();
}

unique_ptr<LearnablePairForce> fromXml(const string& xml) {
    istringstream buffer(xml);
    unique_ptr<Force> force(XmlSerializer::deserialize<Force>(buffer));
    auto* result = dynamic_cast<LearnablePairForce*>(force.get());
    ASSERT(result != nullptr);
    force.release();
    return unique_ptr<LearnablePairForce>(result);
}

string replaced(string text, const string& from, const string& to) {
    const size_t position = text.find(from);
    ASSERT(position != string::npos);
    return text.replace(position, from.size(), to);
}

LearnablePairForce example() {
    Case c = makeCase(5, false, false, 1, 3);
    c.force.setCutoffDistance(0.1 + 0.2);   // not a short decimal
    c.force.setForceGroup(4);
    c.force.setUseDoublePrecision(true);
    c.force.setName("argon & <friends>");
    c.force.addExclusion(0, 3);
    c.force.addExclusion(4, 1);
    c.force.addInteractionGroup({0, 4}, {1, 2});
    c.force.addInteractionGroup({}, {3});
    return c.force;
}

void testRoundTripIsExact() {
    const LearnablePairForce force = example();
    const unique_ptr<LearnablePairForce> copy = fromXml(toXml(force));
    ASSERT_EQUAL(toXml(force), toXml(*copy));
    ASSERT_EQUAL(force.getCutoffDistance(), copy->getCutoffDistance());
    ASSERT_EQUAL(force.getNonbondedMethod(), copy->getNonbondedMethod());
    ASSERT_EQUAL(force.getForceGroup(), copy->getForceGroup());
    ASSERT_EQUAL(force.getName(), copy->getName());
    ASSERT(copy->getUseDoublePrecision());
    ASSERT_EQUAL_CONTAINERS(flatCoefficients(force), flatCoefficients(*copy));
    ASSERT_EQUAL(5, copy->getNumParticles());
    for (int i = 0; i < 5; i++)
        ASSERT_EQUAL(force.getParticleType(i), copy->getParticleType(i));
    int p, q;
    copy->getExclusionParticles(1, p, q);
    ASSERT(p == 4 && q == 1);
    set<int> set1, set2;
    copy->getInteractionGroupParameters(0, set1, set2);
    ASSERT(set1 == set<int>({0, 4}) && set2 == set<int>({1, 2}));
    copy->getInteractionGroupParameters(1, set1, set2);
    ASSERT(set1.empty() && set2 == set<int>({3}));
}

void testVersion1IsRead() {
    const string xml = toXml(example());
    const string old = replaced(replaced(xml, "version=\"2\"", "version=\"1\""), " useDoublePrecision=\"1\"", "");
    const unique_ptr<LearnablePairForce> force = fromXml(old);
    ASSERT(!force->getUseDoublePrecision());
    force->setUseDoublePrecision(true);
    ASSERT_EQUAL(xml, toXml(*force));
}

void testErrorsSayWhatIsWrong() {
    const string xml = toXml(example());
    ASSERT_THROWS(fromXml(replaced(xml, "version=\"2\"", "version=\"7\"")), "XML of version 1 to 2 was expected, found version 7.");
    ASSERT_THROWS(fromXml(replaced(xml, "version=\"2\"", "")), "found version 0.");
    ASSERT_THROWS(fromXml(replaced(xml, "cutoff=", "cut=")), "the XML cannot be read");
    ASSERT_THROWS(fromXml(replaced(xml, "<Particles>", "<Atoms>")), "");
    ASSERT_THROWS(fromXml(replaced(xml, "numCoefficients=\"20\"", "numCoefficients=\"21\"")),
                  "21 coefficients were expected for types (0, 0), found 20.");
    ASSERT_THROWS(fromXml(replaced(xml, "type1=\"0\" type2=\"1\"", "type1=\"0\" type2=\"0\"")),
                  "coefficients of 6 pairs of types were expected, found 5.");
    ASSERT_THROWS(fromXml(xml.substr(0, xml.size() / 2)), "");
}

int main() {
    try {
        testRoundTripIsExact();
        testVersion1IsRead();
        testErrorsSayWhatIsWrong();
    } catch (const exception& error) {
        cout << error.what() << endl;
        return 1;
    }
    cout << "Done" << endl;
    return 0;
}
