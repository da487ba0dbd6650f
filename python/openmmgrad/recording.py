# SPDX-License-Identifier: MIT
"""What a Recorder has recorded, in memory or on disk, as series and as paths."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import require
from .path import Path, windows_of
from .selection import topology_from_table
from .series import Series, StoredSeries

VELOCITIES, STRESS = "velocities", "stress"


class Recording:
    """Series of a simulation: `Recorder.load` gives one, and a Recorder is one."""

    def __init__(self, series: Series) -> None:
        self._series: Series | None = series
        self._pending: Pending | None = None

    @staticmethod
    def load(directory: Any) -> Recording:
        """A `Recording` on disk, to be read.

        Raises
        ------
        FileNotFoundError
            If the directory or one of its files is missing.
        ValueError
            If no Recorder wrote it, or a file is truncated.
        """
        return Recording(StoredSeries.load(directory))

    def flush(self) -> None:
        """Write what was recorded since the last whole block; reading, and the end of Python, do it as well."""
        if self._pending is not None:
            self._pending.flush()

    @property
    def names(self) -> list[str]:
        """Names of the series."""
        return list(self._facts()["series"])

    def series(self, name: str | None = None) -> np.ndarray:
        """All records of a series (see `path`): [T', 3], [T', n, 3] of velocities; memory-mapped where in a file."""
        name = self._name(name)
        require(self._series.rows.get(name, 0) > 0, "Recorder", f"expected records of {name!r}, found none",
                "Run for longer")
        return self._series.read(name)

    def path(self, name: str | None = None, n_times: int | None = None, start_every: int | None = None) -> Path:
        """Windows of a series, for observables of paths.

        Parameters
        ----------
        name
            Of a flux or dipole, "velocities" or "stress"; None is "charge", or the only series.
        n_times
            T, records per window; None makes one window of all.
        start_every
            Records from the start of one window to that of the next; None is ``n_times``. Overlapping windows share
            memory.

        Returns
        -------
        Path
            With ``velocities`` [S, T, n, 3] of the selected atoms (their masses and topology), or ``observed``
            [S, T, 3] of a flux or dipole and [S, T, 3 or 6] of the pressure, kJ/mol/nm^3.
        """
        name, facts, array = self._name(name), self._facts(), self.series(name)
        n_times = len(array) if n_times is None else int(n_times)
        start_every = n_times if start_every is None else int(start_every)
        require(1 <= n_times <= len(array) and start_every >= 1, "Recorder.path",
                f"expected windows of 1 to {len(array)} records and start_every from 1, found n_times = {n_times} and "
                f"start_every = {start_every}", "Use shorter windows, or record more steps")
        masses, topology = np.array(facts["masses"]), topology_from_table(facts["topology"])
        if name == VELOCITIES:
            atoms = np.array(facts["atoms"])
            masses, topology = masses[atoms], None if topology is None else topology.subset(atoms)
        stride = facts["interval"] * (facts["every"] if name == STRESS else 1)
        windows = windows_of(array, n_times, start_every)
        arrays = {"velocities": windows} if name == VELOCITIES else {"velocities": None, "observed": windows}
        return Path(None, **arrays, times=np.arange(n_times) * stride * facts["timestep"],
                    timestep=facts["timestep"], stride=stride, masses=masses,
                    boxes=None if facts["box"] is None else np.array(facts["box"]), topology=topology,
                    temperature=facts["temperature"],
                    half_step=facts["half_step"] and facts["series"][name] in ("flux", VELOCITIES))

    def _name(self, name: str | None) -> str:
        names = self.names
        if name is None:
            name = names[0] if len(names) == 1 else "charge"
        require(name in names, "Recorder", f"expected one of the series {', '.join(names)}, found {name!r}",
                "Name one of them")
        return name

    def _facts(self) -> dict:
        require(self._series is not None, "Recorder", "expected records, found none", "Run it, or simulation.step()")
        self.flush()
        return self._series.facts


class Pending:
    """Records that are not yet in a series; it holds no Recorder, so that a Recorder's end can flush it."""

    def __init__(self, series: Series, size: int) -> None:
        self.series, self.size = series, size
        self._n, self._blocks = 0, {}

    def add(self, n: int, arrays: dict[str, np.ndarray]) -> None:
        """Add n records."""
        self._n += n
        for name, array in arrays.items():
            self._blocks.setdefault(name, []).append(array)
        if self._n >= self.size:
            self.flush()

    def flush(self) -> None:
        """Give all records to the series."""
        if self._n:
            n, blocks = self._n, self._blocks
            self._n, self._blocks = 0, {}
            self.series.extend(n, {name: np.concatenate(parts) for name, parts in blocks.items()})
