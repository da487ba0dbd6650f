# SPDX-License-Identifier: MIT
"""Speed and accuracy of the backends on liquid argon: Verlet steps/s, and errors against native on Reference.

    python tools/backend_speed.py --backends native table pythonforce --n 500 --json out/backends.json
    .venv-torchforce/bin/python tools/backend_speed.py --backends native torchforce

Rounds are interleaved and their median is reported: ratios are to be trusted more than absolute numbers.
"""

import argparse
import json
import time

import numpy as np
import openmm

import openmmgrad as og


def liquid(n: int, n_types: int):
    """Argon at rho* = 0.8442 on a jittered lattice: (positions [N, 3], box edge), nm, and types [N]."""
    sigma = 0.34
    edge = (n / (0.8442 / sigma**3)) ** (1 / 3)
    side = int(np.ceil(n ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)[:n]
    jitter = np.random.default_rng(0).normal(scale=0.02, size=(n, 3))
    return (lattice + 0.5) * edge / side + jitter, edge, [f"T{i % n_types}" for i in range(n)]


def context_of(
    backend: str, exact: bool, platform: str, threads: int, n: int, n_types: int
) -> openmm.Context:
    """A Context of the liquid with one learnable force."""
    positions, edge, types = liquid(n, n_types)
    system = openmm.System()
    for _ in range(n):
        system.addParticle(39.948)
    system.setDefaultPeriodicBoxVectors([edge, 0, 0], [0, edge, 0], [0, 0, edge])
    model = og.Model(system)
    potential = og.LennardJones(sigma=0.34, epsilon=0.997, cutoff=0.85)
    model.add_pair_potential(potential, types=types, backend=backend, exact=exact)
    built = model.create_system(temperature=120.0)
    properties = {"Threads": str(threads)} if platform == "CPU" else {}
    context = openmm.Context(
        built, openmm.VerletIntegrator(0.002), openmm.Platform.getPlatformByName(platform), properties
    )
    context.setPositions(positions)
    context.setVelocitiesToTemperature(100, 1)
    return context


def steps_per_second(context: openmm.Context, seconds: float) -> float:
    """Steps of a timed round; the last forces are waited for."""
    integrator, steps, start = context.getIntegrator(), 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        integrator.step(10)
        context.getState(positions=True)
        steps += 10
    return steps / (time.perf_counter() - start)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backends", nargs="+", default=["native", "table", "pythonforce"])
    parser.add_argument("--platforms", nargs="+", default=["CPU", "Reference"])
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--types", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    options = parser.parse_args()
    names = [(name, False) for name in options.backends]
    names += [(name, True) for name in options.backends if name in ("pythonforce", "torchforce")]
    arguments = (options.threads, options.n, options.types)
    reference = context_of("native", False, "Reference", *arguments).getState(energy=True, forces=True)
    energy, forces = reference.getPotentialEnergy()._value, reference.getForces(asNumpy=True)._value
    rows = []
    for platform in options.platforms:
        contexts = {name: context_of(*name, platform, *arguments) for name in names}
        errors = {}
        for name, context in contexts.items():
            state = context.getState(energy=True, forces=True)
            du = abs(state.getPotentialEnergy()._value / energy - 1)
            errors[name] = (
                du,
                np.abs(state.getForces(asNumpy=True)._value - forces).max() / np.abs(forces).max(),
            )
            context.getIntegrator().step(20)
        rounds = [[steps_per_second(c, 0.5) for c in contexts.values()] for _ in range(options.rounds)]
        for (name, exact), speed in zip(names, np.median(rounds, axis=0), strict=True):
            row = dict(platform=platform, backend=name, exact=exact, n=options.n, types=options.types,
                       threads=options.threads, steps_per_second=round(float(speed), 1),
                       energy_error=errors[name, exact][0], force_error=errors[name, exact][1])  # fmt: skip
            rows.append(row)
            print(f"{platform:10s} {name + (' exact' if exact else ''):18s} {speed:9.1f} steps/s   "
                  f"energy {row['energy_error']:.1e}  force {row['force_error']:.1e}")  # fmt: skip
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
