# SPDX-License-Identifier: MIT
"""Small molecular systems with global parameters, built from openmm alone: flexible waters and alanine dipeptide."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import openmm
from openmm import app

NONE, RF, PME = openmm.NonbondedForce.NoCutoff, openmm.NonbondedForce.CutoffPeriodic, openmm.NonbondedForce.PME
VOLUME = 1 / 33.37  # nm^3 of one water molecule at ambient density
SKEW = np.array([[1.0, 0.0, 0.0], [0.35, 1.0, 0.0], [-0.3, 0.4, 1.0]])  # rows: a, b, c of a triclinic cell
KCAL = 4.184
WATERS = {
    # SPC/Fw: Wu, Tepper, Voth, J. Chem. Phys. 124, 024503 (2006)
    "spcfw": dict(
        charge=0.41, sigma=0.3165492, epsilon=0.6502, r=0.1012, angle=113.24,
        bond="0.5*k_OH*(r-0.1012)^2", globals={"k_OH": 443153.8, "k_angle": 317.5656}, site=None,
    ),
    # q-TIP4P/F: Habershon, Markland, Manolopoulos, J. Chem. Phys. 131, 024501 (2009); the negative charge sits on M
    "tip4pf": dict(
        charge=0.5564, sigma=0.31589, epsilon=0.1852 * KCAL, r=0.09419, angle=107.4,
        bond="D_OH*(s^2-s^3+7/12*s^4); s=22.87*(r-0.09419)",
        globals={"D_OH": 116.09 * KCAL, "k_angle": 87.85 * KCAL}, site=0.73612,
    ),
}


@dataclass
class Case:
    """A System with the state it starts from and the natural sizes of its global parameters."""

    system: openmm.System
    positions: np.ndarray  # [N, 3], nm
    velocities: np.ndarray  # [N, 3], nm/ps, at the time of the positions
    charges: np.ndarray  # [N], e; nominal
    sizes: dict[str, float]  # global parameter: size that a derivative is weighed by

    @property
    def values(self) -> dict[str, float]:
        """The parameters' values in the System."""
        found = {}
        for force in self.system.getForces():
            for k in range(force.getNumGlobalParameters() if hasattr(force, "getNumGlobalParameters") else 0):
                found[force.getGlobalParameterName(k)] = force.getGlobalParameterDefaultValue(k)
        return {name: found[name] for name in self.sizes}


@cache
def water(kind: str, n_side: int, method: int = NONE, cutoff: float = 0.0, skewed: bool = False,
          remove_motion: int = 0, separation: float = 1.0) -> Case:
    """n_side^3 waters near 300 K: a cluster, or a box at ambient density.

    Global parameters: `dq` (the hydrogens' charge is q + dq, the negative charge -2 q - 2 dq), `dsigma` (added to the
    oxygens' sigma), the bond's `k_OH` or `D_OH`, and `k_angle`. `remove_motion` is a CMMotionRemover's frequency.
    `separation` multiplies PME's alpha, and the grid with it: forces at the cutoff jump by less.
    """
    model, n = WATERS[kind], n_side**3
    per = 3 if model["site"] is None else 4
    cell = _cell(n, skewed)
    system = openmm.System()
    if method != NONE:
        system.setDefaultPeriodicBoxVectors(*cell)
    bonds = openmm.CustomBondForce(model["bond"])
    angles = openmm.CustomAngleForce(f"0.5*k_angle*(theta-{np.radians(model['angle']):.15g})^2")
    (bond_name, bond_value), (angle_name, angle_value) = model["globals"].items()
    for force, name, value in ((bonds, bond_name, bond_value), (angles, angle_name, angle_value)):
        force.addGlobalParameter(name, value)
        force.addEnergyParameterDerivative(name)
        force.setUsesPeriodicBoundaryConditions(method != NONE)
    pairs = _nonbonded(method, cutoff)
    if separation != 1.0:
        _separate(pairs, cell, separation)
    pairs.addGlobalParameter("dq", 0.0)
    pairs.addGlobalParameter("dsigma", 0.0)
    negative = 0 if per == 3 else 3
    for first in range(0, per * n, per):
        for k in range(per):
            system.addParticle((15.999, 1.008, 1.008, 0.0)[k])
            times = (-2.0 if k == negative else 1.0) if k == negative or k in (1, 2) else 0.0
            pairs.addParticle(times * model["charge"], model["sigma"], model["epsilon"] if k == 0 else 0.0)
            if times:
                pairs.addParticleParameterOffset("dq", first + k, times, 0.0, 0.0)
        pairs.addParticleParameterOffset("dsigma", first, 0.0, 1.0, 0.0)
        bonds.addBond(first, first + 1)
        bonds.addBond(first, first + 2)
        angles.addAngle(first + 1, first, first + 2)
        if per == 4:
            away = (1 - model["site"]) / 2
            system.setVirtualSite(first + 3, openmm.ThreeParticleAverageSite(
                first, first + 1, first + 2, model["site"], away, away))
        for i in range(per):
            for j in range(i):
                pairs.addException(first + i, first + j, 0.0, 1.0, 0.0)
    for force in (bonds, angles, pairs):
        system.addForce(force)
    pairs.setNonbondedMethod(RF if method == PME else method)  # a start needs no Ewald sums
    positions, velocities = equilibrate(system, _lattice(n_side, cell, model, per))
    pairs.setNonbondedMethod(method)
    if remove_motion:
        system.addForce(openmm.CMMotionRemover(remove_motion))
    sizes = {"dq": model["charge"], "dsigma": model["sigma"], **model["globals"]}
    return Case(system, positions, velocities, _charges(pairs), sizes)


# ACE-ALA-NME, extended, as LEaP builds it (Angstrom); atoms in the order of the Amber templates
DIPEPTIDE = """
ACE H1 2.000 1.000 0.000   ACE CH3 2.000 2.090 0.000  ACE H2 1.486 2.454 0.890   ACE H3 1.486 2.454 -0.890
ACE C 3.427 2.641 0.000    ACE O 4.391 1.877 0.000    ALA N 3.555 3.970 0.000    ALA H 2.733 4.556 0.000
ALA CA 4.853 4.614 0.000   ALA HA 5.408 4.316 0.890   ALA CB 5.661 4.221 -1.232  ALA HB1 5.123 4.521 -2.131
ALA HB2 6.630 4.719 -1.206 ALA HB3 5.809 3.141 -1.241 ALA C 4.713 6.129 0.000    ALA O 3.601 6.653 0.000
NME N 5.846 6.835 0.000    NME H 6.737 6.359 0.000    NME C 5.846 8.284 0.000    NME H1 4.819 8.648 0.000
NME H2 6.360 8.648 0.890   NME H3 6.360 8.648 -0.890
"""


@cache
def alanine_dipeptide() -> Case:
    """ACE-ALA-NME with ff14SB in vacuum near 300 K, nothing constrained.

    Global parameters: `torsion` and `angle` scale the strengths of their terms (1), `charge` adds to the scale of the
    charges (0; the 1-4 products grow by 2 charge, to first order the same).
    """
    topology, positions = _dipeptide()
    field = app.ForceField("amber14/protein.ff14SB.xml")
    built = field.createSystem(topology, nonbondedMethod=app.NoCutoff, constraints=None, rigidWater=False,
                               removeCMMotion=False)
    system = openmm.System()
    for i in range(built.getNumParticles()):
        system.addParticle(built.getParticleMass(i))
    for force in built.getForces():
        if isinstance(force, openmm.PeriodicTorsionForce):
            force = _scaled_torsions(force)
        elif isinstance(force, openmm.HarmonicAngleForce):
            force = _scaled_angles(force)
        else:
            force = openmm.XmlSerializer.clone(force)
        if isinstance(force, openmm.NonbondedForce):
            pairs = _scalable_charges(force)
        system.addForce(force)
    positions, velocities = equilibrate(system, positions)
    return Case(system, positions, velocities, _charges(pairs), {"torsion": 1.0, "angle": 1.0, "charge": 1.0})


def equilibrate(system: openmm.System, positions: np.ndarray, n_steps: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Minimise, then Langevin at 300 K with steps of 0.5 fs: positions and velocities, [N, 3].

    On Reference: the same state on every machine.
    """
    integrator = openmm.LangevinMiddleIntegrator(300.0, 20.0, 0.0005)
    integrator.setRandomNumberSeed(7)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions)
    context.computeVirtualSites()
    openmm.LocalEnergyMinimizer.minimize(context, 50.0)
    context.setVelocitiesToTemperature(300.0, 7)
    integrator.step(n_steps)
    state = context.getState(positions=True, velocities=True)
    return state.getPositions(asNumpy=True)._value.copy(), state.getVelocities(asNumpy=True)._value.copy()


def _nonbonded(method: int, cutoff: float) -> openmm.NonbondedForce:
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(method)
    force.setUseDispersionCorrection(False)  # offsets of sigma would not reach it
    if method != NONE:
        force.setCutoffDistance(cutoff)
        force.setUseSwitchingFunction(True)
        force.setSwitchingDistance(0.8 * cutoff)
        force.setEwaldErrorTolerance(1e-5)
        force.setReactionFieldDielectric(1e9)  # the force ends at zero
    return force


def _separate(pairs: openmm.NonbondedForce, cell: np.ndarray, separation: float) -> None:
    """PME's parameters as OpenMM takes them from cutoff and tolerance, with alpha and grid times `separation`."""
    tolerance = pairs.getEwaldErrorTolerance()
    alpha = separation * np.sqrt(-np.log(2 * tolerance)) / pairs.getCutoffDistance()._value
    grid = np.ceil(2 * alpha * np.diag(cell) / (3 * tolerance**0.2)).astype(int)
    pairs.setPMEParameters(alpha, *grid.tolist())


def _cell(n: int, skewed: bool) -> np.ndarray:
    shape = SKEW if skewed else np.eye(3)
    return shape * np.cbrt(n * VOLUME / np.linalg.det(shape))


def _lattice(n_side: int, cell: np.ndarray, model: dict, per: int) -> np.ndarray:
    """Molecules on a grid, each turned at random: [N, 3]."""
    rng = np.random.default_rng(3)
    half = np.radians(model["angle"]) / 2
    molecule = np.zeros((per, 3))
    molecule[1] = model["r"] * np.array([np.sin(half), np.cos(half), 0.0])
    molecule[2] = molecule[1] * [-1, 1, 1]
    grid = np.stack(np.meshgrid(*[np.arange(n_side)] * 3, indexing="ij"), -1).reshape(-1, 3) / n_side
    turns = np.linalg.qr(rng.normal(size=(len(grid), 3, 3)))[0]
    return ((grid @ cell)[:, None] + molecule @ turns).reshape(-1, 3)


def _charges(pairs: openmm.NonbondedForce) -> np.ndarray:
    return np.array([pairs.getParticleParameters(i)[0]._value for i in range(pairs.getNumParticles())])


def _dipeptide():
    fields = DIPEPTIDE.split()
    topology = app.Topology()
    chain, residue = topology.addChain(), None
    for name, atom in zip(fields[::5], fields[1::5], strict=True):
        if residue is None or residue.name != name:
            residue = topology.addResidue(name, chain)
        topology.addAtom(atom, app.Element.getBySymbol(atom[0]), residue)
    topology.createStandardBonds()
    coordinates = np.array([fields[k::5] for k in (2, 3, 4)], dtype=float).T / 10
    return topology, coordinates


def _scaled_torsions(old: openmm.PeriodicTorsionForce) -> openmm.CustomTorsionForce:
    new = openmm.CustomTorsionForce("torsion*k*(1+cos(n*theta-phase))")
    for name in ("k", "n", "phase"):
        new.addPerTorsionParameter(name)
    for t in range(old.getNumTorsions()):
        *atoms, n, phase, k = old.getTorsionParameters(t)
        new.addTorsion(*atoms, [k, n, phase])
    return _with_scale(new, "torsion")


def _scaled_angles(old: openmm.HarmonicAngleForce) -> openmm.CustomAngleForce:
    new = openmm.CustomAngleForce("angle*0.5*k*(theta-theta0)^2")
    for name in ("k", "theta0"):
        new.addPerAngleParameter(name)
    for a in range(old.getNumAngles()):
        *atoms, theta0, k = old.getAngleParameters(a)
        new.addAngle(*atoms, [k, theta0])
    return _with_scale(new, "angle")


def _with_scale(force, name: str):
    force.addGlobalParameter(name, 1.0)
    force.addEnergyParameterDerivative(name)
    return force


def _scalable_charges(force: openmm.NonbondedForce) -> openmm.NonbondedForce:
    force.addGlobalParameter("charge", 0.0)
    force.setUseDispersionCorrection(False)
    for i in range(force.getNumParticles()):
        force.addParticleParameterOffset("charge", i, force.getParticleParameters(i)[0], 0.0, 0.0)
    for e in range(force.getNumExceptions()):
        product = force.getExceptionParameters(e)[2]._value
        if product:
            force.addExceptionParameterOffset("charge", e, 2 * product, 0.0, 0.0)
    return force
