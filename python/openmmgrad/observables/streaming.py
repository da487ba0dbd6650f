# SPDX-License-Identifier: MIT
"""Averages over trajectories that do not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..frames import Frames
from ..weights import Weights

_MOST = 256


class Blocks:
    """Sums over successive frames, in blocks of equal length: at most 256 of them, however many frames there are.

    When they are 256, neighbours merge: blocks are twice as long from then on.

    Examples
    --------
    >>> blocks = Blocks()
    >>> for chunk in np.arange(1000.0).reshape(10, 100, 1):
    ...     blocks.add(chunk)
    >>> means, weights = blocks.result()
    >>> len(means), blocks.length, round(float(weights.w @ means[:, 0]), 9)
    (250, 4, 499.5)
    """

    def __init__(self) -> None:
        self.length, self.n_frames = 1, 0
        self._sums: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        """Values of the next frames, [S, B]."""
        for value in values:
            if self.n_frames == _MOST * self.length:
                self._sums = [a + b for a, b in zip(self._sums[::2], self._sums[1::2], strict=True)]
                self.length *= 2
            if self.n_frames % self.length == 0:
                self._sums.append(np.array(value))
            else:
                self._sums[-1] += value
            self.n_frames += 1

    def result(self) -> tuple[Tensor, Weights]:
        """Means of the blocks, [M, B], and their weights: the last block may be short of frames."""
        sizes = np.full(len(self._sums), float(self.length))
        sizes[-1] = self.n_frames - self.length * (len(sizes) - 1)
        means = np.stack(self._sums) / sizes[:, None]
        return torch.as_tensor(means), Weights(torch.as_tensor(sizes / self.n_frames))


def stream(values_of: Callable[[Frames], Tensor], chunks: Iterable[Any], who: str) -> tuple[Tensor, Weights]:
    """Block means of an observable of the frames of chunks, one chunk after the other: see `Observable.stream`."""
    blocks = Blocks()
    for chunk in chunks:
        is_trajectory = hasattr(chunk, "unitcell_vectors")
        require(is_trajectory or isinstance(chunk, Frames), who,
                f"expected chunks that are Frames or mdtraj Trajectories, found {type(chunk).__name__}",
                'Pass mdtraj.iterload("run.xtc", top="run.pdb"), or a list of Frames', TypeError)
        with torch.no_grad():
            # trajectories do not say at which temperature they were made, and no observable of positions asks
            blocks.add(values_of(Frames.from_mdtraj(chunk, 300.0) if is_trajectory else chunk).numpy())
    require(blocks.n_frames > 0, who, "expected at least one frame, found none", "Check the file that is read")
    return blocks.result()
