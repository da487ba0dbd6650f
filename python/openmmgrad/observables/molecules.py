# SPDX-License-Identifier: MIT
"""Molecules: which particles move as one, their centres of mass, and frames under a strain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from ..errors import require
from ..frames import Frames
from .pairs import widths


@dataclass(frozen=True, eq=False)
class Molecules:
    """Which molecule every particle belongs to.

    Parameters
    ----------
    labels
        [N] of int, from 0.
    masses
        [N], amu. A molecule's centre is that of its masses, or of its particles where none has mass.
    bonds
        [L, 2] of int: pairs of one molecule that are close in space (bonds, constraints); may be incomplete.

    Examples
    --------
    >>> pairs = Molecules.of_bonds([[0, 1]], masses=[1.0, 3.0, 2.0])
    >>> pairs.labels, pairs.n, pairs.n_with_mass
    (array([0, 0, 1], dtype=int32), 2, 2)
    >>> pairs.centres(np.array([[0.0, 0, 0], [0.4, 0, 0], [1.0, 0, 0]]))[:, 0]
    array([0.3, 1. ])
    """

    labels: np.ndarray
    masses: np.ndarray
    bonds: np.ndarray

    @classmethod
    def of_bonds(cls, bonds: Sequence, masses: Sequence) -> Molecules:
        """Particles that are connected by pairs [L, 2] belong to one molecule."""
        bonds, n = np.asarray(bonds, dtype=int).reshape(-1, 2), len(masses)
        graph = csr_matrix((np.ones(len(bonds)), bonds.T), shape=(n, n))
        return cls(connected_components(graph, directed=False)[1], np.asarray(masses, dtype=float), bonds)

    @classmethod
    def of_topology(cls, topology: Any) -> Molecules:
        """Atoms of an `mdtraj.Topology` that bonds or residues connect (sites without bonds belong to their residue).

        All count as equally heavy.
        """
        bonds = [(bond.atom1.index, bond.atom2.index) for bond in topology.bonds]
        members = [[atom.index for atom in residue.atoms] for residue in topology.residues]
        links = [(group[0], k) for group in members for k in group[1:]]
        return replace(cls.of_bonds(bonds + links, np.ones(topology.n_atoms)),
                       bonds=np.asarray(bonds, dtype=int).reshape(-1, 2))

    @property
    def n(self) -> int:
        """Their number."""
        return int(self.labels.max(initial=-1)) + 1

    @property
    def n_with_mass(self) -> int:
        """The number of those that have mass: frozen ones do not push."""
        return int(np.count_nonzero(self.totals(self.masses)))

    def totals(self, values: np.ndarray) -> np.ndarray:
        """Sums of values [N] over every molecule, [n]."""
        return np.bincount(self.labels, values, self.n)

    def centres(self, positions: np.ndarray) -> np.ndarray:
        """Centres of mass of positions [..., N, 3], [..., n, 3], nm."""
        heavy = self.totals(self.masses) > 0
        weight = np.where(heavy[self.labels], self.masses, 1.0)
        share = weight / self.totals(weight)[self.labels]
        matrix = csr_matrix((share, (self.labels, np.arange(len(share)))), shape=(self.n, len(share)))
        columns = np.moveaxis(np.asarray(positions), -2, 0)
        return np.moveaxis((matrix @ columns.reshape(len(share), -1)).reshape(self.n, *columns.shape[1:]), 0, -2)

    def require_whole(self, frames: Frames, who: str) -> None:
        """Refuse periodic frames in which a bond is longer than half the smallest width of the box."""
        if frames.boxes is None or not len(self.bonds):
            return
        for s in range(len(frames)):
            x = np.asarray(frames.positions[s])
            length = np.sqrt(((x[self.bonds[:, 0]] - x[self.bonds[:, 1]]) ** 2).sum(1))
            k, limit = int(np.argmax(length)), widths(frames.boxes[s]).min() / 2
            require(length[k] < limit, who,
                    f"frame {s} has a molecule that is broken across the box: the bonded atoms "
                    f"{self.bonds[k].tolist()} are {length[k]:.3g} nm apart",
                    "Make molecules whole first, for example with mdtraj's make_molecules_whole")


def strained(frames: Frames, strain: np.ndarray, molecules: Molecules) -> Frames:
    r"""Frames under a homogeneous strain e that moves molecules and does not deform them.

    .. math:: \mathbf h' = \mathbf h\,(1 + e), \qquad \mathbf r_i' = \mathbf r_i + \mathbf R_{m(i)}\, e

    with rows h of the box, row vectors r, and R the centre of mass of the molecule of i. Constraints stay fulfilled and
    intramolecular energies as they are.

    Parameters
    ----------
    frames
        S frames with boxes; their molecules must be whole.
    strain
        e, [3, 3], with zeros above the diagonal, so that boxes stay in OpenMM's form.
    molecules
        Of the frames' particles.

    Returns
    -------
    Frames
        Positions, boxes, masses and states; nothing else of the frames holds under a strain.

    Raises
    ------
    ValueError
        If frames have no boxes, molecules are broken, or the strain has another form.

    References
    ----------
    M. P. Allen, D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), section 2.8: molecular virial.

    Examples
    --------
    >>> from openmmgrad.frames import State
    >>> pair = Molecules.of_bonds([[0, 1]], [1.0, 1.0])
    >>> frames = Frames([[[0.4, 0, 0], [0.6, 0, 0]]], State([], 300.0), boxes=2 * np.eye(3))
    >>> moved = strained(frames, 0.1 * np.eye(3), pair)
    >>> moved.positions[0, :, 0].round(12), round(float(moved.volumes[0]), 12)
    (array([0.45, 0.65]), 10.648)
    """
    who = "strained"
    strain = np.asarray(strain, dtype=float)
    require(frames.boxes is not None, who, "expected periodic frames, found no boxes", "Pass boxes= with the frames")
    require(strain.shape == (3, 3) and not np.triu(strain, 1).any() and bool(np.isfinite(strain).all()), who,
            f"expected a strain [3, 3] with zeros above the diagonal, found {strain.tolist()}",
            "Turn the deformation so that a stays along x, and b in the plane of x and y")
    require(len(molecules.labels) == frames.n_atoms, who,
            f"expected frames of {len(molecules.labels)} particles, found {frames.n_atoms}",
            "Use frames of the same System")
    molecules.require_whole(frames, who)
    positions = np.asarray(frames.positions)
    moved = positions + (molecules.centres(positions) @ strain)[:, molecules.labels]
    return replace(frames, positions=moved, boxes=frames.boxes @ (np.eye(3) + strain), velocities=None, features=None,
                   virial_features=None, energies=None, learnable_energies=None)
