# SPDX-License-Identifier: MIT
"""Uniform cubic B-splines on [0, cutoff]: the basis of plugin/openmmapi/include/SplineBasis.h, in torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from openmmgrad.errors import require
from openmmgrad.units import plain


@dataclass(frozen=True)
class SplineGrid:
    r"""The grid and the basis of :math:`u(r) = \sum_k c_k B_k(r)`, k = 0 .. K-1.

    There are K-3 intervals of width h = cutoff/(K-3). In interval i, with t = r/h - i, the four splines
    :math:`B_i .. B_{i+3}` are non-zero. Everything is zero for r >= cutoff. Where the last three coefficients
    are zero, u, u' and u'' are continuous and vanish at the cutoff. A negative r continues the cubic of the
    first interval.

    Parameters
    ----------
    cutoff
        nm; a Quantity is accepted.
    n_coefficients
        K, at least 7.

    Raises
    ------
    ValueError
        If the cutoff is not finite and positive, or K < 7.

    References
    ----------
    C. de Boor, A Practical Guide to Splines (2001), chapter IX.

    Examples
    --------
    >>> grid = SplineGrid(cutoff=0.9, n_coefficients=64)
    >>> r = torch.tensor([0.1, 0.5], dtype=torch.float64)
    >>> grid.basis(r).sum(-1)                       # a partition of unity
    tensor([1., 1.], dtype=torch.float64)
    """

    cutoff: float
    n_coefficients: int

    def __post_init__(self):
        cutoff = float(plain(self.cutoff, "nm"))
        require(
            math.isfinite(cutoff) and cutoff > 0,
            "SplineGrid",
            f"cutoff must be finite and positive, found {cutoff} nm",
            "Give the cutoff in nm.",
        )
        require(
            int(self.n_coefficients) == self.n_coefficients and self.n_coefficients >= 7,
            "SplineGrid",
            f"n_coefficients must be an integer of at least 7, found {self.n_coefficients}",
            "The last three coefficients are zero; 64 is a good number.",
        )
        object.__setattr__(self, "cutoff", cutoff)
        object.__setattr__(self, "n_coefficients", int(self.n_coefficients))

    @property
    def n_intervals(self) -> int:
        """K - 3."""
        return self.n_coefficients - 3

    @property
    def width(self) -> float:
        """Width h of an interval, nm."""
        return self.cutoff / self.n_intervals

    @property
    def knots(self) -> Tensor:
        """[K-2] from 0 to the cutoff, nm."""
        return torch.arange(self.n_intervals + 1, dtype=torch.float64) * self.width

    @property
    def centres(self) -> Tensor:
        """Where each spline is largest, [K], nm: (k-1) h, so from -h to the cutoff + h."""
        return (torch.arange(self.n_coefficients, dtype=torch.float64) - 1) * self.width

    @property
    def support_ends(self) -> Tensor:
        """Where each spline ends, [K], nm: (k+1) h."""
        return (torch.arange(self.n_coefficients, dtype=torch.float64) + 1) * self.width

    def _locate(self, r: Tensor, derivative: int) -> tuple[Tensor, Tensor]:
        """Interval i and the four non-zero splines [..., 4] there (0 beyond the cutoff)."""
        scaled = r / self.width
        # clamp: r just below the cutoff may round up to the last knot
        i = scaled.detach().floor().clamp(0, self.n_intervals - 1).long()
        b = local_basis(scaled - i, derivative) / self.width**derivative
        return i, torch.where((r < self.cutoff).unsqueeze(-1), b, torch.zeros_like(b))

    def basis(self, r: Tensor, derivative: int = 0) -> Tensor:
        """All K splines, or a derivative of them, at r.

        Parameters
        ----------
        r
            [...], nm.
        derivative
            0, 1 or 2.

        Returns
        -------
        Tensor
            [..., K] in nm^-derivative; differentiable in r.
        """
        i, b = self._locate(r, derivative)
        index = i.unsqueeze(-1) + torch.arange(4, device=r.device)
        return b.new_zeros(*r.shape, self.n_coefficients).scatter(-1, index, b)

    def evaluate(self, c: Tensor, r: Tensor, derivative: int = 0) -> Tensor:
        """u(r), or a derivative of it, from the four coefficients of each r.

        Parameters
        ----------
        c
            [..., K], kJ/mol.
        r
            [R], nm.
        derivative
            0, 1 or 2.

        Returns
        -------
        Tensor
            [..., R] in kJ/mol/nm^derivative; differentiable in c and in r.

        Raises
        ------
        ValueError
            If c does not have K entries.
        """
        require(
            c.shape[-1] == self.n_coefficients,
            "SplineGrid.evaluate",
            f"c must have {self.n_coefficients} coefficients on its last axis, found shape {list(c.shape)}",
            "Use the grid that made the coefficients.",
        )
        i, b = self._locate(r, derivative)
        index = i.unsqueeze(-1) + torch.arange(4, device=r.device)
        return (c[..., index] * b).sum(-1)

    def extend_core(self, c: Tensor, i_core: int | Tensor) -> Tensor:
        """Continue u quadratically, C2, below knot ``i_core``.

        Coefficients k < i_core are replaced by the sequence c_k = 3 c_{k+1} - 3 c_{k+2} + c_{k+3} (no
        third derivative), here in closed form: the parabola in k through the three coefficients from i_core.

        Parameters
        ----------
        c
            [..., K], kJ/mol.
        i_core
            Index of the knot where the data begin, 0 .. K-4; 0 changes nothing. An int, or an integer tensor
            of the shape of c without its last axis.

        Returns
        -------
        Tensor
            [..., K]; linear in c.
        """
        first = torch.as_tensor(i_core, device=c.device)
        require(
            bool(((first >= 0) & (first < self.n_intervals)).all()),
            "SplineGrid.extend_core",
            f"i_core must be from 0 to {self.n_intervals - 1}, found {first.tolist()}",
            "Begin the core inside the cutoff.",
        )
        first = first.expand(c.shape[:-1]).unsqueeze(-1)
        c0, c1, c2 = (torch.gather(c, -1, first + m) for m in range(3))
        x = (torch.arange(self.n_coefficients, device=c.device) - first).to(c.dtype)
        parabola = c0 * (x - 1) * (x - 2) / 2 - c1 * x * (x - 2) + c2 * x * (x - 1) / 2
        return torch.where(x < 0, parabola, c)

    def second_differences(self) -> Tensor:
        """[K-2, K]: (D c)_k = c_k - 2 c_{k+1} + c_{k+2} = h^2 u'' at knot k."""
        eye = torch.eye(self.n_coefficients, dtype=torch.float64)
        return eye[:-2] - 2 * eye[1:-1] + eye[2:]


def local_basis(t: Tensor, derivative: int = 0) -> Tensor:
    """The four splines of an interval at t in [0, 1]: [..., 4]; derivatives with respect to t."""
    s = 1 - t
    if derivative == 0:
        b = (s**3 / 6, (4 + t * t * (3 * t - 6)) / 6, (1 + 3 * t * (1 + t * s)) / 6, t**3 / 6)
    elif derivative == 1:
        b = (-s * s / 2, t * (3 * t - 4) / 2, (1 + t * (2 - 3 * t)) / 2, t * t / 2)
    else:
        require(
            derivative == 2,
            "SplineGrid",
            f"derivative must be 0, 1 or 2, found {derivative}",
            "Use 0, 1 or 2.",
        )
        b = (s, 3 * t - 2, 1 - 3 * t, t)
    return torch.stack(b, -1)
