# SPDX-License-Identifier: MIT
"""Where the data of others are: the folder in OPENMMGRAD_DATA."""

import os
from pathlib import Path

import pytest


def data_file(name: str) -> Path:
    """The path of a data file; the test fails where the variable or the file is missing."""
    folder = os.environ.get("OPENMMGRAD_DATA")
    if not folder:
        pytest.fail("OPENMMGRAD_DATA is not set: it must name the folder that holds the reference data")
    path = Path(folder) / name
    if not path.is_file():
        pytest.fail(f"{name} is missing in OPENMMGRAD_DATA={folder}: check the folder")
    return path
