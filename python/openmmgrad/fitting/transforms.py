# SPDX-License-Identifier: MIT
r"""From S(Q) to pair counts, so that a structure factor is matched as well as an RDF is.

The Jacobian of S(Q) itself, -beta Cov(S, Phi), is mostly noise: S at one wave vector fluctuates by its own size. The
counts of the spline basis are smooth functions of the frames, and the two are linear in one another:

.. math:: T_k = \frac{N}{\pi} \int B_k(r) \int Q\,r\, \sin(Qr)\, S(Q)\, dQ\, dr = (K S)_k, \qquad
          \delta S(Q) = \frac{2}{N} \int \frac{\sin Qr}{Qr}\, \delta n(r)\, dr = (E\, \delta\Phi)(Q)

so T = K S is compared with K S*, and its Jacobian is -beta K E Cov(Phi). The integral over Q ends at the last Q of
the observable on both sides, so that nothing is lost but resolution; E leaves out what changes beyond the cutoff.
"""

from __future__ import annotations

import numpy as np
import torch

PANELS = 16  # points per interval of the spline, for integrals over r


def structure_factor_maps(q: np.ndarray, n_atoms: int, grid, splines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K [M, B] and K E [M, M] of a structure factor at q [B] (1/nm) for some of the splines of a grid.

    Parameters
    ----------
    q
        Grid of the observable, increasing.
    n_atoms
        N, the atoms that scatter.
    grid
        The potential's SplineGrid.
    splines
        [M], which of its splines.
    """
    n_points = PANELS * grid.n_intervals
    r = (np.arange(n_points) + 0.5) * grid.cutoff / n_points
    dr = grid.cutoff / n_points
    basis = _basis(grid, r)[:, splines]
    dq = np.gradient(q)
    to_counts = n_atoms / np.pi * dr * basis.T @ (r[:, None] * np.sin(np.outer(r, q)) * (q * dq))
    overlap = dr * basis.T @ basis
    sinc = np.sinc(np.outer(q, r) / np.pi)
    to_factor = 2 / n_atoms * dr * (sinc @ basis) @ np.linalg.inv(overlap)
    return to_counts, to_counts @ to_factor


def _basis(grid, r: np.ndarray) -> np.ndarray:
    return grid.basis(torch.as_tensor(r)).numpy()
