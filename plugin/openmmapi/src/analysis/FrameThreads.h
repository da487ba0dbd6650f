// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_FRAMETHREADS_H_
#define OPENMMGRAD_FRAMETHREADS_H_

#include <algorithm>
#include <thread>

namespace OpenMMGrad {

/**
 * How frames are shared: whole frames first, one after the other to whoever is free. Those that would leave threads
 * idle at the end, fewer than there are threads, are done in parts.
 */
struct FrameShares {
    /** @param numThreads  0 is one for each processor; @param numParts  the most that a frame is worth */
    FrameShares(int numFrames, int numThreads, int numParts) {
        const int most = numThreads > 0 ? numThreads : std::max(1u, std::thread::hardware_concurrency());
        const long long numJobs = static_cast<long long>(numFrames) * numParts;
        threads = static_cast<int>(std::max(1LL, std::min<long long>(most, numJobs)));
        parts = std::min(threads, numParts);
        whole = parts == 1 ? numFrames : numFrames - numFrames % threads;
    }
    int threads, whole, parts;
};

} // namespace OpenMMGrad

#endif
