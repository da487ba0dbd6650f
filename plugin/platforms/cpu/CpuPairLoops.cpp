// SPDX-License-Identifier: MIT
#include "CpuPairLoops.h"
#include "openmm/OpenMMException.h"
#include <cstdlib>
#include <string>
#include <vector>

using namespace OpenMM;
using namespace std;

namespace OpenMMGrad {

extern const CpuPairLoops cpuScalarLoops;

#if defined(__x86_64__) && defined(__GNUC__)

extern const CpuPairLoops cpuSseLoops, cpuAvx2Loops, cpuAvx512Loops;

static bool hasAvx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}

#endif

namespace {

struct Choice {
    string name;
    const CpuPairLoops* loops;
};

/** What this processor can run, the best last. */
vector<Choice> findChoices() {
    vector<Choice> choices = {{"off", &cpuScalarLoops}};
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("sse4.1"))
        choices.push_back({"sse", &cpuSseLoops});
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        choices.push_back({"avx2", &cpuAvx2Loops});
    if (choices.back().name == "avx2" && hasAvx512())
        choices.push_back({"avx512", &cpuAvx512Loops});
#endif
    return choices;
}

} // namespace

const CpuPairLoops& CpuPairLoops::choose() {
    const vector<Choice> choices = findChoices();
    const char* wish = getenv("OPENMMGRAD_CPU_SIMD");
    if (wish == nullptr || *wish == '\0')
        return *choices.back().loops;
    string names;
    for (const Choice& choice : choices) {
        if (choice.name == wish)
            return *choice.loops;
        names += (names.empty() ? "" : ", ") + choice.name;
    }
    throw OpenMMException("LearnablePairForce: the environment sets OPENMMGRAD_CPU_SIMD=" + string(wish) +
                          ", expected one of what this processor has: " + names +
                          ". Unset it to use the last of them.");
}

} // namespace OpenMMGrad
