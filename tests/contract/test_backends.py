# SPDX-License-Identifier: MIT
"""All backends evaluate the same projected spline: against scipy's B-splines, and with one another."""

import os

import numpy as np
import openmm
import pytest
import torch
from pair_systems import CASES, CUTOFF, PairSystem, evaluate

from openmmgrad.backends import NAMES, PairForceSpec, build
from openmmgrad.backends.pythonforce import PairEvaluation, SplineRadial
from openmmgrad.backends.torchforce import PairEnergy, TorchEvaluation, TorchSplineRadial
from openmmgrad.potentials import LennardJones

REQUIRED = [
    name for name in os.environ.get("REQUIRE_BACKENDS", "native,table,pythonforce").split(",") if name
]
PLATFORMS = ["Reference", "CPU"]


@pytest.fixture(params=REQUIRED)
def name(request):
    """A required backend; one that is not installed fails its tests, by the ImportError of its build."""
    assert request.param in NAMES, f"REQUIRE_BACKENDS names {request.param!r}, expected one of {NAMES}"
    return request.param


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("case", CASES)
def test_energy_and_forces_are_those_of_the_spline(name, platform, case):
    system = PairSystem(case)
    c = system.coefficients()
    energy, forces = evaluate(system.context(system.built(name, c), platform))
    expected, expected_forces, scale = system.answer(c)
    # the CPU platform computes these two in single precision, everything else here is in double
    single = platform == "CPU" and name in ("native", "table")
    assert abs(energy - expected) < (1e-6 if single else 1e-12) * scale
    assert (
        np.abs(forces - expected_forces).max() < (1e-5 if single else 1e-12) * np.abs(expected_forces).max()
    )


@pytest.mark.parametrize("case", CASES)
def test_force_is_minus_energy_gradient(name, case):
    system = PairSystem(case)
    context = system.context(system.built(name, system.coefficients()), "Reference")
    _, forces = evaluate(context)
    direction = system.rng.normal(size=forces.shape)
    epsilon, energies = 1e-6, []
    for sign in (1, -1):
        context.setPositions(system.positions + sign * epsilon * direction)
        energies.append(evaluate(context)[0])
    slope = (energies[0] - energies[1]) / (2 * epsilon)
    assert slope == pytest.approx(-(forces * direction).sum(), abs=1e-7 * np.linalg.norm(forces))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("case", ["one type", "three types"])
def test_updated_context_equals_a_new_one(name, platform, case):
    system = PairSystem(case)
    first, second = system.coefficients(), system.coefficients()
    backend = system.built(name, first)
    context = system.context(backend, platform)
    evaluate(context)
    backend.set_coefficients(second)
    if backend.updates_in_place:
        backend.update(context)
    else:
        with pytest.raises(RuntimeError, match="create a new Context"):
            backend.update(context)
        # the old Context still runs what it was made with
        assert evaluate(context)[0] == evaluate(system.context(system.built(name, first), platform))[0]
        context = system.context(system.built(name, second), platform)
    energy, forces = evaluate(context)
    fresh, fresh_forces = evaluate(system.context(system.built(name, second), platform))
    assert energy == fresh
    np.testing.assert_array_equal(forces, fresh_forces)


def test_integrator_sees_updated_coefficients(name):
    system = PairSystem("one type")
    backend = system.built(name, system.coefficients())
    if not backend.updates_in_place:
        return
    context = system.context(backend, "Reference")
    context.getIntegrator().step(1)
    before = context.getState(velocities=True, positions=True)
    backend.set_coefficients(np.zeros_like(system.coefficients()))
    backend.update(context)
    context.getIntegrator().step(1)
    after = context.getState(velocities=True)
    np.testing.assert_array_equal(
        after.getVelocities(asNumpy=True)._value, before.getVelocities(asNumpy=True)._value
    )


def test_group_and_name_reach_the_force(name):
    force = build(name, PairSystem("one type").spec).force
    assert force.getForceGroup() == 3
    assert force.getName() == "learnt"
    assert force.usesPeriodicBoundaryConditions()


def test_energy_is_finite_and_right_for_two_particles_near_one_point(name):
    spec = PairForceSpec(2, [0, 0], 1, CUTOFF, 16, periodic=False)
    c = np.linspace(3, 0, 16)[None] ** 2
    c[:, -3:] = 0
    backend = build(name, spec)
    backend.set_coefficients(c)
    system = openmm.System()
    system.addParticle(1)
    system.addParticle(1)
    system.addForce(backend.force)
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions([[0, 0, 0], [1e-4, 0, 0]])
    h = CUTOFF / 13
    slope = (c[0, 2] - c[0, 0]) / (2 * h)
    u = (
        (c[0, 0] + 4 * c[0, 1] + c[0, 2]) / 6
        + 1e-4 * slope
        + 0.5e-8 * (c[0, 0] - 2 * c[0, 1] + c[0, 2]) / h**2
    )
    state = context.getState(energy=True, forces=True)
    assert state.getPotentialEnergy()._value == pytest.approx(u, rel=1e-9)
    assert state.getForces(asNumpy=True)._value[0, 0] == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_groups_that_hold_no_pair_leave_no_interaction(name, platform):
    system = PairSystem("one type")
    system.spec.interaction_groups = [(np.array([0, 1]), np.array([], dtype=int))]
    energy, forces = evaluate(system.context(system.built(name, system.coefficients()), platform))
    assert energy == 0
    assert not forces.any()


EXACT = [name for name in REQUIRED if name in ("pythonforce", "torchforce")]


@pytest.mark.parametrize("truncation", ["shift", "shift-force", "switch"])
@pytest.mark.parametrize("name", EXACT)
def test_exact_module_is_the_analytic_potential(name, truncation):
    sigma, epsilon, cutoff, start = 0.3, 1.2, 0.9, 0.7
    system = PairSystem("one type")
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3)[:60]
    system.positions = grid * 0.45 + system.rng.normal(scale=0.03, size=grid.shape)
    keywords = dict(switch_distance=start) if truncation == "switch" else {}
    potential = LennardJones(sigma, epsilon, cutoff=cutoff, truncation=truncation, **keywords)
    system.spec = PairForceSpec(
        60, np.zeros(60, int), 1, cutoff, 64, True, force_group=3,
        exact=True, potential=potential, pairs=[("A", "A")],
    )  # fmt: skip
    u = f"4*{epsilon}*(({sigma}/x)^12-({sigma}/x)^6)"
    at_cutoff = 4 * epsilon * ((sigma / cutoff) ** 12 - (sigma / cutoff) ** 6)
    slope = 4 * epsilon / cutoff * (-12 * (sigma / cutoff) ** 12 + 6 * (sigma / cutoff) ** 6)
    subtract = {
        "shift": f" - {at_cutoff!r}",
        "shift-force": f" - {at_cutoff!r} - (r - {cutoff}) * {slope!r}",
        "switch": "",
    }
    reference = openmm.CustomNonbondedForce(u.replace("x", "r") + subtract[truncation])
    reference.setForceGroup(3)
    reference.setNonbondedMethod(reference.CutoffPeriodic)
    reference.setCutoffDistance(cutoff)
    if truncation == "switch":
        reference.setUseSwitchingFunction(True)
        reference.setSwitchingDistance(start)
    for _ in range(60):
        reference.addParticle([])
    oracle = type("Oracle", (), {"force": reference})
    expected, expected_forces = evaluate(system.context(oracle, "Reference"))
    backend = build(name, system.spec, temperature=300.0)
    energy, forces = evaluate(system.context(backend, "Reference"))
    assert energy == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(forces, expected_forces, atol=1e-10 * np.abs(expected_forces).max())


@pytest.mark.parametrize("case", CASES)
def test_module_of_torchforce_is_the_spline(case):
    """What OpenMM-Torch is given (PythonTorchForce calls it so), without OpenMM-Torch."""
    system = PairSystem(case)
    c = system.coefficients()
    radial = TorchSplineRadial(system.spec, c)
    context = system.context(system.built("table", c), "Reference")
    state = context.getState(positions=True)
    evaluation = TorchEvaluation(PairEnergy(system.spec, radial), system.spec.periodic)
    energy, forces = evaluation(state, torch.from_numpy(system.positions))
    expected, expected_forces, scale = system.answer(c)
    assert abs(energy.item() - expected) < 1e-12 * scale
    np.testing.assert_allclose(forces.numpy(), expected_forces, atol=1e-12 * np.abs(expected_forces).max())


def test_neighbor_list_stays_right_while_particles_and_box_move():
    system = PairSystem("triclinic")
    c = system.coefficients()
    evaluation = PairEvaluation(system.spec, SplineRadial(system.spec, c))
    for _ in range(40):
        system.positions = system.positions + system.rng.normal(scale=0.02, size=system.positions.shape)
        if system.rng.random() < 0.2:
            system.box = system.box * 1.01
        energy, forces = evaluation.evaluate(system.positions, system.box)
        expected, expected_forces, scale = system.answer(c)
        assert abs(energy - expected) < 1e-12 * scale
        np.testing.assert_allclose(forces, expected_forces, atol=1e-12 * np.abs(expected_forces).max())


def test_pythonforce_system_survives_its_xml():
    system = PairSystem("three types")
    backend = system.built("pythonforce", system.coefficients())
    context = system.context(backend, "Reference")
    expected = evaluate(context)
    copy = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(backend.force))
    energy, forces = evaluate(system.context(type("Copy", (), {"force": copy}), "Reference"))
    assert energy == expected[0]
    np.testing.assert_array_equal(forces, expected[1])


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        (np.zeros((2, 24)), r"expected coefficients \[1, 24\].*found shape \[2, 24\]"),
        (np.full((1, 24), np.nan), "24 coefficients are not finite"),
        (np.ones((1, 24)), "the last three coefficients must be zero"),
    ],
)
def test_wrong_coefficients_are_refused(name, coefficients, message):
    with pytest.raises(ValueError, match=message):
        build(name, PairSystem("one type").spec).set_coefficients(coefficients)


def test_wrong_specs_are_refused():
    good = dict(n_particles=3, types=[0, 0, 1], n_types=2, cutoff=1.0, n_coefficients=16, periodic=False)
    for change, message in [
        (dict(types=[0, 1]), r"types must be \[3\]"),
        (dict(types=[0, 1, 2]), "types must be from 0 to 1"),
        (dict(exclusions=[(0, 3)]), "indices from 0 to 2"),
        (dict(interaction_groups=[([0], [-1])]), "indices from 0 to 2"),
        (dict(exact=True), "needs a potential and its 3 pairs"),
        (dict(cutoff=-1.0), "cutoff must be finite and positive"),
    ]:
        with pytest.raises(ValueError, match=message):
            PairForceSpec(**(good | change))
    with pytest.raises(ValueError, match="unknown backend 'gpu'; expected one of native, table"):
        build("gpu", PairForceSpec(**good))


def test_torch_neighbor_list_stays_right_while_particles_and_box_move():
    system = PairSystem("triclinic")
    c = system.coefficients()
    module = PairEnergy(system.spec, TorchSplineRadial(system.spec, c))
    renewed = []
    for _ in range(40):
        system.positions = system.positions + system.rng.normal(scale=0.02, size=system.positions.shape)
        if system.rng.random() < 0.2:
            system.box = system.box * 1.01
        before = module.listed_at
        energy = module(torch.from_numpy(system.positions), torch.from_numpy(system.box)).item()
        renewed.append(module.listed_at is not before)
        assert abs(energy - system.answer(c)[0]) < 1e-12 * system.answer(c)[2]
    assert any(renewed[1:])
    assert not all(renewed)
