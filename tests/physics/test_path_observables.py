# SPDX-License-Identifier: MIT
"""Velocity correlations and diffusion of trajectories whose answers are known: exactly, or within their errors."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from openmmgrad.estimate import expectation
from openmmgrad.observables import MSD, VACF, SelfDiffusion, finite_size_correction
from openmmgrad.path import Path
from openmmgrad.units import KB
from openmmgrad.weights import Weights

T, M = 94.4, 39.948
THERMAL = KB * T / M  # <v_x^2>, nm^2/ps^2
TIMED = [VACF, MSD]


def path_of(x, v, dt, **more):
    x, v = (None if a is None else torch.as_tensor(np.asarray(a)) for a in (x, v))
    given = v if x is None else x
    more = {"masses": np.full(given.shape[2], M), "times": dt * np.arange(given.shape[1]), "temperature": T} | more
    return Path(x, v, timestep=dt, **more)


def mean_of(observable, path):
    """Average over windows, and how many standard errors a value is from it."""
    estimate = expectation(observable(path), Weights.uniform(len(path)), observable=observable)
    return estimate.mean_values, estimate.stderr


def ideal_gas(rng, n_windows=400, n_atoms=10, n_times=4, dt=0.5):
    v = rng.normal(size=(n_windows, 1, n_atoms, 3)) * np.sqrt(THERMAL)
    t = dt * np.arange(n_times)[:, None, None]
    return path_of(rng.random(v.shape) * 3 + v * t, np.repeat(v, n_times, axis=1), dt)


def langevin(rng, gamma, dt, n_windows, n_times, n_atoms):
    """Free particles with friction: x and v of every time drawn from their exact joint distribution."""
    decay = np.exp(-gamma * dt)
    vv, xv = THERMAL * (1 - decay**2), THERMAL * (1 - decay) ** 2 / gamma
    xx = THERMAL / gamma**2 * (2 * gamma * dt - 3 + 4 * decay - decay**2)
    factor = np.linalg.cholesky(np.array([[vv, xv], [xv, xx]]))
    x, v = np.zeros((2, n_windows, n_times, n_atoms, 3))
    v[:, 0] = rng.normal(size=v[:, 0].shape) * np.sqrt(THERMAL)
    for t in range(1, n_times):
        noise = np.tensordot(factor, rng.normal(size=(2, *v[:, 0].shape)), axes=1)
        x[:, t] = x[:, t - 1] + (1 - decay) / gamma * v[:, t - 1] + noise[1]
        v[:, t] = decay * v[:, t - 1] + noise[0]
    return path_of(x, v, dt, half_step=False)


@pytest.mark.parametrize("origins", ["first", "all"])
def test_an_ideal_gas_keeps_its_velocities(origins):
    path = ideal_gas(np.random.default_rng(0))
    vacf, msd = VACF(origins=origins), MSD(origins=origins)
    c, d = vacf(path).numpy(), msd(path).numpy()
    assert np.ptp(c, axis=1).max() < 1e-12
    assert d == pytest.approx(c[:, :1] * msd.grid**2, rel=1e-9, abs=1e-12)
    mean, stderr = mean_of(vacf, path)
    expected = 3 * THERMAL * (1 - 1 / path.n_atoms)  # three of its 3N degrees of freedom are the centre's
    assert stderr[0] < 0.015 * expected
    assert abs(mean[0] - expected) < 4 * stderr[0]
    assert SelfDiffusion(t_max=1.0)(path).numpy()[:, 0] == pytest.approx(c[:, 0] * 1.0 / 3 * 1e-6, rel=1e-9)


@pytest.mark.parametrize("remove_com", [True, False])
def test_the_centre_of_mass_left_in_adds_its_own_motion(remove_com):
    mean, stderr = mean_of(VACF(remove_com=remove_com), ideal_gas(np.random.default_rng(1)))
    expected = 3 * THERMAL * (1 - (1 / 10 if remove_com else 0))
    assert abs(mean[0] - expected) < 4 * stderr[0]
    assert stderr[0] < 3 * THERMAL / 10 / 4  # the two cases can be told apart


@pytest.fixture(scope="module")
def friction():
    gamma, dt = 4.0, 0.025
    return gamma, dt, langevin(np.random.default_rng(2), gamma, dt, n_windows=60, n_times=161, n_atoms=60)


@pytest.mark.parametrize("origins", ["first", "all"])
def test_friction_makes_the_correlation_decay(friction, origins):
    gamma, _, path = friction
    vacf = VACF(origins=origins, max_lag=1.0)
    mean, stderr = mean_of(vacf, path)
    expected = 3 * THERMAL * (1 - 1 / 60) * np.exp(-gamma * vacf.grid)
    assert np.abs((mean - expected) / stderr).max() < 4
    assert stderr.max() < 0.03 * expected[0]


@pytest.mark.parametrize("origins", ["first", "all"])
def test_the_displacement_grows_from_ballistic_to_diffusive(friction, origins):
    gamma, _, path = friction
    msd = MSD(origins=origins)
    mean, stderr = mean_of(msd, path)
    expected = 6 * THERMAL * (1 - 1 / 60) / gamma * (msd.grid - (1 - np.exp(-gamma * msd.grid)) / gamma)
    assert np.abs((mean - expected)[1:] / stderr[1:]).max() < 4
    assert mean[0] == 0


@pytest.mark.parametrize(("limits", "within"), [
    ({"route": "green-kubo", "t_max": 2.0, "origins": "first"}, 0.07),
    ({"route": "green-kubo", "t_max": 2.0, "origins": "all"}, 0.03),
    ({"route": "einstein", "t_min": 2.0, "t_max": 4.0, "origins": "first"}, 0.04),
    ({"route": "einstein", "t_min": 2.0, "t_max": 4.0, "origins": "all"}, 0.04),
], ids=["green-kubo", "green-kubo-all", "einstein", "einstein-all"])
def test_both_routes_give_kT_over_m_gamma(friction, limits, within):
    gamma, dt, path = friction
    mean, stderr = mean_of(SelfDiffusion(**limits), path)
    expected = 1e-6 * THERMAL / gamma * (1 - 1 / 60)
    if limits["route"] == "green-kubo":  # of the trapezoidal rule: 0.1 % more than the integral
        expected *= gamma * dt / 2 / np.tanh(gamma * dt / 2)
    assert stderr[0] < within * expected
    assert abs(mean[0] - expected) < 4 * stderr[0] + 4e-4 * expected  # exp(-8) is beyond the limits


def test_species_have_their_own_speed_and_mass_weighs_them():
    rng = np.random.default_rng(3)
    masses = np.array([40.0] * 10 + [4.0] * 20 + [0.0] * 5)
    v = rng.normal(size=(2000, 2, 35, 3)) * np.sqrt(KB * T / np.where(masses > 0, masses, np.inf))[:, None]
    v[:, :, masses == 0] = 9.0  # virtual sites do not count
    path = path_of(None, v, 0.1, masses=masses)
    light = np.arange(10, 30)
    for selection, per, mass in ((light, "atom", 4.0), (range(10), "atom", 40.0), (None, "mass", 480 / 30)):
        mean, stderr = mean_of(VACF(None if selection is None else list(selection), per=per), path)
        expected = 3 * KB * T * (1 / mass - 1 / masses.sum())
        assert abs(mean[0] - expected) < 4 * stderr[0]
        assert stderr[0] < 0.01 * expected


def oscillators(dt=0.004, n_times=400, omega=60.0):
    """Leapfrog from on-step x, v with exactly the second moments of temperature T: two particles per component."""
    sx, sv = np.sqrt(2 * THERMAL) / omega, np.sqrt(2 * THERMAL)
    x = np.array([[sx, sx, sx], [0.0, 0.0, 0.0]])
    v = np.array([[0.0, 0.0, 0.0], [sv, sv, sv]]) + dt / 2 * omega**2 * x
    xs, vs = [], []
    for _ in range(n_times):
        xs.append(x)
        vs.append(v)
        v = v - dt * omega**2 * x
        x = x + dt * v
    return path_of([xs], [vs], dt), omega


def test_half_step_velocities_of_a_stiff_mode():
    """C(0) is 3 kT/m (1 + q), q = (omega dt/2)^2; the frequency is leapfrog's."""
    path, omega = oscillators()
    dt = path.timestep
    q = (omega * dt / 2) ** 2
    vacf = VACF(remove_com=False)
    c = vacf(path)[0].numpy() / (3 * THERMAL)
    phase = 2 * np.arcsin(omega * dt / 2) * np.arange(len(c))
    expected = (1 + q) * np.cos(phase) + 2 * q**2 / np.sin(phase[1]) * np.sin(phase)
    assert c == pytest.approx(expected, abs=1e-10)
    v = path.on_step_velocities()
    assert float((v[0, 0] ** 2).sum(-1).mean()) == pytest.approx(3 * THERMAL, rel=1e-12)


def test_both_routes_are_of_one_curve_for_leapfrog():
    """Second differences of the MSD are 2 dt^2 C; of two oscillators a quarter period apart, for every origin."""
    dt, n = 0.01, 200
    angle = 0.3 * np.arange(n + 1)[:, None] + np.array([0.0, np.pi / 2])
    x = np.zeros((n + 1, 2, 3))
    x[:, :, 0] = np.cos(angle)
    path = path_of([x[1:]], [np.diff(x, axis=0) / dt], dt)
    msd, c = (f(remove_com=False)(path)[0] for f in (MSD, VACF))
    assert torch.allclose((msd[2:] - 2 * msd[1:-1] + msd[:-2]) / (2 * dt**2), c[1:-1], atol=1e-9)


def noise_path(seed=4, n_windows=2, n_times=9, n_atoms=5, origin=0, **more):
    rng = np.random.default_rng(seed)
    x, v = rng.normal(size=(2, n_windows, n_times, n_atoms, 3))
    return path_of(x, v, 0.1, times=0.1 * (np.arange(n_times) - origin), masses=rng.uniform(1, 9, n_atoms), **more)


def direct(path, kind, atoms, weights, origins):
    """Sums over origins and atoms, written out."""
    x = (path.velocities if kind is VACF else path.positions).numpy()
    u = x - np.einsum("n,stni->sti", path.masses / path.masses.sum(), x)[:, :, None]
    rows = []
    for s in range(len(path)):
        starts = range(len(path.times)) if origins == "all" else [path.origin]
        lags = [[] for _ in path.times]
        for a in starts:
            for b in range(len(path.times)):
                if b >= a or path.origin > 0:
                    value = (u[s, a] * u[s, b]).sum(-1) if kind is VACF else ((u[s, b] - u[s, a]) ** 2).sum(-1)
                    lags[abs(b - a)].append(weights @ value[atoms])
        rows.append([np.mean(lag) for lag in lags if lag])
    return np.array(rows)


@pytest.mark.parametrize("kind", TIMED)
@pytest.mark.parametrize(("origins", "origin"), [("first", 0), ("all", 0), ("first", 4)],
                         ids=["first", "all", "two-sided"])
def test_sums_written_out_agree(kind, origins, origin):
    path, atoms = noise_path(origin=origin), [0, 2, 3]
    expected = direct(path, kind, atoms, np.full(3, 1 / 3), origins)
    assert kind(atoms, origins=origins)(path).numpy() == pytest.approx(expected, rel=1e-10, abs=1e-13)
    if kind is VACF:
        shares = path.masses[atoms] / path.masses[atoms].sum()
        expected = direct(path, kind, atoms, shares, origins)
        assert VACF(atoms, per="mass", origins=origins)(path).numpy() == pytest.approx(expected, rel=1e-10, abs=1e-13)


EVERY_KIND = [VACF(origins="first"), VACF(origins="all"), MSD(origins="first"), MSD(origins="all"),
              VACF([1, 2], per="mass", normalize=True), SelfDiffusion(), SelfDiffusion(origins="all"),
              SelfDiffusion([0, 3], "einstein", t_min=0.1), SelfDiffusion(route="einstein", t_min=0.1, origins="all")]
NAMES = [f"{type(o).__name__}-{k}" for k, o in enumerate(EVERY_KIND)]


@pytest.mark.parametrize("observable", EVERY_KIND, ids=NAMES)
def test_motion_of_the_whole_changes_nothing(observable):
    path = noise_path()
    drift = torch.as_tensor(np.random.default_rng(5).normal(size=(2, 2, len(path.times), 1, 3)) * 3)
    moved = path_of(path.positions + drift[0], path.velocities + drift[1], 0.1, masses=path.masses)
    assert torch.allclose(observable(path), observable(moved), rtol=1e-9, atol=1e-17)


@pytest.mark.parametrize("kind", TIMED)
def test_many_atoms_are_transformed_in_pieces(kind, monkeypatch):
    results = []
    for size in (2**22, 100):  # all five atoms, and one at a time
        monkeypatch.setattr("openmmgrad.observables.windows._CHUNK", size)
        path = noise_path()
        x = (path.velocities if kind is VACF else path.positions).requires_grad_()
        values = kind(origins="all")(path)
        results += [values.detach(), torch.autograd.grad(values.pow(2).sum(), x)[0]]
    assert torch.allclose(results[0], results[2], rtol=1e-12, atol=1e-14)
    assert torch.allclose(results[1], results[3], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("observable", EVERY_KIND, ids=NAMES)
@pytest.mark.parametrize("origin", [0, 2], ids=["one-sided", "two-sided"])
def test_gradients_are_those_of_differences(observable, origin):
    path = noise_path(n_windows=1, n_times=5, n_atoms=4, origin=origin)
    scale = 1e6 if isinstance(observable, SelfDiffusion) else 1.0  # from m^2/s
    assert torch.autograd.gradcheck(
        lambda x, v: scale * observable(replace(path, positions=x, velocities=v)),
        (path.positions.clone().requires_grad_(), path.velocities.clone().requires_grad_()))


def test_finite_size_by_hand():
    """2.837297 * 1.380649e-23 * 298.15 / (6 pi * 0.89e-3 * 1.86e-9) = 1.167938e-20 / 3.120360e-11 = 3.74295e-10."""
    assert finite_size_correction(0.89e-3, 298.15, 1.86) == pytest.approx(3.74295e-10, rel=2e-5)
    path = noise_path(boxes=1.86 * np.eye(3))
    path.temperature = 298.15
    added = SelfDiffusion(viscosity=0.89e-3)(path) - SelfDiffusion()(path)
    assert added.numpy() == pytest.approx(np.full((2, 1), 3.74295e-10), rel=2e-5)


def test_averages_keep_the_graph_to_weights_and_path():
    path = noise_path(n_windows=4)
    v, logits = path.velocities.requires_grad_(), torch.zeros(4, dtype=torch.float64, requires_grad=True)
    vacf = VACF(max_lag=0.5)
    estimate = expectation(vacf(path), Weights(torch.softmax(logits, 0)), observable=vacf)
    assert estimate.grid == pytest.approx(0.1 * np.arange(6))
    assert (estimate.unit, estimate.name) == ("nm^2/ps^2", "C(t)")
    estimate.mean.sum().backward()
    assert float(v.grad.abs().sum()) > 0
    assert float(logits.grad.abs().sum()) > 0
