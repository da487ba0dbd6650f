# SPDX-License-Identifier: MIT
r"""The local model of a fit: a quadratic in the coordinates of its Ensembles, minimised by any potential's parameters.

.. math:: Q(\theta) = \sum_e \tfrac12 \Delta_e^T (H_e + A_e) \Delta_e - b_e^T \Delta_e
   + \tfrac{\lambda}{2}\,|R_e y_e|^2
   + \tfrac{\mu}{2}\,\Delta_e^T G_e \Delta_e, \qquad \Delta_e = y_e(\theta) - y_e(\theta_0)

H and b come from the data, R is the roughness prior on u itself, G the mean square of u in kT and what global
parameters move: mu bounds the step. A, the anchor, keeps in its place what has no data: u inside the first distance
that is seen, and every global parameter within about its scale.
For a spline y is linear in theta and one solve is exact; for any other module a few Gauss-Newton steps are taken,
in the smaller of the two spaces (parameters or coordinates).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..units import KB
from .problem import Problem, pair_basis

DAMPING = 1e-9    # Levenberg-Marquardt, relative; grows where a step fails
INNER_STEPS = 6   # for modules that are not linear in their parameters


@dataclass
class LocalQuadratic:
    """Everything about one Ensemble that the step needs; arrays in the space of its D = F + G coordinates."""

    ensemble: object
    start: Tensor       # y_e(theta_0), [D]
    hessian: Tensor     # H, [D, D]
    gradient: Tensor    # b, [D]
    roughness: Tensor   # R, [rows, D]
    gram: Tensor        # G, [D, D]
    anchor: Tensor      # A, [D, D]
    probe: Tensor       # rows that say what a change does, [points, D]: see `gram_and_probe`
    first: float        # smallest sampled distance, nm; NaN without pair potentials


class Step:
    """Minimiser of Q over theta for given lambda (smoothness) and mu (step length)."""

    def __init__(self, problem: Problem, parts: list[LocalQuadratic]) -> None:
        self._problem, self.parts = problem, parts
        self._theta0 = problem.theta
        self._start_jacobians = [problem.jacobian(p.ensemble) for p in parts]

    def predict(self, smoothness: float, mu: float) -> list[Tensor]:
        """Change of each Ensemble's coordinates, [D] each, to first order: exact where y is linear in theta."""
        move = self._newton(self._start_jacobians, smoothness, mu, DAMPING)
        return [jacobian @ move for _, jacobian in self._start_jacobians]

    def solve(self, smoothness: float, mu: float) -> Tensor:
        """Theta that minimises Q, [n]; the Problem is left at theta_0."""
        problem, theta, damping = self._problem, self._theta0.clone(), DAMPING
        best, jacobians = self._value(self._start_jacobians, smoothness, mu), self._start_jacobians
        for _ in range(INNER_STEPS):
            trial = theta + self._newton(jacobians, smoothness, mu, damping)
            moved = self._jacobians_at(trial)
            value = np.inf if moved is None else self._value(moved, smoothness, mu)
            if value > best + 1e-12 * abs(best):
                damping = max(damping * 30, 1e-6)
                continue
            gain = best - value
            theta, best, jacobians, damping = trial, value, moved, max(damping / 10, DAMPING)
            if gain <= 1e-6 * max(1.0, abs(best)):
                break
        problem.theta = self._theta0
        return theta

    def _jacobians_at(self, theta: Tensor) -> list | None:
        """Coordinates and their Jacobian of every Ensemble, or None where the potential refuses such parameters."""
        self._problem.theta = theta
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # a potential may warn of what is only tried
                return [self._problem.jacobian(p.ensemble) for p in self.parts]
        except ValueError:
            return None

    def moved(self, theta: Tensor) -> list[Tensor]:
        """Change of each Ensemble's coordinates at theta, [D] each; the Problem is left at theta_0."""
        self._problem.theta = theta
        changes = [self._problem.coordinates(p.ensemble) - p.start for p in self.parts]
        self._problem.theta = self._theta0
        return changes

    def largest_change(self, changes: list[Tensor]) -> float:
        """The largest of what changes of the coordinates do: to u at the sampled distances, kT, and see the probe."""
        moved = torch.cat([p.probe @ d for p, d in zip(self.parts, changes, strict=True)])
        return float(moved.abs().max()) if len(moved) else 0.0

    def posterior(self, smoothness: float) -> list[Tensor]:
        """Covariance of y_e given the data and the prior, [D, D] for each Ensemble."""
        covariance = self.joint_posterior(smoothness)
        return [covariance[place, place] for place in self.places]

    @property
    def places(self) -> list[slice]:
        """Where each Ensemble's coordinates are among all of them in a row."""
        ends = np.cumsum([0, *(len(part.start) for part in self.parts)]).tolist()
        return [slice(start, end) for start, end in zip(ends[:-1], ends[1:], strict=True)]

    def joint_posterior(self, smoothness: float) -> Tensor:
        """Covariance of the coordinates of all Ensembles in a row, given the data and the prior."""
        curvatures = [p.hessian + p.anchor + smoothness * p.roughness.T @ p.roughness for p in self.parts]
        jacobian = torch.cat([j for _, j in self._start_jacobians])
        curvature = torch.block_diag(*curvatures)
        if self._problem.n_parameters <= len(jacobian):
            precision = jacobian.T @ curvature @ jacobian
            scale = precision.diagonal().clamp_min(1e-300).rsqrt()
            inverse = torch.linalg.pinv(precision * scale[:, None] * scale, rtol=1e-12, hermitian=True)
            return jacobian @ (inverse * scale[:, None] * scale) @ jacobian.T
        # unit prior on each parameter, through the kernel J J^T
        kernel = jacobian @ jacobian.T
        identity = torch.eye(len(kernel), dtype=torch.float64)
        return kernel @ torch.linalg.solve(identity + curvature @ kernel, identity)

    def _terms(self, part: LocalQuadratic, c: Tensor, smoothness: float, mu: float):
        delta = c - part.start
        rough = part.roughness @ c
        tied = part.hessian + part.anchor + mu * part.gram
        curvature = tied + smoothness * part.roughness.T @ part.roughness
        slope = tied @ delta - part.gradient + smoothness * part.roughness.T @ rough
        value = delta @ (0.5 * tied @ delta - part.gradient) + 0.5 * smoothness * rough @ rough
        return float(value), slope, curvature

    def _value(self, jacobians, smoothness: float, mu: float) -> float:
        pairs = zip(self.parts, jacobians, strict=True)
        return sum(self._terms(part, c, smoothness, mu)[0] for part, (c, _) in pairs)

    def _newton(self, jacobians, smoothness: float, mu: float, damping: float) -> Tensor:
        terms = [self._terms(part, c, smoothness, mu) for part, (c, _) in zip(self.parts, jacobians, strict=True)]
        jacobian = torch.cat([j for _, j in jacobians])
        slope = torch.cat([t[1] for t in terms])
        curvature = torch.block_diag(*[t[2] for t in terms])
        if self._problem.n_parameters <= len(jacobian):
            normal = jacobian.T @ curvature @ jacobian
            scale = normal.diagonal().clamp_min(1e-12 * float(normal.diagonal().max())).rsqrt()
            scaled = normal * scale[:, None] * scale + damping * torch.eye(len(normal), dtype=torch.float64)
            return -scale * torch.linalg.lstsq(scaled, scale * (jacobian.T @ slope), driver="gelsd").solution
        kernel = jacobian @ jacobian.T
        scale = max(float((curvature @ kernel).diagonal().mean()), 1e-300)
        system = curvature @ kernel + max(damping, 1e-7) * scale * torch.eye(len(kernel), dtype=torch.float64)
        return -jacobian.T @ torch.linalg.solve(system, slope)


def gram_and_probe(ensemble, r_sampled: dict, slopes: np.ndarray, p: np.ndarray) -> tuple[Tensor, Tensor]:
    """G and the probe of an Ensemble: rows whose products with a change of coordinates are to stay small.

    They are the change of u at sampled distances, kT; the change of every global parameter in units of its scale;
    and what that does to the energy, kT per particle: its standard deviation over frames over the root of N.

    Parameters
    ----------
    ensemble
        An Ensemble.
    r_sampled
        {term index: [P] arrays of sampled distances, nm}.
    slopes, p
        dU/dy [S, D], kJ/mol, and probabilities [S] of the frames.
    """
    model, size = ensemble.model, slopes.shape[1]
    distances = [pair_basis(ensemble, term, row, r_sampled[t][row])
                 for t, term in enumerate(model.terms) for row in range(term.shape[0])]
    distances = torch.cat([torch.zeros(0, size, dtype=torch.float64), *distances])
    own = torch.eye(size, dtype=torch.float64)[model.n_features:]
    slopes = slopes[:, model.n_features:]
    spread = np.sqrt(p @ (slopes - p @ slopes) ** 2)
    per_particle = spread / (KB * ensemble.temperature * np.sqrt(max(np.count_nonzero(model.masses), 1)))
    parameters = torch.cat([own, torch.as_tensor(per_particle)[:, None] * own])
    gram = distances.T @ distances / max(len(distances), 1) + parameters.T @ parameters
    return gram, torch.cat([distances, parameters])
