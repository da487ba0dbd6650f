# SPDX-License-Identifier: MIT
"""Torch energies through the real OpenMM-Torch: the same forces and gradients of paths as through PythonForce."""

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og

pytestmark = pytest.mark.torchforce
N, LENGTH = 12, 1.5


class Density(torch.nn.Module):
    """A many-body energy: minus the square root of each particle's density."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(20.0, dtype=torch.float64))

    def energy(self, positions, box):
        lengths = torch.diagonal(box)
        d = positions.unsqueeze(1) - positions.unsqueeze(0)
        d = d - lengths * torch.round(d.detach() / lengths)
        square = (d**2).sum(-1) + torch.eye(positions.shape[0], dtype=positions.dtype)
        density = (torch.exp(-5.0 * square) * (1 - square / 0.45).clamp(min=0) ** 4).sum(1) + 1e-3
        return -self.weight * torch.sqrt(density).sum()


def build(backend):
    system = openmm.System()
    for _ in range(N):
        system.addParticle(39.948)
    system.setDefaultPeriodicBoxVectors(*(np.eye(3) * LENGTH))
    model = og.Model(system)
    model.add_pair_potential(og.LennardJones(sigma=0.34, epsilon=1.0, cutoff=0.7, truncation="shift-force"))
    model.add_energy(Density(), backend=backend)
    return model


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_paths_and_gradients_equal_those_of_pythonforce(platform):
    rng = np.random.default_rng(0)
    lattice = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[:N] * 0.37
    x0, v0 = torch.tensor(lattice + rng.normal(size=(N, 3)) * 0.01), torch.tensor(rng.normal(size=(N, 3)) * 0.1)
    found = []
    for backend in ("pythonforce", "torchforce"):
        model = build(backend)
        path = og.propagate(model, None, 0.004, 25, initial=(x0, v0), platform=platform, threads=1, temperature=120.0)
        gradient = torch.autograd.grad((path.positions[0, -1] ** 2).sum(), list(model.parameters()))
        found.append([path.positions.detach(), *gradient])
    for ours, theirs in zip(*found, strict=True):
        scale = float(ours.abs().max())
        assert float((ours - theirs).abs().max()) < (1e-9 if platform == "Reference" else 1e-5) * scale


def test_an_ensemble_samples_and_weighs():
    model = build("torchforce")
    lattice = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[:N] * 0.37
    frames = og.Ensemble(model, lattice, 120.0, timestep=0.004, n_frames=6, stride=5, platform="Reference").sample()
    w = og.weights(model, frames)
    assert torch.allclose(w.w.detach(), torch.full((6,), 1 / 6, dtype=torch.float64), atol=1e-12)
    (gradient,) = torch.autograd.grad((w.w * torch.arange(6.0)).sum(), [model.energy_terms[0].module.weight])
    assert float(gradient.abs()) > 0
