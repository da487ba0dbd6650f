# SPDX-License-Identifier: MIT
"""What one update from an infrared spectrum costs: value and gradient of 20 windows of 0.4 ps, both terms.

64 flexible SPC/Fw waters with PME, steps of 0.5 fs, one charge parameter (or three parameters), windows two at a time.
Lines take turns: plain steps of the same windows; the spectrum with the gradient of its chi^2 by the adjoint sweep; and
its whole Jacobian for Gauss-Newton by differences of windows. Ratios to plain steps of the same round, in wall time
and in CPU time; medians and ranges.

    python benchmarks/spectrum.py --json out/spectrum.json
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from time import perf_counter, process_time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads must not spin beside OpenMM's

import numpy as np
import openmm

import openmmgrad as og
from openmmgrad.fitting.optimizer import loss
from openmmgrad.fitting.path_response import path_responses
from openmmgrad.fitting.problem import Problem
from openmmgrad.fitting.sample import Sample

TIMESTEP, TEMPERATURE, WORKERS = 0.0005, 298.15, 2


def sampled(names: tuple[str, ...], args):
    """An Ensemble of water that learns some parameters, its frames, and the IR target of these frames."""
    system, topology, positions = og.flexible_water(args.molecules, cutoff=args.cutoff, ewald_tolerance=args.tolerance)
    model = og.Model(system, topology)
    model.add_parameters({name: og.waters.SPC_FW[name] for name in names})
    ensemble = og.Ensemble(model, positions, TEMPERATURE, timestep=0.001, n_frames=args.windows, stride=100,
                           equilibration=args.equilibration, threads=1)
    ir = og.IRSpectrum(og.PointCharges.of(model), np.arange(0.0, 4001.0, 10.0), max_lag=0.5 * args.steps * TIMESTEP)
    target = og.Target(ir, ensemble, np.full(401, 1000.0), 100.0, propagate={
        "timestep": TIMESTEP, "n_steps": args.steps, "observe": ir.observe, "threads": 1, "workers": WORKERS})
    return ensemble, ensemble.sample(), target


def plain_steps(ensemble, frames, args) -> Callable[[], None]:
    """The windows by OpenMM alone, two at a time."""
    contexts = []
    for _ in range(WORKERS):
        contexts.append(openmm.Context(ensemble.model.create_system(TEMPERATURE), openmm.VerletIntegrator(TIMESTEP),
                                       openmm.Platform.getPlatformByName("CPU"), {"Threads": "1"}))

    def windows(k: int) -> None:
        for s in range(k, len(frames), WORKERS):
            contexts[k].setPositions(frames.positions[s])
            contexts[k].setVelocities(frames.velocities[s])
            contexts[k].getIntegrator().step(args.steps)

    def run() -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(windows, range(WORKERS)))
    return run


def lines(args) -> dict[str, Callable[[], object]]:
    ensemble, frames, target = sampled(("q_H",), args)
    found = {"plain": plain_steps(ensemble, frames, args)}
    for label, names in (("one charge", ("q_H",)), ("charge, bond and angle", ("q_H", "k_OH", "k_HOH"))):
        ensemble, frames, target = sampled(names, args)
        problem = Problem([target])

        def gradient(problem=problem, ensemble=ensemble, frames=frames):
            loss(problem, {ensemble: Sample(ensemble, [frames[:]])}).backward()  # new frames: nothing is remembered

        def jacobian(problem=problem, ensemble=ensemble, frames=frames, target=target):
            path_responses(problem, problem.windows[target], [target], Sample(ensemble, [frames[:]]))

        found |= {f"gradient, {label}": gradient, f"Jacobian, {label}": jacobian}
    return found


def main(argv=None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=int, default=64)
    parser.add_argument("--cutoff", type=float, default=0.6)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of Ewald sums")
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--equilibration", type=int, default=3000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    work = lines(args)
    wall, cpu = ({name: [] for name in work} for _ in range(2))
    for _ in range(args.rounds):
        for name, run in work.items():
            began, busy = perf_counter(), process_time()
            run()
            wall[name].append(perf_counter() - began)
            cpu[name].append(process_time() - busy)
    result = {"lines": {}, "molecules": args.molecules, "windows": args.windows, "steps": args.steps,
              "tolerance": args.tolerance, "rounds": args.rounds, "date": date.today().isoformat(),
              "machine": platform.processor() or platform.machine(), "cores": os.cpu_count(),
              "openmm": openmm.__version__}
    print(f"{'':38s} {'seconds':>9s} {'wall ratio':>22s} {'CPU ratio':>22s}")
    for name in work:
        ratios = [np.array(times[name]) / np.array(times["plain"]) for times in (wall, cpu)]
        result["lines"][name] = {"seconds": wall[name], "cpu_seconds": cpu[name], "ratio": ratios[0].tolist(),
                                 "cpu_ratio": ratios[1].tolist()}
        text = [f"{np.median(r):.2f} ({r.min():.2f}-{r.max():.2f})" for r in ratios]
        print(f"{name:38s} {np.median(wall[name]):9.1f} {text[0]:>22s} {text[1]:>22s}", flush=True)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result) + "\n")
    return result


if __name__ == "__main__":
    main()
