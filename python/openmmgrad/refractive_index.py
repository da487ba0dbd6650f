# SPDX-License-Identifier: MIT
"""The refractive index of what absorbs: given, of a permittivity, or from the absorption itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator

from .errors import require


def kramers_kronig(wavenumber: np.ndarray, alpha: np.ndarray, n_infinity: float) -> np.ndarray:
    r"""The refractive index that belongs to an absorption.

    .. math:: n(\nu) = n_\infty + \frac{1}{2 \pi^2}\, \mathrm{P}\!\int
        \frac{\alpha(\nu')}{\nu'^2 - \nu^2}\, d\nu'

    with alpha linear between the wavenumbers, for which the integral is exact, and zero outside them.

    Parameters
    ----------
    wavenumber
        [R], positive, increasing, 1/cm.
    alpha
        [R], naperian absorption coefficient, 1/cm.
    n_infinity
        n above all that absorbs in the range.

    Returns
    -------
    ndarray
        n, [R].

    Raises
    ------
    ValueError
        If a wavenumber is 0.

    References
    ----------
    V. Lucarini et al., Kramers-Kronig Relations in Optical Materials Research (2005), ch. 2.

    Examples
    --------
    >>> v = np.linspace(4.0, 4000.0, 1000)
    >>> eps = 1.7 + 0.5 * 600**2 / (600**2 - v**2 - 100j * v)            # a Lorentz oscillator
    >>> n = np.sqrt(eps)
    >>> float(np.abs(kramers_kronig(v, 4 * np.pi * v * n.imag, 1.7**0.5) - n.real).max()) < 2e-3
    True
    """
    v, a = np.asarray(wavenumber, dtype=float), np.asarray(alpha, dtype=float)
    require(v[0] > 0, "kramers_kronig", "wavenumbers must be positive, found 0 1/cm", "Leave out that row")
    slopes = np.diff(a) / np.diff(v)
    # d(intercept), d(slope) at the nodes: the line after less the line before
    slope_change = np.diff(slopes, prepend=0.0, append=0.0)
    intercepts = a[:-1] - slopes * v[:-1]
    intercept_change = np.diff(intercepts, prepend=0.0, append=0.0)
    at = v[:, None]
    apart = np.abs(v - at)
    np.fill_diagonal(apart, 1.0)                    # where lines meet at v the logarithm cancels
    integral = -((intercept_change + slope_change * at) * np.log(apart)
                 - (intercept_change - slope_change * at) * np.log(v + at)).sum(1) / (2 * v)
    return n_infinity + integral / (2 * np.pi**2)


def index_of(eps_real: np.ndarray, eps_imag: np.ndarray) -> np.ndarray:
    """The refractive index [R] of a permittivity."""
    return np.sqrt((np.hypot(eps_real, eps_imag) + eps_real) / 2)


def index_on(index: Any, wavenumber: np.ndarray, quantity: str, path: Path) -> np.ndarray:
    """The refractive index [R] at wavenumbers, 1/cm, of a number or two arrays, for a quantity of the table at path."""
    who = "read_spectrum"
    require(index is not None, who, f"n(v) alpha(v) from quantity={quantity!r} needs the refractive index, and none "
            "was given", "Pass n_column=, refractive_index= (a number or (wavenumber, n)), or n_infinity=")
    if isinstance(index, int | float | np.number):
        return np.full(len(wavenumber), float(index))
    require(isinstance(index, tuple | list | np.ndarray) and len(index) == 2 and np.ndim(index[0]) == 1
            and np.shape(index[0]) == np.shape(index[1]), who,
            "refractive_index must be a number or two arrays of one length, (wavenumber, n)",
            "Pass (other.wavenumber, other.n) of another MeasuredSpectrum")
    v, n = (np.asarray(a, dtype=float) for a in index)
    require(len(v) >= 2 and bool((np.diff(v) > 0).all()), who, "wavenumbers of refractive_index must increase",
            "Sort them")
    tolerance = 1e-9 * v[-1]
    require(v[0] <= wavenumber[0] + tolerance and wavenumber[-1] <= v[-1] + tolerance, who,
            f"refractive_index covers {v[0]:.5g} to {v[-1]:.5g} 1/cm, and {path} {wavenumber[0]:.5g} to "
            f"{wavenumber[-1]:.5g} 1/cm", "Give n over the whole range of the table")
    return PchipInterpolator(v, n)(np.clip(wavenumber, v[0], v[-1]))
