# SPDX-License-Identifier: MIT
"""Spectra with known answers: harmonic dipoles, quantum corrections, resolution, free particles."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from harmonic_dipole import (
    AREA,
    CHARGE,
    KT,
    MU,
    SPEED,
    TEMPERATURE,
    VOLUME,
    constant_of,
    frames_of,
    harmonic_dipole,
    phase,
    spectrum,
    two_frames,
)

import openmmgrad as og
from openmmgrad.spectral import WINDOWS, angular, harmonic_factor, shifted, transform

DIPOLE = og.PointCharges([CHARGE, -CHARGE])
GRID = np.arange(0.0, 6001.0, 4.0)


def run(wavenumber, timestep, n_steps, frames=None, stride=1, **options):
    k = constant_of(wavenumber)
    with torch.no_grad():
        return og.propagate(harmonic_dipole(k), two_frames(k) if frames is None else frames, timestep, n_steps, stride,
                            platform="Reference", **options)


def infrared(dipole=DIPOLE, wavenumbers=GRID, max_lag=1.0, volume=VOLUME, **options):
    return og.IRSpectrum(dipole, wavenumbers, max_lag, volume=volume, **options)


def area(values, grid=GRID):
    return np.trapezoid(values, grid)


# ------------------------------------------------------------------ harmonic dipoles

@pytest.mark.parametrize(("wavenumber", "timestep"), [(3500.0, 0.0005), (3500.0, 0.001), (1600.0, 0.0005),
                                                      (1600.0, 0.001), (400.0, 0.001)])
def test_a_harmonic_dipole_has_one_line_at_its_frequency(wavenumber, timestep):
    """Position, width, intensity and every value; what is left of the timestep is of fourth order in w dt."""
    n_steps = round(2.0 / timestep)
    ir = infrared()
    found = ir(run(wavenumber, timestep, n_steps)).mean(0).numpy()
    k, n_lags = constant_of(wavenumber), round(1.0 / timestep) + 1
    expected = spectrum(k, timestep, n_lags, n_steps + 1, GRID)
    assert np.abs(found - expected).max() < 1e-10 * expected.max()

    angle = phase(k, timestep)
    cos = np.cos(angle / 2)
    fine = wavenumber + np.arange(-20, 20, 0.02)
    line = infrared(wavenumbers=fine)(run(wavenumber, timestep, n_steps)).mean(0).numpy()
    assert abs(fine[line.argmax()] - wavenumber) < 0.002 * ir.resolution
    assert np.ptp(fine[line > 0.5 * line.max()]) == pytest.approx(ir.resolution * cos, abs=0.1)

    ratio = area(found) / AREA
    assert ratio == pytest.approx(0.5 * (cos + 1 / cos), abs=1e-4)
    assert ratio == pytest.approx(1 + angle**4 / 128, abs=1e-4 + angle**6 / 400)


def test_the_intensity_converges_with_the_fourth_power_of_the_timestep():
    left = [area(infrared()(run(3500.0, dt, round(8 / dt))).mean(0).numpy()) / AREA - 1 for dt in (0.0005, 0.001)]
    assert left == pytest.approx([9.5e-5, 1.65e-3], rel=0.02)
    assert left[1] / left[0] == pytest.approx(16, rel=0.15)  # 16 and terms of sixth order


def test_without_its_correction_leapfrog_is_16_wavenumbers_off():
    path = run(3500.0, 0.0005, 4000)
    flux = CHARGE * (path.velocities[:, :, 0] - path.velocities[:, :, 1])
    c = og.VACF(max_lag=1.0, remove_com=False, origins="all")(replace(
        path, positions=None, velocities=flux[:, :, None], masses=[1.0])).mean(0).numpy()
    fine = np.arange(3490.0, 3530.0, 0.01)
    plain = c @ transform(len(c), 0.0005, angular(fine), "hann")
    assert fine[plain.argmax()] == pytest.approx(3516.0, abs=0.1)
    assert float(shifted(angular(3500.0), 0.0005) / angular(1.0)) == pytest.approx(3516.04, abs=0.01)


def test_intensities_by_how_frames_were_made_and_which_times_count():
    """Relative area: of frames exactly canonical, of frames that LangevinMiddle made in the same steps, of first times.

    With s = sin^2(w_d dt/2): 1 + s^2/2 + ..., sqrt(1 - s), and (1 + s) sqrt(1 - s) beside a dispersive part of s^2.
    """
    k, dt = constant_of(3500.0), 0.0005
    cos = np.cos(phase(k, dt) / 2)
    cases = ((two_frames(k), {}, (cos + 1 / cos) / 2, 3e-5),
             (two_frames(k, on_step=cos**2), {}, cos, 3e-5),
             (two_frames(k), {"origins": "first"}, (2 - cos**2) * cos, 3 * (1 - cos**2) ** 2))
    for frames, options, expected, within in cases:
        ratio = area(infrared(**options)(run(3500.0, dt, 8000, frames)).mean(0).numpy()) / AREA
        assert ratio == pytest.approx(expected, abs=within), options


def test_on_step_velocities_give_the_same_spectrum():
    """They are half-step ones times cos(w_d dt/2), which is taken out."""
    path = run(3500.0, 0.0005, 4000)
    on_step = replace(path, positions=None, velocities=path.on_step_velocities(), times=path.times[:-1],
                      half_step=False)
    for observable in (infrared(), og.VibrationalDensityOfStates(None, GRID, 1.0)):
        half, on = observable(path).mean(0).numpy(), observable(on_step).mean(0).numpy()
        assert np.abs(on - half).max() < 2e-3 * half.max()
        assert area(on) == pytest.approx(area(half), rel=3e-4)


def test_a_periodic_box_gives_the_volume():
    path = run(1000.0, 0.001, 1000)
    boxed = replace(path, boxes=np.array([[2.0, 0, 0], [0.5, 1.5, 0], [0.1, 0.2, 0.8]]))
    alone = infrared(max_lag=0.5)(path)
    assert torch.allclose(infrared(max_lag=0.5, volume=None)(boxed) * 2.0 * 1.5 * 0.8, alone * VOLUME, rtol=1e-12)


# ------------------------------------------------------------------ two routes

def test_both_routes_are_one_series_for_point_charges():
    path = run(3500.0, 0.0005, 1200)
    later = replace(path, positions=None, velocities=path.velocities[:, 1:], times=path.times[:-1])
    by_flux, by_dipole = infrared(max_lag=0.4)(later), infrared(max_lag=0.4, route="dipole")(path)
    assert torch.allclose(by_dipole, by_flux, rtol=0, atol=1e-9 * float(by_flux.max()))


@pytest.mark.parametrize("route", ["flux", "dipole"])
def test_every_fourth_step_is_enough(route):
    """1600 1/cm 2 fs apart; differences of the dipole over 2 fs lose 3 % there, and 13 % at 3500, put back."""
    for wavenumber in (1600.0, 3500.0):
        every = area(infrared(route=route)(run(wavenumber, 0.0005, 8000)).mean(0).numpy())
        path = run(wavenumber, 0.0005, 8000, stride=4)
        values = infrared(route=route)(path).mean(0).numpy()
        assert area(values) == pytest.approx(every, rel=1e-3)
        assert GRID[values.argmax()] == wavenumber
        if route == "dipole":
            moment = path.positions[:, :, :1] - path.positions[:, :, 1:]
            raw = (moment[:, 1:] - moment[:, :-1]) / path.interval
            uncorrected = infrared()(replace(path, positions=None, velocities=torch.cat([raw, 0 * raw], 2),
                                             times=path.times[:-1])).mean(0).numpy()
            lost = np.sinc(shifted(angular(wavenumber), 0.0005) * 0.002 / 2 / np.pi) ** 2
            assert uncorrected.max() / values.max() == pytest.approx(lost, rel=0.01)


def tumbling(timestep, duration=0.4):
    """One stiff bond that turns and stretches."""
    frames = frames_of(constant_of(1500.0), [0.01], [0.0])
    frames.velocities[0, 0] += [0.0, 3.0, -1.0]
    path = run(1500.0, timestep, round(duration / timestep), frames)
    return path


def crooked(x):
    """M = q r (1 + 4 (|r| - r0)/r0)."""
    bond = x[..., 0, :] - x[..., 1, :]
    return CHARGE * bond * (1 + 4 * (bond.norm(dim=-1, keepdim=True) / 0.1 - 1))


def test_a_torch_function_of_point_charges_is_point_charges():
    path = tumbling(0.0005)
    dipole = og.TorchDipole(lambda x: CHARGE * (x[..., 0, :] - x[..., 1, :]))
    for route in ("flux", "dipole"):
        expected = infrared(max_lag=0.2, route=route)(path)
        assert torch.allclose(infrared(dipole, max_lag=0.2, route=route)(path), expected, rtol=1e-10)
    assert infrared(dipole).route == "dipole"
    assert torch.allclose(dipole.flux(path.positions, path.velocities), DIPOLE.flux(None, path.velocities))


def test_routes_of_a_nonlinear_dipole_agree_to_second_order():
    dipole, apart, options = og.TorchDipole(crooked), [], {"max_lag": 0.2, "wavenumbers": np.arange(0.0, 4001.0, 10.0)}
    for dt in (0.0005, 0.001, 0.002):
        path = tumbling(dt)
        later = replace(path, positions=path.positions[:, 1:], velocities=path.velocities[:, 1:], times=path.times[:-1])
        by_flux = infrared(dipole, route="flux", **options)(later)
        assert not by_flux.requires_grad
        apart.append(float((infrared(dipole, **options)(path) - by_flux).abs().max() / by_flux.max()))
    assert apart[0] < 2e-4
    assert apart[1] / apart[0] == pytest.approx(4, rel=0.05)
    assert apart[2] / apart[1] == pytest.approx(4, rel=0.05)


def test_flux_of_a_nonlinear_dipole_is_its_rate_of_change():
    rng = np.random.default_rng(0)
    x, v = (torch.as_tensor(rng.normal(size=(2, 5, 2, 3))) for _ in range(2))
    dipole, h = og.TorchDipole(crooked), 1e-6
    rate = (dipole.dipole(x + h * v) - dipole.dipole(x - h * v)) / (2 * h)
    assert torch.allclose(dipole.flux(x, v), rate, rtol=1e-7)


# ------------------------------------------------------------------ quantum corrections

def test_quantum_corrections_have_their_closed_forms():
    """Ratios to the harmonic one: (1 - e^-x)/x, 2 sinh(x/2)/x, 2 tanh(x/2)/x, with x = (hc/k) nu/T."""
    nu = np.array([1.0, 100.0, 1000.0, 3500.0])
    x = 1.438776877 * nu / 300.0  # hc/k, cm K
    factor = {name: harmonic_factor(name, angular(nu), 300.0)
              for name in ("harmonic", "classical", "schofield", "standard")}
    assert factor["harmonic"].tolist() == [1.0] * 4
    assert factor["classical"] == pytest.approx((1 - np.exp(-x)) / x, rel=1e-7)
    assert factor["schofield"] == pytest.approx(2 * np.sinh(x / 2) / x, rel=1e-6)
    assert factor["standard"] == pytest.approx(2 * np.tanh(x / 2) / x, rel=1e-7)
    # by hand, x = 4.79592 at 1000 1/cm: (1 - 0.00826322)/4.79592, 2*5.4547/4.79592, 2*0.98361/4.79592
    by_hand = {"classical": 0.206788, "schofield": 2.27484, "standard": 0.410186}
    for name, value in by_hand.items():
        assert factor[name][2] == pytest.approx(value, rel=1e-4)
        assert factor[name][0] == pytest.approx(1, abs=3e-3)
        assert harmonic_factor(name, np.zeros(1), 300.0)[0] == pytest.approx(1, abs=1e-9)
        assert harmonic_factor(name, angular(nu), 1e9) == pytest.approx(np.ones(4), abs=1e-5)
    # detailed balance: Q(-w) = exp(-x) Q(w), with Q = factor x/(1 - exp(-x))
    for q in (lambda x: x / -np.expm1(-x), lambda x: np.exp(x / 2), lambda x: 2 / (1 + np.exp(-x))):
        assert q(-x) == pytest.approx(np.exp(-x) * q(x), rel=1e-12)


def test_spectra_are_multiplied_by_the_correction():
    path = run(1600.0, 0.001, 500)
    plain = infrared(max_lag=0.3)(path)
    for name in ("harmonic", "classical", "schofield", "standard"):
        for route in ("flux", "dipole"):
            found = infrared(max_lag=0.3, correction=name, route=route)(path)
            base = plain if route == "flux" else infrared(max_lag=0.3, route=route)(path)
            assert torch.allclose(found, base * torch.as_tensor(harmonic_factor(name, angular(GRID), TEMPERATURE)))
    hot = infrared(max_lag=0.3, correction="classical", temperature=2 * TEMPERATURE)(path)
    assert torch.allclose(hot, plain / 2 * torch.as_tensor(harmonic_factor("classical", angular(GRID), 600.0)))


# ------------------------------------------------------------------ resolution

def gaussian(nu, centre, sigma):
    return np.exp(-0.5 * ((nu - centre) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)


def test_a_gaussian_line_seen_through_a_gaussian_window():
    """Variances add: that of the line and that of the window, whose standard deviation in time is max_lag/3."""
    ir = infrared(window="gaussian", max_lag=0.6)
    nu = np.arange(0.0, 7000.0, 1.0)
    of_window = 3 / 0.6 / (2 * np.pi * SPEED)
    for centre, sigma in ((1600.0, 40.0), (3400.0, 90.0)):
        seen = ir.seen(nu, 5.0 * gaussian(nu, centre, sigma))
        expected = 5.0 * gaussian(GRID, centre, np.hypot(sigma, of_window))
        # what the window cuts off at max_lag
        left = np.exp(-4.5 - 0.5 * (2 * np.pi * SPEED * sigma * 0.6) ** 2)
        assert np.abs(seen - expected).max() < (1e-6 + 2 * left) * expected.max()
        assert area(seen) == pytest.approx(5.0, rel=1e-4)
    assert ir.resolution == pytest.approx(2.3548 * of_window, rel=0.03)  # a pure Gaussian's, not cut off


def test_a_lorentzian_line_keeps_its_area():
    """exp(-t/tau) times the window: against the integral done by quadrature."""
    ir, width = infrared(max_lag=0.5, wavenumbers=np.arange(0.0, 4001.0, 10.0)), 30.0  # half width, 1/cm
    nu = np.arange(0.0, 12000.0, 3.0)
    lorentzian = sum(width / np.pi / ((nu - c) ** 2 + width**2) for c in (1800.0, -1800.0))
    seen = ir.seen(nu, lorentzian)
    t = np.linspace(0, 0.5, 20001)
    decay = 2 * np.cos(2 * np.pi * SPEED * 1800.0 * t) * np.exp(-2 * np.pi * SPEED * width * t)
    expected = 2 * SPEED * np.trapezoid(decay * np.cos(np.pi * t) ** 2 * np.cos(np.outer(angular(ir.grid), t)), t)
    assert np.abs(seen - expected).max() < 2e-3 * expected.max()
    assert area(seen, ir.grid) == pytest.approx(area(lorentzian[nu <= 4000], nu[nu <= 4000]), rel=2e-3)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("correction", ["harmonic", "standard"])
def test_a_sharp_line_gets_the_resolution_as_its_width(window, correction):
    nu = np.arange(1960.0, 2040.01, 0.5)
    line = np.maximum(0.0, 1 - np.abs(nu - 2000.0))
    nu, line = np.concatenate([[0.0], nu, [5000.0]]), np.concatenate([[0.0], line, [0.0]])
    fine = np.arange(1900.0, 2100.0, 0.05)
    ir = infrared(window=window, wavenumbers=fine, correction=correction, temperature=TEMPERATURE)
    seen = ir.seen(nu, line)
    width = np.ptp(fine[seen > 0.5 * seen.max()])
    assert width == pytest.approx(ir.resolution, abs=0.15 if correction == "harmonic" else 0.3)
    assert fine[seen.argmax()] == pytest.approx(2000.0, abs=0.1 if correction == "harmonic" else 0.5)


def test_seen_is_what_the_observable_makes_of_the_same_lines():
    """200 harmonic dipoles of a known distribution, in leapfrog, against `seen` of that distribution."""
    rng = np.random.default_rng(1)
    dt, n_times = 0.001, 1200
    lines = np.concatenate([rng.normal(1600.0, 25.0, 100), rng.normal(3300.0, 60.0, 100)])
    theta = shifted(angular(lines), dt) * dt
    angle = theta * (np.arange(n_times)[:, None])
    cos = np.cos(theta / 2)
    amplitude = np.sqrt(KT / MU * (1 + 1 / cos**2) / 2)
    v = torch.as_tensor(np.stack([np.cos(angle), np.sin(angle)], -1) * amplitude[:, None])  # two of three components
    v = torch.cat([v, torch.zeros_like(v[..., :1])], -1).movedim(1, 0)[:, :, None]  # [S, T, 1, 3]
    path = og.Path(None, v, times=dt * np.arange(n_times), timestep=dt, masses=[1.0], temperature=TEMPERATURE)
    ir = infrared(og.PointCharges([CHARGE]), np.arange(0.0, 4001.0, 5.0), 0.6)
    found = ir(path).mean(0).numpy()
    nu = np.arange(0.0, 5000.0, 0.5)
    seen = ir.seen(nu, AREA * sum(gaussian(nu, line, 1.0) for line in lines) / 200)
    assert np.abs(found - seen).max() < 0.01 * seen.max()
