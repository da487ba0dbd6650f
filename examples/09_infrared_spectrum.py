# SPDX-License-Identifier: MIT
"""The inverse problem of spectroscopy with a known answer: a force field from its infrared spectrum alone.

The experiment is the spectrum of SPC/Fw water, from many windows of constant energy. The fit starts from charges, O-H
and angle constants that are 5 to 9 % off, and finds all three by Gauss-Newton: the spectrum changes with the weights of
the frames that windows start from, and with the windows themselves. Short windows serve the fit; both force fields are
then compared on long independent runs.

    python examples/09_infrared_spectrum.py --out out/infrared
    python examples/09_infrared_spectrum.py --no-weights    # by the paths' part of the gradient alone
    python examples/09_infrared_spectrum.py --sum-rule      # both parts of a gradient whose value is known
    python examples/09_infrared_spectrum.py --short
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

import openmmgrad as og

TEMPERATURE = 298.15
TIMESTEP = 0.0005  # ps, of every window
TRUTH = {name: og.waters.SPC_FW[name] for name in ("q_H", "k_OH", "k_HOH")}
START = {"q_H": 1.06, "k_OH": 0.94, "k_HOH": 1.09}  # of the truth
BANDS = {"libration": (300.0, 900.0), "bend": (1200.0, 1900.0), "stretch": (3000.0, 4200.0)}


def water(factors: dict[str, float], args):
    """A Model of flexible water whose three parameters are learnt, and the positions it starts from."""
    values = {name: TRUTH[name] * factors.get(name, 1.0) for name in TRUTH}
    system, topology, positions = og.flexible_water(args.molecules, values, cutoff=args.cutoff)
    model = og.Model(system, topology)
    model.add_parameters(values, scale={name: 0.1 * value for name, value in TRUTH.items()})
    return model, positions


def ensemble(model, positions, args, n_frames: int, seed: int, name: str) -> og.Ensemble:
    """Frames 0.2 ps apart."""
    return og.Ensemble(model, positions, TEMPERATURE, timestep=0.001, friction=2.0, n_frames=n_frames, stride=200,
                       equilibration=args.equilibration, seed=seed, name=name, threads=1)


def spectrum_of(model, args, **options) -> og.IRSpectrum:
    return og.IRSpectrum(og.PointCharges.of(model), np.arange(0.0, 4301.0, 15.0), max_lag=args.max_lag, **options)


def measure(model, positions, args, n_frames: int, n_steps: int, seed: int, name: str):
    """The spectrum of independent long windows, and where they started."""
    sampler, ir = ensemble(model, positions, args, n_frames, seed, name), spectrum_of(model, args)
    frames = sampler.sample()
    with torch.no_grad():
        path = og.propagate(model, frames, TIMESTEP, n_steps, observe=ir.observe, threads=1)
    return og.expectation(ir(path), og.Weights.uniform(len(frames)), observable=ir), sampler.positions


def recover(args) -> dict:
    clock = time.perf_counter()
    truth, positions = water({}, args)
    target, positions = measure(truth, positions, args, args.target_frames, args.long_steps, args.seed + 100, "truth")
    model, _ = water(START, args)
    sampler, ir = ensemble(model, positions, args, args.frames, args.seed, "water"), spectrum_of(model, args)
    windows = {"timestep": TIMESTEP, "n_steps": args.steps, "observe": ir.observe, "threads": 1,
               "n_differentiated": args.differentiated,
               "weight_term": not args.no_weights}
    goal = og.Target(ir, sampler, target.mean_values, target.stderr, name="IR", propagate=windows)
    result, clock = {"target seconds": time.perf_counter() - clock}, time.perf_counter()
    history = og.fit([goal], max_iterations=args.iterations, tolerance=args.tolerance, directory=args.out,
                     progress=not args.short)
    result["fit seconds"] = time.perf_counter() - clock
    result["iterations"] = len(history) - 1
    for name, value in TRUTH.items():
        column = history.column(f"parameter {name}") / value - 1
        result[f"{name} off by iteration (%)"] = (100 * column).round(3).tolist()
        result[f"{name} stated error (%)"] = 100 * history.rows[-1][f"error {name}"] / value
    result["chi2 by iteration"] = history.column("chi2 IR").round(2).tolist()
    result["n_eff by iteration"] = history.column("n_eff").round(2).tolist()
    print(history.influence)
    return result | compare(truth, model, positions, target, args)


def sum_rule(args) -> dict:
    """d ln(area)/d ln(parameter) by its two parts; by the f-sum rule it is 2 for charges and 0 for all others."""
    model, positions = water({}, args)
    frames = ensemble(model, positions, args, args.frames, args.seed + 300, "water").sample()
    ir = og.IRSpectrum(og.PointCharges.of(model), np.arange(0.0, 6001.0, 15.0), max_lag=args.max_lag)
    run = og.Propagator(model, TIMESTEP, args.steps, observe=ir.observe, threads=1)

    def areas() -> np.ndarray:
        with torch.no_grad():
            return np.trapezoid(ir(run(frames)).numpy(), ir.grid, axis=1)

    now, values, result = areas(), model.parameter_values(), {}
    slopes = torch.stack([torch.autograd.grad(energy, values, retain_graph=True)[0]
                          for energy in model.parameter_energies(frames, values)]).numpy()
    for g, (name, value) in enumerate(TRUTH.items()):
        both = []
        for factor in (1 + 1e-4, 1 - 1e-4):
            with torch.no_grad():
                model.global_parameters[name].fill_(factor * value)
            both.append(areas())
        with torch.no_grad():
            model.global_parameters[name].fill_(value)
        path = (both[0] - both[1]) / 2e-4 / now.mean()
        energy = value * slopes[:, g] / (og.units.KB * TEMPERATURE)
        weight = -(now / now.mean() - 1) * (energy - energy.mean())
        for part, rows in (("paths", path), ("weights", weight), ("sum", path + weight)):
            result[f"{name}, {part}"] = [round(float(x), 4) for x in (rows.mean(), rows.std() / len(rows) ** 0.5)]
        result[f"{name}, exact"] = 2.0 if name == "q_H" else 0.0
    return result


def compare(truth, model, positions, target, args) -> dict:
    """Both force fields on runs that no fit has seen."""
    found, rows = {}, {}
    for k, (name, each) in enumerate((("truth", truth), ("fitted", model))):
        estimate, _ = measure(each, positions, args, args.check_frames, args.long_steps, args.seed + 200 + k, name)
        rows[name] = estimate
        found[name] = og.bands(estimate.grid, estimate.mean_values, BANDS)
    result = {"check ps": args.check_frames * args.long_steps * TIMESTEP}
    for band in BANDS:
        at = [found[name][band].position for name in ("truth", "fitted")]
        result[f"{band} (1/cm), truth and fitted"] = [round(x, 1) for x in at]
    grid = rows["truth"].grid
    result["relative L2 of the spectra (%)"] = og.relative_l2(
        rows["fitted"].mean_values, rows["truth"].mean_values, grid, 0.0, 4300.0)
    if args.out is not None:
        axes = spectrum_of(truth, args).plot(rows["fitted"], rows["truth"])
        axes.figure.savefig(Path(args.out) / "spectrum.png", dpi=150)
    return result


def main(argv=None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=int, default=64)
    parser.add_argument("--cutoff", type=float, default=0.6, help="nm")
    parser.add_argument("--frames", type=int, default=256, help="windows of an iteration")
    parser.add_argument("--differentiated", type=int, default=48, help="of these, for the paths' part of the Jacobian")
    parser.add_argument("--steps", type=int, default=400, help="of a window, 0.5 fs each")
    parser.add_argument("--max-lag", type=float, default=0.15, help="ps")
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--tolerance", type=float, default=0.02, help="change that ends the fit, parts of 10 %%")
    parser.add_argument("--no-weights", action="store_true", help="without the weights' part of the gradient")
    parser.add_argument("--sum-rule", action="store_true", help="check the gradient of the area instead of fitting")
    parser.add_argument("--target-frames", type=int, default=120)
    parser.add_argument("--check-frames", type=int, default=110)
    parser.add_argument("--long-steps", type=int, default=4000)
    parser.add_argument("--equilibration", type=int, default=10000, help="steps of 1 fs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="directory of the fit and its figures; run again to resume")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--short", action="store_true", help="a few seconds, to see that it runs")
    args = parser.parse_args(argv)
    if args.short:
        args.molecules, args.cutoff, args.frames, args.steps, args.iterations = 16, 0.38, 12, 160, 1
        args.max_lag, args.target_frames, args.check_frames, args.long_steps = 0.08, 8, 4, 200
        args.equilibration, args.differentiated = 500, 6
    result = sum_rule(args) if args.sum_rule else recover(args)
    for name, value in result.items():
        print(f"{name:45s} {value if not isinstance(value, float) else f'{value:.4g}'}")
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=1))
    return result


if __name__ == "__main__":
    main()
