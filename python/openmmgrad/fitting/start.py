# SPDX-License-Identifier: MIT
"""A start for any potential: as close as its parameters come to -kT ln g(r)."""

from __future__ import annotations

import numpy as np
import torch

from ..potentials import PairPotential, SplinePotential
from ..units import KB


def start_from_rdf(potential: PairPotential, r, g, temperature: float, pair=None, max_iterations: int = 500) -> float:
    r"""Set a potential's parameters so that u(r) is as close as possible to the potential of mean force.

    .. math:: \min_\theta \sum_r \frac{[u_\theta(r) + kT \ln g(r)]^2}{[1 + \max(-kT \ln g(r), 0)/kT]^2}

    by L-BFGS, with the repulsive continuation of `SplinePotential.from_rdf` where g vanishes.

    Parameters
    ----------
    potential
        Any `PairPotential`; changed in place.
    r, g
        [R], nm, reaching the cutoff, and the RDF there.
    temperature
        K.
    pair
        The labels of the two types.
    max_iterations
        Of L-BFGS.

    Returns
    -------
    float
        Root of the weighted mean square that is left, kT.

    References
    ----------
    [1] D. Reith, M. Pütz, F. Müller-Plathe, J. Comput. Chem. 24, 1624 (2003), eq. (2).
    """
    kT = KB * temperature
    wanted = SplinePotential.from_rdf(r, g, temperature, potential.cutoff, potential.n_coefficients)
    fine = np.linspace(0.0, potential.cutoff, 6 * potential.n_coefficients, endpoint=False)[1:]
    u = torch.as_tensor(wanted.tabulate(fine, None, temperature)[0])
    below = u < 4 * potential.core * kT  # beyond the core's edge, so that its slope and curvature are right
    r_fit, u_fit = torch.as_tensor(fine)[below], u[below]
    weight = 1 / (1 + torch.relu(u_fit) / kT)
    parameters = [p for p in potential.parameters() if p.requires_grad]
    optimizer = torch.optim.LBFGS(parameters, max_iter=max_iterations, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = ((weight * (potential.truncated_energy(r_fit, pair, temperature) - u_fit) / kT) ** 2).mean()
        value.backward()
        return value

    optimizer.step(closure)
    with torch.no_grad():
        left = ((weight * (potential.truncated_energy(r_fit, pair, temperature) - u_fit) / kT) ** 2).mean()
    return float(left.sqrt())
