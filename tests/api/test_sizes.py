# SPDX-License-Identifier: MIT
"""Files stay small enough to read in one sitting."""

import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("plugin", "python", "tests", "examples", "benchmarks")
SOURCES = {".py", ".cpp", ".h", ".cu", ".cl", ".i", ".sh", ".cmake", ".txt"}


def sizes(folder: str) -> dict[str, int]:
    files = (path for path in (ROOT / folder).rglob("*") if path.suffix in SOURCES)
    return {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_source_file_is_over_500_lines(folder):
    found = sizes(folder)
    assert found, f"no source files in {folder}"
    assert {name: n for name, n in found.items() if n > 500} == {}


def test_the_median_file_of_the_package_is_at_most_170_lines():
    assert statistics.median(sizes("python/openmmgrad").values()) <= 170
