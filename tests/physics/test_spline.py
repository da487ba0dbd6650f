# SPDX-License-Identifier: MIT
"""The spline basis: identities of B-splines, and how well it stands for Lennard-Jones."""

import pytest
import torch

from openmmgrad.potentials import LennardJones
from openmmgrad.spline import SplineGrid
from openmmgrad.units import KB

GRID = SplineGrid(cutoff=0.9, n_coefficients=40)
ONE_KT = 1 / KB  # the temperature where kT = 1 kJ/mol


def points(grid, n=501, end=1.0):
    return torch.linspace(0, end * grid.cutoff, n, dtype=torch.float64)[:-1]


def cubic_bspline(x):
    """The centred cubic B-spline on [-2, 2] from its definition by truncated powers."""
    signs = (1, -4, 6, -4, 1)
    return sum(s * (x - k).clamp(min=0) ** 3 for k, s in zip(range(-2, 3), signs, strict=True)) / 6


def test_basis_is_the_cubic_bspline_centred_on_its_knot():
    r = points(GRID)
    x = r.unsqueeze(-1) / GRID.width - (torch.arange(40) - 1)
    assert torch.allclose(GRID.basis(r), cubic_bspline(x), atol=1e-10)


def test_partition_of_unity_and_nothing_beyond_the_cutoff():
    r = points(GRID)
    assert torch.allclose(GRID.basis(r).sum(-1), torch.ones_like(r), atol=1e-14)
    assert GRID.basis(GRID.cutoff + r).abs().max() == 0
    assert GRID.evaluate(torch.ones(40, dtype=torch.float64), GRID.cutoff + r).abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_r_next_to_the_cutoff_stays_in_range(dtype):
    rc = torch.tensor([GRID.cutoff], dtype=dtype)
    r = torch.cat([torch.nextafter(rc, 0 * rc), rc, torch.nextafter(rc, 2 * rc)])
    c = torch.ones(40, dtype=dtype)
    c[-3:] = 0
    assert GRID.evaluate(c, r).abs().max() < 1e-10


@pytest.mark.parametrize("derivative", [0, 1])
def test_derivatives_are_those_of_autograd(derivative):
    r = (points(GRID) + 1e-4).requires_grad_(True)
    c = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (slope,) = torch.autograd.grad(GRID.evaluate(c, r, derivative).sum(), r)
    assert torch.allclose(slope, GRID.evaluate(c, r.detach(), derivative + 1), rtol=1e-11, atol=1e-9)
    assert torch.allclose(GRID.basis(r.detach(), derivative) @ c, GRID.evaluate(c, r, derivative), rtol=1e-12)


def test_evaluate_is_differentiable_in_the_coefficients_of_several_pairs():
    c = torch.randn(3, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_(
        True
    )
    r = points(GRID, 20)
    assert torch.autograd.gradcheck(lambda c: GRID.evaluate(c, r), c)
    (slope,) = torch.autograd.grad(GRID.evaluate(c, r)[1].sum(), c)
    assert torch.allclose(slope[1], GRID.basis(r).sum(0)) and slope[0].abs().max() == 0


def blossom(a, b, c):
    """Coefficients of (a + b x + c x^2) in x = r/h: the polar form at the three inner knots, k-2, k-1, k."""
    k = torch.arange(40, dtype=torch.float64)
    t = (k - 2, k - 1, k)
    mean = sum(t) / 3
    products = (t[0] * t[1] + t[1] * t[2] + t[0] * t[2]) / 3
    return a + b * mean + c * products


def test_quadratics_are_reproduced_exactly_and_are_their_own_core():
    c = blossom(1.5, -0.4, 0.03)
    r = points(GRID)
    x = r / GRID.width
    assert torch.allclose(GRID.evaluate(c, r), 1.5 - 0.4 * x + 0.03 * x * x, atol=1e-12)
    assert torch.allclose(GRID.extend_core(c, 9), c, atol=1e-12)


def test_the_cube_that_vanishes_at_the_cutoff_is_reproduced_exactly():
    k, n = torch.arange(40, dtype=torch.float64), GRID.n_intervals
    c = GRID.width**3 * (n - k + 2) * (n - k + 1) * (n - k)
    r = points(GRID)
    assert c[-3:].abs().max() == 0
    assert torch.allclose(GRID.evaluate(c, r), (GRID.cutoff - r) ** 3, atol=1e-13)
    assert torch.allclose(GRID.evaluate(c, r, 2), 6 * (GRID.cutoff - r), atol=1e-10)


def test_core_is_the_recurrence_and_continues_u_twice_differentiably():
    c = torch.randn(2, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    extended = GRID.extend_core(c, torch.tensor([11, 4]))
    for row, first in ((0, 11), (1, 4)):
        by_hand = c[row].clone()
        for k in range(first - 1, -1, -1):
            by_hand[k] = 3 * by_hand[k + 1] - 3 * by_hand[k + 2] + by_hand[k + 3]
        assert torch.allclose(extended[row], by_hand, rtol=1e-10)
        assert torch.equal(extended[row, first:], c[row, first:])
        edge = torch.tensor([first * GRID.width], dtype=torch.float64)
        r = points(GRID)
        r = r[r < edge]
        u = [GRID.evaluate(extended[row], edge, d) for d in range(3)]
        parabola = u[0] + u[1] * (r - edge) + u[2] * (r - edge) ** 2 / 2
        assert torch.allclose(GRID.evaluate(extended[row], r), parabola, rtol=1e-9, atol=1e-9)


def test_second_differences_are_the_curvature_at_the_knots():
    c = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    curvature = GRID.evaluate(c, GRID.knots[:-1], 2) * GRID.width**2
    assert torch.allclose((GRID.second_differences() @ c)[:-1], curvature, atol=1e-11)


@pytest.mark.parametrize(("K", "largest"), [(64, 6e-3), (128, 4e-4), (512, 1.4e-6)])
def test_error_of_lennard_jones_beyond_085_sigma(K, largest):
    """Measured: 5.4e-3, 3.5e-4 and 1.3e-6 epsilon on [0.85, 2.5] sigma; fourth order in the width."""
    lj = LennardJones(1.0, 1.0, 2.5, n_coefficients=K, truncation="shift-force")
    r = torch.linspace(0.85, 2.5, 20001, dtype=torch.float64)[:-1]
    c = lj.coefficients([("A", "A")], ONE_KT)[0].detach()
    exact = 4 * (r**-12 - r**-6)
    exact = exact - 4 * (2.5**-12 - 2.5**-6) - (r - 2.5) * (-48 * 2.5**-13 + 24 * 2.5**-7)
    error = (lj.grid.evaluate(c, r) - exact).abs().max().item()
    assert largest / 2 < error < largest


def test_energy_shift_leaves_only_the_jump_of_the_force_in_the_last_intervals():
    """With "shift", u' jumps by 0.039 epsilon/sigma at 2.5 sigma, which splines round off over one width."""
    lj = LennardJones(1.0, 1.0, 2.5, n_coefficients=512)
    r = torch.linspace(0.85, 2.5, 20001, dtype=torch.float64)[:-1]
    c = lj.coefficients([("A", "A")], ONE_KT)[0].detach()
    error = (lj.grid.evaluate(c, r) - lj(r).detach()).abs()
    assert error[r < 2.4].max() < 1.4e-6
    assert error.max() < 0.039 * lj.grid.width


def test_nist_setting_three_sigma_force_shifted_to_1e_6():
    lj = LennardJones(1.0, 1.0, 3.0, n_coefficients=512, truncation="shift-force")
    r = torch.linspace(0.85, 3.0, 20001, dtype=torch.float64)[:-1]
    u = lj(r).detach()
    error = (lj.grid.evaluate(lj.coefficients([None], ONE_KT)[0].detach(), r) - u).abs()
    assert (error / u.abs().clamp(min=1.0)).max() < 1e-6
