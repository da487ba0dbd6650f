# SPDX-License-Identifier: MIT
"""Measured spectra, from the units and quantities of their tables to n(v) alpha(v) over wavenumbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import require
from .refractive_index import index_of, index_on, kramers_kronig
from .tables import Table, read_table, unit_of

WHO = "read_spectrum"
#: To 1/cm: the factor, of x or of 1/x, and the words by which column names tell.
_ABSCISSAE = {
    "1/cm": (1.0, 1, {"1/cm", "cm1", "cm-1", "cm^-1", "cm^{-1}", "invcm"}),
    "THz": (1e12 / 2.99792458e10, 1, {"THz"}),
    "GHz": (1e9 / 2.99792458e10, 1, {"GHz"}),
    "rad/ps": (1e12 / (2 * np.pi * 2.99792458e10), 1, {"rad/ps", "rad_ps", "rad_per_ps"}),
    "um": (1e4, -1, {"um", "µm", "μm", "micron", "microns"}),
    "nm": (1e7, -1, {"nm"}),
    "eV": (8065.543937349212, 1, {"eV"}),
    "meV": (8.065543937349212, 1, {"meV"}),
}
_COEFFICIENTS = {"1/cm": (1.0, _ABSCISSAE["1/cm"][2]), "1/mm": (10.0, {"1/mm", "mm1", "mm-1", "mm^-1"}),
                 "1/m": (0.01, {"1/m", "m1", "m-1", "m^-1"}), "1/um": (1e4, {"1/um", "um1", "um-1", "um^-1"})}
#: What a table may hold, and which keywords each quantity takes.
_QUANTITIES = {"n_alpha": {"y_unit"}, "alpha": {"y_unit", "n"}, "decadic_alpha": {"y_unit", "n"}, "k": {"n"},
               "nk": {"k_column", "n_column"}, "eps": {"real_column"}, "transmission": {"thickness", "n"},
               "absorbance": {"thickness", "n"}}
#: Noise about zero may be this part of the highest absorption.
_NEGATIVE = 0.05


@dataclass(frozen=True, eq=False)
class MeasuredSpectrum:
    """A measured absorption spectrum.

    Parameters
    ----------
    wavenumber
        [R], increasing, 1/cm.
    n_alpha
        [R], 1/cm: the refractive index times the naperian absorption coefficient, which `IRSpectrum` gives.
    n
        [R], the refractive index, or None where it was neither given nor needed.
    sigma
        [R], standard errors of n_alpha, 1/cm, or None.
    path
        Of the table.
    """

    wavenumber: np.ndarray
    n_alpha: np.ndarray
    n: np.ndarray | None
    sigma: np.ndarray | None
    path: Path


def read_spectrum(path: str | Path, quantity: str, *, column: str | int | None = None,
                  n_column: str | int | None = None, k_column: str | int | None = None,
                  real_column: str | int | None = None, sigma_column: str | int | None = None,
                  x_column: str | int | None = None, x_unit: str | None = None, y_unit: str | None = None,
                  thickness: float | None = None, refractive_index: Any = None, n_infinity: float | None = None,
                  rows: Mapping | None = None, sort: bool = False) -> MeasuredSpectrum:
    r"""A measured spectrum, as n(v) alpha(v) over wavenumbers v = 1/wavelength.

    ================= ================================================================================
    quantity          the column holds
    ================= ================================================================================
    ``n_alpha``       :math:`n \alpha`
    ``alpha``         the naperian absorption coefficient, :math:`I = I_0 e^{-\alpha d}`
    ``decadic_alpha`` the decadic one, :math:`I = I_0 10^{-a d}`: :math:`\alpha = a \ln 10`
    ``k``             the extinction coefficient: :math:`\alpha = 4 \pi k \nu`
    ``nk``            the same, with n in another column
    ``eps``           the imaginary part of the permittivity: :math:`n \alpha = 2 \pi \nu\, \varepsilon''`
    ``transmission``  :math:`T = e^{-\alpha d}`, a fraction
    ``absorbance``    :math:`A = -\log_{10} T = \alpha d / \ln 10`
    ================= ================================================================================

    Reflection at the faces of a sample is neglected: transmission and absorbance must be corrected for it (or be
    relative to a sample of another thickness, with ``thickness`` the difference).

    Parameters
    ----------
    path
        CSV, XVG or columns; see `read_table`, also for ``rows`` and ``sort``.
    quantity
        As above.
    column
        Name or index of the quantity's column; None where the table has only one. Of ``eps`` the imaginary part.
    n_column, k_column
        Refractive index and extinction coefficient; of ``nk`` "n" and "k" by default. Other quantities take
        ``n_column`` where they need n.
    real_column
        Of ``eps``: the real part; only the spectrum's n needs it.
    sigma_column
        Standard errors of the quantity, in its unit; those of n and thickness are not counted.
    x_column, x_unit
        The abscissa (None: the first column), and its unit: "1/cm", "THz", "GHz", "rad/ps", "um", "nm", "eV" or
        "meV". None: the column's name tells (``wavenumber_cm1``, ``wavelength (um)``).
    y_unit
        Of alpha: "1/cm", "1/mm", "1/m" or "1/um". None: the column's name tells (``alpha_cm1``).
    thickness
        d, um.
    refractive_index
        n where the table has none: a number, or two arrays (wavenumber, n), interpolated.
    n_infinity
        n well above the table, from which `kramers_kronig` computes n of the table's own absorption. That is as good
        as the table is wide: from 1 to 20000 1/cm n of water comes within 2.3 % between 100 and 4000 1/cm (with
        n_infinity = 1.32; a constant 1.33 is off by up to 30 %).

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_table`; further if a unit is not told, n is needed and missing, T is not above 0 and up to 1, or
        absorption is negative by more than 5 % of its highest.

    Examples
    --------
    >>> import tempfile
    >>> table = Path(tempfile.mkdtemp()) / "water.csv"
    >>> rows = ["wavelength_um,n,k", "2.8,1.142,0.1165", "2.9,1.203,0.2689", "3.0,1.353,0.2725", "3.1,1.446,0.1942"]
    >>> _ = table.write_text("\n".join(rows))
    >>> spectrum = read_spectrum(table, "nk")
    >>> spectrum.wavenumber.round(1).tolist(), spectrum.n_alpha.round().tolist()
    ([3225.8, 3333.3, 3448.3, 3571.4], [11383.0, 15444.0, 14017.0, 5971.0])
    """
    require(quantity in _QUANTITIES, WHO, f"quantity must be one of {', '.join(_QUANTITIES)}, found {quantity!r}",
            "Say what the column holds: factors of n, ln 10 or 4 pi are between them")
    _check_keywords(quantity, {"y_unit": y_unit, "thickness": thickness, "k_column": k_column,
                               "real_column": real_column},
                    {"n_column": n_column, "refractive_index": refractive_index, "n_infinity": n_infinity})
    if quantity == "nk":
        require(column is None, WHO, f"quantity='nk' reads n_column and k_column, found column={column!r}",
                "Pass k_column=")
        column, n_column = "k" if k_column is None else k_column, "n" if n_column is None else n_column

    def read(name, sigma_name=None) -> Table:
        return read_table(path, name, sigma_column=sigma_name, x_column=x_column, rows=rows, sort=sort)

    table = read(column, sigma_column)
    wavenumber, order = _wavenumbers(table, x_unit)
    y, sigma = table.y[order], None if table.sigma is None else table.sigma[order]
    n = None if n_column is None else read(n_column).y[order]
    if quantity == "eps":
        n = None if real_column is None else index_of(read(real_column).y[order], y)
        alpha, slope = 2 * np.pi * wavenumber * y, 2 * np.pi * wavenumber        # already n alpha
    else:
        alpha, slope = _absorption(table, quantity, wavenumber, y, y_unit, thickness)
    _check_not_negative(alpha, wavenumber, table)
    if "n" in _QUANTITIES[quantity] and n is None:
        n = kramers_kronig(wavenumber, alpha, n_infinity) if n_infinity is not None else index_on(
            refractive_index, wavenumber, quantity, table.path)
    if n is not None:
        require(bool((np.isfinite(n) & (n > 0)).all()), WHO, f"the refractive index must be positive, found "
                f"{n.min():g} at {wavenumber[n.argmin()]:.4g} 1/cm", "Check where n is from")
    factor = n if "n" in _QUANTITIES[quantity] or quantity == "nk" else 1.0
    errors = None if sigma is None else np.abs(factor * slope) * sigma
    return MeasuredSpectrum(wavenumber, factor * alpha, n, errors, table.path)


def _check_keywords(quantity: str, given: dict, of_n: dict) -> None:
    takes = _QUANTITIES[quantity]
    for name, value in given.items():
        others = ", ".join(q for q, names in _QUANTITIES.items() if name in names)
        require(value is None or name in takes, WHO, f"{name}= is of {others}, found it with quantity={quantity!r}",
                "Leave it out, or correct the quantity")
    sources = [name for name, value in of_n.items() if value is not None]
    require(not sources or "n" in takes or set(sources) <= takes, WHO,
            f"quantity={quantity!r} needs no {' and '.join(sources)}=", "Leave it out, or correct the quantity")
    require(len(sources) <= 1, WHO, f"found {' and '.join(f'{name}=' for name in sources)}", "Give one of them")


def _wavenumbers(table: Table, x_unit: str | None) -> tuple[np.ndarray, slice]:
    """Increasing wavenumbers [R], 1/cm, and how the table's rows are turned for them."""
    unit = unit_of(table.x_name, x_unit, {k: words for k, (_, _, words) in _ABSCISSAE.items()}, "x_unit", table, WHO)
    factor, power, _ = _ABSCISSAE[unit]
    require(table.x[0] > 0 if power < 0 else table.x[0] >= 0, WHO,
            f"{table.x_name!r} of {table.path} must {'be positive' if power < 0 else 'not be negative'}, "
            f"found {table.x[0]:g} {unit}", "Remove those rows, or correct x_unit= or x_column=")
    wavenumber = factor * table.x**power
    order = slice(None, None, power)
    return wavenumber[order], order


def _absorption(table: Table, quantity: str, wavenumber: np.ndarray, y: np.ndarray, y_unit: str | None,
                thickness: float | None) -> tuple[np.ndarray, np.ndarray]:
    """The naperian absorption coefficient (or, of n_alpha, that) [R], 1/cm, and its derivative by the quantity."""
    if quantity in ("n_alpha", "alpha", "decadic_alpha"):
        words = {k: names for k, (_, names) in _COEFFICIENTS.items()}
        factor = _COEFFICIENTS[unit_of(table.y_name, y_unit, words, "y_unit", table, WHO)][0]
        slope = np.full(len(y), factor * (np.log(10) if quantity == "decadic_alpha" else 1.0))
    elif quantity in ("k", "nk"):
        slope = 4 * np.pi * wavenumber
    else:
        require(thickness is not None and np.isfinite(thickness) and thickness > 0, WHO,
                f"quantity={quantity!r} needs the thickness of the sample, found {thickness} um",
                "Pass thickness= in um")
        path_length = 1e-4 * float(thickness)                              # cm
        if quantity == "transmission":
            _check_fraction(y, wavenumber, table)
            return -np.log(y) / path_length, -1 / (y * path_length)
        slope = np.full(len(y), np.log(10) / path_length)
    return slope * y, slope


def _check_fraction(transmission: np.ndarray, wavenumber: np.ndarray, table: Table) -> None:
    bad = np.flatnonzero((transmission <= 0) | (transmission > 1))
    if len(bad):
        k = bad[0]
        require(False, WHO, f"transmission must be above 0 and up to 1, found {transmission[k]:g} at "
                f"{wavenumber[k]:.5g} 1/cm and {len(bad)} such rows in {table.path}",
                "Divide per cent by 100; above 1 the baseline is off; rows of no light tell nothing: remove them")


def _check_not_negative(alpha: np.ndarray, wavenumber: np.ndarray, table: Table) -> None:
    k = int(np.argmin(alpha))
    require(alpha[k] >= -_NEGATIVE * max(alpha.max(), 0.0), WHO,
            f"absorption must not be negative, found {alpha[k]:.3g} 1/cm at {wavenumber[k]:.5g} 1/cm in {table.path}",
            "Check column=; where the imaginary part counts absorption as negative, turn its sign; "
            "subtract the baseline")
