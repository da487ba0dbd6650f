# SPDX-License-Identifier: MIT
"""Splines from tables: of an energy, and of a radial distribution function."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from openmmgrad.errors import require
from openmmgrad.potentials.projection import fit_table
from openmmgrad.spline import SplineGrid

#: Least squares of energies: weight of squared third differences, relative to the mean per coefficient.
FILL = 1e-12
#: Fit of -ln g at K = 64: noise where counts are largest over third differences of c; measured on LJ.
NOISE_TO_ROUGHNESS = 0.003


def project_table(
    grid: SplineGrid, r: np.ndarray, u: np.ndarray, kT: float | None, core: float, shift: bool
) -> tuple[Tensor, int]:
    """Coefficients [K] (kJ/mol) and the core's knot from u(r); see ``SplinePotential.from_energy``."""
    who, h = "SplinePotential.from_energy", grid.width
    _check_table(who, grid, r, u)
    if shift:
        u = u - np.interp(grid.cutoff, r, u)
    inside = np.isfinite(u) & (r < grid.cutoff)
    require(
        bool(inside.any()),
        who,
        f"found no finite u within {grid.cutoff:.4g} nm",
        "Check the table's units: nm",
    )
    r, u = r[inside], u[inside]
    i_core = math.floor(r[0] / h)
    if kT is not None and (u >= core * kT).any():
        i_core = max(i_core, math.floor(r[u >= core * kT][-1] / h))
    _check_core(who, grid, i_core)
    used = r >= i_core * h
    r, u = torch.from_numpy(r[used]), torch.from_numpy(u[used])
    weight = torch.ones_like(u) if kT is None else 1 / (1 + torch.relu(u) / kT)
    return fit_table(grid, i_core, r, u, weight, FILL * weight.sum() / grid.n_coefficients), i_core


def invert_rdf(grid: SplineGrid, r: np.ndarray, g: np.ndarray, kT: float, g_min: float) -> tuple[Tensor, int]:
    """Coefficients [K] (kJ/mol) and the core's knot from g(r); see ``SplinePotential.from_rdf``."""
    who, h = "SplinePotential.from_rdf", grid.width
    _check_table(who, grid, r, g)
    require(
        g.min() >= 0 and np.isfinite(g).all(),
        who,
        f"g must be finite and >= 0, found {g.min()}",
        "Check the table",
    )
    require(g_min > 0, who, f"g_min must be positive, found {g_min}", "1e-3 is usual")
    require(
        g[r < grid.cutoff].max(initial=0.0) > g_min,
        who,
        f"g must exceed g_min = {g_min:g} somewhere, its largest value is {g.max():g}",
        "Check the columns of the table",
    )
    rise = int(np.argmax(g >= max(0.1 * g[r < grid.cutoff].max(), g_min)))
    unseen = np.flatnonzero(g[:rise] <= g_min)
    start = int(unseen[-1]) + 1 if len(unseen) else 0
    r, g = r[start:], g[start:]
    u = -np.log(np.maximum(g, g_min))
    end = (r <= grid.cutoff + 1e-9) & (r > grid.cutoff - 3 * h - 2 * (r[-1] - r[-2]))
    u = u - np.polyval(np.polyfit(r[end] - grid.cutoff, u[end], 1), 0.0)
    # the knot nearest to the first data: the core's steepest part is what reaches g_min
    i_core = round(r[0] / h) if start > 0 or r[0] > h else 0
    _check_core(who, grid, i_core)
    inside = r < grid.cutoff
    counts = np.maximum(g, g_min)[inside] * r[inside] ** 2
    c = fit_table(
        grid,
        i_core,
        torch.from_numpy(r[inside]),
        torch.from_numpy(u[inside]),
        torch.from_numpy(counts / counts.max()),
        (NOISE_TO_ROUGHNESS * (grid.n_intervals / 61) ** 3) ** 2,
    )
    if i_core > 0:
        c = _repel(grid, c, i_core, r, u)
    return kT * c, i_core


def _repel(grid: SplineGrid, c: Tensor, i_core: int, r: np.ndarray, u: np.ndarray) -> Tensor:
    """Make the core fall and convex: u' <= -(mean slope down to u = 0) and u'' >= 0 at its edge.

    Raising c at the edge alone does both and leaves u beyond the first interval as it is.
    """
    edge = i_core * grid.width
    below = np.flatnonzero((u <= 0) & (r > edge))
    u_edge = (c[i_core] + 4 * c[i_core + 1] + c[i_core + 2]).item() / 6
    zero = r[below[0]] if len(below) else grid.cutoff
    mean_slope = max(u_edge, 0.0) / (zero - edge)
    falling = c[i_core + 2] + 2 * grid.width * mean_slope
    convex = 2 * c[i_core + 1] - c[i_core + 2]
    c = c.clone()
    c[i_core] = torch.maximum(c[i_core], torch.maximum(falling, convex))
    return grid.extend_core(c, i_core)


def _check_table(who: str, grid: SplineGrid, r: np.ndarray, values: np.ndarray) -> None:
    require(
        r.ndim == 1 and len(r) >= 4 and r.shape == values.shape,
        who,
        f"expected at least four rows of equal length, found shapes {list(r.shape)} and {list(values.shape)}",
        "Give r [R] and values [R], or [P, R] with pairs=",
    )
    require(
        np.isfinite(r).all() and (np.diff(r) > 0).all() and r[0] >= 0,
        who,
        "r must be finite, not negative and increasing",
        "Sort the table and remove repeated rows",
    )
    require(
        not np.isnan(values).any(), who, f"found NaN in {np.isnan(values).sum()} rows", "Remove those rows"
    )
    last, spacing = r[-1], r[-1] - r[-2]
    require(
        last >= grid.cutoff - 0.501 * spacing,
        who,
        f"the table must reach the cutoff of {grid.cutoff:.4g} nm, found it ending at {last:.4g} nm",
        "Use a smaller cutoff, and check that r is in nm",
    )


def _check_core(who: str, grid: SplineGrid, i_core: int) -> None:
    require(
        i_core <= grid.n_intervals - 4,
        who,
        f"data must begin well before the cutoff of {grid.cutoff:.4g} nm, found {i_core * grid.width:.4g} nm",
        "Use a larger cutoff, and check that r is in nm",
    )
