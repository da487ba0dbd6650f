# SPDX-License-Identifier: MIT
"""What targets say of parameters: pulls that add up to the step, errors that combine, and what is left open."""

import json

import numpy as np
import openmm
import pytest
import torch
from fitting import springs
from fitting.test_path_targets import vacf_target

import openmmgrad as og
from openmmgrad.fitting.gauss_newton import GaussNewton, local_quadratics
from openmmgrad.fitting.influence import Influence, influence
from openmmgrad.fitting.problem import Problem
from openmmgrad.fitting.quadratic import Step
from openmmgrad.fitting.sample import Sample


def square(sampler, k=2.0, **options):
    return og.Target(springs.MeanSquare(), sampler, [3 * springs.KT / k], sigma=0.02, **options)


def found(targets):
    sampler = targets[0].ensemble
    problem, samples = Problem(targets), {sampler: Sample(sampler, [sampler.sample()])}
    parts, responses = local_quadratics(problem, samples)
    step = Step(problem, parts)
    return problem, samples, influence(problem, step, responses, step.joint_posterior(1.0))


def test_pulls_add_up_to_the_step_and_errors_combine():
    sampler = springs.ensemble(springs.wells(1.9), n_frames=60)
    problem, samples, says = found([square(sampler, name="r2"), vacf_target(sampler, name="C(t)")])
    assert says.targets == ["r2", "C(t)"] and says.parameters == ["k"]
    GaussNewton().step(problem, samples)
    assert says.pull.sum() == pytest.approx(sampler.model.global_parameters["k"].item() - 1.9, rel=1e-6)
    scale = sampler.model.parameter_scales["k"]
    assert says.errors[0] == pytest.approx(((says.alone**-2.0).sum() + scale**-2.0) ** -0.5, rel=1e-6)
    assert says.open_directions == []


def two_wells():
    """Atoms in two wells at one place: only the sum of their constants matters."""
    system = springs.atoms(20, springs.MASS)
    for name in ("k_a", "k_b"):
        force = openmm.CustomExternalForce(f"0.5*{name}*(x^2 + y^2 + z^2)")
        force.addGlobalParameter(name, 1.0)
        for i in range(20):
            force.addParticle(i)
        system.addForce(force)
    model = og.Model(system)
    model.add_parameters({"k_a": 1.0, "k_b": 1.0})
    return springs.ensemble(model, n_frames=60)


def test_what_only_a_sum_matters_for_is_left_open():
    _, _, says = found([square(two_wells(), name="r2")])
    assert says.correlation[0, 1] < -0.95
    ((mix, error),) = says.open_directions
    assert np.abs(mix) == pytest.approx(np.sqrt([0.5, 0.5])) and mix[0] * mix[1] < 0
    assert error == pytest.approx(1.0, rel=1e-3)  # that of the prior
    assert says.alone[0, 0] == pytest.approx(says.alone[0, 1], rel=1e-6) and says.alone[0, 0] < 0.1
    assert "open:" in str(says) and "k_a" in str(says)


def test_a_fit_says_it_and_keeps_it(tmp_path):
    sampler = springs.ensemble(springs.wells(1.9), n_frames=40)
    history = og.fit([square(sampler, name="r2")], max_iterations=1, directory=tmp_path / "run", progress=False,
                     figures=False)
    says = history.influence
    assert isinstance(says, og.Influence) and says.errors[0] == pytest.approx(history.rows[-1]["error k"], rel=1e-6)
    assert json.loads((tmp_path / "run" / "influence.json").read_text())["parameters"] == ["k"]
    again = Influence.from_dict(says.as_dict())
    assert str(again) == str(says)
    resumed = og.fit([square(sampler, name="r2")], max_iterations=1, directory=tmp_path / "run", progress=False,
                     figures=False)
    assert str(resumed.influence) == str(says)


def test_parameters_of_torch_energies_leave_it_unsaid():
    sampler = springs.ensemble(springs.tethered(1.9), n_frames=20)
    history = og.fit([square(sampler, name="r2")], method=torch.optim.Adam, lr=0.01, max_iterations=1, progress=False)
    assert history.influence is None
