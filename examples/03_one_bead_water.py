# SPDX-License-Identifier: MIT
"""One-bead water: the pair potential that reproduces a radial distribution function of water.

    python examples/03_one_bead_water.py --target spce_cg_rdf.csv --r-unit nm --temperature 300 --density 33.28
    python examples/03_one_bead_water.py --target gOO.csv --r-unit angstrom --column gOO_295.1K --temperature 295.1 \\
        --density 33.35

The first table: centre-of-mass RDF of SPC/E water (V. Ruehle et al., J. Chem. Theory Comput. 5, 3211 (2009)); the
second: oxygen-oxygen RDF from X-rays (L. B. Skinner et al., J. Chem. Phys. 141, 214507 (2014)).
"""

import argparse
import json
from pathlib import Path

import numpy as np

import openmmgrad as og

MASS = 18.015  # amu


def run(args) -> dict:
    system, topology, positions = og.bead_fluid(args.particles, args.density, MASS)
    model = og.Model(system, topology)
    rdf = og.RDF(None, None, r_max=args.cutoff, bins=args.bins)
    potential = og.SplinePotential(cutoff=args.cutoff, n_coefficients=args.coefficients)
    model.add_pair_potential(potential)
    ensemble = og.Ensemble(model, positions, temperature=args.temperature, timestep=0.004, friction=2.0,
                           n_frames=args.frames, stride=25, seed=args.seed, name="water", equilibration=2000)
    target = og.Target.from_file(args.target, observable=rdf, ensemble=ensemble, r_unit=args.r_unit, column=args.column,
                                 sigma=args.sigma, name="g(r)")
    start = og.SplinePotential.from_rdf(rdf.grid, target.values, args.temperature, args.cutoff, args.coefficients,
                                        g_min=5e-3)
    potential.load_state_dict(start.state_dict())
    history = og.fit([target], max_iterations=args.iterations, directory=args.out)
    r = np.linspace(0.22, args.cutoff, 400)
    u, _ = potential.tabulate(r, ("all", "all"), args.temperature)
    kT = og.units.KB * args.temperature
    return {"iterations": len(history) - 1, "g(r) rms at the start": history.rows[0]["rms g(r)"],
            "g(r) rms": history.rows[-1]["rms g(r)"], "u minimum (kT)": float(u.min() / kT),
            "at (nm)": float(r[u.argmin()])}


def main(argv=None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, required=True, help="table of r and g(r)")
    parser.add_argument("--r-unit", choices=["nm", "angstrom"], required=True)
    parser.add_argument("--column", default=None, help="name of the g(r) column")
    parser.add_argument("--sigma", type=float, default=0.005, help="uncertainty of g(r)")
    parser.add_argument("--temperature", type=float, default=300.0, help="K")
    parser.add_argument("--density", type=float, default=33.28, help="nm^-3")
    parser.add_argument("--cutoff", type=float, default=0.9, help="nm")
    parser.add_argument("--bins", type=int, default=90)
    parser.add_argument("--coefficients", type=int, default=64)
    parser.add_argument("--particles", type=int, default=600)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args(argv)
    result = run(args)
    print(json.dumps(result, indent=1))
    return result


if __name__ == "__main__":
    main()
