# SPDX-License-Identifier: MIT
"""Gauss-Newton on targets of paths: the linear response by two routes, known answers, memory and resumption."""

import numpy as np
import pytest
import torch
from fitting import springs
from fitting.test_path_targets import WINDOWS, oscillators, vacf_target

import openmmgrad as og
from openmmgrad.fitting.path_response import PathResponse, combined, path_responses
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
