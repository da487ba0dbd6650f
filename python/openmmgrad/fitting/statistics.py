# SPDX-License-Identifier: MIT
r"""Linear response of what is measured to the coordinates of an Ensemble: spline coefficients, global parameters.

.. math:: \delta = \langle O \rangle - O^*, \qquad
   J = \frac{\partial \langle O \rangle}{\partial y}
   = -\beta\,\mathrm{Cov}\Big(O, \frac{\partial U}{\partial y}\Big)
   + \Big\langle \frac{\partial O}{\partial y} \Big\rangle, \qquad y = (c, p/s)

with dU/dc = Phi, the features, and dU/dp of the Forces whose parameters are learnt. An RDF is matched through the
counts of the spline's own basis functions, O = Phi, because their covariance is known in full and the Jacobian is then
exactly -beta Cov(Phi). A structure factor is transformed to such counts; any other observable is matched as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..errors import require
from ..estimate import expectation
from ..observables import RDF, StructureFactor
from ..units import KB
from .transforms import structure_factor_maps


@dataclass
class Response:
    """delta [M], J [M, F + G], and the covariance C [M, M] of delta."""

    residual: np.ndarray
    jacobian: np.ndarray
    covariance: np.ndarray
    weight: float = 1.0
    rtol: float = 1e-9  # smaller eigenvalues of C are rounding, and carry no information

    @cached_property
    def inverse_covariance(self) -> tuple[np.ndarray, int]:
        """Pseudo-inverse of C and its rank: directions without variance carry no information."""
        scale = np.sqrt(np.diag(self.covariance))
        keep = scale > 0
        inverse = np.zeros_like(self.covariance)
        if not keep.any():
            return inverse, 0
        correlation = self.covariance[np.ix_(keep, keep)] / np.outer(scale[keep], scale[keep])
        values, vectors = np.linalg.eigh(correlation)
        good = values > self.rtol * values[-1]
        core = (vectors[:, good] / values[good]) @ vectors[:, good].T / np.outer(scale[keep], scale[keep])
        inverse[np.ix_(keep, keep)] = core
        return inverse, int(good.sum())


def response(target, sample, w) -> Response:
    """The linear response of one target, from the weighted frames of its Ensemble."""
    columns = spline_columns(target)
    if columns is None:
        return _observable_response(target, sample, w)
    if isinstance(target.observable, StructureFactor):
        return _transformed_response(target, sample, w, columns)
    return _spline_response(target, sample, w, columns)


def spline_columns(target) -> np.ndarray | None:
    """Columns of Phi that count exactly the pairs that a target sees, or None where none do.

    An RDF sees the pairs between its selections up to r_max; a structure factor of one kind of atom sees all pairs
    of its selection.
    """
    observable, model = target.observable, target.ensemble.model
    if isinstance(observable, RDF) and observable.smear is None and observable.normalization == "density":
        selections, reach = (observable.selection_a, observable.selection_b), observable.r_max
    elif isinstance(observable, StructureFactor) and observable.radiation is None:
        selections, reach = (observable.selection, observable.selection), np.inf
    else:
        return None
    if model.reevaluates:
        return None
    a, b = (set(model.select(s).tolist()) for s in selections)
    for term in model.terms:
        if term.spec.exclusions or term.spec.interaction_groups:
            continue
        types = np.asarray(term.spec.types)
        members = [set(np.flatnonzero(types == k).tolist()) for k in range(len(term.labels))]
        for p, (label_a, label_b) in enumerate(term.pairs):
            first, second = members[term.labels.index(label_a)], members[term.labels.index(label_b)]
            if (a, b) in ((first, second), (second, first)):
                ends = term.potential.grid.support_ends.numpy()
                reached = ends <= min(reach, term.potential.cutoff) + 1e-9
                return term.columns.start + p * term.potential.n_coefficients + np.flatnonzero(reached)
    return None


def _transformed_response(target, sample, w, columns) -> Response:
    beta = 1 / (KB * target.ensemble.temperature)
    phi = np.asarray(sample.frames.features)
    factor, model = target.observable, target.ensemble.model
    term, _, splines = model.term_of(columns)
    to_counts, blur = structure_factor_maps(np.asarray(factor.grid), len(model.select(factor.selection)),
                                            term.potential.grid, splines)
    estimate = sample.estimate(target, w)
    difference = np.asarray(estimate.mean.detach()) - target.values
    covariance = estimate.covariance()
    if target.sigma is not None:
        covariance = covariance + np.diag(target.sigma**2)
    jacobian = -beta * blur @ weighted_covariance(phi[:, columns], sample.slopes(), w)
    return Response(to_counts @ difference, jacobian, to_counts @ covariance @ to_counts.T, target.weight, rtol=1e-6)


def _spline_response(target, sample, w, columns) -> Response:
    beta = 1 / (KB * target.ensemble.temperature)
    phi = np.asarray(sample.frames.features)
    estimate = expectation(phi[:, columns], w)
    mean = np.asarray(estimate.mean.detach())
    wanted, covariance = target.spline_counts(columns)
    jacobian = -beta * weighted_covariance(phi[:, columns], sample.slopes(), w)
    return Response(mean - wanted, jacobian, estimate.covariance() + covariance, target.weight)


def _observable_response(target, sample, w) -> Response:
    beta = 1 / (KB * target.ensemble.temperature)
    values = sample.values(target.observable)
    estimate = sample.estimate(target, w)
    plain = np.asarray(values.detach())
    jacobian = -beta * weighted_covariance(plain.reshape(len(plain), -1), sample.slopes(), w)
    if target.observable.explicit:
        derivatives = target.observable.coefficient_derivatives(sample.frames)
        on_coefficients = np.tensordot(w.w.detach().numpy(), derivatives.numpy(), axes=1)
        jacobian = jacobian + np.hstack([on_coefficients, _explicit_in_parameters(values, target.ensemble.model, w)])
    sigma = np.zeros(len(target.values)) if target.sigma is None else np.asarray(target.sigma)
    covariance = np.atleast_2d(estimate.covariance()) + np.diag(sigma**2)
    residual = np.asarray(estimate.mean.detach()) - np.asarray(target.values)
    return Response(np.atleast_1d(residual), np.atleast_2d(jacobian), covariance, target.weight)


def _explicit_in_parameters(values: torch.Tensor, model, w) -> np.ndarray:
    """<dO/d(p/s)> at fixed positions, [B, G], from the graph of values [S, B]."""
    mean = (w.w.detach() @ values).reshape(-1)
    parameters = [model.global_parameters[name] for name in model.parameter_names]
    slopes = np.zeros((len(mean), len(parameters)))
    if not mean.requires_grad or not parameters:
        return slopes
    for g, (p, scale) in enumerate(zip(parameters, model.parameter_scales.values(), strict=True)):
        for b in range(len(mean) if p.requires_grad else 0):
            (found,) = torch.autograd.grad(mean[b], p, retain_graph=True, allow_unused=True)
            slopes[b, g] = 0.0 if found is None else found.item() * scale
    return slopes


def shrunk_covariance(estimate) -> np.ndarray:
    r"""Covariance of a mean between its values, [B, B], of full rank also where there are more values than frames.

    Correlations r_ij are shrunk to (1 - lambda) r_ij, lambda = sum Var(r_ij) / sum r_ij^2 over i != j.

    References
    ----------
    J. Schaefer, K. Strimmer, Stat. Appl. Genet. Mol. Biol. 4, 32 (2005), table 2, target D.
    """
    covariance = np.atleast_2d(estimate.covariance())
    deviation = np.sqrt(np.diag(covariance))
    x = estimate.standardised()
    n, apart = len(x), ~np.eye(len(covariance), dtype=bool)
    if n < 3 or not apart.any():
        return covariance
    mean = x.T @ x / n
    variance = n / (n - 1) ** 3 * ((x**2).T @ x**2 - n * mean**2)
    part = min(1.0, variance[apart].sum() / max((mean[apart] ** 2).sum(), 1e-300))
    return np.where(apart, (1 - part) * covariance, np.diag(deviation**2))


def weighted_covariance(a: np.ndarray, b: np.ndarray, w) -> np.ndarray:
    """Cov(a, b) over weighted frames, [A, B]; a [S, A], b [S, B]."""
    p = np.asarray(w.w.detach())
    require(len(p) == len(a), "fit", f"expected {len(a)} weights, found {len(p)}", "Use the weights of these frames")
    a0, b0 = a - p @ a, b - p @ b
    return (a0 * p[:, None]).T @ b0
