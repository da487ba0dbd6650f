# SPDX-License-Identifier: MIT
"""Time and memory of g(r), and of features, for the stored frames of a Lennard-Jones liquid: ours, mdtraj and freud.

Argon at rho* = 0.8442, T* = 0.73; all pairs up to half the box, and up to 1 nm, in bins of 0.01 nm. mdtraj keeps the
distances of all pairs of all frames, and freud is slow up to half the box, so those run on some of the frames, and
times are given per frame. All take turns; medians and ranges over the rounds; peak memory is that of a process of its
own. freud-analysis is in the extra `bench`; without it the others run.

    python benchmarks/rdf.py --json out/rdf.json --plot out/rdf.png
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads must not spin beside ours

import mdtraj
import numpy as np
import openmm

import openmmgrad as og
from openmmgrad.features import FeatureEvaluator

try:
    import freud
except ImportError:
    freud = None

REDUCED = og.ReducedUnits(sigma=0.3405, epsilon=0.99607, mass=39.948)
CUTOFF, BIN = 2.5 * REDUCED.sigma, 0.01  # nm
TEMPERATURE = REDUCED.temperature(0.73)
MDTRAJ_MEMORY = 4e9  # bytes


def make_model(n: int) -> tuple[og.Model, np.ndarray]:
    system, topology, positions = og.bead_fluid(n, REDUCED.number_density(0.8442), REDUCED.mass)
    model = og.Model(system, topology)
    model.add_pair_potential(og.LennardJones(REDUCED.sigma, REDUCED.epsilon, cutoff=CUTOFF))
    return model, positions


def make_trajectory(model: og.Model, positions: np.ndarray, n_frames: int) -> mdtraj.Trajectory:
    """Frames of a short simulation, again and again with every atom moved at random by 0.01 nm."""
    ensemble = og.Ensemble(model, positions, TEMPERATURE, n_frames=min(n_frames, 20), stride=50, equilibration=1500,
                           platform="CPU", threads=os.cpu_count())  # fmt: skip
    frames = ensemble.sample()
    rng = np.random.default_rng(0)
    length = frames.boxes[0, 0, 0]
    x = np.empty((n_frames, *positions.shape), dtype=np.float32)
    for s in range(n_frames):
        x[s] = (frames.positions[s % len(frames)] + 0.01 * rng.normal(size=positions.shape)) % length
    trajectory = mdtraj.Trajectory(x, frames.topology)
    trajectory.unitcell_vectors = np.broadcast_to(frames.boxes[0], (n_frames, 3, 3)).astype(np.float32)
    return trajectory


class Ours:
    """RDF of Frames in memory."""

    def __init__(self, trajectory: mdtraj.Trajectory) -> None:
        self.frames = og.Frames.from_mdtraj(trajectory, TEMPERATURE)

    def __call__(self, r_max: float, bins: int, threads: int, n_frames: int) -> np.ndarray:
        return og.RDF(None, None, r_max=r_max, bins=bins, threads=threads)(self.frames[:n_frames]).mean(0).numpy()


class Mdtraj:
    """mdtraj.compute_rdf, which has one thread."""

    def __init__(self, trajectory: mdtraj.Trajectory) -> None:
        self.trajectory, self.pairs = trajectory, trajectory.topology.select_pairs("all", "all")

    def __call__(self, r_max: float, bins: int, threads: int, n_frames: int) -> np.ndarray:
        return mdtraj.compute_rdf(self.trajectory[:n_frames], self.pairs, r_range=(0.0, r_max), n_bins=bins)[1]


class Freud:
    """freud.density.RDF, frame by frame, with freud's own choice of a neighbour search."""

    def __init__(self, trajectory: mdtraj.Trajectory) -> None:
        self.box = freud.box.Box.cube(float(trajectory.unitcell_lengths[0, 0]))
        self.x = trajectory.xyz - np.float32(self.box.Lx / 2)

    def __call__(self, r_max: float, bins: int, threads: int, n_frames: int) -> np.ndarray:
        freud.parallel.set_num_threads(threads)
        rdf = freud.density.RDF(bins=bins, r_max=r_max, normalization_mode="finite_size")
        for x in self.x[:n_frames]:
            rdf.compute((self.box, x), reset=False)
        return np.array(rdf.rdf)


class ContextPerFrame:
    """Features of one frame after the other, by the methods of LearnablePairForce in a Context."""

    def __init__(self, model: og.Model, threads: int) -> None:
        system = model.create_system(TEMPERATURE)
        self.force = og.LearnablePairForce.cast(system.getForce(0))
        self.system = system
        self.context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("CPU"),
                                      {"Threads": str(threads)})  # fmt: skip

    def __call__(self, frames: og.Frames) -> tuple[np.ndarray, np.ndarray]:
        rows = []
        for x, box in zip(frames.positions, frames.boxes, strict=True):
            self.context.setPeriodicBoxVectors(*box)
            self.context.setPositions(x)
            rows.append((self.force.computeCoefficientDerivatives(self.context).ravel(),
                         self.force.computeVirial(self.context)[1].ravel()))  # fmt: skip
        return tuple(np.array(values) for values in zip(*rows, strict=True))


def take_turns(jobs: dict[str, tuple[Callable[[], object], int]], rounds: int) -> tuple[dict, dict]:
    """Milliseconds per frame, of the clock and of processors, of jobs of so many frames; and what they gave last."""
    times: dict = {name: {"wall": [], "cpu": []} for name in jobs}
    results = {}
    for k in range(rounds + 1):
        for name, (job, n_frames) in jobs.items():
            wall, cpu = perf_counter(), process_time()
            results[name] = job()
            if k:  # the first round warms up
                times[name]["wall"].append(1e3 * (perf_counter() - wall) / n_frames)
                times[name]["cpu"].append(1e3 * (process_time() - cpu) / n_frames)
    return times, results


def report(title: str, times: dict, frames: dict[str, int], total: int) -> dict[str, dict]:
    """A table, and the same as numbers: medians and ranges."""
    print(f"\n{title}")
    print(f"  {'ms per frame':22} {'median':>9} {'range':>19} {'processor':>10} {f's for {total}':>11} "
          f"{'slower by':>10} frames")
    fastest = min(float(np.median(t["wall"])) for t in times.values())
    rows = {}
    for name, t in times.items():
        median, cpu = float(np.median(t["wall"])), float(np.median(t["cpu"]))
        print(f"  {name:22} {median:9.3f} {min(t['wall']):9.3f}-{max(t['wall']):<9.3f} {cpu:10.3f} "
              f"{median * total / 1e3:11.2f} {median / fastest:10.1f} {frames[name]}")
        rows[name] = {"ms_per_frame": median, "range": [min(t["wall"]), max(t["wall"])], "cpu_ms_per_frame": cpu,
                      "frames": frames[name]}  # fmt: skip
    return rows


def measure_rdf(trajectory: mdtraj.Trajectory, r_max: float, options: argparse.Namespace) -> dict:
    bins, total, half = round(r_max / BIN), len(trajectory), r_max > 1.5
    ours, jobs, frames = Ours(trajectory), {}, {}

    def add(name: str, method: Callable, threads: int, n: int) -> None:
        n = min(n, total)
        jobs[name], frames[name] = (lambda: method(r_max, bins, threads, n), n), n

    for threads in options.threads:
        add(f"ours, {threads} threads", ours, threads, total)
    add("mdtraj, 1 thread", Mdtraj(trajectory), 1, options.mdtraj_frames)
    for threads in options.threads if freud else []:
        add(f"freud, {threads} threads", Freud(trajectory), threads, options.freud_frames * (1 if half else 10))
    times, results = take_turns(jobs, options.rounds)
    title = f"g(r) to {r_max:.3f} nm in {bins} bins, {total} frames of {trajectory.n_atoms} atoms"
    rows = report(title, times, frames, total)
    same = {}
    for name in ("mdtraj, 1 thread", *([f"freud, {options.threads[0]} threads"] if freud else [])):
        mine = ours(r_max, bins, 1, frames[name])
        same[name] = float(np.abs(mine - results[name]).max())
        print(f"  largest |difference of g| from {name.split(',')[0]}, same {frames[name]} frames: {same[name]:.1e} "
              f"(g up to {mine.max():.2f})")
    same_bits = all(np.array_equal(results[f"ours, {t} threads"], results[f"ours, {options.threads[0]} threads"])
                    for t in options.threads)  # fmt: skip
    print(f"  ours does not depend on the number of threads: {same_bits}")
    return {"r_max": r_max, "bins": bins, "times": rows, "largest_difference": same, "same_bits": same_bits}


def measure_features(model: og.Model, trajectory: mdtraj.Trajectory, options: argparse.Namespace) -> dict:
    n = min(options.feature_frames, len(trajectory))
    frames = og.Frames.from_mdtraj(trajectory[:n], TEMPERATURE)
    jobs: dict = {}
    for threads in options.threads:
        ours, context = FeatureEvaluator(model, threads), ContextPerFrame(model, threads)
        jobs[f"ours, {threads} threads"] = (lambda ours=ours: ours(frames.positions, frames.boxes), n)
        jobs[f"Context, {threads} threads"] = (lambda context=context: context(frames), n)
    times, results = take_turns(jobs, options.rounds)
    rows = report(f"dU/dc and d(tr W)/dc, cut off at {CUTOFF:.3f} nm", times, dict.fromkeys(jobs, n), len(trajectory))
    first, second = (results[f"{name}, {options.threads[0]} threads"] for name in ("ours", "Context"))
    difference = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(first, second, strict=True))
    print(f"  largest difference over the largest value: {difference:.1e}")
    return {"times": rows, "largest_relative_difference": difference}


def peak(kind: str, folder: Path, r_max: float, n_frames: int) -> dict:
    """Memory and time of one method in a process of its own, MiB and s."""
    run = subprocess.run([sys.executable, __file__, "--peak", kind, str(folder), str(r_max), str(n_frames)],
                         capture_output=True, text=True, check=True)  # fmt: skip
    return json.loads(run.stdout.splitlines()[-1])


def run_peak(kind: str, folder: str, r_max: float, n_frames: int) -> None:
    path, top, bins = folder + "/run.dcd", folder + "/run.pdb", round(r_max / BIN)

    def used() -> float:
        # not getrusage: its peak begins with that of the process that started this one
        return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

    before, start = used(), perf_counter()
    if kind == "ours":
        og.RDF(None, None, r_max=r_max, bins=bins).stream(mdtraj.iterload(path, top=top, chunk=50))
    else:
        method = {"mdtraj": Mdtraj, "freud": Freud}[kind]
        method(mdtraj.load(path, top=top)[:n_frames])(r_max, bins, 1, n_frames)
    print(json.dumps({"frames": n_frames, "mib": used(), "mib_of_imports": before, "seconds": perf_counter() - start}))


def measure_memory(trajectory: mdtraj.Trajectory, r_max: float, options: argparse.Namespace) -> dict:
    n, atoms = len(trajectory), trajectory.n_atoms
    fit = min(n, int(MDTRAJ_MEMORY / (4 * atoms * (atoms - 1) / 2)))
    found = {}
    print(f"\nPeak memory and time in a process of its own, from a DCD file, r_max = {r_max} nm")
    with tempfile.TemporaryDirectory() as folder:
        trajectory.save_dcd(folder + "/run.dcd")
        trajectory[0].save_pdb(folder + "/run.pdb")
        for kind, n_frames in (("ours", n), *([("freud", min(n, 50))] if freud else []), ("mdtraj", fit)):
            found[kind] = peak(kind, Path(folder), r_max, n_frames)
            how = "stream, chunks of 50 frames" if kind == "ours" else "all frames loaded"
            print(f"  {kind:8} {found[kind]['mib']:8.0f} MiB ({found[kind]['mib_of_imports']:.0f} after imports), "
                  f"{n_frames} frames in {found[kind]['seconds']:.1f} s; {how}")
    return found


def plot(document: dict, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 3.2), layout="constrained")
    parts = [(f"g(r) to {part['r_max']:.2f} nm", part["times"]) for part in document["rdf"]]
    parts.append(("features", document["features"]["times"]))
    for axes, (title, times) in zip(figure.subplots(1, 3), parts, strict=True):
        names = list(times)[::-1]
        values = [times[name]["ms_per_frame"] for name in names]
        ranges = np.array([np.abs(np.array(times[name]["range"]) - times[name]["ms_per_frame"]) for name in names]).T
        axes.barh(names, values, xerr=ranges, color=["tab:red" if "ours" in name else "tab:gray" for name in names])
        axes.set(xlabel="ms per frame", title=title)
        if max(values) > 10 * min(values):
            axes.set(xscale="log", xlim=(min(values) / 3, 2 * max(values)))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--particles", type=int, default=4000)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--mdtraj-frames", type=int, default=20, help="of each of its runs")
    parser.add_argument("--freud-frames", type=int, default=6, help="of each run to half the box; ten times to 1 nm")
    parser.add_argument("--feature-frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--peak", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        kind, folder, r_max, n_frames = options.peak
        return run_peak(kind, folder, float(r_max), int(n_frames))
    model, positions = make_model(options.particles)
    trajectory = make_trajectory(model, positions, options.frames)
    half = float(trajectory.unitcell_lengths.min()) / 2 * (1 - 1e-6)
    document = {"benchmark": "rdf", "particles": options.particles, "frames": options.frames, "rounds": options.rounds,
                "machine": platform.machine(), "cores": os.cpu_count(), "mdtraj": mdtraj.__version__,
                "freud": freud and freud.__version__, "rdf": [measure_rdf(trajectory, r, options) for r in (half, 1.0)],
                "features": measure_features(model, trajectory, options),
                "memory": measure_memory(trajectory, 1.0, options)}  # fmt: skip
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    if options.plot is not None:
        plot(document, options.plot)


if __name__ == "__main__":
    main()
