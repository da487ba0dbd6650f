# SPDX-License-Identifier: MIT
"""Speed and correctness on a graphics processor: dynamics, derivatives and gradients of a Lennard-Jones liquid.

Argon at rho* = 0.8442, T* = 0.73, cut off at 2.5 sigma; Verlet, 2 fs; K = 64. Against OpenMM's NonbondedForce, a
CustomNonbondedForce with a table, and TorchForce where openmmtorch is installed. Lines take turns in short spells;
medians and ranges over the rounds. Small sizes come first, and the JSON is written after each.

    python benchmarks/gpu.py --platform CUDA --json out/gpu.json --plot out/gpu.png
    python benchmarks/gpu.py --platform OpenCL --sizes 500,1000 --seconds 0.1 --rounds 3

Roofline: the least time that a step can take on the device, the longer of FLOPS per pair within the cutoff over its
peak rate and BYTES per particle over its memory's bandwidth; the fraction is that time over the time that was taken.
"""

import argparse
import json
import os
import platform as machine
import subprocess
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads must not spin beside OpenMM's

import gpu_liquid as lj
import numpy as np
import openmm

import openmmgrad as og

# Peak single precision (TFLOP/s, no tensor cores) and memory (GB/s), from NVIDIA's data sheets
PEAKS = {"H100 80GB HBM3": (67.0, 3350.0), "H200": (67.0, 4800.0), "A100-SXM4-80GB": (19.5, 2039.0)}
# Per pair: difference 3, nearest image 12, r^2 5, comparison 1, r and 1/r 3, interval and t 3, cubic and slope 10,
# force 8
FLOPS = 45
# Per particle and step: positions read 16; forces cleared, added, read 3 x 24; steps read and write positions,
# velocities and displacements 6 x 16; in single precision
BYTES = 184
CALLS = ("energy", "energy and forces", "dU/dc", "Hessian-vector product", "virial")


def spread(values: list[float]) -> list[float]:
    """Median, least and greatest."""
    return [float(f(values)) for f in (np.median, np.min, np.max)]


def text(ratio: list[float]) -> str:
    """Of a spread."""
    return f"{ratio[0]:8.2f} ({ratio[1]:.2f}-{ratio[2]:.2f})"


def take_turns(lines: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each line says, in each round."""
    turns = {name: [] for name in lines}
    for _ in range(rounds):
        for name, line in lines.items():
            turns[name].append(line())
    return turns


def ratios(turns: dict[str, list[float]], base: str) -> dict[str, list[float]]:
    """Of every line to one, round by round."""
    return {name: spread(np.divide(values, turns[base])) for name, values in turns.items()}


def seconds_of(call: Callable[[], object], least: float) -> Callable[[], float]:
    """A line: seconds per call, over at least so many seconds."""

    def line() -> float:
        begin, n = perf_counter(), 0
        while n == 0 or perf_counter() - begin < least:
            call()
            n += 1
        return (perf_counter() - begin) / n

    call()
    return line


def calls_of(context: openmm.Context, n: int) -> dict[str, Callable[[], object]]:
    """What fitting asks for."""
    _, force = context.held
    lam = np.random.default_rng(1).normal(size=(n, 3))
    return dict(zip(CALLS, (
        lambda: context.getState(energy=True),
        lambda: context.getState(energy=True, forces=True),
        lambda: force.computeCoefficientDerivatives(context),
        lambda: force.computeHessianVectorProduct(context, lam),
        lambda: force.computeVirial(context)), strict=True))  # fmt: skip


def answers(context: openmm.Context, positions: np.ndarray) -> dict[str, np.ndarray]:
    """Everything that the kernels compute."""
    _, force = context.held
    context.setPositions(positions)
    state = context.getState(energy=True, forces=True)
    lam = np.random.default_rng(1).normal(size=positions.shape)
    product, parameters = force.computeHessianVectorProduct(context, lam)
    virial, trace = force.computeVirial(context)
    return {"energy": np.array(state.getPotentialEnergy()._value), "forces": state.getForces(asNumpy=True)._value,
            "dU/dc": force.computeCoefficientDerivatives(context), "Hessian-vector product": product,
            "parameter product": parameters, "virial": virial, "d(virial)/dc": trace}  # fmt: skip


def check(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Relative errors against Reference in three precisions."""
    n = options.check_size
    positions = lj.liquid(n, lj.Device(options.platform, "double", options.device), options.melt)[0]
    expected = answers(lj.Device("Reference", "", "").context(lj.learnable(n, 2), n), positions)
    errors = {}
    print(f"against Reference, N = {n}, 2 types: error over norm")
    for precision in ("single", "mixed", "double"):
        device = lj.Device(options.platform, precision, options.device)
        found = answers(device.context(lj.learnable(n, 2), n), positions)
        errors[precision] = {name: float(np.linalg.norm(np.subtract(found[name], value)) / np.linalg.norm(value))
                             for name, value in expected.items()}  # fmt: skip
        said = ", ".join(f"{name} {error:.1e}" for name, error in errors[precision].items())
        print(f"  {precision:7} {said}", flush=True)
    return errors


def gradient_lines(n: int, start: tuple, options: argparse.Namespace) -> dict[str, Callable[[], float]]:
    """A window of dynamics, and gradients of such windows by themselves and many at once, in seconds per window."""
    model = lj.model(n)
    plain = lj.Device(options.platform, options.precision, options.device).context(lj.learnable(n), n)
    where = f"{options.platform}:{options.precision}:{options.device}"
    propagator = og.Propagator(model, lj.TIMESTEP, options.steps, stride=options.steps, platform=where,
                               temperature=lj.TEMPERATURE)  # fmt: skip

    def dynamics() -> float:
        plain.setPositions(start[0])
        plain.setVelocities(start[1])
        lj.wait(plain)
        begin = perf_counter()
        plain.getIntegrator().step(options.steps)
        lj.wait(plain)
        return perf_counter() - begin

    def gradient(n_windows: int) -> float:
        initial = [np.repeat(values[None], n_windows, axis=0) for values in start]
        model.zero_grad()
        begin = perf_counter()
        path = propagator(initial=initial)
        ((path.positions[:, -1] - path.positions[:, 0]) ** 2).sum().backward()
        return (perf_counter() - begin) / n_windows

    together = [count for count in (1, options.windows) if n * count <= options.gradient_up_to]
    lines = {"dynamics": dynamics} | {f"{count} windows": partial(gradient, count) for count in together}
    for line in lines.values():
        line()
    return lines


def measure(n: int, peaks: tuple[float, float] | None, options: argparse.Namespace) -> dict:
    """One size."""
    device = lj.Device(options.platform, options.precision, options.device)
    start = lj.liquid(n, device, options.melt)
    forces = {name: build for name, build in lj.FORCES.items() if name != "TorchForce" or n <= options.torch_up_to}
    steps = {name: lj.Steps(device.context(build(n), n), *start, options.seconds) for name, build in forces.items()}
    context = steps[lj.OURS].context
    turns = take_turns(steps, options.rounds)
    faster = ratios(turns, lj.OURS)
    result = {"particles": n, "seconds_per_step": {name: spread(values) for name, values in turns.items()},
              "ours_is_faster_by": faster}  # fmt: skip
    print(f"N = {n:<9}{'steps/s':>31} {'ns/day':>10}   LearnablePairForce is faster by")
    for name, values in turns.items():
        rate = 1 / np.median(values)
        print(f"  {name:30} {rate:9.1f} {rate * lj.TIMESTEP * 86.4:10.1f}   {text(faster[name])}")
    taken = float(np.median(turns[lj.OURS]))
    result["pairs_per_second"] = n * lj.PAIRS / taken
    print(f"  {n * lj.PAIRS / taken:.3g} pairs within the cutoff per second", end="")
    if peaks is not None:
        least = {"arithmetic": n * lj.PAIRS * FLOPS / peaks[0] / 1e12, "memory": n * BYTES / peaks[1] / 1e9}
        result["roofline"] = {"seconds": least, "fraction": max(least.values()) / taken}
        print(f"; roofline {max(least, key=least.get)}, fraction {result['roofline']['fraction']:.3f}", end="")
    print(flush=True)
    context.setPositions(start[0])
    lines = {name: seconds_of(call, options.seconds / 3) for name, call in calls_of(context, n).items()}
    calls = take_turns({"step": steps[lj.OURS]} | lines, options.rounds)
    result["milliseconds"] = {name: spread(np.multiply(1e3, values)) for name, values in calls.items()}
    for base in ("step", "energy and forces"):
        result[f"over {base}"] = ratios(calls, base)
    for name in CALLS:
        print(f"  {name:30} {1e3 * np.median(calls[name]):9.3f} ms, over a step {text(result['over step'][name])}, "
              f"over energy and forces {text(result['over energy and forces'][name])}", flush=True)  # fmt: skip
    if n <= options.gradient_up_to:
        windows = take_turns(gradient_lines(n, start, options), options.rounds)
        result["gradient"] = {"steps": options.steps, "over_dynamics": ratios(windows, "dynamics"),
                              "seconds": {name: spread(values) for name, values in windows.items()}}  # fmt: skip
        for name in list(windows)[1:]:
            print(f"  gradient of {options.steps} steps, {name} at once: {np.median(windows[name]):.3f} s for each, "
                  f"over dynamics {text(result['gradient']['over_dynamics'][name])}", flush=True)  # fmt: skip
    return result


def output_of(*command: str) -> str:
    """First line that a command prints, or nothing."""
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parent).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return lines.strip().partition("\n")[0]


def conditions(options: argparse.Namespace) -> dict:
    """When, on what and with what."""
    context = lj.Device(options.platform, options.precision, options.device).context(lj.learnable(2000), 2000)
    used = context.getPlatform()
    found = used.getPropertyValue(context, "DeviceName") if "DeviceName" in used.getPropertyNames() else "processor"
    return {"benchmark": "gpu", "date": date.today().isoformat(), "platform": options.platform, "device": found,
            "driver": output_of("nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm",
                                "--format=csv,noheader"),
            "commit": options.commit or output_of("git", "describe", "--always", "--dirty", "--abbrev=12"),
            "machine": machine.machine(), "cores": os.cpu_count(), "openmm": openmm.__version__,
            "precision": options.precision, "rounds": options.rounds, "seconds": options.seconds}  # fmt: skip


def main() -> None:
    """Check, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--platform", default="CUDA")
    parser.add_argument("--precision", default="single", choices=("single", "mixed", "double"))
    parser.add_argument("--device", default="0", help="index of the device")
    parser.add_argument("--sizes", default="1000,4000,16000,64000,256000,1000000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each spell")
    parser.add_argument("--melt", type=float, default=2.0, help="ps from the lattice")
    parser.add_argument("--steps", type=int, default=200, help="of a gradient's window")
    parser.add_argument("--windows", type=int, default=16, help="swept at once, beside one by itself")
    parser.add_argument("--check-size", type=int, default=1000, help="particles for the comparison with Reference")
    parser.add_argument("--gradient-up-to", type=int, default=64000, help="particles of all windows")
    parser.add_argument("--torch-up-to", type=int, default=16000, help="particles")
    parser.add_argument("--tflops", type=float, help="peak of the device in single precision; default: if it is known")
    parser.add_argument("--gbs", type=float, help="GB/s of its memory; default: if it is known")
    parser.add_argument("--commit", default="", help="where there is no git")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    document = conditions(options)
    known = [peak for name, peak in PEAKS.items() if name in document["device"]]
    peaks = (options.tflops, options.gbs) if options.tflops and options.gbs else known[0] if known else None
    document |= {"peaks": peaks, "results": []}
    print(", ".join(str(document[key]) for key in ("date", "platform", "precision", "device", "driver", "commit")))
    document["errors"] = check(options)
    for n in (int(size) for size in options.sizes.split(",")):
        document["results"].append(measure(n, peaks, options))
        if options.json is not None:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.plot is not None:
        plot(document, options.plot)


def plot(document: dict, path: Path) -> None:
    """Steps per second, and costs over a step, by size."""
    from matplotlib.figure import Figure

    sizes = [result["particles"] for result in document["results"]]
    figure = Figure(figsize=(10, 4), layout="constrained")
    speed, cost = figure.subplots(1, 2)
    for name in lj.FORCES:
        pairs = [(r["particles"], 1 / r["seconds_per_step"][name][0]) for r in document["results"]
                 if name in r["seconds_per_step"]]  # fmt: skip
        speed.loglog(*zip(*pairs, strict=True), marker="o", label=name)
    for name in CALLS:
        cost.semilogx(sizes, [result["over step"][name][0] for result in document["results"]], marker="o", label=name)
    speed.set(xlabel="particles", ylabel="steps per second", title=f"{document['device']}, {document['precision']}")
    cost.set(xlabel="particles", ylabel="time over that of a step", ylim=(0, None))
    for axes in (speed, cost):
        axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
