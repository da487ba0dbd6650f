# SPDX-License-Identifier: MIT
"""The neural correction of water, an example: its forces, and the gradient of a band through weights and paths."""

import importlib.util
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og

FILE = Path(__file__).parents[2] / "examples" / "11_neural_correction.py"
SPEC = importlib.util.spec_from_file_location("neural_correction", FILE)
EXAMPLE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(EXAMPLE)
N, STEPS, DT = 8, 30, 0.0005
REFERENCE = openmm.Platform.getPlatformByName("Reference")


def randomised(module, seed=0, size=0.3):
    """Parameters that are not zero, so that every one of them matters."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += size * torch.as_tensor(rng.normal(size=tuple(parameter.shape)))
    return module


@pytest.fixture(scope="module")
def cluster():
    """A Model of 8 waters without cutoffs, and frames of it."""
    system, topology, positions = og.flexible_water(N, density=None)
    model = og.Model(system, topology)
    model.add_pair_potential(randomised(og.SplinePotential(0.55, 10), 1), interaction_groups=[("name O", "name O")],
                             periodic=False)
    correction = randomised(EXAMPLE.BondsAmongNeighbours(), 2)
    correction.dipole = randomised(EXAMPLE.StretchedCharges(og.PointCharges.of(model).charges()), 3)
    model.add_energy(correction, periodic=False)
    ensemble = og.Ensemble(model, positions, 300.0, timestep=0.0005, n_frames=3, stride=20, platform="Reference",
                           equilibration=200)
    return model, ensemble.sample()


def energy_and_forces(model, positions, group):
    system = model.create_system()
    for force in system.getForces():
        force.setForceGroup(1 if force.getName() == "TorchEnergy" else 0)
    context = openmm.Context(system, openmm.VerletIntegrator(DT), REFERENCE)
    context.setPositions(positions)
    state = context.getState(energy=True, forces=True, groups={group})
    return state.getPotentialEnergy()._value, state.getForces(asNumpy=True)._value


def test_forces_are_minus_the_gradient(cluster):
    model, frames = cluster
    x, h = np.array(frames.positions[0]), 1e-6
    energy, forces = energy_and_forces(model, x, 1)
    assert energy == pytest.approx(model.energy_modules[0].energy(torch.as_tensor(x), None).item(), rel=1e-12)
    assert np.abs(forces.sum(0)).max() < 1e-9 * np.abs(forces).max()
    direction = np.random.default_rng(0).normal(size=(4, 3 * N, 3))
    for each in direction:
        ends = [energy_and_forces(model, x + sign * h * each, 1)[0] for sign in (1, -1)]
        assert (forces * each).sum() == pytest.approx(-(ends[0] - ends[1]) / (2 * h), rel=1e-7, abs=1e-4)


def test_a_box_repeats():
    """Shifts of molecules by box vectors and turns of all of them change nothing."""
    correction = randomised(EXAMPLE.BondsAmongNeighbours(cutoff=0.34), 2)
    system, _, positions = og.flexible_water(27, cutoff=0.4)
    box = torch.eye(3, dtype=torch.float64) * system.getDefaultPeriodicBoxVectors()[0][0]._value
    x = torch.as_tensor(positions)
    expected = correction.energy(x, box).item()
    shifts = torch.as_tensor(np.random.default_rng(0).integers(-2, 3, size=(27, 1, 3)) * 1.0) @ box
    assert correction.energy((x.reshape(27, 3, 3) + shifts).reshape(-1, 3), box).item() == pytest.approx(expected)
    assert correction.energy(x[:, [1, 2, 0]], box).item() == pytest.approx(expected)
    swapped = x.reshape(27, 3, 3)[:, [0, 2, 1]].reshape(-1, 3)
    assert correction.energy(swapped, box).item() == pytest.approx(expected)


def band_of(model, frames, ir, weight_term=True):
    """Mean absorption at the grid, with both terms of the gradient, or without that of the weights."""
    path = og.propagate(model, frames, DT, STEPS, platform="Reference", threads=1, workers=1, observe=ir.observe)
    w = og.weights(model, frames, platform="Reference")
    return og.expectation(ir(path), w if weight_term else og.Weights(w.w.detach())).mean.mean()


@pytest.mark.parametrize("grid", [(200.0, 500.0, 800.0), (3200.0, 3500.0, 3800.0)], ids=["low", "high"])
def test_gradient_of_a_band_is_its_difference(cluster, grid):
    """Along a direction of each parameter: spline, both layers of the network, and charges of the dipole."""
    model, frames = cluster
    dipole = model.energy_modules[0].dipole
    ir = og.IRSpectrum(og.TorchDipole(dipole), grid, max_lag=0.01, volume=0.24)
    names, parameters = zip(*model.named_parameters(), strict=True)
    assert len(names) == 4
    gradients = torch.autograd.grad(band_of(model, frames, ir), parameters)
    of_paths = torch.autograd.grad(band_of(model, frames, ir, weight_term=False), parameters)
    rng = np.random.default_rng(4)
    for name, parameter, gradient, path_part in zip(names, parameters, gradients, of_paths, strict=True):
        direction, ends, h = torch.as_tensor(rng.normal(size=tuple(parameter.shape))), [], 2e-4
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * h * direction
                ends.append(band_of(model, frames, ir).item())
                parameter -= sign * h * direction
        expected = (ends[0] - ends[1]) / (2 * h)
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-5), name
        weighted = (gradient - path_part).norm() > 0.01 * gradient.norm()
        assert weighted == (name != "energy_modules.0.dipole.more")  # which no frame depends on
