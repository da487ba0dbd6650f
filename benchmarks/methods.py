# SPDX-License-Identifier: MIT
"""Gauss-Newton, Adam and iterative Boltzmann inversion side by side: MD steps to the same chi^2.

The known answer of examples/01_lennard_jones.py: one target, one start (-kT ln g), the same frames an iteration.

    python benchmarks/methods.py --json out/methods.json
"""

import argparse
import importlib.util
import json
from datetime import date
from pathlib import Path

import torch

import openmmgrad as og

path = Path(__file__).parent.parent / "examples" / "01_lennard_jones.py"
spec = importlib.util.spec_from_file_location("lennard_jones", path)
known = importlib.util.module_from_spec(spec)
spec.loader.exec_module(known)

RHO, T = 0.845, 1.0
METHODS = {"gauss-newton": ("gauss-newton", {}), "ibi": ("ibi", {}), "adam": (torch.optim.Adam, {"lr": 0.03})}


def target_frames(args):
    source, positions = known.reference_model(args.particles, RHO)
    return known.ensemble(source, positions, T, args.target_frames, 901, "target", args.threads).sample()


def one(name: str, frames, args) -> dict:
    rdf = og.RDF(None, None, r_max=known.CUTOFF, bins=100)
    g = og.expectation(rdf(frames), og.Weights.uniform(len(frames))).mean.numpy()
    potential = og.SplinePotential.from_rdf(rdf.grid, g, known.REDUCED.temperature(T), known.CUTOFF)
    model, positions = known.learnable_model(potential, args.particles, RHO)
    sampler = known.ensemble(model, positions, T, args.frames, args.seed, name, args.threads)
    target = og.Target.from_frames(og.compute_features(model, frames), rdf, sampler, name="g(r)")
    method, options = METHODS[name]
    iterations = args.iterations if name == "gauss-newton" else args.baseline_iterations
    history = og.fit([target], method=method, max_iterations=iterations, progress=False, **options)
    return {"md_steps": history.column("md_steps").tolist(), "chi2": history.column("chi2 g(r)").tolist(),
            "rms": history.column("rms g(r)").tolist(), "u_error_kT": known.error_of(potential, T)[2]}


def main(argv=None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, default=500)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--target-frames", type=int, default=1500)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--baseline-iterations", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args(argv)
    frames = target_frames(args)
    result = {name: one(name, frames, args) for name in METHODS}
    best = {name: min(r["chi2"]) for name, r in result.items()}
    common = max(best.values())  # the chi^2 that all of them reach
    for r in result.values():
        r["steps_to_common_chi2"] = next(s for s, c in zip(r["md_steps"], r["chi2"], strict=True) if c <= common)
    result |= {"common_chi2": common, "date": date.today().isoformat()}
    print(json.dumps(result, indent=1))
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result) + "\n")
    return result


if __name__ == "__main__":
    main()
