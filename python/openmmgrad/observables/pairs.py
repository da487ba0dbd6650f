# SPDX-License-Identifier: MIT
"""Pairs of atoms within a distance, for observables: blocks of differences that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..errors import require

_BLOCK = 16384  # pairs at a time


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
            "Use a smaller r_max or a larger box")


def enclosing_box(positions: np.ndarray, reach: float) -> np.ndarray:
    """A cell in which no image of a finite system [N, 3] comes within reach, [3, 3]."""
    extent = np.ptp(positions, axis=0)
    return np.diag(np.maximum(extent + reach, 2 * reach) * (1 + 1e-9))


def n_pairs(a: np.ndarray, b: np.ndarray) -> int:
    """Distinct unordered pairs with one atom in each of two selections that may overlap.

    Examples
    --------
    >>> n_pairs(np.array([0, 1, 2]), np.array([2, 3]))
    5
    """
    common = len(np.intersect1d(a, b, assume_unique=True))
    return len(a) * len(b) - common - common * (common - 1) // 2


def distances(positions: np.ndarray, box: np.ndarray, a: np.ndarray, b: np.ndarray, reach: float) -> np.ndarray:
    """Nearest-image distances below reach of the distinct pairs between two selections, [P], nm, in no order."""
    found = [np.take(r2, near) for r2, near, _, _ in _near(positions, box, a, b, reach)]
    return np.sqrt(np.concatenate(found)) if found else np.zeros(0)


def neighbors(positions: np.ndarray, box: np.ndarray, a: np.ndarray, b: np.ndarray,
              reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices (i [P], j [P]) of the pairs of `distances`."""
    first, second = [np.zeros(0, dtype=int)], [np.zeros(0, dtype=int)]
    for r2, near, i, j in _near(positions, box, a, b, reach):
        place = np.unravel_index(near, r2.shape)
        first.append(i[place])
        second.append(j[place])
    return np.concatenate(first), np.concatenate(second)


def _near(positions, box, a, b, reach) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Blocks of squared distances, the flat places of those below reach^2, and the atoms i and j of the block.

    Atoms are sorted along the widest direction of the cell, so that pairs too far apart in it are never looked at.
    In fractional coordinates the nearest image of a pair within half the smallest width is the one with every
    component between -1/2 and 1/2, also in a skewed cell.
    """
    fractional = positions @ np.linalg.inv(box)
    fractional -= np.floor(fractional)
    width = widths(box)
    axis = int(np.argmax(width))
    span = reach / width[axis] * (1 + 1e-9)
    order = np.argsort(fractional[:, axis])
    rotated = np.linalg.cholesky(box @ box.T)  # the cell turned to lower triangular form
    buffers = np.empty((5, 2 * _BLOCK))
    member_a, member_b = (np.isin(order, atoms, assume_unique=True) for atoms in (a, b))
    common, only_a, only_b = (order[m] for m in (member_a & member_b, member_a & ~member_b, member_b & ~member_a))
    coordinates = np.ascontiguousarray(fractional.T)
    groups = [_within(coordinates, common, axis, span), _between(coordinates, only_a, only_b, axis, span),
              _between(coordinates, only_a, common, axis, span), _between(coordinates, common, only_b, axis, span)]
    for blocks in groups:
        for x, y, i, j in blocks:
            r2 = _squared(x, y, i.shape, rotated, buffers)
            near = np.flatnonzero(r2 < reach * reach)
            if len(near):
                yield r2, near, i, j


def _within(coordinates, atoms, axis, span):
    """Blocks (coordinates of i, of j, i, j) of the pairs of one group: atom m and atom m + k of the sorted ring.

    Every pair appears once for k = 1 to n/2; of k = n/2 only the first half of the ring counts.
    """
    n = len(atoms)
    if n < 2:
        return
    first = coordinates[:, atoms]
    ring, names = np.concatenate([first, first], axis=1), np.concatenate([atoms, atoms])
    ahead = np.concatenate([first[axis], first[axis] + 1])
    reached = np.searchsorted(ahead, first[axis] + span, side="right") - np.arange(n) - 1
    last = min(int(reached.max()), (n - 1) // 2)
    rows = max(_BLOCK // n, 1)
    for k in range(1, last + 1, rows):
        count = min(rows, last + 1 - k)
        yield from _columns(first, [_shifted(x, k, count, n) for x in ring], atoms, _shifted(names, k, count, n))
    if n % 2 == 0 and reached.max() >= n // 2:
        half = n // 2
        yield from _columns(first[:, :half], first[:, None, half:], atoms[:half], atoms[None, half:])


def _shifted(x: np.ndarray, k: int, count: int, n: int) -> np.ndarray:
    """View of rows x[k:k+n], x[k+1:k+1+n], ..."""
    return as_strided(x[k:], (count, n), (x.strides[0], x.strides[0]), writeable=False)


def _columns(x, y, i, j):
    """Split blocks of one row that are longer than the buffers."""
    n = j.shape[1]
    for start in range(0, n, 2 * _BLOCK):
        part = slice(start, start + 2 * _BLOCK)
        yield ([c[None, part] for c in x], [c[:, part] for c in y],
               np.broadcast_to(i[None, part], j[:, part].shape), j[:, part])


def _between(coordinates, atoms, others, axis, span):
    """Blocks of the pairs of two disjoint groups: some rows of one against the slab of the other that they reach."""
    if not (len(atoms) and len(others)):
        return
    if len(atoms) > len(others):
        atoms, others = others, atoms
    first, second = coordinates[:, atoms], coordinates[:, others]
    images = np.concatenate([second, second, second], axis=1)
    places = np.concatenate([second[axis] - 1, second[axis], second[axis] + 1])
    names = np.concatenate([others, others, others])
    rows = max(_BLOCK // len(others), 1)
    for start in range(0, len(atoms), rows):
        block = slice(start, start + rows)
        low = np.searchsorted(places, first[axis, block][0] - span)
        high = min(np.searchsorted(places, first[axis, block][-1] + span, side="right"), low + len(others))
        for begin in range(low, high, _BLOCK):
            part = slice(begin, min(begin + _BLOCK, high))
            shape = (len(atoms[block]), part.stop - part.start)
            yield ([c[block, None] for c in first], [c[None, part] for c in images],
                   np.broadcast_to(atoms[block, None], shape), np.broadcast_to(names[None, part], shape))


def _squared(x, y, shape, rotated, buffers) -> np.ndarray:
    """Squared nearest-image distances of a block, in a buffer."""
    n = shape[0] * shape[1]
    *delta, work, r2 = (buffer[:n].reshape(shape) for buffer in buffers)
    for k in range(3):
        np.subtract(y[k], x[k], out=delta[k])
        np.rint(delta[k], out=work)
        np.subtract(delta[k], work, out=delta[k])
    for k in range(3):
        delta[k] *= rotated[k, k]
        for other in range(k + 1, 3):
            if rotated[other, k] != 0.0:
                np.multiply(delta[other], rotated[other, k], out=work)
                delta[k] += work
        np.multiply(delta[k], delta[k], out=delta[k] if k else r2)
        if k:
            r2 += delta[k]
    return r2
