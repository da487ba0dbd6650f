# SPDX-License-Identifier: MIT
"""Speed of the backends: steps per second with the same spline, and seconds until new coefficients act.

A Lennard-Jones liquid at rho* = 0.845, T* = 1, with K = 64. The backends take turns in short spells, so that
what else the machine does hits all of them; medians and quartiles over the rounds. Every spell starts from
the same positions.

    python benchmarks/backends.py --json out/backends.json
    .venv-torchforce/bin/python benchmarks/backends.py --backends native,table,pythonforce,torchforce,torchforce:exact
"""

import argparse
import copy
import json
import os
import platform
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads must not spin beside OpenMM's

import numpy as np
import openmm
import torch

import openmmgrad as og
from openmmgrad import backends

REDUCED = og.ReducedUnits(sigma=0.34, epsilon=0.996, mass=39.948)
TEMPERATURE = REDUCED.temperature(1.0)
TIMESTEP = 0.002  # ps
PACKAGES = ("openmm", "torch", "numpy", "acellera-openmmtorch-cpu")


class Runner:
    """One backend, "name" or "name:exact", in one Context."""

    def __init__(self, name: str, model: og.Model, platform_name: str, threads: int) -> None:
        self.name, self.platform = name, platform_name
        (term,) = model.terms
        c = model.coefficients(TEMPERATURE).detach().numpy().reshape(term.shape)
        start = perf_counter()
        backend, _, suffix = name.partition(":")
        self.backend = backends.build(backend, replace(term.spec, exact=suffix == "exact"), TEMPERATURE)
        self.backend.set_coefficients(c)
        self.built = perf_counter() - start
        self.model, self.coefficients, self.threads = model, c, threads
        self.context = self.new_context()

    def new_context(self) -> openmm.Context:
        """A System with the backend's force, and a Context of it."""
        self.system = copy.deepcopy(self.model.system)
        self.system.addForce(self.backend.force)
        integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 1.0, TIMESTEP)
        integrator.setRandomNumberSeed(1)
        properties = {"Threads": str(self.threads)} if self.platform == "CPU" else {}
        return openmm.Context(
            self.system, integrator, openmm.Platform.getPlatformByName(self.platform), properties
        )

    def start(self, positions: np.ndarray) -> None:
        """Positions, velocities and a neighbour list."""
        self.context.setPositions(positions)
        self.context.setVelocitiesToTemperature(TEMPERATURE, 1)
        self.context.getIntegrator().step(2)

    def steps_per_second(self, n_steps: int) -> float:
        """One spell; reading the energy waits for the last step."""
        start = perf_counter()
        self.context.getIntegrator().step(n_steps)
        self.context.getState(energy=True)
        return n_steps / (perf_counter() - start)

    def update(self, positions: np.ndarray) -> float:
        """Seconds from new coefficients to the first energy with them: in place, or by a new Context."""
        start = perf_counter()
        self.backend.set_coefficients(self.coefficients)
        if self.backend.updates_in_place:
            self.backend.update(self.context)
        else:
            self.context = self.new_context()
            self.context.setPositions(positions)
        self.context.getState(energy=True)
        return perf_counter() - start

    def forces(self, positions: np.ndarray) -> np.ndarray:
        """[N, 3], kJ/mol/nm."""
        self.context.setPositions(positions)
        return self.context.getState(forces=True).getForces(asNumpy=True)._value


def equilibrated(model: og.Model, start: np.ndarray) -> np.ndarray:
    """Positions of the liquid, [N, 3], nm."""
    ensemble = og.Ensemble(model, start, TEMPERATURE, timestep=TIMESTEP, n_frames=1, stride=500, threads=1)
    return np.asarray(ensemble.sample().positions[-1])


def measure(options: argparse.Namespace) -> dict:
    """The results of all backends, as plain values."""
    names, platform_name, threads = options.backends.split(","), options.platform, options.threads
    torch.set_num_threads(threads)
    system, topology, start = og.bead_fluid(options.particles, REDUCED.number_density(0.845), REDUCED.mass)
    model = og.Model(system, topology)
    model.add_pair_potential(og.LennardJones(REDUCED.sigma, REDUCED.epsilon, cutoff=2.5 * REDUCED.sigma))
    positions = equilibrated(model, start)
    runners = [Runner(name, model, platform_name, threads) for name in names]
    expected = Runner("native", model, "Reference", threads).forces(positions)  # in double precision
    spell = {}
    for runner in runners:
        runner.start(positions)
        spell[runner.name] = max(2, int(runner.steps_per_second(5) * options.seconds))
    speed = {name: [] for name in names}
    update = {name: [] for name in names}
    for _ in range(options.rounds):
        for runner in runners:
            update[runner.name].append(runner.update(positions))
            runner.start(positions)
            speed[runner.name].append(runner.steps_per_second(spell[runner.name]))
    first = np.median(speed[names[0]])
    results = {}
    for runner in runners:
        low, middle, high = np.percentile(speed[runner.name], [25, 50, 75])
        error = np.abs(runner.forces(positions) - expected).max() / np.abs(expected).max()
        results[runner.name] = {
            "steps_per_second": middle, "quartiles": [low, high], "ratio": middle / first,
            "build_s": runner.built, "update_s": float(np.median(update[runner.name])),
            "relative_force_error": error,
        }  # fmt: skip
    return results


def versions() -> dict[str, str]:
    """Of the packages that are installed."""
    installed = {d.name.lower(): d.version for d in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}


def main() -> None:
    """Measure, print a table, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backends", default="native,table,pythonforce",
                        help=f"of {', '.join(backends.NAMES)}; the last two also with :exact")  # fmt: skip
    parser.add_argument("-n", "--particles", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each spell")
    parser.add_argument("--platform", default="CPU")
    parser.add_argument("--threads", type=int, default=1, help="of OpenMM's CPU platform and of torch")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = measure(options)
    print(f"{'backend':17} {'steps/s':>9} {'quartiles':>17} {'ratio':>7} {'update':>10} {'force error':>12}")
    for name, row in results.items():
        low, high = row["quartiles"]
        print(f"{name:17} {row['steps_per_second']:9.1f} {low:8.1f}-{high:8.1f} {row['ratio']:7.4f} "
              f"{1e3 * row['update_s']:7.1f} ms {row['relative_force_error']:12.1e}")  # fmt: skip
    if options.json is not None:
        facts = {"particles": options.particles, "rounds": options.rounds, "seconds": options.seconds,
                 "platform": options.platform, "threads": options.threads, "machine": platform.machine(),
                 "cores": os.cpu_count(), "python": platform.python_version(), "packages": versions()}  # fmt: skip
        options.json.parent.mkdir(parents=True, exist_ok=True)
        document = {"benchmark": "backends", **facts, "results": results}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
