// SPDX-License-Identifier: MIT
#include "CpuPairLoops.h"
#include <cstdlib>
#include <cstring>

namespace OpenMMGrad {

extern const CpuPairLoops cpuPortableLoops;

#if defined(__x86_64__) && defined(__GNUC__)

extern const CpuPairLoops cpuAvx2Loops;

const CpuPairLoops& CpuPairLoops::choose() {
    const char* wish = std::getenv("OPENMMGRAD_CPU_SIMD");
    const bool refused = wish != nullptr && std::strcmp(wish, "off") == 0;
    const bool able = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return able && !refused ? cpuAvx2Loops : cpuPortableLoops;
}

#else

const CpuPairLoops& CpuPairLoops::choose() { return cpuPortableLoops; }

#endif

} // namespace OpenMMGrad
