# SPDX-License-Identifier: MIT
"""propagate through torch energies: many-body modules and raw pair modules, against differences of the trajectory."""

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og

N, LENGTH, CUTOFF = 24, 1.4, 0.65


class EmbeddedAtom(torch.nn.Module):
    """A many-body energy: the square root of a density, and its sum."""

    def __init__(self):
        super().__init__()
        self.decay = torch.nn.Parameter(torch.tensor(5.0, dtype=torch.float64))
        self.weights = torch.nn.Parameter(torch.tensor([20.0, 10.0], dtype=torch.float64))

    def energy(self, positions, box):
        lengths = torch.diagonal(box)
        d = positions[:, None] - positions[None]
        d = d - lengths * torch.round(d.detach() / lengths)
        square = (d**2).sum(-1) + torch.eye(len(positions), dtype=torch.float64)
        density = (torch.exp(-self.decay * square) * (1 - square / 0.4).clamp(min=0) ** 4).sum(1) + 1e-3
        return self.weights[1] * density.sum() - self.weights[0] * torch.sqrt(density).sum()


def build(exact):
    system = openmm.System()
    for _ in range(N):
        system.addParticle(39.948)
    system.setDefaultPeriodicBoxVectors(*(np.eye(3) * LENGTH))
    model = og.Model(system)
    potential = og.LennardJones(sigma=0.34, epsilon=1.0, cutoff=CUTOFF, truncation="shift-force")
    model.add_pair_potential(potential, backend="pythonforce" if exact else "native", exact=exact)
    model.add_energy(EmbeddedAtom())
    return model


class Case:
    """Three windows, and a loss of their last states."""

    def __init__(self, exact):
        self.model = build(exact)
        rng = np.random.default_rng(0)
        lattice = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)[:N] * 0.35
        self.x0 = torch.tensor(lattice + rng.normal(size=(3, N, 3)) * 0.01, requires_grad=True)
        self.v0 = torch.tensor(rng.normal(size=(3, N, 3)) * 0.15)
        self.a, self.b = torch.tensor(rng.normal(size=(2, 3, N, 3)))
        self.inputs = [self.x0, *self.model.parameters()]

    def loss(self, platform):
        path = og.propagate(self.model, None, 0.004, 30, initial=(self.x0, self.v0), platform=platform,
                            temperature=100.0, workers=2, threads=1)
        return (path.positions[:, -1] * self.a + path.velocities[:, -1] * self.b).sum()


@pytest.mark.parametrize("exact", [False, True])
def test_gradients_reach_modules(exact):
    case = Case(exact)
    assert len(case.inputs) == 5
    gradients = torch.autograd.grad(case.loss("Reference"), case.inputs)
    rng = np.random.default_rng(1)
    for tensor, gradient, step in zip(case.inputs, gradients, (1e-7, 1e-7, 1e-5, 1e-3, 1e-3), strict=True):
        direction = torch.tensor(rng.normal(size=tuple(tensor.shape)))
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                tensor += sign * step * direction
                sides.append(float(case.loss("Reference")))
                tensor -= sign * step * direction
        assert float((gradient * direction).sum()) == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=2e-6)
    on_cpu = torch.autograd.grad(case.loss("CPU"), case.inputs)
    for single, double in zip(on_cpu, gradients, strict=True):
        assert float((single - double).abs().max() / double.abs().max()) < 1e-4


def test_a_changed_module_is_noticed():
    """Between forward and backward: torch refuses; between calls: the next trajectory has the new module."""
    model = build(False)
    x0 = torch.tensor(np.random.default_rng(0).random((N, 3)) * 0.1 + np.arange(N)[:, None] * 0.3)
    run = og.Propagator(model, 0.002, 10, platform="Reference", temperature=100.0)
    first = run(initial=(x0, torch.zeros(N, 3)))
    loss = first.positions.sum()
    with torch.no_grad():
        model.energy_terms[0].module.weights += 0.5
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    assert not torch.equal(first.positions, run(initial=(x0, torch.zeros(N, 3))).positions)
