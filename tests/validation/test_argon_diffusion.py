# SPDX-License-Identifier: MIT
"""Self-diffusion of argon at full size: the timestep, both parts of the gradient, the fit; ten minutes, two cores."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

import openmmgrad as og

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("argon_diffusion", EXAMPLES / "05_argon_diffusion.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_steps_of_10_fs_change_neither_D_nor_its_gradient(example):
    """From equal frames, so that the windows differ by their timestep alone."""
    system, topology, positions = og.bead_fluid(346, example.DENSITY, example.MASS)
    potential = og.LennardJones(example.SIGMA, example.EPSILON, example.CUTOFF)
    model = og.Model(system, topology)
    model.add_pair_potential(potential)
    frames = og.Ensemble(model, positions, example.TEMPERATURE, timestep=0.005, n_frames=40, stride=200,
                         equilibration=4000, threads=1).sample()
    found = {}
    for timestep, stride in ((0.002, 20), (0.010, 4)):
        propagator = og.Propagator(model, timestep, round(example.WINDOW / timestep) + 1, threads=1, workers=1)
        rows = []
        for s in range(len(frames)):
            window = propagator(frames[s])
            D, _ = og.time_origins(og.SelfDiffusion(), window, model, example.WINDOW, example.WINDOW, stride)
            rows.append([1e9 * g.item() for g in (D, *torch.autograd.grad(D.sum(), list(potential.parameters())))])
        found[timestep] = np.array(rows)
    change = (found[0.010] - found[0.002]).mean(0) / found[0.002].mean(0)
    print(f"from 2 to 10 fs: D {change[0]:+.1e}, dD/dsigma {change[1]:+.1e}, dD/depsilon {change[2]:+.1e}, relative")
    assert abs(change[0]) < 1e-3
    assert np.abs(change[1:]).max() < 1e-2


def test_the_gradient_of_diffusion_agrees_with_differences_of_independent_runs(example):
    result = example.main(["--check", "--workers", "2"])
    for name in ("sigma", "epsilon"):
        assert abs(result[f"{name} z"]) < 3
        assert result[f"{name} sum error"] < 0.1 * abs(result[f"{name} differences"])
        assert result[f"{name} differences error"] < 0.05 * abs(result[f"{name} differences"])


def test_argon_is_fitted_to_its_diffusion_coefficient(example):
    result = example.main(["--workers", "2", "--seed", "2"])
    assert result["deviation at the start"] > 0.15
    assert result["first update at the floor"] < 10
    assert result["expected error"] < 0.006
    assert abs(result["deviation"]) < 3 * np.hypot(result["expected error"], result["D error"] / example.TARGET)
