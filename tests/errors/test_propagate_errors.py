# SPDX-License-Identifier: MIT
"""What propagate refuses, and that it says what to do."""

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og


def build(*forces, masses=(10.0, 10.0, 0.0)):
    system = openmm.System()
    for mass in masses:
        system.addParticle(mass)
    bond = openmm.CustomBondForce("0.5*k*(r-0.3)^2")
    bond.addGlobalParameter("k", 100.0)
    bond.addBond(0, 1)
    for force in (bond, *forces):
        system.addForce(force)
    return system


START = torch.tensor([[0.0, 0, 0], [0.31, 0, 0], [0.15, 0.1, 0]], dtype=torch.float64), torch.zeros(3, 3)


def propagate(system=None, **options):
    model = og.Model(build() if system is None else system)
    options = {"timestep": 0.001, "n_steps": 4, "initial": START, "platform": "Reference", **options}
    return og.propagate(model, **options)


@pytest.mark.parametrize("force", [
    openmm.MonteCarloBarostat(1.0, 300.0), openmm.AndersenThermostat(300.0, 1.0),
    openmm.MonteCarloAnisotropicBarostat((1.0, 1.0, 1.0), 300.0),
], ids=lambda force: type(force).__name__)
def test_forces_that_change_the_state_are_refused_by_name(force):
    with pytest.raises(ValueError, match=f"{type(force).__name__} changes the state"):
        propagate(build(force))


@pytest.mark.parametrize("integrator", [
    openmm.LangevinIntegrator(300.0, 1.0, 0.001), openmm.BrownianIntegrator(300.0, 1.0, 0.001),
    openmm.VariableVerletIntegrator(0.001), openmm.NoseHooverIntegrator(300.0, 1.0, 0.001),
    openmm.CustomIntegrator(0.001),
], ids=lambda integrator: type(integrator).__name__)
def test_other_integrators_are_refused_by_name(integrator):
    with pytest.raises(TypeError, match=type(integrator).__name__ + ".*Pass a VerletIntegrator"):
        propagate(integrator=integrator)


def test_virtual_sites_that_are_not_averages_are_refused():
    system = build(masses=(10.0, 10.0, 10.0, 0.0))
    system.setVirtualSite(3, openmm.OutOfPlaneSite(0, 1, 2, 0.3, 0.3, 1.0))
    start = torch.tensor([[0.0, 0, 0], [0.3, 0, 0], [0, 0.3, 0], [0, 0, 0.1]]), torch.zeros(4, 3)
    with pytest.raises(openmm.OpenMMException, match="TwoParticleAverageSite or ThreeParticleAverageSite was expected"):
        propagate(system, initial=start)


@pytest.mark.parametrize("options, message", [
    ({"timestep": None}, "expected a timestep"),
    ({"timestep": -0.001}, "timestep must be positive"),
    ({"n_steps": 0}, "n_steps must be a whole number from 1"),
    ({"stride": 9}, "expected stride up to n_steps"),
    ({"platform": "Abacus"}, "platform 'Abacus' is not available; found .*CPU"),
    ({"max_reverse_steps": 0.5}, "max_reverse_steps must be a whole number"),
    ({"initial": (START[0][:2], START[1][:2])}, r"expected positions and velocities \[S, 3, 3\]"),
    ({"initial": (START[0] * float("nan"), START[1])}, "NaN or infinite"),
    ({"initial": (START[0] * 1e200, START[1])}, "positions of window 0 are NaN or infinite from step"),
    ({"controls": {"k": torch.ones(3)}}, r"control 'k' must have shape \[4\] or \[1, 4\], found \[3\]"),
    ({"controls": {"k": torch.full((4,), float("inf"))}}, "control 'k' is NaN or infinite"),
    ({"controls": {"kk": torch.ones(4)}}, "control 'kk'.*found k"),
    ({"controls": {"k": torch.ones(4)}, "two_sided": True}, "controls act on the kicks"),
    ({"integrator": openmm.LangevinMiddleIntegrator(300.0, 1.0, 0.001), "two_sided": True}, "cannot run backwards"),
    ({"memory": 100, "initial": (START[0].clone().requires_grad_(), START[1])}, "Give more memory"),
])
def test_wrong_numbers_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        propagate(**options)


def test_frames_must_be_frames_with_velocities():
    with pytest.raises(TypeError, match="expected Frames, found NoneType"):
        propagate(initial=None)
    frames = og.Frames(np.zeros((2, 3, 3)), og.State([], 300.0))
    with pytest.raises(ValueError, match="expected frames with velocities"):
        propagate(frames=frames, initial=None)


def test_an_observable_that_learns_must_be_a_module():
    charge = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ValueError, match="Make it an nn.Module"):
        propagate(observe=lambda x, v: charge * x.sum((1, 2)))


def test_an_observable_must_give_one_value_per_time():
    with pytest.raises(ValueError, match=r"observe must return \[T', ...\]"):
        propagate(observe=lambda x, v: x.sum())


def test_a_failing_torch_energy_says_why():
    class Broken(torch.nn.Module):
        calls = 0

        def energy(self, positions, box):
            return (positions**2).sum() if positions.shape[0] == 3 and not torch.is_grad_enabled() else self.missing

    model = og.Model(build())
    model.add_energy(Broken(), periodic=False)
    with pytest.raises(Exception, match="missing"):
        og.propagate(model, None, 0.001, 4, initial=(START[0].clone().requires_grad_(), START[1]), platform="Reference")
