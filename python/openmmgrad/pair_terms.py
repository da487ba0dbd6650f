# SPDX-License-Identifier: MIT
"""Pair potentials in a Model: where each acts, read from types and exclusions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from . import backends
from .errors import require
from .potentials import PairPotential

WHO = "add_pair_potential"


@dataclass
class PairTerm:
    """One learnable pair potential of a Model: the torch potential and where it acts."""

    potential: PairPotential
    spec: backends.PairForceSpec
    backend: str
    labels: list[str]
    pairs: list[tuple[str, str]]
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        """(P, K): type pairs and coefficients of each."""
        return len(self.pairs), self.potential.n_coefficients


def read_types(types, n_particles: int, select: Callable) -> list[str]:
    """One label per particle, from None, labels, or {selection: label}: see `Model.add_pair_potential`."""
    if types is None:
        return ["all"] * n_particles
    if isinstance(types, Mapping):
        labels: list[str | None] = [None] * n_particles
        for selection, label in types.items():
            for i in select(selection):
                require(labels[i] is None, WHO, f"particle {i} is selected as both {labels[i]!r} and {label!r}",
                        "Give selections that do not overlap")
                labels[i] = str(label)
        missing = [i for i, label in enumerate(labels) if label is None]
        first = next(iter(missing), None)
        require(not missing, WHO,
                f"{len(missing)} of {n_particles} particles have no type, the first is particle {first}",
                "Give selections that cover every particle")
        return labels  # type: ignore[return-value]
    labels = [str(label) for label in types]
    require(len(labels) == n_particles, WHO, f"expected {n_particles} particle types, found {len(labels)}",
            "Give one label per particle of the System")
    return labels


def read_exclusions(exclusions, n_particles: int, topology) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, from None, pairs, or a number of bonds: see `Model.add_pair_potential`."""
    if exclusions is None:
        return []
    if isinstance(exclusions, int):
        require(topology is not None, WHO, "exclusions by bonds need a topology, found none",
                "Pass topology= to Model, or give the pairs themselves")
        return _pairs_within([(a.index, b.index) for a, b in topology.bonds], n_particles, exclusions)
    pairs = [tuple(int(i) for i in pair) for pair in exclusions]
    bad = [p for p in pairs if len(p) != 2 or p[0] == p[1] or not all(0 <= i < n_particles for i in p)]
    require(not bad, WHO,
            f"exclusions must be pairs of different particles below {n_particles}, found {next(iter(bad), None)}",
            "Correct the indices")
    return sorted({(min(p), max(p)) for p in pairs})


def _pairs_within(bonds: list[tuple[int, int]], n: int, distance: int) -> list[tuple[int, int]]:
    """Pairs at most `distance` bonds apart, through powers of the sparse bond matrix."""
    import scipy.sparse as sparse

    if not bonds:
        return []
    i, j = np.array(bonds).T
    adjacent = sparse.coo_matrix((np.ones(len(i)), (i, j)), shape=(n, n)).tocsr()
    adjacent = (adjacent + adjacent.T + sparse.identity(n)).astype(bool)
    reach = adjacent
    for _ in range(distance - 1):
        reach = (reach.astype(int) @ adjacent.astype(int)).astype(bool)
    rows, cols = sparse.triu(reach, k=1).nonzero()
    return [(int(a), int(b)) for a, b in zip(rows, cols, strict=True)]
