# SPDX-License-Identifier: MIT
"""backend="torchforce" with the real OpenMM-Torch, in the environment of build_env.sh: it must be there.

Energies, forces and updates against the spline: tests/contract/test_backends.py with
REQUIRE_BACKENDS=torchforce.
"""

import warnings

import numpy as np
import openmm
import pytest
import torch
from pair_systems import PairSystem, evaluate

from openmmgrad import LennardJones, Model, PairPotential
from openmmgrad.backends import PairForceSpec, build

pytestmark = pytest.mark.torchforce


def test_openmm_torch_is_here():
    import openmmtorch

    force = build("torchforce", PairSystem("one type").spec).force
    assert type(force).__module__ == openmmtorch.__name__
    assert force.usesPeriodicBoundaryConditions()


@pytest.mark.parametrize("case", ["three types", "interaction groups", "triclinic", "non-periodic"])
def test_torchforce_equals_native(case):
    system = PairSystem(case)
    c = system.coefficients()
    energy, forces = evaluate(system.context(system.built("torchforce", c), "Reference"))
    native, native_forces = evaluate(system.context(system.built("native", c), "Reference"))
    assert abs(energy - native) < 1e-12 * system.answer(c)[2]
    np.testing.assert_allclose(forces, native_forces, atol=1e-12 * np.abs(native_forces).max())


def test_dynamics_follow_native():
    system = PairSystem("exclusions")
    c = system.coefficients()
    ends = []
    for name in ("torchforce", "native"):
        context = system.context(system.built(name, c), "Reference")
        context.getIntegrator().step(50)
        ends.append(context.getState(positions=True).getPositions(asNumpy=True)._value)
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-9)


def test_pairs_are_found_again_after_a_jump_and_in_a_new_box():
    system = PairSystem("triclinic")
    c = system.coefficients()
    contexts = [system.context(system.built(name, c), "Reference") for name in ("torchforce", "native")]
    for scale in (1.0, 1.0, 1.1):
        system.positions = system.rng.random(system.positions.shape) @ system.box * scale
        for context in contexts:
            context.setPeriodicBoxVectors(*(scale * system.box))
            context.setPositions(system.positions)
        (energy, forces), (native, native_forces) = (evaluate(context) for context in contexts)
        assert energy == pytest.approx(native, abs=1e-11)
        np.testing.assert_allclose(forces, native_forces, atol=1e-12 * np.abs(native_forces).max())


def test_a_context_keeps_what_it_was_made_with():
    system = PairSystem("one type")
    backend = system.built("torchforce", system.coefficients())
    context = system.context(backend, "Reference")
    before, old_force = evaluate(context)[0], backend.force
    backend.set_coefficients(system.coefficients())
    assert backend.force is not old_force
    assert evaluate(context)[0] == before


class Soft(PairPotential):
    """A potential of two types and of the temperature."""

    def energy(self, r, pair=None, temperature=None):
        depth = {("A", "A"): 1.0, ("A", "B"): 2.0, ("B", "B"): 3.0}[pair]
        return depth * temperature / 300 * torch.exp(-r / 0.2)


def test_exact_module_knows_pairs_and_temperature():
    system = PairSystem("non-periodic")
    labels = [("A", "A"), ("A", "B"), ("B", "B")]
    potential = Soft(cutoff=0.9)
    spec = PairForceSpec(
        60, system.spec.types, 2, 0.9, 64, False, force_group=3, exact=True, potential=potential, pairs=labels
    )
    answers = []
    for name in ("torchforce", "pythonforce"):
        answers.append(evaluate(system.context(build(name, spec, temperature=250.0), "Reference")))
    i, j, r, _ = system.pairs()
    depth = 1.0 + spec.types[i] + spec.types[j]
    expected = (depth * 250 / 300 * (np.exp(-r / 0.2) - np.exp(-0.9 / 0.2))).sum()
    for energy, forces in answers:
        assert energy == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(forces, answers[0][1], atol=1e-11)


class Branching(PairPotential):
    """Its energy depends on how many distances there are: a recording cannot follow."""

    def energy(self, r, pair=None, temperature=None):
        return torch.exp(-r) if len(r) < 10 else torch.exp(-2 * r)


def test_module_that_cannot_be_recorded_is_refused():
    spec = PairForceSpec(
        4, [0] * 4, 1, 0.9, 64, False, exact=True, potential=Branching(cutoff=0.9), pairs=[("A", "A")]
    )
    with pytest.raises(
        ValueError, match="Branching: its recording differs from it by up to .* kJ/mol. Write"
    ):
        _ = build("torchforce", spec, temperature=300.0).force


def test_model_runs_with_torchforce():
    positions = 0.45 * np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)
    system = openmm.System()
    for _ in positions:
        system.addParticle(39.948)
    system.setDefaultPeriodicBoxVectors([1.8, 0, 0], [0, 1.8, 0], [0, 0, 1.8])
    energies = []
    for backend in ("torchforce", "native"):
        model = Model(system)
        model.add_pair_potential(LennardJones(sigma=0.34, epsilon=1.0, cutoff=0.85), backend=backend)
        built = model.create_system(temperature=120.0)
        context = openmm.Context(
            built, openmm.VerletIntegrator(0.002), openmm.Platform.getPlatformByName("CPU"), {"Threads": "1"}
        )
        context.setPositions(positions)
        context.getIntegrator().step(20)
        energies.append(context.getState(energy=True).getPotentialEnergy()._value)
    assert energies[0] == pytest.approx(energies[1], rel=1e-4)  # native is in single precision on CPU


def test_no_warning_reaches_the_user():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _ = build("torchforce", PairSystem("one type").spec).force
