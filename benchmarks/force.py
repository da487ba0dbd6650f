# SPDX-License-Identifier: MIT
"""Speed of LearnablePairForce on the CPU platform, beside what OpenMM offers for the same Lennard-Jones liquid.

Argon at rho* = 0.8442, T* = 0.73, cut off at 2.5 sigma; Verlet, 2 fs. Time per step of dynamics, its growth with N, and
milliseconds per call of what fitting needs, by number of types. The forces take turns in short spells from the
same positions, so that what else the machine does hits all of them: ratios are of the same round, their median and
range. CPU time (of all threads) feels other jobs less than wall time does.

    python benchmarks/force.py --json out/force.json --plot out/force.png
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from datetime import date
from pathlib import Path
from time import perf_counter, process_time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads must not spin beside OpenMM's

import numpy as np
import openmm

import openmmgrad as og

REDUCED = og.ReducedUnits(sigma=0.3405, epsilon=0.99607, mass=39.948)
SIGMA, EPSILON, CUTOFF = REDUCED.sigma, REDUCED.epsilon, 2.5 * REDUCED.sigma
TEMPERATURE = REDUCED.temperature(0.73)
OURS = "LearnablePairForce, 1 type"
SLOW = 16000  # particles; beyond, CustomNonbondedForce is left out


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


def learnable(n: int, n_types: int = 1, double: bool = False) -> openmm.Force:
    """Our spline with K = 64, the same for all pairs of types."""
    potential = og.LennardJones(SIGMA, EPSILON, cutoff=CUTOFF)
    (c,) = potential.coefficients([("A", "A")], TEMPERATURE).detach().numpy()
    force = og.LearnablePairForce(n_types, CUTOFF, len(c))
    force.setNonbondedMethod(og.LearnablePairForce.CutoffPeriodic)
    force.setUseDoublePrecision(double)
    for a in range(n_types):
        for b in range(a, n_types):
            force.setCoefficients(a, b, c)
    force.addParticles(np.arange(n) % n_types)
    return force


FORCES: dict[str, Callable[[int], openmm.Force]] = {
    "NonbondedForce": nonbonded,
    "CustomNonbondedForce, expression": expression,
    "CustomNonbondedForce, table": table,
    OURS: learnable,
    "LearnablePairForce, 2 types": lambda n: learnable(n, 2),
    "LearnablePairForce, 4 types": lambda n: learnable(n, 4),
    "LearnablePairForce, double precision": lambda n: learnable(n, double=True),
}


def make_context(force: openmm.Force | None, n: int, threads: int, timestep: float = 0.002) -> openmm.Context:
    """A liquid of n atoms with one force, or with none."""
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*np.eye(3) * (n / REDUCED.number_density(0.8442)) ** (1 / 3))
    for _ in range(n):
        system.addParticle(REDUCED.mass)
    if force is not None:
        if not isinstance(force, og.LearnablePairForce):
            force.setCutoffDistance(CUTOFF)
        system.addForce(force)
    return openmm.Context(system, openmm.VerletIntegrator(timestep), openmm.Platform.getPlatformByName("CPU"),
                          {"Threads": str(threads)})  # fmt: skip


def liquid(n: int, threads: int) -> np.ndarray:
    """Positions after 4 ps from a lattice, [N, 3], nm; a large liquid is made of copies of a small one."""
    copies = next(m for m in range(1, n) if n % m**3 == 0 and n // m**3 <= 4000)
    small = n // copies**3
    _, topology, positions = og.bead_fluid(small, REDUCED.number_density(0.8442), REDUCED.mass)
    context = make_context(learnable(small), small, threads)
    context.setPositions(positions)
    context.setVelocitiesToTemperature(2 * TEMPERATURE, 1)  # half of it goes into melting
    context.getIntegrator().step(2000)
    x = context.getState(positions=True).getPositions(asNumpy=True)._value
    length = topology.getPeriodicBoxVectors()[0][0]._value
    shifts = np.stack(np.meshgrid(*3 * [np.arange(copies)], indexing="ij"), -1).reshape(-1, 1, 3) * length
    return (x % length + shifts).reshape(-1, 3)


def start(context: openmm.Context, positions: np.ndarray) -> None:
    """Positions, velocities and lists of neighbours."""
    context.setPositions(positions)
    context.setVelocitiesToTemperature(TEMPERATURE, 1)
    context.getIntegrator().step(2)


def time_steps(context: openmm.Context, positions: np.ndarray, n_steps: int) -> tuple[float, float]:
    """One spell: seconds per step, of wall and of CPU time."""
    start(context, positions)
    wall, cpu = perf_counter(), process_time()
    context.getIntegrator().step(n_steps)
    return (perf_counter() - wall) / n_steps, (process_time() - cpu) / n_steps


def take_turns(contexts: dict[str, openmm.Context], positions: np.ndarray, rounds: int, seconds: float) -> dict:
    """Seconds per step, {name: [rounds, 2]}."""
    spells = {name: max(40, int(seconds / time_steps(context, positions, 10)[0])) for name, context in contexts.items()}
    times = {name: [] for name in contexts}
    for _ in range(rounds):
        for name, context in contexts.items():
            times[name].append(time_steps(context, positions, spells[name]))
    return {name: np.array(values) for name, values in times.items()}


def ratio(values: np.ndarray) -> dict[str, float]:
    """Median and range of ratios of rounds."""
    return {"median": float(np.median(values)), "low": float(values.min()), "high": float(values.max())}


def calls_of(context: openmm.Context) -> dict[str, Callable[[], object]]:
    """What fitting needs."""
    force = og.LearnablePairForce.cast(context.getSystem().getForce(0))
    lam = np.random.default_rng(1).normal(size=(force.getNumParticles(), 3))
    return {
        "forces": lambda: context.getState(forces=True),
        "energy and forces": lambda: context.getState(energy=True, forces=True),
        "coefficient derivatives": lambda: force.computeCoefficientDerivatives(context),
        "Hessian-vector product, double": lambda: force.computeHessianVectorProduct(context, lam),
        "Hessian-vector product, single": lambda: force.computeHessianVectorProduct(context, lam, True),
        "virial": lambda: force.computeVirial(context),
    }


def time_calls(context: openmm.Context, positions: np.ndarray, rounds: int) -> dict[str, np.ndarray]:
    """Seconds per call, of wall and of CPU time, in turns: {name: [rounds, 2]}."""
    start(context, positions)
    calls = calls_of(context)
    times = {name: [] for name in calls}
    repeats = max(1, 20000 // len(positions))
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            wall, cpu = perf_counter(), process_time()
            for _ in range(repeats):
                call()
            times[name].append(((perf_counter() - wall) / repeats, (process_time() - cpu) / repeats))
    return {name: np.array(values) for name, values in times.items()}


def measure(n: int, options: argparse.Namespace) -> dict:
    """All forces at one size."""
    positions = liquid(n, options.threads)
    contexts = {name: make_context(build(n), n, options.threads) for name, build in FORCES.items()
                if n <= SLOW or not name.startswith("Custom")}  # fmt: skip
    times = take_turns(contexts, positions, options.rounds, options.seconds)
    result = {"particles": n, "steps": {}, "calls": {}}
    print(f"N = {n:<8}{'ms per step':>40} {'CPU ms':>9}   speed over NonbondedForce: wall (range), CPU")
    for name, values in times.items():
        over = [ratio(times["NonbondedForce"][:, kind] / values[:, kind]) for kind in (0, 1)]
        medians = 1e3 * np.median(values, 0)
        print(f"  {name:38} {medians[0]:9.3f} {medians[1]:9.3f} {over[0]['median']:8.2f} ({over[0]['low']:.2f}-"
              f"{over[0]['high']:.2f}) {over[1]['median']:7.2f}")  # fmt: skip
        result["steps"][name] = {"milliseconds": medians[0], "cpu_milliseconds": medians[1],
                                 "over_nonbonded": over[0], "over_nonbonded_cpu": over[1]}  # fmt: skip
    if "CustomNonbondedForce, table" in times:
        result["over_table"] = ratio(times["CustomNonbondedForce, table"][:, 0] / times[OURS][:, 0])
        print("  over the table: {median:.1f} ({low:.1f}-{high:.1f})".format(**result["over_table"]))
    for n_types in (1, 4):
        name = OURS if n_types == 1 else f"LearnablePairForce, {n_types} types"
        spells = time_calls(contexts[name], positions, 2 * options.rounds)
        result["calls"][n_types] = {
            name: {"milliseconds": 1e3 * float(np.median(values[:, 0])),
                   "over_forces": ratio(values[:, 0] / spells["forces"][:, 0]),
                   "over_forces_cpu": ratio(values[:, 1] / spells["forces"][:, 1]),
                   "over_double_forces": ratio(values[:, 0] / spells["energy and forces"][:, 0])}
            for name, values in spells.items()
        }  # fmt: skip
        print(f"  ms per call, {n_types} type(s), and over forces, wall and CPU:")
        for name, call in result["calls"][n_types].items():
            print(f"    {name:26} {call['milliseconds']:9.3f} {call['over_forces']['median']:6.2f} "
                  f"{call['over_forces_cpu']['median']:6.2f}")  # fmt: skip
    return result


def fit_line(results: list[dict], kind: str) -> dict | None:
    """Time per step of our force against N from 4000 on: least squares of relative deviations."""
    points = np.array([(r["particles"], r["steps"][OURS][kind]) for r in results if r["particles"] >= 4000])
    if len(points) < 3:
        return None
    n, t = points.T
    terms = np.stack([n, np.ones_like(n)], 1) / t[:, None]
    (slope, intercept), *_ = np.linalg.lstsq(terms, np.ones_like(n), rcond=None)
    return {"microseconds_per_particle": 1e3 * slope, "intercept_milliseconds": intercept,
            "largest_deviation": float(np.abs((slope * n + intercept) / t - 1).max())}  # fmt: skip


def plot(results: list[dict], path: Path) -> None:
    """Time per step against N, and ratios."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    for name in FORCES:
        points = [(r["particles"], r["steps"][name]) for r in results if name in r["steps"]]
        n = [p[0] for p in points]
        axes[0].loglog(n, [p[1]["milliseconds"] for p in points], "o-", ms=4, label=name)
        over = [p[1]["over_nonbonded"] for p in points]
        axes[1].semilogx(n, [o["median"] for o in over], "o-", ms=4)
        axes[1].fill_between(n, [o["low"] for o in over], [o["high"] for o in over], alpha=0.2)
    axes[0].set(xlabel="N", ylabel="ms per step")
    axes[0].legend(fontsize=7)
    axes[1].set(xlabel="N", ylabel="speed over NonbondedForce")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure, print a table, write JSON and a plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", default="1000,4000,16000,64000,256000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each spell")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    results = [measure(int(n), options) for n in options.sizes.split(",")]
    lines = {kind: fit_line(results, kind) for kind in ("milliseconds", "cpu_milliseconds")}
    for kind, line in lines.items():
        if line is not None:
            print("{} per step, N >= 4000: {intercept_milliseconds:.3f} ms + {microseconds_per_particle:.4f} us N, "
                  "largest deviation {largest_deviation:.1%}".format(kind, **line))  # fmt: skip
    if options.json is not None:
        document = {"benchmark": "force", "date": date.today().isoformat(), "threads": options.threads,
                    "rounds": options.rounds, "seconds": options.seconds, "machine": platform.machine(),
                    "cores": os.cpu_count(), "openmm": openmm.__version__, "results": results,
                    "lines": lines}  # fmt: skip
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    if options.plot is not None:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
