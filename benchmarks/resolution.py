# SPDX-License-Identifier: MIT
"""How many coefficients a spline needs: its errors against the potential it stands for, and its speed.

500 particles at the density of liquid argon and kT = 1 kJ/mol, sampled with 1024 coefficients for each potential.
On its frames, so weighted by its own g(r), the spline of K coefficients is compared in double precision with the
truncated potential itself:

- force: rms of the error of a particle's force over the rms force; worst: the largest |du| where u <= 10 kT, in kT
- energy: of all particles, mean of U_spline - U per particle and its standard deviation over frames, in kT. The former
  is a constant; the latter is what reweighting to the true potential pays for, n_eff / n about exp(-variance)
- pressure: error of the virial pressure over rho kT (1 here is 353 bar)

and per potential, too: milliseconds of one projection with its gradient. Speed is that of liquid argon by CPU time of
all threads: dynamics, dU/dc, Hessian-vector product, in rounds in which all K take turns. Noise is that of Gauss-Newton
before any smoothness: kT over the root of the pairs that the spline at the first peak counts in 400 frames.

    python benchmarks/resolution.py --json out/resolution.json --plot out/resolution.png
"""

import argparse
import json
import os
from pathlib import Path
from time import perf_counter, process_time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads must not spin beside OpenMM's

import force as argon
import numpy as np
import openmm
import torch
from gradient_liquids import cpu_context
from gradient_turns import facts, spread

import openmmgrad as og
from openmmgrad.units import KB

SIGMA, EPSILON, CUTOFF, MASS = argon.SIGMA, argon.EPSILON, argon.CUTOFF, argon.REDUCED.mass
TEMPERATURE, DENSITY, N = 1 / KB, argon.REDUCED.number_density(0.8442), 500
FINEST = 1024
MINIMUM = 2 ** (1 / 6) * SIGMA


class WCA(og.PairPotential):
    """Repulsive Lennard-Jones to its minimum: u'' jumps there."""

    pair_dependent = temperature_dependent = False

    def energy(self, r: torch.Tensor, pair=None, temperature=None) -> torch.Tensor:
        """[R] in nm to [R] in kJ/mol."""
        x = (SIGMA / r) ** 6
        return torch.where(r < MINIMUM, 4 * EPSILON * x * (x - 1) + EPSILON, 0.0)


def network(cutoff: float, n_coefficients: int) -> og.PairPotential:
    """A network as rough as its features allow, about 1 kJ/mol large, on a Lennard-Jones prior."""
    prior = og.LennardJones(SIGMA, EPSILON, cutoff, truncation="shift-force").requires_grad_(False)
    potential = og.MLPPotential(cutoff, n_coefficients, width=32, layers=2, prior=prior, seed=1)
    with torch.no_grad():
        potential.network[-1].weight.mul_(60)
    return potential


def lennard_jones(cutoff: float, n_coefficients: int, truncation: str = "shift-force") -> og.PairPotential:
    """Argon."""
    return og.LennardJones(SIGMA, EPSILON, cutoff, n_coefficients=n_coefficients, truncation=truncation)


def exp6() -> tuple[float, float, float]:
    """A, B, C of Buckingham with the depth and minimum of argon, steepness 16."""
    steep = 16
    return (EPSILON * 6 / (steep - 6) * np.exp(steep), steep / MINIMUM, EPSILON * steep / (steep - 6) * MINIMUM**6)


def smooth(kind: type, *parameters: float):
    """A class of potentials with its force shifted to zero at the cutoff."""
    return lambda cutoff, k: kind(*parameters, cutoff, n_coefficients=k, truncation="shift-force")


POTENTIALS = {  # name -> (cutoff, n_coefficients) -> potential
    "Lennard-Jones": lennard_jones,
    "Lennard-Jones, shift": lambda cutoff, k: lennard_jones(cutoff, k, "shift"),
    "Morse": smooth(og.Morse, EPSILON, 6 / MINIMUM, MINIMUM),
    "Buckingham": smooth(og.Buckingham, *exp6()),
    "soft sphere": smooth(og.SoftSphere, EPSILON, SIGMA),
    "WCA": lambda cutoff, k: WCA(cutoff, n_coefficients=k, truncation="none"),
    "network": network,
}
CASES = [*((name, cutoff) for name in POTENTIALS for cutoff in (CUTOFF, 1.2)), ("WCA", MINIMUM)]


def sample(potential: og.PairPotential, n_frames: int) -> tuple[np.ndarray, float]:
    """Frames [S, N, 3], nm, and the edge of their box."""
    system, topology, positions = og.bead_fluid(N, DENSITY, MASS)
    model = og.Model(system, topology)
    model.add_pair_potential(potential)
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 2.0, 0.002)
    integrator.setRandomNumberSeed(1)
    context = cpu_context(model.create_system(TEMPERATURE), integrator, 1)
    context.setPositions(positions)
    context.setVelocitiesToTemperature(TEMPERATURE, 1)
    integrator.step(2000)
    frames = []
    for _ in range(n_frames):
        integrator.step(100)
        frames.append(context.getState(positions=True).getPositions(asNumpy=True)._value.copy())
    return np.array(frames), system.getDefaultPeriodicBoxVectors()[0][0]._value


class Pairs:
    """All pairs of frames within a cutoff: distances r [P], directions [P, 3], rows of their two particles."""

    def __init__(self, frames: np.ndarray, length: float, cutoff: float) -> None:
        i, j = np.triu_indices(N, 1)
        r, directions, self.first, self.second, self.frame = [], [], [], [], []
        for s, x in enumerate(frames):
            d = x[i] - x[j]
            d -= length * np.round(d / length)
            distance = np.sqrt((d * d).sum(1))
            near = distance < cutoff
            r.append(distance[near])
            directions.append(d[near] / distance[near, None])
            self.first.append(i[near] + N * s)
            self.second.append(j[near] + N * s)
            self.frame.append(np.full(near.sum(), s))
        self.r = torch.from_numpy(np.concatenate(r))
        self.directions = np.concatenate(directions)
        self.first, self.second, self.frame = map(np.concatenate, (self.first, self.second, self.frame))
        self.n_frames, self.volume = len(frames), length**3

    def sum_forces(self, slope: np.ndarray) -> np.ndarray:
        """[S N, 3] from u' [P]."""
        pull = -slope[:, None] * self.directions
        total = np.zeros((self.n_frames * N, 3))
        for axis in range(3):
            total[:, axis] += np.bincount(self.first, pull[:, axis], len(total))
            total[:, axis] -= np.bincount(self.second, pull[:, axis], len(total))
        return total

    def per_frame(self, values: np.ndarray) -> np.ndarray:
        """[S] sums of [P]."""
        return np.bincount(self.frame, values, self.n_frames)


def measure_errors(name: str, cutoff: float, options: argparse.Namespace) -> list[dict]:
    """One potential with one cutoff, all K."""
    build = POTENTIALS[name]
    pairs = Pairs(*sample(build(cutoff, FINEST), options.frames), cutoff)
    r = pairs.r.clone().requires_grad_()
    energy = build(cutoff, 64).truncated_energy(r, None, TEMPERATURE)
    (slope,) = torch.autograd.grad(energy.sum(), r)
    exact_forces = pairs.sum_forces(slope.numpy())
    rms_force = np.sqrt((exact_forces**2).mean())
    rows = []
    print(f"{name}, cutoff {cutoff / SIGMA:.2f} sigma, {len(r) / options.frames:.0f} pairs per frame")
    for k in options.coefficients:
        potential = build(cutoff, k)
        begin = process_time()
        c = potential.coefficients([None], TEMPERATURE)[0]
        if c.requires_grad:
            c.sum().backward()
        projection = process_time() - begin
        c = c.detach()
        with torch.no_grad():
            du = (potential.grid.evaluate(c, pairs.r) - energy).numpy()
            ds = (potential.grid.evaluate(c, pairs.r, 1) - slope).numpy()
        total = pairs.per_frame(du)  # kT = 1 kJ/mol
        worst = potential.projection_error([None], TEMPERATURE)
        row = {"potential": name, "cutoff": cutoff, "k": k, "width_over_sigma": potential.grid.width / SIGMA,
               "force": float(np.sqrt((pairs.sum_forces(ds) ** 2).mean()) / rms_force),
               "worst_energy": worst.energy, "worst_force": worst.force,
               "energy_mean": float(total.mean() / N), "energy_std": float(total.std()),
               "pressure": float(-pairs.per_frame(pairs.r.numpy() * ds).mean() / (3 * N)),
               "projection_ms": 1e3 * projection}  # fmt: skip
        rows.append(row)
        print(f"  K {k:5}  force {row['force']:.1e}  worst du {row['worst_energy']:.1e} kT  energy per particle "
              f"{row['energy_mean']:+.1e}, std {row['energy_std']:.1e} kT  pressure {row['pressure']:+.1e} rho kT  "
              f"projection {row['projection_ms']:6.1f} ms", flush=True)  # fmt: skip
    return rows


def measure_speed(options: argparse.Namespace) -> list[dict]:
    """Argon of options.n particles with every K."""
    positions = argon.liquid(options.n, options.threads)
    lam = np.random.default_rng(1).normal(size=(options.n, 3))
    lines = {}
    for k in options.coefficients:
        system, topology, _ = og.bead_fluid(options.n, DENSITY, MASS)
        model = og.Model(system, topology)
        model.add_pair_potential(lennard_jones(CUTOFF, k))
        context = cpu_context(model.create_system(), openmm.VerletIntegrator(0.002), options.threads)
        lines[k] = context, og.LearnablePairForce.cast(context.getSystem().getForce(0))

    def turn(context: openmm.Context, pair_force) -> dict[str, float]:
        argon.start(context, positions)
        calls = {"dynamics": lambda: context.getIntegrator().step(1),
                 "dU/dc": lambda: pair_force.computeCoefficientDerivatives(context),
                 "Hessian-vector product": lambda: pair_force.computeHessianVectorProduct(context, lam)}  # fmt: skip
        found = {}
        for name, call in calls.items():
            call()
            begin = process_time()
            for _ in range(options.steps):
                call()
            found[name] = 1e3 * (process_time() - begin) / options.steps
        counts = pair_force.computeCoefficientDerivatives(context)
        return found | {"peak": float(np.max(counts)) / options.n}

    turns = [{k: turn(*line) for k, line in lines.items()} for _ in range(options.rounds)]
    rows, base = [], 64 if 64 in lines else options.coefficients[0]
    print(f"argon, N = {options.n}, {options.threads} threads: CPU ms per call, in brackets over that of K = {base}")
    for k in lines:
        row = {"k": k, "noise_kT": float(1 / np.sqrt(400 * N * np.mean([turn[k]["peak"] for turn in turns])))}
        for name in ("dynamics", "dU/dc", "Hessian-vector product"):
            row[name] = spread(np.array([turn[k][name] for turn in turns]))
            row[f"{name}, ratio"] = spread(np.array([turn[k][name] / turn[base][name] for turn in turns]))
        rows.append(row)
        text = "  ".join(f"{name} {row[name][0]:.3f} ({row[f'{name}, ratio'][0]:.2f})"
                         for name in ("dynamics", "dU/dc", "Hessian-vector product"))  # fmt: skip
        print(f"  K {k:5}  {text}  noise {row['noise_kT']:.1e} kT", flush=True)
    return rows


def plot(document: dict, file: Path) -> None:
    """Errors of forces, energies and pressure against K, and times."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(17, 4), constrained_layout=True)
    panels = {"force": "rms force error / rms force", "energy_std": "std of energy error, kT, N = 500",
              "pressure": "|pressure error| / rho kT"}  # fmt: skip
    lines: dict[tuple[str, float], list] = {}
    for row in document["errors"]:
        lines.setdefault((row["potential"], row["cutoff"]), []).append(row)
    for axis, (key, label) in zip(axes, panels.items(), strict=False):
        for number, ((name, cutoff), rows) in enumerate(lines.items()):
            style = {"color": f"C{number // 2}", "linestyle": "--" if cutoff == 1.2 else "-", "marker": "."}
            axis.loglog([row["k"] for row in rows], [abs(row[key]) for row in rows], **style,
                        label=f"{name}, {cutoff / SIGMA:.3g} sigma")  # fmt: skip
        axis.set(xlabel="K", ylabel=label)
    axes[0].legend(fontsize=5)
    for name in ("dynamics", "dU/dc", "Hessian-vector product"):
        rows = document["speed"]
        axes[3].semilogx([row["k"] for row in rows], [row[f"{name}, ratio"][0] for row in rows], marker="o", label=name)
    axes[3].set(xlabel="K", ylabel="CPU time over that of K = 64", ylim=(0, None))
    axes[3].legend(fontsize=7)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


def main() -> None:
    """Measure, print, draw, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coefficients", type=int, nargs="+", default=[16, 32, 48, 64, 96, 128, 192, 256, 512, 1024])
    parser.add_argument("--frames", type=int, default=10, help="of each potential")
    parser.add_argument("--n", type=int, default=4000, help="of the speeds")
    parser.add_argument("--steps", type=int, default=40, help="calls of a turn")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    begin = perf_counter()
    document = {"benchmark": "resolution", **facts(options), "errors": []}
    for name, cutoff in CASES:
        document["errors"] += measure_errors(name, cutoff, options)
    document["speed"] = measure_speed(options)
    print(f"{perf_counter() - begin:.0f} s")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.plot is not None:
        plot(document, options.plot)


if __name__ == "__main__":
    main()
