# SPDX-License-Identifier: MIT
"""differences="alternating": gradients on CPU from one displaced evaluation per step, against central on Reference."""

import molecules
import numpy as np
import openmm
import pytest
import simulate
import torch
from propagated import propagated

import openmmgrad as og

TIMESTEP = 0.0005  # ps
CASES = {
    "SPC/Fw, PME": (lambda: molecules.water("spcfw", 4, molecules.PME, 0.6, separation=1.2), 24),
    "virtual sites": (lambda: molecules.water("tip4pf", 3), 100),
    # 300 steps: more than are run at a time
    "motion removed at each step": (lambda: molecules.water("spcfw", 2, remove_motion=1), 300),
    "motion removed at every fifth": (lambda: molecules.water("spcfw", 2, remove_motion=5), 300),
}


def agree(found, expected, tolerance):
    """Parameters relative to the largest of them, derivatives along a direction to their usual size."""
    largest = max(abs(value) for value in expected[0].values())
    for name, value in expected[0].items():
        assert abs(found[0][name] - value) <= tolerance * largest, name
    for name, (value, usual) in expected[1].items():
        assert abs(found[1][name][0] - value) <= tolerance * usual, name


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_central_differences(name):
    case, n_steps = CASES[name][0](), CASES[name][1]
    losses = {"high band": simulate.Band(case.charges, TIMESTEP, 3200, 3900),
              "low band": simulate.Band(case.charges, TIMESTEP, 200, 900)}
    _, *exact = propagated(case, TIMESTEP, n_steps, "Reference", losses)
    _, *found = propagated(case, TIMESTEP, n_steps, "CPU", losses, differences="alternating")
    for loss in losses:
        agree([part[loss] for part in found], [part[loss] for part in exact], 1e-3)


def argon(pair_potential: bool, still: bool = False):
    """125 atoms by NonbondedForce, a third of them of another kind, and perhaps a learnable force beside it."""
    system, topology, positions = og.bead_fluid(125, 21.0, 39.948)
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    force.setUseDispersionCorrection(False)
    force.setCutoffDistance(0.8)
    force.setUseSwitchingFunction(True)
    force.setSwitchingDistance(0.7)
    for name in ("sigma_shift", "epsilon_shift"):
        force.addGlobalParameter(name, 0.0)
    for i in range(125):
        force.addParticle(0.0, 0.34, 0.2 if i % 3 else 1.0)
        force.addParticleParameterOffset("sigma_shift", i, 0.0, 1.0, 0.0)
        force.addParticleParameterOffset("epsilon_shift", i, 0.0, 0.0, 1.0)
    system.addForce(force)
    if still:
        system.setParticleMass(7, 0.0)
    model = og.Model(system, topology)
    model.add_parameters({"sigma_shift": 0.0, "epsilon_shift": 0.0}, scale={"sigma_shift": 0.34, "epsilon_shift": 1.0})
    if pair_potential:
        model.add_pair_potential(og.LennardJones(0.3, 0.3, cutoff=0.8, truncation="shift-force"))
    rng = np.random.default_rng(4)
    return model, positions + rng.normal(0, 0.01, positions.shape), rng.normal(0, 0.15, positions.shape)


def gradients(model, positions, velocities, n_steps, **options):
    """Of all parameters, each times its size, and of the state."""
    state = [torch.tensor(part, requires_grad=True) for part in (positions, velocities)]
    path = og.propagate(model, timestep=0.002, n_steps=n_steps, stride=n_steps, initial=tuple(state), threads=1,
                        temperature=90.0, **options)
    loss = ((path.positions[0, -1] - path.positions[0, 0]) ** 2).sum() + (path.velocities[0, -1] ** 2).sum()
    *parameters, g_x, g_v = torch.autograd.grad(loss, [*model.parameters(), *state])
    sizes = [0.34, 1.0, 0.3, 0.3]
    return torch.stack([g * size for g, size in zip(parameters, sizes, strict=False)]), g_x, g_v


def relative(found, exact):
    return max(((a - b).norm() / b.norm()).item() for a, b in zip(found, exact, strict=True))


@pytest.mark.parametrize("pair_potential", [False, True])
def test_forces_of_other_groups_are_taken_off(pair_potential):
    model, x, v = argon(pair_potential)
    exact = gradients(model, x, v, 80, platform="Reference")
    for differences, tolerance in (("alternating", 1.5e-3), ("central", 5e-4)):
        assert relative(gradients(model, x, v, 80, platform="CPU", differences=differences), exact) <= tolerance


def test_motion_that_a_field_makes_and_a_remover_takes_away():
    model, x, v = argon(False)
    field = openmm.CustomExternalForce("-200*x")
    for i in range(125):
        field.addParticle(i)
    model.system.addForce(field)
    model.system.addForce(openmm.CMMotionRemover(3))
    exact = gradients(model, x, v, 80, platform="Reference")
    assert relative(gradients(model, x, v, 80, platform="CPU", differences="alternating"), exact) <= 1.5e-3


def one_sided(make):
    def with_one_side(propagator, *arguments):
        propagator.differences = "one-sided"
        return make(propagator, *arguments)

    return with_one_side


def test_one_side_alone_is_worse(monkeypatch):
    model, x, v = argon(False)
    exact = gradients(model, x, v, 80, platform="Reference")
    monkeypatch.setattr(og.Propagator, "_get_engines", one_sided(og.Propagator._get_engines))
    assert relative(gradients(model, x, v, 80, platform="CPU", differences="alternating"), exact) > 5e-3


def test_sides_go_on_alternating_where_pieces_meet():
    model, x, v = argon(False)
    run = dict(platform="CPU", differences="alternating")
    whole = gradients(model, x, v, 60, **run)
    for every in (10, 13):
        assert relative(gradients(model, x, v, 60, checkpoint_every=every, **run), whole) <= 2e-4


def test_a_particle_without_mass_keeps_its_derivative():
    # steps do not show its force
    model, x, v = argon(False, still=True)
    v[7] = 0
    exact = gradients(model, x, v, 60, platform="Reference")
    found = gradients(model, x, v, 60, platform="CPU", differences="alternating")
    assert exact[1][7].norm() > 0.1 * exact[1].norm(dim=1).mean()
    assert (found[1][7] - exact[1][7]).norm() <= 1e-3 * exact[1][7].norm()


def test_energy_derivatives_keep_both_sides():
    model, x, v = argon(False)
    system = model.system
    force = openmm.CustomNonbondedForce("depth*exp(-(r/0.3)^2)")
    force.addGlobalParameter("depth", 1.0)
    force.addEnergyParameterDerivative("depth")
    force.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(0.8)
    for _ in range(125):
        force.addParticle([])
    system.addForce(force)
    model = og.Model(system, model.topology)
    model.add_parameters({"depth": 1.0})
    central, found = (gradients(model, x, v, 40, platform="CPU", differences=differences)
                      for differences in ("central", "alternating"))
    assert all(torch.equal(a, b) for a, b in zip(found, central, strict=True))


@pytest.mark.parametrize(("options", "found"), [
    ({"differences": "forward"}, "'forward'"),
    ({"differences": "alternating", "integrator": openmm.LangevinMiddleIntegrator(300, 1, 0.001)}, "LangevinMiddle"),
])
def test_where_it_cannot_be(options, found):
    model, x, v = argon(False)
    with pytest.raises(ValueError, match=found):
        og.propagate(model, timestep=0.001, n_steps=4, initial=(x, v), **options)
