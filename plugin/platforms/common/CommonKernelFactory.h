// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_COMMONKERNELFACTORY_H_
#define OPENMMGRAD_COMMONKERNELFACTORY_H_

#include "CommonLearnablePairForceKernels.h"
#include "CommonTrajectorySweepKernel.h"
#include "internal/CheckArgument.h"
#include "openmm/KernelFactory.h"
#include "openmm/OpenMMException.h"
#include "openmm/Platform.h"
#include "openmm/internal/ContextImpl.h"
#include <string>

namespace OpenMMGrad {

/** Makes the common kernels for OpenCLPlatform or CudaPlatform. */
template <class DevicePlatform> class CommonKernelFactory : public OpenMM::KernelFactory {
public:
    OpenMM::KernelImpl* createKernelImpl(std::string name, const OpenMM::Platform& platform,
                                         OpenMM::ContextImpl& context) const {
        auto& data = *static_cast<typename DevicePlatform::PlatformData*>(context.getPlatformData());
        CHECK_ARG(data.contexts.size() == 1, "one device is expected, found " << data.contexts.size()
                                                 << ". Give DeviceIndex the number of one device.");
        // OpenCLContext and CudaContext are a ComputeContext and nothing else; their headers would need those of OpenCL
        // and CUDA.
        auto& cc = *reinterpret_cast<OpenMM::ComputeContext*>(data.contexts[0]);
        if (name == CalcLearnablePairForceKernel::Name())
            return new CommonCalcLearnablePairForceKernel(name, platform, cc);
        if (name == RunTrajectorySweepKernel::Name())
            return new CommonRunTrajectorySweepKernel(name, platform, cc);
        throw OpenMM::OpenMMException("CommonKernelFactory: no kernel is named '" + name + "'.");
    }
    /** With the platform of this name, if it is there. */
    static void registerWith(const std::string& platformName) {
        for (int i = 0; i < OpenMM::Platform::getNumPlatforms(); i++)
            if (OpenMM::Platform::getPlatform(i).getName() == platformName)
                for (const std::string& name : {CalcLearnablePairForceKernel::Name(), RunTrajectorySweepKernel::Name()})
                    OpenMM::Platform::getPlatform(i).registerKernelFactory(name, new CommonKernelFactory());
    }
};

} // namespace OpenMMGrad

#endif
