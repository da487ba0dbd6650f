# SPDX-License-Identifier: MIT
"""platform="OpenCL" from Python: sampling, energies, features and gradients of one small Model."""

import numpy as np
import pytest
import torch
from devices import PLATFORM

import openmmgrad as og

LENGTH, N = 2.0, 64


@pytest.fixture(scope="module")
def case():
    """Two kinds of particles, some pairs of them excluded, with random velocities."""
    rng = np.random.default_rng(1)
    kinds = {"A": 40.0, "B": 30.0}
    system, topology, positions = og.bead_fluid(N, N / LENGTH**3, kinds, {"A": 0.5, "B": 0.5}, seed=2)
    model = og.Model(system, topology)
    labels = [atom.name for atom in topology.atoms()]
    potential = og.LennardJones(sigma=0.38, epsilon=0.9, cutoff=0.9)
    model.add_pair_potential(potential, types=labels, exclusions=[(0, 1), (5, 9)])
    return model, positions + 0.02 * rng.normal(size=(N, 3)), 0.2 * rng.normal(size=(N, 3))


def gradients(case, platform: str) -> list[torch.Tensor]:
    model, positions, velocities = case
    x0, v0 = (torch.tensor(part, requires_grad=True) for part in (positions, velocities))
    path = og.propagate(model, timestep=0.004, n_steps=40, initial=(x0, v0), temperature=100.0, platform=platform)
    loss = (path.positions[0, -1] ** 2).sum() + (path.velocities[0, 20] ** 3).sum()
    return torch.autograd.grad(loss, [*model.parameters(), x0, v0])


def test_frames_sampled_on_a_device_agree_in_features_and_energies(case):
    model, positions, _ = case
    ensemble = og.Ensemble(model, positions, 100.0, timestep=0.004, n_frames=4, stride=15, equilibration=20,
                           platform=PLATFORM)  # fmt: skip
    frames = ensemble.sample()
    # features are sums in double precision on the CPU; the energies with the frames were the device's
    learnt = torch.as_tensor(frames.features) @ model.coefficients(100.0).detach()
    for platform in (f"{PLATFORM}:single", "Reference"):
        assert torch.allclose(model.potential_energies(frames, platform=platform).detach(), learnt, rtol=5e-6)


# 40 steps: mixed precision loses what its forces lose, double what fixed point does.
@pytest.mark.parametrize(("precision", "near"), [("mixed", 1e-4), ("double", 1e-8)])
def test_gradients_equal_those_of_reference(case, precision, near):
    found, expected = gradients(case, f"{PLATFORM}:{precision}"), gradients(case, "Reference")
    for a, b in zip(found, expected, strict=True):
        assert torch.linalg.vector_norm(a - b) < near * torch.linalg.vector_norm(b)


@pytest.mark.parametrize("platform", ["OpenCL:half", "OpenCL:mixed:first", "CUDA:double:0:1", "CUDA:", "CPU:double"])
def test_what_a_platform_cannot_be(case, platform):
    model, positions, _ = case
    with pytest.raises(ValueError, match=r"Ensemble: platform .* Write "):
        og.Ensemble(model, positions, 100.0, platform=platform)
