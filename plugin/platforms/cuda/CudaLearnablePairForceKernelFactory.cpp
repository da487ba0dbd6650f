// SPDX-License-Identifier: MIT
#include "CommonKernelFactory.h"
#include "internal/windowsExportOpenMMGrad.h"
#include "openmm/cuda/CudaPlatform.h"

/** Every plugin needs its own: OpenMM would otherwise find and call that of a library it depends on. */
extern "C" OPENMMGRAD_PLUGIN_EXPORT void registerPlatforms() {}

extern "C" OPENMMGRAD_PLUGIN_EXPORT void registerKernelFactories() {
    OpenMMGrad::CommonKernelFactory<OpenMM::CudaPlatform>::registerWith("CUDA");
}
