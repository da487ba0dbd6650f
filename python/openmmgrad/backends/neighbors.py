# SPDX-License-Identifier: MIT
"""Neighbour pairs within a cutoff in numpy: a Verlet list, rebuilt when a particle has moved far enough."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.spatial import cKDTree

from .spec import PairForceSpec

SKIN = (
    0.2  # of the cutoff: the list holds pairs up to (1 + SKIN) cutoff and lasts until one moved SKIN/2 of it
)


class NeighborPairs:
    """The interacting pairs of a spec, each once.

    Calling it with positions [N, 3] and reduced box vectors [3, 3] (None: not periodic), nm, returns
    ``(i, j, displacement)``: [M], [M] and x_i - x_j by the minimum image, [M, 3], of a list of pairs that
    holds all those within the cutoff, and some beyond it. The minimum image is right for distances up to half
    the smallest width of the box, which the cutoff may not exceed.
    """

    def __init__(self, spec: PairForceSpec) -> None:
        self._spec = spec
        self._reference: tuple[np.ndarray, np.ndarray | None] | None = None

    def __call__(
        self, positions: np.ndarray, box: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See the class."""
        if self._stale(positions, box):
            i, j = _pairs_within(positions, box, (1 + SKIN) * self._spec.cutoff)
            keep = self._spec.interact(i, j)
            self._i, self._j, self._reference = i[keep], j[keep], (positions.copy(), box)
        return self._i, self._j, minimum_image(positions[self._i] - positions[self._j], box)

    def _stale(self, positions: np.ndarray, box: np.ndarray | None) -> bool:
        if self._reference is None:
            return True
        old_positions, old_box = self._reference
        if box is not None and not np.array_equal(box, old_box):
            return True
        moved = minimum_image(positions - old_positions, box)
        # "not <=" also rebuilds on NaN, so that broken positions give a broken energy and not an old list's
        return not (moved * moved).sum(1).max(initial=0) <= (0.5 * SKIN * self._spec.cutoff) ** 2

    def __getstate__(self) -> dict:
        return {"_spec": self._spec, "_reference": None}


def minimum_image(displacement: np.ndarray, box: np.ndarray | None) -> np.ndarray:
    """The shortest periodic image of displacements [M, 3] in a reduced box (OpenMM's order c, b, a)."""
    if box is not None:
        for k in (2, 1, 0):
            displacement = displacement - box[k] * np.round(displacement[:, k] / box[k, k])[:, None]
    return displacement


def _pairs_within(
    positions: np.ndarray, box: np.ndarray | None, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (i, j), i < j, of which some image is within the radius (below the smallest width of the box)."""
    n = len(positions)
    if box is None:
        i, j = cKDTree(positions).query_pairs(radius, output_type="ndarray").astype(int).T
        return i, j
    inverse = np.linalg.inv(box)
    fraction = positions @ inverse
    fraction -= np.floor(fraction)
    reach = radius * np.linalg.norm(inverse, axis=0)  # in fractions of each width
    shifts = np.array(list(product((-1, 0, 1), repeat=3)))
    images = fraction[None] + shifts[:, None]
    near = ((images > -reach) & (images < 1 + reach)).all(-1)
    near[len(shifts) // 2 + 1 :] = (
        False  # a shift and its opposite give the same pairs; the middle one is no shift
    )
    which, particle = np.nonzero(near)
    found = cKDTree(fraction @ box).sparse_distance_matrix(
        cKDTree(images[which, particle] @ box), radius, output_type="ndarray"
    )
    i, j = found["i"].astype(int), particle[found["j"]]
    keys = np.unique((np.minimum(i, j) * n + np.maximum(i, j))[i != j])
    return keys // n, keys % n
