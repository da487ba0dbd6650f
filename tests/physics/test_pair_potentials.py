# SPDX-License-Identifier: MIT
"""Pair potentials against closed forms: truncation, cores, tables, mixtures, gradients, learning."""

import math

import numpy as np
import pytest
import torch

from openmmgrad.potentials import (
    Buckingham,
    EnergyEntropy,
    LennardJones,
    LennardJonesFamily,
    MLPPotential,
    Morse,
    PairPotential,
    PerPair,
    SoftSphere,
    SplinePotential,
    Yukawa,
)
from openmmgrad.potentials.projection import fit_points, least_squares
from openmmgrad.spline import SplineGrid
from openmmgrad.units import BAR, KB, ReducedUnits, plain

ONE_KT = 1 / KB  # the temperature where kT = 1 kJ/mol
PAIR = [("A", "A")]


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


class Sampled(torch.nn.Module):
    """The coefficients of a potential outside its core."""

    def __init__(self, potential):
        super().__init__()
        self.potential = potential

    def forward(self):
        first = self.potential.core_knot(None, ONE_KT)
        return self.potential.coefficients(PAIR, ONE_KT)[0, first:]


def lj(r):
    return 4 * (r**-12 - r**-6)


def lj_slope(r):
    return -48 * r**-13 + 24 * r**-7


@pytest.mark.parametrize(
    ("keywords", "exact"),
    [
        ({"truncation": "none"}, lambda r: lj(r)),
        ({"truncation": "shift"}, lambda r: lj(r) - lj(2.5)),
        ({"truncation": "shift-force"}, lambda r: lj(r) - lj(2.5) - (r - 2.5) * lj_slope(2.5)),
        # half way, x = 1/2, OpenMM's switching function is 1 - 10/8 + 15/16 - 6/32 = 1/2
        ({"truncation": "switch", "switch_distance": 1.5}, lambda r: lj(r) * (0.5 if r == 2.0 else 1.0)),
    ],
)
def test_truncations_are_their_formulas(keywords, exact):
    potential = LennardJones(1.0, 1.0, 2.5, **keywords)
    u = potential(tensor(1.2, 2.0, 2.5, 3.0))
    assert u.tolist() == pytest.approx([exact(1.2), exact(2.0), 0.0, 0.0], abs=1e-14)


def test_switching_leaves_no_jump_up_to_the_second_derivative():
    potential = LennardJones(1.0, 1.0, 2.5, truncation="switch", switch_distance=2.0)
    for r0 in (2.0, 2.5):
        r = tensor(r0 - 1e-7, r0 + 1e-7).requires_grad_(True)
        u = potential(r)
        (slope,) = torch.autograd.grad(u.sum(), r, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), r)
        assert (curvature[1] - curvature[0]).abs() < 1e-4


def test_pressure_of_a_cut_potential_is_why_it_is_shifted_first():
    """Projecting a plainly cut potential rounds its step into a force spike before the cutoff."""
    r = torch.linspace(2.3, 2.5, 2001, dtype=torch.float64)[:-1]
    spikes = []
    for truncation in ("none", "shift"):
        potential = LennardJones(1.0, 1.0, 2.5, truncation=truncation)
        c = potential.coefficients(PAIR, ONE_KT)[0].detach()
        spikes.append((potential.grid.evaluate(c, r, 1) - lj_slope(r)).abs().max().item())
    assert spikes[0] > 0.4
    assert spikes[1] < 0.05


def test_least_squares_is_that_of_a_dense_qr():
    lj512 = LennardJones(1.0, 1.0, 2.5, n_coefficients=512)
    i_core = lj512.core_knot(None, ONE_KT)
    r = fit_points(lj512.grid, torch.device("cpu"))[i_core:]
    u = lj512(r).detach()
    weight = 1 / (1 + torch.relu(u))
    dense = lj512.grid.basis(r.reshape(-1))[:, i_core:-3] * weight.reshape(-1, 1).sqrt()
    exact = torch.linalg.lstsq(dense, (u * weight.sqrt()).reshape(-1, 1), driver="gelsd").solution[:, 0]
    assert (least_squares(u, weight) - exact).abs().max() < 1e-9


def test_projection_is_a_projection():
    """Splines project onto themselves, core included."""
    spline = SplinePotential.from_potential(LennardJones(1.0, 1.0, 2.5), ONE_KT)

    class Wrapped(PairPotential):
        def energy(self, r, pair=None, temperature=None):
            return spline(r)

    again = Wrapped(2.5, truncation="none").coefficients(PAIR, ONE_KT)
    assert torch.allclose(again, spline.coefficients(PAIR, ONE_KT), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (LennardJones, (1.0, 1.0)),
        (Morse, (1.2, 5.0, 1.1)),
        (SoftSphere, (1.0, 1.0)),
        (Yukawa, (3.0, 1.5)),
        (Buckingham, (4e5, 13.0, 2.0)),
    ],
)
@pytest.mark.parametrize("truncation", ["shift", "shift-force"])
def test_gradcheck_of_coefficients_in_all_parameters(make, parameters, truncation):
    potential = make(*parameters, cutoff=2.5, n_coefficients=24, truncation=truncation)
    names = [f"potential.{name}" for name, _ in potential.named_parameters()]
    module = Sampled(potential)

    def coefficients(*values):
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), ())

    values = tuple(p.detach().clone().requires_grad_(True) for p in potential.parameters())
    assert torch.autograd.gradcheck(coefficients, values, eps=1e-7, atol=1e-4, rtol=1e-5)


def test_core_is_quadratic_repulsive_and_begins_at_50_kT():
    potential = LennardJones(1.0, 1.0, 2.5)
    h, k = potential.grid.width, potential.core_knot(None, ONE_KT)
    assert lj(k * h) >= 50 > lj((k + 1) * h)
    r = torch.linspace(0, (k - 1e-6) * h, 50, dtype=torch.float64)
    c = potential.coefficients(PAIR, ONE_KT)[0].detach()
    assert (potential.grid.evaluate(c, r, 1) < 0).all()
    curvature = potential.grid.evaluate(c, r, 2)
    assert curvature.min() > 0
    assert torch.allclose(curvature, curvature[:1])


def test_bounded_potential_has_no_core_and_is_represented_down_to_zero():
    class Gaussian(PairPotential):
        def energy(self, r, pair=None, temperature=None):
            return 3 * torch.exp(-((r / 0.3) ** 2))

    potential = Gaussian(1.2)
    assert potential.core_knot(None, 300.0) == 0
    u, _ = potential.tabulate(np.array([0.0]), temperature=300.0)
    assert u[0] == pytest.approx(3.0, abs=1e-3)


def test_core_of_buckingham_begins_outside_its_barrier():
    potential = Buckingham(4e5, 36.0, 6e-3, 0.9)  # barrier 2.3e3 kJ/mol at 0.16 nm, minus infinity inside
    edge = potential.core_knot(None, 300.0) * potential.grid.width
    assert 0.2 < edge < 0.3
    u, force = potential.tabulate(np.linspace(0, edge, 50), temperature=300.0)
    assert (force > 0).all()
    assert u.min() > 45 * KB * 300


def test_family_is_lennard_jones_at_12_6_and_has_the_papers_prefactor():
    r = torch.linspace(0.9, 2.4, 30, dtype=torch.float64)
    family, exact = LennardJonesFamily(1.0, 1.0, 2.5), LennardJones(1.0, 1.0, 2.5)
    assert torch.allclose(family(r), exact(r), rtol=1e-12)
    paper = LennardJonesFamily(1.0, 1.0, 2.5, 9, 3, prefactor=4.0, truncation="none")
    assert torch.allclose(paper(r), 4 * (r**-9 - r**-3), rtol=1e-12)


def test_energy_entropy_is_linear_in_temperature():
    potential = EnergyEntropy(LennardJones(0.34, 1.0, 0.9), SoftSphere(1e-4, 0.34, 0.9))
    r = tensor(0.37, 0.5)
    u = [potential(r, temperature=t) for t in (280.0, 300.0, 320.0)]
    assert torch.allclose(u[0] + u[2], 2 * u[1], rtol=1e-12)
    entropy = -(u[2] - u[0]) / 40
    assert torch.allclose(entropy, 1e-4 * ((0.34 / r) ** 12 - (0.34 / 0.9) ** 12), rtol=1e-9)


def test_sum_of_repulsion_and_bare_attraction_is_buckingham():
    class Part(PairPotential):
        pair_dependent = False

        def __init__(self, formula):
            super().__init__(0.9)
            self.formula = formula

        def energy(self, r, pair=None, temperature=None):
            return self.formula(r)

    total = Part(lambda r: 4e5 * torch.exp(-36 * r)) + Part(lambda r: -6e-3 / r**6)
    whole = Buckingham(4e5, 36.0, 6e-3, 0.9)
    assert torch.allclose(total.coefficients(PAIR, 300.0), whole.coefficients(PAIR, 300.0), atol=1e-8)


def test_mixture_shares_potentials_and_their_gradients():
    a, b = (LennardJones(s, 1.0, 0.9) for s in (0.3, 0.34))
    mixture = PerPair({("B", "A"): a, ("A", "A"): a, ("B", "B"): b})
    c = mixture.coefficients([("A", "A"), ("A", "B"), ("B", "B")], 300.0)
    assert torch.equal(c[0], c[1])
    assert torch.equal(c[2], b.coefficients(PAIR, 300.0)[0])
    assert len(list(mixture.parameters())) == 4
    c[1].sum().backward()
    assert a.sigma.grad != 0
    assert b.sigma.grad == 0 or b.sigma.grad is None


def test_spline_potential_learns_its_own_coefficients_and_not_those_of_the_core():
    potential = SplinePotential(0.9, pairs=[("A", "A"), ("A", "B")])
    potential.set_core(0.2)
    k = potential.core_knot(("B", "A"), 300.0)
    assert (k - 1) * potential.grid.width < 0.2 <= k * potential.grid.width
    potential.coefficients([("A", "B")], 300.0)[0].sum().backward()
    assert potential.values.grad[0].abs().max() == 0
    assert potential.values.grad[1, :k].abs().max() == 0
    assert (potential.values.grad[1, k + 3 :] == 1).all()


@pytest.mark.parametrize("spacing", [0.01, 0.03])
def test_exact_rdf_of_a_dilute_gas_gives_the_potential_back(spacing):
    """g = exp(-u/kT): u to 0.02 kT where g > 0.01 (measured: 0.011 and 0.015)."""
    r = np.arange(0.5 * spacing, 3.0, spacing)
    u = np.where(r < 2.5, lj(r) - lj(2.5), 0.0)
    potential = SplinePotential.from_rdf(r, np.exp(-u), ONE_KT, 2.5)
    x = torch.linspace(0.85, 2.499, 3000, dtype=torch.float64)
    exact = lj(x) - lj(2.5)
    seen = torch.exp(-exact) > 0.01
    assert (potential(x).detach() - exact)[seen].abs().max() < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_noisy_rdf_still_gives_a_repulsive_convex_core(seed):
    """Poisson counts, 300 per bin at g = 1: at the first g > 1e-3 there is one count, if any."""
    r = np.arange(0.005, 3.0, 0.01)
    shell = 300 * r**2
    counts = np.random.default_rng(seed).poisson(shell * np.exp(-np.where(r < 2.5, lj(r) - lj(2.5), 0.0)))
    potential = SplinePotential.from_rdf(r, counts / shell, ONE_KT, 2.5)
    c = potential.coefficients(PAIR, ONE_KT)[0].detach()
    edge = potential.core_knot(None, ONE_KT) * potential.grid.width
    x = torch.linspace(0, edge * 0.9999, 100, dtype=torch.float64)
    assert 0.85 < edge < 1.0
    assert (potential.grid.evaluate(c, x, 1) < 0).all()
    assert (potential.grid.evaluate(c, x, 2) >= -1e-9).all()
    assert potential.grid.evaluate(c, x)[0] > 20
    x = torch.linspace(1.0, 2.4, 100, dtype=torch.float64)
    # one standard error of ln g is 1/sqrt(300 g r^2), and three bins share an interval
    assert ((potential.grid.evaluate(c, x) - lj(x) + lj(2.5)) * (300 * x**2) ** 0.5).abs().max() < 4


def test_table_of_energies_is_fitted_with_the_weights_of_a_temperature():
    r = np.linspace(0.3, 2.6, 2301)
    potential = SplinePotential.from_energy(r, lj(r), 2.5, temperature=ONE_KT)
    projected = LennardJones(1.0, 1.0, 2.5)
    x = torch.linspace(0.88, 2.49, 500, dtype=torch.float64)
    assert potential.core_knot(None, ONE_KT) == projected.core_knot(None, ONE_KT)
    assert (potential(x) - projected(x)).abs().max() < 4e-3


def test_coarse_table_is_filled_smoothly():
    r = np.linspace(0.1, 1.0, 12)
    potential = SplinePotential.from_energy(r, 5 * (1 - r) ** 3, 1.0, n_coefficients=64)
    x = torch.linspace(0.1, 0.99, 100, dtype=torch.float64)
    assert (potential(x) - 5 * (1 - x) ** 3).abs().max() < 1e-3


@pytest.mark.parametrize(
    "target",
    [LennardJones(1.0, 1.0, 2.5), Morse(1.0, 5.0, 1.12, 2.5), SoftSphere(4.0, 1.0, 2.5)],
    ids=lambda p: type(p).__name__,
)
def test_one_network_learns_lennard_jones_morse_and_soft_spheres(target):
    """Same settings: rms error below 0.02 kT where u < 10 kT after 60 steps of L-BFGS."""
    network = MLPPotential(2.5, width=32, scale=1.0)
    r = torch.linspace(0.8, 2.49, 100, dtype=torch.float64)
    exact = target(r).detach()
    r, exact = r[exact < 10], exact[exact < 10]
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = ((network(r) - exact) ** 2).mean()
        value.backward()
        return value

    optimizer.step(loss)
    u, _ = network.tabulate(r.numpy(), temperature=ONE_KT)
    assert np.sqrt(np.mean((u - exact.numpy()) ** 2)) < 0.02


def test_untrained_network_is_its_prior_and_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    network = MLPPotential(0.9, seed=7)
    assert torch.equal(state, torch.get_rng_state())
    r = torch.linspace(0.1, 0.89, 100, dtype=torch.float64)
    assert (network(r) - network.prior(r)).abs().max() < 0.05 * network.scale
    assert (network.prior(r) > 0).all()
    assert MLPPotential(0.9, prior=None)(r).abs().max() < 0.05 * network.scale


def test_reduced_units_of_argon_both_ways():
    """sigma 0.3405 nm, eps/k 119.8 K, 39.948 amu: the unit of pressure is 418.96 bar, of time 2.156 ps."""
    units = ReducedUnits(0.3405, 119.8 * KB, 39.948)
    assert units.temperature(0.5) == pytest.approx(59.9, rel=1e-12)
    assert units.pressure(1.0) / BAR == pytest.approx(1.380649e-23 * 119.8 / 0.3405e-9**3 / 1e5, rel=1e-9)
    assert units.time(1.0) == pytest.approx(
        math.sqrt(39.948 * 1.66053906660e-27 * 0.3405e-9**2 / (1.380649e-23 * 119.8)) * 1e12, rel=1e-8
    )
    for name in ("temperature", "number_density", "time", "length", "energy", "pressure"):
        assert getattr(units, f"to_reduced_{name}")(getattr(units, name)(0.7)) == pytest.approx(
            0.7, rel=1e-13
        )


def test_quantities_are_accepted_at_the_border():
    from openmm import unit

    quantity = LennardJones(3.4 * unit.angstrom, 1000 * unit.joule / unit.mole, 9 * unit.angstrom)
    assert quantity.grid.cutoff == pytest.approx(0.9)
    assert torch.allclose(
        quantity.coefficients(PAIR, 300 * unit.kelvin), LennardJones(0.34, 1.0, 0.9).coefficients(PAIR, 300.0)
    )
    assert plain(1 * unit.bar, "bar") == 1.0
    assert plain([1, 2] * unit.angstrom, "nm") == pytest.approx([0.1, 0.2])
    assert plain([1 * unit.angstrom, 2 * unit.nanometer], "nm") == pytest.approx([0.1, 2.0])
    assert SplineGrid(9 * unit.angstrom, 64).cutoff == pytest.approx(0.9)
