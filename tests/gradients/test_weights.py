# SPDX-License-Identifier: MIT
"""Weights of stored frames: identities on the same frames, and closed forms of harmonic oscillators."""

import logging

import numpy as np
import pytest
import torch

from openmmgrad.estimate import expectation
from openmmgrad.frames import Frames, State
from openmmgrad.units import KB
from openmmgrad.weights import Weights, free_energies, weights

TEMPERATURE = 300.0
BETA = 1.0 / (KB * TEMPERATURE)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def frames_with(features, states, state_index=None, boxes=None):
    positions = np.zeros((len(features), 1, 3))
    return Frames(positions, states, state_index=state_index, features=features, boxes=boxes)


def harmonic_frames(rng, constants, n_each):
    """x of harmonic oscillators U = c x^2/2, sampled exactly; the feature is x^2/2."""
    x = np.concatenate([rng.normal(scale=1 / np.sqrt(BETA * c), size=n_each) for c in constants])
    states = [State([c], TEMPERATURE) for c in constants]
    index = np.repeat(np.arange(len(constants)), n_each)
    return x, frames_with(x[:, None] ** 2 / 2, states, index)


class Quadratic(torch.nn.Module):
    """A model of two coefficients that depend on one parameter: c = (theta, theta^2)."""

    reevaluates = False

    def __init__(self, theta):
        super().__init__()
        self.theta = torch.nn.Parameter(tensor(theta))

    def coefficients(self, temperature):
        return torch.stack([self.theta, self.theta**2])


class Squared:
    """A model that is not linear in coefficients: U = theta^2 x^2/2, from the frames' positions."""

    reevaluates = True

    def __init__(self, theta):
        self.theta = theta

    def coefficients(self, temperature):
        raise AssertionError("a model that re-evaluates is not asked for coefficients")

    def energies(self, frames):
        return 0.5 * self.theta**2 * torch.as_tensor(frames.positions[:, 0, 0] ** 2)


def test_unchanged_parameters_give_equal_weights_and_all_frames():
    rng = np.random.default_rng(0)
    c = rng.normal(size=5)
    w = weights(tensor(c), frames_with(rng.normal(size=(40, 5)), State(c, TEMPERATURE)))
    assert torch.equal(w.w, torch.full((40,), 1 / 40, dtype=torch.float64))
    assert w.n_eff == pytest.approx(40.0, abs=1e-10)


def test_gradient_of_an_average_is_minus_beta_times_the_covariance_with_the_features():
    rng = np.random.default_rng(1)
    features, values = rng.normal(size=(60, 4)), tensor(rng.normal(size=(60, 3)))
    c = tensor(rng.normal(size=4)).requires_grad_()
    w = weights(c, frames_with(features, State(c.detach().numpy() + 0.3 * rng.normal(size=4), TEMPERATURE)))
    means = expectation(values, w).mean
    jacobian = torch.stack([torch.autograd.grad(mean, c, retain_graph=True)[0] for mean in means])
    p, phi = w.w.detach(), tensor(features)
    covariance = torch.einsum("s,sb,sk->bk", p, values - p @ values, phi - p @ phi)
    assert float((jacobian + BETA * covariance).abs().max()) < 1e-10


def test_gradient_reaches_the_parameters_behind_the_coefficients():
    rng = np.random.default_rng(2)
    model, frames = Quadratic(0.7), frames_with(rng.normal(size=(50, 2)), State([0.5, 0.4], TEMPERATURE))
    values = tensor(rng.normal(size=50))

    def average(theta):
        with torch.no_grad():
            model.theta.fill_(theta)
        return expectation(values, weights(model, frames)).mean

    h = 1e-5
    difference = float((average(0.7 + h) - average(0.7 - h)).detach()) / (2 * h)
    (gradient,) = torch.autograd.grad(average(0.7), model.theta)
    assert float(gradient) == pytest.approx(difference, rel=1e-7)


def test_harmonic_oscillator_has_its_closed_form_average_and_gradient():
    """<x^2> = kT/c and d<x^2>/dc = -kT/c^2, from frames of another c."""
    x, frames = harmonic_frames(np.random.default_rng(3), [100.0], 40000)
    c = tensor([120.0]).requires_grad_()
    w = weights(c, frames)
    estimate = expectation(tensor(x**2), w)
    (gradient,) = torch.autograd.grad(estimate.mean, c)
    assert abs(estimate.mean.item() - 1 / (BETA * 120.0)) < 4 * float(estimate.stderr)
    # the gradient is -beta Cov(x^2, x^2/2): its standard error comes from the influence of each frame on it
    p, square = w.w.detach().numpy(), x**2
    centred = square - p @ square
    influence = p * (-BETA / 2) * (centred**2 - p @ centred**2)
    assert abs(float(gradient) + 1 / (BETA * 120.0**2)) < 4 * np.sqrt((influence**2).sum())
    # n_eff/S of Gaussians of precision a (sampled) and b (wanted): sqrt(a (2b - a))/b
    assert w.n_eff / len(x) == pytest.approx(np.sqrt(100 * (2 * 120 - 100)) / 120, abs=0.01)


def test_weights_are_the_exponential_formula():
    frames = frames_with(np.array([[0.0], [1.0], [3.0]]), State([2.0], TEMPERATURE))
    c = 2.0 - np.log(2.0) / BETA
    assert weights(tensor([c]), frames).w.tolist() == pytest.approx([1 / 11, 2 / 11, 8 / 11], rel=1e-12)


def test_large_energies_do_not_overflow():
    frames = frames_with(np.array([[0.0], [1e6]]), State([0.0], TEMPERATURE))
    assert weights(tensor([-1.0]), frames).w.tolist() == [0.0, 1.0]


def test_mixture_free_energies_have_the_closed_form():
    """f_k = ln(c_k/c_0)/2 for harmonic oscillators; its standard error from the spread over repetitions."""
    differences = []
    for seed in range(12):
        _, frames = harmonic_frames(np.random.default_rng(seed), [80.0, 160.0], 1000)
        u_kn = BETA * np.array([[80.0], [160.0]]) * frames.features[:, 0]
        differences.append(free_energies(u_kn, np.array([1000, 1000]))[1])
    stderr = np.std(differences, ddof=1) / np.sqrt(len(differences))
    assert abs(np.mean(differences) - 0.5 * np.log(2.0)) < 4 * stderr


def test_mixture_weights_are_those_of_the_mixture_density():
    """w_s ~ p_c(x_s) / sum_k N_k p_k(x_s) with exact normal densities, up to the error of f_k (here 0.01)."""
    constants, n_each = [80.0, 160.0], 5000
    x, frames = harmonic_frames(np.random.default_rng(5), constants, n_each)
    w = weights(tensor([120.0]), frames)

    def density(c):
        return np.sqrt(BETA * c / (2 * np.pi)) * np.exp(-BETA * c * x**2 / 2)

    exact = density(120.0) / (n_each * (density(80.0) + density(160.0)))
    assert np.abs(w.w.numpy() / exact - 1).max() < 0.04
    assert w.n_eff > 0.95 * len(x)  # the mixture brackets the wanted state


def test_mixture_average_and_gradient_have_the_closed_form():
    x, frames = harmonic_frames(np.random.default_rng(6), [80.0, 160.0], 20000)
    c = tensor([120.0]).requires_grad_()
    w = weights(c, frames)
    estimate = expectation(tensor(x**2), w)
    (gradient,) = torch.autograd.grad(estimate.mean, c)
    assert abs(estimate.mean.item() - 1 / (BETA * 120)) < 4 * float(estimate.stderr)
    assert float(gradient) == pytest.approx(-1 / (BETA * 120**2), rel=0.05)


def test_mixture_of_equal_states_is_one_state():
    x, one = harmonic_frames(np.random.default_rng(7), [100.0], 200)
    both = Frames.concatenate([one[:80], one[80:]])
    assert len(both.states) == 1
    c = tensor([110.0])
    assert torch.equal(weights(c, both).w, weights(c, one).w)


def test_mixture_of_nearly_equal_states_approaches_one_state():
    features = np.random.default_rng(8).normal(size=(200, 1))
    one = frames_with(features, State([1.0], TEMPERATURE))
    states = [State([1.0], TEMPERATURE), State([1.0 + 1e-9], TEMPERATURE)]
    two = frames_with(features, states, [0] * 100 + [1] * 100)
    c = tensor([1.5])
    assert torch.allclose(weights(c, two).w, weights(c, one).w, rtol=1e-7)


def test_order_of_frames_does_not_matter():
    x, frames = harmonic_frames(np.random.default_rng(9), [80.0, 160.0], 300)
    shuffle = np.random.default_rng(0).permutation(len(x))
    c = tensor([120.0])
    assert torch.allclose(weights(c, frames).w[shuffle], weights(c, frames[shuffle]).w, rtol=1e-8)


def test_segments_follow_the_states():
    _, frames = harmonic_frames(np.random.default_rng(10), [80.0, 160.0], 10)
    assert weights(tensor([120.0]), frames).segments.tolist() == [0] * 10 + [1] * 10
    assert weights(tensor([120.0]), frames[:10]).segments is None


def test_pressure_enters_as_p_times_v():
    """Frames at P = 0 weighted to P: w ~ exp(-beta P V)."""
    volumes = np.array([1.0, 1.5, 2.0])
    boxes = np.array([np.eye(3) * v ** (1 / 3) for v in volumes])
    frames = frames_with(np.zeros((3, 1)), State([1.0], TEMPERATURE, pressure=0.0), boxes=boxes)
    pressure = 2.0 / BETA
    expected = np.exp(-2.0 * volumes)
    w = weights(tensor([1.0]), frames, pressure=pressure)
    assert w.w.tolist() == pytest.approx((expected / expected.sum()).tolist(), rel=1e-12)


def test_mixture_of_pressures_has_the_closed_form():
    """An ideal gas of n particles: V is Gamma(n+1) distributed, <V> = (n+1) kT/P."""
    rng, n, pressures = np.random.default_rng(11), 8, [20.0, 30.0]
    volumes = np.concatenate([rng.gamma(n + 1, 1 / (BETA * p), size=4000) for p in pressures])
    boxes = np.eye(3) * volumes[:, None, None] ** (1 / 3)
    states = [State([1.0], TEMPERATURE, p) for p in pressures]
    frames = frames_with(np.zeros((8000, 1)), states, np.repeat([0, 1], 4000), boxes)
    estimate = expectation(tensor(volumes), weights(tensor([1.0]), frames, pressure=25.0))
    assert abs(estimate.mean.item() - (n + 1) / (BETA * 25.0)) < 4 * float(estimate.stderr)


def test_a_model_that_reevaluates_is_asked_for_energies():
    x = np.random.default_rng(12).normal(size=30)
    positions = np.zeros((30, 1, 3))
    positions[:, 0, 0] = x
    frames = Frames(positions, State([4.0], TEMPERATURE), learnable_energies=2.0 * x**2)
    theta = tensor(2.2).requires_grad_()
    w = weights(Squared(theta), frames)
    expected = np.exp(-BETA * (0.5 * 2.2**2 - 2.0) * x**2)
    assert w.w.detach().numpy() == pytest.approx(expected / expected.sum(), rel=1e-12)
    (gradient,) = torch.autograd.grad(expectation(tensor(x**2), w).mean, theta)
    p = w.w.detach().numpy()
    assert float(gradient) == pytest.approx(-BETA * 2.2 * (p @ x**4 - (p @ x**2) ** 2), rel=1e-10)


def test_n_eff_counts_frames_that_carry_weight():
    assert Weights(tensor([0.5, 0.5, 0.0, 0.0])).n_eff == pytest.approx(2.0)
    assert Weights(tensor([1.0, 0.0])).n_eff == pytest.approx(1.0)


def test_importing_pymbar_stays_silent(capfd, caplog):
    _, frames = harmonic_frames(np.random.default_rng(13), [80.0, 160.0], 10)
    with caplog.at_level(logging.WARNING):
        weights(tensor([120.0]), frames)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


MISTAKES = [
    (lambda f: weights(tensor([1.0, 2.0]), f), "coefficients"),
    (lambda f: weights(tensor([float("nan")]), f), "NaN"),
    (lambda f: weights(tensor([1.0]), Frames(f.positions, State([1.0], TEMPERATURE))), "no features"),
    (lambda f: weights(tensor([1.0]), f[:0]), "at least one frame"),
    (lambda f: weights(tensor([1.0]), f, pressure=1.0), "constant volume"),
]


@pytest.mark.parametrize(("call", "message"), MISTAKES, ids=[m for _, m in MISTAKES])
def test_mistakes_are_named(call, message):
    frames = frames_with(np.ones((5, 1)), State([1.0], TEMPERATURE))
    with pytest.raises(ValueError, match=message):
        call(frames)


def test_mixed_temperatures_are_refused():
    mixed = Frames.concatenate([frames_with(np.ones((2, 1)), State([1.0], t)) for t in (300.0, 310.0)])
    with pytest.raises(ValueError, match="300, 310 K"):
        weights(tensor([1.0]), mixed)


def test_mixed_pressures_need_the_wanted_one():
    parts = [frames_with(np.ones((2, 1)), State([1.0], 300.0, p), boxes=np.eye(3)) for p in (1.0, 2.0)]
    with pytest.raises(ValueError, match=r"pressure="):
        weights(tensor([1.0]), Frames.concatenate(parts))


def test_a_mixture_for_a_model_that_reevaluates_is_refused():
    _, frames = harmonic_frames(np.random.default_rng(14), [80.0, 160.0], 5)
    with pytest.raises(ValueError, match="2 states"):
        weights(Squared(tensor(1.0)), frames)
