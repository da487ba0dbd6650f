# SPDX-License-Identifier: MIT
"""Pairs of atoms within a distance, for observables: blocks of differences that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..errors import require

_BLOCK = 16384  # pairs at a time: five buffers of them stay in the processor's cache


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


def enclosing_box(positions: np.ndarray, reach: float) -> np.ndarray:
    """A cell in which no image of a finite system [N, 3] comes within reach, [3, 3]."""
    extent = np.ptp(positions, axis=0)
    return np.diag(np.maximum(extent + reach, 2 * reach) * (1 + 1e-9))


def differences(positions: np.ndarray, i: np.ndarray, j: np.ndarray, box: np.ndarray) -> np.ndarray:
    """From atom i to the nearest image of atom j, [3, P], nm: the nearest where it is within half the smallest width.

    Examples
    --------
    >>> x = np.array([[0.1, 0.0, 0.0], [0.9, 0.2, -1.6]])
    >>> differences(x, np.array([0]), np.array([1]), np.eye(3)).round(12).tolist()
    [[-0.2], [0.2], [0.4]]
    """
    fractional = np.linalg.inv(box).T @ positions.T
    apart = np.empty((3, len(i)))
    for k in range(3):
        np.subtract(fractional[k].take(j), fractional[k].take(i), out=apart[k])
        apart[k] -= np.rint(apart[k])
    return box.T @ apart


def n_pairs(a: np.ndarray, b: np.ndarray) -> int:
    """Distinct unordered pairs with one atom in each of two selections that may overlap.

    Examples
    --------
    >>> n_pairs(np.array([0, 1, 2]), np.array([2, 3]))
    5
    """
    common = len(np.intersect1d(a, b, assume_unique=True))
    return len(a) * len(b) - common - common * (common - 1) // 2


class PairSearch:
    """Finds the distinct unordered pairs with one atom in each of two selections, which may overlap.

    Parameters
    ----------
    a, b
        Indices of the atoms, [n] of int, each distinct.
    """

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        self._common = np.intersect1d(a, b, assume_unique=True)
        self._only_a, self._only_b = np.setdiff1d(a, b), np.setdiff1d(b, a)

    def distances(self, positions: np.ndarray, box: np.ndarray, reach: float) -> np.ndarray:
        """Nearest-image distances below reach, [P], nm, in no order; positions [N, 3], box [3, 3]."""
        found = [np.take(r2, near) for r2, near, _, _ in self._near(positions, box, reach)]
        return np.linalg.norm(box[0]) * np.sqrt(np.concatenate(found)) if found else np.zeros(0)

    def neighbors(self, positions: np.ndarray, box: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
        """Indices (i [P], j [P]) of the pairs of `distances`."""
        first, second = [np.zeros(0, dtype=int)], [np.zeros(0, dtype=int)]
        for r2, near, i, j in self._near(positions, box, reach):
            first.append(np.broadcast_to(i, r2.shape).reshape(-1).take(near))
            second.append(np.broadcast_to(j, r2.shape).reshape(-1).take(near))
        return np.concatenate(first), np.concatenate(second)

    def _near(self, positions, box, reach) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Blocks of (r/|a|)^2, the flat places of those within reach, and the atoms i and j of the block.

        In fractional coordinates the nearest image of a pair within half the smallest width is the one with every
        component between -1/2 and 1/2, in a skewed cell too. Atoms are sorted along the widest direction, so that
        pairs too far apart in it are never looked at.
        """
        inverse = np.linalg.inv(box)
        width = 1.0 / np.linalg.norm(inverse, axis=0)
        axis = int(np.argmax(width))
        span = reach / width[axis] * (1 + 1e-9)
        turned = np.linalg.cholesky(box @ box.T)  # the cell turned to lower triangular form, and in units of |a|
        limit = (reach / turned[0, 0]) ** 2
        turned /= turned[0, 0]
        sort = [_sorted(positions, inverse, atoms, axis) for atoms in (self._common, self._only_a, self._only_b)]
        common, only_a, only_b = sort
        buffers = np.empty((5, _BLOCK))
        for blocks in (_within(*common, axis, span), _between(*only_a, *only_b, axis, span),
                       _between(*only_a, *common, axis, span), _between(*common, *only_b, axis, span)):
            for x, y, i, j in blocks:
                r2 = _squared(x, y, turned, buffers)
                near = np.flatnonzero(r2 < limit)
                if len(near):
                    yield r2, near, i, j


def _sorted(positions, inverse, atoms, axis) -> tuple[np.ndarray, np.ndarray]:
    """Fractional coordinates from 0 to 1, [3, n], and the atoms, in the order of one component."""
    fractional = inverse.T @ positions[atoms].T
    fractional -= np.floor(fractional)
    order = np.argsort(fractional[axis])
    return fractional[:, order], atoms[order]


def _within(first, atoms, axis, span):
    """Blocks (x, y, i, j) of the pairs of one group: atom m and atom m + k of the sorted ring.

    Every pair appears once for k = 1 to n/2; of k = n/2 only the first half of the ring counts.
    """
    n = len(atoms)
    if n < 2:
        return
    ahead = np.concatenate([first[axis], first[axis] + 1])
    reached = int((np.searchsorted(ahead, first[axis] + span, side="right") - np.arange(1, n + 1)).max())
    rings, names = np.concatenate([first, first], axis=1), np.concatenate([atoms, atoms])
    step = rings.strides[1]
    shifted = as_strided(rings, (3, n, n), (rings.strides[0], step, step), writeable=False)  # [:, k, m] is atom m+k
    shifted_names = as_strided(names, (n, n), (names.strides[0], names.strides[0]), writeable=False)
    last = min(reached, (n - 1) // 2)
    for shifts, columns in _tiles(1, last + 1, n):
        yield first[:, None, columns], shifted[:, shifts, columns], atoms[None, columns], shifted_names[shifts, columns]
    if n % 2 == 0 and reached >= n // 2:
        for shifts, columns in _tiles(n // 2, n // 2 + 1, n // 2):
            yield (first[:, None, columns], shifted[:, shifts, columns], atoms[None, columns],
                   shifted_names[shifts, columns])


def _between(first, atoms, second, others, axis, span):
    """Blocks of the pairs of two disjoint groups: some rows of one against the slab of the other that they reach."""
    if not (len(atoms) and len(others)):
        return
    if len(atoms) > len(others):
        first, atoms, second, others = second, others, first, atoms
    images = np.concatenate([second, second, second], axis=1)
    places = np.concatenate([second[axis] - 1, second[axis], second[axis] + 1])
    names = np.concatenate([others, others, others])
    rows = max(len(atoms) // 16, _BLOCK // 4 // len(others), 1)
    for start in range(0, len(atoms), rows):
        stop = min(start + rows, len(atoms))
        low = np.searchsorted(places, first[axis, start] - span)
        high = np.searchsorted(places, first[axis, stop - 1] + span, side="right")
        high = min(high, low + len(others))
        for part, columns in _tiles(start, stop, high - low):
            slab = slice(low + columns.start, low + columns.stop)
            yield first[:, part, None], images[:, None, slab], atoms[part, None], names[None, slab]


def _tiles(start: int, stop: int, n: int) -> Iterator[tuple[slice, slice]]:
    """Slices of rows start:stop and of n columns, at most _BLOCK entries each."""
    width = min(n, _BLOCK)
    rows = max(_BLOCK // max(width, 1), 1)
    for row in range(start, stop, rows):
        for column in range(0, n, _BLOCK):
            yield slice(row, min(row + rows, stop)), slice(column, min(column + width, n))


def _squared(x, y, turned, buffers) -> np.ndarray:
    """Squared nearest-image distances of a block in units of the cell's first edge, in a buffer."""
    shape = np.broadcast_shapes(x.shape, y.shape)[1:]
    n = shape[0] * shape[1]
    delta, work, r2 = buffers[:3, :n], buffers[3, :n], buffers[4, :n]
    for k in range(3):
        np.subtract(y[k], x[k], out=delta[k].reshape(shape))
        np.rint(delta[k], out=work)
        np.subtract(delta[k], work, out=delta[k])
    for k in range(3):
        if turned[k, k] != 1.0:  # as in a cubic box
            delta[k] *= turned[k, k]
        for other in range(k + 1, 3):
            if turned[other, k] != 0.0:
                np.multiply(delta[other], turned[other, k], out=work)
                delta[k] += work
        np.multiply(delta[k], delta[k], out=delta[k] if k else r2)
        if k:
            r2 += delta[k]
    return r2.reshape(shape)
