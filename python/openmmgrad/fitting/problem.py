# SPDX-License-Identifier: MIT
"""Problem: what a fit varies and what it compares, collected from the targets once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..estimate import Estimate, expectation
from ..units import KB
from .path_response import PathMemory
from .windows import Windows, windows_of


def _unique(objects) -> list:
    return list({id(o): o for o in objects}.values())


@dataclass(frozen=True, eq=False)
class LearntScalar:
    """A learnt global parameter: its label in histories, its Model and name there, and its scale."""

    label: str
    model: object
    name: str
    scale: float

    @property
    def tensor(self) -> torch.nn.Parameter:
        """The torch parameter."""
        return self.model.global_parameters[self.name]

    @property
    def column(self) -> int:
        """Its place among the coordinates of its Model's Ensembles."""
        return self.model.n_features + self.model.parameter_names.index(self.name)


class Problem:
    r"""Targets, their Ensembles and Models, and the union, by identity, of the Models' parameters.

    The parameters are handled as one flat vector theta [n], in which global parameters count in units of about their
    scales. What they do to the energy of an Ensemble e is handled through its coordinates

    .. math:: y_e(\theta) = (c_e,\ p / s), \qquad
        \delta U = \sum_k \frac{\partial U}{\partial y_k}\, \delta y_k

    [F + G]: the spline coefficients at its temperature, and its Model's global parameters in units of their scales.
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
        self.scalars = self._learnt_scalars()
        # powers of 2, so that values pass through theta unchanged
        units = {id(s.tensor): 2.0 ** round(math.log2(s.scale)) for s in self.scalars}
        self.units = [units.get(id(p), 1.0) for p in self.parameters]
        self.windows: dict[object, Windows] = windows_of(self.targets)
        self.path_memory = PathMemory()

    def _learnt_scalars(self) -> list[LearntScalar]:
        learnt = [(m, name) for m in self.models for name in m.parameter_names
                  if m.global_parameters[name].requires_grad]
        # one that Models share counts once, as the first Model's
        learnt = list({id(m.global_parameters[name]): (m, name) for m, name in learnt[::-1]}.values())[::-1]
        names = [name for _, name in learnt]
        first = {id(e.model): e.name for e in reversed(self.ensembles)}
        return [LearntScalar(name if names.count(name) == 1 else f"{name} {first[id(m)]}", m, name,
                             m.parameter_scales[name]) for m, name in learnt]

    def targets_of(self, ensemble) -> list:
        """The targets that are compared with this Ensemble's frames."""
        return [t for t in self.targets if t.ensemble is ensemble]

    @property
    def learns_torch_energies(self) -> bool:
        """Whether a parameter belongs to an energy that torch evaluates from all positions."""
        return any(learns_torch_energies(model) for model in self.models)

    @property
    def theta(self) -> Tensor:
        """A detached copy of all parameters, [n]."""
        pairs = zip(self.parameters, self.units, strict=True)
        return torch.cat([p.detach().reshape(-1).double() / unit for p, unit in pairs]).clone()

    @theta.setter
    def theta(self, values: Tensor) -> None:
        start = 0
        with torch.no_grad():
            for p, unit in zip(self.parameters, self.units, strict=True):
                p.copy_((values[start:start + p.numel()] * unit).reshape(p.shape))
                start += p.numel()

    def coordinates(self, ensemble) -> Tensor:
        """y_e(theta), [F + G], detached."""
        with torch.no_grad():
            return self._coordinates(ensemble)

    def _coordinates(self, ensemble) -> Tensor:
        model = ensemble.model
        scales = torch.tensor(list(model.parameter_scales.values()), dtype=torch.float64)
        return torch.cat([model.coefficients(ensemble.temperature), model.parameter_values() / scales])

    def jacobian(self, ensemble) -> tuple[Tensor, Tensor]:
        """y_e(theta) [F + G] and dy_e/dtheta [F + G, n]."""
        y = self._coordinates(ensemble)
        grads = [None] * len(self.parameters)
        if y.requires_grad:
            identity = torch.eye(len(y), dtype=torch.float64)
            grads = torch.autograd.grad(y, self.parameters, identity, is_grads_batched=True, allow_unused=True)
        blocks = [torch.zeros(len(y), p.numel(), dtype=torch.float64) if g is None else
                  unit * g.reshape(len(y), -1).double()
                  for p, g, unit in zip(self.parameters, grads, self.units, strict=True)]
        return y.detach(), torch.cat(blocks, dim=1)

    def estimates(self, sample) -> dict[object, Estimate]:
        """The average that each target of a Sample's Ensemble is compared with, with graph; paths are run anew."""
        targets = self.targets_of(sample.ensemble)
        of_frames = [t for t in targets if t not in self.windows]
        w = sample.weights() if of_frames else None
        found = {t: sample.estimate(t, w) for t in of_frames}
        runs = {windows: windows.run(sample.latest) for windows in _unique(
            self.windows[t] for t in targets if t in self.windows)}
        for t in targets:
            if t in self.windows:
                path, path_weights = runs[self.windows[t]]
                found[t] = expectation(t.observable(path), path_weights, observable=t.observable)
        return found

    def renew_windows(self, confirm: bool = False) -> None:
        """Let windows begin in fresh Contexts, as after a resumption; longer ones for a confirmation."""
        for windows in _unique(self.windows.values()):
            windows.renew(confirm)

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


def learns_torch_energies(model) -> bool:
    """Whether a Model has a torch energy with a parameter that requires grad."""
    return any(p.requires_grad for term in model.energy_terms for p in term.module.parameters())


def n_coordinates(model) -> int:
    """F + G, the coordinates of a Model's Ensembles."""
    return model.n_features + len(model.parameter_names)


def pair_basis(ensemble, term, row: int, r: np.ndarray) -> Tensor:
    """u(r)/kT of one type pair of a term as a linear map of all coordinates, [R, F + G]."""
    block = torch.zeros(len(r), n_coordinates(ensemble.model), dtype=torch.float64)
    start = term.columns.start + row * term.shape[1]
    block[:, start:start + term.shape[1]] = term.potential.grid.basis(torch.as_tensor(r))
    return block / (KB * ensemble.temperature)


def potential_on(problem: Problem, ensemble, r: np.ndarray, y: Tensor | None = None) -> np.ndarray:
    """u(r) of every type pair of an Ensemble's Model in kT, [pairs, R], from its coordinates y [F + G]."""
    y = problem.coordinates(ensemble) if y is None else y
    rows = [torch.zeros(0, len(r), dtype=torch.float64)]
    for term in ensemble.model.terms:
        block = y[term.columns].reshape(term.shape)
        rows.append(term.potential.grid.evaluate(block, torch.as_tensor(r)))
    return torch.cat(rows).numpy() / (KB * ensemble.temperature)


def reach(model) -> float:
    """The longest cutoff of a Model's pair potentials, nm; 0 without any."""
    return max((term.potential.cutoff for term in model.terms), default=0.0)
