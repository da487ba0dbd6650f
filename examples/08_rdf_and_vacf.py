# SPDX-License-Identifier: MIT
"""Lennard-Jones from its structure and its motion together, and what the ways to the same gradient cost.

The target is a liquid at rho* = 0.7, T* = 1 whose potential is forgotten: its g(r), and its velocity autocorrelation
function over 0.5 t*. Every fit starts from -kT ln g(r).

joint   g(r) and C(t) inverted together. g(r) changes with the weights of the frames; C(t) with the weights and with the
        trajectories, which are differentiated. Windows are short: beyond the Lyapunov time gradients of paths explode.
costs   g(r) alone, four times: by gradients of paths only, from windows of 0.2 t* and of 0.6 t* that follow one another
        (Nose-Hoover chain, g averaged over the later half, Adam: W. Wang, S. Axelrod, R. Gomez-Bombarelli,
        arXiv 2003.00868; W. Wang, Z. Wu, R. Gomez-Bombarelli, J. Chem. Phys. 158, 044113 (2023)); by weights only
        (Adam); and by weights with Gauss-Newton. About the same number of forces each.

    python examples/08_rdf_and_vacf.py --out out/learn
    python examples/08_rdf_and_vacf.py --part joint --method adam
    python examples/08_rdf_and_vacf.py --short
"""

import argparse
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

import openmmgrad as og

REDUCED = og.ReducedUnits(sigma=0.34, epsilon=0.996, mass=39.948)
RHO, T = 0.7, 1.0
TEMPERATURE, CUTOFF, TIMESTEP = REDUCED.temperature(T), 2.5 * REDUCED.sigma, 0.005 * REDUCED.time(1.0)
WINDOW = 60  # steps of C(t): 0.3 t*
BINS = 100
LEARNING_RATE = 0.03  # kJ/mol in each coefficient


def lennard_jones() -> og.LennardJones:
    return og.LennardJones(REDUCED.sigma, REDUCED.epsilon, CUTOFF)


def model_of(potential, n: int):
    system, topology, positions = og.bead_fluid(n, REDUCED.number_density(RHO), REDUCED.mass)
    model = og.Model(system, topology)
    model.add_pair_potential(potential)
    return model, positions


def ensemble(model, positions, n_frames: int, seed: int, name: str, stride: int = 25, equilibration: int = 500):
    return og.Ensemble(model, positions, temperature=TEMPERATURE, timestep=TIMESTEP, friction=1 / REDUCED.time(1.0),
                       n_frames=n_frames, stride=stride, seed=seed, name=name, equilibration=equilibration, threads=1)


def rdf(smear: float | None = None) -> og.RDF:
    return og.RDF(None, None, r_max=CUTOFF, bins=BINS, smear=smear)


def smooth() -> og.RDF:
    """With a gradient in the positions; as wide as a bin."""
    return rdf(CUTOFF / BINS)


@dataclass
class Measured:
    """What a potential shows: frames, estimates of g(r) and of C(t)/C(0) at lags of 5 steps."""

    frames: og.Frames
    g: og.Estimate
    c: og.Estimate | None


def measure(potential, args, n_frames: int, seed: int, name: str, motion: bool = True) -> Measured:
    model, positions = model_of(potential, args.particles)
    frames = ensemble(model, positions, n_frames, seed, name, stride=50, equilibration=1500).sample()
    equal, observable, c = og.Weights.uniform(len(frames)), rdf(), None
    if motion:
        vacf = og.VACF(normalize=True)
        with torch.no_grad():
            path = og.propagate(model, frames, TIMESTEP, WINDOW, stride=5, threads=1, workers=1)
        c = og.expectation(vacf(path), equal, observable=vacf)
    return Measured(frames, og.expectation(observable(frames), equal, observable=observable), c)


def exact(r: np.ndarray) -> np.ndarray:
    """u_LJ(r) in kT, zero at the cutoff."""
    x = (REDUCED.sigma / r) ** 6
    return 4 * (x * x - x - (2.5**-12 - 2.5**-6)) / T


def potential_error(r: np.ndarray, u: np.ndarray) -> float:
    """rms of u - u_LJ on [0.95, 2.4] sigma, in kT; u in kT."""
    fine = np.linspace(0.95, 2.4, 291) * REDUCED.sigma
    return float(np.sqrt(np.mean((np.interp(fine, r, u) - exact(fine)) ** 2)))


def tabulated(potential) -> tuple[np.ndarray, np.ndarray]:
    r = np.linspace(0.8, 2.5, 1701) * REDUCED.sigma
    return r, potential.tabulate(r, ("all", "all"), TEMPERATURE)[0] / (og.units.KB * TEMPERATURE)


def error_of(potential) -> float:
    return potential_error(*tabulated(potential))


def rms(found, wanted) -> float:
    return float(np.sqrt(np.mean((found.mean_values - wanted.mean_values) ** 2)))


def start_potential(target: Measured, args) -> og.SplinePotential:
    return og.SplinePotential.from_rdf(target.g.grid, target.g.mean_values, TEMPERATURE, CUTOFF, args.coefficients)


# -- g(r) and C(t) together --

def joint(target: Measured, args) -> dict:
    potential = start_potential(target, args)
    before = measure(potential, args, args.test_frames, args.seed + 300, "start")
    result = {"u error at the start (kT)": error_of(potential),
              "g rms at the start": rms(before.g, target.g), "C rms at the start": rms(before.c, target.c)}
    model, positions = model_of(potential, args.particles)
    sampler = ensemble(model, positions, args.frames, args.seed, "liquid")
    structure = og.Target.from_frames(og.compute_features(model, target.frames), rdf(), sampler, name="g(r)")
    stride, n_windows = (10, args.frames) if args.method == "gauss-newton" else (5, args.frames // 8)
    windows = {"timestep": TIMESTEP, "n_steps": WINDOW, "stride": stride, "n_windows": n_windows, "workers": 1}
    vacf = og.VACF(normalize=True, max_lag=TIMESTEP * WINDOW, interval=stride * TIMESTEP)
    here = np.searchsorted(target.c.grid, vacf.grid - 1e-9)
    motion = og.Target(vacf, sampler, target.c.mean_values[here], target.c.stderr[here], name="C(t)",
                       propagate=windows)
    options = {} if args.method == "gauss-newton" else {"method": torch.optim.Adam, "lr": LEARNING_RATE,
                                                        "max_steps_per_sample": 5}
    clock = Clock()
    history = og.fit([structure, motion], max_iterations=args.iterations, tolerance=1e-4, progress=False, **options)
    after = measure(potential, args, args.test_frames, args.seed + 400, "fitted")
    result |= {"method": args.method, "iterations": args.iterations, "MD steps sampled": sampler.md_steps,
               "CPU seconds": clock.cpu, "seconds": clock.wall, "u error (kT)": error_of(potential),
               "g rms": rms(after.g, target.g), "C rms": rms(after.c, target.c),
               "u error by iteration (kT)": [potential_error(history.r["liquid"], u[0])
                                             for u in history.potentials["liquid"]]}
    again = measure(lennard_jones(), args, args.test_frames, args.seed + 500, "truth again")
    result |= {"g rms of Lennard-Jones itself": rms(again.g, target.g),
               "C rms of Lennard-Jones itself": rms(again.c, target.c)}
    if args.out is not None:
        draw_joint(args.out / "joint.png", target, before, after, start_potential(target, args), potential)
    return result


# -- g(r) four times --

class Clock:
    """Seconds of this process since it was made; CPU time does not count what others on the machine do."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    @property
    def cpu(self) -> float:
        return time.process_time() - self._cpu

    @property
    def wall(self) -> float:
        return time.perf_counter() - self._wall

    def back_to(self, cpu: float) -> None:
        self._cpu += self.cpu - cpu


@dataclass
class Fit:
    """A fit of g(r) and what it cost: forces, products of their Jacobian (one per step swept back), CPU seconds."""

    potential: og.SplinePotential
    forces: int = 0
    products: int = 0
    clock: Clock = field(default_factory=Clock)
    trace: list = field(default_factory=list)  # rows: forces, products, CPU seconds, error of u
    norms: list = field(default_factory=list)  # of the gradients

    def note(self) -> None:
        """Add a row; what this takes does not count."""
        now = self.clock.cpu
        self.trace.append([self.forces, self.products, now, error_of(self.potential)])
        self.clock.back_to(now)


def first_order(potential, updates: int):
    optimizer = torch.optim.Adam(potential.parameters(), lr=LEARNING_RATE)
    return optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (1 / updates))


def first_step() -> None:
    """The first step of torch.optim imports for seconds: nobody's cost."""
    spare = torch.nn.Parameter(torch.zeros(1))
    spare.sum().backward()
    torch.optim.Adam([spare]).step()


def by_paths(target: Measured, wanted: torch.Tensor, args, n_steps: int) -> Fit:
    """Gradients of trajectories only: 8 of them, each cut into windows of n_steps that follow one another."""
    fit, n_windows, late = Fit(start_potential(target, args)), 8, n_steps // 10 * 5
    model, positions = model_of(fit.potential, args.particles)
    sampler = ensemble(model, positions, n_windows, args.seed, "first", stride=100)
    frames = sampler.sample()
    x, v = (torch.as_tensor(np.array(part)) for part in (frames.positions, frames.velocities))
    chain = np.array([50.0] + [50.0 / args.particles] * 4) * REDUCED.epsilon * REDUCED.time(1.0) ** 2
    integrator = og.NoseHooverChainIntegrator(TEMPERATURE, TIMESTEP, 3 * args.particles, chain_masses=chain)
    run = og.Propagator(model, n_steps=n_steps, stride=5, integrator=integrator, threads=1, workers=1, box=sampler.box)
    fit.forces, observable, updates = sampler.md_steps, smooth(), max(args.forces // (n_windows * n_steps), 1)
    optimizer, slower = first_order(fit.potential, updates)
    for _ in range(updates):
        path = run(initial=(x, v))
        first = late // 5
        later = replace(path, positions=path.positions[:, first:], velocities=None, times=path.times[:-first])
        loss = (observable(later).mean(0) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        fit.norms.append(fit.potential.values.grad.norm().item())
        optimizer.step()
        slower.step()
        x, v = path.positions[:, -1].detach(), path.velocities[:, -1].detach()
        fit.forces, fit.products = fit.forces + n_windows * n_steps, fit.products + n_windows * n_steps
        fit.note()
    return fit


def by_weights(target: Measured, wanted: torch.Tensor, args) -> Fit:
    """The same loss and optimiser; 30 frames reweighted for up to 4 steps, as long as half of them count."""
    fit, n_frames = Fit(start_potential(target, args)), 30
    model, positions = model_of(fit.potential, args.particles)
    sampler = ensemble(model, positions, n_frames, args.seed, "weighted", stride=50, equilibration=200)
    observable, samples = smooth(), max(args.forces // (n_frames * 50 + 200), 1)
    optimizer, slower = first_order(fit.potential, 4 * samples)
    for _ in range(samples):
        frames = sampler.sample()
        g = observable(frames)
        for _ in range(4):
            w = og.weights(model, frames)
            if w.n_eff < 0.5 * n_frames:
                break
            loss = (og.expectation(g, w).mean - wanted).square().mean()
            optimizer.zero_grad()
            loss.backward()
            fit.norms.append(fit.potential.values.grad.norm().item())
            optimizer.step()
            slower.step()
        fit.forces = sampler.md_steps
        fit.note()
    return fit


def by_gauss_newton(target: Measured, args) -> Fit:
    fit = Fit(start_potential(target, args))
    model, positions = model_of(fit.potential, args.particles)
    n_frames = max(args.forces // (args.iterations + 1) // 25 - 20, 2 * args.coefficients)
    sampler = ensemble(model, positions, n_frames, args.seed, "liquid")
    wanted = og.Target.from_frames(og.compute_features(model, target.frames), rdf(), sampler, name="g(r)")
    history = og.fit([wanted], max_iterations=args.iterations, tolerance=1e-4, progress=False)
    fit.forces = sampler.md_steps
    seconds = np.cumsum([row["seconds_sampling"] + row["seconds_fit"] for row in history.rows])
    for k, u in enumerate(history.potentials["liquid"][1:]):  # u after k + 1 samples, CPU seconds in proportion
        fit.trace.append([history.rows[k]["md_steps"], 0, seconds[k] / seconds[-1] * fit.clock.cpu,
                          potential_error(history.r["liquid"], u[0])])
    fit.trace.append([fit.forces, 0, fit.clock.cpu, error_of(fit.potential)])
    return fit


def costs(target: Measured, args) -> dict:
    observable = smooth()
    wanted = observable(target.frames[::2]).mean(0)
    first_step()
    fits = {"paths, 0.2 t*": by_paths(target, wanted, args, 40), "paths, 0.6 t*": by_paths(target, wanted, args, 120),
            "weights, Adam": by_weights(target, wanted, args), "weights, Gauss-Newton": by_gauss_newton(target, args)}
    result = {"u error at the start (kT)": error_of(start_potential(target, args))}
    print(f"{'':24}{'forces':>9}{'products':>10}{'CPU s':>8}{'u (kT)':>9}{'g rms':>9}{'|grad| first, last':>22}")
    for name, fit in fits.items():
        cpu = fit.trace[-1][2]
        after = measure(fit.potential, args, args.test_frames, args.seed + 600, "fitted", motion=False)
        row = {"forces": fit.forces, "products": fit.products, "CPU seconds": cpu,
               "u error (kT)": fit.trace[-1][3], "g rms": rms(after.g, target.g), "trace": fit.trace}
        grown = f"{fit.norms[0]:.3g}, {np.median(fit.norms[-10:]):.3g}" if fit.norms else ""
        print(f"{name:24}{fit.forces:9d}{fit.products:10d}{cpu:8.1f}{row['u error (kT)']:9.3f}{row['g rms']:9.4f}"
              f"{grown:>22}", flush=True)
        result[name] = row | ({"gradient norms": fit.norms} if fit.norms else {})
    if args.out is not None:
        draw_costs(args.out / "costs.png", fits, error_of(start_potential(target, args)))
    return result


# -- pictures, flags --

def figure_of(n: int):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4 * n, 3.6), layout="constrained")
    return figure, figure.subplots(1, n)


def draw_joint(file: Path, target: Measured, before: Measured, after: Measured, start, fitted) -> None:
    figure, (left, middle, right) = figure_of(3)
    for name, shown, color, style in (("Lennard-Jones", target, "black", "-"), ("start", before, "0.6", "-"),
                                      ("fitted", after, "tab:red", "--")):
        left.plot(shown.g.grid / REDUCED.sigma, shown.g.mean_values, style, color=color, lw=1.3, label=name)
        middle.plot(shown.c.grid / REDUCED.time(1.0), shown.c.mean_values, style, color=color, lw=1.3)
    r, u = tabulated(fitted)
    right.plot(r / REDUCED.sigma, exact(r), color="black", lw=1.3)
    right.plot(r / REDUCED.sigma, tabulated(start)[1], color="0.6", lw=1.3)
    right.plot(r / REDUCED.sigma, u, "--", color="tab:red", lw=1.3)
    left.set(xlabel="r (sigma)", ylabel="g(r)")
    left.legend(frameon=False)
    middle.set(xlabel="t (t*)", ylabel="C(t)/C(0)")
    right.set(xlabel="r (sigma)", ylabel="u (kT)", xlim=(0.85, 2.5), ylim=(-1.6, 3))
    figure.savefig(file, dpi=150)


def draw_costs(file: Path, fits: dict, start: float) -> None:
    figure, (left, middle, right) = figure_of(3)
    for (name, fit), color in zip(fits.items(), ("tab:blue", "tab:orange", "tab:green", "tab:red"), strict=True):
        forces, _, cpu, error = np.array(fit.trace).T
        left.plot(forces, error, color=color, lw=1.3, label=name)
        middle.plot(cpu, error, color=color, lw=1.3)
        r, u = tabulated(fit.potential)
        right.plot(r / REDUCED.sigma, u - exact(r), color=color, lw=1.3)
    for axes, label in ((left, "forces evaluated"), (middle, "CPU seconds")):
        axes.axhline(start, color="0.6", lw=0.8, ls=":")
        axes.set(xlabel=label, ylabel="error of u (kT)", yscale="log")
    left.legend(frameon=False)
    right.set(xlabel="r (sigma)", ylabel="u - u_LJ (kT)", xlim=(0.9, 2.5), ylim=(-0.6, 0.6))
    figure.savefig(file, dpi=150)


def main(argv=None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["joint", "costs", "both"], default="both")
    parser.add_argument("--method", choices=["gauss-newton", "adam"], default="gauss-newton", help="of the joint fit")
    parser.add_argument("--particles", type=int, default=256)
    parser.add_argument("--target-frames", type=int, default=2000)
    parser.add_argument("--test-frames", type=int, default=500, help="that judge a fitted potential")
    parser.add_argument("--frames", type=int, default=300, help="of an iteration of the joint fit")
    parser.add_argument("--iterations", type=int, default=5, help="of the joint fit, and of Gauss-Newton")
    parser.add_argument("--forces", type=int, default=48_000, help="that each fit of g(r) may evaluate, about")
    parser.add_argument("--coefficients", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="a small liquid and few steps: it runs, and moves")
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args(argv)
    if args.short:
        small = {"particles": 130, "target_frames": 150, "test_frames": 30, "frames": 80, "iterations": 2,
                 "forces": 2500, "coefficients": 40}
        args = argparse.Namespace(**vars(args) | small)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
    target = measure(lennard_jones(), args, args.target_frames, 900 + args.seed, "truth", motion=args.part != "costs")
    result = {}
    for part, run in (("joint", joint), ("costs", costs)):
        if args.part in (part, "both"):
            result[part] = run(target, args)
    print(json.dumps({part: {k: v for k, v in values.items() if not isinstance(v, dict)}
                      for part, values in result.items()}, indent=1))
    if args.out is not None:
        (args.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
