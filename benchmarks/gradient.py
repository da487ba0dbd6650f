# SPDX-License-Identifier: MIT
"""Cost of a gradient through a trajectory, beside plain dynamics of the same System and beside other programs.

Two liquids on the CPU platform: argon (rho* = 0.8442, T* = 0.73, 2 fs; a LearnablePairForce of 64 coefficients to 2.5
sigma, where the force ends at zero), and flexible SPC/Fw water (300 K, 0.5 fs; PME to 1e-5). Of water one learns the
O-H force constant, whose energy derivative OpenMM has in closed form, and then a shift of charges as well, which
is differenced; with central and with alternating differences. A window ends in a loss of its last positions and
velocities.

The lines take turns, and a turn repeats windows for --seconds, so that what else the machine does hits all lines:
ratios to plain dynamics of the same round, their median and range, the ratio of the best turns, and that of CPU times
(of all threads of a process), which feel other jobs least. Rounds end early, after three, when a size has taken
--budget seconds. Peers run on the same argon, in their own processes and environments, where these are:

    python3 -m venv .venv-jaxmd && .venv-jaxmd/bin/python -m pip install jax-md "jax[cpu]"
    bash tests/torchforce/build_env.sh    # OpenMM-Torch: makes .venv-torchforce
    python benchmarks/gradient.py --json out/gradient.json --plot out/gradient.png
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads must not spin beside OpenMM's

import numpy as np
import torch
from gradient_liquids import (
    Gradient,
    Plain,
    argon_case,
    argon_liquid,
    argon_model,
    argon_nonbonded,
    water_box,
    water_liquid,
)
from gradient_turns import HERE, PEER_ROUNDS, Peer, Turns, compare, facts, spread, take_turns, text

import openmmgrad as og

STORED = ["--segment", "1", "--refresh", "step", "--skin", "0.06"]  # every state is kept: the fastest way found
PEERS = {  # name -> (worker, its options, the largest N)
    "jax-md, double, all states kept": ("jaxmd", STORED, 4000),
    "jax-md, double, sqrt(T) segments": ("jaxmd", ["--skin", "0.1"], 1000),
    "jax-md, single, all states kept": ("jaxmd", [*STORED, "--precision", "single"], 4000),
    "torch autograd, double": ("torch", ["--skin", "0.3"], 1000),  # keeps every pair of every step
    "TorchForce, double backward": ("torchforce", [], 1000),  # its list looks at all pairs
}
PLAIN, OURS = "plain dynamics", "gradient, 64 coefficients"
EXPECTED = "2.6 times plain dynamics for pairs alone, 3.3 for water; 12 times jax-md's gradient steps/s"


def report(turns: Turns, n_steps: int) -> dict:
    """All lines beside plain dynamics."""
    rows = {}
    for name, times in turns.items():
        speed = spread(n_steps / times["seconds"])
        rows[name] = {"steps_per_second": speed, "times_plain": compare(times, turns[PLAIN])}
        print(f"  {name:34} {speed[0]:9.1f} steps/s, times plain {text(rows[name]['times_plain'])}", flush=True)
    return rows


def measure_argon(n: int, options: argparse.Namespace) -> dict:
    """Lennard-Jones, with peers."""
    liquid, model = argon_liquid(n, options.threads), argon_model(n)
    ours = Gradient(model, liquid, options.steps, options.threads)
    lines = {PLAIN: Plain(model.create_system(liquid.temperature), liquid, options.steps, options.threads),
             "plain, OpenMM's NonbondedForce": Plain(argon_nonbonded(n), liquid, options.steps, options.threads),
             OURS: ours}  # fmt: skip
    peers = {}
    with tempfile.TemporaryDirectory() as directory:
        case = Path(directory) / "case.npz"
        np.savez(case, **argon_case(liquid, options.steps, options.threads))
        for name, (worker, arguments, largest) in PEERS.items():
            python = {"jaxmd": options.jaxmd_python, "torchforce": options.torchforce_python, "torch": sys.executable}
            python = python[worker]
            if os.path.exists(python) and n <= min(largest, options.peers_up_to):
                peers[name] = Peer(python, worker, arguments, case)
        print(f"argon, N = {n}")
        turns = take_turns(lines | peers, options)
        plain = {name: np.median([peer("md")["cpu"] for _ in range(PEER_ROUNDS)]) for name, peer in peers.items()}
        for peer in peers.values():
            peer.close()
    rows = report(turns, options.steps)
    slopes = {name: getattr(model.terms[0].potential, name).grad.item() for name in ("sigma", "epsilon")}
    rows[OURS] |= {"facts": {"loss": ours.loss.item(), "gradient": slopes}}
    for name, peer in peers.items():
        own = float(np.median(turns[name]["cpu"]) / plain[name])
        rows[name] |= {"facts": peer.facts, "ours_is_faster_by": compare(turns[name], turns[OURS]),
                       "dynamics_cpu_s": float(plain[name]), "cpu_times_own_dynamics": own}  # fmt: skip
        print(f"  ours is faster than {name:34} by {text(rows[name]['ours_is_faster_by'])}; {own:.2f} times its own "
              f"dynamics, {options.steps / plain[name]:.0f} steps per CPU s")  # fmt: skip
    for name in (OURS, *peers):
        facts = rows[name]["facts"]
        print(f"  {name:34} loss {facts['loss']:.5g}, slopes {facts['gradient']}")
    return {"liquid": "argon", "particles": n, "lines": rows}


def measure_water(n: int, box: np.ndarray, options: argparse.Namespace) -> dict:
    """Flexible water with PME."""
    liquid, system = water_liquid(n, box)
    lines = {PLAIN: Plain(system, liquid, options.steps, options.threads)}
    one, two = "gradient, k_OH", "gradient, k_OH and charges"
    for differences in ("central", "alternating"):
        for name, parameters in ((one, {"k_OH": 443153.8}), (two, {"k_OH": 443153.8, "charge_shift": 0.0})):
            if name == two and n > 4000:
                continue
            model = og.Model(system)
            model.add_parameters(parameters)
            suffix = "" if differences == "central" else ", alternating"
            lines[name + suffix] = Gradient(model, liquid, options.steps, options.threads, differences=differences)
    print(f"water, N = {system.getNumParticles()}")
    turns = take_turns(lines, options)
    rows = report(turns, options.steps)
    if two in rows:
        more = {key: turns[two][key] - turns[one][key] for key in ("seconds", "cpu")}
        rows[two]["differenced_parameter_times_plain"] = compare(more, turns[PLAIN])
        print(f"  the differenced parameter {text(rows[two]['differenced_parameter_times_plain'])}")
    return {"liquid": "water", "particles": system.getNumParticles(), "lines": rows}


def measure_memory(options: argparse.Namespace) -> list[dict]:
    """Stored and checkpointed, each in its own process."""
    rows = []
    if not options.memory_steps:
        return rows
    print(f"memory, argon, N = {options.memory_n}: MiB at most beyond a short window, MiB as Path.memory says, seconds")
    for n_steps in options.memory_steps:
        for every in (None, round(n_steps**0.5)):
            command = [sys.executable, HERE / "gradient_memory.py", "--steps", n_steps, "--n", options.memory_n,
                       "--threads", options.threads]  # fmt: skip
            command += [] if every is None else ["--checkpoint-every", every]
            out = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout
            rows.append(json.loads(out))
            peak, said = (value / 2**20 for value in (rows[-1]["peak_bytes"], rows[-1]["reported"]["bytes"]))
            print(f"  T = {n_steps:5} {'stored' if every is None else f'every {every}':>9} {peak:8.1f} {said:8.1f} "
                  f"{rows[-1]['seconds']:8.2f}", flush=True)  # fmt: skip
    return rows


def plot(document: dict, file: Path) -> None:
    """Three panels: times plain dynamics, steps per second beside peers, memory."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4), constrained_layout=True)
    lines: dict[tuple[str, str], list] = {}
    for result in document["results"]:
        for name, row in result["lines"].items():
            lines.setdefault((result["liquid"], name), []).append((result["particles"], row))

    def draw(axis, points: list, values: list, label: str) -> None:
        middle, low, high = np.array(values).T
        axis.errorbar([n for n, _ in points], middle, yerr=[middle - low, high - middle], marker="o", capsize=3,
                      label=label)  # fmt: skip

    for (liquid, name), points in lines.items():
        if name.startswith("gradient"):
            draw(axes[0], points, [row["times_plain"]["rounds"] for _, row in points], f"{liquid}: {name}")
        if liquid == "argon":
            draw(axes[1], points, [row["steps_per_second"] for _, row in points], name)
    for level in (2.6, 3.3):
        axes[0].axhline(level, color="grey", linestyle=":")
    axes[0].set(xscale="log", xlabel="N", ylabel="time of plain dynamics", ylim=(0, None))
    axes[1].set(xscale="log", yscale="log", xlabel="N", ylabel="steps/s, argon")
    for stored in (True, False):
        rows = [row for row in document["memory"] if (row["checkpoint_every"] is None) is stored]
        axes[2].plot([row["steps"] for row in rows], [row["peak_bytes"] / 2**20 for row in rows], marker="o",
                     label="stored" if stored else "checkpoints every sqrt(T)")  # fmt: skip
    axes[2].set(xlabel="steps T", ylabel="peak memory, MiB")
    for axis in axes:
        axis.legend(fontsize=7, framealpha=0.6)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


def main() -> None:
    """Measure, print, draw, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[1000, 4000, 16000, 64000])
    parser.add_argument("--water-up-to", type=int, default=16000, help="N of the largest box of water")
    parser.add_argument("--liquids", nargs="*", choices=["argon", "water"], default=["argon", "water"])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a turn, at least")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--budget", type=float, default=40, help="seconds of one size after which rounds end early")
    parser.add_argument("--jaxmd-python", default=".venv-jaxmd/bin/python", help="a Python that has jax-md")
    parser.add_argument("--torchforce-python", default=".venv-torchforce/bin/python",
                        help="a Python that has OpenMM-Torch and this package")  # fmt: skip
    parser.add_argument("--peers-up-to", type=int, default=4000, help="N of the largest liquid that peers run")
    parser.add_argument("--memory-steps", type=int, nargs="*", default=[200, 800, 3200])
    parser.add_argument("--memory-n", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for peer, python in (("jax-md", options.jaxmd_python), ("TorchForce", options.torchforce_python)):
        if not os.path.exists(python):
            print(f"{peer} is left out: there is no {python}")
    print(f"to compare with: {EXPECTED}")
    document = {"benchmark": "gradient", **facts(options), "seconds": options.seconds, "results": []}
    if "argon" in options.liquids:
        document["results"] += [measure_argon(n, options) for n in options.n]
    if "water" in options.liquids:
        box = water_box(options.threads)
        document["results"] += [measure_water(n, box, options) for n in options.n if n <= options.water_up_to]
    document |= {"memory": measure_memory(options), "load_at_end": os.getloadavg()}
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.plot is not None:
        plot(document, options.plot)


if __name__ == "__main__":
    main()
