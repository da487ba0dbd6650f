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


def influence(problem, parts: list, responses: list, smoothness: float) -> Influence | None:
    """The `Influence` of every target, from local quadratics and (part, Response) pairs; None without parameters.

    Responses must be in the order of ``problem.targets_of`` each part's Ensemble.
    """
    if not problem.scalars:
        return None
    starts = np.cumsum([0, *(p.numel() for p in problem.parameters)])
    place = {id(p): start for p, start in zip(problem.parameters, starts, strict=False)}
    columns = np.array([place[id(s.tensor)] for s in problem.scalars])
    units = np.array([problem.units[[id(p) for p in problem.parameters].index(id(s.tensor))] for s in problem.scalars])
    scales = np.array([s.scale for s in problem.scalars])
    maps = {id(part): problem.jacobian(part.ensemble)[1].numpy() for part in parts}
    curvature = sum(maps[id(p)].T @ (p.hessian + p.anchor + smoothness * p.roughness.T @ p.roughness).numpy()
                    @ maps[id(p)] for p in parts)
    scaled = np.sqrt(np.maximum(np.diag(curvature), 1e-300))
    covariance = np.linalg.pinv(curvature / np.outer(scaled, scaled), rcond=1e-12, hermitian=True) / np.outer(scaled,
                                                                                                             scaled)
    pulls, alone, names = [], [], []
    of_part = {id(part): iter(problem.targets_of(part.ensemble)) for part in parts}
    for part, response in responses:
        names.append(next(of_part[id(part)]).name)
        inverse, _ = response.inverse_covariance
        jacobian = response.jacobian @ maps[id(part)]
        pulls.append(-units * (covariance @ (response.weight * jacobian.T @ inverse @ response.residual))[columns])
        information = response.weight * np.einsum("mg,mn,ng->g", jacobian[:, columns], inverse, jacobian[:, columns])
        with np.errstate(divide="ignore"):
            alone.append(units / np.sqrt(np.maximum(information, 0.0)))
    own = covariance[np.ix_(columns, columns)] * np.outer(units, units)
    errors = np.sqrt(np.maximum(np.diag(own), 0.0))
    values, vectors = np.linalg.eigh(own / np.outer(scales, scales))
    left_open = [(v, float(np.sqrt(e))) for e, v in zip(values[::-1], vectors.T[::-1], strict=True)
                 if e > OPEN**2 / 2]  # the prior alone gives a variance of 1
    correlation = own / np.maximum(np.outer(errors, errors), 1e-300)
    return Influence(names, [s.label for s in problem.scalars], scales, np.array(pulls), np.array(alone), errors,
                     correlation, left_open)
