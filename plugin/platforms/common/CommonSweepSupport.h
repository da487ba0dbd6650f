// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_COMMONSWEEPSUPPORT_H_
#define OPENMMGRAD_COMMONSWEEPSUPPORT_H_

#include "openmm/common/ComputeArray.h"
#include "openmm/common/ComputeContext.h"
#include <algorithm>
#include <string>
#include <vector>

namespace OpenMMGrad {

/** Threads of a group: 32 particles of a block in four parts (kernels/sweepPairs.cc). */
const int SweepGroup = 128;

/** A kernel that is given all its arguments at each call, in order. */
class SweepLauncher {
public:
    SweepLauncher() : hasArguments(false) {}
    void create(OpenMM::ComputeProgram& program, const std::string& name) { kernel = program->createKernel(name); }
    /** @param threads  of groups of SweepGroup; kernels loop where there are fewer */
    template <class... Arguments> void operator()(size_t threads, Arguments&&... arguments) {
        if (!hasArguments)
            for (size_t k = 0; k < sizeof...(arguments); k++)
                kernel->addArg();
        hasArguments = true;
        int index = 0;
        (kernel->setArg(index++, arguments), ...);
        kernel->execute(static_cast<int>(std::min<size_t>(threads, 1 << 30)), SweepGroup);
    }

private:
    OpenMM::ComputeKernel kernel;
    bool hasArguments;
};

/** An array of at least one element, made anew where its size or that of its elements has changed. */
template <class Array>
void prepareArray(OpenMM::ComputeContext& cc, Array& array, size_t size, int elementSize, const char* name) {
    size = std::max<size_t>(size, 1);
    if (!array || array->getElementSize() != elementSize) {
        array.reset(new OpenMM::ComputeArray());
        array->initialize(cc, size, elementSize, name);
    }
    else if (array->getSize() != size)
        array->resize(size);
}

} // namespace OpenMMGrad

#endif
