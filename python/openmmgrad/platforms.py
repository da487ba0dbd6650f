# SPDX-License-Identifier: MIT
"""Properties of OpenMM's platforms."""

from __future__ import annotations


def properties(platform: str, threads: int | None) -> dict[str, str]:
    """What a Context is given: threads of the CPU platform (None: OpenMM's choice).

    With one thread equal runs are to be equal bit by bit, for which PME must add up its charges in order: it has
    threads of its own.

    Examples
    --------
    >>> properties("CPU", 1), properties("CPU", 4), properties("Reference", 1)
    ({'Threads': '1', 'DeterministicForces': 'true'}, {'Threads': '4'}, {})
    """
    if platform != "CPU" or not threads:
        return {}
    return {"Threads": str(threads), **({"DeterministicForces": "true"} if threads == 1 else {})}
