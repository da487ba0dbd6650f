# SPDX-License-Identifier: MIT
"""What the data leave open: the band of u(r)."""

from __future__ import annotations

import numpy as np
import torch

from .gauss_newton import local_quadratics
from .problem import Problem, pair_basis, potential_on
from .quadratic import Step

DRAWS = 4000


def bands(problem: Problem, samples: dict, confidence: float, smoothness: float = 1.0) -> dict[str, tuple]:
    """Simultaneous confidence bands of u(r) from the Gaussian posterior of the parameters.

    The half-width is q * standard deviation(r), with q such that the whole curve lies inside with the given
    probability (the quantile of max_r |z(r)|, from seeded draws).

    Returns
    -------
    {ensemble: (r [R] nm, u [pairs, R] kT, half-width [pairs, R] kT)}
        r covers the distances that were sampled by any pair.
    """
    parts, _ = local_quadratics(problem, samples)
    result = {}
    generator = torch.Generator().manual_seed(0)
    for part, covariance in zip(parts, Step(problem, parts).posterior(smoothness), strict=True):
        ensemble = part.ensemble
        cutoff = max(t.potential.cutoff for t in ensemble.model.terms)
        r = np.linspace(part.first, cutoff, 200, endpoint=False)
        basis = torch.stack([pair_basis(ensemble, term, p, r)
                             for term in ensemble.model.terms for p in range(term.shape[0])])
        values, vectors = torch.linalg.eigh(0.5 * (covariance + covariance.T))
        root = vectors * values.clamp_min(0).sqrt()
        modes = basis @ root
        deviation = modes.square().sum(-1).sqrt()
        draws = modes @ torch.randn(root.shape[1], DRAWS, dtype=torch.float64, generator=generator)
        largest = (draws.abs() / deviation.clamp_min(1e-12)[..., None]).amax(dim=(0, 1))
        quantile = float(torch.quantile(largest, confidence))
        result[ensemble.name] = (r, potential_on(problem, ensemble, r), (quantile * deviation).numpy())
    return result
