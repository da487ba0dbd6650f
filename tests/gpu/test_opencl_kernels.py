# SPDX-License-Identifier: MIT
"""Kernels of a graphics processor against the Reference platform, in all precisions, on PoCL or on a real device."""

import numpy as np
import openmm
import pytest
from devices import PLATFORM, PRECISIONS, assert_agree, atom_order, evaluate, make_context

import openmmgrad as og
from openmmgrad.contexts import find_platform

N, K, CUTOFF = 1020, 24, 0.7
BOX = np.array([[2.9, 0.0, 0.0], [-0.8, 3.0, 0.0], [0.7, 0.9, 3.2]])  # nm
KINDS = ((0, 1), (2, 3), (4, 4))  # types of the two particles of a molecule


def set_coefficients(force, rng: np.random.Generator) -> None:
    """Repulsive, and with a part that no two intervals and no two pairs of types share; kJ/mol."""
    x = np.arange(force.getNumCoefficients() - 3) / (force.getNumCoefficients() - 3)
    for a in range(force.getNumTypes()):
        for b in range(a, force.getNumTypes()):
            c = (15 + 5 * rng.random()) * (1 - x) ** 3 + 0.3 * rng.normal(size=len(x)) * (1 - x)
            force.setCoefficients(a, b, [*c, 0, 0, 0])


def molecules(rng: np.random.Generator) -> tuple[openmm.System, np.ndarray]:
    """Bonded pairs of particles in a skewed box, the force in question in group 1 beside a NonbondedForce."""
    system, positions = openmm.System(), np.empty((N, 3))
    system.setDefaultPeriodicBoxVectors(*BOX)
    force = og.LearnablePairForce(5, CUTOFF, K)
    force.setForceGroup(1)
    other, bonds = openmm.NonbondedForce(), openmm.HarmonicBondForce()
    other.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    other.setCutoffDistance(1.0)
    set_coefficients(force, rng)
    for first in range(0, N, 2):
        positions[first] = rng.random(3) @ BOX
        away = rng.normal(size=3)
        positions[first + 1] = positions[first] + 0.15 * away / np.linalg.norm(away)
        for i, kind in zip((first, first + 1), KINDS[first // 2 % 3], strict=True):
            system.addParticle(15.0)
            force.addParticle(kind)
            other.addParticle(0.02 * (1 if i == first else -1), 1.0, 0.0)
        force.addExclusion(first, first + 1)
        other.addException(first, first + 1, 0.0, 1.0, 0.0)
        bonds.addBond(first, first + 1, 0.15, 1e5)
    for added in (force, other, bonds):
        system.addForce(added)
    return system, positions


def learnable(context: openmm.Context, index: int = 0):
    return og.LearnablePairForce.cast(context.held.getForce(index))


@pytest.fixture(scope="module")
def shared() -> openmm.Context:
    system, positions = molecules(np.random.default_rng(1))
    return make_context(system, "Reference", positions)


@pytest.fixture(scope="module", params=PRECISIONS)
def device(request) -> openmm.Context:
    system, positions = molecules(np.random.default_rng(1))
    context = make_context(system, f"{PLATFORM}:{request.param}", positions)
    context.precision = request.param
    return context


@pytest.fixture(scope="module")
def moved(device) -> None:
    """By dynamics during which OpenMM reorders the particles on the device."""
    device.getIntegrator().step(260)
    assert (atom_order(device, N) != np.arange(N)).sum() > N / 2
    assert device.getState(energy=True).getKineticEnergy()._value < 3 * N * 2.5  # kJ/mol: they did not fly apart


@pytest.fixture(scope="module")
def changed(device, moved) -> None:
    """Afterwards: other coefficients, and molecules that were alike no longer are."""
    force = learnable(device)
    set_coefficients(force, np.random.default_rng(3))
    for i in range(0, N, 7):
        force.setParticleType(i, i % 5)
    force.updateParametersInContext(device)


@pytest.fixture
def reference(shared, device) -> openmm.Context:
    """With the device's positions and parameters."""
    force, copied = learnable(device), learnable(shared)
    for a in range(5):
        for b in range(a, 5):
            copied.setCoefficients(a, b, force.getCoefficients(a, b))
    for i in range(N):
        copied.setParticleType(i, force.getParticleType(i))
    copied.updateParametersInContext(shared)
    shared.setPositions(device.getState(positions=True).getPositions(asNumpy=True))
    return shared


@pytest.fixture
def direction() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(N, 3))


def test_molecules_agree_with_reference(reference, device, direction):
    expected = evaluate(reference, learnable(reference), direction)
    assert_agree(evaluate(device, learnable(device), direction), expected, device.precision)


def test_the_same_call_gives_the_same_bits(device, direction):
    first, second = (evaluate(device, learnable(device), direction) for _ in range(2))
    for name, value in first.items():
        assert np.array_equal(value, second[name]), name


def test_long_and_short_directions_lose_nothing(device, direction):
    product, sums = learnable(device).computeHessianVectorProduct(device, direction)
    for factor in (2.0**300, 2.0**-300):
        scaled, scaled_sums = learnable(device).computeHessianVectorProduct(device, factor * direction)
        assert np.array_equal(np.asarray(scaled), factor * np.asarray(product))
        assert np.array_equal(np.asarray(scaled_sums), factor * np.asarray(sums))
    nothing, no_sums = learnable(device).computeHessianVectorProduct(device, 0 * direction)
    assert not np.any(nothing) and not np.any(no_sums)


@pytest.mark.parametrize("state", ["moved", "changed"])
def test_reordered_molecules_agree_with_reference(request, state, device, direction):
    request.getfixturevalue(state)
    expected = evaluate(reference := request.getfixturevalue("reference"), learnable(reference), direction)
    assert_agree(evaluate(device, learnable(device), direction), expected, device.precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_forces_that_share_a_group(precision):
    """No box, one type, interaction groups, and two cutoffs in one force group."""
    rng = np.random.default_rng(4)
    n, system = 60, openmm.System()
    positions = rng.uniform(-0.8, 0.8, (n, 3))
    for _ in range(n):
        system.addParticle(1.0)
    for cutoff, groups in ((0.6, [(range(0, 20), range(10, 40)), ((50, 51), range(n))]), (1.0, [])):
        force = og.LearnablePairForce(1, cutoff, K)
        force.setNonbondedMethod(og.LearnablePairForce.CutoffNonPeriodic)
        set_coefficients(force, rng)
        for _ in range(n):
            force.addParticle(0)
        for first, second in groups:
            force.addInteractionGroup(set(first), set(second))
        system.addForce(force)
    direction = rng.normal(size=(n, 3))
    contexts = [make_context(openmm.XmlSerializer.clone(system), name, positions)
                for name in ("Reference", f"{PLATFORM}:{precision}")]  # fmt: skip
    for index in (0, 1):
        expected, found = (evaluate(context, learnable(context, index), direction) for context in contexts)
        assert_agree(found, expected, precision)


def test_more_coefficients_than_local_memory_holds():
    rng, n = np.random.default_rng(7), 60
    system, force = openmm.System(), og.LearnablePairForce(5, 0.9, 200)
    force.setNonbondedMethod(og.LearnablePairForce.CutoffNonPeriodic)
    set_coefficients(force, rng)
    for i in range(n):
        system.addParticle(1.0)
        force.addParticle(i % 5)
    system.addForce(force)
    positions, direction = rng.uniform(-0.8, 0.8, (n, 3)), rng.normal(size=(n, 3))
    expected, found = (evaluate(make_context(system, platform, positions), force, direction)
                       for platform in ("Reference", f"{PLATFORM}:double"))  # fmt: skip
    assert_agree(found, expected, "double")


def test_derivatives_between_steps_leave_them_alone():
    """A CustomIntegrator keeps forces from one step to the next; they are gone once a list has been made for us."""
    rng, n = np.random.default_rng(6), 60
    system, force = openmm.System(), og.LearnablePairForce(1, 1.0, K)
    force.setNonbondedMethod(og.LearnablePairForce.CutoffNonPeriodic)
    set_coefficients(force, rng)
    for _ in range(n):
        system.addParticle(1.0)
        force.addParticle(0)
    system.addForce(force)
    integrator = openmm.CustomIntegrator(0.002)
    for variable, expression in (("v", "v+0.5*dt*f/m"), ("x", "x+dt*v"), ("v", "v+0.5*dt*f/m")):
        integrator.addComputePerDof(variable, expression)
    context = openmm.Context(system, integrator, find_platform(PLATFORM, "tests"), {"Precision": "mixed"})
    start, found = rng.uniform(-0.8, 0.8, (n, 3)), []
    for disturbed in (False, True):
        context.setPositions(start)
        context.setVelocities(np.zeros((n, 3)))
        for _ in range(4):
            integrator.step(2)
            if disturbed:
                force.computeHessianVectorProduct(context, start)
        found.append(context.getState(positions=True).getPositions(asNumpy=True)._value)
    assert np.array_equal(*found) and np.abs(found[0] - start).max() > 1e-3


def test_what_openmm_refuses_is_explained():
    system = openmm.System()
    force, other = og.LearnablePairForce(1, 0.5, K), openmm.CustomNonbondedForce("0")
    other.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    other.setCutoffDistance(0.5)
    for _ in range(4):
        system.addParticle(1.0)
        force.addParticle(0)
        other.addParticle([])
    other.addExclusion(0, 1)
    force.addExclusion(1, 2)
    for added in (other, force):
        system.addForce(added)
    positions = np.random.default_rng(5).random((4, 3))
    with pytest.raises(openmm.OpenMMException, match=r"cutoff of 0.5.* identical exceptions\. Give the forces equal"):
        make_context(system, PLATFORM, positions)
    force.setExclusionParticles(0, 0, 1)
    make_context(system, PLATFORM, positions)
    with pytest.raises(openmm.OpenMMException, match="one device is expected, found 2"):
        openmm.Context(system, openmm.VerletIntegrator(0.001), find_platform(PLATFORM, "tests"), {"DeviceIndex": "0,0"})
