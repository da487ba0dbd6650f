# SPDX-License-Identifier: MIT
"""Memory of one window of liquid argon and its gradient, against its length: one measurement, as a line of JSON.

    python benchmarks/gradient_memory.py --steps 800 --checkpoint-every 28
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads must not spin beside OpenMM's

import torch
from gradient_liquids import Gradient, argon_liquid, argon_model


def resident(field: str) -> int:
    """Bytes of memory that this process has (VmRSS), or had at most (VmHWM)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--checkpoint-every", type=int, help="without it, all positions are stored")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    liquid, model = argon_liquid(options.n, options.threads), argon_model(options.n)

    def run(steps: int) -> tuple[float, dict]:
        gradient = Gradient(model, liquid, steps, options.threads, memory=2**40,
                            checkpoint_every=options.checkpoint_every)  # fmt: skip
        return gradient()["seconds"], gradient.path.memory

    run(10)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    seconds, reported = run(options.steps)
    print(json.dumps({"steps": options.steps, "checkpoint_every": options.checkpoint_every, "particles": options.n,
                      "peak_bytes": resident("VmHWM") - before, "reported": reported, "seconds": seconds}))  # fmt: skip


if __name__ == "__main__":
    main()
