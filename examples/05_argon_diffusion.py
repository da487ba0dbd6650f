# SPDX-License-Identifier: MIT
"""Liquid argon from one measured number: Lennard-Jones parameters that give its self-diffusion coefficient at 94.4 K.

D depends on the potential in two ways: through which frames there are, and through where they go. Both parts of the
gradient are used: the first from every time of long runs, the second through the trajectories.

    python examples/05_argon_diffusion.py                # the fit, confirmed by a run of its own
    python examples/05_argon_diffusion.py --check        # the gradient at the start against differences of D

The setting and the start: B. Han, K. Yu, Nat. Commun. 16 (2025), arXiv:2406.18269. Unlike there, the motion of the
centre of mass is taken out of D.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

import openmmgrad as og

TEMPERATURE, MASS, DENSITY, CUTOFF = 94.4, 39.948, 346 / 2.5562**3, 1.0  # K, amu, nm^-3, nm
TARGET = 2.36e-9  # m^2/s
SIGMA, EPSILON = 0.338, 0.8938  # nm, kJ/mol: the start
WINDOW = 2.0  # ps
BATCH = 3  # runs in memory at a time


def batches(frames):
    """Some frames at a time: runs from all of them would not fit into memory."""
    return (frames[first:first + BATCH] for first in range(0, len(frames), BATCH))


class Argon:
    """The liquid at some sigma and epsilon, and what measures its D."""

    def __init__(self, sigma: float, epsilon: float, args, seed: int) -> None:
        system, topology, positions = og.bead_fluid(args.particles, DENSITY, MASS)
        self.potential = og.LennardJones(sigma, epsilon, CUTOFF)
        self.model = og.Model(system, topology)
        self.model.add_pair_potential(self.potential)
        self.ensemble = og.Ensemble(self.model, positions, temperature=TEMPERATURE, timestep=0.010, friction=1.0,
                                    stride=100, equilibration=2000, seed=seed, threads=1)
        options = {"threads": 1, "workers": args.workers}
        self.short = og.Propagator(self.model, args.timestep, round(WINDOW / args.timestep) + 1, **options)
        self.long = og.Propagator(self.model, args.timestep, round(args.length / args.timestep) + 1, **options)

    def value(self, n_runs: int):
        """D as an Estimate, m^2/s."""
        diffusion = og.SelfDiffusion(t_max=WINDOW, origins="all")
        frames = self.ensemble.sample(n_runs)
        with torch.no_grad():
            values = torch.cat([diffusion(self.long(part)) for part in batches(frames)])
        return og.expectation(og.kinetic_control(values, frames), og.Weights.uniform(n_runs), diffusion)

    def gradient(self, n_runs: int, n_windows: int):
        """D as an Estimate, and the path and weight parts of dD/d(ln sigma, ln epsilon), m^2/s, [2] each."""
        frames = self.ensemble.sample(max(n_runs, n_windows))
        # which frames there are: every time of long runs is the start of a window
        with torch.no_grad():
            parts = [self.windows(self.long(part)) for part in batches(frames[:n_runs])]
        starts = og.Frames.concatenate([starts for _, starts in parts])
        values = og.kinetic_control(torch.cat([values for values, _ in parts]), starts)
        D = og.expectation(values, og.weights(self.model, starts))
        # where they go: gradients through one window from each frame
        values, starts = self.windows(self.short(frames[:n_windows]))
        path = og.expectation(values, og.Weights.uniform(n_windows))
        return D, self.derivatives(path.mean), self.derivatives(D.mean)

    def windows(self, runs):
        """D from every window of runs, [S, 1], and the frames that the windows start from."""
        return og.time_origins(og.SelfDiffusion(t_max=WINDOW), runs, self.model, length=WINDOW, every=0.2, stride=4)

    def derivatives(self, value) -> np.ndarray:
        parameters = [self.potential.sigma, self.potential.epsilon]
        return np.array([p.item() * g.item()
                         for p, g in zip(parameters, torch.autograd.grad(value.sum(), parameters), strict=True)])

    def step(self, change: np.ndarray) -> None:
        """Change ln sigma and ln epsilon."""
        with torch.no_grad():
            self.potential.sigma *= float(np.exp(change[0]))
            self.potential.epsilon *= float(np.exp(change[1]))

    @property
    def parameters(self) -> tuple[float, float]:
        return self.potential.sigma.item(), self.potential.epsilon.item()


def check(args) -> dict:
    """Both parts of the gradient at the start, and differences of D between independent runs."""
    argon = Argon(SIGMA, EPSILON, args, args.seed)
    rows = []
    for _ in range(args.blocks):
        D, path, weight = argon.gradient(args.runs, args.windows)
        rows.append(np.concatenate([[D.mean.item()], path, weight, path + weight]))
    mean, error = np.mean(rows, 0), np.std(rows, 0, ddof=1) / np.sqrt(len(rows))
    print(f"sigma = {SIGMA} nm, epsilon = {EPSILON} kJ/mol, all in 1e-9 m^2/s: D = {mean[0] * 1e9:.3f} +- "
          f"{error[0] * 1e9:.3f}", flush=True)
    print("d/dln..  " + "".join(f"{name:18s}" for name in ("path part", "weight part", "sum", "differences")) + " z")
    result = {"D": mean[0], "D error": error[0]}
    for k, (name, width) in enumerate((("sigma", args.widths[0]), ("epsilon", args.widths[1]))):
        ends = []
        for sign in (1, -1):
            change = np.where([k == 0, k == 1], sign * width, 0.0)
            other = Argon(SIGMA, EPSILON, args, args.seed + 10 + 2 * k + (sign > 0))
            other.step(change)
            ends.append(other.value(args.reference_runs))
        difference = (ends[0].mean.item() - ends[1].mean.item()) / (2 * width)
        difference_error = np.hypot(ends[0].stderr[0], ends[1].stderr[0]) / (2 * width)
        z = (mean[5 + k] - difference) / np.hypot(error[5 + k], difference_error)
        cells = [(mean[1 + 2 * j + k], error[1 + 2 * j + k]) for j in range(3)] + [(difference, difference_error)]
        print(f"{name:8s}" + "".join(f"{a * 1e9:9.2f} +-{b * 1e9:5.2f} " for a, b in cells) + f"{z:6.2f}", flush=True)
        for label, (a, b) in zip(("path", "weight", "sum", "differences"), cells, strict=True):
            result[f"{name} {label}"], result[f"{name} {label} error"] = a, b
        result[f"{name} z"] = z
    return result


def fit(args) -> dict:
    """Gauss-Newton for one number: the shortest step in (ln sigma, ln epsilon) that closes the gap to it.

    Every measurement so far counts, so that steps become as small as the error of all of them together.
    """
    argon, rows = Argon(SIGMA, EPSILON, args, args.seed), []
    print("update  sigma (nm)  epsilon (kJ/mol)  D (1e-9 m^2/s)    D/target - 1   dlnD/dln sigma, epsilon", flush=True)
    for update in range(args.updates):
        D, path, weight = argon.gradient(args.runs, args.windows)
        value, error = D.mean.item(), float(D.stderr[0])
        rows.append([*argon.parameters, value, error, *(path + weight) / value])
        print("{:4d}   {:9.5f} {:12.4f} {:16.3f} +- {:.3f} {:12.4f}    {:12.2f} {:8.2f}".format(
            update, *argon.parameters, value * 1e9, error * 1e9, value / TARGET - 1, *rows[-1][4:]), flush=True)
        step, expected_error = gauss_newton(np.array(rows))
        argon.step(step * min(1.0, args.bound / np.abs(step).max()))
    confirmed = Argon(*argon.parameters, args, args.seed + 1000).value(args.reference_runs)
    D, error, table = confirmed.mean.item(), float(confirmed.stderr[0]), np.array(rows)
    at_floor = np.abs(table[:, 2] - TARGET) < 2 * table[:, 3]
    slope = table[:, 4:].mean(0)
    print("fitted {:9.5f} {:12.4f} {:16.3f} +- {:.3f} {:12.4f}    by a run of its own; expected +- {:.4f}".format(
        *argon.parameters, D * 1e9, error * 1e9, D / TARGET - 1, expected_error))
    print("One number fixes one combination: the change of {:.2f} ln sigma {:+.2f} ln epsilon. Across it nothing is "
          "known, and the start was kept.".format(*slope))
    return {"sigma": argon.parameters[0], "epsilon": argon.parameters[1], "D": D, "D error": error,
            "deviation": D / TARGET - 1, "expected error": expected_error,
            "deviation at the start": table[0, 2] / TARGET - 1,
            "first update at the floor": int(at_floor.argmax()) if at_floor.any() else None,
            "slope": slope.tolist(), "table": table.tolist()}


def gauss_newton(rows: np.ndarray) -> tuple[np.ndarray, float]:
    """The step from the last of the rows (sigma, epsilon, D, error, dlnD/dln sigma, epsilon), and the error left.

    A plane through all values and all gradients by least squares: values apart tell the slope, too.
    """
    n, slope = len(rows), rows[:, 4:].mean(0)
    spread = 0.5 * np.abs(slope) if n < 3 else rows[:, 4:].std(0, ddof=1)
    apart = np.log(rows[:, :2] / rows[-1, :2])
    error = np.hypot(rows[:, 3] / rows[:, 2], 0.1 * apart @ slope)  # a tenth of the way, for curvature
    values = np.column_stack([np.ones(n), apart]) / error[:, None]
    gradients = np.column_stack([np.zeros(2 * n), np.tile(np.diag(1 / spread), (n, 1))])
    matrix = np.concatenate([values, gradients])
    right = np.concatenate([np.log(rows[:, 2]) / error, (rows[:, 4:] / spread).ravel()])
    log_D, *slope = np.linalg.lstsq(matrix, right, rcond=None)[0]
    slope = np.array(slope)
    return slope * (np.log(TARGET) - log_D) / (slope @ slope), np.linalg.inv(matrix.T @ matrix)[0, 0] ** 0.5


def main(argv=None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare the gradient with differences; no fit")
    parser.add_argument("--particles", type=int, default=346)
    parser.add_argument("--timestep", type=float, default=0.010, help="ps")
    parser.add_argument("--length", type=float, default=10.0, help="of the long runs, ps")
    parser.add_argument("--runs", type=int, default=30, help="long runs per update or block")
    parser.add_argument("--windows", type=int, default=30, help="windows with gradient per update or block")
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--bound", type=float, default=0.02, help="largest change of ln sigma, ln epsilon")
    parser.add_argument("--blocks", type=int, default=20, help="independent estimates of the gradient, for its error")
    parser.add_argument("--reference-runs", type=int, default=300, help="long runs of each D that is compared with")
    parser.add_argument("--widths", type=float, nargs=2, default=(0.01, 0.1), help="differences in ln sigma, epsilon")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="windows that run at the same time")
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args(argv)
    result = check(args) if args.check else fit(args)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
