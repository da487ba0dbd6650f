# SPDX-License-Identifier: MIT
"""First-order fitting: any torch.optim optimiser on chi^2 of reweighted averages."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import require
from ..estimate import chi2
from .gauss_newton import SAMPLED, StepReport
from .problem import Problem, learns_torch_energies, potential_on


class Gradient:
    """Steps of a `torch.optim` optimiser on the sum of the targets' chi^2 per degree of freedom.

    The averages are reweighted from stored frames (S. Thaler, J. Zavadlav, Nat. Commun. 12, 6884 (2021), eq. (4)),
    so many steps are taken for each sampled iteration; `fit` samples again when n_eff falls. Averages over paths are
    differentiated through weights and paths, whose windows run anew at every step.

    The optimiser moves global parameters in units of their scales, from where they were when the fit began: an Adam
    step of lr = 0.01 is a hundredth of the scale.

    Parameters
    ----------
    optimizer
        A class such as `torch.optim.Adam`.
    max_steps_per_sample
        Steps between two samplings at most.
    options
        Keyword arguments of the optimizer, such as lr.
    """

    name = "gradient"
    used_smoothness = 1.0  # of the posterior band

    def __init__(self, optimizer, max_steps_per_sample: int = 50, **options) -> None:
        require(isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer), "fit",
                f"expected a torch.optim class as method, found {optimizer!r}",
                "Pass 'gauss-newton', 'ibi' or a class such as torch.optim.Adam", error=TypeError)
        self._class, self._options, self._optimizer = optimizer, options, None
        self._pending: dict = {}
        self._scalars: list[_Scaled] = []
        self._iteration = None  # samples, coordinates and weights at its begin
        self.max_steps_per_sample = max_steps_per_sample
        self.name = optimizer.__name__.lower()

    def check(self, problem: Problem) -> None:
        """Anything with a gradient will do."""

    def step(self, problem: Problem, samples: dict) -> StepReport:
        """Move the Problem's parameters once; samples: {Ensemble: Sample}. The change is that since their first."""
        optimizer = self._started(problem)
        if self._iteration is None or self._iteration[0] is not samples:
            self._iteration = samples, {e: _before(problem, e, samples[e]) for e in problem.ensembles}

        def closure():
            for scalar in self._scalars:
                scalar.apply()
            optimizer.zero_grad()
            value = loss(problem, samples)
            value.backward()
            for scalar in self._scalars:
                scalar.take_gradient()
            return value

        value = float(optimizer.step(closure).detach())
        require(np.isfinite(value), "fit", f"the loss is {value}", "Lower the learning rate")
        for scalar in self._scalars:
            scalar.apply()
        before = self._iteration[1]
        change = max(_change(problem, e, samples[e], *before[e]) for e in problem.ensembles)
        return StepReport(change, {"loss": value})

    def _started(self, problem: Problem):
        if self._optimizer is None:
            self._scalars = [_Scaled(s.tensor, s.scale) for s in problem.scalars]
            for scalar, origin, moved in zip(self._scalars, self._pending.pop("origin", ()),
                                             self._pending.pop("moved", ()), strict=False):
                scalar.restore(origin, moved)
            moved = {id(scalar.parameter): scalar.moved for scalar in self._scalars}
            self._optimizer = self._class([moved.get(id(p), p) for p in problem.parameters], **self._options)
            if self._pending:
                groups = self._optimizer.state_dict()["param_groups"]
                self._optimizer.load_state_dict({"state": self._pending, "param_groups": groups})
        return self._optimizer

    def state(self) -> dict[str, np.ndarray]:
        """The optimizer's state as plain arrays."""
        if self._optimizer is None:
            return {}
        saved = {"origin": np.array([s.origin for s in self._scalars]),
                 "moved": np.array([s.moved.item() for s in self._scalars])}
        for i, values in self._optimizer.state_dict()["state"].items():
            for key, value in values.items():
                saved[f"{i}/{key}"] = np.asarray(value)
        return saved

    def restore(self, saved) -> None:
        """Continue from `state`."""
        self._pending = {name: saved[name].tolist() for name in ("origin", "moved") if name in saved}
        for name in saved:
            if "/" in name:
                i, key = name.split("/")
                self._pending.setdefault(int(i), {})[key] = torch.as_tensor(np.asarray(saved[name]))


class _Scaled:
    """What an optimiser moves in place of a global parameter p: (p - origin)/scale."""

    def __init__(self, parameter: torch.nn.Parameter, scale: float) -> None:
        self.parameter, self._scale = parameter, scale
        self.origin, self.moved = parameter.item(), torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def apply(self) -> None:
        with torch.no_grad():
            self.parameter.fill_(self.origin + self._scale * self.moved.item())
        self.parameter.grad = None

    def take_gradient(self) -> None:
        gradient = self.parameter.grad
        self.moved.grad = None if gradient is None else self._scale * gradient

    def restore(self, origin: float, moved: float) -> None:
        self.origin = origin
        with torch.no_grad():
            self.moved.fill_(moved)


def loss(problem: Problem, samples: dict) -> torch.Tensor:
    """Sum over targets of weight * chi^2 per degree of freedom, with graph to the parameters."""
    total = torch.zeros((), dtype=torch.float64)
    for ensemble in problem.ensembles:
        for target, estimate in problem.estimates(samples[ensemble]).items():
            total = total + target.weight * chi2(estimate, target.values, target.sigma)
    return total


def _before(problem: Problem, ensemble, sample) -> tuple:
    """The coordinates, and the latest weights where a change of torch energies is told by them."""
    torch_energies = learns_torch_energies(ensemble.model)
    return problem.coordinates(ensemble), sample.latest.plain_weights() if torch_energies else None


def _change(problem: Problem, ensemble, sample, before: torch.Tensor, w) -> float:
    """The largest change of u where sampled (kT), of global parameters (scales) and of torch energies (kT/sqrt(N))."""
    model = ensemble.model
    moved = (problem.coordinates(ensemble) - before)[model.n_features:]
    changes = [0.0, float(moved.abs().max()) if len(moved) else 0.0]
    if w is not None:
        changes.append(sample.energy_change(w))
    if model.terms:
        r = np.linspace(0.02, 1.0, 100) * min(t.potential.cutoff for t in model.terms)
        old = potential_on(problem, ensemble, r, before)
        sampled = np.abs(old) < -np.log(SAMPLED) + 2
        changes.append(float(np.abs(potential_on(problem, ensemble, r) - old)[sampled].max(initial=0.0)))
    return max(changes)
