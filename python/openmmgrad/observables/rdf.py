# SPDX-License-Identifier: MIT
"""The radial distribution function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..frame_pairs import FramePairs
from ..frames import Frames
from ..path import Path
from ..units import plain
from .base import Observable
from .configurations import count_each
from .pairs import check_reach, differences, n_pairs
from .smearing import TAIL, SmearedBins
from .windows import array_of


class RDF(Observable):
    r"""Radial distribution function g(r) of every frame, or of every window of a path.

    .. math:: g_b = \frac{n_b}{v_b\, N_{ab} / V}, \qquad v_b = \tfrac{4\pi}{3}(r_{b+1}^3 - r_b^3)

    with n_b the pairs in bin b, N_ab all distinct pairs between the selections, and V the frame's volume
    (``normalization="density"``). An ideal gas has g = 1. With ``"window"``, N_ab/V is replaced by the pairs between
    r_min and r_max over the volume of that shell: for systems without a volume, and to compare shapes only.

    Parameters
    ----------
    selection_a, selection_b
        See `Frames.select`; they may be equal, disjoint or overlap. A pair of atoms counts once.
    r_max
        Upper end of the last bin, nm; at most half the smallest width of the box.
    bins
        B, of equal width.
    r_min
        Lower end of the first bin, nm.
    normalization
        "density" or "window".
    smear
        Standard deviation, nm, of a Gaussian in place of each distance, integrated over the bins exactly: then g is
        differentiable in the positions. Distances up to r_max + 6 smear count towards the last bins. None is the
        plain histogram.
    every
        Of a `Path`: its times 0, every, 2 every, ... are used.
    threads
        That count pairs; None is one for each processor. The counts do not depend on it, and smeared ones use one.

    Attributes
    ----------
    grid, edges
        Centres [B] and ends [B + 1] of the bins, nm.

    Raises
    ------
    ValueError
        If r_max exceeds half the smallest box width, a selection is empty, the frames have no box where the
        normalisation needs one, or positions that require a gradient meet a histogram.

    Notes
    -----
    Equal to `mdtraj.compute_rdf` at constant volume. Where the volume fluctuates each frame has its own V here,
    and mdtraj takes the mean of 1/V; they differ by the relative variance of V.

    References
    ----------
    M. P. Allen, D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), section 8.2, eq. (8.16).

    Examples
    --------
    >>> from openmmgrad.frames import State
    >>> frames = Frames([[[0.1, 0, 0], [1.9, 0, 0]]], State([], 300.0), boxes=2.0 * np.eye(3))
    >>> rdf = RDF(None, None, r_max=1.0, bins=4)
    >>> rdf.pair_counts(frames)                       # 0.2 nm apart through the boundary
    tensor([[1., 0., 0., 0.]], dtype=torch.float64)
    >>> round(float(rdf(frames)[0, 0] * 4 / 3 * np.pi * 0.25**3), 6)     # one pair in 8 nm^3
    8.0
    """

    unit = "1"
    name = "g(r)"
    axis = "r (nm)"

    def __init__(self, selection_a: Any, selection_b: Any, r_max: float, bins: int, r_min: float = 0.0,
                 normalization: str = "density", smear: float | None = None, every: int = 1,
                 threads: int | None = None) -> None:
        self.selection_a, self.selection_b = selection_a, selection_b
        self.r_max, self.r_min = float(plain(r_max, "nm")), float(plain(r_min, "nm"))
        require(0 <= self.r_min < self.r_max < math.inf, "RDF",
                f"expected 0 <= r_min < r_max, found r_min = {self.r_min} nm and r_max = {self.r_max} nm",
                "Give both in nm")
        require(int(bins) == bins and bins >= 1, "RDF", f"bins must be a whole number from 1, found {bins}",
                "Give more")
        require(normalization in ("density", "window"), "RDF",
                f"normalization must be 'density' or 'window', found {normalization!r}", "Choose one of those")
        self.smear = None if smear is None else float(plain(smear, "nm"))
        require(self.smear is None or 0 < self.smear < math.inf, "RDF", f"smear must be positive, found {smear} nm",
                "Take about the width of a bin")
        require(int(every) == every and every >= 1, "RDF", f"every must be a whole number from 1, found {every}",
                "1 uses all times of a path")
        require(threads is None or (int(threads) == threads and threads >= 1), "RDF",
                f"threads must be a whole number from 1, found {threads}", "None uses all processors")
        self.normalization, self.every, self.threads = normalization, int(every), threads
        self.edges = np.linspace(self.r_min, self.r_max, int(bins) + 1)
        self.grid = 0.5 * (self.edges[1:] + self.edges[:-1])
        self.shell_volumes = 4 * np.pi / 3 * np.diff(self.edges**3)

    def __call__(self, frames: Frames | Path, positions: Tensor | None = None) -> Tensor:
        """The g of every frame or of every window of a Path, [S, B].

        Parameters
        ----------
        frames
            S `Frames`, or a `Path` of S windows: then the mean over the times of each window, with graph to
            ``path.positions``.
        positions
            [S, N, 3], nm, with graph: used in place of the frames' own; needs ``smear=``.
        """
        counts = self.pair_counts(frames, positions)
        if self.normalization == "window":
            total = counts.sum(1, keepdim=True)
            density = torch.where(total > 0, total, 1.0) / self.shell_volumes.sum()
        else:
            require(frames.boxes is not None, "RDF",
                    "normalization='density' needs a volume, and the frames have no boxes",
                    "Use normalization='window', or frames with boxes")
            a, b = self._selections(frames)
            density = torch.as_tensor(n_pairs(a, b) / np.abs(np.linalg.det(frames.boxes)))[:, None]
        return counts / (density * torch.as_tensor(self.shell_volumes))

    def one_count(self, values: Tensor) -> np.ndarray | None:
        """What one pair more in all S frames adds to the mean of values [S, B].

        Counts are whole, so the smallest g v_b found is that of one pair (of a few, where no bin is nearly empty).
        """
        scaled = values.numpy() * self.shell_volumes
        if self.smear is not None or not (scaled > 0).any():
            return None
        return scaled[scaled > 0].min() / self.shell_volumes / len(values)

    def pair_counts(self, frames: Frames | Path, positions: Tensor | None = None) -> Tensor:
        """Distinct pairs in each bin, [S, B]; of a Path, their mean over its times."""
        of_path = isinstance(frames, Path)
        if of_path:
            require(positions is None, "RDF", "positions belong to Frames, and a Path has its own", "Leave them out")
            positions = array_of(frames, "positions", "RDF")[:, ::self.every]
        requires_grad = any(isinstance(x, Tensor) and x.requires_grad for x in (frames, positions))
        require(not requires_grad or self.smear is not None, "RDF",
                "a histogram has no gradient in the positions, and the positions require one",
                "Pass smear= (nm), or detach them and differentiate through weights")
        require(of_path or isinstance(frames, Frames), "RDF",
                f"expected Frames, found {type(frames).__name__}",
                "Pass the Frames of Ensemble.sample or Frames.from_mdtraj, or the Path of propagate", TypeError)
        require(positions is None or of_path or positions.shape == frames.positions.shape, "RDF",
                f"positions must have shape {list(frames.positions.shape)}", "Pass one [N, 3] per frame")
        a, b = self._selections(frames)
        require(n_pairs(a, b) > 0, "RDF", "the selections must form at least one pair, found one atom", "Select more")
        if frames.boxes is not None:
            check_reach(frames.boxes[:1] if frames.boxes.strides[0] == 0 else frames.boxes,
                        self.r_max + (TAIL * self.smear if self.smear else 0.0), "RDF")
        pairs, positions = FramePairs(a, b), frames.positions if positions is None else positions
        if self.smear is None:
            counts = self._histograms(pairs, positions, frames.boxes)
        else:
            counts = count_each(_SmearedPairs(pairs, self.edges, self.smear), positions, frames.boxes)
        return counts.mean(1) if of_path else counts

    def _histograms(self, pairs: FramePairs, positions: np.ndarray | Tensor, boxes: np.ndarray | None) -> Tensor:
        """Counts [..., B] of positions [..., N, 3]; boxes [S, 3, 3] belong to the first axis."""
        x = positions.detach().numpy() if isinstance(positions, Tensor) else positions
        if x.ndim == 3:
            return torch.as_tensor(pairs.histograms(x, boxes, self.edges, self.threads))
        rows = [pairs.histograms(window, None if boxes is None else np.broadcast_to(box, (len(window), 3, 3)),
                                 self.edges, self.threads)
                for window, box in zip(x, [None] * len(x) if boxes is None else boxes, strict=True)]
        return torch.as_tensor(np.stack(rows))

    def _selections(self, frames: Frames | Path) -> tuple[np.ndarray, np.ndarray]:
        return frames.select(self.selection_a), frames.select(self.selection_b)


class _SmearedPairs:
    """Smeared pairs of one configuration in bins."""

    def __init__(self, pairs: FramePairs, edges: np.ndarray, smear: float) -> None:
        self._pairs, self._reach = pairs, edges[-1] + TAIL * smear
        self._smeared = SmearedBins(edges, smear)

    def counts(self, positions: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        return self._smeared.counts(self._pairs.within(positions, box, self._reach)[2])

    def gradient(self, positions: np.ndarray, box: np.ndarray | None, cotangent: np.ndarray) -> np.ndarray:
        i, j, _ = self._pairs.within(positions, box, self._reach)
        apart = differences(positions, i, j, box)
        r = np.sqrt(np.einsum("kp,kp->p", apart, apart))
        slope, _ = self._smeared.gradient(r, cotangent)
        apart *= slope / np.where(r > 0, r, 1.0)
        n = len(positions)
        return np.stack([np.bincount(j, pull, n) - np.bincount(i, pull, n) for pull in apart], axis=1)
