# SPDX-License-Identifier: MIT
"""How benchmarks of gradients take turns and compare, and facts of a run; also for resolution.py."""

import argparse
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from time import perf_counter

import numpy as np
import openmm
import torch

HERE = Path(__file__).parent
PEER_ROUNDS = 3
Turns = dict[str, dict[str, np.ndarray]]  # line -> quantity -> [rounds]


class Peer:
    """A worker process of gradient_peers.py; it sleeps until asked."""

    def __init__(self, python: str, worker: str, arguments: list[str], case: Path) -> None:
        self.log = tempfile.TemporaryFile("w+")
        command = [python, str(HERE / "gradient_peers.py"), worker, "--case", str(case), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        text=True)  # fmt: skip
        self.facts = self._read()

    def _read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f"a worker of gradient_peers.py stopped:\n{self.log.read()[-2000:]}")
        return json.loads(line)

    def __call__(self, what: str = "gradient") -> dict[str, float]:
        """Seconds of one window, with its gradient or by dynamics alone ("md")."""
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the worker."""
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


def take_turns(lines: dict[str, Callable[[], dict]], options: argparse.Namespace) -> Turns:
    """Means of each turn; one round before is not counted, and peers leave after some rounds."""
    start = perf_counter()
    for run in lines.values():
        run()
    turns = {name: [] for name in lines}
    for number in range(options.rounds):
        if number >= PEER_ROUNDS and perf_counter() - start > options.budget:
            break
        for name, run in lines.items():
            if isinstance(run, Peer) and number >= PEER_ROUNDS:
                continue
            windows, begin = [], perf_counter()
            while perf_counter() - begin < options.seconds:
                windows.append(run())
            turns[name].append({key: np.mean([window[key] for window in windows]) for key in windows[0]})
    return {name: {key: np.array([turn[key] for turn in of_line]) for key in of_line[0]}
            for name, of_line in turns.items()}  # fmt: skip


def compare(times: dict[str, np.ndarray], base: dict[str, np.ndarray]) -> dict:
    """Ratios of two lines: median, least and greatest of the rounds, of the best turns, of CPU times, and of parts."""
    rounds = min(len(times["seconds"]), len(base["seconds"]))
    times, base = ({key: values[:rounds] for key, values in line.items()} for line in (times, base))
    ratio = {"rounds": spread(times["seconds"] / base["seconds"]), "cpu": spread(times["cpu"] / base["cpu"]),
             "best": float(times["seconds"].min() / base["seconds"].min())}  # fmt: skip
    parts = {key: spread(times[key] / base["seconds"]) for key in ("forward", "backward") if key in times}
    return ratio | parts


def spread(values: np.ndarray) -> list[float]:
    """Median, least and greatest."""
    return [float(f(values)) for f in (np.median, np.min, np.max)]


def text(ratio: dict) -> str:
    """Of a comparison."""
    wall, cpu = ("{:.2f} ({:.2f}-{:.2f})".format(*ratio[key]) for key in ("rounds", "cpu"))
    return f"{wall:>20}, best {ratio['best']:.2f}, CPU {cpu}"


def facts(options: argparse.Namespace) -> dict:
    """Of the machine and the run."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.machine())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE).stdout
    return {"date": date.today().isoformat(), "commit": commit.strip(),
            "processor": processor, "cores": os.cpu_count(), "load": os.getloadavg(), "threads": options.threads,
            "steps": options.steps, "rounds": options.rounds, "openmm": openmm.__version__,
            "torch": torch.__version__}  # fmt: skip
