# SPDX-License-Identifier: MIT
"""One global parameter of two Models: in weights, in heats of vaporisation, and in fits of both."""

import numpy as np
import openmm
import pytest
import torch
from fitting import springs

import openmmgrad as og
from openmmgrad.fitting.problem import Problem

EXACT = dict(platform="Reference")


def two_wells(k=1.2, n=40):
    """Oscillators of one k in two Models; those of the second are three times as stiff."""
    first = springs.wells(k, n)
    system, force = springs.atoms(n, springs.MASS), openmm.CustomExternalForce("1.5*k*(x^2+y^2+z^2)")
    force.addGlobalParameter("k", k)
    for i in range(n):
        force.addParticle(i)
    system.addForce(force)
    second = og.Model(system)
    second.add_parameters({"k": first.global_parameters["k"]})
    return springs.ensemble(first, name="soft"), springs.ensemble(second, name="stiff")


def targets_of(ensembles, k=2.0):
    return [og.Target(springs.MeanSquare(), e, [3 * e.kT / (k * factor)]) for e, factor in zip(ensembles, (1, 3),
                                                                                              strict=True)]


def test_one_parameter_is_shared_by_identity():
    soft, stiff = two_wells()
    assert stiff.model.global_parameters["k"] is soft.model.global_parameters["k"]
    with torch.no_grad():
        soft.model.global_parameters["k"].fill_(5.0)
    assert stiff.model.parameter_values().item() == 5.0
    assert stiff.model.create_system().getForce(0).getGlobalParameterDefaultValue(0) == 5.0


def test_a_problem_counts_it_once():
    problem = Problem(targets_of(two_wells()))
    assert len(problem.parameters) == problem.n_parameters == 1
    assert [s.label for s in problem.scalars] == ["k"]
    jacobians = [problem.jacobian(e)[1] for e in problem.ensembles]
    assert jacobians[0].shape == jacobians[1].shape == (1, 1)
    problem.theta = 2 * problem.theta
    assert [e.model.parameter_values().item() for e in problem.ensembles] == pytest.approx([2.4, 2.4])


@pytest.mark.parametrize(("options", "error"), [
    (dict(max_iterations=4), 0.1),
    (dict(method=torch.optim.Adam, lr=0.1, max_steps_per_sample=6, max_iterations=2), 0.5),
], ids=["gauss-newton", "adam"])
def test_fits_of_both_models_find_it(options, error):
    ensembles = two_wells()
    history = og.fit(targets_of(ensembles), progress=False, **options)
    k = history.column("parameter k")
    assert k[0] == 1.2
    assert abs(k[-1] - 2.0) < error
    assert ensembles[0].model.parameter_values().item() == ensembles[1].model.parameter_values().item() == k[-1]


def liquid(a=10.0, k=200.0, n=20):
    """n atoms in wells of depth a: <U>/n = 3kT/2 - a."""
    system, force = springs.atoms(n, springs.MASS), openmm.CustomExternalForce("0.5*k*(x^2+y^2+z^2)-a")
    system.setDefaultPeriodicBoxVectors(*(2.0 * np.eye(3)))
    for name, value in (("k", k), ("a", a)):
        force.addGlobalParameter(name, value)
    for i in range(n):
        force.addParticle(i)
    system.addForce(force)
    model = og.Model(system)
    model.add_parameters({"a": a})
    return model


@pytest.mark.parametrize("options", [
    dict(max_iterations=3), dict(method=torch.optim.Adam, lr=0.3, max_steps_per_sample=10, max_iterations=3),
], ids=["gauss-newton", "adam"])
def test_a_heat_of_vaporisation_is_fitted(options):
    """dH = a + kT with a gas of 3kT/2: the parameter moves energies of all frames alike, so no weight changes."""
    model = liquid()
    sampler = og.Ensemble(model, np.zeros((20, 3)), springs.TEMPERATURE, timestep=0.005, n_frames=40, stride=20,
                          friction=5.0, seed=1, **EXACT)
    heat = og.HeatOfVaporization(model, gas=1.5 * sampler.kT, **EXACT)
    og.fit([og.Target(heat, sampler, [12.0 + sampler.kT], sigma=0.02)], progress=False, **options)
    assert model.parameter_values().item() == pytest.approx(12.0, abs=0.4)  # <U> of 40 frames, and the anchor
