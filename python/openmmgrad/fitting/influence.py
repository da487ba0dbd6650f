# SPDX-License-Identifier: MIT
"""Which target pulls which parameter, how well each is known, what is correlated, and what the data leave open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: A direction is open where the data say less of it than a change by this many scales would.
OPEN = 1.0


@dataclass(frozen=True, eq=False)
class Influence:
    r"""What the targets of a fit say of its global parameters, at the last sample.

    .. math:: \Sigma = \Big(\sum_t J_t^T C_t^{-1} J_t + \text{prior}\Big)^{-1}, \qquad
        \text{pull}_t = -\Sigma\, J_t^T C_t^{-1} \delta_t

    Parameters
    ----------
    targets, parameters
        Names [M] and labels [G].
    scales
        [G], as given to `Model.add_parameters`, in each parameter's unit; so are the arrays below.
    pull
        [M, G]: the change that each target asks for. Where a fit has converged they add up to nearly nothing: targets
        that pull apart contradict each other under this model.
    alone
        [M, G]: standard errors if there were one target and one parameter only; infinite where it says nothing.
    errors
        [G]: standard errors from all targets together, all parameters free.
    correlation
        [G, G].
    open_directions
        [(mix [G] of parameters in units of their scales, of length 1; its standard error)]: what the data leave open,
        so that the prior decides. Empty is good.

    Examples
    --------
    >>> print(Influence(["IR"], ["k"], np.array([2.0]), np.array([[0.1]]), np.array([[0.3]]), np.array([0.2]),
    ...                 np.eye(1), []))
    pull                      k
    IR                      0.1
    standard error          0.2
    IR alone                0.3
    """

    targets: list[str]
    parameters: list[str]
    scales: np.ndarray
    pull: np.ndarray
    alone: np.ndarray
    errors: np.ndarray
    correlation: np.ndarray
    open_directions: list

    def __str__(self) -> str:
        def row(name: str, values) -> str:
            return f"{name:14s}" + "".join(f" {v:>12s}" if isinstance(v, str) else f" {v:12.4g}" for v in values)

        width = max(14, *(len(f"{t} alone") for t in self.targets))
        rows = [row("pull".ljust(width), self.parameters)]
        rows += [row(t.ljust(width), pull) for t, pull in zip(self.targets, self.pull, strict=True)]
        rows.append(row("standard error".ljust(width), self.errors))
        rows += [row(f"{t} alone".ljust(width), alone) for t, alone in zip(self.targets, self.alone, strict=True)]
        if len(self.parameters) > 1:
            rows.append("correlation")
            rows += [row(p.ljust(width), values)
                     for p, values in zip(self.parameters, self.correlation, strict=True)]
        for mix, error in self.open_directions:
            named = " ".join(f"{m:+.2f} {p}" for m, p in zip(mix, self.parameters, strict=True) if abs(m) > 0.1)
            rows.append(f"open: {named} (in scales), known to {error:.2g}")
        return "\n".join(rows)

    def as_dict(self) -> dict:
        """Plain lists and numbers, for JSON."""
        plain = {name: getattr(self, name) for name in ("targets", "parameters")}
        plain |= {name: getattr(self, name).tolist() for name in ("scales", "pull", "alone", "errors", "correlation")}
        return plain | {"open_directions": [[mix.tolist(), error] for mix, error in self.open_directions]}

    @classmethod
    def from_dict(cls, saved: dict) -> Influence:
        """From `as_dict`."""
        arrays = {name: np.array(saved[name]) for name in ("scales", "pull", "alone", "errors", "correlation")}
        directions = [(np.array(mix), float(error)) for mix, error in saved["open_directions"]]
        return cls(saved["targets"], saved["parameters"], **arrays, open_directions=directions)


def influence(problem, step, responses: list, covariance) -> Influence | None:
    """The `Influence` of every target; None without global parameters.

    Parameters
    ----------
    step
        A `Step` of the Problem.
    responses
        (part, Response) pairs, in the order of ``problem.targets_of`` each part's Ensemble.
    covariance
        Of all coordinates: ``step.joint_posterior``.
    """
    if not problem.scalars:
        return None
    covariance, place_of = np.asarray(covariance), {id(p): at for p, at in zip(step.parts, step.places, strict=True)}
    homes = {part.ensemble.model: place_of[id(part)] for part in step.parts}
    columns = np.array([homes[s.model].start + s.column for s in problem.scalars])
    scales = np.array([s.scale for s in problem.scalars])
    pulls, alone, names = [], [], []
    of_part = {id(part): iter(problem.targets_of(part.ensemble)) for part in step.parts}
    for part, response in responses:
        names.append(next(of_part[id(part)]).name)
        inverse, _ = response.inverse_covariance
        slope = response.weight * response.jacobian.T @ inverse @ response.residual
        pulls.append(-scales * (covariance[columns, place_of[id(part)]] @ slope))
        alone.append([_alone(response, part.ensemble.model, s) for s in problem.scalars])
    own = covariance[np.ix_(columns, columns)] * np.outer(scales, scales)
    errors = np.sqrt(np.maximum(np.diag(own), 0.0))
    values, vectors = np.linalg.eigh(covariance[np.ix_(columns, columns)])
    left_open = [(v, float(np.sqrt(e))) for e, v in zip(values[::-1], vectors.T[::-1], strict=True)
                 if e > OPEN**2 / 2]  # the prior alone gives a variance of 1
    correlation = own / np.maximum(np.outer(errors, errors), 1e-300)
    return Influence(names, [s.label for s in problem.scalars], scales, np.array(pulls), np.array(alone), errors,
                     correlation, left_open)


def _alone(response, model, scalar) -> float:
    """Standard error of one global parameter from one target of a Model, all others held."""
    for name in model.parameter_names:
        if model.global_parameters[name] is scalar.tensor:
            slopes = response.jacobian[:, model.n_features + model.parameter_names.index(name)]
            information = response.weight * slopes @ response.inverse_covariance[0] @ slopes
            return model.parameter_scales[name] / np.sqrt(information) if information > 0 else np.inf
    return np.inf
