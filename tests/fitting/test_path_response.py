# SPDX-License-Identifier: MIT
"""Gauss-Newton on targets of paths: the linear response by two routes, known answers, memory and resumption."""

import numpy as np
import pytest
import torch
from fitting import springs
from fitting.test_path_targets import WINDOWS, oscillators, vacf_target

import openmmgrad as og
from openmmgrad.fitting.path_response import PathResponse, _by_differences, combined, path_responses
from openmmgrad.fitting.problem import Problem
from openmmgrad.fitting.sample import Sample
from openmmgrad.fitting.statistics import shrunk_covariance


def response_of(targets, sample):
    problem = Problem(targets)
    windows = problem.windows[targets[0]]
    return problem, windows, path_responses(problem, windows, targets, sample)


def by_autograd(problem, sample, target):
    """d<O>/dtheta [B, n], both terms, from the graph of weights and paths."""
    mean = problem.estimates(sample)[target].mean
    rows = [torch.autograd.grad(value, problem.parameters, retain_graph=True, allow_unused=True) for value in mean]
    return torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows]).numpy()


def test_differences_of_windows_have_both_terms():
    sampler = oscillators(1.7)
    target = vacf_target(sampler)
    sample = Sample(sampler, [sampler.sample()])
    problem, _, found = response_of([target], sample)
    scale = sampler.model.parameter_scales["k"]
    expected = by_autograd(problem, sample, target) * scale
    assert found[target].jacobian == pytest.approx(expected, rel=2e-5, abs=2e-6 * np.abs(expected).max())


def test_reverse_sweeps_have_both_terms():
    sampler = springs.droplet(30.0, 0.8, n_frames=12)
    target = og.Target(og.VACF(remove_com=False, max_lag=0.2), sampler, np.zeros(6),
                       propagate={"timestep": 0.02, "n_steps": 10, "stride": 2})
    sample = Sample(sampler, [sampler.sample()])
    problem, _, found = response_of([target], sample)
    _, from_theta = problem.jacobian(sampler)
    expected = by_autograd(problem, sample, target) * np.repeat(problem.units, [p.numel() for p in problem.parameters])
    assert found[target].jacobian @ from_theta.numpy() == pytest.approx(expected, rel=1e-6,
                                                                        abs=1e-7 * np.abs(expected).max())


def test_fewer_windows_are_differentiated_than_are_averaged():
    sampler = oscillators(1.7)
    sample = Sample(sampler, [sampler.sample()])
    target, some = (vacf_target(sampler, options=WINDOWS | more, name=name)
                    for name, more in (("all", {}), ("some", {"n_differentiated": 10})))
    (problem, windows, every), (_, _, few) = response_of([target], sample), response_of([some], sample)
    whole, part = every[target], few[some]
    assert np.array_equal(whole.mean, part.mean) and np.array_equal(whole.covariance, part.covariance)
    by_weights = whole.jacobian - by_paths(problem, windows, target, sample)
    ten = Sample(sampler, [sample.frames[np.linspace(0, 29, 10).round().astype(int)]])
    assert part.jacobian == pytest.approx(by_weights + by_paths(problem, windows, target, ten), rel=1e-9)


def by_paths(problem, windows, target, sample):
    return _by_differences(problem, windows, [target], sample)[target]


def test_frequency_is_found_in_three_iterations():
    sampler = springs.ensemble(springs.wells(1.4), n_frames=60)
    history = og.fit([vacf_target(sampler, name="C(t)")], max_iterations=4, tolerance=0.0, progress=False)
    # frames of 60 x 30 wells: the standard error that the fit states
    error = history.column("error k")[-1]
    assert 0.001 < error < 0.05
    assert abs(history.column("parameter k")[-1] - 2.0) < 4 * error


def test_windows_of_earlier_segments_are_carried_on_and_narrow_the_result():
    sampler = oscillators(1.7)
    target = vacf_target(sampler)
    y = np.array([0.9])
    jacobian = np.arange(11.0)[:, None]
    at = [PathResponse(np.array([a]), jacobian[:, 0] * a + 3.0, jacobian, np.eye(11), 10.0) for a in (0.8, 1.0)]
    joined, single = combined(target, y, at), combined(target, y, at[:1])
    assert joined.residual == pytest.approx(jacobian[:, 0] * 0.9 + 3.0 - target.values)
    assert joined.residual == pytest.approx(single.residual)
    assert joined.covariance == pytest.approx(single.covariance / 2)


def test_errors_of_the_target_say_how_values_compare():
    sampler = oscillators(1.7)
    target = vacf_target(sampler, sigma=0.1 * np.arange(1, 12))
    one = PathResponse(np.zeros(1), np.zeros(11), np.zeros((11, 1)), 0.04 * np.eye(11), 10.0)
    found = np.sqrt(np.diag(combined(target, np.zeros(1), [one]).covariance)) / target.sigma
    assert found == pytest.approx(np.full(11, np.sqrt(1 + np.mean(0.04 / target.sigma**2))))


def test_shrinking_keeps_variances_and_gives_full_rank():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(20, 3)) @ rng.normal(size=(3, 50)) + rng.normal(size=(20, 50))
    estimate = og.expectation(values, og.Weights.uniform(20))
    plain, shrunk = estimate.covariance(), shrunk_covariance(estimate)
    assert np.diag(shrunk) == pytest.approx(np.diag(plain))
    assert np.linalg.matrix_rank(plain) < 20 and np.linalg.matrix_rank(shrunk) == 50
    apart = ~np.eye(50, dtype=bool)
    assert 0 < 1 - (shrunk / plain)[apart].mean() < 0.6
    many = og.expectation(rng.normal(size=(5000, 3)) @ rng.normal(size=(3, 4)), og.Weights.uniform(5000))
    assert shrunk_covariance(many) == pytest.approx(many.covariance(), rel=5e-3)


def test_resumed_gauss_newton_of_paths_equals_an_uninterrupted_one_bit_by_bit(tmp_path, monkeypatch):
    def job(directory):
        sampler = oscillators(1.6, n_frames=20)
        options = WINDOWS | {"workers": 1}
        history = og.fit([vacf_target(sampler, options=options, name="C(t)")], max_iterations=3, tolerance=0.0,
                         directory=directory, progress=False, figures=False)
        return sampler.model.global_parameters["k"].item(), history

    whole, history = job(tmp_path / "whole")
    sample = og.Ensemble.sample
    monkeypatch.setattr(og.Ensemble, "sample", springs.interrupted_at(2, sample))
    with pytest.raises(KeyboardInterrupt):
        job(tmp_path / "cut")
    monkeypatch.setattr(og.Ensemble, "sample", sample)
    resumed, again = job(tmp_path / "cut")
    assert resumed == whole
    assert (again.column("error k") == history.column("error k")).all()


def test_the_last_sample_confirms_with_longer_windows():
    sampler = oscillators(1.9, n_frames=10)
    options = WINDOWS | {"n_steps": 40, "confirm_steps": 80}
    seen = []

    class Seen(og.VACF):
        def __call__(self, path):
            seen.append(len(path.times))
            return super().__call__(path)

    spy = Seen(remove_com=False, max_lag=2.0)
    target = vacf_target(sampler, options=options)
    og.fit([og.Target(spy, sampler, target.values, propagate=options)], max_iterations=1, progress=False)
    assert seen[0] == 11 and seen[-1] == 21
    assert seen.count(21) == 1  # nothing is differentiated there: the windows of the step say how parameters act
