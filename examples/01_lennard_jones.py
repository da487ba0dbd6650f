# SPDX-License-Identifier: MIT
"""The known answer: recover the Lennard-Jones potential of a dense liquid from its structure alone.

A long run of OpenMM's own force at rho* = 0.845, T* = 1 is the experiment. The fit starts from -kT ln g(r), knows
nothing of Lennard-Jones, and finds u(r) in a few iterations of Gauss-Newton.

    python examples/01_lennard_jones.py --out out/demo
    python examples/01_lennard_jones.py --method adam        # or ibi: the same job by other methods
    python examples/01_lennard_jones.py --from-rdf           # only g(r) in bins of 0.025 sigma is known
    python examples/01_lennard_jones.py --joint              # with a second state, and a prediction in between
"""

import argparse
import json
from pathlib import Path

import numpy as np
import openmm
import torch

import openmmgrad as og

REDUCED = og.ReducedUnits(sigma=0.34, epsilon=0.996, mass=39.948)
CUTOFF = 2.5 * REDUCED.sigma


def reference_model(n_particles: int, rho: float):
    """OpenMM's own force: Lennard-Jones cut at 2.5 sigma (a constant shift of the energy changes nothing)."""
    system, topology, positions = og.bead_fluid(n_particles, REDUCED.number_density(rho), REDUCED.mass)
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(CUTOFF)
    force.setUseDispersionCorrection(False)
    for _ in range(n_particles):
        force.addParticle(0.0, REDUCED.sigma, REDUCED.epsilon)
    system.addForce(force)
    return og.Model(system, topology), positions


def learnable_model(potential, n_particles: int, rho: float):
    system, topology, positions = og.bead_fluid(n_particles, REDUCED.number_density(rho), REDUCED.mass)
    model = og.Model(system, topology)
    model.add_pair_potential(potential)
    return model, positions


def ensemble(model, positions, T: float, n_frames: int, seed: int, name: str, threads: int | None):
    return og.Ensemble(model, positions, temperature=REDUCED.temperature(T), timestep=0.005 * REDUCED.time(1.0),
                       friction=1.0 / REDUCED.time(1.0), n_frames=n_frames, stride=50, seed=seed, name=name,
                       equilibration=1000, threads=threads)


def error_of(potential, T: float) -> tuple[np.ndarray, np.ndarray, float]:
    """r, u(r) - u_LJ(r) and its rms on [0.95, 2.4] sigma, in kT; both are zero at the cutoff."""
    r = np.linspace(0.95, 2.4, 291) * REDUCED.sigma
    kT = og.units.KB * REDUCED.temperature(T)
    u, _ = potential.tabulate(r, ("all", "all"), REDUCED.temperature(T))
    x = (REDUCED.sigma / r) ** 6
    exact = 4 * REDUCED.epsilon * (x * x - x - (2.5**-12 - 2.5**-6))
    difference = (u - exact) / kT
    return r, difference, float(np.sqrt(np.mean(difference**2)))


def inside_band(history, name: str, T: float) -> bool:
    """Whether the exact u(r) lies in the reported band everywhere on [0.95, 2.4] sigma."""
    r, u, width = history.bands[name]
    here = (r >= 0.95 * REDUCED.sigma) & (r <= 2.4 * REDUCED.sigma)
    x = (REDUCED.sigma / r) ** 6
    exact = 4 * REDUCED.epsilon * (x * x - x - (2.5**-12 - 2.5**-6)) / (og.units.KB * REDUCED.temperature(T))
    return bool((np.abs(u[0] - exact)[here] <= width[0][here]).all())


def run(args) -> dict:
    states = [(0.845, 1.0)] + ([(0.3, 1.2)] if args.joint else [])
    rdf = og.RDF(None, None, r_max=CUTOFF, bins=100)
    targets, potential = [], None
    for k, (rho, T) in enumerate(states):
        source, x = reference_model(args.particles, rho)
        name = f"rho* {rho:g}, T* {T:g}"
        print(f"{name}: {args.target_frames} frames of OpenMM's own force", flush=True)
        frames = ensemble(source, x, T, args.target_frames, 1000 * args.seed + 901 + k, name, args.threads).sample()
        measured = og.expectation(rdf(frames), og.Weights.uniform(len(frames)), observable=rdf)
        if potential is None:
            potential = og.SplinePotential.from_rdf(rdf.grid, measured.mean.numpy(), REDUCED.temperature(T), CUTOFF)
        model, x = learnable_model(potential, args.particles, rho)
        sampler = ensemble(model, x, T, args.frames, args.seed, name, args.threads)
        if args.from_rdf:
            target = og.Target(rdf, sampler, measured.mean.numpy(), name=f"g(r) {name}")
        else:
            target = og.Target.from_frames(og.compute_features(model, frames), rdf, sampler, name=f"g(r) {name}")
        targets.append(target)
    start = error_of(potential, 1.0)[2]
    method, options = {"gauss-newton": ("gauss-newton", {}), "ibi": ("ibi", {}),
                       "adam": (torch.optim.Adam, {"lr": 0.02})}[args.method]
    history = og.fit(targets, method=method, max_iterations=args.iterations, directory=args.out, **options)
    last, target = history.rows[-1], targets[0]
    result = {
        "method": args.method, "seed": args.seed, "iterations": args.iterations, "md_steps": last["md_steps"],
        "u_error_start_kT": start, "u_error_kT": error_of(potential, 1.0)[2],
        "inside_band": inside_band(history, target.ensemble.name, 1.0),
        "rdf_rms": last[f"rms {target.name}"], "chi2_per_dof": last[f"chi2 {target.name}"],
    }
    if args.joint:
        result["prediction_rdf_rms"] = predict(potential, rdf, args, 0.6, 1.0)
    return result


def predict(potential, rdf, args, rho: float, T: float) -> float:
    """rms between g(r) of the fitted and of the exact potential at a state that the fit has not seen."""
    means = []
    for k, make in enumerate((lambda: reference_model(args.particles, rho),
                              lambda: learnable_model(potential, args.particles, rho))):
        model, x = make()
        frames = ensemble(model, x, T, args.frames, args.seed + 77 + k, "prediction", args.threads).sample()
        means.append(og.expectation(rdf(frames), og.Weights.uniform(len(frames))).mean.detach().numpy())
    return float(np.sqrt(np.mean((means[0] - means[1]) ** 2)))


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=["gauss-newton", "ibi", "adam"], default="gauss-newton")
    parser.add_argument("--joint", action="store_true")
    parser.add_argument("--from-rdf", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--particles", type=int, default=500)
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--frames", type=int, default=1500)
    parser.add_argument("--target-frames", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=None, help="of the CPU platform")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args(argv)


def main(argv=None) -> dict:
    args = arguments(argv)
    result = run(args)
    print(json.dumps(result, indent=1))
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result) + "\n")
    if args.out is not None:
        print(f"Pictures: {args.out / 'figures'}")
    return result


if __name__ == "__main__":
    main()
