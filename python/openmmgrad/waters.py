# SPDX-License-Identifier: MIT
"""Flexible water whose parameters are global parameters: the System, topology and positions to learn from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import openmm
from openmm import app

from .errors import require
from .fluids import lattice
from .units import plain

#: SPC/Fw [1]: kJ/mol/nm^2, nm, kJ/mol/rad^2, rad, nm, kJ/mol, e (of a hydrogen; an oxygen has -2 q).
SPC_FW = {"k_OH": 443153.8, "r_OH": 0.1012, "k_HOH": 317.5656, "theta_HOH": np.radians(113.24), "sigma": 0.3165492,
          "epsilon": 0.650299, "q_H": 0.41}
_MASSES = {"O": 15.99943, "H": 1.007947}


def flexible_water(n_molecules: int, parameters: Mapping[str, float] | None = None, density: float | None = 997.0,
                   cutoff: float = 0.9, ewald_tolerance: float = 1e-4, seed: int = 0):
    """Three-site flexible water: harmonic bonds and angles, Lennard-Jones between oxygens, and charges.

    Every parameter is a global parameter of a Force, to be learnt by `Model.add_parameters`: "k_OH", "r_OH", "k_HOH",
    "theta_HOH", "sigma", "epsilon" and "q_H".

    Parameters
    ----------
    n_molecules
        Molecules, in the order O, H, H.
    parameters
        {name: value} of those that differ from SPC/Fw's, in its units (`SPC_FW`).
    density
        kg/m^3, of a cubic box with PME; None leaves the molecules in vacuum, without cutoffs.
    cutoff
        nm, of Lennard-Jones (switched from 0.9 of it on, with a correction for the tail) and of PME's direct sum.
    ewald_tolerance
        OpenMM's error tolerance of PME.
    seed
        Of the molecules' orientations.

    Returns
    -------
    system, topology, positions
        `openmm.System`, `openmm.app.Topology` with its box, and [N, 3] nm: molecules on a lattice, to be equilibrated.

    Raises
    ------
    ValueError
        For unknown parameters, numbers that are not positive, or a cutoff beyond half the box.

    References
    ----------
    [1] Y. Wu, H. L. Tepper, G. A. Voth, J. Chem. Phys. 124, 024503 (2006): SPC/Fw.

    Examples
    --------
    >>> system, topology, positions = flexible_water(64, {"q_H": 0.42}, cutoff=0.6)
    >>> system.getNumParticles(), [type(force).__name__ for force in system.getForces()]
    (192, ['CustomBondForce', 'CustomAngleForce', 'NonbondedForce'])
    """
    who, values = "flexible_water", {**SPC_FW, **(parameters or {})}
    unknown = sorted(set(values) - set(SPC_FW))
    require(not unknown, who, f"unknown parameters {', '.join(unknown)}", f"Choose of {', '.join(SPC_FW)}")
    require(n_molecules >= 1, who, f"expected molecules, found {n_molecules}", "Give at least 1")
    length = None
    if density is not None:
        density = float(plain(density, "amu/nm^3"))
        require(density > 0, who, f"density must be positive, found {density} kg/m^3", "Give kg/m^3, or None")
        mass = _MASSES["O"] + 2 * _MASSES["H"]
        length = (n_molecules * mass / (density * 0.602214076)) ** (1 / 3)
        require(cutoff <= length / 2, who, f"the cutoff {cutoff:g} nm is more than half the box of {length:.4g} nm",
                "Take more molecules or a shorter cutoff")
    system, topology = openmm.System(), app.Topology()
    if length is not None:
        system.setDefaultPeriodicBoxVectors(*np.eye(3) * length)
        topology.setPeriodicBoxVectors(np.eye(3) * length * openmm.unit.nanometer)
    chain = topology.addChain()
    for _ in range(n_molecules):
        residue = topology.addResidue("HOH", chain)
        atoms = [topology.addAtom(name, app.Element.getBySymbol(name[0]), residue) for name in ("O", "H1", "H2")]
        for hydrogen in atoms[1:]:
            topology.addBond(atoms[0], hydrogen)
        for atom in atoms:
            system.addParticle(_MASSES[atom.element.symbol])
    for force in (*_intramolecular(n_molecules, values, length is not None),
                  _nonbonded(n_molecules, values, cutoff, ewald_tolerance, length is not None)):
        system.addForce(force)
    return system, topology, _positions(n_molecules, values, length, seed)


def _intramolecular(n: int, values: Mapping[str, float], periodic: bool) -> list[openmm.Force]:
    bonds = openmm.CustomBondForce("0.5*k_OH*(r-r_OH)^2")
    angles = openmm.CustomAngleForce("0.5*k_HOH*(theta-theta_HOH)^2")
    for force, names in ((bonds, ("k_OH", "r_OH")), (angles, ("k_HOH", "theta_HOH"))):
        for name in names:
            force.addGlobalParameter(name, values[name])
            force.addEnergyParameterDerivative(name)
        force.setUsesPeriodicBoundaryConditions(periodic)
    for oxygen in range(0, 3 * n, 3):
        bonds.addBond(oxygen, oxygen + 1)
        bonds.addBond(oxygen, oxygen + 2)
        angles.addAngle(oxygen + 1, oxygen, oxygen + 2)
    return [bonds, angles]


def _nonbonded(n: int, values: Mapping[str, float], cutoff: float, tolerance: float,
               periodic: bool) -> openmm.NonbondedForce:
    force = openmm.NonbondedForce()
    for name in ("q_H", "sigma", "epsilon"):
        force.addGlobalParameter(name, values[name])
    if periodic:
        force.setNonbondedMethod(openmm.NonbondedForce.PME)
        force.setCutoffDistance(cutoff)
        force.setUseSwitchingFunction(True)
        force.setSwitchingDistance(0.9 * cutoff)
        force.setEwaldErrorTolerance(tolerance)
    for i in range(3 * n):
        oxygen = i % 3 == 0
        force.addParticle(0.0, 0.0 if oxygen else 0.1, 0.0)
        force.addParticleParameterOffset("q_H", i, -2.0 if oxygen else 1.0, 0.0, 0.0)
        if oxygen:
            force.addParticleParameterOffset("sigma", i, 0.0, 1.0, 0.0)
            force.addParticleParameterOffset("epsilon", i, 0.0, 0.0, 1.0)
    for oxygen in range(0, 3 * n, 3):
        for a, b in ((0, 1), (0, 2), (1, 2)):
            force.addException(oxygen + a, oxygen + b, 0.0, 0.1, 0.0)
    return force


def _positions(n: int, values: Mapping[str, float], length: float | None, seed: int) -> np.ndarray:
    """Molecules on a lattice, each turned at random: [N, 3], nm."""
    half = 0.5 * values["theta_HOH"]
    hydrogen = values["r_OH"] * np.array([np.sin(half), np.cos(half), 0.0])
    molecule = np.array([np.zeros(3), hydrogen, hydrogen * [-1, 1, 1]])
    turns = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, 3, 3)))[0]
    centres = lattice(n, 0.31 * np.ceil(n ** (1 / 3)) if length is None else length)
    return (centres[:, None] + molecule @ turns).reshape(-1, 3)
