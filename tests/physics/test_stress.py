# SPDX-License-Identifier: MIT
"""PressureTensor: an ideal gas, the closed virial of pairs, OpenMM's own, turns of the axes, the bias of the strain."""

import itertools

import molecules
import numpy as np
import openmm
import pytest

import openmmgrad as og
from openmmgrad import units

PLACES = {"xy": (0, 1), "xz": (0, 2), "yz": (1, 2), "xx": (0, 0), "yy": (1, 1), "zz": (2, 2)}


def as_matrix(values):
    """[3, 3] of six components."""
    matrix = np.empty((3, 3))
    for value, (a, b) in zip(values, PLACES.values(), strict=True):
        matrix[a, b] = matrix[b, a] = value
    return matrix


def box_of(system):
    return np.array([vector._value for vector in system.getDefaultPeriodicBoxVectors()])


def copy_of(system):
    return openmm.XmlSerializer.clone(system)


@pytest.fixture(scope="module")
def water():
    return molecules.water("spcfw", 4, molecules.PME, 0.6)


@pytest.fixture(scope="module")
def fluid():
    """125 soft atoms as one LearnablePairForce: System, force, positions, velocities."""
    system, _, positions = og.bead_fluid(125, 20.0, 40.0)
    model = og.Model(system)
    model.add_pair_potential(og.SoftSphere(1.0, 0.34, cutoff=0.8))
    made = model.create_system(300.0)
    rng = np.random.default_rng(1)
    force = [og.LearnablePairForce.cast(f) for f in made.getForces() if og.LearnablePairForce.isinstance(f)][0]
    return made, force, positions + 0.04 * rng.normal(size=(125, 3)), rng.normal(size=(125, 3))


def test_an_ideal_gas_has_its_kinetic_part_alone():
    system, _, positions = og.bead_fluid(64, 10.0, 40.0)
    nothing = openmm.CustomNonbondedForce("0")
    nothing.setNonbondedMethod(nothing.CutoffPeriodic)
    nothing.setCutoffDistance(0.5)
    for _ in range(64):
        nothing.addParticle([])
    system.addForce(nothing)
    v = np.random.default_rng(2).normal(size=(64, 3))
    pressure = og.PressureTensor(system, "Reference", diagonal=True)
    assert pressure.n_molecules == 64
    assert as_matrix(pressure(positions, v, box_of(system))) == pytest.approx(40.0 * v.T @ v / 6.4, rel=1e-12)


@pytest.mark.parametrize("platform, strain, error", [("Reference", 1e-4, 2e-6), ("CPU", 2e-3, 2e-3)])
def test_pairs_have_their_closed_virial(fluid, platform, strain, error):
    system, force, x, v = fluid
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(x)
    virial, _ = force.computeVirial(context)
    expected = (40.0 * v.T @ v + virial) / (125 / 20.0)
    properties = {"Threads": "1"} if platform == "CPU" else {}
    pressure = og.PressureTensor(system, platform, properties, strain=strain, diagonal=True)
    found = as_matrix(pressure(x, v, box_of(system)))
    assert found == pytest.approx(expected, abs=error * np.abs(expected).max())


def openmm_tensor(system, x, v, order):
    """OpenMM's stress tensor of axes in another order, as pressure in kJ/mol/nm^3: [3, 3], its upper triangle."""
    system, order = copy_of(system), list(order)
    barostat = openmm.MonteCarloFlexibleBarostat(1.0, 300.0, 0)
    system.addForce(barostat)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(x[:, order])
    context.setVelocities(v[:, order])
    bar = openmm.unit.bar
    xx, yy, zz, xy, xz, yz = (-units.BAR * value.value_in_unit(bar)
                              for value in barostat.computeStressTensor(context, True))
    return np.array([[xx, xy, xz], [0, yy, yz], [0, 0, zz]])


def test_water_has_openmms_pressure_where_centroids_are_centres_of_mass(water):
    """OpenMM scales centroids, and its tensor is not symmetric: equal masses, and the mean with turned axes."""
    system = copy_of(water.system)
    for i in range(system.getNumParticles()):
        system.setParticleMass(i, 6.0)
    x, v, box = water.positions, water.velocities, box_of(water.system)
    pressure = og.PressureTensor(system, "Reference", strain=1e-3, diagonal=True)
    found = as_matrix(pressure(x, v, box))
    upper, lower = openmm_tensor(system, x, v, (0, 1, 2)), openmm_tensor(system, x, v, (2, 1, 0))[::-1, ::-1]
    whole = np.triu(upper) + np.tril(lower, -1)  # P_ab of both orders of a and b
    assert np.abs(whole - whole.T).max() > 20  # the torque
    assert found == pytest.approx((whole + whole.T) / 2, abs=0.06)  # 1 bar
    barostats = {"trace": openmm.MonteCarloBarostat(1.0, 300.0, 0),
                 "axes": openmm.MonteCarloAnisotropicBarostat(openmm.Vec3(1, 1, 1), 300.0, True, True, True, 0)}
    theirs = {}
    for name, barostat in barostats.items():
        system = copy_of(system)
        system.addForce(barostat)
        context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
        context.setPositions(x)
        context.setVelocities(v)
        value = barostat.computeCurrentPressure(context)
        theirs[name] = units.BAR * np.array(value.value_in_unit(openmm.unit.bar))
    assert np.diag(found) == pytest.approx(theirs["axes"], abs=0.001)
    assert np.trace(found) / 3 == pytest.approx(theirs["trace"], abs=0.3)  # 5 bar: it strains all axes at once


def test_turning_the_axes_turns_the_tensor(water):
    pressure = og.PressureTensor(water.system, "Reference", strain=1e-3, diagonal=True)
    x, v, box = water.positions, water.velocities, box_of(water.system)
    found = as_matrix(pressure(x, v, box))
    for order in itertools.islice(itertools.permutations(range(3)), 1, 6, 2):
        turned = as_matrix(pressure(x[:, order], v[:, order], box))
        assert turned == pytest.approx(found[np.ix_(order, order)], abs=0.1)  # 2 bar of some thousand


def test_other_vectors_of_the_same_lattice_give_the_same_tensor(water):
    """A tilt at the edge of OpenMM's reduced form, which every shear leaves."""
    system = copy_of(water.system)
    box = box_of(system)
    tilted = box.copy()
    tilted[1, 0] = 0.5 * box[0, 0]
    system.setDefaultPeriodicBoxVectors(*tilted)
    x, v = water.positions, water.velocities
    pressure = og.PressureTensor(system, "CPU", {"Threads": "1"}, strain=3e-3)
    once = pressure(x, v, tilted)
    tilted[1, 0] *= -1
    assert pressure(x, v, tilted) == pytest.approx(once, abs=0.005 * np.abs(once).max())


def test_the_default_strain_is_where_cpu_agrees_with_double_precision(water):
    """Errors of the off-diagonals are below one percent of their size."""
    x, v, box = water.positions, water.velocities, box_of(water.system)
    fine = og.PressureTensor(water.system, "Reference", strain=3e-3)(x, v, box)
    cpu = og.PressureTensor(water.system, "CPU", {"Threads": "1"})(x, v, box)
    assert cpu == pytest.approx(fine, abs=0.01 * np.abs(fine).max())


def test_a_rigid_molecule_moves_with_its_site():
    """Constraints and virtual sites are parts of molecules: their energies do not see a strain."""
    case = molecules.water("tip4pf", 2, molecules.RF, 0.3)
    assert og.PressureTensor(case.system, "Reference").n_molecules == 8
    system = copy_of(case.system)
    for force in system.getForces():
        if isinstance(force, openmm.NonbondedForce):
            for i in range(force.getNumParticles()):
                force.setParticleParameters(i, 0.0, 1.0, 0.0)
                if i < force.getNumParticleParameterOffsets():
                    force.setParticleParameterOffset(i, "dsigma", 0, 0.0, 0.0, 0.0)
    v = case.velocities * (np.arange(32) % 4 != 3)[:, None]
    masses = np.tile([15.999, 1.008, 1.008, 0.0], 8)
    momenta = (masses[:, None] * v).reshape(8, 4, 3).sum(1)
    box = box_of(system)
    expected = momenta.T @ momenta / masses[:4].sum() / np.linalg.det(box)
    found = og.PressureTensor(system, "Reference", diagonal=True)(case.positions, v, box)
    assert as_matrix(found) == pytest.approx(expected, abs=1e-7 * np.abs(expected).max())


def test_bad_input_is_refused(water):
    with pytest.raises(ValueError, match="periodic System"):
        og.PressureTensor(molecules.water("spcfw", 2).system, "Reference")
    with pytest.raises(ValueError, match="strain must be between"):
        og.PressureTensor(water.system, strain=0.0)
    pressure = og.PressureTensor(water.system, "CPU", {"Threads": "1"})
    with pytest.raises(ValueError, match=r"velocities must have shape \[192, 3\], found \[3, 3\]"):
        pressure(water.positions, np.zeros((3, 3)), box_of(water.system))
