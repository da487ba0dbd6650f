# SPDX-License-Identifier: MIT
"""The f-sum rule of liquid water, with point charges on atoms and on virtual sites."""

import molecules
import numpy as np
import pytest
import torch

import openmmgrad as og
from openmmgrad.units import KB

SPEED, COULOMB, TEMPERATURE = 0.0299792458, 138.93545764, 300.0
GRID = np.arange(0.0, 6001.0, 10.0)
DT = 0.0005
SITE = molecules.WATERS["tip4pf"]["site"]


def folded(case) -> np.ndarray:
    """Charges with those of the virtual sites on the atoms that place them, [N]."""
    charges = case.charges.copy()
    if len(charges) % 4 == 0 and case.system.isVirtualSite(3):
        q = charges.reshape(-1, 4)
        q[:, 0] += SITE * q[:, 3]
        q[:, 1:3] += (1 - SITE) / 2 * q[:, 3:]
        q[:, 3] = 0.0
    return charges


def masses_of(case) -> np.ndarray:
    return np.array([case.system.getParticleMass(i)._value for i in range(case.system.getNumParticles())])


def squares_over_masses(case) -> float:
    """sum_i q_i^2/m_i, e^2/amu."""
    masses = masses_of(case)
    return float((folded(case)[masses > 0] ** 2 / masses[masses > 0]).sum())


def drawn_velocities(case, rng, n_windows) -> np.ndarray:
    """Maxwell's, [S, N, 3]; sites have none of their own."""
    masses = masses_of(case)
    sigma = np.sqrt(np.divide(KB * TEMPERATURE, masses, out=np.zeros_like(masses), where=masses > 0))
    return rng.normal(size=(n_windows, len(masses), 3)) * sigma[:, None]


def with_sites(v):
    """Velocities [..., N, 3] of four-site waters whose sites move as their atoms make them."""
    v = v.reshape(*v.shape[:-2], -1, 4, 3).copy()
    v[..., 3, :] = SITE * v[..., 0, :] + (1 - SITE) / 2 * (v[..., 1, :] + v[..., 2, :])
    return v.reshape(*v.shape[:-3], -1, 3)


CASES = {"spcfw": ("spcfw", 3, molecules.RF, 0.42), "tip4pf": ("tip4pf", 3, molecules.RF, 0.42)}


@pytest.fixture(scope="module", params=CASES, ids=str)
def liquid(request):
    """A box of 27 waters, and 56 windows of 0.15 ps from frames 0.025 ps apart with velocities drawn anew."""
    case = molecules.water(*CASES[request.param])
    model = og.Model(case.system)
    ensemble = og.Ensemble(model, case.positions, TEMPERATURE, timestep=DT / 2, n_frames=56, stride=100, friction=20.0,
                           platform="CPU", threads=1, seed=4)
    frames = ensemble.sample()
    frames.velocities = drawn_velocities(case, np.random.default_rng(5), len(frames))
    ir = og.IRSpectrum(og.PointCharges.of(model), GRID, max_lag=0.15)
    with torch.no_grad():
        path = og.propagate(model, frames, DT, 310, platform="CPU", threads=1, workers=1)
    return request.param, case, model, ir, frames, path


def test_velocities_of_sites_are_those_of_their_places(liquid):
    name, case, _, _, _, path = liquid
    v = path.velocities.numpy()
    if name == "tip4pf":
        assert np.abs(v - with_sites(v)).max() < 1e-4 * np.abs(v).max()  # single precision of the CPU platform
        moved = (path.positions[:, 1:, 3] - path.positions[:, :-1, 3]) / DT
        assert float((moved - path.velocities[:, 1:, 3]).abs().max()) < 2e-3 * float(path.velocities.abs().max())
    else:
        assert not any(case.system.isVirtualSite(i) for i in range(3))


def test_flux_over_maxwell_velocities(liquid):
    """<J^2> = 3 kT sum_i q_i^2/m_i with the sites' charges on their atoms: of 20,000 draws, 0.6 % standard error."""
    name, case, model, _, _, _ = liquid
    v = drawn_velocities(case, np.random.default_rng(6), 20000)
    if name == "tip4pf":
        v = with_sites(v)
    flux = og.PointCharges.of(model).flux(None, torch.as_tensor(v)).numpy()
    squared = (flux**2).sum(1)
    expected = 3 * KB * TEMPERATURE * squares_over_masses(case)
    error = squared.std(ddof=1) / np.sqrt(len(squared))
    assert error < 0.008 * expected
    assert abs(squared.mean() - expected) < 4 * error


@pytest.mark.parametrize("route", ["flux", "dipole"])
def test_the_area_under_the_spectrum(liquid, route):
    """int n alpha dnu = sum_i q_i^2/m_i / (4 c^2 eps0 V), whatever the interactions."""
    _, case, model, ir, frames, path = liquid
    ir = og.IRSpectrum(ir.dipole, GRID, max_lag=0.15, route=route)
    areas = np.trapezoid(ir(path).numpy(), GRID, axis=1)
    estimate = og.expectation(areas[:, None], og.Weights.uniform(len(path)))
    found, error = estimate.mean_values[0], estimate.stderr[0]
    volume = np.linalg.det(frames.boxes[0])
    rule = 4 * np.pi * COULOMB * squares_over_masses(case) / (4 * SPEED**2 * volume)
    assert error < 0.05 * rule
    assert abs(found - rule) < 4 * error


def test_bands_are_where_water_has_them(liquid):
    """Beyond 4500 1/cm and at zero next to nothing; stretches above 3000, bend near 1600, librations below 1000."""
    _, _, _, ir, _, path = liquid
    mean = ir(path).mean(0).numpy()

    def part(low, high):
        inside = (low <= GRID) & (high >= GRID)
        return np.trapezoid(mean[inside], GRID[inside])

    total = part(0, 6000)
    assert part(4500, 6000) < 0.01 * total
    assert all(part(*band) > 0.08 * total for band in ((300, 1100), (1350, 1900), (3000, 4200)))
    assert part(2200, 2800) < 0.05 * total


def test_what_observe_keeps_is_enough(liquid):
    """Fluxes of every time in place of all positions and velocities: the same spectrum."""
    _, _, model, ir, frames, path = liquid
    for route in ("flux", "dipole"):
        ir = og.IRSpectrum(ir.dipole, GRID, max_lag=0.15, route=route)
        with torch.no_grad():
            kept = og.propagate(model, frames[:2], DT, 400, platform="CPU", threads=1, workers=1, observe=ir.observe)
            full = og.propagate(model, frames[:2], DT, 400, platform="CPU", threads=1, workers=1)
        assert kept.observed.shape == (2, 401, 3)
        expected = ir(full)
        assert torch.allclose(ir(kept), expected, rtol=0, atol=1e-9 * float(expected.max()))
