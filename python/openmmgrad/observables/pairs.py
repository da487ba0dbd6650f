# SPDX-License-Identifier: MIT
"""Pairs of atoms: how many there are, how far apart they are, and how far one may look in a box."""

from __future__ import annotations

import numpy as np

from ..errors import require


def widths(boxes: np.ndarray) -> np.ndarray:
    """Distances between opposite faces of the cell, [..., 3], nm; boxes [..., 3, 3] with rows a, b, c.

    Examples
    --------
    >>> widths(np.array([[3.0, 0, 0], [0, 4.0, 0], [0, 3.0, 4.0]])).round(12).tolist()
    [3.0, 3.2, 4.0]
    """
    return 1.0 / np.linalg.norm(np.linalg.inv(boxes), axis=-2)


def check_reach(boxes: np.ndarray, reach: float, who: str) -> None:
    """Refuse distances for which the nearest image is not the only one."""
    if len(boxes) == 0:
        return
    limit = float(widths(boxes).min()) / 2
    require(reach <= limit * (1 + 1e-9), who,
            f"distances up to {reach:.6g} nm must not exceed half the smallest box width ({limit:.6g} nm)",
            "Use a smaller r_max or cutoff, or a larger box")


def differences(positions: np.ndarray, i: np.ndarray, j: np.ndarray, box: np.ndarray | None) -> np.ndarray:
    """From atom i to the nearest image of atom j, [3, P], nm: the nearest where it is within half the smallest width.

    Without a box, from atom i to atom j.

    Examples
    --------
    >>> x = np.array([[0.1, 0.0, 0.0], [0.9, 0.2, -1.6]])
    >>> differences(x, np.array([0]), np.array([1]), np.eye(3)).round(12).tolist()
    [[-0.2], [0.2], [0.4]]
    """
    x = positions.T if box is None else np.linalg.inv(box).T @ positions.T
    apart = np.empty((3, len(i)))
    for k in range(3):
        np.subtract(x[k].take(j), x[k].take(i), out=apart[k])
        if box is not None:
            apart[k] -= np.rint(apart[k])
    return apart if box is None else box.T @ apart


def n_pairs(a: np.ndarray, b: np.ndarray) -> int:
    """Distinct unordered pairs with one atom in each of two selections that may overlap.

    Examples
    --------
    >>> n_pairs(np.array([0, 1, 2]), np.array([2, 3]))
    5
    """
    common = len(np.intersect1d(a, b, assume_unique=True))
    return len(a) * len(b) - common - common * (common - 1) // 2
