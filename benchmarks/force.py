# SPDX-License-Identifier: MIT
"""Speed of LearnablePairForce on the CPU platform, beside what OpenMM offers for the same Lennard-Jones liquid.

Argon at rho* = 0.8442, T* = 0.73, cut off at 2.5 sigma; Verlet, 2 fs. Steps per second of dynamics, and
milliseconds per call of what fitting needs. The forces take turns in short spells from the same positions, so that
what else the machine does hits all of them; medians over the rounds.

    python benchmarks/force.py --json out/force.json
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads must not spin beside OpenMM's

import numpy as np
import openmm

import openmmgrad as og

REDUCED = og.ReducedUnits(sigma=0.3405, epsilon=0.99607, mass=39.948)
SIGMA, EPSILON, CUTOFF = REDUCED.sigma, REDUCED.epsilon, 2.5 * REDUCED.sigma
TEMPERATURE = REDUCED.temperature(0.73)


def nonbonded(n: int) -> openmm.Force:
    """OpenMM's own Lennard-Jones."""
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    force.setUseDispersionCorrection(False)
    for _ in range(n):
        force.addParticle(0, SIGMA, EPSILON)
    return force


def custom(n: int, expression: str) -> openmm.CustomNonbondedForce:
    """A CustomNonbondedForce of one type."""
    force = openmm.CustomNonbondedForce(expression)
    force.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    for _ in range(n):
        force.addParticle([])
    return force


def expression(n: int) -> openmm.Force:
    """Lennard-Jones as text."""
    return custom(n, f"4*{EPSILON}*(x*x-x); x=({SIGMA}/r)^6")


def table(n: int) -> openmm.Force:
    """Lennard-Jones as a tabulated function of 1000 points."""
    r = np.linspace(0.6 * SIGMA, CUTOFF, 1000)
    u = 4 * EPSILON * ((SIGMA / r) ** 12 - (SIGMA / r) ** 6)
    force = custom(n, "u(r)")
    force.addTabulatedFunction("u", openmm.Continuous1DFunction(u, r[0], r[-1]))
    return force


def learnable(n: int, n_types: int = 1) -> openmm.Force:
    """Our spline with K = 64, the same for all pairs of types."""
    potential = og.LennardJones(SIGMA, EPSILON, cutoff=CUTOFF)
    (c,) = potential.coefficients([("A", "A")], TEMPERATURE).detach().numpy()
    force = og.LearnablePairForce(n_types, CUTOFF, len(c))
    force.setNonbondedMethod(og.LearnablePairForce.CutoffPeriodic)
    for a in range(n_types):
        for b in range(a, n_types):
            force.setCoefficients(a, b, c)
    force.addParticles(np.arange(n) % n_types)
    return force


FORCES: dict[str, Callable[[int], openmm.Force]] = {
    "NonbondedForce": nonbonded,
    "CustomNonbondedForce, expression": expression,
    "CustomNonbondedForce, table": table,
    "LearnablePairForce, 1 type": learnable,
    "LearnablePairForce, 2 types": lambda n: learnable(n, 2),
}


def make_context(force: openmm.Force, n: int, threads: int) -> openmm.Context:
    """A liquid of n atoms with one force, on a lattice."""
    system, _, positions = og.bead_fluid(n, REDUCED.number_density(0.8442), REDUCED.mass)
    if not isinstance(force, og.LearnablePairForce):
        force.setCutoffDistance(CUTOFF)
    system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.002), openmm.Platform.getPlatformByName("CPU"),
                             {"Threads": str(threads)})  # fmt: skip
    context.setPositions(positions)
    return context


def liquid(n: int, threads: int) -> np.ndarray:
    """Positions after 4 ps from a lattice, [N, 3], nm."""
    context = make_context(nonbonded(n), n, threads)
    context.setVelocitiesToTemperature(2 * TEMPERATURE, 1)  # half of it goes into melting
    context.getIntegrator().step(2000)
    return context.getState(positions=True).getPositions(asNumpy=True)._value


def start(context: openmm.Context, positions: np.ndarray) -> None:
    """Positions, velocities and lists of neighbours."""
    context.setPositions(positions)
    context.setVelocitiesToTemperature(TEMPERATURE, 1)
    context.getIntegrator().step(2)


def steps_per_second(context: openmm.Context, positions: np.ndarray, n_steps: int) -> float:
    """One spell."""
    start(context, positions)
    begin = perf_counter()
    context.getIntegrator().step(n_steps)
    return n_steps / (perf_counter() - begin)


def milliseconds(call: Callable[[], object], rounds: int) -> float:
    """Median over calls, after one."""
    call()
    times = []
    for _ in range(rounds):
        begin = perf_counter()
        call()
        times.append(perf_counter() - begin)
    return 1e3 * float(np.median(times))


def calls(context: openmm.Context, rounds: int) -> dict[str, float]:
    """What fitting needs, in ms per call."""
    force = og.LearnablePairForce.cast(context.getSystem().getForce(0))
    lam = np.random.default_rng(1).normal(size=(force.getNumParticles(), 3))
    return {
        "forces": milliseconds(lambda: context.getState(forces=True), rounds),
        "energy and forces": milliseconds(lambda: context.getState(energy=True, forces=True), rounds),
        "coefficient derivatives": milliseconds(lambda: force.computeCoefficientDerivatives(context), rounds),
        "Hessian-vector product": milliseconds(lambda: force.computeHessianVectorProduct(context, lam), rounds),
        "virial": milliseconds(lambda: force.computeVirial(context), rounds),
    }


def measure(n: int, options: argparse.Namespace) -> dict:
    """All forces at one size."""
    positions = liquid(n, options.threads)
    contexts = {name: make_context(build(n), n, options.threads) for name, build in FORCES.items()}
    spells = {}
    for name, context in contexts.items():
        spells[name] = max(10, int(options.seconds * steps_per_second(context, positions, 100)))
    speeds = {name: [] for name in contexts}
    for _ in range(options.rounds):
        for name, context in contexts.items():
            speeds[name].append(steps_per_second(context, positions, spells[name]))
    medians = {name: float(np.median(values)) for name, values in speeds.items()}
    ours = medians["LearnablePairForce, 1 type"]
    print(f"N = {n:<6}{'steps/s':>42} {'quartiles':>19}   LearnablePairForce is faster by")
    for name, values in speeds.items():
        low, high = np.percentile(values, [25, 75])
        print(f"  {name:33} {medians[name]:14.0f} {low:9.0f}-{high:<9.0f} {ours / medians[name]:10.2f}")
    times = calls(contexts["LearnablePairForce, 1 type"], 3 * options.rounds)
    print("  ms per call: " + ", ".join(f"{name} {value:.3f}" for name, value in times.items()))
    return {"particles": n, "steps_per_second": medians, "milliseconds": times}


def main() -> None:
    """Measure, print a table, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", default="500,1000,4000")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each spell")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = [measure(int(n), options) for n in options.sizes.split(",")]
    if options.json is not None:
        document = {"benchmark": "force", "threads": options.threads, "rounds": options.rounds,
                    "seconds": options.seconds, "machine": platform.machine(), "cores": os.cpu_count(),
                    "openmm": openmm.__version__, "results": results}  # fmt: skip
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
