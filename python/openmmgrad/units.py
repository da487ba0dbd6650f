# SPDX-License-Identifier: MIT
"""Units: nm, ps, amu, kJ/mol, K, e inside; openmm Quantities at the border only; reduced units both ways."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from openmmgrad.errors import require

#: Boltzmann's constant, kJ/mol/K (exact in the SI of 2019).
KB = 0.00831446261815324
#: One bar, kJ/mol/nm^3.
BAR = 0.0602214076

_NAMES = {
    "nm": "nanometer",
    "angstrom": "angstrom",
    "ps": "picosecond",
    "amu": "dalton",
    "kJ": "kilojoule",
    "mol": "mole",
    "K": "kelvin",
    "e": "elementary_charge",
    "bar": "bar",
    "radian": "radian",
}


def _openmm_unit(text: str) -> Any:
    """Turn "kJ/mol/nm^2" or "1/nm" into an openmm.unit.Unit."""
    from openmm import unit

    result = unit.dimensionless
    for sign, factor in re.findall(r"(^|[*/])([^*/]+)", text):
        name, _, power = factor.strip().partition("^")
        if name == "1":
            continue
        require(
            name in _NAMES,
            "units.plain",
            f"unit {text!r} must be made of {', '.join(_NAMES)}, found {name!r}",
            "Spell it as in 'kJ/mol/nm^2' or '1/nm'.",
        )
        result *= getattr(unit, _NAMES[name]) ** ((-1 if sign == "/" else 1) * int(power or 1))
    return result


def plain(value: Any, unit: str) -> Any:
    """The number behind ``value``, in ``unit``.

    Floats, arrays and tensors are taken to be in ``unit`` already and pass through unchanged. An
    ``openmm.unit.Quantity`` becomes a float, or an ndarray where it holds a list or an array; so does a list
    of numbers or of Quantities. openmm is imported only when a Quantity is given.

    Parameters
    ----------
    value
        A number, array, tensor, list or Quantity.
    unit
        Made of nm, ps, amu, kJ, mol, K, e, bar, angstrom, radian with ``*``, ``/``, ``^``: "kJ/mol/nm^2".

    Raises
    ------
    ValueError
        If the Quantity has another dimension. OpenMM keeps the mole as a dimension: kJ is not kJ/mol.
    TypeError
        If ``value`` is None, a bool or a text.

    Examples
    --------
    >>> from openmm.unit import angstrom
    >>> round(plain(9.0 * angstrom, "nm"), 12)
    0.9
    >>> plain(0.9, "nm")
    0.9
    """
    if value is None or isinstance(value, bool | str):
        text = f"expected a number, array or Quantity in {unit}, found {value!r}"
        require(False, "units.plain", text, f"Give a number in {unit}.", TypeError)
    if hasattr(value, "value_in_unit_system"):
        expected = _openmm_unit(unit)
        require(
            value.unit.is_compatible(expected),
            "units.plain",
            f"expected a Quantity convertible to {unit}, found one in {value.unit.get_name()}",
            f"Give it in {unit} or a compatible unit.",
        )
        number = value.value_in_unit(expected)
        return float(number) if np.ndim(number) == 0 else np.asarray(number, dtype=float)
    if isinstance(value, list | tuple):
        return np.asarray([plain(entry, unit) for entry in value], dtype=float)
    return value


@dataclass(frozen=True)
class ReducedUnits:
    r"""Lennard-Jones reduced units, both ways.

    .. math:: T^* = k_B T/\epsilon,\quad \rho^* = \rho\sigma^3,\quad t^* = t\sqrt{\epsilon/(m\sigma^2)},\quad
        p^* = p\,\sigma^3/\epsilon

    Parameters
    ----------
    sigma
        Length, nm.
    epsilon
        Energy, kJ/mol.
    mass
        Mass, amu.

    Raises
    ------
    ValueError
        If one of them is not a finite positive number.

    References
    ----------
    M. P. Allen, D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), appendix B.

    Examples
    --------
    >>> argon = ReducedUnits(sigma=0.3405, epsilon=0.9961, mass=39.948)
    >>> round(argon.temperature(1.0), 2), round(argon.time(1.0), 3)
    (119.8, 2.156)
    """

    sigma: float
    epsilon: float
    mass: float

    def __post_init__(self):
        for name, unit in (("sigma", "nm"), ("epsilon", "kJ/mol"), ("mass", "amu")):
            value = float(plain(getattr(self, name), unit))
            require(
                math.isfinite(value) and value > 0,
                "ReducedUnits",
                f"{name} must be finite and positive, found {value} {unit}",
                f"Give {name} in {unit}.",
            )
            object.__setattr__(self, name, value)

    @property
    def _time(self) -> float:
        return self.sigma * math.sqrt(self.mass / self.epsilon)

    def temperature(self, reduced):
        """T* -> T, K."""
        return reduced * (self.epsilon / KB)

    def number_density(self, reduced):
        """rho* -> rho, nm^-3."""
        return reduced / self.sigma**3

    def time(self, reduced):
        """t* -> t, ps."""
        return reduced * self._time

    def length(self, reduced):
        """r* -> r, nm."""
        return reduced * self.sigma

    def energy(self, reduced):
        """u* -> u, kJ/mol."""
        return reduced * self.epsilon

    def pressure(self, reduced):
        """p* -> p, kJ/mol/nm^3 (divide by ``units.BAR`` for bar)."""
        return reduced * (self.epsilon / self.sigma**3)

    def to_reduced_temperature(self, temperature):
        """T, K -> T*."""
        return plain(temperature, "K") / (self.epsilon / KB)

    def to_reduced_number_density(self, number_density):
        """rho, nm^-3 -> rho*."""
        return plain(number_density, "1/nm^3") * self.sigma**3

    def to_reduced_time(self, time):
        """t, ps -> t*."""
        return plain(time, "ps") / self._time

    def to_reduced_length(self, length):
        """r, nm -> r*."""
        return plain(length, "nm") / self.sigma

    def to_reduced_energy(self, energy):
        """u, kJ/mol -> u*."""
        return plain(energy, "kJ/mol") / self.epsilon

    def to_reduced_pressure(self, pressure):
        """p, kJ/mol/nm^3 -> p*."""
        return plain(pressure, "kJ/mol/nm^3") / (self.epsilon / self.sigma**3)
