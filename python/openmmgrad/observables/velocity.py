# SPDX-License-Identifier: MIT
"""The velocity autocorrelation function of paths."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import require
from ..path import Path
from .base import Observable
from .windows import Lags, around, array_of, both_sides, mean_products, shares


class VACF(Lags, Observable):
    r"""Velocity autocorrelation function of every window of a `Path`.

    .. math:: C(t) = \sum_i a_i\, \mathbf u_i(0) \cdot \mathbf u_i(t), \qquad
        \mathbf u_i = \mathbf v_i - \frac{\sum_j m_j \mathbf v_j}{\sum_j m_j}

    the sum of the three components (some papers give it per component: a third of it), with a_i = 1/n for the n
    selected atoms, or m_i over their sum of masses.

    Parameters
    ----------
    selection
        See `Frames.select`; None is all atoms that have mass.
    max_lag
        Longest lag, ps; None is that of the window.
    per
        "atom" or "mass": the mean over atoms, or weighted by mass, as the vibrational density of states needs it.
    remove_com
        Take away the velocity of the centre of mass of the whole system (all atoms, not only the selected) at each
        time: the same as removing it before the windows start.
    origins
        "first": time 0 of each window only. Windows start from weighted equilibrium frames, and only their first time
        is known to have those weights; of a two-sided window the lags before and after are averaged. "all": every
        time of the window, by Fourier transform; for windows of stationary dynamics.
    normalize
        Divide every window by its own C(0). Their mean differs from the ratio of means by about the relative
        variance of C(0).
    interval
        ps between the times of the paths: then ``grid`` is known before the first path is seen; needs ``max_lag``.

    Attributes
    ----------
    grid
        Lags, [L], ps: of the last path seen, unless ``interval`` was given.

    Raises
    ------
    ValueError
        If the window is shorter than max_lag, there are no velocities, or the selection has no atoms.

    Notes
    -----
    In equilibrium C(0) = 3 k T/m, and with the centre of mass removed 3 k T (1/m - 1/M), M the total mass: for N equal
    atoms less by the factor 1 - 1/N. Nothing is multiplied back.

    Half-step velocities (``path.half_step``) are correlated as they are. For a harmonic mode of angular frequency w
    whose on-step velocities are at temperature T, C(0) is then 3 k T/m (1 + (w timestep/2)^2), and the lags are right.

    References
    ----------
    D. Frenkel, B. Smit, Understanding Molecular Simulation, 2nd ed. (2002), section 4.4.1.

    Examples
    --------
    >>> from openmmgrad.path import Path
    >>> t = torch.linspace(0, 1, 5, dtype=torch.float64)
    >>> v = torch.cos(2 * torch.pi * t)[None, :, None, None] * torch.tensor([1.0, 0.0, 0.0])
    >>> path = Path(None, torch.cat([v, -v], dim=2), times=t.numpy(), timestep=0.25, masses=[1.0, 1.0])
    >>> vacf = VACF(max_lag=0.5)
    >>> vacf(path).round(decimals=9).abs().tolist(), vacf.grid.tolist()
    ([[1.0, 0.0, 1.0]], [0.0, 0.25, 0.5])
    """

    name = "C(t)"
    axis = "t (ps)"

    def __init__(self, selection: Any = None, max_lag: float | None = None, per: str = "atom", remove_com: bool = True,
                 origins: str = "first", normalize: bool = False, interval: float | None = None) -> None:
        require(per in ("atom", "mass"), "VACF", f"per must be 'atom' or 'mass', found {per!r}", "Choose one of those")
        self.selection, self.per, self.remove_com, self.normalize = selection, per, remove_com, normalize
        self.unit = "1" if normalize else "nm^2/ps^2"
        self._set_lags(max_lag, origins, interval)

    def __call__(self, path: Path) -> Tensor:
        """C(t) of every window, [S, L], nm^2/ps^2, with graph to ``path.velocities``."""
        velocities = array_of(path, "velocities", "VACF")
        values = vacf(path, velocities, shares(path, self.selection, self.per), self._mass(path), self._lags_of(path),
                      self.origins)
        return values / values[:, :1] if self.normalize else values


def vacf(path: Path, velocities: Tensor, share: Tensor, mass: Tensor | None, n: int, origins: str) -> Tensor:
    """sum_i a_i u_i(0).u_i(t), [S, n], of velocities [S, T, N, 3]; a [N] is ``share``, and ``mass`` [N] is m/M."""
    if origins == "all":
        return torch.stack([mean_products(v, share, mass, n) for v in velocities.unbind(0)])
    near, origin = around(path, velocities, n)
    first = near[:, origin]
    if mass is not None:
        first = first - torch.einsum("n,sni->si", mass, first)[:, None]
    factor = share[:, None] * first
    if mass is not None:  # sum_i a_i u_i(0).(v_i(t) - V(t)) is linear in v(t): no u(t) is formed
        factor = factor - mass[:, None] * factor.sum(1, keepdim=True)
    return both_sides((near.flatten(2) @ factor.flatten(1)[..., None])[..., 0], n)
