// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CHECKARGUMENT_H_
#define OPENMMGRAD_CHECKARGUMENT_H_

#include "openmm/OpenMMException.h"
#include <sstream>

/**
 * Throw an OpenMMException "LearnablePairForce: <message>" unless the condition holds. The message is a chain of <<
 * and says what was expected, what was found (with units) and what to do.
 */
#define CHECK_ARG(condition, message)                                                                                  \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            std::ostringstream checkArgText;                                                                           \
            checkArgText << "LearnablePairForce: " << message;                                                         \
            throw OpenMM::OpenMMException(checkArgText.str());                                                         \
        }                                                                                                              \
    } while (false)

#endif
