# SPDX-License-Identifier: MIT
"""Every example runs through its own flags, small, and moves towards the answer; full size: tests/validation."""

import importlib.util
from pathlib import Path

import numpy as np
import openmm
import pytest
from reference_data import data_file

FOLDER = Path(__file__).parents[2] / "examples"
COVERED = ["01_lennard_jones", "02_argon_structure_factor", "03_one_bead_water", "04_neural_potential",
           "05_argon_diffusion", "06_fold_a_chain", "07_drag_a_trap", "08_rdf_and_vacf", "09_infrared_spectrum",
           "10_water_from_measurements", "11_neural_correction"]
# 150 particles at rho* = 0.845: a box of 5.6 sigma, the cutoff is 2.5 sigma
SMALL = ("--particles", 150, "--frames", 150, "--target-frames", 250, "--iterations", 2)


def run(name: str, *flags) -> dict:
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example.main([str(flag) for flag in flags])


@pytest.fixture(autouse=True)
def one_thread():
    platform = openmm.Platform.getPlatformByName("CPU")
    before = platform.getPropertyDefaultValue("Threads")
    platform.setPropertyDefaultValue("Threads", "1")
    yield
    platform.setPropertyDefaultValue("Threads", before)


def test_every_example_is_here():
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == COVERED


def test_lennard_jones_comes_closer_and_leaves_its_files(tmp_path):
    result = run("01_lennard_jones", *SMALL, "--out", tmp_path / "demo", "--json", tmp_path / "result.json")
    assert result["u_error_kT"] < 0.75 * result["u_error_start_kT"]
    assert result["rdf_rms"] < 0.08
    assert (tmp_path / "result.json").is_file() and list((tmp_path / "demo" / "figures").iterdir())


def test_lennard_jones_from_two_rdfs_alone():
    result = run("01_lennard_jones", *SMALL, "--from-rdf", "--joint")
    assert result["u_error_kT"] < 0.75 * result["u_error_start_kT"]


def test_argon_from_its_structure_factor():
    # 200 atoms: a box of 2.11 nm, the cutoff is 0.95 nm
    result = run("02_argon_structure_factor", "--target", data_file("argon_Sq_yarnell_1973.csv"), "--particles", 200,
                 "--frames", 150, "--iterations", 2)
    assert result["S(Q) rms"] < 0.8 * result["S(Q) rms at the start"]
    assert 0.36 < result["well at (nm)"] < 0.41


def test_one_bead_water_from_its_rdf():
    # 216 beads: a box of 1.87 nm, the cutoff is 0.9 nm
    result = run("03_one_bead_water", "--target", data_file("votca_spce_cg_rdf.csv"), "--r-unit", "nm",
                 "--particles", 216, "--frames", 150, "--iterations", 2)
    assert result["g(r) rms"] < 0.5 * result["g(r) rms at the start"]
    assert 0.25 < result["at (nm)"] < 0.9


def test_a_network_finds_lennard_jones():
    # 108 particles at rho* = 0.5: a box of 6 sigma, the cutoff is 2.5 sigma
    result = run("04_neural_potential", "--truth", "lj", "--particles", 108, "--frames", 150, "--target-frames", 250,
                 "--iterations", 2)
    assert result["u rms where g > 0.1 (kT)"] < 0.25
    assert result["g(r) rms"] < 0.08


def test_argon_diffuses_slower_with_each_update(tmp_path):
    # 180 atoms: a box of 2.06 nm, the cutoff is 1 nm
    result = run("05_argon_diffusion", "--particles", 180, "--runs", 8, "--windows", 4, "--updates", 2, "--length", 5,
                 "--reference-runs", 6, "--json", tmp_path / "result.json")
    table = np.array(result["table"])
    assert 0.1 < result["deviation at the start"] < 0.4  # about 0.2, with a standard error of 0.05
    assert table[1, 2] < table[0, 2] and np.isfinite(table).all()
    assert 0 < np.abs(np.log(table[1, :2] / table[0, :2])).max() <= 0.02 + 1e-9
    assert (tmp_path / "result.json").exists()


def test_the_gradient_of_argon_is_compared_with_differences():
    result = run("05_argon_diffusion", "--check", "--particles", 180, "--runs", 4, "--windows", 6, "--blocks", 3,
                 "--length", 5, "--reference-runs", 6)
    assert result["sigma path"] < 0 and result["sigma differences"] < 0
    assert abs(result["sigma z"]) < 4 and result["sigma sum error"] > 0


def test_a_chain_folds(tmp_path):
    result = run("06_fold_a_chain", "--updates", 36, "--chains", 5, "--tests", 2, "--steps", 700, "--out", tmp_path)
    assert result["loss at last"] < 0.7 * result["loss at first"]
    assert result["rmsd after (nm)"][0] < 0.5 * result["rmsd before (nm)"][0]
    assert {path.name for path in tmp_path.iterdir()} == {"fold.png", "fold.xml", "result.json"}


def test_a_trap_is_dragged_with_the_least_work(tmp_path):
    result = run("07_drag_a_trap", "--particles", 100, "--duration", 0.3, "--out", tmp_path)
    assert abs(result["learnt work above the optimum for its noise (kJ/mol)"]) < 1e-8
    work = result["mean work (kJ/mol)"]
    assert work["exact"] <= work["learnt"] < work["linear"]
    assert {path.name for path in tmp_path.iterdir()} == {"trap.png", "protocols.csv", "result.json"}


def test_rdf_and_vacf_find_a_potential_together(tmp_path):
    result = run("08_rdf_and_vacf", "--short", "--out", tmp_path)["joint"]
    assert result["u error (kT)"] < 0.75 * result["u error at the start (kT)"]
    assert result["C rms"] < result["C rms at the start"]
    assert {path.name for path in tmp_path.iterdir()} == {"costs.png", "joint.png", "result.json"}


def test_a_spectrum_tells_its_force_field(tmp_path):
    result = run("09_infrared_spectrum", "--short", "--out", tmp_path)
    off = result["k_OH off by iteration (%)"]
    assert off[0] == -6.0 and abs(off[-1]) < 4.5  # -1.8, -3.0, -2.4 with three seeds
    assert result["chi2 by iteration"][-1] < 0.9 * result["chi2 by iteration"][0]
    assert {"spectrum.png", "influence.json"} <= {path.name for path in tmp_path.iterdir()}


def test_water_comes_closer_to_measurements(tmp_path):
    result = run("10_water_from_measurements", "--short", "--data", data_file("water_nk_segelstein_1981.csv").parent,
                 "--out", tmp_path)
    assert result["k_OH"][1] < 0.97 * result["k_OH"][0]  # the measured stretch is 200 1/cm lower
    before, after = (result[when]["stretch (1/cm)"] for when in ("before", "after"))
    assert abs(after[0] - after[2]) < abs(before[0] - before[2])
    assert np.isfinite([row[:2] for name, row in result["after"].items()]).all()
    assert (tmp_path / "spectrum.png").exists()


def test_a_neural_correction_trains(tmp_path):
    result = run("11_neural_correction", "--short", "--data", data_file("water_nk_segelstein_1981.csv").parent, "--out",
                 tmp_path, "--stability", 0.2)
    assert len(result["chi2 IR by update"]) == 2 and np.isfinite(result["chi2 IR by update"]).all()
    assert np.abs(result["charges of the dipole (e)"]).max() > 0  # they start at zero
    assert 150 < min(result["stability"]["temperature, first and second half (K)"])
    assert {"result.json", "spectrum.png"} <= {path.name for path in tmp_path.iterdir()}
