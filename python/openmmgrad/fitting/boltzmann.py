# SPDX-License-Identifier: MIT
"""Iterative Boltzmann inversion: the baseline."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import require
from ..observables import RDF
from ..potentials import SplinePotential
from ..units import KB
from .gauss_newton import SAMPLED, StepReport
from .problem import Problem
from .statistics import spline_columns


class BoltzmannInversion:
    r"""One step of iterative Boltzmann inversion.

    .. math:: u \leftarrow u + \alpha\, kT \ln \frac{g(r)}{g^*(r)}

    on the distances where both are sampled; inside, u moves with its value at the first of them.

    Parameters
    ----------
    mixing
        alpha.

    Raises
    ------
    ValueError
        Unless every target is an RDF of one type pair of a `SplinePotential`, and these are all that is learnt.

    References
    ----------
    [1] D. Reith, M. Pütz, F. Müller-Plathe, J. Comput. Chem. 24, 1624 (2003), eq. (3).
    """

    name = "ibi"
    max_steps_per_sample = 1
    used_smoothness = 1.0  # of the posterior band

    def __init__(self, mixing: float = 1.0) -> None:
        require(0 < mixing <= 1, "BoltzmannInversion", f"mixing must be in (0, 1], found {mixing}",
                "Give 1, or less to damp")
        self.mixing = mixing

    def check(self, problem: Problem) -> None:
        """Refuse targets without a type pair of a spline, and parameters that no step would move."""
        for target in problem.targets:
            _pair_of(target)
        still = [s.label for s in problem.scalars]
        still += ["torch energies"] if problem.learns_torch_energies else []
        require(not still, "BoltzmannInversion",
                f"it moves splines only, and {', '.join(still)} would stay as they are",
                "Use method='gauss-newton' or a torch optimiser, or freeze them with requires_grad_(False)")

    def step(self, problem: Problem, samples: dict) -> StepReport:
        """Move the splines of all targets' pairs once; samples: {Ensemble: Sample}."""
        change = 0.0
        for target in problem.targets:
            term, row = _pair_of(target)
            kT = KB * target.ensemble.temperature
            g = np.asarray(samples[target.ensemble].estimate(target).mean.detach())
            wanted = np.asarray(target.values)
            r = np.asarray(target.observable.grid)
            level = SAMPLED * wanted.max()
            both = (g > level) & (wanted > level) & (r < term.potential.cutoff)
            require(bool(both.any()), "BoltzmannInversion", f"g(r) and {target.name} have no distance in common",
                    "Start from SplinePotential.from_rdf of the target")
            correction = self.mixing * kT * np.log(g[both] / wanted[both])
            change = max(change, float(np.abs(correction).max()) / kT)
            _add(term.potential, row, r[both], correction)
        return StepReport(change, {})

    def state(self) -> dict:
        """Nothing to carry from one iteration to the next."""
        return {}

    def restore(self, saved) -> None:
        """Nothing to restore."""


def _pair_of(target):
    of_frames = isinstance(target.observable, RDF) and target.propagate is None
    columns = spline_columns(target) if of_frames else None
    term, row, _ = (None, 0, None) if columns is None else target.ensemble.model.term_of(columns)
    require(term is not None and isinstance(term.potential, SplinePotential), "BoltzmannInversion",
            f"target {target.name} is not the RDF of one type pair of a SplinePotential",
            "Use method='gauss-newton' or a torch optimiser")
    return term, term.potential.row(term.pairs[row])


def _add(potential: SplinePotential, row: int, r: np.ndarray, correction: np.ndarray) -> None:
    """Add a tabulated correction (kJ/mol) to one row of a spline: constant inside, zero at the cutoff."""
    grid = potential.grid
    fine = np.linspace(0.0, grid.cutoff, 8 * grid.n_coefficients, endpoint=False)
    values = np.interp(fine, np.append(r, grid.cutoff), np.append(correction, 0.0))
    basis = grid.basis(torch.as_tensor(fine))[:, :-3]
    solution = torch.linalg.lstsq(basis, torch.as_tensor(values)[:, None]).solution[:, 0]
    with torch.no_grad():
        potential.values[row] += solution
