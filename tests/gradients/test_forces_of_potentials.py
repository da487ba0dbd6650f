# SPDX-License-Identifier: MIT
"""Derivatives of LearnablePairForce in a Model, against autograd of the pair sum written in torch."""

from itertools import combinations_with_replacement, product

import numpy as np
import openmm
import platforms
import pytest
import torch

import openmmgrad as og
from openmmgrad.spline import SplineGrid

BOX = np.array([[2.2, 0.0, 0.0], [0.9, 2.1, 0.0], [-0.8, 0.7, 2.0]])  # nm
CUTOFF, K, N = 0.9, 24, 60
LABELS = ["A", "B"]
PAIRS = list(combinations_with_replacement(LABELS, 2))


class PairSum:
    """U(x, c) over nearest images; which image is nearest is found by trying all, and does not move."""

    def __init__(self, positions, types):
        i, j = np.triu_indices(N, 1)
        shifts = np.array(list(product(range(-3, 4), repeat=3))) @ BOX
        squared = ((positions[i] - positions[j])[:, None] + shifts) ** 2
        self.shift = torch.as_tensor(shifts[squared.sum(-1).argmin(1)])
        kinds = [PAIRS.index(tuple(sorted((types[a], types[b])))) for a, b in zip(i, j, strict=True)]
        self.i, self.j, self.kind = torch.as_tensor(i), torch.as_tensor(j), torch.as_tensor(kinds)

    def __call__(self, x, c):
        r = torch.linalg.vector_norm(x[self.i] - x[self.j] + self.shift, dim=1)
        grid = SplineGrid(CUTOFF, K)
        return sum(grid.evaluate(c[p], r[self.kind == p]).sum() for p in range(len(PAIRS)))


@pytest.fixture(params=platforms.NAMES)
def case(request):
    """Force, Context, and the same energy as a function in torch with its arguments."""
    rng = np.random.default_rng(11)
    positions = (rng.random((N, 3)) + (rng.random((N, 3)) < 0.1)) @ BOX
    types = [LABELS[k] for k in rng.permutation(np.arange(N) % 2)]
    system = openmm.System()
    for _ in range(N):
        system.addParticle(40.0)
    system.setDefaultPeriodicBoxVectors(*BOX)
    potential = og.SplinePotential(CUTOFF, K, pairs=PAIRS)
    with torch.no_grad():
        potential.values.copy_(torch.as_tensor(rng.normal(size=(len(PAIRS), K - 3))))
    model = og.Model(system)
    model.add_pair_potential(potential, types=types)
    system = model.create_system()
    x = torch.tensor(positions, requires_grad=True)
    c = model.coefficients().detach().reshape(len(PAIRS), K).requires_grad_()
    force = og.LearnablePairForce.cast(system.getForce(0))
    return force, platforms.context(system, request.param, positions), PairSum(positions, types), x, c


def agree(found, expected):
    expected = expected.detach().numpy()
    assert np.abs(found - expected).max() <= 1e-10 * np.abs(expected).max()
    assert np.abs(expected).max() > 0


def test_energy_and_forces_are_those_of_autograd(case):
    _, context, total, x, c = case
    energy, forces = platforms.energy_and_forces(context)
    expected = total(x, c)
    assert energy == pytest.approx(expected.item(), rel=1e-10)
    agree(forces, -torch.autograd.grad(expected, x)[0])


def test_coefficient_derivatives_are_those_of_autograd(case):
    force, context, total, x, c = case
    agree(force.computeCoefficientDerivatives(context), torch.autograd.grad(total(x, c), c)[0])


def test_products_with_the_hessian_and_with_dF_dc_are_those_of_double_backward(case):
    force, context, total, x, c = case
    vectors = np.random.default_rng(3).normal(size=(N, 3))
    found, parameter = force.computeHessianVectorProduct(context, vectors)
    forces = -torch.autograd.grad(total(x, c), x, create_graph=True)[0]
    expected = torch.autograd.grad((forces * torch.as_tensor(vectors)).sum(), (x, c))
    agree(found, expected[0])
    agree(parameter, expected[1])


def test_virial_and_its_derivatives_are_those_of_scaling_all_distances(case):
    # W = -sum r u'(r) = -dU/ds at distances s r
    force, context, total, x, c = case
    shift, scale = total.shift, torch.ones((), dtype=torch.float64, requires_grad=True)
    total.shift = shift * scale
    trace = -torch.autograd.grad(total(x * scale, c), scale, create_graph=True)[0]
    found, derivatives = force.computeVirial(context)
    assert np.trace(found) == pytest.approx(trace.item(), rel=1e-10)
    agree(derivatives, torch.autograd.grad(trace, c)[0])
