// SPDX-License-Identifier: MIT
#include "CommonLearnablePairForceKernels.h"
#include "CommonTrajectorySweepKernel.h"
#include "internal/CheckArgument.h"
#include "internal/windowsExportOpenMMGrad.h"
#include "openmm/opencl/OpenCLPlatform.h"
#include "openmm/KernelFactory.h"
#include "openmm/OpenMMException.h"
#include "openmm/Platform.h"
#include "openmm/internal/ContextImpl.h"

using namespace OpenMM;

namespace OpenMMGrad {

class OpenCLLearnablePairForceKernelFactory : public KernelFactory {
public:
    KernelImpl* createKernelImpl(std::string name, const Platform& platform, ContextImpl& context) const {
        auto& data = *static_cast<OpenCLPlatform::PlatformData*>(context.getPlatformData());
        CHECK_ARG(data.contexts.size() == 1, "one device is expected, found " << data.contexts.size()
                                                 << ". Give DeviceIndex the number of one device.");
        // OpenCLContext is a ComputeContext and nothing else; its own header would need those of OpenCL.
        ComputeContext& cc = *reinterpret_cast<ComputeContext*>(data.contexts[0]);
        if (name == CalcLearnablePairForceKernel::Name())
            return new CommonCalcLearnablePairForceKernel(name, platform, cc);
        if (name == RunTrajectorySweepKernel::Name())
            return new CommonRunTrajectorySweepKernel(name, platform, cc);
        throw OpenMMException("OpenCLLearnablePairForceKernelFactory: no kernel is named '" + name + "'.");
    }
};

} // namespace OpenMMGrad

/** Every plugin needs its own: OpenMM would otherwise find and call that of a library it depends on. */
extern "C" OPENMMGRAD_PLUGIN_EXPORT void registerPlatforms() {}

extern "C" OPENMMGRAD_PLUGIN_EXPORT void registerKernelFactories() {
    for (int i = 0; i < Platform::getNumPlatforms(); i++)
        if (Platform::getPlatform(i).getName() == "OpenCL")
            for (const std::string& name :
                 {OpenMMGrad::CalcLearnablePairForceKernel::Name(), OpenMMGrad::RunTrajectorySweepKernel::Name()})
                Platform::getPlatform(i).registerKernelFactory(name,
                                                               new OpenMMGrad::OpenCLLearnablePairForceKernelFactory());
}
