# SPDX-License-Identifier: MIT
"""Pairs of atoms in stored frames, by the compiled loops: arrays in and out, for observables, which know no OpenMM."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import plugin
from .errors import require

_BLOCK = 2**22  # coordinates at a time: what is copied of frames that are not float64 in one piece, 32 MB


class FramePairs:
    """The distinct unordered pairs with one atom in each of two selections, which may overlap.

    Parameters
    ----------
    a, b
        Indices of the atoms, [n] of int, each distinct.

    Examples
    --------
    >>> x = np.array([[[0.1, 0.0, 0.0], [1.9, 0.0, 0.0], [1.0, 0.0, 0.0]]])
    >>> pairs = FramePairs(np.arange(3), np.arange(3))
    >>> pairs.histograms(x, 2.0 * np.eye(3)[None], edges=np.linspace(0, 1, 6))     # 0.2 nm through the boundary
    array([[0., 1., 0., 0., 2.]])
    >>> i, j, r = pairs.within(x[0], 2.0 * np.eye(3), 0.5)
    >>> sorted([int(i[0]), int(j[0])]), r.round(9).tolist()
    ([0, 1], [0.2])
    """

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        self._pairs = plugin.FramePairs(*(np.ascontiguousarray(atoms, dtype=np.intc) for atoms in (a, b)))

    def histograms(self, positions: np.ndarray, boxes: np.ndarray | None, edges: np.ndarray,
                   threads: int | None = None) -> np.ndarray:
        """Pairs of every frame in bins, [S, B]: those with edges[b] <= r < edges[b + 1] in double precision.

        Parameters
        ----------
        positions
            [S, N, 3], nm; a memory map is read in blocks.
        boxes
            [S, 3, 3], nm; None is not periodic.
        edges
            [B + 1], nm, evenly spaced, the last at most half the smallest width of the boxes.
        threads
            None is one for each processor. The counts do not depend on it.
        """
        n_threads = 0 if threads is None else threads
        counts = np.empty((len(positions), len(edges) - 1))
        for part, x, cells in _blocks(positions, boxes, edges[-1]):
            require(bool(np.isfinite(x).all()), "FramePairs",
                    f"positions of frames {part.start} to {part.stop - 1} contain NaN or infinite values",
                    "Leave such frames out")
            self._pairs.countDistances(x, cells, x.shape[1], edges, n_threads, counts[part])
        return counts

    def within(self, positions: np.ndarray, box: np.ndarray | None,
               distance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Atoms i [P] and j [P] of the pairs of one frame [N, 3] closer than a distance (nm), and how far r [P]."""
        boxes = None if box is None else box[None]
        ((_, x, cells),) = _blocks(positions[None], boxes, distance)
        pairs, distances = self._pairs.findWithin(x, cells, x.shape[1], distance)
        i, j = np.frombuffer(pairs, dtype=np.intc).reshape(-1, 2).T
        return i, j, np.frombuffer(distances)


def _blocks(positions: np.ndarray, boxes: np.ndarray | None,
            reach: float) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Frames start:stop as contiguous arrays, in boxes with a along x and b in the xy plane."""
    n_frames = max(_BLOCK // max(positions[0].size, 1), 1) if len(positions) else 1
    for start in range(0, len(positions), n_frames):
        part = slice(start, min(start + n_frames, len(positions)))
        x = np.ascontiguousarray(positions[part], dtype=np.float64)
        if boxes is None:
            cells = np.stack([enclosing_box(frame, reach) for frame in x])
        else:
            cells = np.ascontiguousarray(boxes[part], dtype=np.float64)
        if np.triu(cells, 1).any() or (np.diagonal(cells, axis1=1, axis2=2) <= 0).any():
            turned = np.linalg.cholesky(cells @ cells.transpose(0, 2, 1))
            x, cells = x @ (np.linalg.inv(cells) @ turned), turned
        yield part, x, cells


def enclosing_box(positions: np.ndarray, reach: float) -> np.ndarray:
    """A cell in which no image of a finite system [N, 3] comes within reach, [3, 3]."""
    extent = np.ptp(positions, axis=0)
    return np.diag(np.maximum(extent + reach, 2 * reach) * (1 + 1e-9))
