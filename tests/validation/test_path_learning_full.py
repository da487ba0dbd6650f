# SPDX-License-Identifier: MIT
"""The example of g(r) and C(t) at full size: what is found, and which gradient is worth its cost. Ten minutes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest


def example(*flags) -> dict:
    path = Path(__file__).parents[2] / "examples" / "08_rdf_and_vacf.py"
    spec = importlib.util.spec_from_file_location("rdf_and_vacf", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main([str(flag) for flag in flags])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_structure_and_motion_are_inverted_together(seed):
    result = example("--part", "joint", "--seed", seed)["joint"]
    assert result["u error at the start (kT)"] > 0.25
    assert result["u error (kT)"] <= 0.03
    assert result["g rms"] <= 0.01
    assert result["C rms"] <= 0.006


@pytest.fixture(scope="module")
def costs():
    return example("--part", "costs")["costs"]


def test_each_way_has_the_same_number_of_forces(costs):
    forces = [row["forces"] for row in costs.values() if isinstance(row, dict)]
    assert len(forces) == 4 and max(forces) < 1.05 * min(forces)


def test_weights_with_gauss_newton_win(costs):
    best = costs["weights, Gauss-Newton"]
    assert best["u error (kT)"] <= 0.04
    assert all(best["u error (kT)"] < 0.25 * row["u error (kT)"] for name, row in costs.items()
               if isinstance(row, dict) and name != "weights, Gauss-Newton")


def test_short_paths_find_the_structure_by_themselves(costs):
    """No worse than Adam on weights for the same forces; each step swept back costs about two more."""
    paths, weights = costs["paths, 0.2 t*"], costs["weights, Adam"]
    assert paths["g rms"] <= 0.02
    assert paths["g rms"] < weights["g rms"] and paths["u error (kT)"] < weights["u error (kT)"]


def test_long_paths_do_not(costs):
    """Their gradients grow while the structure comes closer: it is chaos that they show."""
    short, long = costs["paths, 0.2 t*"], costs["paths, 0.6 t*"]
    assert long["g rms"] > 2 * short["g rms"]
    assert np.median(long["gradient norms"][-10:]) > 10 * np.median(short["gradient norms"][-10:])
