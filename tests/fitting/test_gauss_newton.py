# SPDX-License-Identifier: MIT
"""Gauss-Newton: its Jacobian against differences, its step against closed forms, its answers against the truth."""

import numpy as np
import pytest
import torch
from fitting import fluids

import openmmgrad as og
from openmmgrad.fitting.gauss_newton import GaussNewton, local_quadratics
from openmmgrad.fitting.problem import Problem
from openmmgrad.fitting.quadratic import Step
from openmmgrad.fitting.sample import Sample
from openmmgrad.fitting.statistics import response, spline_columns


@pytest.fixture(scope="module")
def spline_case():
    potential = og.SplinePotential.from_potential(fluids.lennard_jones(epsilon=0.9), fluids.REDUCED.temperature(1.5))
    sampler = fluids.ensemble(potential)
    target = fluids.target_of(fluids.lennard_jones(), sampler)
    return potential, sampler, target, Sample(sampler, sampler.sample())


def test_columns_of_an_rdf_are_those_whose_splines_end_within_it(spline_case):
    _, sampler, target, _ = spline_case
    assert len(spline_columns(target)) == sampler.model.n_features - 3  # all that are free
    short = og.Target(og.RDF(None, None, r_max=0.5, bins=10), sampler, np.ones(10))
    ends = sampler.model.terms[0].potential.grid.support_ends.numpy()
    assert ends[spline_columns(short)].max() <= 0.5 + 1e-9
    half = og.Target(og.RDF(range(60), range(60), r_max=0.5, bins=10), sampler, np.ones(10))
    assert spline_columns(half) is None


@pytest.mark.parametrize("through", ["counts", "observable"])
def test_jacobian_is_the_derivative_of_the_reweighted_average(spline_case, through):
    potential, sampler, target, sample = spline_case
    if through == "observable":
        target = og.Target(og.RDF(range(60), None, r_max=0.8, bins=8), sampler, np.ones(8))
    columns = spline_columns(target)
    assert (columns is None) == (through == "observable")
    analytic = response(target, sample, sample.weights()).jacobian
    c = sampler.model.coefficients(sampler.temperature).detach()
    counts = torch.as_tensor(sample.frames.features)
    values = sample.frames.observed(target.observable) if columns is None else counts[:, columns]
    for k in (20, 24, 30):
        h = torch.zeros_like(c)
        h[k] = 1e-4
        plus, minus = (og.weights(c + s * h, sample.frames).w @ values for s in (1, -1))
        assert np.allclose(analytic[:, k], (plus - minus) / 2e-4, rtol=1e-5, atol=1e-7 * np.abs(analytic).max())


def test_step_is_the_minimum_of_the_quadratic_and_posterior_its_inverse_curvature(spline_case):
    potential, sampler, target, sample = spline_case
    problem = Problem([target])
    with torch.no_grad():
        parts, _ = local_quadratics(problem, {sampler: sample})
        (part,) = parts
    step = Step(problem, parts)
    (moved,) = step.predict(1.0, 0.0)
    (_, jacobian), = [problem.jacobian(sampler)]
    curvature = part.hessian + part.anchor + part.roughness.T @ part.roughness
    gradient = curvature @ moved - part.gradient + part.roughness.T @ part.roughness @ part.start
    scale = (jacobian.T @ (part.gradient.abs() + (part.roughness.T @ part.roughness @ part.start).abs())).abs().max()
    assert (jacobian.T @ gradient).abs().max() < 1e-6 * scale
    solved = step.moved(step.solve(1.0, 0.0))[0]
    assert torch.allclose(solved, moved, atol=1e-6 * float(moved.abs().max()))
    (covariance,) = step.posterior(1.0)
    assert torch.allclose(covariance @ curvature @ covariance, covariance, atol=1e-6 * float(covariance.abs().max()))


def test_no_step_changes_u_by_more_than_max_step(spline_case):
    potential, sampler, target, sample = spline_case
    before = {k: v.clone() for k, v in potential.state_dict().items()}
    r = np.linspace(0.95, 2.4, 100) * fluids.REDUCED.sigma
    u = potential.tabulate(r, None, sampler.temperature)[0]
    report = GaussNewton(max_step=0.02).step(Problem([target]), {sampler: sample})
    moved = np.abs(potential.tabulate(r, None, sampler.temperature)[0] - u).max() / fluids.kT()
    potential.load_state_dict(before)
    assert report.figures["bounded"] == 1.0
    assert 0.5 * 0.02 < report.change <= 0.02 * 1.001
    assert moved <= 0.02 * 1.05  # the bound is kept at 120 distances, and seen here at others


def test_two_parameters_of_lennard_jones_are_recovered():
    potential = fluids.lennard_jones(sigma=0.97, epsilon=1.15)
    sampler = fluids.ensemble(potential)
    target = fluids.target_of(fluids.lennard_jones(), sampler)
    history = og.fit([target], max_iterations=4, progress=False)
    # standard errors of this size of data, from 6 seeds: 0.0007 (sigma) and 0.009 (epsilon)
    assert abs(potential.sigma.item() / fluids.REDUCED.sigma - 1) < 4 * 0.0007
    assert abs(potential.epsilon.item() / fluids.REDUCED.epsilon - 1) < 4 * 0.009
    assert history.column("chi2 g(r)")[-1] < 2.0 < history.column("chi2 g(r)")[0]


def test_spline_from_the_potential_of_mean_force_finds_u_within_its_band():
    truth = fluids.lennard_jones()
    potential = og.SplinePotential(fluids.CUTOFF, n_coefficients=48)
    sampler = fluids.ensemble(potential, n_frames=250)
    target = fluids.target_of(truth, sampler, n_frames=600)
    start = og.SplinePotential.from_rdf(target.observable.grid, target.values, sampler.temperature, fluids.CUTOFF, 48)
    potential.load_state_dict(start.state_dict())
    first = fluids.error_kT(potential, truth)
    history = og.fit([target], max_iterations=4, progress=False)
    assert fluids.error_kT(potential, truth) < min(0.06, 0.3 * first)
    r, u, width = history.bands["liquid"]
    exact = truth.tabulate(r, None, sampler.temperature)[0] / fluids.kT()
    here = r > 0.95 * fluids.REDUCED.sigma
    assert (np.abs(u[0] - exact)[here] <= width[0][here]).mean() > 0.95


def test_states_share_a_potential_and_a_third_is_predicted():
    potential = fluids.lennard_jones(epsilon=0.85)
    samplers = [fluids.ensemble(potential, rho, T, name=f"{rho} {T}") for rho, T in ((0.6, 1.5), (0.3, 2.0))]
    targets = []
    for s, (rho, T) in zip(samplers, ((0.6, 1.5), (0.3, 2.0)), strict=True):
        targets.append(fluids.target_of(fluids.lennard_jones(), s, rho=rho, T=T))
        targets[-1].name = f"g(r) {s.name}"
    history = og.fit(targets, max_iterations=3, progress=False)
    assert len(Problem(targets).parameters) == 2
    assert abs(potential.epsilon.item() / fluids.REDUCED.epsilon - 1) < 0.04
    assert set(history.bands) == {s.name for s in samplers}


def test_network_follows_a_spline_step():
    network = og.MLPPotential(fluids.CUTOFF, n_coefficients=48, width=32, seed=3)
    truth = fluids.lennard_jones()
    sampler = fluids.ensemble(network, n_frames=200)
    target = fluids.target_of(truth, sampler, n_frames=500)
    og.start_from_rdf(network, target.observable.grid, target.values, sampler.temperature)
    first = fluids.error_kT(network, truth)
    og.fit([target], max_iterations=4, progress=False)
    assert fluids.error_kT(network, truth) < min(0.08, 0.4 * first)


def test_jacobian_of_the_pressure_has_its_explicit_term(spline_case):
    potential, sampler, _, sample = spline_case
    pressure = og.Pressure(sampler.model)
    analytic = response(og.Target(pressure, sampler, [100.0], sigma=1.0), sample, sample.weights()).jacobian
    start = {k: v.clone() for k, v in potential.state_dict().items()}
    for k in (22, 26, 34):
        means = []
        for h in (1e-4, -1e-4):
            with torch.no_grad():
                potential.values[0, k] += h
            means.append(og.expectation(pressure(sample.frames), sample.weights()).mean.item())
            potential.load_state_dict(start)
        assert analytic[0, k] == pytest.approx((means[0] - means[1]) / 2e-4, rel=1e-5)
