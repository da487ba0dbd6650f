// SPDX-License-Identifier: MIT
#include "CpuLearnablePairForceKernels.h"
#include "internal/windowsExportOpenMMGrad.h"
#include "openmm/KernelFactory.h"
#include "openmm/OpenMMException.h"
#include "openmm/Platform.h"

using namespace OpenMM;

namespace OpenMMGrad {

class CpuLearnablePairForceKernelFactory : public KernelFactory {
public:
    KernelImpl* createKernelImpl(std::string name, const Platform& platform, ContextImpl& context) const {
        if (name == CalcLearnablePairForceKernel::Name())
            return new CpuCalcLearnablePairForceKernel(name, platform, CpuPlatform::getPlatformData(context));
        throw OpenMMException("CpuLearnablePairForceKernelFactory: no kernel is named '" + name + "'.");
    }
};

} // namespace OpenMMGrad

/** Every plugin needs its own: OpenMM would otherwise find and call that of a library it depends on. */
extern "C" OPENMMGRAD_PLUGIN_EXPORT void registerPlatforms() {}

extern "C" OPENMMGRAD_PLUGIN_EXPORT void registerKernelFactories() {
    for (int i = 0; i < Platform::getNumPlatforms(); i++)
        if (Platform::getPlatform(i).getName() == "CPU")
            Platform::getPlatform(i).registerKernelFactory(OpenMMGrad::CalcLearnablePairForceKernel::Name(),
                                                           new OpenMMGrad::CpuLearnablePairForceKernelFactory());
}
