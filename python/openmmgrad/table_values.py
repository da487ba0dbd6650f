# SPDX-License-Identifier: MIT
"""A table brought to the grid of an observable: units, range, bins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.interpolate import PchipInterpolator

from .counts import bin_edges, integrate_rdf
from .errors import require
from .measured_spectra import read_spectrum
from .observables import RDF, AngleDistribution, Observable, StructureFactor
from .tables import Table, unit_of

WHO = "Target.from_file"
#: To nm and 1/nm, and the words by which column names tell.
_LENGTHS = {"nm": (1.0, {"nm"}), "angstrom": (0.1, {"A", "Å", "ang", "angstrom", "Angstrom"})}
_INVERSE_LENGTHS = {"1/nm": (1.0, {"1/nm", "invnm", "nm^-1", "nm-1"}),
                    "1/angstrom": (10.0, {"1/A", "1/Å", "invA", "A^-1", "Å^-1", "A-1", "1/angstrom", "1/Angstrom"})}
_ANGLES = {"degree": (1.0, {"degree", "degrees", "deg", "°"}), "radian": (180 / np.pi, {"rad", "radian", "radians"})}
#: Where g of a liquid of atoms or small molecules first exceeds one half, nm.
PLAUSIBLE_RISE = (0.1, 1.0)
#: A table that begins with less than this begins inside the core.
CORE_G = 0.01

Columns = tuple[np.ndarray, np.ndarray | None]


def on_bins(table: Table, rdf: RDF, r_unit: str | None, core: float | None, binned: bool | None) -> Columns:
    """Averages of g over the bins of an RDF, and of its errors, [B] each; arguments as in `Target.from_file`."""
    r = table.x * _factor(table, r_unit, _LENGTHS, "r_unit")
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
    x = table.x * (_factor(table, q_unit, _INVERSE_LENGTHS, "q_unit") if reciprocal else 1.0)
    grid = np.asarray(observable.grid)
    tolerance = 1e-6 * (x[1] - x[0])
    require(x[0] <= grid[0] + tolerance and grid[-1] <= x[-1] + tolerance, WHO,
            f"{table.path} covers {x[0]:.4g} to {x[-1]:.4g}, and {observable.name} needs {grid[0]:.4g} to "
            f"{grid[-1]:.4g} in {observable.axis}", "Use a smaller range of the observable, or a longer table")
    grid = np.clip(grid, x[0], x[-1])
    errors = None if table.sigma is None else PchipInterpolator(x, table.sigma)(grid)
    return PchipInterpolator(x, table.y)(grid), errors


def on_angles(table: Table, observable: AngleDistribution, angle_unit: str | None, binned: bool | None) -> Columns:
    """Averages of a density over the bins of an AngleDistribution, and of its errors, [B] each."""
    factor, solid = _factor(table, angle_unit, _ANGLES, "angle_unit"), observable.solid_angle
    x = table.x * factor
    require(x[0] >= 0 and x[-1] <= 180.01, WHO,
            f"{table.path} has angles from {x[0]:.4g} to {x[-1]:.4g} degrees", "Check angle_unit=")
    steps = np.diff(x)
    if binned is None:
        binned = np.ptp(steps) < 1e-2 * steps.mean() and abs(x[0] - steps[0] / 2) < 0.1 * steps[0]
    ends = np.clip(bin_edges(x) if binned else x, 0.0, 180.0)
    require((ends[0] < 1 or table.y[0] == 0) and (ends[-1] > 179 or table.y[-1] == 0), WHO,
            f"{table.path} covers {ends[0]:.4g} to {ends[-1]:.4g} degrees, and {observable.name} needs 0 to 180",
            "Give a longer table, or check angle_unit=")
    # elements of a solid angle are sin(theta) dtheta, and a distribution over them has no unit
    m, edges = (-np.cos(np.radians(a)) if solid else a for a in (ends, observable.edges))

    def averages(y: np.ndarray) -> np.ndarray:
        integral = (PchipInterpolator(m, np.concatenate([[0.0], np.cumsum(y * np.diff(m))])) if binned
                    else PchipInterpolator(m, y).antiderivative())
        return np.diff(integral(np.clip(edges, m[0], m[-1]))) / np.diff(edges) / (1.0 if solid else factor)

    values = averages(table.y)
    area = values @ np.diff(edges) / (2.0 if solid else 1.0)
    require(abs(area - 1) < 0.1, WHO, f"the distribution in {table.path} integrates to {area:.4g}, expected 1 for one "
            f"{'relative to random directions' if solid else 'per angle, not divided by sin(theta)'}",
            "Normalise it, or check angle_unit=, column= and solid_angle= of the observable")
    return values, None if table.sigma is None else averages(table.sigma)


def of_spectrum(path: str | Path, observable: Observable, temperature: float, options: Mapping) -> Columns:
    """A measured spectrum as an observable with ``seen`` shows it, and its errors, [B] each."""
    measured = read_spectrum(path, **options)
    grid, width, v = np.asarray(observable.grid), float(observable.resolution), measured.wavenumber
    low, high = max(grid.min() - width, 0.0), grid.max() + width
    from_zero = bool(v[0] <= width)                     # n alpha is even, and 0 at 0
    require((from_zero or v[0] <= low) and v[-1] >= high, WHO,
            f"{path} covers {v[0]:.5g} to {v[-1]:.5g} 1/cm, and {observable.name} needs {low:.5g} to {high:.5g} 1/cm: "
            f"its wavenumbers, and its resolution of {width:.3g} 1/cm on both sides",
            "End the wavenumbers earlier, use a longer max_lag, or a longer table")
    # rows may be further apart than the resolution, and lines narrower: averages about each point of a mesh, with hats
    start, stop = 0.0 if from_zero else v[0], min(v[-1], grid.max() + 20 * width)
    mesh, step = np.linspace(start, stop, int(16 * (stop - start) / width) + 2, retstep=True)
    hats = np.full(len(mesh), step)
    hats[[0, -1]] /= 2

    def seen(y: np.ndarray) -> np.ndarray:
        points, values = (np.append(0.0, v), np.append(0.0, y)) if start < v[0] else (v, y)
        integral = PchipInterpolator(points, values).antiderivative()
        means = np.diff(integral.antiderivative()(mesh)) / step
        areas = np.diff(np.concatenate([integral(mesh[:1]), means, integral(mesh[-1:])]))
        return np.asarray(observable.seen(mesh, areas / hats, temperature))

    return seen(measured.n_alpha), None if measured.sigma is None else seen(measured.sigma)


def _factor(table: Table, unit: str | None, known: dict, keyword: str) -> float:
    """The factor from the table's abscissa to the first unit known."""
    return known[unit_of(table.x_name, unit, {k: words for k, (_, words) in known.items()}, keyword, table, WHO)][0]


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
