# SPDX-License-Identifier: MIT
"""Weighted averages with their standard errors, and how far they are from a reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import require
from .weights import Weights


@dataclass(frozen=True, eq=False)
class Estimate:
    """A weighted average over frames.

    Parameters
    ----------
    mean
        [B], with graph to the weights and to the values.
    stderr
        Standard error of the mean, [B]: correlation between frames and unequal weights are in it, and the
        uncertainty of free energies between mixed states is not. Infinite where there is one frame.
    inefficiency
        Statistical inefficiency of each bin, [B]: frames per independent frame, 1 or more.
    n_eff
        Kish's effective number of frames.
    grid, unit, name
        Of the observable, where one was given.
    one_count
        What one count more in all frames adds to the mean, [B]; None for other than histograms.
    """

    mean: Tensor
    stderr: np.ndarray
    inefficiency: np.ndarray
    n_eff: float
    grid: np.ndarray | None = None
    unit: str = ""
    name: str = ""
    one_count: np.ndarray | None = None
    _deviations: np.ndarray = field(default=None, repr=False)

    @property
    def mean_values(self) -> np.ndarray:
        """The mean without graph, [B]."""
        return self.mean.detach().numpy()

    @cached_property
    def common_inefficiency(self) -> float:
        """One inefficiency for all bins: their mean, weighted by the variances of the bins."""
        variance = (self._deviations**2).sum(0)
        total = variance.sum()
        return float(variance @ self.inefficiency.reshape(-1) / total) if total > 0 else 1.0

    @property
    def s_eff(self) -> float:
        """Independent frames that the average is worth: n_eff over the common inefficiency."""
        return self.n_eff / self.common_inefficiency

    def standardised(self) -> np.ndarray:
        """Deviations of the frames from the mean in units of their spread, [S, B]; 0 where nothing varies."""
        d = self._deviations * np.sqrt(len(self._deviations))
        spread = np.sqrt((d**2).mean(0))
        return d / np.where(spread > 0, spread, 1.0)

    def covariance(self) -> np.ndarray:
        """Covariance of the mean between bins, [B, B].

        One inefficiency (`common_inefficiency`) serves all bins, so that the matrix is positive semidefinite; its
        diagonal is therefore not exactly ``stderr**2``.
        """
        d = self._deviations
        return _inflation(self.n_eff, self.common_inefficiency) * (d.T @ d)


def expectation(values: Tensor | np.ndarray, w: Weights, observable: Any = None) -> Estimate:
    r"""The weighted average of values over frames, with its standard error.

    .. math:: \langle O \rangle = \sum_s w_s O_s, \qquad
        \sigma^2 = \frac{n\, g}{n-g} \sum_s d_s^2, \qquad d_s = w_s (O_s - \langle O \rangle)

    Symbol -> code: w_s -> ``w.w``; n -> ``w.n_eff``; g, the statistical inefficiency of the series d_s ->
    ``inefficiency``. Each of ``w.segments`` is a series of its own, and d_s is taken about its mean there. The
    factor n/(n-g) makes up for deviations from an average of the same frames.

    Parameters
    ----------
    values
        [S, ...], such as an observable of the frames; a graph in them is kept.
    w
        Weights of the S frames, in time order.
    observable
        Lends the Estimate its grid, unit and name.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If the numbers of frames differ, or values are not finite.

    Notes
    -----
    The standard error is too small when few frames carry the weight, or when the simulation is shorter than some
    fifty of its correlation times: nothing in the series shows what was never visited.

    References
    ----------
    [1] A. B. Owen, Monte Carlo theory, methods and examples (2013), chapter 9.2, eq. (9.10).
    [2] J. D. Chodera et al., J. Chem. Theory Comput. 3, 26 (2007), eq. (19). doi:10.1021/ct0502864

    Examples
    --------
    >>> estimate = expectation(np.array([3.0, 1.0, 6.0, 2.0]), Weights.uniform(4))
    >>> float(estimate.mean), round(float(estimate.stderr), 4)        # sqrt(14/3/4)
    (3.0, 1.0801)
    """
    values = torch.as_tensor(np.array(values)) if isinstance(values, np.memmap) else torch.as_tensor(values)
    values = values.to(torch.float64)
    require(values.ndim >= 1 and len(values) == len(w), "expectation",
            f"expected values of {len(w)} frames, found shape {list(values.shape)}",
            "Use the weights of these frames")
    require(bool(torch.isfinite(values).all()), "expectation", "values contain NaN or infinite values",
            "Remove the frames where the observable failed")
    flat = values.reshape(len(values), -1)
    mean = w.w @ flat
    with torch.no_grad():
        deviations = (w.w[:, None] * (flat - mean)).numpy()
    for part in _parts(w.segments):
        deviations[part] -= deviations[part].mean(axis=0)
    deviations[:, (flat == flat[0]).all(0).numpy()] = 0.0  # a constant differs from its mean by round-off only
    g = statistical_inefficiency(deviations, w.segments)
    variance = _inflation(w.n_eff, g) * (deviations**2).sum(0) if len(flat) > 1 else np.full(len(g), np.inf)
    shape = tuple(values.shape[1:])
    about = {} if observable is None else {
        "grid": observable.grid, "unit": observable.unit, "name": observable.name,
        "one_count": observable.one_count(values.detach())}
    return Estimate(mean.reshape(shape), np.sqrt(variance).reshape(shape), g.reshape(shape), w.n_eff, **about,
                    _deviations=deviations)


def _inflation(n_eff: float, g: Any) -> Any:
    """From the sum of d_s^2 to the variance of the mean."""
    return n_eff * g / np.maximum(n_eff - g, 1.0)


def _parts(segments: np.ndarray | None) -> list[Any]:
    """Indices of the frames of each segment."""
    return [slice(None)] if segments is None else [segments == k for k in np.unique(segments)]


def statistical_inefficiency(values: Tensor | np.ndarray, segments: np.ndarray | None = None) -> np.ndarray:
    r"""How many frames of a series are worth one independent frame, for each column.

    .. math:: g = -1 + 2 \sum_{k \ge 0} \Gamma_k, \qquad \Gamma_k = \rho(2k) + \rho(2k+1)

    with rho the normalised autocorrelation function. The sum ends before the first Gamma that is not positive, and
    Gamma is made to decrease (the initial monotone sequence).

    Parameters
    ----------
    values
        [S, B] or [S], in time order.
    segments
        [S] of int: frames of different segments are independent, and each segment has its own mean. None is one.

    Returns
    -------
    ndarray
        [B] or a scalar; at least 1, also where neighbours are anticorrelated, and 1 where nothing varies.

    Notes
    -----
    Series shorter than some fifty correlation times give values that are too small.

    References
    ----------
    C. J. Geyer, Statist. Sci. 7, 473 (1992), section 3.3. doi:10.1214/ss/1177011137

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=2000)
    >>> float(statistical_inefficiency(np.repeat(noise, 5)).round(1))  # five equal frames in a row
    5.0
    """
    series = np.asarray(values.detach() if isinstance(values, Tensor) else values, dtype=float)
    require(series.ndim >= 1 and len(series) > 0, "statistical_inefficiency",
            f"expected values [S, B], found shape {list(series.shape)}", "Pass one row per frame")
    columns = series.reshape(len(series), -1).T
    parts = [columns[:, part] for part in _parts(segments)]
    longest = max(part.shape[1] for part in parts)
    covariance = np.zeros((len(columns), longest + longest % 2))
    for part in parts:
        covariance[:, :part.shape[1]] += _autocovariance(part)
    scale = np.abs(columns).max(axis=1, initial=0.0)
    varies = covariance[:, 0] > len(series) * (1e-14 * scale) ** 2
    rho = covariance / np.where(varies, covariance[:, 0], 1.0)[:, None]
    gamma = rho[:, 0::2] + rho[:, 1::2]
    gamma = np.where(np.logical_and.accumulate(gamma > 0, axis=1), gamma, 0.0)
    g = -1 + 2 * np.minimum.accumulate(gamma, axis=1).sum(1)
    return np.where(varies, np.maximum(g, 1.0), 1.0).reshape(series.shape[1:])


def _autocovariance(part: np.ndarray) -> np.ndarray:
    """Sum over t of x(t) x(t + lag), [B, S], of series [B, S] about their means."""
    n = part.shape[1]
    centred = part - part.mean(axis=1, keepdims=True)
    size = 2 ** int(np.ceil(np.log2(2 * n)))
    transformed = np.fft.rfft(centred, size, axis=1)
    return np.fft.irfft(transformed.real**2 + transformed.imag**2, size, axis=1)[:, :n]


@dataclass(frozen=True, eq=False)
class Comparison:
    """The result of `compare`.

    Parameters
    ----------
    chi2
        Chi squared per degree of freedom, with graph to the mean.
    n_used, n_left_out
        Bins that were compared, and bins without information.
    """

    chi2: Tensor
    n_used: int
    n_left_out: int


def chi2(estimate: Estimate, reference: Any, sigma: Any = None, dof: float | None = None) -> Tensor:
    """Chi squared per degree of freedom between an average and a reference, a scalar with graph: see `compare`.

    Examples
    --------
    >>> estimate = expectation(np.array([[1.0, 0.0], [3.0, 0.0]]), Weights.uniform(2))
    >>> round(chi2(estimate, [4.0, 0.0]).item(), 9)
    4.0
    """
    return compare(estimate, reference, sigma, dof).chi2


def compare(estimate: Estimate, reference: Any, sigma: Any = None, dof: float | None = None) -> Comparison:
    r"""Chi squared per degree of freedom between an average and a reference.

    .. math:: \chi^2 = \frac{1}{\nu} \sum_b \frac{(\langle O_b \rangle - O^*_b)^2}{\sigma_b^2 + \sigma^{*2}_b}

    About 1 where they differ by their errors only. Errors are constants in the gradient, and bins count as
    independent.

    Parameters
    ----------
    estimate
        An `Estimate`.
    reference
        O*: an Estimate, or values [B].
    sigma
        Standard errors of the reference, [B] or a number; None takes those of an Estimate, and 0 for plain values.
    dof
        Degrees of freedom nu; None is the number of bins used. Subtract fitted parameters that the bins determined.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, errors are negative, or no bin has information.

    Notes
    -----
    A histogram bin without counts has no spread. Against a side with an error, it is compared with that error. Where
    neither side has an error and the two differ, the error is `Estimate.one_count`: one count in all frames of the
    empty side, the smallest number that they could have shown. Bins where neither side has an error are left out and
    counted if the sides are equal, or if what was averaged is not a histogram; so are infinite errors.

    Examples
    --------
    >>> estimate = expectation(np.array([[1.0, 0.0], [3.0, 0.0]]), Weights.uniform(2))
    >>> result = compare(estimate, [4.0, 0.0])                            # (2 - 4)^2 / 1, and an empty bin
    >>> round(float(result.chi2), 9), result.n_used, result.n_left_out
    (4.0, 1, 1)
    """
    mean = estimate.mean.reshape(-1)
    variance = estimate.stderr.reshape(-1) ** 2
    sides = [estimate]
    if isinstance(reference, Estimate):
        sides.append(reference)
        sigma = reference.stderr if sigma is None else sigma
        reference = reference.mean_values
    wanted, error = _plain(reference).reshape(-1), _plain(0.0 if sigma is None else sigma).reshape(-1)
    require(len(wanted) == len(mean), "chi2", f"expected a reference of {len(mean)} values, found {len(wanted)}",
            "Compare on one grid")
    require(len(error) in (1, len(mean)), "chi2", f"expected {len(mean)} standard errors, found {len(error)}",
            "Give one per value, or one number")
    require(bool(np.isfinite(wanted).all()), "chi2", "the reference contains NaN or infinite values",
            "Leave those bins out of the observable")
    require(bool((error >= 0).all()), "chi2", "standard errors must not be negative or NaN", "Give them positive")
    variance = variance + error**2
    apart = estimate.mean_values.reshape(-1) != wanted
    for side in sides:
        if side.one_count is not None:
            variance = np.where((variance == 0) & apart, side.one_count**2, variance)
    used = (variance > 0) & np.isfinite(variance)
    n_used = int(used.sum())
    require(n_used > 0, "chi2", f"none of {len(mean)} values has a finite standard error",
            "Use more frames, or pass sigma=")
    require(dof is None or dof > 0, "chi2", f"dof must be positive, found {dof}", "Give bins minus parameters")
    keep = torch.as_tensor(used)
    squares = (mean[keep] - torch.as_tensor(wanted[used])) ** 2 / torch.as_tensor(variance[used])
    return Comparison(squares.sum() / (n_used if dof is None else dof), n_used, len(mean) - n_used)


def _plain(values: Any) -> np.ndarray:
    return np.asarray(values.detach() if isinstance(values, Tensor) else values, dtype=float)
