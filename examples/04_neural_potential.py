# SPDX-License-Identifier: MIT
"""A network that learns any potential: one setting for Lennard-Jones, Morse and soft spheres.

The truth's RDF at rho* = 0.5, T* = 1 is the target; a small network plus a fixed repulsive prior is the model
(W. Wang, Z. Wu, R. Gomez-Bombarelli, J. Chem. Phys. 158, 044113 (2023)).

    python examples/04_neural_potential.py --truth morse
"""

import argparse
import json
from pathlib import Path

import numpy as np

import openmmgrad as og

REDUCED = og.ReducedUnits(sigma=0.34, epsilon=0.996, mass=39.948)
SIGMA, EPSILON, CUTOFF = REDUCED.sigma, REDUCED.epsilon, 2.5 * REDUCED.sigma
TEMPERATURE = REDUCED.temperature(1.0)
TRUTHS = {
    "lj": lambda: og.LennardJones(SIGMA, EPSILON, CUTOFF),
    "morse": lambda: og.Morse(depth=EPSILON, alpha=5.0 / SIGMA, r0=1.12 * SIGMA, cutoff=CUTOFF),
    "soft-sphere": lambda: og.SoftSphere(4.0 * EPSILON, SIGMA, CUTOFF),
}


def sampler(potential, args, name: str, n_frames: int, seed: int):
    system, topology, positions = og.bead_fluid(args.particles, REDUCED.number_density(0.5), REDUCED.mass)
    model = og.Model(system, topology)
    model.add_pair_potential(potential)
    return og.Ensemble(model, positions, temperature=TEMPERATURE, timestep=0.005 * REDUCED.time(1.0),
                       friction=1.0 / REDUCED.time(1.0), n_frames=n_frames, stride=50, seed=seed, name=name,
                       equilibration=1000)


def run(args) -> dict:
    truth = TRUTHS[args.truth]()
    frames = sampler(truth, args, "truth", args.target_frames, 900 + args.seed).sample()
    network = og.MLPPotential(CUTOFF, width=64, seed=args.seed, core=20.0)  # its core rises to r = 0
    ensemble = sampler(network, args, args.truth, args.frames, args.seed)
    rdf = og.RDF(None, None, r_max=CUTOFF, bins=100)
    target = og.Target.from_frames(og.compute_features(ensemble.model, frames), rdf, ensemble, name="g(r)")
    og.start_from_rdf(network, rdf.grid, target.values, TEMPERATURE)
    history = og.fit([target], max_iterations=args.iterations, directory=args.out)
    r = rdf.grid[target.values > 0.1]
    u, _ = network.tabulate(r, ("all", "all"), TEMPERATURE)
    exact, _ = truth.tabulate(r, ("all", "all"), TEMPERATURE)
    error = (u - exact) / (og.units.KB * TEMPERATURE)
    return {"truth": args.truth, "u rms where g > 0.1 (kT)": float(np.sqrt(np.mean(error**2))),
            "g(r) rms": history.rows[-1]["rms g(r)"], "chi2": history.rows[-1]["chi2 g(r)"]}


def main(argv=None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", choices=sorted(TRUTHS), default="lj")
    parser.add_argument("--particles", type=int, default=500)
    parser.add_argument("--frames", type=int, default=800)
    parser.add_argument("--target-frames", type=int, default=2000)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args(argv)
    result = run(args)
    print(json.dumps(result, indent=1))
    return result


if __name__ == "__main__":
    main()
