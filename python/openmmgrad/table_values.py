# SPDX-License-Identifier: MIT
"""A table brought to the grid of an observable: units, range, bins."""

from __future__ import annotations

import re

import numpy as np
from scipy.interpolate import PchipInterpolator

from .counts import bin_edges, integrate_rdf
from .errors import require
from .observables import RDF, Observable, StructureFactor
from .tables import Table

WHO = "Target.from_file"
#: To nm and 1/nm, and the words by which column names tell.
_LENGTHS = {"nm": (1.0, {"nm"}), "angstrom": (0.1, {"A", "Å", "ang", "angstrom", "Angstrom"})}
_INVERSE_LENGTHS = {"1/nm": (1.0, {"1/nm", "invnm", "nm^-1", "nm-1"}),
                    "1/angstrom": (10.0, {"1/A", "1/Å", "invA", "A^-1", "Å^-1", "A-1", "1/angstrom", "1/Angstrom"})}
#: Where g of a liquid of atoms or small molecules first exceeds one half, nm.
PLAUSIBLE_RISE = (0.1, 1.0)
#: A table that begins with less than this begins inside the core.
CORE_G = 0.01

Columns = tuple[np.ndarray, np.ndarray | None]


def on_bins(table: Table, rdf: RDF, r_unit: str | None, core: float | None, binned: bool | None) -> Columns:
    """Averages of g over the bins of an RDF, and of its errors, [B] each; arguments as in `Target.from_file`."""
    r = table.x * _unit(table, r_unit, _LENGTHS, "r_unit")
    g = table.y if core is None else np.where(r < core, 0.0, table.y)
    _check_rise(r, g, table)
    check_g(g, r, WHO)
    require(r[0] >= 0, WHO, f"distances must not be negative, found {r[0]:g} nm", "Check the table")
    binned = np.ptp(np.diff(r)) < 1e-2 * np.mean(np.diff(r)) if binned is None else binned
    wanted, ends = rdf.edges, bin_edges(r) if binned else r
    tolerance = 1e-6 * (wanted[1] - wanted[0])
    require(wanted[-1] <= ends[-1] + tolerance, WHO,
            f"{table.path} covers {ends[0]:.4g} to {ends[-1]:.4g} nm, and the RDF reaches {rdf.r_max:.4g} nm",
            f"Use RDF(..., r_max={np.floor(1e4 * ends[-1]) / 1e4:g}), or a longer table")
    require(wanted[0] >= ends[0] - tolerance or g[0] < CORE_G, WHO,
            f"{table.path} covers {ends[0]:.4g} to {ends[-1]:.4g} nm and begins with g = {g[0]:.3g}, "
            f"and the RDF begins at {wanted[0]:.4g} nm",
            f"Use RDF(..., r_min={ends[0]:.4g}), or a table from the core on")
    upper = np.clip(wanted, ends[0], ends[-1])
    average = [np.maximum(np.diff(integrate_rdf(r, y, upper, binned)) / rdf.shell_volumes, 0.0)
               for y in (g, table.sigma) if y is not None]
    return average[0], average[1] if len(average) > 1 else None


def on_points(table: Table, observable: Observable, q_unit: str | None) -> Columns:
    """Values at the grid of an observable, and their errors, [B] each; q_unit is of the table of a structure factor."""
    reciprocal = isinstance(observable, StructureFactor)
    x = table.x * (_unit(table, q_unit, _INVERSE_LENGTHS, "q_unit") if reciprocal else 1.0)
    grid = np.asarray(observable.grid)
    tolerance = 1e-6 * (x[1] - x[0])
    require(x[0] <= grid[0] + tolerance and grid[-1] <= x[-1] + tolerance, WHO,
            f"{table.path} covers {x[0]:.4g} to {x[-1]:.4g}, and {observable.name} needs {grid[0]:.4g} to "
            f"{grid[-1]:.4g} in {observable.axis}", "Use a smaller range of the observable, or a longer table")
    grid = np.clip(grid, x[0], x[-1])
    errors = None if table.sigma is None else PchipInterpolator(x, table.sigma)(grid)
    return PchipInterpolator(x, table.y)(grid), errors


def _unit(table: Table, unit: str | None, known: dict, keyword: str) -> float:
    """The factor from the table's abscissa to nm or 1/nm."""
    options = " or ".join(f'{keyword}="{k}"' for k in known)
    if unit is None:
        words = set(re.split(r"[\s_()\[\],]+", table.x_name))
        units = [k for k, (_, names) in known.items() if names & words]
        require(len(units) == 1, WHO, f"the column {table.x_name!r} of {table.path} does not tell its unit",
                f"Pass {options}")
        unit = units[0]
    require(unit in known, WHO, f"{keyword} must be one of {', '.join(known)}, found {unit!r}", f"Pass {options}")
    return known[unit][0]


def _check_rise(r: np.ndarray, g: np.ndarray, table: Table) -> None:
    require(bool((g > 0.5).any()), WHO, f"g in {table.path} never exceeds 0.5 (largest {g.max():.3g})",
            "Check that column= is a radial distribution function")
    rise = r[np.argmax(g > 0.5)]
    low, high = PLAUSIBLE_RISE
    require(rise >= low or r[0] >= rise, WHO,
            f"g in {table.path} first exceeds 0.5 at {rise:.3g} nm, less than {low} nm",
            'Pass r_unit="nm" if r is in nm')
    require(rise <= high, WHO, f"g in {table.path} first exceeds 0.5 at {rise:.3g} nm, more than {high} nm",
            'Pass r_unit="angstrom" if r is in Angstrom; for larger particles make the Target from values')


def check_g(g: np.ndarray, r: np.ndarray, who: str) -> None:
    """Refuse a g(r) [B] that is negative somewhere; r in nm."""
    k = int(np.argmin(g))
    require(g[k] >= 0, who, f"g(r) must not be negative, found {g[k]:.3g} at {r[k]:.4g} nm",
            "Remove the ripples of Fourier inversion: from_file(core=) sets g = 0 below a distance")
