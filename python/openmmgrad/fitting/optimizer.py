# SPDX-License-Identifier: MIT
"""First-order fitting: any torch.optim optimiser on chi^2 of reweighted averages."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import require
from ..estimate import chi2
from .gauss_newton import SAMPLED, StepReport
from .problem import Problem, potential_on


class Gradient:
    """Steps of a `torch.optim` optimiser on the sum of the targets' chi^2 per degree of freedom.

    The averages are reweighted from stored frames (S. Thaler, J. Zavadlav, Nat. Commun. 12, 6884 (2021), eq. (4)),
    so many steps are taken for each sampled iteration; `fit` samples again when n_eff falls.

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
        self._pending = None
        self.max_steps_per_sample = max_steps_per_sample
        self.name = optimizer.__name__.lower()

    def step(self, problem: Problem, samples: dict) -> StepReport:
        """Move the Problem's parameters once; samples: {Ensemble: Sample}."""
        optimizer = self._started(problem)
        before = {e: problem.coefficients(e) for e in problem.ensembles}

        def closure():
            optimizer.zero_grad()
            value = loss(problem, samples)
            value.backward()
            return value

        value = float(optimizer.step(closure).detach())
        require(np.isfinite(value), "fit", f"the loss is {value}", "Lower the learning rate")
        change = max(_largest_change(problem, e, before[e]) for e in problem.ensembles)
        return StepReport(change, {"loss": value})

    def _started(self, problem: Problem):
        if self._optimizer is None:
            self._optimizer = self._class(problem.parameters, **self._options)
            if self._pending is not None:
                self._optimizer.load_state_dict(self._pending)
        return self._optimizer

    def state(self) -> dict[str, np.ndarray]:
        """The optimizer's state as plain arrays."""
        if self._optimizer is None:
            return {}
        saved = {}
        for i, values in self._optimizer.state_dict()["state"].items():
            for key, value in values.items():
                saved[f"{i}/{key}"] = np.asarray(value)
        return saved

    def restore(self, saved) -> None:
        """Continue from `state`."""
        state: dict = {}
        for name in saved:
            i, key = name.split("/")
            state.setdefault(int(i), {})[key] = torch.as_tensor(np.asarray(saved[name]))
        shell = self._class([torch.nn.Parameter(torch.zeros(1)) for _ in state] or [torch.nn.Parameter(torch.zeros(1))],
                            **self._options)
        groups = shell.state_dict()["param_groups"]
        self._pending = {"state": state, "param_groups": groups}


def loss(problem: Problem, samples: dict) -> torch.Tensor:
    """Sum over targets of weight * chi^2 per degree of freedom, with graph to the parameters."""
    total = torch.zeros((), dtype=torch.float64)
    for ensemble in problem.ensembles:
        w = samples[ensemble].weights()
        for target in problem.targets_of(ensemble):
            estimate = samples[ensemble].estimate(target, w)
            total = total + target.weight * chi2(estimate, target.values, target.sigma)
    return total


def _largest_change(problem: Problem, ensemble, before: torch.Tensor) -> float:
    cutoff = min(t.potential.cutoff for t in ensemble.model.terms)
    r = np.linspace(0.02, 1.0, 100) * cutoff
    old = potential_on(problem, ensemble, r, before)
    sampled = np.abs(old) < -np.log(SAMPLED) + 2
    return float(np.abs(potential_on(problem, ensemble, r) - old)[sampled].max(initial=0.0))


