# SPDX-License-Identifier: MIT
"""Vibrational densities of states, diffusion and spectra of oscillators and free particles: closed forms."""

import numpy as np
import openmm
import pytest
import torch
from harmonic_dipole import COULOMB, KT, MASSES, SPEED, TEMPERATURE, constant_of, harmonic_dipole, phase, two_frames

import openmmgrad as og
from openmmgrad.spectral import angular, shifted, transform

GRID = np.arange(0.0, 6001.0, 4.0)


def particles(masses, wavenumbers=None):
    """Free particles, or each in its own harmonic well."""
    system = openmm.System()
    wells = openmm.CustomExternalForce("0.5*k*(x^2+y^2+z^2)")
    wells.addPerParticleParameter("k")
    for i, mass in enumerate(masses):
        system.addParticle(mass)
        if wavenumbers is not None:
            wells.addParticle(i, [mass * float(angular(wavenumbers[i])) ** 2])
    system.addForce(wells)
    return og.Model(system)


def canonical(rng, n_windows, masses, wavenumbers=None):
    masses = np.asarray(masses, dtype=float)
    v = rng.normal(size=(n_windows, len(masses), 3)) * np.sqrt(KT / masses)[:, None]
    x = rng.normal(size=v.shape)
    if wavenumbers is not None:
        x *= np.sqrt(KT / masses)[:, None] / angular(np.asarray(wavenumbers))[:, None]
    return x, v


def run(model, x, v, timestep, n_steps, **options):
    frames = og.Frames(x, og.State([], TEMPERATURE), velocities=v, masses=model.masses)
    with torch.no_grad():
        return og.propagate(model, frames, timestep, n_steps, platform="Reference", **options)


def density(**options):
    return og.VibrationalDensityOfStates(**({"wavenumbers": GRID, "max_lag": 0.5, "remove_com": False} | options))


def means(observable, path):
    estimate = og.expectation(observable(path), og.Weights.uniform(len(path)), observable=observable)
    return estimate.mean_values, estimate.stderr


@pytest.mark.parametrize("timestep", [0.0005, 0.001])
def test_oscillators_have_three_degrees_of_freedom_each(timestep):
    """Four atoms of four masses and frequencies: one line each, of area 3/4, but for the fourth order in w dt."""
    masses, lines = np.array([1.0, 2.0, 12.0, 16.0]), np.array([3500.0, 2500.0, 1500.0, 500.0])
    x = np.sqrt(2 * KT / masses)[:, None] / angular(lines)[:, None] * np.ones(3)
    v = np.sqrt(2 * KT / masses)[:, None] * np.ones(3)
    path = run(particles(masses, lines), np.stack([x, 0 * x]), np.stack([0 * v, v]), timestep, round(1.5 / timestep))
    values = density()(path).mean(0).numpy()
    cos = np.sqrt(1 - (angular(lines) * timestep / 2) ** 2)
    expected = 3 * (cos + 1 / cos) / 2
    assert np.trapezoid(values, GRID) == pytest.approx(expected.mean(), rel=1e-4)
    for i, line in enumerate(lines):
        near = np.abs(GRID - line) < 400
        assert GRID[near][values[near].argmax()] == line
        one = density(selection=[i])(path).mean(0).numpy()
        assert np.trapezoid(one, GRID) == pytest.approx(expected[i], rel=2e-4)
    assert np.trapezoid(density(remove_com=True)(path).mean(0), GRID) < np.trapezoid(values, GRID)


def test_a_bond_is_one_degree_of_freedom_of_its_two_atoms():
    k, dt = constant_of(2000.0), 0.0005
    with torch.no_grad():
        path = og.propagate(harmonic_dipole(k), two_frames(k), dt, 3000, platform="Reference")
    for remove_com in (True, False):
        values = density(remove_com=remove_com)(path).mean(0).numpy()
        assert 2 * np.trapezoid(values, GRID) == pytest.approx(1 + phase(k, dt) ** 4 / 128, abs=1e-4)
    light = density(selection=[0])(path).mean(0).numpy()  # the light atom has nearly all of it
    assert np.trapezoid(light, GRID) == pytest.approx(MASSES[1] / MASSES.sum(), rel=1e-4)


def langevin(rng, gamma, timestep, n_windows, n_steps, n_atoms, mass=12.0, wavenumber=None):
    lines = None if wavenumber is None else np.full(n_atoms, wavenumber)
    model = particles(np.full(n_atoms, mass), lines)
    x, v = canonical(rng, n_windows, model.masses, lines)
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, gamma, timestep)
    return run(model, x, v, timestep, n_steps, integrator=integrator, seed=int(rng.integers(2**31)))


def test_free_langevin_particles_diffuse():
    """D(0) = 12 c m D/kT with D = kT/(m gamma), from the density of states and from Green and Kubo.

    Velocities of LangevinMiddle steps are an exact Ornstein-Uhlenbeck series: only the trapezoidal rule adds to D,
    (gamma dt/2) coth(gamma dt/2) = 1.0033.
    """
    gamma, dt, mass, lag = 40.0, 0.005, 12.0, 0.25
    path = langevin(np.random.default_rng(1), gamma, dt, n_windows=24, n_steps=600, n_atoms=40, mass=mass)
    rule = gamma * dt / 2 / np.tanh(gamma * dt / 2)
    grid = np.array([0.0, 50.0, 100.0, 200.0, 400.0, 1000.0])
    mean, stderr = means(density(wavenumbers=grid, max_lag=lag, window="none"), path)
    expected = 12 * SPEED / gamma
    assert stderr[0] < 0.02 * expected
    assert abs(mean[0] - rule * expected) < 4 * stderr[0] + 2 * np.exp(-gamma * lag) * expected
    # any window, at all wavenumbers: the transform of 3 exp(-gamma t)
    for window in ("hann", "none"):
        n = round(lag / dt) + 1
        exact = 2 * SPEED * 3 * np.exp(-gamma * dt * np.arange(n)) @ transform(
            n, dt, shifted(angular(grid), dt), window)
        mean, stderr = means(density(wavenumbers=grid, max_lag=lag, window=window), path)
        assert (np.abs(mean - exact) < 4 * stderr).all()
        assert stderr.max() < 0.015 * exact[0]
    d, error = means(og.SelfDiffusion(t_max=lag, origins="all", remove_com=False), path)
    in_si = 1e-6 * KT / (mass * gamma)
    assert error[0] < 0.02 * in_si
    assert abs(d[0] - rule * in_si) < 4 * error[0] + np.exp(-gamma * lag) * in_si


def test_oscillators_with_friction_have_their_band():
    """C(t) = 3 kT/m exp(-gamma t/2) (cos w1 t - gamma/(2 w1) sin w1 t), shape and area, in steps of 0.5 fs."""
    gamma, dt, omega, lag = 30.0, 0.0005, float(angular(1000.0)), 0.3
    path = langevin(np.random.default_rng(2), gamma, dt, 12, 2000, 40, wavenumber=1000.0)
    observable = density(wavenumbers=np.arange(0.0, 2501.0, 50.0), max_lag=lag)
    mean, stderr = means(observable, path)
    t = dt * np.arange(round(lag / dt) + 1)
    w1 = np.sqrt(omega**2 - gamma**2 / 4)
    c = 3 * np.exp(-gamma * t / 2) * (np.cos(w1 * t) - gamma / (2 * w1) * np.sin(w1 * t))
    exact = 2 * SPEED * c @ transform(len(t), dt, angular(observable.grid), "hann")
    z = (mean - exact) / stderr
    assert stderr.max() < 0.02 * exact.max()
    assert np.abs(z).max() < 4
    assert np.trapezoid(mean, observable.grid) == pytest.approx(np.trapezoid(exact, observable.grid), rel=0.02)


def test_an_ideal_gas_of_charges():
    """Fluxes never change; particles add up without cross parts; all of the area is at zero wavenumber."""
    rng = np.random.default_rng(3)
    masses, charges = rng.uniform(1, 40, 12), rng.normal(size=12)
    model = particles(masses)
    dipole = og.PointCharges(charges)
    path = run(model, *canonical(rng, 2000, masses), 0.002, 100)
    v = path.velocities
    assert torch.allclose(v, v[:, :1].expand_as(v), rtol=0, atol=1e-12)
    grid = np.arange(0.0, 2001.0, 5.0)
    ir = og.IRSpectrum(dipole, grid, max_lag=0.15, volume=2.0)
    values = ir(path).numpy()
    scale = 4 * np.pi * COULOMB / (12 * SPEED**2 * 2.0 * KT)
    flux = dipole.flux(None, v[:, 0]).numpy()
    areas = np.trapezoid(values, grid, axis=1)
    assert areas == pytest.approx(scale * (flux**2).sum(1), rel=2e-3)  # of the window's tails
    own = scale * ((charges[:, None] * v[:, 0].numpy()) ** 2).sum((1, 2))
    cross = areas - own
    error = cross.std(ddof=1) / np.sqrt(len(cross))
    assert error < 0.03 * own.mean()
    assert abs(cross.mean()) < 4 * error
    rule = 4 * np.pi * COULOMB * (charges**2 / masses).sum() / (4 * SPEED**2 * 2.0)
    total = areas.std(ddof=1) / np.sqrt(len(areas))
    assert abs(areas.mean() - rule) < 4 * total
    vdos, error = means(density(wavenumbers=grid, max_lag=0.15), path[:200])
    hann = transform(76, 0.002, shifted(angular(grid), 0.002), "hann").sum(0)  # of C = 1
    assert np.abs(vdos - 6 * SPEED * hann).max() < 4 * error[0]
    assert error[0] < 0.02 * vdos[0]
