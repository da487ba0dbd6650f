// SPDX-License-Identifier: MIT
#ifndef OPENMMGRAD_CPUBARRIER_H_
#define OPENMMGRAD_CPUBARRIER_H_

#include <atomic>
#include <thread>

namespace OpenMMGrad {

/**
 * Threads meet here without sleeping: a step takes tens of microseconds, waking a thread takes as long. Where there
 * are more threads than processors the waiting ones soon yield.
 */
class CpuBarrier {
public:
    explicit CpuBarrier(int numThreads) : numThreads(numThreads), arrived(0), meeting(0) {}
    void wait() {
        const int mine = meeting.load(std::memory_order_acquire);
        if (arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == numThreads) {
            arrived.store(0, std::memory_order_relaxed);
            meeting.store(mine + 1, std::memory_order_release);
        }
        else
            for (int turn = 0; meeting.load(std::memory_order_acquire) == mine; turn++)
                if (turn > 4000)
                    std::this_thread::yield();
    }

private:
    const int numThreads;
    std::atomic<int> arrived, meeting;
};

} // namespace OpenMMGrad

#endif
