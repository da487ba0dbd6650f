// SPDX-License-Identifier: MIT
#include "DistanceBins.h"
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace OpenMMGrad {

namespace {

void binDistances(const SingleBins& bins, const AtomCells& partners, const int32_t atom[3], const AtomRange* ranges,
                  int numRanges, BinnedPartners& found) {
    const uint32_t x = atom[0], y = atom[1], z = atom[2];
    int numBins = 0, numDoubtful = 0;
    for (int n = 0; n < numRanges; n++)
        for (int j = ranges[n].begin; j < ranges[n].end; j++) {
            const float square = bins.scale.findSquare(x - partners.x[j], y - partners.y[j], z - partners.z[j]);
            const float place = std::sqrt(square) - bins.start;
            const bool inside = place > -bins.doubt && place < bins.count + bins.doubt;
            const bool unsure = std::fabs(place - static_cast<float>(static_cast<int32_t>(place + 0.5f))) < bins.doubt;
            found.bins[numBins] = static_cast<int32_t>(place); // overwritten unless it counts: no branch to mispredict
            found.doubtful[numDoubtful] = j;
            numBins += inside & !unsure;
            numDoubtful += inside & unsure;
        }
    found.numBins = numBins;
    found.numDoubtful = numDoubtful;
}

} // namespace

#if defined(__x86_64__) && defined(__GNUC__)

namespace avx2 {
extern const BinDistances binDistances;
}
namespace avx512 {
extern const BinDistances binDistances;
}

BinDistances chooseBinDistances() {
    const char* wish = std::getenv("OPENMMGRAD_CPU_SIMD");
    auto allows = [&](const char* name) { return wish == nullptr || std::strcmp(wish, name) == 0; };
    if (allows("avx512") && __builtin_cpu_supports("avx512f"))
        return avx512::binDistances;
    if ((allows("avx2") || allows("avx512")) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return avx2::binDistances;
    return binDistances;
}

#else

BinDistances chooseBinDistances() { return binDistances; }

#endif

} // namespace OpenMMGrad
