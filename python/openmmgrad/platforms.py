# SPDX-License-Identifier: MIT
"""A platform of OpenMM by one word, "CPU" or "CUDA:double:1", and the properties that a Context is given for it."""

from __future__ import annotations

from typing import NamedTuple

from .errors import require

_PRECISIONS = ("single", "mixed", "double")


class Platform(NamedTuple):
    """What a platform's word says: its name in OpenMM, for OpenCL and CUDA also a precision and a device's number."""

    name: str
    precision: str | None = None
    device: str | None = None

    @property
    def in_double(self) -> bool:
        """Whether all forces are computed in double precision."""
        return self.name == "Reference" or self.precision == "double"


def parse(platform: str, who: str = "platform") -> Platform:
    """``"NAME"``, or for OpenCL and CUDA ``"NAME:precision"`` or ``"NAME:precision:device"``.

    The precision is OpenMM's: "single", "mixed" (forces in single, integration in double precision) or "double";
    "mixed" if none is given, where OpenMM itself would take "single". Forces in single precision make derivatives that
    are right to about 1e-5: where that is not enough, and where forces are differenced, take "double" if the device is
    good at it. OpenMM chooses the device if none is given.

    Raises
    ------
    ValueError
        If there is more than a name for another platform, or what it says is not possible.

    Examples
    --------
    >>> parse("CUDA"), parse("OpenCL:double:0").device, parse("Reference").in_double
    (Platform(name='CUDA', precision='mixed', device=None), '0', True)
    """
    name, *given = platform.split(":")
    if name not in ("OpenCL", "CUDA"):
        require(not given, who, f"platform {platform!r}: only OpenCL and CUDA have a precision and a device",
                f"Write {name!r}")  # fmt: skip
        return Platform(name)
    precision, device = (*given, *("mixed", None)[len(given):]) if len(given) <= 2 else ("", None)
    require(precision in _PRECISIONS and (device is None or device.isdecimal()), who,
            f"platform {platform!r} must be {name!r}, \"{name}:precision\" or \"{name}:precision:device\", where the "
            f"precision is {', '.join(_PRECISIONS)} and the device one number",
            f"Write for example \"{name}:mixed\" or \"{name}:double:0\"")  # fmt: skip
    return Platform(name, precision, device)


def properties(platform: str, threads: int | None) -> dict[str, str]:
    """What a Context is given: precision and device, or threads of the CPU platform (None: OpenMM's choice).

    With one thread equal runs are to be equal bit by bit, for which PME must add up its charges in order: it has
    threads of its own.

    Examples
    --------
    >>> properties("CPU", 1), properties("CPU", 4), properties("Reference", 1)
    ({'Threads': '1', 'DeterministicForces': 'true'}, {'Threads': '4'}, {})
    >>> properties("CUDA", 1), properties("OpenCL:single:2", None)
    ({'Precision': 'mixed'}, {'Precision': 'single', 'DeviceIndex': '2'})
    """
    name, precision, device = parse(platform)
    if name == "CPU" and threads:
        return {"Threads": str(threads), **({"DeterministicForces": "true"} if threads == 1 else {})}
    wanted = {"Precision": precision, "DeviceIndex": device}
    return {key: value for key, value in wanted.items() if value is not None}
