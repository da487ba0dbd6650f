# SPDX-License-Identifier: MIT
"""History of a fit, and the run directory that survives a kill at any moment."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import require
from .influence import Influence

FORMAT = "openmm-grad fit"
VERSION = 1


@dataclass
class History:
    """What a fit did.

    Attributes
    ----------
    rows
        One dict per iteration: md_steps (cumulative), chi2 per degree of freedom and rms of every target, n_eff,
        change (see the tolerance of `fit`), seconds; "parameter <name>", every learnt global parameter, and
        "error <name>", its standard error, where known (Gauss-Newton; any method at the end, except for targets of
        paths and learnt torch energies).
    potentials
        u(r) in kT at every iteration, {ensemble: [iterations, pairs, R]}, on the distances `r`, [R], nm; of Models
        without pair potentials both are empty.
    estimates
        Latest averages of every target: {target: (grid, mean, stderr)}.
    bands
        {ensemble: (r [R], u [pairs, R], half-width [pairs, R])} in kT: u(r) lies inside with the confidence of
        `fit`, at all distances at once.
    influence
        Which target pulls which global parameter, and what the data leave open: an `Influence`; None before the end
        and where bands are missing.
    converged
        Whether the last step was below the tolerance.
    finished
        Whether a last sample confirmed the fitted parameters.
    """

    rows: list[dict] = field(default_factory=list)
    r: dict[str, np.ndarray] = field(default_factory=dict)
    potentials: dict[str, list[np.ndarray]] = field(default_factory=dict)
    estimates: dict[str, tuple] = field(default_factory=dict)
    bands: dict[str, tuple] = field(default_factory=dict)
    influence: Influence | None = None
    converged: bool = False
    finished: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> np.ndarray:
        """One figure of all iterations, [iterations]; the names are the keys of `rows`."""
        names = sorted({key for row in self.rows for key in row})
        require(name in names, "History.column", f"no figure {name!r}; found {', '.join(names)}", "Choose one of those")
        return np.array([row.get(name, np.nan) for row in self.rows])


def write_atomically(path: Path, write) -> None:
    """Call write(file) on a temporary file and move it to `path` in one step."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def save_arrays(path: Path, arrays: dict) -> None:
    """A .npz of plain arrays, written in one step."""
    write_atomically(path, lambda file: np.savez(file, **arrays))


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz, never pickled."""
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


class RunDirectory:
    """A fit on disk. An iteration counts when its line in history.jsonl is whole; everything else is written before.

    fit.json             what was asked for, with a fingerprint
    history.jsonl, .csv  one row per iteration
    state/NNNN.npz       parameters, Ensembles and optimiser after iteration NNNN
    estimates/NNNN.npz   averages of every target and u(r)
    influence.json       of a finished fit: see `Influence`
    frames/NNNN-k        frames of Ensemble k, as long as they are of use
    """

    def __init__(self, path: str | Path, facts: dict) -> None:
        self.path = Path(path)
        self._fingerprint = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        header = self.path / "fit.json"
        if header.exists():
            self._check(header, facts)
        else:
            present = [p.name for p in self.path.iterdir()] if self.path.exists() else []
            require(not present, "fit", f"directory {self.path} is not empty and holds no fit.json "
                    f"(found {present[:3]})", "Choose a new directory")
            for name in ("state", "estimates"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            text = json.dumps({"format": FORMAT, "version": VERSION, "fingerprint": self._fingerprint, "facts": facts},
                              indent=1, sort_keys=True)
            write_atomically(header, lambda file: file.write(text.encode()))

    def _check(self, header: Path, facts: dict) -> None:
        remedy = "Choose a new directory, or repeat the call that made it"
        try:
            found = json.loads(header.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"fit: {header} is not readable ({error}). {remedy}.") from error
        require(found.get("format") == FORMAT, "fit", f"{header} is not of this program", remedy)
        require(found.get("version") == VERSION, "fit",
                f"{header} has version {found.get('version')}, expected {VERSION}", remedy)
        different = [k for k in facts if found["facts"].get(k) != facts[k]]
        require(found["fingerprint"] == self._fingerprint, "fit",
                f"{self.path} holds another fit: it differs in {', '.join(different) or 'its settings'}", remedy)

    def rows(self) -> list[dict]:
        """The rows of all whole iterations; a line cut by a kill is dropped."""
        file = self.path / "history.jsonl"
        if not file.exists():
            return []
        rows = []
        for line in file.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return rows

    def state(self, iteration: int) -> dict[str, np.ndarray]:
        """The arrays saved after an iteration."""
        return load_arrays(self._file("state", iteration))

    def estimates(self, iteration: int) -> dict[str, np.ndarray]:
        """The averages and potentials of an iteration."""
        return load_arrays(self._file("estimates", iteration))

    def frames(self, iteration: int, k: int) -> Path:
        """The directory of the frames of Ensemble k in an iteration."""
        return self.path / "frames" / f"{iteration:04d}-{k}"

    def new_frames(self, iteration: int, k: int) -> Path:
        """The same, empty."""
        shutil.rmtree(self.frames(iteration, k), ignore_errors=True)
        return self.frames(iteration, k)

    def keep_frames(self, kept: set[tuple[int, int]]) -> None:
        """Remove the frames of all but some (iteration, k)."""
        names = {self.frames(i, k).name for i, k in kept}
        for path in (self.path / "frames").iterdir():
            if path.name not in names:
                shutil.rmtree(path)

    def influence(self) -> Influence | None:
        """The one saved by `commit`, or None."""
        file = self.path / "influence.json"
        return Influence.from_dict(json.loads(file.read_text())) if file.exists() else None

    def commit(self, iteration: int, rows: list[dict], state: dict, estimates: dict,
               influence: Influence | None = None) -> None:
        """Save an iteration; it counts once the history holds its row."""
        if influence is not None:
            text = json.dumps(influence.as_dict(), indent=1)
            write_atomically(self.path / "influence.json", lambda file: file.write(text.encode()))
        save_arrays(self._file("estimates", iteration), estimates)
        save_arrays(self._file("state", iteration), state)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        write_atomically(self.path / "history.jsonl", lambda file: file.write(lines.encode()))
        self._write_csv(rows)

    def _file(self, kind: str, iteration: int) -> Path:
        return self.path / kind / f"{iteration:04d}.npz"

    def _write_csv(self, rows: list[dict]) -> None:
        names = list(dict.fromkeys(key for row in rows for key in row))
        temporary = self.path / "history.csv.tmp"
        with open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(temporary, self.path / "history.csv")
