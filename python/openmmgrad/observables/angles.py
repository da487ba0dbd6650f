# SPDX-License-Identifier: MIT
"""The distribution of angles, of listed triples of atoms or of neighbours about a centre."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..frames import Frames
from ..path import Path
from ..units import plain
from .base import Observable
from .configurations import count_each
from .triples import ListedTriples, NeighborTriples, check_triples
from .windows import array_of


class AngleDistribution(Observable):
    r"""Distribution of angles of every frame, or of every window of a path.

    .. math:: P_b = \frac{n_b}{\Delta \sum_c n_c}, \qquad
        \cos\theta = \frac{\mathbf r_{ji} \cdot \mathbf r_{jk}}{r_{ji}\, r_{jk}}

    with n_b the angles i-j-k in bin b and Delta the width of a bin in degrees: a density that integrates to 1 over 0
    to 180 degrees, not divided by sin(theta). Vectors are nearest images, where these are shorter than half the
    smallest width of the box. With ``solid_angle=True``, P_b is divided by
    what directions drawn at random would give, (cos theta_b - cos theta_{b+1})/(2 Delta): these have 1 everywhere.

    Parameters
    ----------
    triples
        [M, 3] of int: i, j, k with the angle at j. `of_neighbors` finds triples by distance instead.
    bins
        B, of equal width, from 0 to 180 degrees.
    smear
        Standard deviation, degrees, at most 15, of a Gaussian in place of each angle, integrated over the bins exactly
        and mirrored at 0 and 180 degrees, where angles end: then the distribution is differentiable in the positions.
        None is the plain histogram.
    solid_angle
        Relative to directions drawn at random.
    every
        Of a `Path`: its times 0, every, 2 every, ... are used.

    Attributes
    ----------
    grid, edges
        Centres [B] and ends [B + 1] of the bins, degrees.

    Raises
    ------
    ValueError
        If triples name atoms that do not exist or one atom twice, a cutoff exceeds half the smallest box width, or
        positions that require a gradient meet a histogram or a sharp cutoff.

    Notes
    -----
    A frame's distribution is divided by its own number of triples, and a window's by that of all its times; one without
    any has 0 everywhere. Where the number varies, an average over frames is not exactly that of all triples together:
    for that, take the ratio of averages of `angle_counts`.

    References
    ----------
    A. K. Soper, C. J. Benmore, Phys. Rev. Lett. 101, 065502 (2008): O-O-O angles of water, as in `of_neighbors`.
    doi:10.1103/PhysRevLett.101.065502

    Examples
    --------
    >>> from openmmgrad.frames import State
    >>> frames = Frames([[[0.1, 0, 0], [0, 0, 0], [0, 0.2, 0]]], State([], 300.0))
    >>> AngleDistribution([[0, 1, 2]], bins=4)(frames).numpy().round(4).tolist()     # 90 degrees: 1/45 in one bin
    [[0.0, 0.0, 0.0222, 0.0]]
    """

    name = "P(angle)"
    axis = "angle (degrees)"

    def __init__(self, triples: Any, bins: int = 90, smear: float | None = None, solid_angle: bool = False,
                 every: int = 1) -> None:
        who = "AngleDistribution"
        require(int(bins) == bins and bins >= 1, who, f"bins must be a whole number from 1, found {bins}", "Give more")
        require(int(every) == every and every >= 1, who, f"every must be a whole number from 1, found {every}",
                "1 uses all times of a path")
        require(smear is None or 0 < smear <= 15, who, f"smear must be from 0 to 15 degrees, found {smear}",
                "Take about the width of a bin")
        self.smear = None if smear is None else float(smear)
        self.solid_angle, self.every = bool(solid_angle), int(every)
        self.edges = np.linspace(0.0, 180.0, int(bins) + 1)
        self.grid = 0.5 * (self.edges[1:] + self.edges[:-1])
        self.unit = "1" if solid_angle else "1/degree"
        width = 180.0 / int(bins)
        self._at_random = -0.5 * np.diff(np.cos(np.radians(self.edges))) / width if solid_angle else np.ones(int(bins))
        self._triples = None if triples is None else check_triples(triples, who)
        self._centre = self._neighbors = self.cutoff = self.cutoff_smear = None

    @classmethod
    def of_neighbors(cls, centre: Any, neighbors: Any, cutoff: float, bins: int = 90, smear: float | None = None,
                     cutoff_smear: float | None = None, solid_angle: bool = False,
                     every: int = 1) -> AngleDistribution:
        """Angles between the directions from a central atom to every two of its neighbours.

        Parameters
        ----------
        centre, neighbors
            Selections, see `Frames.select`; they may be equal or overlap: no atom is its own neighbour.
        cutoff
            Largest distance of a neighbour, nm; at most half the smallest width of the box.
        bins, smear, solid_angle, every
            As in `AngleDistribution`.
        cutoff_smear
            nm: a neighbour at distance r counts Phi((cutoff - r)/cutoff_smear), with Phi the normal distribution
            function, and a triple the product of its two, so that neighbours that come and go are in the gradient.
            Gradients need it; None is a sharp cutoff.

        Examples
        --------
        Angles at the centre of a tetrahedron:

        >>> from openmmgrad.frames import State
        >>> corners = [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [0, 0, 0]]
        >>> frames = Frames(0.1 * np.array([corners]), State([], 300.0))
        >>> adf = AngleDistribution.of_neighbors([4], [0, 1, 2, 3], cutoff=0.2, bins=180)
        >>> adf.angle_counts(frames)[0, 109].item()                                  # 109.47 degrees
        6.0
        """
        made = cls(None, bins, smear, solid_angle, every)
        made._centre, made._neighbors = centre, neighbors
        made.cutoff = float(plain(cutoff, "nm"))
        made.cutoff_smear = None if cutoff_smear is None else float(plain(cutoff_smear, "nm"))
        who = cls.__name__
        require(0 < made.cutoff < math.inf, who, f"cutoff must be positive, found {cutoff} nm", "Give it in nm")
        require(made.cutoff_smear is None or 0 < made.cutoff_smear < made.cutoff, who,
                f"cutoff_smear must be from 0 to the cutoff, found {cutoff_smear} nm", "0.01 nm is usual")
        return made

    def __call__(self, frames: Frames | Path, positions: Tensor | None = None) -> Tensor:
        """The distribution of every frame or of every window of a Path, [S, B].

        Parameters
        ----------
        frames
            S `Frames`, or a `Path` of S windows: then of all times of each window together, with graph to
            ``path.positions``.
        positions
            [S, N, 3], nm, with graph: used in place of the frames' own; needs ``smear=``.
        """
        counts = self.angle_counts(frames, positions)
        total = counts.sum(1, keepdim=True)
        density = counts / torch.where(total > 0, total, 1.0) * (len(self.grid) / 180.0)
        return density / torch.as_tensor(self._at_random)

    def angle_counts(self, frames: Frames | Path, positions: Tensor | None = None) -> Tensor:
        """Angles in each bin, [S, B]; of a Path, their mean over its times. Neighbours count as they are weighted."""
        who, of_path = "AngleDistribution", isinstance(frames, Path)
        require(of_path or isinstance(frames, Frames), who,
                f"expected Frames, found {type(frames).__name__}",
                "Pass the Frames of Ensemble.sample or Frames.from_mdtraj, or the Path of propagate", TypeError)
        require(positions is None or (not of_path and positions.shape == frames.positions.shape), who,
                "positions must belong to Frames and have their shape", "Pass one [N, 3] per frame; a Path has its own")
        if of_path:
            positions = array_of(frames, "positions", who)[:, ::self.every]
        requires_grad = positions is not None and positions.requires_grad
        require(self.smear is not None or not requires_grad, who,
                "a histogram has no gradient in the positions, and the positions require one",
                "Pass smear= (degrees), or detach them and differentiate through weights")
        require(self.cutoff is None or self.cutoff_smear is not None or not requires_grad, who,
                "neighbours that cross a sharp cutoff are missing in a gradient, and the positions require one",
                "Pass cutoff_smear= (nm), or list triples")
        counter = self._counter(frames)
        counts = count_each(counter, frames.positions if positions is None else positions, frames.boxes)
        return counts.mean(1) if of_path else counts

    def _counter(self, frames: Frames | Path) -> ListedTriples | NeighborTriples:
        if self._triples is not None:
            return ListedTriples(self._triples, frames.n_atoms, self.edges, self.smear)
        return NeighborTriples(frames.select(self._centre), frames.select(self._neighbors), self.cutoff,
                               self.cutoff_smear, frames.boxes, self.edges, self.smear)
