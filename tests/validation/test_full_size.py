# SPDX-License-Identifier: MIT
"""The examples at full size against the numbers that README states: hours on two cores, `make validate`."""

import importlib.util
from pathlib import Path

import pytest
from reference_data import data_file

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def example(name: str, *arguments) -> dict:
    (path,) = EXAMPLES.glob(f"{name}*.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main([str(a) for a in arguments])


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_lennard_jones_is_recovered_from_its_structure(seed):
    result = example("01", "--seed", seed)
    assert result["u_error_kT"] <= 0.03
    assert result["inside_band"]
    assert result["rdf_rms"] <= 0.005
    assert result["chi2_per_dof"] <= 1.5


def test_lennard_jones_is_recovered_from_bins_of_g():
    assert example("01", "--from-rdf")["u_error_kT"] <= 0.06


def test_two_states_together_predict_a_third():
    result = example("01", "--joint")
    assert result["u_error_kT"] <= 0.03
    assert result["prediction_rdf_rms"] <= 0.01


def test_argon_from_its_measured_structure_factor():
    result = example("02", "--target", data_file("argon_Sq_yarnell_1973.csv"),
                     "--check", data_file("argon_gr_yarnell_1973_digitised.csv"))
    assert result["S(Q) rms"] <= 0.03


@pytest.mark.parametrize(("file", "options"), [
    ("votca_spce_cg_rdf.csv", ["--r-unit", "nm", "--temperature", 300, "--density", 33.28]),
    ("water_gOO_skinner_benmore_2014.csv",
     ["--r-unit", "angstrom", "--column", "gOO_295.1K", "--temperature", 295.1, "--density", 33.35]),
])
def test_one_bead_water_reproduces_a_measured_rdf(file, options):
    assert example("03", "--target", data_file(file), *options)["g(r) rms"] <= 0.02


@pytest.mark.parametrize("truth", ["lj", "morse", "soft-sphere"])
def test_one_network_learns_any_potential(truth):
    assert example("04", "--truth", truth)["u rms where g > 0.1 (kT)"] <= 0.06
