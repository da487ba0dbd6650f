# SPDX-License-Identifier: MIT
"""Gradients of propagate for molecules, against differences of whole simulations by plain OpenMM."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import molecules
import numpy as np
import openmm
import pytest
import simulate
import torch
from molecules import NONE, PME, RF
from propagated import losses_of, model_of, propagated

import openmmgrad as og

TIMESTEP = 0.0005  # ps


@dataclass(frozen=True)
class Setting:
    """A case, the length of its window, the step of differences, and the tolerances."""

    case: Callable[[], molecules.Case]
    n_steps: int
    step: float
    reference: float = 2e-5
    cpu: float = 2e-3

    def tolerance(self, platform: str) -> float:
        return self.reference if platform == "Reference" else self.cpu


SETTINGS = {
    "SPC/Fw cluster": Setting(lambda: molecules.water("spcfw", 3), 200, 1e-4),
    "TIP4P/F cluster": Setting(lambda: molecules.water("tip4pf", 3), 200, 1e-4),
    "alanine dipeptide": Setting(molecules.alanine_dipeptide, 200, 1e-4),
    # 300 steps: more than are run at a time
    "motion removed at each step": Setting(lambda: molecules.water("spcfw", 2, NONE, 0, False, 1), 300, 1e-4),
    "motion removed at every fifth": Setting(lambda: molecules.water("spcfw", 2, NONE, 0, False, 5), 300, 1e-4),
    "triclinic, reaction field": Setting(lambda: molecules.water("spcfw", 4, RF, 0.4, True), 40, 3e-5, 2e-4, 5e-3),
    "SPC/Fw, PME": Setting(lambda: molecules.water("spcfw", 4, PME, 0.6), 24, 3e-4, 2e-3, 5e-3),
}
EVERY = [(name, platform) for name in SETTINGS for platform in ("Reference", "CPU")]


@cache
def expected(name: str):
    """Trajectory, and differences for parameters and for the state, on Reference."""
    setting = SETTINGS[name]
    case, losses = setting.case(), losses_of(setting.case(), TIMESTEP)
    run = dict(timestep=TIMESTEP, n_steps=setting.n_steps)
    return (simulate.simulate(case.system, case.positions, case.velocities, **run),
            simulate.parameter_differences(case, losses, run, setting.step),
            simulate.state_differences(case, losses, run, setting.step))


@cache
def found(name: str, platform: str):
    """The same by propagate."""
    setting = SETTINGS[name]
    return propagated(setting.case(), TIMESTEP, setting.n_steps, platform)


def agree_for_parameters(gradient, differences, tolerance):
    """Relative to the largest of them; the differences must know themselves well enough."""
    largest = max(abs(value) for value, _ in differences.values())
    for name, (value, uncertainty) in differences.items():
        assert uncertainty <= 0.6 * tolerance * largest, name
        assert abs(gradient[name] - value) <= tolerance * largest, name


def agree_for_state(gradient, differences, tolerance):
    """Relative to the usual size of a derivative along a random direction."""
    for name, (value, uncertainty) in differences.items():
        derivative, usual = gradient[name]
        assert uncertainty <= 0.6 * tolerance * usual, name
        assert abs(derivative - value) <= tolerance * usual, name


@pytest.mark.parametrize(("name", "platform"), EVERY)
def test_trajectories_are_those_of_plain_openmm(name, platform):
    (x, v), path = expected(name)[0], found(name, platform)[0]
    near = 1e-10 if platform == "Reference" else 1e-5
    assert np.abs(path.positions[0].detach().numpy() - x).max() <= near
    assert np.abs(path.velocities[0].detach().numpy() - v).max() <= 100 * near
    assert path.half_step and path.times[-1] == pytest.approx(TIMESTEP * SETTINGS[name].n_steps)


@pytest.mark.parametrize("loss", ["low band", "high band", "probe"])
@pytest.mark.parametrize(("name", "platform"), EVERY)
def test_gradients_of_parameters(name, platform, loss):
    agree_for_parameters(found(name, platform)[1][loss], expected(name)[1][loss], SETTINGS[name].tolerance(platform))


@pytest.mark.parametrize("loss", ["low band", "high band", "probe"])
@pytest.mark.parametrize(("name", "platform"), EVERY)
def test_gradients_of_the_initial_state(name, platform, loss):
    agree_for_state(found(name, platform)[2][loss], expected(name)[2][loss], SETTINGS[name].tolerance(platform))


def test_a_loss_of_virtual_sites_alone_reaches_parameters_and_parents():
    case = molecules.water("tip4pf", 2)
    sites = np.array([i for i in range(len(case.positions)) if case.system.isVirtualSite(i)])
    losses, run = {"sites": simulate.Probe(sites)}, dict(timestep=TIMESTEP, n_steps=100)
    path, parameters, state = propagated(case, platform="Reference", losses=losses, **run)
    agree_for_parameters(parameters["sites"], simulate.parameter_differences(case, losses, run, 1e-4)["sites"], 2e-5)
    agree_for_state(state["sites"], simulate.state_differences(case, losses, run, 1e-4)["sites"], 2e-5)
    _, v = simulate.simulate(case.system, case.positions, case.velocities, **run)
    assert np.abs(v[:, sites]).max() > 0.1  # OpenMM itself reports 0
    assert np.abs(path.velocities[0, :, sites].detach().numpy() - v[:, sites]).max() <= 1e-8


def test_friction_without_noise_is_differentiated():
    # at 0 K LangevinMiddle is leapfrog with friction, and needs no common random numbers
    case, losses = molecules.water("tip4pf", 2), {"probe": simulate.Probe()}
    run = dict(timestep=TIMESTEP, n_steps=100, integrator=openmm.LangevinMiddleIntegrator(0.0, 20.0, TIMESTEP))
    path, parameters, state = propagated(case, platform="Reference", losses=losses, **run)
    x, _ = simulate.simulate(case.system, case.positions, case.velocities, **run)
    assert np.abs(path.positions[0].detach().numpy() - x).max() <= 1e-10
    agree_for_parameters(parameters["probe"], simulate.parameter_differences(case, losses, run, 1e-4)["probe"], 2e-5)
    agree_for_state(state["probe"], simulate.state_differences(case, losses, run, 1e-4)["probe"], 2e-5)


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_gradients_at_fixed_noise_are_differences_at_fixed_noise(platform):
    case, probe = molecules.water("spcfw", 2), simulate.Probe()
    run = dict(timestep=TIMESTEP, n_steps=100, platform=platform, seed=5,
               integrator=openmm.LangevinMiddleIntegrator(300.0, 20.0, TIMESTEP))
    path, parameters, _ = propagated(case, losses={"probe": probe}, **run)
    still, _, _ = propagated(case, losses={}, **{**run, "seed": 6})
    assert (path.positions - still.positions).abs().max() > 1e-3  # the noise is there, and follows its seed

    def loss(t, name):
        model = model_of(case)
        with torch.no_grad():
            model.global_parameters[name].add_(t * case.sizes[name])
        moved = og.propagate(model, initial=(case.positions, case.velocities), threads=1, **run)
        return probe(moved.positions[0], moved.velocities[0]).item()

    step = 1e-4 if platform == "Reference" else 1e-3
    differences = {name: simulate.differences(lambda t, name=name: loss(t, name), step) for name in case.sizes}
    agree_for_parameters(parameters["probe"], differences, 2e-5 if platform == "Reference" else 2e-3)


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_two_windows_in_one_call_are_two_calls(platform):
    case, probe = molecules.water("spcfw", 2), simulate.Probe()
    run = dict(timestep=TIMESTEP, n_steps=60, stride=3, platform=platform, threads=1)
    model = model_of(case)
    starts = [torch.tensor(np.stack([part, part + 0.01 * np.sin(np.arange(part.size)).reshape(part.shape)]),
                           requires_grad=True) for part in (case.positions, case.velocities)]
    together = og.propagate(model, initial=tuple(starts), **run)
    wanted = [*model.parameters(), *starts]
    total = sum(probe(x, v) for x, v in zip(together.positions, together.velocities, strict=True))
    at_once = torch.autograd.grad(total, wanted)
    sums = [torch.zeros_like(tensor) for tensor in wanted]
    for s in range(2):
        one = og.propagate(model, initial=tuple(start[s] for start in starts), **run)
        assert torch.equal(one.positions[0], together.positions[s])
        for part, g in zip(sums, torch.autograd.grad(probe(one.positions[0], one.velocities[0]), wanted), strict=True):
            part += g
    for a, b in zip(at_once, sums, strict=True):
        assert (a - b).abs().max() <= 1e-12 * b.abs().max()
