# SPDX-License-Identifier: MIT
"""What every PairPotential promises. A new final class is found by itself and needs one line in EXAMPLES."""

import copy
import doctest
import importlib
import inspect
import pkgutil

import pytest
import torch
from torch import nn

import openmmgrad.potentials as potentials
from openmmgrad.potentials import (
    Buckingham,
    EnergyEntropy,
    LennardJones,
    LennardJonesFamily,
    MLPPotential,
    ModulePotential,
    Morse,
    PairPotential,
    PerPair,
    SoftSphere,
    SplinePotential,
    SumPotential,
    Yukawa,
)
from openmmgrad.spline import SplineGrid

T = 300.0
PAIRS = [("A", "A"), ("A", "B"), ("B", "B")]
MODULES = [m.name for m in pkgutil.iter_modules(potentials.__path__, "openmmgrad.potentials.")]


class Wave(nn.Module):
    """A learnable 3 a cos(9 r), bounded everywhere."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, r):
        return 3 * self.a * torch.cos(9 * r)


def lj(K, sigma=0.34, **keywords):
    return LennardJones(sigma, 1.0, 0.9, n_coefficients=K, **keywords)


def spline(K):
    return SplinePotential.from_potential(lj(K), T, pairs=PAIRS)


EXAMPLES = {
    Buckingham: lambda K: Buckingham(4e5, 36.0, 6e-3, 0.9, n_coefficients=K),
    EnergyEntropy: lambda K: EnergyEntropy(lj(K), Morse(0.003, 12.0, 0.4, 0.9, n_coefficients=K)),
    LennardJones: lj,
    LennardJonesFamily: lambda K: LennardJonesFamily(0.34, 1.0, 0.9, 9, 4, n_coefficients=K),
    MLPPotential: lambda K: MLPPotential(0.9, K, width=16, seed=5),
    ModulePotential: lambda K: ModulePotential(Wave(), 0.9, n_coefficients=K, truncation="shift-force"),
    Morse: lambda K: Morse(1.5, 14.0, 0.4, 0.9, n_coefficients=K, truncation="switch", switch_distance=0.7),
    PerPair: lambda K: PerPair(dict(zip(PAIRS, (lj(K), lj(K, 0.3), SoftSphere(1.0, 0.4, 0.9)), strict=True))),
    SoftSphere: lambda K: SoftSphere(2.0, 0.35, 0.9, power=6, n_coefficients=K),
    SplinePotential: spline,
    SumPotential: lambda K: lj(K) + Yukawa(-1.0, 4.0, 0.9, n_coefficients=K),
    Yukawa: lambda K: Yukawa(5.0, 4.0, 0.9, n_coefficients=K, truncation="shift-force"),
}


def final_subclasses(base=PairPotential):
    """All concrete classes of the package below ``base``."""
    for name in MODULES:
        importlib.import_module(name)
    found = [sub for direct in base.__subclasses__() for sub in (direct, *final_subclasses(direct))]
    return [c for c in found if c.__module__.startswith("openmmgrad.") and not inspect.isabstract(c)]


FINAL = sorted(set(final_subclasses()), key=lambda c: c.__name__)


@pytest.fixture(params=FINAL, ids=lambda c: c.__name__)
def final(request):
    return request.param


@pytest.fixture
def potential(final):
    return EXAMPLES[final](64)


def random_like(tensors, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(t.shape, dtype=torch.float64, generator=generator) for t in tensors]


def test_every_final_class_has_an_example_and_is_exported():
    assert {c.__name__ for c in FINAL} == {c.__name__ for c in EXAMPLES}
    assert {c.__name__ for c in FINAL} <= set(potentials.__all__)


def test_final_classes_are_not_subclassed(final):
    assert [c for c in final.__subclasses__() if c.__module__.startswith("openmmgrad.")] == []


def test_signatures_are_annotated(final):
    for function in (final.__init__, final.energy, final.coefficients):
        parameters = list(inspect.signature(function).parameters.values())[1:]
        assert all(p.annotation is not inspect.Parameter.empty for p in parameters), function


def test_docstring_has_parameters_units_errors_and_an_example(final):
    for wanted in ("Parameters\n", "Raises\n", "Examples\n", ">>>", "nm", "kJ/mol"):
        assert wanted in final.__doc__, f"{final.__name__} lacks {wanted!r}"


@pytest.mark.parametrize("name", [*MODULES, "openmmgrad.spline", "openmmgrad.units", "openmmgrad.errors"])
def test_doctests_hold(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_coefficients_are_finite_and_the_last_three_are_zero(potential):
    c = potential.coefficients(PAIRS, T)
    assert c.shape == (3, 64)
    assert c.dtype == torch.float64
    assert c.isfinite().all()
    assert c[:, -3:].abs().max() == 0


def test_potential_vanishes_at_the_cutoff_with_two_derivatives(potential):
    c = potential.coefficients(PAIRS, T).detach()
    r = torch.tensor([potential.cutoff * (1 - 1e-7)], dtype=torch.float64)
    for derivative, limit in ((0, 1e-15), (1, 1e-9), (2, 1e-3)):
        assert potential.grid.evaluate(c, r, derivative).abs().max() < limit * (1 + c.abs().max())
    assert potential(torch.tensor([potential.cutoff, 5.0], dtype=torch.float64), PAIRS[0], T).abs().max() == 0


def test_coefficients_are_differentiable_in_every_parameter(potential):
    """A directional derivative in all parameters against central differences of the whole projection."""
    learnt = [p for p in potential.parameters() if p.requires_grad]
    (weights,) = random_like([torch.empty(3, 64)], seed=1)
    directions = [d * (0.1 + p.detach().abs()) for d, p in zip(random_like(learnt), learnt, strict=True)]

    def loss():
        # the splines' scale at small r is hundreds of kJ/mol: count what is sampled
        c = potential.coefficients(PAIRS, T)
        return (weights * torch.tanh(c / 50)).sum()

    gradients = torch.autograd.grad(loss(), learnt)
    assert all(g.abs().max() > 0 for g in gradients)
    slope = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    values = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            for p, d in zip(learnt, directions, strict=True):
                p += step * d
            values.append(loss())
            for p, d in zip(learnt, directions, strict=True):
                p -= step * d
    assert torch.isclose(slope, (values[0] - values[1]) / 2e-6, rtol=1e-6)


def test_state_dict_round_trip_gives_equal_coefficients(potential, final):
    with torch.no_grad():
        for p in potential.parameters():
            p *= 1.01
    other = EXAMPLES[final](64)
    assert not torch.equal(other.coefficients(PAIRS, T), potential.coefficients(PAIRS, T))
    other.load_state_dict(potential.state_dict())
    assert torch.equal(other.coefficients(PAIRS, T), potential.coefficients(PAIRS, T))


def test_coefficients_are_a_function_of_the_parameters_alone(potential):
    """No memory of earlier parameters, and a copy gives the same."""
    before = potential.coefficients(PAIRS, T)
    twin = copy.deepcopy(potential)
    with torch.no_grad():
        for p in potential.parameters():
            p *= 1.2
        potential.coefficients(PAIRS, T)
    potential.load_state_dict(twin.state_dict())
    assert torch.equal(potential.coefficients(PAIRS, T), before)
    assert torch.equal(twin.coefficients(PAIRS, T), before)


def test_order_of_labels_does_not_matter(potential):
    c = potential.coefficients([("A", "B"), ("B", "A")], T)
    assert torch.equal(c[0], c[1])


def test_tabulated_force_is_minus_the_slope_of_the_tabulated_energy(potential):
    r = torch.linspace(0.05, 0.899, 200, dtype=torch.float64)
    step = 1e-6
    force = potential.tabulate(r, PAIRS[1], T)[1]
    up, down = (potential.tabulate(r + s, PAIRS[1], T)[0] for s in (step, -step))
    difference = -(up - down) / (2 * step)
    assert force == pytest.approx(difference, rel=1e-6, abs=1e-4)


def test_projected_energy_and_force_are_those_of_the_truncated_potential(potential):
    """On r where u < 10 kT, against autograd of the module itself and within the stated projection error.

    The errors of energy and force peak between the points of both sets, by less than the factors below.
    """
    error = potential.projection_error(PAIRS, T)
    kT = 0.00831446261815324 * T
    for pair in PAIRS:
        r = torch.linspace(0.2, 0.9, 1402, dtype=torch.float64)[1:-1].requires_grad_(True)
        exact = potential.truncated_energy(r, pair, T)
        (slope,) = torch.autograd.grad(exact.sum(), r)
        u, force = potential.tabulate(r.detach(), pair, T)
        sampled = (exact <= 10 * kT).detach()
        sampled &= r.detach() > potential.core_knot(pair, T) * potential.grid.width
        du = (torch.from_numpy(u) - exact.detach())[sampled].abs().max().item()
        df = (torch.from_numpy(force) + slope)[sampled].abs().max().item()
        assert du <= 1.2 * error.energy * kT + 1e-12
        assert df <= 1.5 * error.force * kT + 1e-10
        assert du < 0.02 * kT


def test_projection_error_decreases_with_the_number_of_coefficients(final):
    errors = [EXAMPLES[final](K).projection_error(PAIRS, T).energy for K in (32, 64, 128)]
    assert errors[2] <= errors[0] / 8 + 1e-12, errors


def test_unused_pairs_and_temperatures_are_declared(potential):
    """pair_dependent = False and temperature_dependent = False must be true."""
    r = torch.linspace(0.3, 0.8, 20, dtype=torch.float64)
    u = potential.energy(r, PAIRS[0], T)
    if not potential.pair_dependent:
        assert torch.equal(u, potential.energy(r, ("X", "Y"), T))
    if not potential.temperature_dependent:
        assert torch.equal(u, potential.energy(r, PAIRS[0], 2 * T))


def test_a_user_needs_to_write_the_energy_only():
    class Mine(PairPotential):
        def __init__(self, cutoff, **keywords):
            super().__init__(cutoff, **keywords)
            self.height = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

        def energy(self, r, pair=None, temperature=None):
            height = self.height if pair == ("A", "A") else 2 * self.height
            return height * torch.exp(-((r / 0.2) ** 2)) * (temperature / 300.0)

    mine = Mine(0.9, n_coefficients=32)
    c = mine.coefficients(PAIRS, T)
    assert torch.allclose(2 * c[0], c[1], rtol=0.02)
    c.sum().backward()
    assert mine.height.grad > 0
    assert mine.grid == SplineGrid(0.9, 32)
    assert mine.projection_error(PAIRS, T).energy < 1e-3
