# SPDX-License-Identifier: MIT
"""OpenMM's platforms by name, and why one is not there."""

from __future__ import annotations

from pathlib import Path

import openmm

from .errors import require
from .platforms import parse

_DRIVER = {
    "CUDA": "NVIDIA's driver, and `pip install \"openmm[cuda13]\"` (or cuda12) in the environment of openmm",
    "OpenCL": "the driver of your device with libOpenCL.so.1 (for the processor itself, on Debian and Ubuntu: "
              "`apt install pocl-opencl-icd ocl-icd-libopencl1`)",
}


def find_platform(name: str, who: str) -> openmm.Platform:
    """The platform of this name.

    Parameters
    ----------
    name
        "Reference", "CPU", "OpenCL", "CUDA" or another that OpenMM has loaded, with what `platforms.parse` allows.
    who
        The class or function that asks, for the message.

    Raises
    ------
    ValueError
        If OpenMM has no such platform; says what it could not load, and what to install.

    Examples
    --------
    >>> find_platform("CPU", "Ensemble").getName()
    'CPU'
    >>> find_platform("GPU", "Ensemble")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: Ensemble: platform 'GPU' is not available; found Reference, CPU... Choose one of those.
    """
    name = parse(name, who).name
    platforms = [openmm.Platform.getPlatform(i) for i in range(openmm.Platform.getNumPlatforms())]
    names = [platform.getName() for platform in platforms]
    message, remedy = f"platform {name!r} is not available; found {', '.join(names)}", "Choose one of those"
    if name in _DRIVER:
        reasons = _failures(name) or [f"libOpenMM{name} is not in its directory of plugins"]
        message += f". OpenMM did not load it: {'; '.join(reasons)}"
        remedy += f", or install {_DRIVER[name]}"
    require(name in names, who, message, remedy)
    return platforms[names.index(name)]


def _failures(name: str) -> list[str]:
    """What kept OpenMM from loading a platform, without paths; of its own library before that of ours."""
    prefix, found = "Error loading library ", {}
    for failure in openmm.Platform.getPluginLoadFailures():
        path, _, reason = failure.removeprefix(prefix).partition(": ")
        found[Path(path).name.split(".")[0]] = f"{Path(path).name}: {reason}"
    own, ours = found.get(f"libOpenMM{name}"), found.get(f"libOpenMMGrad{name}")
    return [reason for reason in (own or ours,) if reason]
