# SPDX-License-Identifier: MIT
"""Time series that grow by blocks of rows, in memory or in a directory of .npy files with a JSON index.

Rows are written first and counted afterwards, as in `storage`: a crash at any moment leaves the rows of the last block.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .errors import require
from .storage import map_rows, read_json, write_header, write_json

INDEX = "recording.json"
FORMAT = "openmmgrad-recording"
VERSION = 1
_REMEDY = "Pass a directory that a Recorder wrote"


class Series:
    """Named arrays [rows, ...] in memory, of records: each record adds a row to some of them.

    Parameters
    ----------
    facts
        Plain values (JSON) that do not grow.

    Examples
    --------
    >>> series = Series({})
    >>> series.extend(2, {"a": np.zeros((2, 3))})
    >>> series.extend(1, {"a": np.ones((1, 3))})
    >>> series.n_records, series.rows, float(series.read("a").sum())
    (3, {'a': 3}, 3.0)
    """

    def __init__(self, facts: dict) -> None:
        self.facts = facts
        self.n_records = 0
        self.rows: dict[str, int] = {}
        self._parts: dict[str, list[np.ndarray]] = {}

    def extend(self, n: int, blocks: dict[str, np.ndarray]) -> None:
        """Add n records: rows [.., ...] of some of the arrays."""
        self.n_records += n
        for name, block in blocks.items():
            self._parts.setdefault(name, []).append(block)
            self.rows[name] = self.rows.get(name, 0) + len(block)

    def read(self, name: str) -> np.ndarray:
        """All rows of an array."""
        self._parts[name] = [np.concatenate(self._parts[name])]
        return self._parts[name][0]


class StoredSeries(Series):
    """Named arrays [rows, ...] in a directory, which is made where missing.

    Parameters
    ----------
    path
        The directory.
    facts
        Plain values (JSON) that do not grow.
    overwrite
        Replace what the directory holds.

    Raises
    ------
    ValueError
        If the directory holds series already, or is not a directory.
    """

    def __init__(self, path, facts: dict, overwrite: bool = False) -> None:
        super().__init__(facts)
        self.path = Path(path)
        require(not self.path.exists() or self.path.is_dir(), "Recorder",
                f"{self.path} must be a directory, found a file", "Choose another path")
        require(overwrite or not (self.path / INDEX).exists(), "Recorder", f"{self.path} already holds a recording",
                "Choose another path, pass append=True to go on with it, or overwrite=True")
        self.path.mkdir(parents=True, exist_ok=True)
        self._kinds: dict[str, tuple[tuple[int, ...], str]] = {}
        self.commit()

    @classmethod
    def load(cls, path) -> StoredSeries:
        """What a directory holds.

        Raises
        ------
        FileNotFoundError
            If the directory or one of its files is missing.
        ValueError
            If it holds no series, was written by a newer version, or a file is too short.
        """
        path, who = Path(path), "Recorder.load"
        require(path.is_dir(), who, f"directory {path} not found", "Check the path", FileNotFoundError)
        index = read_json(path / INDEX, who, _REMEDY)
        require(index.get("format") == FORMAT, who, f"{path / INDEX} is not an index of a recording", _REMEDY)
        require(index["version"] <= VERSION, who,
                f"{path} has version {index['version']}, and versions up to {VERSION} are known", "Update openmmgrad")
        series = cls.__new__(cls)
        Series.__init__(series, index["facts"])
        series.path, series.n_records, series.rows = path, index["n_records"], index["rows"]
        series._kinds = {name: (tuple(shape), dtype) for name, (shape, dtype) in index["kinds"].items()}
        for name in series.rows:
            series.read(name)
        return series

    def extend(self, n: int, blocks: dict[str, np.ndarray]) -> None:
        """Add n records, written before they count."""
        for name, block in blocks.items():
            new = name not in self._kinds
            shape, dtype = self._kinds.setdefault(name, (block.shape[1:], block.dtype.str))
            file = self.path / f"{name}.npy"
            if new:  # a new file: whoever maps an older one keeps it
                file.unlink(missing_ok=True)
            self._write(file, "wb+" if new else "rb+", self.rows.get(name, 0) + len(block), shape, dtype,
                        block.tobytes())
            self.rows[name] = self.rows.get(name, 0) + len(block)
        self.n_records += n
        self.commit()

    def truncate(self, n: int, rows: dict[str, int]) -> None:
        """Keep the first n records: so many rows of each array."""
        self.n_records, self.rows = n, {name: rows[name] for name in self.rows}
        self.commit()
        for name, n in self.rows.items():
            shape, dtype = self._kinds[name]
            file = self.path / f"{name}.npy"
            with open(file, "rb") as stream:
                np.lib.format.read_magic(stream)
                np.lib.format.read_array_header_1_0(stream)
                end = stream.tell() + n * int(np.prod(shape)) * np.dtype(dtype).itemsize
            os.truncate(file, end)
            self._write(file, "rb+", n, shape, dtype, b"")

    def read(self, name: str) -> np.ndarray:
        """All rows of an array, memory-mapped."""
        shape, dtype = self._kinds[name]
        return map_rows(self.path / f"{name}.npy", self.rows[name], shape, dtype, "Recorder.load", "rows")

    def commit(self) -> None:
        """Write the index: facts and what counts."""
        kinds = {name: [list(shape), dtype] for name, (shape, dtype) in self._kinds.items()}
        write_json(self.path / INDEX, {"format": FORMAT, "version": VERSION, "n_records": self.n_records,
                                       "rows": self.rows, "kinds": kinds, "facts": self.facts})

    @staticmethod
    def _write(file: Path, mode: str, n_rows: int, shape: tuple[int, ...], dtype: str, content: bytes) -> None:
        with open(file, mode) as stream:
            write_header(stream, n_rows, shape, dtype)
            stream.seek(0, os.SEEK_END)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
