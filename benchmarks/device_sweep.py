# SPDX-License-Identifier: MIT
"""What the gradient of many windows costs on a device: windows together, one after the other, and through the host.

The Lennard-Jones liquid of benchmarks/gpu.py with stored positions of each step. Times are of one window, over plain
dynamics of the same number of steps in the same round; medians and ranges over the rounds.

    python benchmarks/device_sweep.py --platform CUDA:single --json out/sweep.json --plot out/sweep.png
    python benchmarks/device_sweep.py --platform OpenCL:single --sizes 500 --windows 1,4 --steps 50 --rounds 3
"""

import argparse
import json
import os
from datetime import date
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads must not spin beside OpenMM's

import gpu_liquid as lj
import numpy as np
import openmm
import torch

import openmmgrad as og

PARTS = ("forwards", "backwards together", "backwards one by one", "backwards through the host")


class Windows:
    """W windows of one liquid in one Context, and plain dynamics in the same Context."""

    def __init__(self, n: int, count: int, steps: int, platform: str) -> None:
        rng = np.random.default_rng(0)
        self.model, self.count, self.steps = lj.model(n), count, steps
        self.run = og.Propagator(self.model, lj.TIMESTEP, steps, steps, platform=platform, workers=1,
                                 temperature=lj.TEMPERATURE)  # fmt: skip
        x = lj.lattice(n) + rng.normal(size=(count, n, 3)) * 0.01
        speed = np.sqrt(og.units.KB * lj.TEMPERATURE / lj.REDUCED.mass)
        self.start = x, rng.normal(size=(count, n, 3)) * speed
        self.run(initial=self.start)
        (engines,) = self.run._engines.values()
        self.engine = engines[0]
        # past the melting of the lattice
        context = self.engine.context
        for s in range(count):
            context.setPositions(x[s])
            context.setVelocities(self.start[1][s])
            self.engine.integrator.step(500)
            state = context.getState(positions=True, velocities=True)
            self.start[0][s] = state.getPositions(asNumpy=True)._value
            self.start[1][s] = state.getVelocities(asNumpy=True)._value

    def dynamics(self) -> float:
        """Seconds of one window's steps."""
        context = self.engine.context
        context.setPositions(self.start[0][0])
        context.setVelocities(self.start[1][0])
        lj.wait(context)
        begin = perf_counter()
        self.engine.integrator.step(self.steps)
        lj.wait(context)
        return perf_counter() - begin

    def gradient(self, part: str) -> tuple[float, float]:
        """Seconds forwards and backwards, of one window."""
        sweep = self.engine._sweep
        sweep._setDevice(part != "backwards through the host", 2.0**30)
        sums = torch.zeros((), dtype=torch.float64)
        starts = [self.start] if part == "backwards together" else [
            tuple(a[s:s + 1] for a in self.start) for s in range(self.count)]  # fmt: skip
        begin = perf_counter()
        for start in starts:
            path = self.run(initial=start)
            sums = sums + ((path.positions[:, -1] - path.positions[:, 0]) ** 2).sum()
        middle = perf_counter()
        sums.backward()
        end = perf_counter()
        sweep._setDevice(True, 2.0**30)
        return (middle - begin) / self.count, (end - middle) / self.count


def measure(n: int, count: int, options: argparse.Namespace) -> dict:
    """One size and number of windows."""
    windows = Windows(n, count, options.steps, options.platform)
    for part in PARTS[1:]:
        windows.gradient(part)
    ratios: dict[str, list[float]] = {part: [] for part in PARTS}
    plain = []
    for _ in range(options.rounds):
        plain.append(windows.dynamics())
        for part in PARTS[1:]:
            forwards, backwards = windows.gradient(part)
            ratios[part].append(backwards / plain[-1])
            if part == "backwards together":
                ratios["forwards"].append(forwards / plain[-1])
    spread = {part: [float(f(values)) for f in (np.median, np.min, np.max)] for part, values in ratios.items()}
    said = ", ".join(f"{part} {m:.2f} ({a:.2f}-{b:.2f})" for part, (m, a, b) in spread.items())
    step = 1e6 * np.median(plain) / options.steps
    print(f"N = {n}, {count} windows: dynamics {step:.1f} us/step; {said}", flush=True)
    return {"particles": n, "windows": count, "seconds_per_step": float(np.median(plain)) / options.steps,
            "over_dynamics": spread}  # fmt: skip


def plot(results: list[dict], path: Path) -> None:
    """Cost of a window's gradient over plain dynamics, by the number of windows."""
    from matplotlib.figure import Figure

    sizes = sorted({result["particles"] for result in results})
    figure = Figure(figsize=(4 * len(sizes), 3.5), layout="constrained")
    for axis, n in zip(figure.subplots(1, len(sizes), squeeze=False)[0], sizes, strict=True):
        own = [result for result in results if result["particles"] == n]
        for part in PARTS:
            axis.loglog([r["windows"] for r in own], [r["over_dynamics"][part][0] for r in own], marker="o", label=part)
        axis.set(title=f"N = {n}", xlabel="windows", ylabel="time over dynamics, per window")
    axis.legend(fontsize=7)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--platform", default="CUDA:single")
    parser.add_argument("--sizes", default="500,1000,4000")
    parser.add_argument("--windows", default="1,4,16,64")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    results = [measure(n, count, options) for n in map(int, options.sizes.split(","))
               for count in map(int, options.windows.split(","))]  # fmt: skip
    document = {"benchmark": "device_sweep", "date": date.today().isoformat(), "platform": options.platform,
                "openmm": openmm.__version__, "steps": options.steps, "rounds": options.rounds,
                "results": results}  # fmt: skip
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.plot is not None:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
