// SPDX-License-Identifier: MIT
#include "ReferenceLearnablePairForceKernels.h"
#include "openmm/KernelFactory.h"
#include "openmm/OpenMMException.h"
#include "openmm/Platform.h"

using namespace OpenMM;

namespace OpenMMGrad {

class ReferenceLearnablePairForceKernelFactory : public KernelFactory {
public:
    KernelImpl* createKernelImpl(std::string name, const Platform& platform, ContextImpl&) const {
        if (name == CalcLearnablePairForceKernel::Name())
            return new ReferenceCalcLearnablePairForceKernel(name, platform);
        throw OpenMMException("ReferenceLearnablePairForceKernelFactory: no kernel is named '" + name + "'.");
    }
};

} // namespace OpenMMGrad

/** Every plugin needs its own: OpenMM would otherwise find and call that of a library it depends on. */
extern "C" OPENMMGRAD_PLUGIN_EXPORT void registerPlatforms() {}

extern "C" OPENMMGRAD_PLUGIN_EXPORT void registerKernelFactories() {
    // By name: CpuPlatform is a ReferencePlatform too, and has kernels of its own.
    for (int i = 0; i < Platform::getNumPlatforms(); i++)
        if (Platform::getPlatform(i).getName() == "Reference")
            Platform::getPlatform(i).registerKernelFactory(OpenMMGrad::CalcLearnablePairForceKernel::Name(),
                                                           new OpenMMGrad::ReferenceLearnablePairForceKernelFactory());
}
