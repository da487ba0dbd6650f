// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_LEARNABLEPAIRFORCEPROXY_H_
#define OPENMMGRAD_LEARNABLEPAIRFORCEPROXY_H_

#include "openmm/serialization/SerializationProxy.h"

namespace OpenMMGrad {

/** Writes a LearnablePairForce as XML, with a version number, and reads it back exactly. */
class LearnablePairForceProxy : public OpenMM::SerializationProxy {
public:
    LearnablePairForceProxy() : SerializationProxy("LearnablePairForce") {}
    void serialize(const void* object, OpenMM::SerializationNode& node) const;
    void* deserialize(const OpenMM::SerializationNode& node) const;
};

} // namespace OpenMMGrad

#endif
