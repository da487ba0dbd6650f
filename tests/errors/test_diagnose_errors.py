# SPDX-License-Identifier: MIT
"""Mistakes with diagnose_gradient: each message names what was found and what to do."""

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og


def spring(learn=True):
    system, force = openmm.System(), openmm.CustomExternalForce("0.5*k*x^2")
    force.addGlobalParameter("k", 9.0)
    system.addParticle(1.0)
    force.addParticle(0)
    system.addForce(force)
    model = og.Model(system)
    if learn:
        model.add_parameters({"k": 9.0})
    return model


def frames(n=3, velocities=True):
    x = np.full((n, 1, 3), 0.1)
    return og.Frames(x, og.State([], 300.0, parameters={"k": 9.0}), velocities=x if velocities else None)


def last(path):
    return path.positions[:, -1, 0, 0]


def diagnose(**changed):
    arguments = {"model": spring(), "frames": frames(), "loss": last, "n_steps": 8, "timestep": 0.01,
                 "platform": "Reference"} | changed
    return og.diagnose_gradient(**arguments)


@pytest.mark.parametrize(("changed", "error", "message"), [
    ({"model": openmm.System()}, TypeError, r"expected a Model, found System\. Pass openmmgrad\.Model"),
    ({"model": spring(learn=False)}, ValueError, r"no parameters that require grad\. Add a potential, or name global"),
    ({"frames": None}, TypeError, r"expected Frames, found NoneType\. Pass what Ensemble\.sample returns, or Frames\("),
    ({"frames": frames()[:0]}, TypeError, r"expected Frames, found Frames of no frame"),
    ({"frames": frames(velocities=False)}, ValueError, r"expected frames with velocities, found none"),
    ({"loss": 3.0}, TypeError, r"loss must be a function of a Path, found float\. Pass lambda path"),
    ({"loss": lambda path: last(path).mean()}, ValueError, r"one value per window, shape \[1\], found \[\]\. Average"),
    ({"loss": lambda path: path.positions[:, :, 0, 0]}, ValueError, r"shape \[1\], found \[1, 2\]"),
    ({"loss": lambda path: 1.0}, ValueError, r"shape \[1\], found float"),
    ({"n_steps": 0}, ValueError, r"n_steps must be a whole number from 1, found 0"),
    ({"stride": 16}, ValueError, r"expected n_steps from stride = 16, found 8\. Take more steps"),
    ({"windows": [2, 9]}, ValueError, r"lengths from 1 to n_steps = 8 steps, multiples of stride = 1; found \[9\]"),
    ({"windows": [3, 4], "stride": 2}, ValueError, r"multiples of stride = 2; found \[3\]\. Give such lengths"),
    ({"windows": []}, ValueError, r"found none"),
    ({"max_relative_error": 0.0}, ValueError, r"max_relative_error must be positive, found 0\.0"),
    ({"max_growth": -1.0}, ValueError, r"max_growth must be positive"),
    ({"difference": 0.0}, ValueError, r"difference must be positive, found 0\.0"),
    ({"w": og.Weights.uniform(2)}, ValueError, r"expected weights of 3 frames, found 2\. Use the weights of these"),
    ({"w": og.Weights.uniform(3), "static": True}, ValueError, r"static=True needs weights with graph.*leave w out"),
    ({"controls": {"k": torch.ones(8)}}, TypeError, r"controls= is not diagnosed\. Pass frames"),
    ({"initial": (np.zeros((1, 3)),) * 2}, TypeError, r"initial= is not diagnosed"),
])
def test_diagnose_gradient_refuses(changed, error, message):
    with pytest.raises(error, match=r"diagnose_gradient: .*" + message):
        diagnose(**changed)


def test_mistakes_of_propagate_keep_their_message():
    with pytest.raises(ValueError, match=r"propagate: expected a timestep, found none"):
        diagnose(timestep=None)
    with pytest.raises(ValueError, match=r"propagate: platform 'Abacus' is not available"):
        diagnose(platform="Abacus")


def test_a_loss_that_needs_longer_windows_says_what_to_do():
    with pytest.raises(ValueError, match=r"the loss refuses a window of 1 steps: MSD: .*Or give lengths .* windows="):
        diagnose(loss=lambda path: og.observables.MSD(max_lag=0.08, remove_com=False)(path)[:, -1])
    assert diagnose(loss=lambda path: og.observables.MSD(max_lag=0.08, remove_com=False)(path)[:, -1],
                    windows=[8]).rows[0]["steps"] == 8


def test_a_parameter_is_put_back_when_the_loss_fails():
    model, calls = spring(), []

    def fails(path):
        calls.append(model.global_parameters["k"].item())
        if calls[-1] != 9.0:
            raise RuntimeError("enough")
        return last(path)

    with pytest.raises(RuntimeError, match="enough"):
        diagnose(model=model, loss=fails)
    assert calls[-1] != 9.0 and model.global_parameters["k"].item() == 9.0
