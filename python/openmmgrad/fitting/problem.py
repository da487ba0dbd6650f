# SPDX-License-Identifier: MIT
"""Problem: what a fit varies and what it compares, collected from the targets once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..units import KB


def _unique(objects) -> list:
    return list({id(o): o for o in objects}.values())


class Problem:
    """Targets, their Ensembles and Models, and the union, by identity, of the Models' parameters.

    The parameters are handled as one flat vector theta [n]; c_e(theta) [F] are the spline coefficients of the
    Ensemble e at its temperature.
    """

    def __init__(self, targets: Sequence) -> None:
        require(len(targets) > 0, "fit", "expected at least one target, found none", "Pass [Target(...)]")
        self.targets = list(targets)
        self.ensembles = _unique(t.ensemble for t in self.targets)
        for kind, members in (("Ensembles", self.ensembles), ("Targets", self.targets)):
            names = [m.name for m in members]
            require(len(set(names)) == len(names), "fit", f"{kind} must have different names, found {names}",
                    "Pass name=")
        self.models = _unique(e.model for e in self.ensembles)
        self.parameters = _unique(p for m in self.models for p in m.parameters() if p.requires_grad)
        require(bool(self.parameters), "fit", "the Models have no parameter that requires grad",
                "Add a potential, or set requires_grad_(True)")
        self.n_parameters = sum(p.numel() for p in self.parameters)

    def targets_of(self, ensemble) -> list:
        """The targets that are compared with this Ensemble's frames."""
        return [t for t in self.targets if t.ensemble is ensemble]

    @property
    def theta(self) -> Tensor:
        """A detached copy of all parameters, [n]."""
        return torch.cat([p.detach().reshape(-1).double() for p in self.parameters]).clone()

    @theta.setter
    def theta(self, values: Tensor) -> None:
        start = 0
        with torch.no_grad():
            for p in self.parameters:
                p.copy_(values[start:start + p.numel()].reshape(p.shape))
                start += p.numel()

    def coefficients(self, ensemble) -> Tensor:
        """c_e(theta), [F], detached."""
        with torch.no_grad():
            return ensemble.model.coefficients(ensemble.temperature)

    def jacobian(self, ensemble) -> tuple[Tensor, Tensor]:
        """c_e(theta) [F] and dc_e/dtheta [F, n]."""
        c = ensemble.model.coefficients(ensemble.temperature)
        identity = torch.eye(len(c), dtype=torch.float64)
        grads = torch.autograd.grad(c, self.parameters, identity, is_grads_batched=True, allow_unused=True)
        blocks = [torch.zeros(len(c), p.numel(), dtype=torch.float64) if g is None else g.reshape(len(c), -1).double()
                  for p, g in zip(self.parameters, grads, strict=True)]
        return c.detach(), torch.cat(blocks, dim=1)

    def state(self) -> dict[str, np.ndarray]:
        """Every parameter and buffer of the Models, as plain arrays by name."""
        return {f"{i}.{name}": value.detach().numpy().copy()
                for i, model in enumerate(self.models) for name, value in model.state_dict().items()}

    def restore(self, saved) -> None:
        """Set what `state` returned."""
        for i, model in enumerate(self.models):
            prefix = f"{i}."
            model.load_state_dict({name[len(prefix):]: torch.as_tensor(saved[name])
                                   for name in saved if name.startswith(prefix)})


def pair_basis(ensemble, term, row: int, r: np.ndarray) -> Tensor:
    """u(r)/kT of one type pair of a term as a linear map of all coefficients, [R, F]."""
    block = torch.zeros(len(r), ensemble.model.n_features, dtype=torch.float64)
    start = term.columns.start + row * term.shape[1]
    block[:, start:start + term.shape[1]] = term.potential.grid.basis(torch.as_tensor(r))
    return block / (KB * ensemble.temperature)


def potential_on(problem: Problem, ensemble, r: np.ndarray, c: Tensor | None = None) -> np.ndarray:
    """u(r) of every type pair of an Ensemble's Model in kT, [pairs, R], from coefficients c [F]."""
    c = problem.coefficients(ensemble) if c is None else c
    rows = []
    for term in ensemble.model.terms:
        block = c[term.columns].reshape(term.shape)
        rows.append(term.potential.grid.evaluate(block, torch.as_tensor(r)))
    return torch.cat(rows).numpy() / (KB * ensemble.temperature)
