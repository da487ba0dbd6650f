// SPDX-License-Identifier: MIT
// Names that OpenMM's CUDA platform wants of cuFFT; PME is not compiled with the fake driver.
#define REFUSES(name) int name(void) { return 1; }
REFUSES(cufftDestroy)
REFUSES(cufftExecC2C)
REFUSES(cufftExecC2R)
REFUSES(cufftExecD2Z)
REFUSES(cufftExecR2C)
REFUSES(cufftExecZ2D)
REFUSES(cufftExecZ2Z)
REFUSES(cufftPlan3d)
REFUSES(cufftSetStream)
