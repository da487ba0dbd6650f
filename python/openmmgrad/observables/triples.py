# SPDX-License-Identifier: MIT
"""Angles of one configuration in bins: of listed triples, or of every two neighbours of a centre."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..frame_pairs import FramePairs
from .pairs import check_reach
from .smearing import TAIL, SmearedBins

_BLOCK = 2**17  # triples at a time


def check_triples(triples: Any, who: str) -> np.ndarray:
    """Triples [M, 3] of int."""
    array = np.asarray(triples)
    require(array.ndim == 2 and array.shape[1] == 3 and len(array) > 0 and np.issubdtype(array.dtype, np.integer), who,
            f"triples must be whole numbers of shape [M, 3], found shape {list(array.shape)} of {array.dtype}",
            "Name i, j and k of every angle at j")
    i, j, k = array.T
    require(bool(((i != j) & (j != k) & (i != k)).all()), who, "the three atoms of a triple must differ",
            "Name three atoms")
    return array.astype(np.int64)


class _Triples:
    """Counts of angles and their gradient; a subclass defines ``_blocks``.

    A block is (arms a [P] and b [P], bonds [Q, 2] of atoms): the angle between bonds a and b, both from one centre.
    """

    def __init__(self, edges: np.ndarray, smear: float | None) -> None:
        self._edges, self._smear = edges, smear
        self._smeared = None if smear is None else SmearedBins(edges, smear)

    def counts(self, positions: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        """Counts [B] of positions [N, 3]."""
        total, x = np.zeros(len(self._edges) - 1), torch.as_tensor(np.array(positions))
        with torch.no_grad():
            for block in self._blocks(positions, box):
                theta, weight = (part if part is None else part.numpy() for part in self._angles(x, box, block))
                if self._smeared is None:
                    place = np.minimum((theta * (len(total) / 180.0)).astype(np.int64), len(total) - 1)
                    total += np.bincount(place, weight, minlength=len(total))
                else:
                    values, _, which = self._mirrored(theta)
                    total += self._smeared.counts(values, None if weight is None else weight[which])
        return total

    def gradient(self, positions: np.ndarray, box: np.ndarray | None, cotangent: np.ndarray) -> np.ndarray:
        """d(sum_b g_b n_b)/d positions, [N, 3]."""
        x = torch.as_tensor(np.array(positions)).requires_grad_()
        total = torch.zeros_like(x)
        for block in self._blocks(positions, box):
            with torch.enable_grad():
                theta, weight = self._angles(x, box, block)
            values, sign, which = self._mirrored(theta.detach().numpy())
            slope, height = self._smeared.gradient(values, cotangent)
            by_theta, by_weight = (np.bincount(which, pull, len(theta)) for pull in (sign * slope, height))
            if weight is None:
                outputs, pulls = [theta], [torch.as_tensor(by_theta)]
            else:
                outputs = [theta, weight]
                pulls = [weight.detach() * torch.as_tensor(by_theta), torch.as_tensor(by_weight)]
            total += torch.autograd.grad(outputs, x, pulls)[0]
        return total.numpy()

    def _mirrored(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The angles [P] and their images beyond 0 and 180 degrees: values, signs of their change, whose they are."""
        low, high = np.flatnonzero(theta < TAIL * self._smear), np.flatnonzero(theta > 180 - TAIL * self._smear)
        sign = np.concatenate([np.ones(len(theta)), -np.ones(len(low) + len(high))])
        return (np.concatenate([theta, -theta[low], 360.0 - theta[high]]), sign,
                np.concatenate([np.arange(len(theta)), low, high]))

    def _angles(self, x: Tensor, box: np.ndarray | None, block: tuple) -> tuple[Tensor, Tensor | None]:
        """Angles [P], degrees, and their weights [P] or None, with graph."""
        a, b, bonds = (torch.as_tensor(part) for part in block)
        vectors = x.index_select(0, bonds[:, 1]) - x.index_select(0, bonds[:, 0])
        if box is not None:
            cell = torch.as_tensor(np.array(box))
            vectors = vectors - torch.round(vectors.detach() @ torch.linalg.inv(cell)) @ cell
        first, second = vectors.index_select(0, a), vectors.index_select(0, b)
        across = torch.linalg.vector_norm(torch.linalg.cross(first, second), dim=1)
        theta = torch.rad2deg(torch.atan2(across, (first * second).sum(1)))
        each = self._bond_weights(vectors)
        return theta, None if each is None else each.index_select(0, a) * each.index_select(0, b)

    def _bond_weights(self, vectors: Tensor) -> Tensor | None:
        return None

    def _blocks(self, positions: np.ndarray, box: np.ndarray | None) -> Iterator[tuple]:
        raise NotImplementedError


class ListedTriples(_Triples):
    """Angles of triples [M, 3]; bonds are nearest images in the box."""

    def __init__(self, triples: np.ndarray, n_atoms: int, edges: np.ndarray, smear: float | None) -> None:
        super().__init__(edges, smear)
        require(triples.min() >= 0 and triples.max() < n_atoms, "AngleDistribution",
                f"triples must name atoms 0 to {n_atoms - 1}, found {triples.min()} to {triples.max()}",
                "Indices count from 0")
        self._listed = []
        for start in range(0, len(triples), _BLOCK):
            i, j, k = triples[start:start + _BLOCK].T
            arms = np.arange(len(i))
            bonds = np.stack([np.concatenate([j, j]), np.concatenate([i, k])], axis=1)
            self._listed.append((arms, arms + len(i), bonds))

    def _blocks(self, positions: np.ndarray, box: np.ndarray | None) -> Iterator[tuple]:
        yield from self._listed


class NeighborTriples(_Triples):
    """Angles between every two neighbours of each central atom, within a cutoff, sharp or smeared."""

    def __init__(self, centre: np.ndarray, neighbors: np.ndarray, cutoff: float, cutoff_smear: float | None,
                 boxes: np.ndarray | None, edges: np.ndarray, smear: float | None) -> None:
        super().__init__(edges, smear)
        self._pairs, self._centre, self._neighbors = FramePairs(centre, neighbors), centre, neighbors
        self._cutoff, self._cutoff_smear = cutoff, cutoff_smear
        self._reach = cutoff + (TAIL * cutoff_smear if cutoff_smear else 0.0)
        if boxes is not None:
            check_reach(boxes[:1] if boxes.strides[0] == 0 else boxes, self._reach, "AngleDistribution")

    def _bond_weights(self, vectors: Tensor) -> Tensor | None:
        if self._cutoff_smear is None:
            return None
        return torch.special.ndtr((self._cutoff - torch.linalg.vector_norm(vectors, dim=1)) / self._cutoff_smear)

    def _blocks(self, positions: np.ndarray, box: np.ndarray | None) -> Iterator[tuple]:
        """Every two bonds of one centre; the bonds are sorted by centre."""
        i, j, _ = self._pairs.within(positions, box, self._reach)
        is_centre, is_neighbor = np.zeros((2, len(positions)), dtype=bool)
        is_centre[self._centre], is_neighbor[self._neighbors] = True, True
        there, back = is_centre[i] & is_neighbor[j], is_centre[j] & is_neighbor[i]
        bonds = np.stack([np.concatenate([i[there], j[back]]), np.concatenate([j[there], i[back]])], axis=1)
        bonds = bonds[np.argsort(bonds[:, 0], kind="stable")]
        end_of_centre = np.searchsorted(bonds[:, 0], bonds[:, 0], side="right")
        partners = end_of_centre - np.arange(len(bonds)) - 1  # later bonds of the same centre
        ends = np.cumsum(partners)
        start = 0
        while start < len(bonds):
            done = ends[start - 1] if start else 0
            stop = max(int(np.searchsorted(ends, done + _BLOCK, side="right")), start + 1)
            count = partners[start:stop]
            a = np.repeat(np.arange(start, stop), count)
            first = np.repeat(np.cumsum(count) - count, count)
            b = a + 1 + np.arange(len(a)) - first
            if len(a):
                last = int(b.max()) + 1
                yield a - start, b - start, bonds[start:last]
            start = stop
