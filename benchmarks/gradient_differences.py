# SPDX-License-Identifier: MIT
"""Differences of nonbonded forces in the reverse sweep: central, to one side, and to both sides in turns.

Central differences evaluate a force at x + h d and x - h d. The others evaluate it at one of the two and take F(x) from
the step itself, m (x'' - 2 x' + x) / dt^2. Errors are those of the gradient of one window on CPU against the same by
central differences on Reference: of each parameter relative to it, of dL/dx and dL/dv as rms relative to their rms.
Costs are CPU times of a window with its gradient over plain dynamics of the same System, medians and ranges of rounds
in which all lines take turns.

    python benchmarks/gradient_differences.py --json out/differences.json --plot out/differences.png
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads must not spin beside OpenMM's

import numpy as np
import openmm
import torch
from gradient_liquids import (
    Gradient,
    Liquid,
    Plain,
    argon,
    argon_liquid,
    argon_nonbonded,
    water_box,
    water_liquid,
)
from gradient_turns import facts, spread

import openmmgrad as og

METHODS = ("central", "one-sided", "alternating")
WATER = {"k_OH": 443153.8, "charge_shift": 0.0}
ARGON = {"sigma_shift": 0.0, "epsilon_shift": 0.0}
SCALES = {"k_OH": 443153.8, "charge_shift": 0.41, "sigma_shift": argon.SIGMA, "epsilon_shift": argon.EPSILON}


def argon_system(n: int) -> openmm.System:
    """Liquid argon by NonbondedForce alone, switched off from 2.2 to 2.5 sigma."""
    system = argon_nonbonded(n)
    force = system.getForce(system.getNumForces() - 1)
    force.setUseSwitchingFunction(True)
    force.setSwitchingDistance(2.2 * argon.SIGMA)
    for k, name in enumerate(ARGON):
        force.addGlobalParameter(name, 0.0)
        for i in range(n):
            force.addParticleParameterOffset(name, i, 0, float(k == 0), float(k == 1))
    return system


def learn(system: openmm.System, parameters: dict[str, float]) -> og.Model:
    """A Model with global parameters."""
    model = og.Model(system)
    model.add_parameters(parameters, scale={name: SCALES[name] for name in parameters})
    return model


def gradient(model: og.Model, liquid: Liquid, n_steps: int, method: str, **options) -> dict[str, np.ndarray]:
    """Of a window with respect to parameters and to the state that it starts from."""
    propagator = og.Propagator(model, liquid.timestep, n_steps, n_steps, threads=1, temperature=liquid.temperature,
                               **options)  # fmt: skip
    propagator.differences = method  # "one-sided" is no choice of users
    state = [torch.tensor(part, requires_grad=True) for part in (liquid.positions, liquid.velocities)]
    names = model.parameter_names
    found = torch.autograd.grad(liquid.loss(propagator(initial=tuple(state))),
                                [*(model.global_parameters[name] for name in names), *state])  # fmt: skip
    return {name: g.numpy() for name, g in zip([*names, "x", "v"], found, strict=True)}


def measure_errors(name: str, model: og.Model, liquid: Liquid, options: argparse.Namespace) -> list[dict]:
    """All methods at several displacements, for windows of several lengths."""
    rows = []
    print(f"{name}: relative errors on CPU against Reference; displacement in units of the default (1e-3 nm)")
    for n_steps in options.error_steps:
        exact = gradient(model, liquid, n_steps, "central", platform="Reference")
        for method in METHODS:
            for factor in options.displacements:
                found = gradient(model, liquid, n_steps, method, platform="CPU", displacement=factor)
                errors = {key: float(np.linalg.norm(found[key] - g) / np.linalg.norm(g)) for key, g in exact.items()}
                rows.append({"liquid": name, "steps": n_steps, "method": method, "displacement": factor} | errors)
                text = "  ".join(f"{key} {error:.1e}" for key, error in errors.items())
                print(f"  {n_steps:4} steps  {method:11}  {factor:4g}   {text}", flush=True)
    return rows


def measure_cost(name: str, system: openmm.System, liquid: Liquid, parameters: dict[str, float],
                 options: argparse.Namespace) -> dict:  # fmt: skip
    """Times plain dynamics, CPU time."""
    lines = {"plain": Plain(system, liquid, options.steps, options.threads)}
    for count in (1, 2):
        for method in ("central", "alternating"):
            model = learn(system, dict(list(parameters.items())[:count]))
            lines[f"{method}, {', '.join(model.parameter_names)}"] = Gradient(
                model, liquid, options.steps, options.threads, differences=method)  # fmt: skip
    for run in lines.values():
        run()
    turns = [{key: run() for key, run in lines.items()} for _ in range(options.rounds)]
    rows = {}
    print(f"{name}, N = {system.getNumParticles()}, {options.steps} steps: times plain dynamics, CPU time (wall time)")
    for key in list(lines)[1:]:
        rows[key] = {kind: spread(np.array([turn[key][kind] / turn["plain"][kind] for turn in turns]))
                     for kind in ("cpu", "seconds")}  # fmt: skip
        (middle, low, high), wall = rows[key]["cpu"], rows[key]["seconds"][0]
        print(f"  {key:40} {middle:5.2f} ({low:.2f}-{high:.2f})   ({wall:.2f})", flush=True)
    return {"liquid": name, "particles": system.getNumParticles(), "times_plain": rows}


def plot(document: dict, file: Path) -> None:
    """The largest error of a parameter against the displacement, and costs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    longest = max(row["steps"] for row in document["errors"])
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), constrained_layout=True)
    for axis, (liquid, names) in zip(axes, (("water", WATER), ("argon", ARGON)), strict=False):
        for method in METHODS:
            rows = [row for row in document["errors"]
                    if (row["liquid"], row["method"], row["steps"]) == (liquid, method, longest)]  # fmt: skip
            worst = [max(row[key] for key in (*names, "x", "v")) for row in rows]
            axis.loglog([row["displacement"] * 1e-3 for row in rows], worst, marker="o", label=method)
        axis.set(title=f"{liquid}, {longest} steps", xlabel="displacement, nm", ylabel="largest relative error")
        axis.legend(fontsize=7)
    for method in ("central", "alternating"):
        bars = [(f"{row['liquid']} {row['particles']}\n{key.split(', ', 1)[1]}", values["cpu"][0])
                for row in document["costs"] for key, values in row["times_plain"].items() if key.startswith(method)]
        axes[2].plot([value for _, value in bars], range(len(bars)), "o", label=method)
    axes[2].set(yticks=range(len(bars)), yticklabels=[label for label, _ in bars], xlim=(0, None),
                xlabel="CPU time of plain dynamics")  # fmt: skip
    axes[2].tick_params(axis="y", labelsize=6)
    axes[2].legend(fontsize=7)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


def main() -> None:
    """Measure, print, draw, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="*", default=[1000], help="of the costs")
    parser.add_argument("--steps", type=int, default=200, help="of the costs")
    parser.add_argument("--error-steps", type=int, nargs="*", default=[24, 100])
    parser.add_argument("--displacements", type=float, nargs="*", default=[0.1, 0.3, 1.0, 3.0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    document = {"benchmark": "gradient_differences", **facts(options), "errors": [], "costs": []}
    box = water_box(options.threads)
    liquid, system = water_liquid(999, box)
    document["errors"] += measure_errors("water", learn(system, WATER), liquid, options)
    document["errors"] += measure_errors("argon", learn(argon_system(500), ARGON), argon_liquid(500, 1), options)
    for n in options.n:
        liquid, system = water_liquid(n, box)
        document["costs"].append(measure_cost("water", system, liquid, WATER, options))
        liquid = argon_liquid(n, options.threads)
        document["costs"].append(measure_cost("argon", argon_system(n), liquid, ARGON, options))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.plot is not None:
        plot(document, options.plot)


if __name__ == "__main__":
    main()
