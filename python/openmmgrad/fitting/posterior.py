# SPDX-License-Identifier: MIT
"""What the data leave open: the band of u(r), and standard errors of global parameters."""

from __future__ import annotations

import numpy as np
import torch

from .gauss_newton import local_quadratics, parameter_errors
from .influence import Influence, influence
from .problem import Problem, pair_basis, potential_on, reach
from .quadratic import Step

DRAWS = 4000


def posterior(problem: Problem, samples: dict, confidence: float,
              smoothness: float = 1.0) -> tuple[dict[str, tuple], dict[str, float], Influence | None]:
    """Bands of u(r), standard errors and what the targets say, from the Gaussian posterior of the parameters.

    The half-width of a band is q * standard deviation(r), with q such that the whole curve lies inside with the given
    probability (the quantile of max_r |z(r)|, from seeded draws).

    Returns
    -------
    {ensemble: (r [R] nm, u [pairs, R] kT, half-width [pairs, R] kT)}
        r covers the distances that were sampled by any pair. Ensembles without pair potentials have none.
    {label: standard error}
        Of the learnt global parameters.
    Influence
        Of every target on them; None without any.

    Notes
    -----
    All are empty where a torch energy has parameters, which have no linear response here, and where a torch optimiser
    followed targets of paths, whose response would cost more than its steps: what is known of the other parameters
    would be misjudged.
    """
    if problem.learns_torch_energies or (problem.windows and not problem.path_memory):
        return {}, {}, None
    parts, responses = local_quadratics(problem, samples)
    step = Step(problem, parts)
    joint = step.joint_posterior(smoothness)
    covariances = [joint[place, place] for place in step.places]
    bands = {part.ensemble.name: _band(problem, part, covariance, confidence)
             for part, covariance in zip(parts, covariances, strict=True) if part.ensemble.model.terms}
    return bands, parameter_errors(problem, parts, covariances), influence(problem, step, responses, joint)


def _band(problem: Problem, part, covariance: torch.Tensor, confidence: float) -> tuple:
    ensemble, generator = part.ensemble, torch.Generator().manual_seed(0)
    r = np.linspace(part.first, reach(ensemble.model), 200, endpoint=False)
    basis = torch.stack([pair_basis(ensemble, term, p, r)
                         for term in ensemble.model.terms for p in range(term.shape[0])])
    values, vectors = torch.linalg.eigh(0.5 * (covariance + covariance.T))
    root = vectors * values.clamp_min(0).sqrt()
    modes = basis @ root
    deviation = modes.square().sum(-1).sqrt()
    draws = modes @ torch.randn(root.shape[1], DRAWS, dtype=torch.float64, generator=generator)
    largest = (draws.abs() / deviation.clamp_min(1e-12)[..., None]).amax(dim=(0, 1))
    quantile = float(torch.quantile(largest, confidence))
    return r, potential_on(problem, ensemble, r), (quantile * deviation).numpy()
