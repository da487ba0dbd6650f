# SPDX-License-Identifier: MIT
"""What a fit costs beside the dynamics: the parts of one Gauss-Newton iteration.

Lennard-Jones liquid, rho* = 0.845, T* = 1, 64 coefficients. Each round times MD, features, weights, the step and the
RDF of one iteration in turn; medians of the rounds.

    python benchmarks/fit.py --json out/fit.json
"""

import argparse
import json
import platform
import time
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np

import openmmgrad as og
from openmmgrad.features import FeatureEvaluator
from openmmgrad.fitting.gauss_newton import GaussNewton
from openmmgrad.fitting.problem import Problem
from openmmgrad.fitting.sample import Sample

REDUCED = og.ReducedUnits(sigma=0.34, epsilon=0.996, mass=39.948)
CUTOFF = 2.5 * REDUCED.sigma


def build(args):
    system, topology, positions = og.bead_fluid(args.particles, REDUCED.number_density(0.845), REDUCED.mass)
    truth = og.LennardJones(REDUCED.sigma, REDUCED.epsilon, CUTOFF)
    temperature = REDUCED.temperature(1.0)
    potential = og.SplinePotential.from_potential(truth, temperature)
    model = og.Model(system, topology)
    model.add_pair_potential(potential)
    time_unit = REDUCED.time(1.0)
    ensemble = og.Ensemble(model, positions, temperature, timestep=0.005 * time_unit, friction=1 / time_unit,
                           n_frames=args.frames, stride=args.stride, threads=args.threads, equilibration=1000)
    rdf = og.RDF(None, None, r_max=CUTOFF, bins=100)
    frames = ensemble.sample()
    ensemble.equilibration = 0
    target = og.Target.from_frames(frames, rdf, ensemble, name="g(r)")
    return ensemble, target, {k: v.clone() for k, v in potential.state_dict().items()}


def one_round(ensemble, target, start) -> dict[str, float]:
    model = ensemble.model
    seconds = {}

    def timed(name, work):
        began = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - began
        return result

    frames = timed("sampling", ensemble.sample)
    evaluator = FeatureEvaluator(model, ensemble.threads)
    timed("features", lambda: [evaluator(frames.positions[s:s + 1], frames.boxes[s:s + 1]) for s in range(len(frames))])
    seconds["md"] = seconds.pop("sampling") - seconds["features"]
    sample = Sample(ensemble, [frames])
    timed("weights", sample.weights)
    timed("gauss_newton", lambda: GaussNewton().step(Problem([target]), {ensemble: sample}))
    timed("rdf", lambda: target.observable(frames))
    model.terms[0].potential.load_state_dict(start)
    return seconds


def main(argv=None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, default=500)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--stride", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args(argv)
    ensemble, target, start = build(args)
    rounds = [one_round(ensemble, target, start) for _ in range(args.rounds)]
    result = {name: median(r[name] for r in rounds) for name in rounds[0]}
    shares = [100 * (r["features"] + r["weights"] + r["gauss_newton"]) / sum(r.values()) for r in rounds]
    result |= {"fit_percent": median(shares), "fit_percent_range": [min(shares), max(shares)],
               "particles": args.particles, "frames": args.frames, "stride": args.stride,
               "steps_per_second": args.frames * args.stride / result["md"],
               "date": date.today().isoformat(), "machine": platform.processor() or platform.machine(),
               "numpy": np.__version__}
    print(json.dumps(result, indent=1))
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result) + "\n")
    return result


if __name__ == "__main__":
    main()
