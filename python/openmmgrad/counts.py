# SPDX-License-Identifier: MIT
"""What a radial distribution function counts: in shells, and in the splines of a potential."""

from __future__ import annotations

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
    require(len(r) > CUMULATIVE_DEGREE, "integrate_rdf",
            f"expected at least {CUMULATIVE_DEGREE + 1} rows, found {len(r)}", "Use a longer table")
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
