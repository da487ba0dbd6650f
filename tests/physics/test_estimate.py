# SPDX-License-Identifier: MIT
"""Standard errors of correlated and weighted frames, and chi squared, where both are known."""

import time

import numpy as np
import pytest
import torch

from openmmgrad.estimate import chi2, compare, expectation, statistical_inefficiency
from openmmgrad.weights import Weights


def autoregressive(rng, a, n_frames, n_bins):
    """x_t = a x_{t-1} + noise, unit variance, [S, B]; its inefficiency is (1+a)/(1-a)."""
    noise = rng.normal(size=(n_frames, n_bins)) * np.sqrt(1 - a**2)
    x = np.empty((n_frames, n_bins))
    x[0] = rng.normal(size=n_bins)
    for t in range(1, n_frames):
        x[t] = a * x[t - 1] + noise[t]
    return x


@pytest.mark.parametrize("a", [0.0, 0.5, 0.8, 0.9])
def test_inefficiency_of_an_autoregressive_series(a):
    """Mean over 200 series of 4000 frames within 5 % of (1+a)/(1-a)."""
    g = statistical_inefficiency(autoregressive(np.random.default_rng(0), a, 4000, 200))
    assert g.mean() == pytest.approx((1 + a) / (1 - a), rel=0.05)


@pytest.mark.parametrize("a", [0.0, 0.5, 0.9])
def test_standard_error_is_the_spread_of_means(a):
    """Of 400 independent series; the spread is known to 1/sqrt(800) = 3.5 %, and 5 % of bias are allowed."""
    x = autoregressive(np.random.default_rng(1), a, 2000, 400)
    estimate = expectation(x, Weights.uniform(2000))
    spread = estimate.mean_values.std(ddof=1)
    assert np.sqrt((estimate.stderr**2).mean()) == pytest.approx(spread, rel=4 * 0.035 + 0.05)


def test_standard_error_of_weighted_frames_is_the_spread_of_means():
    """400 reweightings of normal x from variance 1 to 1/(1 + 0.4)."""
    rng = np.random.default_rng(2)
    means, stderrs = [], []
    for _ in range(400):
        x = rng.normal(size=500)
        w = torch.softmax(torch.as_tensor(-0.2 * x**2), 0)
        estimate = expectation(x**2, Weights(w))
        means.append(estimate.mean.item())
        stderrs.append(float(estimate.stderr))
    assert np.mean(means) == pytest.approx(1 / 1.4, abs=4 * np.std(means) / 20)
    assert np.sqrt(np.mean(np.square(stderrs))) == pytest.approx(np.std(means), rel=4 * 0.035 + 0.05)


def test_segments_are_not_correlated_with_each_other():
    """Two independent series at different levels: the step between them is no correlation."""
    x = autoregressive(np.random.default_rng(3), 0.5, 4000, 50)
    x[2000:] += 100.0
    segments = np.repeat([0, 1], 2000)
    assert statistical_inefficiency(x, segments).mean() == pytest.approx(3.0, rel=0.06)
    assert statistical_inefficiency(x).min() > 100


def test_repeated_frames_count_once():
    noise = np.random.default_rng(4).normal(size=(3000, 20))
    once, thrice = (expectation(x, Weights.uniform(len(x))) for x in (noise, np.repeat(noise, 3, axis=0)))
    assert np.allclose(once.mean_values, thrice.mean_values)
    assert np.sqrt((thrice.stderr**2).mean() / (once.stderr**2).mean()) == pytest.approx(1.0, abs=0.05)


def test_constant_series_have_no_error():
    estimate = expectation(np.full((50, 2), 0.1), Weights.uniform(50))
    assert np.all(estimate.stderr == 0)
    assert np.all(estimate.inefficiency == 1)


def test_covariance_is_the_spread_of_means():
    """Of two correlated bins, 600 series; each entry to 4 standard errors of a sample covariance."""
    rng = np.random.default_rng(5)
    mix = np.array([[1.0, 0.0], [0.8, 0.6]])
    means, covariances = [], []
    for _ in range(600):
        x = autoregressive(rng, 0.6, 400, 2) @ mix.T
        estimate = expectation(x, Weights.uniform(400))
        means.append(estimate.mean_values)
        covariances.append(estimate.covariance())
    expected = np.cov(np.array(means).T)
    error = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / 600)
    assert np.all(np.abs(np.mean(covariances, axis=0) - expected) < 4 * error + 0.05 * np.abs(expected))
    assert np.linalg.eigvalsh(estimate.covariance()).min() > 0


def test_s_eff_counts_independent_frames():
    x = autoregressive(np.random.default_rng(6), 0.8, 9000, 30)
    assert expectation(x, Weights.uniform(9000)).s_eff == pytest.approx(1000, rel=0.1)


@pytest.mark.parametrize("a", [0.0, 0.6])
def test_chi2_is_one_for_series_with_the_reference_as_mean(a):
    """50 bins and 60 seeds: sqrt(2/3000) = 0.026 of noise, and 7 % allowed for errors that are estimated."""
    rng = np.random.default_rng(7)
    reference, sigma = np.linspace(0, 1, 50), 0.02
    values = []
    for _ in range(60):
        x = reference + 0.3 * autoregressive(rng, a, 800, 50)
        measured = reference + sigma * rng.normal(size=50)
        values.append(chi2(expectation(x, Weights.uniform(800)), measured, sigma).item())
    assert np.mean(values) == pytest.approx(1.0, abs=4 * 0.026 + 0.07)


def test_chi2_of_two_simulations_adds_their_variances():
    rng = np.random.default_rng(8)
    values = []
    for _ in range(60):
        a, b = (expectation(rng.normal(size=(n, 50)), Weights.uniform(n)) for n in (400, 900))
        values.append(chi2(a, b).item())
    assert np.mean(values) == pytest.approx(1.0, abs=4 * 0.026 + 0.07)


def test_gradient_of_chi2_is_that_of_its_formula():
    x = torch.as_tensor(np.random.default_rng(9).normal(size=(40, 3)))
    shift = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64, requires_grad=True)
    estimate = expectation(x + shift, Weights.uniform(40))
    (gradient,) = torch.autograd.grad(chi2(estimate, [0.0, 0.0, 0.0], 0.1), shift)
    variance = torch.as_tensor(estimate.stderr) ** 2 + 0.01
    assert torch.allclose(gradient, 2 * estimate.mean.detach() / variance / 3, rtol=1e-12)


def test_bins_empty_on_both_sides_are_left_out_and_counted():
    x = np.random.default_rng(10).poisson(3.0, size=(200, 4)).astype(float)
    x[:, 0] = 0.0
    result = compare(expectation(x, Weights.uniform(200)), [0.0, 3.0, 3.0, 3.0])
    assert (result.n_used, result.n_left_out) == (3, 1)


def test_dof_divides():
    estimate = expectation(np.random.default_rng(11).normal(size=(40, 5)), Weights.uniform(40))
    reference = np.ones(5)
    five, three = (chi2(estimate, reference, dof=d).item() for d in (None, 3.0))
    assert three == pytest.approx(five * 5 / 3)


class Counts:
    """A histogram observable whose values are counts."""

    grid, unit, name = np.arange(2.0), "1", "n"

    def one_count(self, values):
        return np.full(values.shape[1], 1 / len(values))


def test_an_empty_bin_is_one_count_uncertain():
    """An exact reference of 0.5 against no count in 100 frames: (0.5/0.01)^2; a bin of both zeros says nothing."""
    empty = expectation(np.zeros((100, 2)), Weights.uniform(100), observable=Counts())
    result = compare(empty, [0.5, 0.0])
    assert (result.n_used, result.n_left_out) == (1, 1)
    assert result.chi2.item() == pytest.approx(2500.0)
    assert chi2(empty, [0.5, 0.0], sigma=[0.5, 0.0]).item() == pytest.approx(1.0)  # an error makes it needless


def test_a_bin_empty_on_one_side_is_compared_with_the_error_of_the_other():
    """One count in n frames differs from none by its own error, whichever side has it."""
    once = np.zeros((100, 2))
    once[3, 0] = 1.0
    some, none = (expectation(x, Weights.uniform(100), observable=Counts()) for x in (once, np.zeros((100, 2))))
    for result in (compare(some, none), compare(none, some), compare(some, [0.0, 0.0])):
        assert result.n_used == 1
        assert result.chi2.item() == pytest.approx(1.0, rel=0.02)


def test_each_state_is_taken_about_its_own_mean():
    """Two states in which x is known exactly: their difference in level is no uncertainty."""
    x = np.repeat([0.0, 1.0], 50)
    w = Weights(torch.full((100,), 0.01, dtype=torch.float64), np.repeat([0, 1], 50))
    assert float(expectation(x, w).stderr) == pytest.approx(0.0, abs=1e-12)
    assert float(expectation(x, Weights.uniform(100)).stderr) > 0.05


def test_one_frame_says_nothing_about_its_error():
    estimate = expectation(np.ones((1, 3)), Weights.uniform(1))
    assert np.all(np.isinf(estimate.stderr))
    with pytest.raises(ValueError, match="none of 3 values has a finite standard error. Use more frames"):
        chi2(estimate, np.ones(3))


@pytest.mark.parametrize(("reference", "options", "message"), [
    (np.ones(4), {}, "expected a reference of 5 values, found 4. Compare on one grid"),
    (np.ones(5), {"sigma": [0.1, 0.1]}, "expected 5 standard errors, found 2"),
    (np.ones(5), {"sigma": -0.1}, "standard errors must not be negative or NaN"),
    (np.full(5, np.nan), {}, "the reference contains NaN"),
    (np.ones(5), {"dof": 0}, "dof must be positive, found 0"),
])
def test_mistakes_in_chi2_are_named(reference, options, message):
    estimate = expectation(np.random.default_rng(12).normal(size=(40, 5)), Weights.uniform(40))
    with pytest.raises(ValueError, match=message):
        chi2(estimate, reference, **options)


def test_mistakes_in_expectation_are_named():
    with pytest.raises(ValueError, match=r"expected values of 3 frames, found shape \[4\]. Use the weights of these"):
        expectation(np.ones(4), Weights.uniform(3))
    with pytest.raises(ValueError, match="values contain NaN or infinite values"):
        expectation(np.array([1.0, np.inf]), Weights.uniform(2))


def test_production_size_takes_milliseconds():
    """1500 frames of 100 bins: below 50 ms wherever the tests run, of which it takes some 15 ms."""
    values, w = np.random.default_rng(13).normal(size=(1500, 100)), Weights.uniform(1500)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        expectation(values, w).covariance()
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05
