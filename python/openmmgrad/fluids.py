# SPDX-License-Identifier: MIT
"""Fluids of beads: the System, topology and positions that a coarse-grained or atomic liquid starts from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import openmm
from openmm import app

from .errors import require
from .units import plain


def bead_fluid(n_particles: int, number_density: float, mass: float | Mapping[str, float],
               fractions: Mapping[str, float] | None = None, seed: int = 0):
    """Identical beads, or a random mixture of them, on a simple cubic lattice in a cubic box.

    Parameters
    ----------
    n_particles
        N.
    number_density
        nm^-3.
    mass
        amu, or {name: amu}. Beads are named by it; a single kind is named "X".
    fractions
        {name: mole fraction}, summing to 1; None is one kind.
    seed
        Of the placement of the kinds.

    Returns
    -------
    system, topology, positions
        `openmm.System` without forces, `openmm.app.Topology` with its box, and [N, 3] nm.

    Raises
    ------
    ValueError
        For numbers that are not positive, or fractions that are negative or do not sum to 1.

    Examples
    --------
    >>> system, topology, positions = bead_fluid(500, 21.25, mass=39.948)
    >>> system.getNumParticles(), positions.shape
    (500, (500, 3))
    """
    number_density = float(plain(number_density, "nm^-3"))
    require(n_particles >= 1 and number_density > 0, "bead_fluid",
            f"expected particles and a positive density, found {n_particles} and {number_density} nm^-3",
            "Give the number density in nm^-3")
    masses = dict(mass) if isinstance(mass, Mapping) else {"X": float(plain(mass, "amu"))}
    fractions = {name: 1 / len(masses) for name in masses} if fractions is None else dict(fractions)
    require(abs(sum(fractions.values()) - 1) < 1e-9 and set(fractions) == set(masses), "bead_fluid",
            f"fractions of {sorted(masses)} must sum to 1, found {fractions}", "Give a fraction for every kind")
    require(min(fractions.values()) >= 0, "bead_fluid", f"fractions must not be negative, found {fractions}",
            "Give mole fractions")
    require(min(masses.values()) > 0, "bead_fluid", f"masses must be positive, found {masses} amu", "Give amu")
    names = _shuffled(fractions, n_particles, seed)
    length = (n_particles / number_density) ** (1 / 3)
    system, topology = openmm.System(), app.Topology()
    vectors = np.eye(3) * length
    system.setDefaultPeriodicBoxVectors(*vectors)
    topology.setPeriodicBoxVectors(vectors * openmm.unit.nanometer)
    chain = topology.addChain()
    for name in names:
        system.addParticle(masses[name])
        topology.addAtom(name, None, topology.addResidue(name, chain))
    return system, topology, lattice(n_particles, length)


def lattice(n_particles: int, length: float) -> np.ndarray:
    """The first n points of a simple cubic lattice that fills a cube, [N, 3], nm."""
    side = int(np.ceil(n_particles ** (1 / 3) - 1e-9))
    points = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    chosen = np.linspace(0, len(points) - 1, n_particles).round().astype(int)
    return (points[chosen] + 0.5) * length / side


def _shuffled(fractions: Mapping[str, float], n: int, seed: int) -> list[str]:
    edges = np.rint(np.cumsum(list(fractions.values())) * n).astype(int)
    names = np.repeat(list(fractions), np.diff(edges, prepend=0))
    return np.random.default_rng(seed).permutation(names).tolist()
