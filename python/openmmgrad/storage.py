# SPDX-License-Identifier: MIT
"""Arrays that grow on disk: a directory of .npy files, and a JSON index that says how many rows count.

Rows are written first and counted afterwards: the index is replaced atomically when the rows are on disk, so
that a crash at any moment leaves the directory readable, with the rows of the last `flush`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from .errors import require

INDEX = "frames.json"  # the number of rows, their shapes
FACTS = "system.json"  # what does not grow
FORMAT = "openmmgrad-frames"
VERSION = 1


class GrowingArrays:
    """Writes rows of named float64 arrays to a directory; memory holds at most `buffer_rows` of them.

    Parameters
    ----------
    path
        The directory; made where missing.
    facts
        Plain values stored once beside the arrays (JSON).
    buffer_rows
        Rows kept in memory before they are flushed.
    overwrite
        Replace what the directory holds.

    Raises
    ------
    ValueError
        If the directory already holds frames, or is not a directory.
    """

    def __init__(self, path, facts: dict, buffer_rows: int = 32, overwrite: bool = False) -> None:
        self.path = Path(path)
        self._buffer_rows = buffer_rows
        self._buffer: list[dict[str, np.ndarray]] = []
        self._shapes: dict[str, tuple[int, ...]] = {}
        self.n_rows = 0
        require(not self.path.exists() or self.path.is_dir(), "FrameWriter",
                f"{self.path} must be a directory, found a file", "Choose another path")
        index = self.path / INDEX
        require(overwrite or not index.exists(), "FrameWriter", f"{self.path} already holds frames",
                "Choose another path, or pass overwrite=True")
        self.path.mkdir(parents=True, exist_ok=True)
        index.unlink(missing_ok=True)
        write_json(self.path / FACTS, facts)
        self._commit()

    def append(self, row: dict[str, np.ndarray]) -> None:
        """Add one row of every array; the names and shapes are those of the first row."""
        self._buffer.append(row)
        if len(self._buffer) >= self._buffer_rows:
            self.flush()

    def flush(self) -> None:
        """Write the buffered rows and make them count."""
        if not self._buffer:
            return
        new = not self._shapes
        self._shapes = self._shapes or {name: array.shape for name, array in self._buffer[0].items()}
        n_rows = self.n_rows + len(self._buffer)
        for name, shape in self._shapes.items():
            path = self.path / f"{name}.npy"
            if new:  # a new file: frames that map an older one keep it
                path.unlink(missing_ok=True)
            with open(path, "wb+" if new else "rb+") as file:
                write_header(file, n_rows, shape)
                file.seek(0, os.SEEK_END)
                file.write(np.stack([row[name] for row in self._buffer]).tobytes())
                file.flush()
                os.fsync(file.fileno())
        self.n_rows = n_rows
        self._buffer = []
        self._commit()

    def add(self, name: str, values: np.ndarray) -> None:
        """Add an array [S, ...] with a row for each that the directory holds, when no more rows will come."""
        self.flush()
        with open(self.path / f"{name}.npy", "wb") as file:
            write_header(file, self.n_rows, values.shape[1:])
            file.write(np.asarray(values, dtype=float).tobytes())
            file.flush()
            os.fsync(file.fileno())
        self._shapes[name] = values.shape[1:]
        self._commit()

    def _commit(self) -> None:
        shapes = {name: list(shape) for name, shape in self._shapes.items()}
        write_json(self.path / INDEX,
                    {"format": FORMAT, "version": VERSION, "n_frames": self.n_rows, "arrays": shapes})


def write_header(file, n_rows: int, shape: tuple[int, ...], dtype: str = "<f8") -> None:
    """A .npy header, which numpy pads for a growing first axis: it keeps its length."""
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype, "fortran_order": False, "shape": (n_rows, *shape)})


def write_json(path: Path, content: dict) -> None:
    """Replace a file atomically."""
    temporary = path.with_name(path.name + ".new")
    with open(temporary, "w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_arrays(path) -> tuple[dict[str, np.ndarray], dict]:
    """Memory-mapped arrays of a directory, {name: [S, ...]}, and its facts.

    Raises
    ------
    FileNotFoundError
        If the directory does not exist or lacks one of its files.
    ValueError
        If it was not written by `GrowingArrays`, by a newer version of it, or a file is too short.
    """
    path = Path(path)
    require(path.is_dir(), "Frames.load", f"directory {path} not found", "Check the path", FileNotFoundError)
    index = read_json(path / INDEX)
    who = "Frames.load"
    require(index.get("format") == FORMAT, who, f"{path / INDEX} is not an index of frames", _REMEDY)
    require(index["version"] <= VERSION, who,
            f"{path} has version {index['version']}, and versions up to {VERSION} are known",
            "Update openmmgrad")
    arrays = {}
    for name, shape in index["arrays"].items():
        arrays[name] = map_rows(path / f"{name}.npy", index["n_frames"], tuple(shape))
    return arrays, read_json(path / FACTS)


_REMEDY = "Pass a directory written by Frames.save or FrameWriter"
_RESTORE = "Sample again, or restore the file"


def read_json(file: Path, who: str = "Frames.load", remedy: str = _REMEDY) -> dict:
    """A JSON object; refuses what is missing or truncated."""
    require(file.is_file(), who, f"{file.parent} holds no {file.name}", remedy)
    try:
        content = json.loads(file.read_text())
    except ValueError:
        content = None
    require(isinstance(content, dict), who, f"{file} is truncated or not JSON", remedy)
    return content


def map_rows(file: Path, n_rows: int, shape: tuple[int, ...], dtype: str = "<f8",
             who: str = "Frames.load", rows: str = "frames") -> np.ndarray:
    """The first rows of a .npy file, memory-mapped; refuses a file that is missing or too short."""
    require(file.is_file(), who, f"{file} not found", "The directory is incomplete: sample again",
            FileNotFoundError)
    size = np.dtype(dtype).itemsize * int(np.prod(shape)) * n_rows
    with open(file, "rb") as stream:
        try:
            np.lib.format.read_magic(stream)
            np.lib.format.read_array_header_1_0(stream)
        except ValueError:
            require(False, who, f"{file} is not a .npy file or is truncated", _RESTORE)
        offset = stream.tell()
    found = file.stat().st_size - offset
    require(found >= size, who,
            f"{file} is truncated: expected {size} bytes for {n_rows} {rows}, found {found}", _RESTORE)
    if size == 0:
        return np.zeros((n_rows, *shape), dtype)
    return np.memmap(file, dtype=dtype, mode="r", offset=offset, shape=(n_rows, *shape))
