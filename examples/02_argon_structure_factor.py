# SPDX-License-Identifier: MIT
"""Liquid argon from neutrons: a pair potential from the measured structure factor S(Q) at 85 K.

    python examples/02_argon_structure_factor.py --target argon_Sq.csv --check argon_gr.csv --out out/argon

The tables: J. L. Yarnell, M. J. Katz, R. G. Wenzel, S. H. Koenig, Phys. Rev. A 7, 2130 (1973). Any table of
Q (1/Angstrom) and S(Q) of a simple liquid works. The start is the hypernetted-chain closure of S(Q).
"""

import argparse
import json
from pathlib import Path

import numpy as np

import openmmgrad as og

TEMPERATURE, DENSITY, MASS = 85.0, 21.25, 39.948  # K, nm^-3, amu
CUTOFF = 0.95  # nm


def start_from(path: Path) -> og.SplinePotential:
    """The hypernetted-chain closure of the measured S(Q)."""
    table = og.read_table(path)
    r, u = og.potential_from_structure_factor(10 * table.x, table.y, DENSITY, TEMPERATURE, np.linspace(0.005, 1.2, 240))
    return og.SplinePotential.from_energy(r, u, CUTOFF, n_coefficients=48)


def run(args) -> dict:
    system, topology, positions = og.bead_fluid(args.particles, DENSITY, MASS)
    potential = start_from(args.target)
    model = og.Model(system, topology)
    model.add_pair_potential(potential)
    ensemble = og.Ensemble(model, positions, temperature=TEMPERATURE, timestep=0.010, friction=1.0, stride=25,
                           n_frames=args.frames, seed=args.seed, name="argon 85 K", equilibration=2000)
    factor = og.StructureFactor(None, q_max=100.0, box=ensemble.box)
    target = og.Target.from_file(args.target, observable=factor, ensemble=ensemble, q_unit="1/angstrom", sigma=0.01,
                                 name="S(Q)")
    # at the triple point a liquid freezes easily: small steps
    history = og.fit([target], max_iterations=args.iterations, directory=args.out, max_step=0.2)
    result = {"iterations": len(history) - 1, "S(Q) rms": history.rows[-1]["rms S(Q)"]}
    result["S(Q) rms at the start"] = history.rows[0]["rms S(Q)"]
    if args.check is not None:
        result["g(r) rms beyond 0.38 nm"] = check(args.check, ensemble, args.frames)
    r = np.linspace(0.3, 0.6, 301)
    u, _ = potential.tabulate(r, ("all", "all"), TEMPERATURE)
    result["well depth / k (K)"] = float(-u.min() / og.units.KB)
    result["well at (nm)"] = float(r[u.argmin()])
    return result


def check(path: Path, ensemble, n_frames: int) -> float:
    """rms of g(r) of new frames against a measured g(r), beyond 0.38 nm."""
    rdf = og.RDF(None, None, r_max=1.2, bins=120)
    frames = ensemble.sample(n_frames)
    mean = og.expectation(rdf(frames), og.Weights.uniform(len(frames))).mean.detach().numpy()
    measured = og.Target.from_file(path, observable=rdf, ensemble=ensemble, r_unit="angstrom", name="g(r)",
                                    sort=True, core=0.32)  # digitised: unsorted, and ripples inside the core
    beyond = rdf.grid > 0.38
    return float(np.sqrt(np.mean((mean - measured.values)[beyond] ** 2)))


def main(argv=None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, required=True, help="table of Q (1/Angstrom) and S(Q)")
    parser.add_argument("--check", type=Path, default=None, help="table of r (Angstrom) and g(r), not fitted")
    parser.add_argument("--particles", type=int, default=864)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args(argv)
    result = run(args)
    print(json.dumps(result, indent=1))
    return result


if __name__ == "__main__":
    main()
