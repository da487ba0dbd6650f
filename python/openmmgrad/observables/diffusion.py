# SPDX-License-Identifier: MIT
"""Mean squared displacement and self-diffusion coefficient of paths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..path import Path
from ..units import plain
from .base import Observable
from .velocity import vacf
from .windows import Lags, again, around, array_of, both_sides, mean_squares, n_lags, shares

_SI = 1e-6  # m^2/s in 1 nm^2/ps
_BOLTZMANN = 1.380649e-23  # J/K
_XI = 2.837297  # of a cubic lattice


class MSD(Lags, Observable):
    r"""Mean squared displacement of every window of a `Path`.

    .. math:: \mathrm{MSD}(t) = \frac 1n \sum_i \big|\Delta \mathbf r_i(t) - \Delta \mathbf R(t)\big|^2, \qquad
        \Delta \mathbf r_i(t) = \mathbf r_i(t) - \mathbf r_i(0)

    over the n selected atoms, the sum of three components, with R the centre of mass of the whole system.

    Parameters
    ----------
    selection
        See `Frames.select`; None is all atoms that have mass.
    max_lag
        Longest lag, ps; None is that of the window.
    remove_com
        Take away the displacement of the centre of mass of the whole system (all atoms, not only the selected).
    origins
        "first" or "all" times of each window, as in `VACF`.
    interval
        ps between the times of the paths: then ``grid`` is known before the first path is seen; needs ``max_lag``.

    Attributes
    ----------
    grid
        Lags, [L], ps: of the last path seen, unless ``interval`` was given.

    Raises
    ------
    ValueError
        If the window is shorter than max_lag, there are no positions, or the selection has no atoms.

    Notes
    -----
    Positions must be unwrapped, as those of `propagate` are. For N equal independent atoms, removing the centre of mass
    multiplies the MSD by 1 - 1/N; nothing is multiplied back.

    References
    ----------
    D. Frenkel, B. Smit, Understanding Molecular Simulation, 2nd ed. (2002), section 4.4.1.

    Examples
    --------
    >>> from openmmgrad.path import Path
    >>> t = torch.linspace(0, 1, 5, dtype=torch.float64)
    >>> x = t[None, :, None, None] * torch.tensor([3.0, 0.0, 0.0])
    >>> path = Path(torch.cat([x, -x], dim=2), None, times=t.numpy(), timestep=0.25, masses=[1.0, 1.0])
    >>> MSD(max_lag=0.5)(path)                                              # 9 t^2
    tensor([[0.0000, 0.5625, 2.2500]], dtype=torch.float64)
    """

    unit = "nm^2"
    name = "MSD"
    axis = "t (ps)"

    def __init__(self, selection: Any = None, max_lag: float | None = None, remove_com: bool = True,
                 origins: str = "first", interval: float | None = None) -> None:
        self.selection, self.remove_com = selection, remove_com
        self._set_lags(max_lag, origins, interval)

    def __call__(self, path: Path) -> Tensor:
        """MSD(t) of every window, [S, L], nm^2, with graph to ``path.positions``."""
        positions = array_of(path, "positions", "MSD")
        return msd(path, positions, shares(path, self.selection), self._mass(path), self._lags_of(path), self.origins)


def msd(path: Path, positions: Tensor, share: Tensor, mass: Tensor | None, n: int, origins: str) -> Tensor:
    """sum_i a_i |dr_i(t) - dR(t)|^2, [S, n], of positions [S, T, N, 3]; a [N] is ``share``, and ``mass`` [N] is m/M."""
    if origins == "all":
        return torch.stack([mean_squares(r, share, mass, n) for r in positions.unbind(0)])
    near, origin = around(path, positions, n)
    return both_sides(torch.stack([again(_from_first, r, origin, share, mass) for r in near.unbind(0)]), n)


def _from_first(r: Tensor, origin: int, share: Tensor, mass: Tensor | None) -> Tensor:
    moved = r - r[origin]
    if mass is not None:
        moved = moved - torch.einsum("n,tni->ti", mass, moved)[:, None]
    return (moved**2).sum(-1) @ share


class SelfDiffusion(Lags, Observable):
    r"""Self-diffusion coefficient from every window of a `Path`.

    .. math:: D = \frac 13 \int_0^{t_{max}} C(t)\, dt \quad \text{or} \quad
        D = \frac 16 \frac{d}{dt} \mathrm{MSD}(t)

    with C of `VACF` and the trapezoidal rule ("green-kubo"), or the slope of a least-squares line through `MSD` at the
    times from t_min to t_max ("einstein"). Both are linear in C or MSD: a weighted average of D over windows is the D
    of the averaged function.

    Parameters
    ----------
    selection
        See `Frames.select`; None is all atoms that have mass.
    route
        "green-kubo" needs velocities, "einstein" positions.
    t_max
        Upper limit, ps, a whole number of intervals between stored times; None is the length of the window.
    t_min
        Where the line begins, ps: past the ballistic rise. Of "einstein" only, which needs it.
    remove_com
        As in `VACF`. Left in, the centre of mass of N atoms of mass m adds k T t_max/(N m) to D.
    origins
        "first" or "all" times of each window, as in `VACF`.
    viscosity
        Pa s: adds the correction of `finite_size_correction` for a periodic cubic box. None adds nothing.

    Raises
    ------
    ValueError
        If the window is shorter than t_max, t_max is between two stored times, velocities or positions are missing, or
        the box is not cubic where a viscosity is given.

    Notes
    -----
    For N equal independent atoms, removing the centre of mass multiplies D by 1 - 1/N (0.3 % at N = 346); nothing is
    multiplied back.

    A Verlet trajectory's positions are exactly the timestep times the sum of its half-step velocities, so that with
    ``stride=1`` both routes are of one curve: MSD(n+1) - 2 MSD(n) + MSD(n-1) = 2 timestep^2 C(n) in a stationary
    average. With a longer stride the trapezoidal rule must still resolve C(t), which nothing here can check.

    References
    ----------
    [1] D. Frenkel, B. Smit, Understanding Molecular Simulation, 2nd ed. (2002), section 4.4.1: both formulas.
    [2] B. Han, K. Yu, Nat. Commun. 16 (2025), arXiv:2406.18269: D of argon by the first, with t_max = 2 ps.

    Examples
    --------
    >>> from openmmgrad.path import Path
    >>> t = torch.linspace(0, 20, 2001, dtype=torch.float64)
    >>> v = torch.exp(-t)[None, :, None, None] * torch.tensor([0.3, 0.0, 0.0])
    >>> path = Path(None, torch.cat([v, -v], dim=2), times=t.numpy(), timestep=0.01, masses=[1.0, 1.0])
    >>> round(SelfDiffusion()(path).item() * 1e6, 5)                        # 0.3^2/3 nm^2/ps
    0.03
    """

    unit = "m^2/s"
    name = "D"
    axis = ""

    def __init__(self, selection: Any = None, route: str = "green-kubo", t_max: float | None = None,
                 t_min: float | None = None, remove_com: bool = True, origins: str = "first",
                 viscosity: float | None = None) -> None:
        who = "SelfDiffusion"
        require(route in ("green-kubo", "einstein"), who,
                f"route must be 'green-kubo' or 'einstein', found {route!r}", "Choose one of those")
        require((t_min is None) == (route == "green-kubo"), who,
                f"t_min belongs to route='einstein', found t_min = {t_min} for {route!r}",
                "Give where the line begins, ps, with route='einstein', and nothing with 'green-kubo'")
        self._set_lags(t_max, origins, None)
        self.selection, self.route, self.remove_com, self.viscosity = selection, route, remove_com, viscosity
        self.t_max, self.t_min = self.max_lag, 0.0 if t_min is None else float(plain(t_min, "ps"))
        require(0 <= self.t_min and (self.t_max is None or self.t_min < self.t_max), who,
                f"expected 0 <= t_min < t_max, found t_min = {self.t_min:g} ps and t_max = {self.t_max} ps",
                "Give both in ps")
        require(viscosity is None or float(viscosity) > 0, who, f"viscosity must be positive, found {viscosity} Pa s",
                "Give it in Pa s: water at 25 C has 0.00089")
        self.grid = np.zeros(1)

    def __call__(self, path: Path) -> Tensor:
        """D from every window, [S, 1], m^2/s, with graph."""
        who, einstein = "SelfDiffusion", self.route == "einstein"
        array = array_of(path, "positions" if einstein else "velocities", who)
        n = n_lags(path, self.t_max, who, "t_max", self.origins)
        lags = path.interval * np.arange(n)
        require(self.t_max is None or abs(lags[-1] - self.t_max) < 1e-6 * path.interval, who,
                f"t_max = {self.t_max} ps is between the stored times {lags[-1]:g} and "
                f"{lags[-1] + path.interval:g} ps", "Give a multiple of timestep * stride")
        factors = _slope(lags, self.t_min) / 6 if einstein else _trapezoid(n, path.interval) / 3
        share, mass = shares(path, self.selection), self._mass(path)
        values = (msd if einstein else vacf)(path, array, share, mass, n, self.origins)
        diffusion = _SI * (values @ torch.as_tensor(factors))[:, None]
        if self.viscosity is None:
            return diffusion
        correction = finite_size_correction(self.viscosity, path.temperature, _cubic_lengths(path))
        return diffusion + torch.as_tensor(correction)[:, None]


def _trapezoid(n: int, interval: float) -> np.ndarray:
    """Factors [n] of the trapezoidal rule."""
    require(n > 1, "SelfDiffusion", "expected t_max of at least one interval, found 0", "Use longer windows")
    factors = np.full(n, interval)
    factors[[0, -1]] /= 2
    return factors


def _slope(lags: np.ndarray, t_min: float) -> np.ndarray:
    """Factors [n] that give the slope of the least-squares line through the values from t_min on."""
    used = lags >= t_min - 1e-9
    require(used.sum() >= 2, "SelfDiffusion",
            f"a line needs two stored times from t_min = {t_min:g} ps on, found {used.sum()} up to {lags[-1]:g} ps",
            "Give an earlier t_min or a later t_max")
    about = np.where(used, lags - lags[used].mean(), 0.0)
    return about / (about**2).sum()


def _cubic_lengths(path: Path) -> np.ndarray:
    """Edges [S] of cubic boxes, nm."""
    who = "SelfDiffusion"
    require(path.boxes is not None, who, "the correction for finite size needs a box, found none",
            "Leave viscosity out")
    lengths = path.boxes[:, 0, 0]
    apart = np.abs(path.boxes - lengths[:, None, None] * np.eye(3)).max()
    require(apart <= 1e-6 * lengths.max(), who,
            f"the correction for finite size is for cubic boxes, found one that differs by {apart:g} nm",
            "Use a cubic box, or leave viscosity out")
    return lengths


def finite_size_correction(viscosity: float, temperature: float | None, length: Any) -> Any:
    r"""What a periodic cubic box takes from the self-diffusion coefficient, m^2/s.

    .. math:: D_\infty - D(L) = \frac{\xi k_B T}{6 \pi \eta L}, \qquad \xi = 2.837297

    Parameters
    ----------
    viscosity
        eta, Pa s, which depends little on the box.
    temperature
        K.
    length
        L, nm, a number or an array.

    References
    ----------
    I.-C. Yeh, G. Hummer, J. Phys. Chem. B 108, 15873 (2004). doi:10.1021/jp0477147

    Examples
    --------
    >>> round(1e9 * finite_size_correction(viscosity=0.89e-3, temperature=298.15, length=1.86), 4)
    0.3743
    """
    require(temperature is not None and temperature > 0, "finite_size_correction",
            f"expected a temperature, found {temperature}", "Pass temperature=, K")
    return _XI * _BOLTZMANN * temperature / (6 * math.pi * viscosity * length * 1e-9)
