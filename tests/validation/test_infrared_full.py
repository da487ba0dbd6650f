# SPDX-License-Identifier: MIT
"""Flexible water from its infrared spectrum at full size: about an hour on two cores."""

import importlib.util
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_charges_bonds_and_angles_are_recovered_from_the_spectrum(tmp_path):
    spec = importlib.util.spec_from_file_location("infrared", EXAMPLES / "09_infrared_spectrum.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    result = example.main(["--out", str(tmp_path)])
    assert result["iterations"] <= 20
    for name, limit in (("q_H", 0.5), ("k_OH", 0.3), ("k_HOH", 0.5)):
        assert abs(result[f"{name} off by iteration (%)"][-1]) < limit
    assert result["check ps"] >= 200
    for band, limit in (("libration", 15.0), ("bend", 5.0), ("stretch", 5.0)):  # libration is known to 3 1/cm per run
        truth, fitted = result[f"{band} (1/cm), truth and fitted"]
        assert abs(truth - fitted) < limit
