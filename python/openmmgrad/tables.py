# SPDX-License-Identifier: MIT
"""Tables made by others: reading them, and what their radial distribution functions count."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import BSpline, PchipInterpolator, make_interp_spline
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu

from .errors import require
from .spline import SplineGrid

#: Degree of the spline through cumulative counts. Measured on exp(-u_LJ/kT) in bins of 0.025 sigma, K = 64: counts of
#: single splines are off by up to 3e-2 (PCHIP), 6e-3 (cubic), 2e-4 (quintic), all at the foot of the rise (g = 0.016);
#: g brought from bins of 0.03 to 0.022 sigma is off by up to 0.028 (PCHIP), 0.0016 (cubic), 0.0002 (quintic).
CUMULATIVE_DEGREE = 5


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of a file: x [R], y [R], sigma [R] or None, and the names of x and y as the file has them."""

    path: Path
    x: np.ndarray
    y: np.ndarray
    sigma: np.ndarray | None
    x_name: str
    y_name: str


def read_table(path: str | Path, column: str | int | None = None, *, sigma_column: str | int | None = None,
               rows: Mapping[str | int, str] | None = None, sort: bool = False) -> Table:
    """A table of numbers: CSV, XVG (GROMACS) or columns between blanks.

    Lines that begin with # or @ are comments; names come from a header line, a last comment line with as many words
    as there are columns, or XVG's axis label and legends. The abscissa is the first column that begins with a number.

    Parameters
    ----------
    path
        The file.
    column
        Name or index (from 0) of the ordinate; None where the table has only one.
    sigma_column
        Name or index of its standard errors.
    rows
        Keep only rows with these entries: ``{"pair": "LJ1-LJ1"}``.
    sort
        Sort rows by abscissa (digitised curves); otherwise rows out of order are an error.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is empty or truncated, a column is unknown, an entry is no number or not finite, or the abscissa
        decreases or repeats.
    """
    who, path = "read_table", Path(path)
    require(path.is_file(), who, f"expected a file, found none at {path}", "Check the path", FileNotFoundError)
    names, entries = _parse(path)
    if rows is not None:
        for key, wanted in rows.items():
            k = _column(key, names, path)
            found = sorted({entry[k] for entry in entries})
            entries = [entry for entry in entries if entry[k] == str(wanted)]
            require(bool(entries), who, f"expected {wanted!r} in column {names[k]!r} of {path}, found {_list(found)}",
                    "Choose one of those")
    numeric = [k for k, entry in enumerate(entries[0]) if _is_number(entry)]
    require(len(numeric) >= 2, who, f"expected at least two columns of numbers in {path}, found the row {entries[0]}",
            "Give an abscissa and an ordinate")
    k_x = numeric[0]
    if column is None:
        others = [names[k] for k in numeric[1:] if sigma_column is None or k != _column(sigma_column, names, path)]
        require(len(others) == 1, who, f"{path} has {len(others)} columns of values: {_list(others)}",
                "Choose one with column=")
        column = others[0]
    x, y = (_numbers(entries, k, names, path) for k in (k_x, _column(column, names, path)))
    sigma = None if sigma_column is None else _numbers(entries, _column(sigma_column, names, path), names, path)
    if sort:
        order = np.argsort(x, kind="stable")
        x, y, sigma = x[order], y[order], None if sigma is None else sigma[order]
    _check_order(x, names[k_x], path)
    return Table(path, x, y, sigma, names[k_x], names[_column(column, names, path)])


def _parse(path: Path) -> tuple[list[str], list[list[str]]]:
    """Names and rows of entries, all of equal length."""
    who, comments, lines = "read_table", [], []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        line = line.strip()
        if line[:1] in ("#", "@"):
            comments.append(line)
        elif line and line != "&":
            separated = line.split(",") if "," in line else line.split(";") if ";" in line else line.split()
            lines.append((number, [entry.strip().strip('"') for entry in separated]))
    names = None
    if lines and not any(_is_number(entry) for entry in lines[0][1]):
        names = lines.pop(0)[1]
    require(bool(lines), who, f"{path} holds no rows of numbers", "Check that the file was written to its end")
    width = len(lines[0][1]) if names is None else len(names)
    for number, entries in lines:
        require(len(entries) == width, who,
                f"expected {width} columns in {path}, found {len(entries)} in line {number}",
                "The file is truncated or damaged there: fetch it again" if number == lines[-1][0]
                else "Repair that line")
    return names or _names_from_comments(comments, width), [entries for _, entries in lines]


def _names_from_comments(comments: list[str], width: int) -> list[str]:
    names = [str(k) for k in range(width)]
    plain = [line[1:].split() for line in comments if line.startswith("#")]
    if plain and len(plain[-1]) == width and not any(_is_number(entry) for entry in plain[-1]):
        names = plain[-1]
    for line in comments:
        label = re.match(r'@\s*(?:s(\d+)\s+legend|(xaxis)\s+label)\s+"(.*)"', line)
        if label is not None:
            k = 0 if label[2] else int(label[1]) + 1
            if k < width:
                names[k] = label[3]
    return names


def _column(key: str | int, names: list[str], path: Path) -> int:
    if isinstance(key, int | np.integer):
        require(0 <= key < len(names), "read_table", f"expected a column from 0 to {len(names) - 1} in {path}, found {key}",
                f"The columns are {_list(names)}")
        return int(key)
    require(key in names, "read_table", f"{path} has no column {key!r}", f"The columns are {_list(names)}")
    return names.index(key)


def _numbers(entries: list[list[str]], k: int, names: list[str], path: Path) -> np.ndarray:
    for number, entry in enumerate(entries, start=1):
        require(_is_number(entry[k]), "read_table",
                f"expected numbers in column {names[k]!r} of {path}, found {entry[k]!r} in data row {number}",
                "Repair or remove that row")
    values = np.array([float(entry[k]) for entry in entries])
    bad = np.flatnonzero(~np.isfinite(values))
    require(len(bad) == 0, "read_table",
            f"expected finite numbers in column {names[k]!r} of {path}, found {values[bad[:1]]} in {len(bad)} rows",
            "Remove those rows")
    return values


def _check_order(x: np.ndarray, name: str, path: Path) -> None:
    require(len(x) >= 4, "read_table", f"expected at least 4 rows in {path}, found {len(x)}",
            "Check that the file was written to its end")
    bad = np.flatnonzero(np.diff(x) <= 0)
    if len(bad) > 0:
        k = bad[0]
        what = "repeated" if x[k + 1] == x[k] else "out of order"
        remedy = "Keep one row of each" if x[k + 1] == x[k] else "Sort the rows, or pass sort=True"
        require(False, "read_table", f"{name!r} of {path} must increase, found {x[k]:g} then {x[k + 1]:g} ({what})", remedy)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _list(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:20]) + (", ..." if len(names) > 20 else "")


def bin_edges(r: np.ndarray) -> np.ndarray:
    """Edges [R+1] of the bins whose centres are r [R]: midpoints, the first not below 0."""
    middle = (r[1:] + r[:-1]) / 2
    edges = np.concatenate([[r[0] - (middle[0] - r[0])], middle, [r[-1] + (r[-1] - middle[-1])]])
    edges[0] = max(edges[0], 0.0)
    return edges


def shell_volumes(edges: np.ndarray) -> np.ndarray:
    """4 pi/3 (r_{b+1}^3 - r_b^3), [B], nm^3."""
    return 4 * np.pi / 3 * np.diff(np.asarray(edges) ** 3)


def integrate_rdf(r: np.ndarray, g: np.ndarray, upper: np.ndarray, binned: bool = True) -> np.ndarray:
    r"""The integral of g from the first r, :math:`\int^R 4 \pi r^2 g(r)\, dr`, at each R in upper, [U], nm^3.

    Parameters
    ----------
    r, g
        [R], nm and dimensionless.
    upper
        [U], nm, within the table.
    binned
        g are averages over bins (a histogram): the integral is exact at the bin edges and a spline of degree 5 between
        them, which may decrease a little where g rises steeply. Otherwise g are values at points, interpolated without
        overshoot (PCHIP), as digitised curves need.

    Raises
    ------
    ValueError
        If the table has fewer than 6 rows.

    Examples
    --------
    >>> r = np.arange(0.05, 1.0, 0.1)
    >>> integrate_rdf(r, np.ones(10), np.array([1.0])) / (4 * np.pi / 3)
    array([1.])
    """
    upper = np.asarray(upper, dtype=float)
    require(len(r) > CUMULATIVE_DEGREE, "integrate_rdf", f"expected at least {CUMULATIVE_DEGREE + 1} rows, found {len(r)}",
            "Use a longer table")
    if binned:
        edges = bin_edges(r)
        cumulative = np.concatenate([[0.0], np.cumsum(g * shell_volumes(edges))])
        return make_interp_spline(edges, cumulative, CUMULATIVE_DEGREE)(upper)
    breaks = np.unique(np.concatenate([r, upper]))
    points, widths = _gauss(breaks, 4)
    density = 4 * np.pi * points**2 * PchipInterpolator(r, g)(points)
    cumulative = np.concatenate([[0.0], np.cumsum((widths * density).sum(axis=1))])
    return cumulative[np.searchsorted(breaks, upper)]


def spline_counts_matrix(edges: np.ndarray, grid: SplineGrid) -> np.ndarray:
    r"""[K, B]: what the B-splines count, :math:`\sum B_k(r)`, from the counts of a histogram.

    .. math:: \int n B_k\, dr = N(r_c) B_k(r_c^-) - \int N(r)\, B'_k(r)\, dr

    N(r), the cumulative counts, is exact at the edges and a spline of degree 5 between them; the integral is exact.

    Parameters
    ----------
    edges
        [B+1], nm, increasing; nothing is counted below the first.
    grid
        The splines. Those that reach beyond the last edge miss what lies there.

    Notes
    -----
    Wrong where the bins are wider than the structure: keep them below 0.025 particle diameters.
    """
    edges = np.asarray(edges, dtype=float)
    require(len(edges) > CUMULATIVE_DEGREE + 1, "spline_counts_matrix",
            f"expected at least {CUMULATIVE_DEGREE + 1} bins, found {len(edges) - 1}", "Use more bins")
    end = min(edges[-1], grid.cutoff)
    points, widths = _gauss(_breaks(edges, grid, end), 4)
    slope = grid.basis(torch.as_tensor(points.ravel()), derivative=1).numpy()
    weight = -_interpolation(edges, points.ravel(), (widths.ravel()[:, None] * slope).T)
    last = grid.basis(torch.as_tensor([np.nextafter(end, 0.0)])).numpy().T
    weight += _interpolation(edges, np.array([end]), last)
    # N at edge e is the sum of the counts of all bins before it
    return np.cumsum(weight[:, :0:-1], axis=1)[:, ::-1]


def rdf_counts_matrix(r: np.ndarray, grid: SplineGrid, binned: bool = True) -> np.ndarray:
    r"""[K, R]: :math:`\int 4 \pi r^2 g(r) B_k(r)\, dr` (nm^3) from g at r; times pairs per volume it is a count.

    Parameters
    ----------
    r
        [R], nm.
    grid
        The splines.
    binned
        g are averages over bins around r (see `spline_counts_matrix`); otherwise g is a cubic spline through points,
        which needs a table that is dense where g rises.
    """
    if binned:
        edges = bin_edges(r)
        return spline_counts_matrix(edges, grid) * shell_volumes(edges)
    points, widths = _gauss(_breaks(r, grid, min(r[-1], grid.cutoff)), 5)
    points, widths = points.ravel(), widths.ravel()
    basis = grid.basis(torch.as_tensor(points)).numpy()
    return _interpolation(r, points, (widths * 4 * np.pi * points**2)[None, :] * basis.T, degree=3)


def _breaks(x: np.ndarray, grid: SplineGrid, end: float) -> np.ndarray:
    breaks = np.unique(np.concatenate([x, grid.knots.numpy(), [end]]))
    return breaks[(breaks >= x[0]) & (breaks <= end)]


def _gauss(breaks: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre points and weights [intervals, order], exact to degree 2*order - 1 within each interval."""
    x, w = np.polynomial.legendre.leggauss(order)
    half = np.diff(breaks)[:, None] / 2
    return breaks[:-1, None] + half * (1 + x), half * w


def _interpolation(x: np.ndarray, points: np.ndarray, functionals: np.ndarray,
                   degree: int = CUMULATIVE_DEGREE) -> np.ndarray:
    """[M, X]: functionals [M, points] of the spline through values at x, as functionals of the values."""
    knots = make_interp_spline(x, np.zeros(len(x)), degree).t
    inside = np.clip(points, x[0], x[-1])
    design = BSpline.design_matrix(inside, knots, degree)
    collocation = csc_matrix(BSpline.design_matrix(x, knots, degree))
    return splu(collocation).solve(design.T @ functionals.T, trans="T").T
