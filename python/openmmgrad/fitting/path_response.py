# SPDX-License-Identifier: MIT
r"""Linear response of averages over paths: what the weights of the frames and the paths themselves contribute.

.. math:: \frac{d\langle O \rangle}{dy}
    = -\beta\, \mathrm{Cov}\Big(O, \frac{\partial U}{\partial y}\Big) + \Big\langle \frac{dO}{dy} \Big\rangle

The first term is a covariance over windows. The second is a central difference of whole windows, which start from the
same frames, where only global parameters are learnt (two runs for each); otherwise a reverse sweep for each value.
The covariance is the noisier of the two: it gets all windows, the differences as many as are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch

from ..estimate import expectation
from ..units import KB
from ..weights import Weights
from .statistics import Response, shrunk_covariance, weighted_covariance
from .windows import evenly

STEP = 1e-3  # of a parameter's scale: the difference of windows


@dataclass
class PathResponse:
    """What the windows of one segment say of one target: where they ran y [D], mean [B], J [B, D], C [B, B]."""

    coordinates: np.ndarray
    mean: np.ndarray
    jacobian: np.ndarray
    covariance: np.ndarray
    size: float  # windows that they are worth


def path_responses(problem, windows, targets: list, sample) -> dict[object, PathResponse]:
    """{target: PathResponse} of targets that share windows, from the latest segment of a Sample."""
    ensemble = sample.ensemble
    differences = ensemble.model.n_features == 0
    with torch.set_grad_enabled(not differences):
        path, w = windows.run(sample)
        values = {t: t.observable(path) for t in targets}
    if differences:
        slopes = _by_differences(problem, windows, targets, sample)
    else:
        slopes = {t: _by_sweeps(problem, ensemble, w.w.detach() @ values[t]) for t in targets}
    beta, found = 1 / (KB * ensemble.temperature), {}
    y, frame_slopes = problem.coordinates(ensemble).numpy(), windows.chosen_of(sample.slopes())
    for t in targets:
        plain = values[t].detach()
        estimate = expectation(plain, w, observable=t.observable)
        by_weights = -beta * windows.weight_term * weighted_covariance(plain.numpy(), frame_slopes, w)
        found[t] = PathResponse(y, estimate.mean_values, by_weights + slopes[t], shrunk_covariance(estimate), w.n_eff)
    return found


def combined(target, y: np.ndarray, responses: list[PathResponse]) -> Response:
    """One Response from windows of several segments, each carried on linearly to the coordinates y [D]."""
    shares = np.array([r.size for r in responses])
    shares = shares / shares.sum()
    jacobian = sum(p * r.jacobian for p, r in zip(shares, responses, strict=True))
    mean = sum(p * (r.mean + jacobian @ (y - r.coordinates)) for p, r in zip(shares, responses, strict=True))
    covariance = sum(p**2 * r.covariance for p, r in zip(shares, responses, strict=True))
    return Response(mean - target.values, jacobian, _with_target(covariance, target), target.weight)


def _with_target(covariance: np.ndarray, target) -> np.ndarray:
    """C of the difference, [B, B].

    Where the target has errors they say how the values compare with one another, and C only how large they are in all
    and how they are correlated: variances from the windows that also gave the mean would favour values that are low by
    chance.
    """
    if target.sigma is None or not (target.sigma > 0).all():
        return covariance + (0.0 if target.sigma is None else np.diag(target.sigma**2))
    variance = np.diag(covariance)
    deviation = np.sqrt(np.where(variance > 0, variance, 1.0))
    correlation = np.where(variance > 0, covariance / np.outer(deviation, deviation), np.eye(len(variance)))
    scale = np.mean(variance / target.sigma**2)
    return np.outer(target.sigma, target.sigma) * (scale * correlation + np.eye(len(variance)))


def _by_differences(problem, windows, targets: list, sample) -> dict[object, np.ndarray]:
    """<dO/d(p/s)> of every learnt global parameter, [B, G], by windows that run a little to both sides."""
    model = sample.ensemble.model
    found = {t: np.zeros((len(t.values), len(model.parameter_names))) for t in targets}
    start, w = windows.start(sample)
    if windows.n_differentiated is not None:
        few = evenly(len(start), min(windows.n_differentiated, len(start)))
        start, w = start[few], Weights(w.w[few] / w.w[few].sum())
    for g, (name, scale) in enumerate(model.parameter_scales.items()):
        parameter = model.global_parameters[name]
        if not parameter.requires_grad:
            continue
        value = parameter.item()
        try:
            for sign in (1, -1):
                with torch.no_grad():
                    parameter.fill_(value + sign * STEP * scale)
                    path = windows.propagate(start)
                    for t in targets:
                        found[t][:, g] += sign * (w.w @ t.observable(path)).numpy() / (2 * STEP)
        finally:
            with torch.no_grad():
                parameter.fill_(value)
    return found


def _by_sweeps(problem, ensemble, mean: torch.Tensor) -> np.ndarray:
    """<dO/dy> [B, D] by a reverse sweep for each value of mean [B], which carries the graph of the paths."""
    rows = []
    for value in mean:
        grads = torch.autograd.grad(value, problem.parameters, retain_graph=True, allow_unused=True)
        rows.append(torch.cat([torch.zeros(p.numel()).double() if g is None else unit * g.reshape(-1).double()
                               for p, g, unit in zip(problem.parameters, grads, problem.units, strict=True)]))
    _, from_theta = problem.jacobian(ensemble)
    return (torch.stack(rows) @ torch.linalg.pinv(from_theta)).numpy()


class PathMemory:
    """PathResponses of the segments that still represent the parameters: {target: {iteration: PathResponse}}."""

    def __init__(self) -> None:
        self._found: dict[str, dict[int, PathResponse]] = {}

    def __len__(self) -> int:
        return len(self._found)

    def responses(self, problem, sample) -> dict[object, Response]:
        """{target: Response} of an Ensemble's path targets; the latest windows run if they have not yet."""
        targets = [t for t in problem.targets_of(sample.ensemble) if t in problem.windows]
        latest = sample.iterations[-1]
        y = problem.coordinates(sample.ensemble).numpy()
        for windows in {id(problem.windows[t]): problem.windows[t] for t in targets}.values():
            sharing = [t for t in targets if problem.windows[t] is windows]
            known = [self._found.get(t.name, {}) for t in sharing]
            if windows.confirms and all(any(i in sample.iterations for i in found) for found in known):
                continue  # what is known from shorter windows will do
            if all(self._knows(t, latest, y) for t in sharing):
                continue
            for t, response in path_responses(problem, windows, sharing, sample.latest).items():
                self._found.setdefault(t.name, {})[latest] = response
        result = {}
        for t in targets:
            kept = {i: r for i, r in self._found[t.name].items() if i in sample.iterations}
            self._found[t.name] = kept
            result[t] = combined(t, y, list(kept.values()))
        return result

    def _knows(self, target, iteration: int, y: np.ndarray) -> bool:
        found = self._found.get(target.name, {}).get(iteration)
        return found is not None and np.array_equal(found.coordinates, y)

    def state(self) -> dict[str, np.ndarray]:
        """As plain arrays by name."""
        return {f"{i}/{f.name}/{name}": np.array(getattr(response, f.name)) for name, rows in self._found.items()
                for i, response in rows.items() for f in fields(response)}

    def restore(self, saved) -> None:
        """Continue from `state`."""
        parts: dict[tuple[str, int], dict] = {}
        for key, value in saved.items():
            i, field, name = key.split("/", 2)
            parts.setdefault((name, int(i)), {})[field] = value
        for (name, i), arrays in parts.items():
            arrays["size"] = float(arrays["size"])
            self._found.setdefault(name, {})[i] = PathResponse(**arrays)
