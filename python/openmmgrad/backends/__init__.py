# SPDX-License-Identifier: MIT
"""Four ways to put the same pair potential into an openmm.System: who evaluates U and F, never what they are.

Each backend is built from a `PairForceSpec` and offers

``force``
    the `openmm.Force` to add to a System, with its force group and name;
``set_coefficients(c)``
    stages spline coefficients [P, K], kJ/mol;
``updates_in_place``
    True: they are staged in ``force`` itself, and ``update(context)`` brings them into a Context made from
    the System that holds it (which must be alive, because it owns the force).
    False: forces are frozen; ``set_coefficients`` makes ``force`` a new one, for a new System and Context,
    and ``update`` raises RuntimeError.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

import numpy as np
import openmm

from ..errors import require
from .spec import PairForceSpec

#: Module and class of each backend; imported when asked for, because each needs another package.
_CLASSES = {
    "native": "NativePairForce",
    "table": "TablePairForce",
    "pythonforce": "PythonPairForce",
    "torchforce": "TorchPairForce",
}
#: The names that `build` knows.
NAMES = tuple(_CLASSES)

__all__ = ["NAMES", "Backend", "PairForceSpec", "build"]


class Backend(Protocol):
    """What every backend offers; see the module's docstring."""

    updates_in_place: bool

    @property
    def force(self) -> openmm.Force:
        """The force to add to a System."""

    def set_coefficients(self, coefficients: np.ndarray) -> None:
        """Stage coefficients [P, K], kJ/mol."""

    def update(self, context: openmm.Context) -> None:
        """Bring the staged coefficients into a Context."""


def build(name: str, spec: PairForceSpec, temperature: float | None = None) -> Backend:
    """A backend's force for a spec; its coefficients are zero until `set_coefficients`.

    Parameters
    ----------
    name
        "native" (LearnablePairForce), "table" (CustomNonbondedForce with a tabulated function: needs no
        plugin), "pythonforce" (openmm.PythonForce) or "torchforce" (OpenMM-Torch).
    spec
        Particles, types, cutoff and who interacts with whom.
    temperature
        K; given to the module of a spec with ``exact=True``, and unused by splines.

    Raises
    ------
    ValueError
        For an unknown name, or an exact spec without potential.
    ImportError
        If the package that the backend needs is not installed.

    Examples
    --------
    >>> spec = PairForceSpec(
    ...     n_particles=2, types=[0, 0], n_types=1, cutoff=1.0, n_coefficients=16, periodic=False
    ... )
    >>> table = build("table", spec)
    >>> table.set_coefficients(np.zeros((1, 16)))
    >>> type(table.force).__name__, table.updates_in_place
    ('CustomNonbondedForce', True)
    """
    require(
        name in NAMES,
        "backends.build",
        f"unknown backend {name!r}; expected one of {', '.join(NAMES)}",
        "Choose one of those",
    )
    return getattr(import_module(f".{name}", __name__), _CLASSES[name])(spec, temperature)
