# SPDX-License-Identifier: MIT
"""PairForceSpec: what a backend must know to build a pair force; everything but the coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations_with_replacement
from typing import NoReturn

import numpy as np
import openmm

from ..errors import require
from ..potentials import PairPotential
from ..spline import SplineGrid


@dataclass
class PairForceSpec:
    """Particles, types, cutoff and who interacts with whom.

    Parameters
    ----------
    n_particles
        N, the number of particles of the System.
    types
        [N] integers from 0 to n_types - 1.
    n_types
        Pairs of types are ordered (0,0), (0,1), .., (0,n-1), (1,1), ..: P = n (n + 1)/2 of them.
    cutoff
        nm. In a periodic box it may not exceed half the smallest width.
    n_coefficients
        K, the length of each pair's vector of spline coefficients; the last three are zero.
    periodic
        Minimum-image convention in the box of the Context, rectangular or triclinic.
    exclusions
        Pairs of particle indices that do not interact.
    interaction_groups
        Pairs of index sets: only pairs with one particle in each set of a group interact, once however many
        groups hold them. Without groups all pairs interact.
    force_group, name
        Given to the openmm.Force.
    exact
        Evaluate the raw module of ``potential`` (pythonforce and torchforce); native and table always
        evaluate the spline.
    potential, pairs
        The module and the P pairs of labels that it is called with, in the order of the pairs of types.

    Raises
    ------
    ValueError
        If sizes disagree or an index is out of range.
    """

    n_particles: int
    types: np.ndarray
    n_types: int
    cutoff: float
    n_coefficients: int
    periodic: bool
    exclusions: Sequence[tuple[int, int]] = ()
    interaction_groups: Sequence[tuple[Sequence[int], Sequence[int]]] = ()
    force_group: int = 0
    name: str = "LearnablePairForce"
    exact: bool = False
    potential: PairPotential | None = None
    pairs: Sequence[tuple[str, str]] | None = None
    grid: SplineGrid = field(init=False)

    def __post_init__(self) -> None:
        self.grid = SplineGrid(self.cutoff, self.n_coefficients)
        self.types = np.asarray(self.types, dtype=int)
        require(
            self.types.shape == (self.n_particles,),
            "PairForceSpec",
            f"types must be [{self.n_particles}], one per particle, found shape {list(self.types.shape)}",
            "Give a type to every particle of the System",
        )
        require(
            not len(self.types) or 0 <= self.types.min() <= self.types.max() < self.n_types,
            "PairForceSpec",
            f"types must be from 0 to {self.n_types - 1}, found {sorted(set(self.types.tolist()))[:9]}",
            "Number the types from 0",
        )
        self.exclusions = [(int(i), int(j)) for i, j in self.exclusions]
        self.interaction_groups = [
            (np.unique(np.asarray(a, dtype=int)), np.unique(np.asarray(b, dtype=int)))
            for a, b in self.interaction_groups
        ]
        mentioned = np.concatenate(
            [np.ravel(x) for x in ([], self.exclusions, *map(np.concatenate, self.interaction_groups))]
        )
        require(
            not len(mentioned) or 0 <= mentioned.min() <= mentioned.max() < self.n_particles,
            "PairForceSpec",
            f"exclusions and interaction groups must hold indices from 0 to {self.n_particles - 1}",
            "Correct the indices",
        )
        require(
            not self.exact or (self.potential is not None and len(self.pairs or ()) == self.n_pairs),
            "PairForceSpec",
            f"exact=True needs a potential and its {self.n_pairs} pairs of labels",
            "Pass potential= and pairs=",
        )

    @property
    def n_pairs(self) -> int:
        """P, the number of unordered pairs of types."""
        return self.n_types * (self.n_types + 1) // 2

    @cached_property
    def pair_index(self) -> np.ndarray:
        """[n_types, n_types], symmetric: the index of each pair of types."""
        index = np.zeros((self.n_types, self.n_types), dtype=int)
        for p, (a, b) in enumerate(combinations_with_replacement(range(self.n_types), 2)):
            index[a, b] = index[b, a] = p
        return index

    @cached_property
    def signatures(self) -> tuple[np.ndarray, np.ndarray]:
        """Particles that interaction groups treat alike: (class [N], allowed [C, C] between classes)."""
        n_groups = len(self.interaction_groups)
        member = np.zeros((self.n_particles, 2, n_groups), dtype=bool)
        for g, sides in enumerate(self.interaction_groups):
            for side, particles in enumerate(sides):
                member[particles, side, g] = True
        distinct, label = np.unique(member.reshape(self.n_particles, -1), axis=0, return_inverse=True)
        first, second = np.split(distinct.astype(int), 2, axis=1)
        across = first @ second.T
        allowed = (across + across.T > 0) if n_groups else np.ones((len(distinct),) * 2, dtype=bool)
        return label.reshape(-1), allowed

    def interact(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """[M] mask of the pairs (i, j) that exclusions and interaction groups leave."""
        label, allowed = self.signatures
        excluded = np.asarray(self.exclusions, dtype=int).reshape(-1, 2)
        keys = excluded.min(1) * self.n_particles + excluded.max(1)
        return allowed[label[i], label[j]] & ~np.isin(
            np.minimum(i, j) * self.n_particles + np.maximum(i, j), keys
        )

    def label(self, force: openmm.Force) -> openmm.Force:
        """The force, with the spec's group and name."""
        force.setForceGroup(self.force_group)
        force.setName(self.name)
        return force

    def check_coefficients(self, coefficients: np.ndarray) -> np.ndarray:
        """Coefficients as float64 [P, K]; refuses other shapes, NaN, and a last three that are not zero."""
        c = np.array(coefficients, dtype=float)
        expected = (self.n_pairs, self.n_coefficients)
        require(
            c.shape == expected,
            "set_coefficients",
            f"expected coefficients {list(expected)}, one row per pair of types, found shape {list(c.shape)}",
            "Reshape them to [P, K]",
        )
        require(
            np.isfinite(c).all(),
            "set_coefficients",
            f"{(~np.isfinite(c)).sum()} coefficients are not finite",
            "Check the potential's parameters",
        )
        require(
            not c[:, -3:].any(),
            "set_coefficients",
            f"the last three coefficients must be zero, found up to {np.abs(c[:, -3:]).max():.3g} kJ/mol",
            "Take them from PairPotential.coefficients, which ends smoothly at the cutoff",
        )
        return c


def refuse_update(name: str) -> NoReturn:
    """What backends do whose forces are frozen: RuntimeError."""
    raise RuntimeError(
        f"backend='{name}': update expects a force that can change in a Context, found one that is frozen. "
        "Add the .force that set_coefficients has started to a new System and create a new Context."
    )
