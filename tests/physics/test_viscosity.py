# SPDX-License-Identifier: MIT
"""Viscosity: series whose integral is known, the plateau, the weights of the whole tensor, units, refusals."""

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

import openmmgrad as og
from openmmgrad import units

DT, TAU, VARIANCE, KT = 0.02, 0.3, 500.0, units.KB * 300.0
VOLUME = 8.0


def path_of(pressure, **changes):
    settings = dict(times=DT * np.arange(pressure.shape[1]), timestep=DT, masses=[1.0], boxes=2 * np.eye(3),
                    temperature=300.0, half_step=False) | changes
    return og.Path(None, None, observed=torch.as_tensor(pressure), **settings)


def ornstein_uhlenbeck(n_windows, n_times, n_components, seed):
    """Stationary series of variance VARIANCE whose correlation decays as exp(-t/TAU): [S, T, C]."""
    rng = np.random.default_rng(seed)
    decay = np.exp(-DT / TAU)
    x = np.sqrt(VARIANCE) * rng.normal(size=(n_windows, n_times, n_components))
    x[:, 1:] *= np.sqrt(1 - decay**2)
    return lfilter([1.0], [1.0, -decay], x, axis=1)


def known(t_max):
    """The trapezoidal integral, Pa s: V/kT VARIANCE sum, in 1.66053906717e-6 Pa s = 1 kJ/mol/nm^3 ps."""
    C = VARIANCE * np.exp(-np.arange(0, t_max + DT / 2, DT) / TAU)
    return VOLUME / KT * np.trapezoid(C, dx=DT) * 1.66053906717e-6


@pytest.mark.parametrize("origins", ["all", "first"])
def test_a_series_of_known_correlation_has_its_known_integral(origins):
    windows, n_times = (100, 2000) if origins == "all" else (6000, 101)
    path = path_of(ornstein_uhlenbeck(windows, n_times, 3, 1))
    values = og.Viscosity(t_max=2.0, origins=origins)(path)[:, 0].numpy()
    error = values.std(ddof=1) / np.sqrt(windows)
    assert error < 0.03 * known(2.0)
    assert abs(values.mean() - known(2.0)) < 3 * error


def test_the_running_integral_ends_in_its_plateau():
    path = path_of(ornstein_uhlenbeck(60, 1000, 3, 2))
    viscosity = og.Viscosity(t_max=2.0)
    running = viscosity.running(path).numpy()
    assert running.shape == (60, 101) and viscosity.lags[-1] == pytest.approx(2.0)
    assert running[:, -1:] == pytest.approx(viscosity(path).numpy())
    error = running.std(0, ddof=1) / np.sqrt(60)
    expected = [known(t) if t > 0 else 0.0 for t in viscosity.lags]
    assert np.abs(running.mean(0) - expected)[1:].max() < 3.5 * error.max()
    assert known(1.5) == pytest.approx(known(2.0), rel=0.01)


def isotropic(n_windows, n_times, seed):
    """Independent traceless symmetric tensors in the proportions of an isotropic liquid, and an unrelated trace."""
    shear = ornstein_uhlenbeck(n_windows, n_times, 3, seed)
    two = ornstein_uhlenbeck(n_windows, n_times, 2, seed + 1)
    # (xx - yy)/2 and (2 zz - xx - yy)/(2 sqrt 3) have the variance of xy
    xx_yy, rest = 2 * two[..., 0], 2 * np.sqrt(3) * two[..., 1]
    zz = rest / 3
    diagonal = np.stack([(xx_yy - zz) / 2, (-xx_yy - zz) / 2, zz], -1)
    pressure = 3000.0 + 900.0 * np.random.default_rng(seed + 2).normal(size=(n_windows, n_times, 1))
    return np.concatenate([shear, diagonal + pressure], -1)


def test_the_whole_tensor_has_the_same_mean_and_less_noise():
    values = {}
    tensor = isotropic(4000, 101, 5)
    viscosity = og.Viscosity(t_max=2.0, origins="first")
    for n in (3, 6):
        values[n] = viscosity(path_of(tensor[..., :n]))[:, 0].numpy()
    errors = {n: v.std(ddof=1) / np.sqrt(4000) for n, v in values.items()}
    assert abs(values[6].mean() - known(2.0)) < 3 * errors[6]
    assert errors[6] / errors[3] == pytest.approx(np.sqrt(3 / 5), rel=0.06)  # their own errors are 1 % each


def test_it_is_v_over_kt_times_the_integral_in_si():
    """By hand: 1 GPa^2 for 1 ps in 1 nm^3 at 300 K is 1e18 * 1e-12 * 1e-27/(k T) Pa s."""
    gigapascal = 1e4 * units.BAR
    pressure = np.full((1, 201, 3), gigapascal)
    path = path_of(pressure, boxes=np.eye(3), times=0.01 * np.arange(201), timestep=0.01)
    assert og.Viscosity(t_max=1.0)(path).item() == pytest.approx(1e18 * 1e-12 * 1e-27 / (1.380649e-23 * 300), rel=1e-9)


def test_both_sides_of_a_window_count():
    pressure = torch.as_tensor(ornstein_uhlenbeck(5, 41, 6, 9))
    both = path_of(pressure, times=DT * np.arange(-20, 21))
    one = og.Viscosity(t_max=0.4, origins="first")
    sides = [path_of(pressure[:, 20:].clone()), path_of(pressure[:, :21].flip(1).clone())]
    assert one(both).numpy() == pytest.approx(sum(one(side) for side in sides).numpy() / 2)


def test_bad_input_is_refused():
    pressure = np.zeros((1, 11, 3))
    viscosity = og.Viscosity(t_max=0.1)
    with pytest.raises(TypeError, match="expected a Path, found ndarray"):
        viscosity(pressure)
    with pytest.raises(ValueError, match=r"observed is the pressure.*found \[1, 11, 4\]"):
        viscosity(path_of(np.zeros((1, 11, 4))))
    with pytest.raises(ValueError, match="no temperature"):
        viscosity(path_of(pressure, temperature=None))
    with pytest.raises(ValueError, match="no box"):
        viscosity(path_of(pressure, boxes=None))
    with pytest.raises(ValueError, match="t_max = 0.11 ps is between the stored times"):
        og.Viscosity(t_max=0.11)(path_of(pressure))
    with pytest.raises(ValueError, match="t_max = 1 ps needs longer windows"):
        og.Viscosity(t_max=1.0)(path_of(pressure))
    with pytest.raises(ValueError, match="at least one interval"):
        og.Viscosity(t_max=0.0)(path_of(pressure))
