# SPDX-License-Identifier: MIT
"""What observables of paths share: which windows, atoms and lags, the frame of the centre of mass, time averages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..errors import require
from ..path import Path
from ..units import plain

_CHUNK = 2**22  # complex numbers of a transform at a time, 64 MB


def array_of(path: Path, name: str, who: str) -> Tensor:
    """``path.positions`` or ``path.velocities``, [S, T, N, 3]; refuses what has none."""
    require(isinstance(path, Path), who, f"expected a Path, found {type(path).__name__}",
            "Pass what propagate returns, or Path.from_frames(frames, timestep)", TypeError)
    array = getattr(path, name)
    require(array is not None, who, f"expected a path with {name}, found none",
            "Propagate without observe=, or from frames that have velocities")
    return array


def shares(path: Path, selection: Any, per: str = "atom") -> Tensor:
    """What each atom counts in the mean over a selection, [N], with sum 1; None selects all atoms that have mass."""
    atoms = np.flatnonzero(path.masses) if selection is None else path.select(selection)
    share = np.zeros(path.n_atoms)
    share[atoms] = path.masses[atoms] if per == "mass" else 1.0
    require(share.sum() > 0, "Path", "the selected atoms must have mass, found none that has", "Select others")
    return torch.as_tensor(share / share.sum())


def n_lags(path: Path, longest: float | None, who: str, name: str, origins: str) -> int:
    """How many lags, from 0 to longest (ps), the windows have."""
    last = len(path.times) - 1
    if origins == "first" and path.origin > 0:
        last = min(path.origin, last - path.origin)
    available = last * path.interval
    if longest is None:
        return last + 1
    require(longest <= available * (1 + 1e-9) + 1e-12, who,
            f"{name} = {longest:g} ps needs longer windows: found {available:g} ps from the frame on",
            f"Propagate for more steps, or give a shorter {name}")
    return _whole(longest, path.interval) + 1


def _whole(longest: float, interval: float) -> int:
    return int(longest / interval + 1e-6)


def both_sides(values: Tensor, n: int) -> Tensor:
    """Values [S, n] of times from the origin on, or means [S, n] over both sides of the middle of [S, 2n - 1]."""
    if values.shape[1] == n:
        return values
    return 0.5 * (values[:, n - 1:] + values[:, :n].flip(1))


def around(path: Path, array: Tensor, n: int) -> tuple[Tensor, int]:
    """The entries of [S, T, N, 3] within n lags of time 0, and the index of time 0 among them."""
    first = path.origin - n + 1 if path.origin > 0 else 0
    return array[:, first:path.origin + n], path.origin - first


def again(f: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """``f(*arguments)``; what f holds for its gradient is computed again instead of being kept."""
    if not torch.is_grad_enabled() or not any(isinstance(x, Tensor) and x.requires_grad for x in arguments):
        return f(*arguments)
    return checkpoint(f, *arguments, use_reentrant=False, preserve_rng_state=False)


class Lags:
    """The part of an observable that says over which lags and in which frame of reference it is taken."""

    selection: Any
    remove_com: bool
    lags_are_grid = True

    def _set_lags(self, max_lag: float | None, origins: str, interval: float | None) -> None:
        who = type(self).__name__
        require(origins in ("first", "all"), who, f"origins must be 'first' or 'all', found {origins!r}",
                "Choose one of those")
        self.origins = origins
        self.max_lag = None if max_lag is None else float(plain(max_lag, "ps"))
        require(self.max_lag is None or 0 <= self.max_lag < np.inf, who,
                f"max_lag must not be negative, found {max_lag} ps", "Give it in ps")
        self.interval = None if interval is None else float(plain(interval, "ps"))
        self.grid = np.zeros(0)
        if interval is not None:
            require(self.interval > 0 and max_lag is not None, who,
                    f"interval must be positive and needs max_lag, found {interval} ps and max_lag = {max_lag}",
                    "Give both in ps")
            self.grid = self.interval * np.arange(_whole(self.max_lag, self.interval) + 1)

    def _lags_of(self, path: Path) -> int:
        """How many lags are taken of this path; they become the grid."""
        who = type(self).__name__
        require(self.interval is None or abs(path.interval / self.interval - 1) < 1e-6, who,
                f"expected times {self.interval} ps apart, found {path.interval:g} ps",
                "Propagate with timestep * stride = interval")
        n = n_lags(path, self.max_lag, who, "max_lag", self.origins)
        if self.interval is None and self.lags_are_grid:
            self.grid = path.interval * np.arange(n)
        return n

    def _mass(self, path: Path) -> Tensor | None:
        """Mass over total mass, [N], where the motion of the centre of mass is removed."""
        return shares(path, None, "mass") if self.remove_com else None


def _parts(x: Tensor, share: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The selected atoms of x [T, N, 3] and their shares, some at a time."""
    used = torch.nonzero(share).reshape(-1)
    x = x if len(used) == x.shape[1] else x.index_select(1, used)
    size = max(_CHUNK // (6 * len(x)), 1)
    return zip(x.split(size, dim=1), share[used].split(size), strict=True)


def mean_products(x: Tensor, share: Tensor, mass: Tensor | None, n: int) -> Tensor:
    """Mean over atoms and origins s of x(s).x(s+t), [n], of x [T, N, 3].

    ``share`` [N] weighs the atoms; x is taken relative to its mean by ``mass`` [N] where that is given.
    """
    mean = x.new_zeros(len(x), 3) if mass is None else torch.einsum("n,tni->ti", mass, x)
    total = sum(again(_products, part, part_share, mean, n) for part, part_share in _parts(x, share))
    return total / torch.arange(len(x), len(x) - n, -1)


def mean_squares(x: Tensor, share: Tensor, mass: Tensor | None, n: int) -> Tensor:
    """Mean over atoms and origins s of (x(s+t) - x(s))^2, [n], as `mean_products`."""
    mean = x.new_zeros(len(x), 3) if mass is None else torch.einsum("n,tni->ti", mass, x)
    total = sum(again(_squares, part, part_share, mean, n) for part, part_share in _parts(x, share))
    return total / torch.arange(len(x), len(x) - n, -1)


def _products(x: Tensor, share: Tensor, mean: Tensor, n: int) -> Tensor:
    """Sum over origins of the share-weighted products, [n], by transforms twice as long as x [T, P, 3]."""
    transform = torch.fft.rfft((x - mean[:, None]).reshape(len(x), -1), 2 * len(x), dim=0)
    power = (transform.real**2 + transform.imag**2).reshape(len(transform), -1, 3).sum(-1) @ share
    return torch.fft.irfft(power, 2 * len(x))[:n]


def _squares(x: Tensor, share: Tensor, mean: Tensor, n: int) -> Tensor:
    """Sum over origins of the share-weighted squares, [n]: x(s)^2 + x(s+t)^2 - 2 x(s).x(s+t)."""
    x = x - x[:1] - (mean - mean[:1])[:, None]
    ends = (x**2).sum(-1) @ share
    up, down = ends.cumsum(0), ends.flip(0).cumsum(0)
    squares = (up + down).flip(0)[:n] - 2 * _products(x, share, torch.zeros_like(mean), n)
    return torch.cat([torch.zeros_like(squares[:1]), squares[1:]])
