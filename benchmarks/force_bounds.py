# SPDX-License-Identifier: MIT
"""What bounds LearnablePairForce on the CPU platform: instructions, parts of a step, threads, memory.

The liquid of force.py. Each line is a Context of its own and they take turns in short spells, as there.
- Sets of instructions: time per step and per call with each that the processor has (OPENMMGRAD_CPU_SIMD).
- Parts of a step: a System without forces (integrator, OpenMM's own work); our force with a step of 1e-6 fs, which
  never rebuilds the list; the same with 2 fs; on one thread and on several.
- Memory: what a step must read of pairs and particles at the least, in GB/s, beside what a copy of an array reaches.

    python benchmarks/force_bounds.py --json out/force_bounds.json
"""

import argparse
import json
import os
from datetime import date
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads must not spin beside OpenMM's

import force as liquids
import numpy as np
import openmm

SETS = ["off", "sse", "avx2", "avx512"]
DENSITY, PADDING = 0.8442, 0.08  # per sigma^3; of the cutoff


def contexts_by_set(n: int, n_types: int, double: bool) -> dict[str, openmm.Context]:
    """A Context for each set of instructions that the processor has."""
    before = os.environ.get("OPENMMGRAD_CPU_SIMD")
    contexts = {}
    for name in SETS:
        os.environ["OPENMMGRAD_CPU_SIMD"] = name
        try:
            contexts[name] = liquids.make_context(liquids.learnable(n, n_types, double), n, 1)
        except openmm.OpenMMException as refusal:
            print(f"  {name}: {refusal}")
    os.environ.pop("OPENMMGRAD_CPU_SIMD")
    if before is not None:
        os.environ["OPENMMGRAD_CPU_SIMD"] = before
    return contexts


def compare_sets(n: int, positions: np.ndarray, rounds: int, seconds: float) -> dict:
    """CPU ms per step, in single and in double precision, and per call, on one thread."""
    table = {}
    for title, n_types, double in [("step, 1 type", 1, False), ("step, 4 types", 4, False), ("step, double", 1, True)]:
        contexts = contexts_by_set(n, n_types, double)
        times = liquids.take_turns(contexts, positions, rounds, seconds)
        table[title] = {name: 1e3 * float(np.median(values[:, 1])) for name, values in times.items()}
        if title == "step, 1 type":
            for_calls = contexts
    for name, context in for_calls.items():
        for call, values in liquids.time_calls(context, positions, rounds).items():
            table.setdefault(call, {})[name] = 1e3 * float(np.median(values[:, 1]))
    print(f"N = {n}, 1 thread, CPU ms{'':20}" + "".join(f"{name:>10}" for name in contexts))
    for title, values in table.items():
        print(f"  {title:42}" + "".join(f"{value:10.3f}" for value in values.values()))
    return table


def parts_of_a_step(n: int, positions: np.ndarray, threads: int, rounds: int, seconds: float) -> dict:
    """Milliseconds of wall and of CPU time."""
    contexts = {}
    for count in sorted({1, threads}):
        contexts[f"no force, {count} thread(s)"] = liquids.make_context(None, n, count)
        contexts[f"list kept, {count} thread(s)"] = liquids.make_context(liquids.learnable(n), n, count, 1e-9)
        contexts[f"2 fs, {count} thread(s)"] = liquids.make_context(liquids.learnable(n), n, count)
    times = liquids.take_turns(contexts, positions, rounds, seconds)
    medians = {name: 1e3 * np.median(values, 0) for name, values in times.items()}
    result = {name: {"milliseconds": wall, "cpu_milliseconds": cpu} for name, (wall, cpu) in medians.items()}
    print(f"N = {n}: ms per step, wall and CPU")
    for name, (wall, cpu) in medians.items():
        print(f"  {name:30} {wall:9.3f} {cpu:9.3f}")
    kept, full = medians["list kept, 1 thread(s)"][1], medians["2 fs, 1 thread(s)"][1]
    force = kept - medians["no force, 1 thread(s)"][1]
    within = n * 0.5 * 4 / 3 * np.pi * 2.5**3 * DENSITY
    listed = within * (1 + PADDING) ** 3
    reads = 4 * listed + n * (24 + 24 + 24 + 16 + 16 + 24)  # pairs; positions twice, forces, grid and sums
    rate = 1e-6 * reads / force
    result["bounds"] = {"force_cpu_milliseconds": force, "rebuilding_share": 1 - kept / full,
                        "nanoseconds_per_pair_within": 1e6 * force / within, "reads_gb_per_s": rate,
                        "copy_gb_per_s": copy_rate()}  # fmt: skip
    print("  force {force_cpu_milliseconds:.3f} ms, {nanoseconds_per_pair_within:.2f} ns per pair within the cutoff; "
          "rebuilding {rebuilding_share:.1%} of a step; memory at least {reads_gb_per_s:.1f} GB/s, a copy reads "
          "{copy_gb_per_s:.1f}".format(**result["bounds"]))  # fmt: skip
    return result


def copy_rate() -> float:
    """GB/s read by one thread that copies 64 MB."""
    source = np.ones(8_000_000)
    target, best = np.empty_like(source), np.inf
    for _ in range(5):
        begin = perf_counter()
        np.copyto(target, source)
        best = min(best, perf_counter() - begin)
    return 1e-9 * source.nbytes / best


def main() -> None:
    """Measure, print tables, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", default="1000,4000,32000,256000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="of each spell")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = []
    for n in (int(size) for size in options.sizes.split(",")):
        positions = liquids.liquid(n, options.threads)
        result = {"particles": n, "parts": parts_of_a_step(n, positions, options.threads, options.rounds,
                                                           options.seconds)}  # fmt: skip
        if n <= 4000:
            result["sets"] = compare_sets(n, positions, options.rounds, options.seconds)
        results.append(result)
    if options.json is not None:
        document = {"benchmark": "force_bounds", "date": date.today().isoformat(), "threads": options.threads,
                    "cores": os.cpu_count(), "openmm": openmm.__version__, "results": results}  # fmt: skip
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
