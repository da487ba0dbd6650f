# SPDX-License-Identifier: MIT
"""Cost of recording: the charge flux of every step, and the pressure tensor, beside plain dynamics.

Flexible SPC/Fw water with PME to 1e-5 on the CPU platform, Verlet, 0.5 fs. The lines take turns, each with its own
Context from the same state, and turns are short, so that what else the machine does hits all lines: ratios to plain
steps of the same round, their median and range, and the ratio of CPU times (all threads), which feel other jobs less.

    python benchmarks/recorder.py --json out/recorder.json
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from time import perf_counter, process_time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's idle threads must not spin beside OpenMM's

import numpy as np
import openmm
from openmm import app

import openmmgrad as og

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import molecules

DT, TEMPERATURE = 0.0005, 300.0
PLAIN = "plain integrator.step(n)"
CUTOFFS = {4: 0.6, 6: 0.9}  # nm, by molecules along an edge


def simulation_of(case: molecules.Case, threads: int) -> app.Simulation:
    """A Simulation of its own, a few steps after the case's state."""
    topology = app.Topology()
    chain = topology.addChain()
    for i in range(len(case.positions)):
        if i % 3 == 0:
            residue = topology.addResidue("HOH", chain)
        topology.addAtom(("O", "H1", "H2")[i % 3], app.Element.getBySymbol("OHH"[i % 3]), residue)
    simulation = app.Simulation(topology, case.system, openmm.VerletIntegrator(DT),
                                openmm.Platform.getPlatformByName("CPU"), {"Threads": str(threads)})
    simulation.context.setPositions(case.positions)
    simulation.context.setVelocities(case.velocities)
    simulation.step(50)
    return simulation


class FluxReporter:
    """What one writes by hand: velocities as an array, one sum."""

    def __init__(self, charges: np.ndarray) -> None:
        self.charges, self.fluxes = charges, []

    def describeNextReport(self, simulation: app.Simulation) -> dict:  # noqa: N802
        """Every step."""
        return {"steps": 1, "periodic": False, "include": ["velocities"]}

    def report(self, simulation: app.Simulation, state: openmm.State) -> None:
        """One step."""
        self.fluxes.append(self.charges @ state.getVelocities(asNumpy=True)._value)


def recorded(case: molecules.Case, threads: int, n_steps: int, **settings) -> Callable[[], None]:
    """Recorder.run of blocks."""
    simulation, recorder = simulation_of(case, threads), og.Recorder(**settings)
    return lambda: recorder.run(simulation.context, n_steps)


def reported(case: molecules.Case, threads: int, n_steps: int, reporter) -> Callable[[], None]:
    """simulation.step with a reporter."""
    simulation = simulation_of(case, threads)
    simulation.reporters.append(reporter)
    return lambda: simulation.step(n_steps)


def lines(case: molecules.Case, threads: int, n_steps: int) -> dict[str, Callable[[], None]]:
    """What takes turns."""
    plain, flux = simulation_of(case, threads), {"charge": case.charges}
    recorder = {"case": case, "threads": threads, "n_steps": n_steps}
    return {
        PLAIN: lambda: plain.integrator.step(n_steps),
        "a reporter by hand, each step": reported(**recorder, reporter=FluxReporter(case.charges)),
        "Recorder as reporter, each step": reported(**recorder, reporter=og.Recorder(fluxes=flux)),
        "Recorder.run, flux of each step": recorded(**recorder, fluxes=flux),
        "Recorder.run, flux, all velocities": recorded(**recorder, fluxes=flux, velocities=True),
        "Recorder.run, flux, 3 of the stress every 10": recorded(**recorder, fluxes=flux, stress=10),
        "Recorder.run, flux, 6 of the stress every 10": recorded(**recorder, fluxes=flux, stress=10, diagonal=True),
    }


def spread(values: np.ndarray) -> list[float]:
    """Median, least and greatest."""
    return [float(f(values)) for f in (np.median, np.min, np.max)]


def measure(n_side: int, options: argparse.Namespace) -> dict:
    """All lines for one box, in rounds."""
    case = molecules.water("spcfw", n_side, molecules.PME, CUTOFFS[n_side])
    turns = lines(case, options.threads, options.steps)
    times = {name: [] for name in turns}
    for round_ in range(options.rounds + 1):
        for name, run in turns.items():
            begin = perf_counter(), process_time()
            run()
            if round_ > 0:
                times[name].append((perf_counter() - begin[0], process_time() - begin[1]))
    times = {name: np.array(values) / options.steps for name, values in times.items()}
    plain, flux = times[PLAIN], times["Recorder.run, flux of each step"]
    rows = {}
    print(f"{n_side**3} waters")
    for name, values in times.items():
        seconds = values[:, 0]
        rows[name] = {"milliseconds_per_step": spread(1e3 * seconds), "times_plain": compare(values, plain)}
        ratio = rows[name]["times_plain"]
        text = "{:.3f} ({:.3f}-{:.3f})".format(*ratio["rounds"])
        print(f"  {name:45} {1e3 * np.median(seconds):6.3f} ms/step, times plain {text}, best {ratio['best']:.3f}, "
              f"CPU {ratio['cpu']:.3f}", flush=True)  # fmt: skip
        if "stress" in name:  # a sample more every tenth step
            cost = compare(10 * (values - flux), plain)
            rows[name]["sample_in_plain_steps"] = {key: cost[key] for key in ("rounds", "cpu")}
            text = "{:.1f} ({:.1f}-{:.1f})".format(*cost["rounds"])
            print(f"      a sample costs {text} plain steps, CPU {cost['cpu']:.1f}")
    return {"waters": n_side**3, "lines": rows}


def compare(values: np.ndarray, plain: np.ndarray) -> dict:
    """Ratios of (seconds, CPU seconds) [rounds, 2]: of the rounds, of the least, of the medians of CPU times."""
    return {"rounds": spread(values[:, 0] / plain[:, 0]), "best": float(values[:, 0].min() / plain[:, 0].min()),
            "cpu": float(np.median(values[:, 1]) / np.median(plain[:, 1]))}  # fmt: skip


def main(arguments: list[str] | None = None) -> list[dict]:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-side", type=int, nargs="+", default=[4, 6], choices=list(CUTOFFS),
                        help="waters along an edge")
    parser.add_argument("--steps", type=int, default=100, help="per turn, a multiple of 10")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the results there")
    options = parser.parse_args(arguments)
    results = [measure(n_side, options) for n_side in options.n_side]
    if options.json:
        lines_of_cpu = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.split(":")[1].strip() for line in lines_of_cpu if "model name" in line), "unknown")
        facts = {"benchmark": "recorder", "date": date.today().isoformat(), "processor": processor,
                 "machine": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg(),
                 "openmm": openmm.__version__, "threads": options.threads, "steps": options.steps,
                 "rounds": options.rounds, "timestep": DT}  # fmt: skip
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(facts | {"results": results}, indent=2) + "\n")
    return results


if __name__ == "__main__":
    main()
