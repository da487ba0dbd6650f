# SPDX-License-Identifier: MIT
"""Weighted least squares of an energy u(r) in the cubic B-splines of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from openmmgrad.spline import SplineGrid, local_basis

#: Points per interval in the least squares.
POINTS = 8


@dataclass(frozen=True)
class ProjectionError:
    """How far the projected spline is from the potential it stands for.

    Both are the largest absolute deviation over all r from r_core to the cutoff where the potential lies
    below a stated number of kT, over all pairs, on ten points per spline interval that are not those of the
    fit.

    Parameters
    ----------
    energy
        max |u_spline - u|, kT.
    force
        max |u'_spline - u'|, kT/nm.
    r_energy, r_force
        Where they occur, nm.
    """

    energy: float
    force: float
    r_energy: float
    r_force: float


@lru_cache(maxsize=32)
def fit_points(grid: SplineGrid, device: torch.device) -> Tensor:
    """[K-3, POINTS]: midpoints of equal parts of every interval, nm; never r = 0."""
    t = (torch.arange(POINTS, dtype=torch.float64) + 0.5) / POINTS
    return ((torch.arange(grid.n_intervals).unsqueeze(1) + t) * grid.width).to(device)


@lru_cache(maxsize=32)
def check_points(grid: SplineGrid, device: torch.device) -> Tensor:
    """[10 (K-3)]: points between those of the fit, nm."""
    t = (torch.arange(10, dtype=torch.float64) + 0.5) / 10
    return ((torch.arange(grid.n_intervals).unsqueeze(1) + t) * grid.width).reshape(-1).to(device)


@lru_cache(maxsize=32)
def _local(device: torch.device) -> tuple[Tensor, Tensor]:
    """B-splines of an interval at the points, b [POINTS, 4], and their products [POINTS, 4, 4]."""
    b = local_basis((torch.arange(POINTS, dtype=torch.float64) + 0.5) / POINTS).to(device)
    return b, b.unsqueeze(-1) * b.unsqueeze(-2)


@lru_cache(maxsize=128)
def _places(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where the local vectors [n, 4] and matrices [n, 4, 4] add into [n+3] and [(n+3)^2]."""
    row = torch.arange(n).unsqueeze(1) + torch.arange(4)
    flat = row.unsqueeze(-1) * (n + 3) + row.unsqueeze(-2)
    return row.reshape(-1).to(device), flat.reshape(-1).to(device)


def least_squares(u: Tensor, weight: Tensor) -> Tensor:
    r"""Coefficients x that minimise :math:`\sum_{i,m} w_{im} (\sum_k x_k B_k(r_{im}) - u_{im})^2`.

    The banded normal equations of n consecutive intervals; the three splines that reach past the cutoff are
    left out. Their condition number is that of the B-spline basis (about 1e3) times the spread of the
    weights, so a Cholesky factorisation keeps ten digits.

    Parameters
    ----------
    u, weight
        [n, POINTS]: the last n intervals of the grid.

    Returns
    -------
    Tensor
        [n]; differentiable in u and in the weights.
    """
    n = u.shape[0]
    b, bb = _local(u.device)
    places, flat = _places(n, u.device)
    normal = u.new_zeros((n + 3) ** 2).index_add(0, flat, torch.tensordot(weight, bb, 1).reshape(-1))
    right = u.new_zeros(n + 3).index_add(0, places, ((weight * u) @ b).reshape(-1))
    factor = torch.linalg.cholesky(normal.view(n + 3, n + 3)[:n, :n])
    return torch.cholesky_solve(right[:n].unsqueeze(-1), factor).squeeze(-1)


def fit_table(
    grid: SplineGrid, i_core: int, r: Tensor, u: Tensor, weight: Tensor, roughness: Tensor | float
) -> Tensor:
    """Coefficients [K] that fit a table, with the core built in and the last three zero.

    Minimises sum w (u_spline(r) - u)^2 + sum_k rho_k (third difference of c at k)^2. The second term, small,
    decides where the table says nothing.

    Parameters
    ----------
    grid
        K coefficients.
    i_core
        Knot where the data begin; the spline is quadratic below.
    r, u, weight
        [R]; nm, kJ/mol, and any positive numbers.
    roughness
        rho_k: a number, or [K-3].
    """
    n = grid.n_coefficients
    eye = torch.eye(n, dtype=torch.float64)
    free = grid.extend_core(eye[i_core : n - 3], i_core)
    third = free[:, 3:] - 3 * free[:, 2:-1] + 3 * free[:, 1:-2] - free[:, :-3]
    scale = torch.as_tensor(roughness, dtype=torch.float64).expand(n - 3).sqrt()
    root = weight.sqrt()
    rows = torch.cat([root.unsqueeze(-1) * (grid.basis(r) @ free.T), scale.unsqueeze(-1) * third.T])
    right = torch.cat([root * u, torch.zeros(n - 3, dtype=torch.float64)])
    return torch.linalg.lstsq(rows, right.unsqueeze(-1), driver="gelsd").solution.squeeze(-1) @ free
