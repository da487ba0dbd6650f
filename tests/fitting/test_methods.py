# SPDX-License-Identifier: MIT
"""The other methods: a torch optimiser, and iterative Boltzmann inversion."""

import numpy as np
import pytest
import torch
from fitting import fluids

import openmmgrad as og
from openmmgrad.fitting.boltzmann import BoltzmannInversion
from openmmgrad.fitting.optimizer import loss
from openmmgrad.fitting.problem import Problem
from openmmgrad.fitting.sample import Sample


def test_gradient_of_the_loss_is_that_of_finite_differences():
    potential = fluids.lennard_jones(epsilon=0.95)
    sampler = fluids.ensemble(potential, n_frames=60)
    problem = Problem([og.Target(fluids.rdf(20), sampler, np.linspace(0, 1, 20), sigma=1e3)])  # errors that do not move
    samples = {sampler: Sample(sampler, sampler.sample())}
    loss(problem, samples).backward()
    for parameter in problem.parameters:
        h = 1e-5 * parameter.item()
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * h
            values.append(loss(problem, samples).item())
            with torch.no_grad():
                parameter -= sign * h
        # the errors of the average enter the loss as constants: 1e3 makes their change negligible
        assert parameter.grad.item() == pytest.approx((values[0] - values[1]) / (2 * h), rel=2e-3)


def test_adam_lowers_chi2_and_samples_again_when_n_eff_falls():
    potential = fluids.lennard_jones(epsilon=0.8)
    sampler = fluids.ensemble(potential, n_frames=100)
    target = fluids.target_of(fluids.lennard_jones(), sampler)
    history = og.fit([target], method=torch.optim.Adam, lr=0.002, max_iterations=4, n_eff_min=0.6, progress=False)
    chi2 = history.column("chi2 g(r)")
    assert chi2[-1] < 0.5 * chi2[0]
    assert (history.column("steps")[:-1] < 50).any() and history.column("n_eff")[0] < 0.6


def test_boltzmann_inversion_adds_kT_ln_of_the_ratio():
    potential = og.SplinePotential.from_potential(fluids.lennard_jones(), fluids.REDUCED.temperature(1.5))
    sampler = fluids.ensemble(potential, n_frames=60)
    observable = fluids.rdf(30)
    sample = Sample(sampler, sampler.sample())
    g = observable(sample.frames).mean(0).numpy()
    target = og.Target(observable, sampler, g * np.exp(0.1))  # everywhere 0.1 kT too few
    r = np.linspace(1.0, 2.0, 50) * fluids.REDUCED.sigma
    before = potential.tabulate(r, None, sampler.temperature)[0]
    BoltzmannInversion(mixing=0.5).step(Problem([target]), {sampler: sample})
    change = (potential.tabulate(r, None, sampler.temperature)[0] - before) / fluids.kT()
    assert np.allclose(change, -0.05, atol=2e-3)


def test_boltzmann_inversion_refuses_what_is_not_an_rdf_of_a_spline():
    sampler = fluids.ensemble(fluids.lennard_jones(), n_frames=10)
    target = og.Target(fluids.rdf(10), sampler, fluids.step_g(10))
    with pytest.raises(ValueError, match="not the RDF of one type pair of a SplinePotential.*gauss-newton"):
        og.fit([target], method="ibi", max_iterations=1, progress=False)
