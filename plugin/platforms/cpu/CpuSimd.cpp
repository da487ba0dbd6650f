// SPDX-License-Identifier: MIT
#include "CpuSimd.h"
#include <cstdlib>
#include <cstring>

namespace OpenMMGrad {

#if defined(__x86_64__) && defined(__GNUC__)

extern const CpuSimd cpuAvx2;

const CpuSimd* CpuSimd::choose() {
    const char* wish = std::getenv("OPENMMGRAD_CPU_SIMD");
    if (wish != nullptr && std::strcmp(wish, "off") == 0)
        return nullptr;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &cpuAvx2 : nullptr;
}

#else

const CpuSimd* CpuSimd::choose() { return nullptr; }

#endif

} // namespace OpenMMGrad
