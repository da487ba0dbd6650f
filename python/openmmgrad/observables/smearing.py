# SPDX-License-Identifier: MIT
"""Histograms of Gaussians: smooth counts of many values, and their derivative, without values x bins."""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import ndtr

TAIL = 6.0  # a Gaussian beyond so many widths is zero to 1e-9
_ORDER = 6  # terms of the Taylor series about the middle of a cell
_BLOCK = 4096  # values at a time: what is read for them stays in the processor's cache
_FINE = 16  # cells per width: the series is then right to 6e-12


class SmearedBins:
    r"""Counts of Gaussians in bins of equal width.

    .. math:: n_b = \sum_p w_p \left[\Phi\Big(\frac{e_{b+1} - x_p}{s}\Big) - \Phi\Big(\frac{e_b - x_p}{s}\Big)\right]

    with Phi the normal distribution function. Values are gathered in cells of s/16 or less as sums of powers of their
    distance from the cell's middle; the bins are then sums over cells, by the Taylor series of Phi. The cost is that
    of a few plain histograms.

    Parameters
    ----------
    edges
        Ends of the bins e, [B + 1], evenly spaced.
    smear
        Width s, in the unit of the edges.

    Examples
    --------
    >>> SmearedBins(np.array([0.0, 1.0, 2.0]), smear=0.5).counts(np.array([1.0])).round(6).tolist()
    [0.47725, 0.47725]
    """

    def __init__(self, edges: np.ndarray, smear: float) -> None:
        width = (edges[-1] - edges[0]) / (len(edges) - 1)
        self._per_bin = math.ceil(width / smear * _FINE)
        self._cell = width / self._per_bin
        self._half = math.ceil(TAIL * smear / self._cell)
        self._n_bins = len(edges) - 1
        self._n_cells = self._n_bins * self._per_bin + 2 * self._half
        self._start = edges[0] - self._half * self._cell
        z = (np.arange(-self._half, self._half) + 0.5) * self._cell / smear
        self._terms = _terms(z, self._cell / smear)
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def counts(self, values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Counts n [B] of values x [P], each weighted by w [P] or by 1."""
        cell, offset, kept = self._place(values)
        power = None if weights is None else weights[kept]
        moments = np.empty((_ORDER, self._n_cells))
        for k in range(_ORDER):
            moments[k] = np.bincount(cell, power, minlength=self._n_cells)
            power = offset if power is None else power * offset
        near = sliding_window_view(moments, 2 * self._half, axis=1)[:, ::self._per_bin]
        starts = np.arange(self._n_bins + 1) * self._per_bin
        below = np.concatenate([[0.0], np.cumsum(moments[0])])[starts]
        return np.diff(below + np.einsum("kbw,kw->b", near, self._terms, optimize=True))

    def gradient(self, values: np.ndarray, cotangent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of sum_b g_b n_b: the derivative by each value at weight 1, [P], and by each weight, [P]; g [B]."""
        cell, offset, kept = self._place(values)
        table, (slope, height) = self._series(cotangent), np.zeros((2, len(cell)))
        for start in range(0, len(cell), _BLOCK):
            part = slice(start, start + _BLOCK)
            x, y, dy = offset[part], height[part], slope[part]
            for terms in table[cell[part]].T[::-1]:  # Horner's rule for the series and its derivative
                dy *= x
                dy += y
                y *= x
                y += terms
        by_value, by_weight = np.zeros((2, len(values)))
        by_value[kept], by_weight[kept] = slope / self._cell, height
        return by_value, by_weight

    def _series(self, cotangent: np.ndarray) -> np.ndarray:
        """Taylor coefficients of sum_b g_b n_b(x) in every cell, [cells, order].

        The last ones are kept: all times of a window are pulled by the same g.
        """
        if self._last is not None and np.array_equal(self._last[0], cotangent):
            return self._last[1]
        at_edge = np.diff(cotangent, prepend=0.0, append=0.0) * -1.0
        places = np.arange(self._n_bins + 1)[:, None] * self._per_bin + np.arange(2 * self._half)
        series = np.empty((self._n_cells, _ORDER))
        for k in range(_ORDER):
            share = at_edge[:, None] * self._terms[k]
            series[:, k] = np.bincount(places.reshape(-1), share.reshape(-1), minlength=self._n_cells)
        steps = np.zeros(self._n_cells + 1)
        steps[:self._n_bins * self._per_bin + 1:self._per_bin] = at_edge
        series[:, 0] += at_edge.sum() - np.cumsum(steps)[:-1]
        self._last = cotangent.copy(), series
        return series

    def _place(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cell of each value that reaches a bin, its place within from -1/2 to 1/2, and which values these are."""
        scaled = (values - self._start) * (1.0 / self._cell)
        kept = np.flatnonzero((scaled >= 0) & (scaled < self._n_cells))
        scaled = scaled[kept]
        cell = scaled.astype(np.int64)
        return cell, scaled - cell - 0.5, kept


def _terms(z: np.ndarray, h: float) -> np.ndarray:
    """Taylor coefficients of Phi(-(z + h x)) in x, [order, W]: by Hermite polynomials."""
    normal = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    before, hermite = np.zeros_like(z), np.ones_like(z)
    terms = [ndtr(-z)]
    for k in range(1, _ORDER):
        terms.append((-h) ** k * hermite * normal / math.factorial(k))
        before, hermite = hermite, z * hermite - (k - 1) * before
    return np.array(terms)
