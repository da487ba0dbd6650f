# SPDX-License-Identifier: MIT
"""PairPotential: an energy u(r) with learnable parameters, and its projection on cubic B-splines."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from openmmgrad.errors import require
from openmmgrad.potentials.projection import ProjectionError, check_points, fit_points, least_squares
from openmmgrad.spline import SplineGrid
from openmmgrad.units import KB, plain

Pair = tuple[str, str]

TRUNCATIONS = ("shift", "shift-force", "switch", "none")


class PairPotential(nn.Module, ABC):
    r"""A pair energy u(r) between two types: a torch module that maps parameters to spline coefficients.

    Subclass it and define ``energy``; nothing else is needed. What is simulated, and differentiated, is the
    projection of the truncated energy on the uniform cubic B-splines of ``grid``:

    .. math:: c = \arg\min \sum_r w(r)\Big[\sum_k c_k B_k(r) - u(r)\Big]^2,\qquad
        w = \frac{1}{1+\max(u,0)/k_BT}

    over r_core <= r < cutoff with the last three coefficients zero. r_core is the largest knot with
    u >= ``core`` kT; below it u continues quadratically, C2. A potential that stays below ``core`` kT down to
    r = 0 has no core. The weights are part of the graph: derivatives of ``coefficients`` are exact.

    Parameters
    ----------
    cutoff
        nm. A Quantity is accepted here and for all other arguments with a unit.
    n_coefficients
        K, at least 7. Energies err with the fourth power of the width of intervals, cutoff / (K - 3): 64 to a
        cutoff of 2.5 sigma leave forces of liquid argon right to 2e-3 and its pressure to 5e-4 rho kT, to 3.5
        sigma 6e-3 and 7e-4. More cost little but noise, where coefficients themselves are fitted.
    truncation
        "shift": u - u(rc). "shift-force": u - u(rc) - (r - rc) u'(rc). "switch": u times OpenMM's switching
        function 1 - 10x^3 + 15x^4 - 6x^5, x = (r - rs)/(rc - rs). "none": u vanishes at the cutoff by itself.
    switch_distance
        rs, nm; only with "switch".
    core
        Energy at the edge of the core, kT.

    Attributes
    ----------
    pair_dependent
        False tells that ``energy`` ignores ``pair``: one projection then serves all pairs.
    temperature_dependent
        False tells that ``energy`` ignores ``temperature``. The projection's weights and core still depend
        on it.
    positive
        Names of scalar parameters that must stay positive.

    Raises
    ------
    ValueError
        For a cutoff, K, core or truncation out of range, and from ``coefficients`` for parameters that are
        not finite or not positive where they must be, and for energies that are not finite outside the
        core.

    Examples
    --------
    >>> class Gaussian(PairPotential):
    ...     def energy(self, r, pair=None, temperature=None):
    ...         return 2.0 * torch.exp(-(r / 0.2) ** 2)
    >>> c = Gaussian(cutoff=0.9).coefficients([("A", "A")], 300.0)
    >>> c.shape, c[0, -3:].tolist()
    (torch.Size([1, 64]), [0.0, 0.0, 0.0])
    """

    pair_dependent: bool = True
    temperature_dependent: bool = True
    positive: tuple[str, ...] = ()

    def __init__(
        self,
        cutoff: float,
        n_coefficients: int = 64,
        truncation: str = "shift",
        switch_distance: float | None = None,
        core: float = 50.0,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        self.grid = SplineGrid(cutoff, n_coefficients)
        require(
            truncation in TRUNCATIONS,
            who,
            f"truncation must be one of {', '.join(TRUNCATIONS)}, found {truncation!r}",
            'Use "shift"',
        )
        require(
            (switch_distance is not None) == (truncation == "switch"),
            who,
            f'switch_distance goes with truncation="switch", found {switch_distance} with {truncation!r}',
            "Give both or neither",
        )
        rs = None if switch_distance is None else float(plain(switch_distance, "nm"))
        require(
            rs is None or 0 <= rs < self.grid.cutoff,
            who,
            f"switch_distance must be from 0 to below the cutoff of {self.grid.cutoff} nm, found {rs} nm",
            "Use 0.8 to 0.9 of the cutoff",
        )
        require(
            math.isfinite(core) and core > 0,
            who,
            f"core must be a positive number of kT, found {core}",
            "50 is beyond what thermal motion reaches",
        )
        self.truncation, self.switch_distance, self.core = truncation, rs, float(core)
        self._units: dict[str, str] = {}

    @property
    def cutoff(self) -> float:
        """The cutoff, nm."""
        return self.grid.cutoff

    @property
    def n_coefficients(self) -> int:
        """The number of coefficients, K."""
        return self.grid.n_coefficients

    @abstractmethod
    def energy(self, r: Tensor, pair: Pair | None = None, temperature: float | None = None) -> Tensor:
        """u(r) before truncation.

        Parameters
        ----------
        r
            [R], float64, nm, positive.
        pair
            The labels of the two types.
        temperature
            K.

        Returns
        -------
        Tensor
            [R], kJ/mol.
        """

    def forward(self, r: Tensor, pair: Pair | None = None, temperature: float | None = None) -> Tensor:
        """The same as ``truncated_energy``."""
        return self.truncated_energy(r, pair, temperature)

    def truncated_energy(
        self, r: Tensor, pair: Pair | None = None, temperature: float | None = None
    ) -> Tensor:
        """u(r) with its truncation, zero from the cutoff on; [...] in nm to [...] in kJ/mol."""
        flat = r.reshape(-1)
        u = self._checked_energy(flat, pair, temperature)
        if self.truncation in ("shift", "shift-force"):
            with torch.set_grad_enabled(torch.is_grad_enabled() or self.truncation == "shift-force"):
                end = flat.new_full((1,), self.cutoff).requires_grad_(self.truncation == "shift-force")
                u_end = self._checked_energy(end, pair, temperature)
                slope = _slope(u_end, end) if self.truncation == "shift-force" else 0.0
            u = u - u_end - (flat - self.cutoff) * slope
        elif self.truncation == "switch":
            x = ((flat - self.switch_distance) / (self.cutoff - self.switch_distance)).clamp(min=0)
            u = u * (1 - x**3 * (10 - 15 * x + 6 * x * x))
        return torch.where(flat < self.cutoff, u, torch.zeros_like(u)).reshape(r.shape)

    def coefficients(self, pairs: Sequence[Pair | None], temperature: float) -> Tensor:
        """Spline coefficients of the projected, truncated potential.

        Parameters
        ----------
        pairs
            P pairs of type labels.
        temperature
            K.

        Returns
        -------
        Tensor
            [P, K], kJ/mol, with graph to the parameters; the last three are zero.
        """
        temperature = self._checked_temperature(temperature)
        pairs = _checked_pairs(pairs, type(self).__name__)
        shared = pairs if self.pair_dependent else pairs[:1]
        rows = [self.pair_coefficients(pair, temperature) for pair in shared]
        return torch.stack(rows).expand(len(pairs), -1)

    def pair_coefficients(self, pair: Pair | None, temperature: float) -> Tensor:
        """[K] of one pair: the projection. Overridden only where the coefficients are known directly."""
        kT = KB * temperature
        i_core = self.core_knot(pair, temperature)
        r = fit_points(self.grid, self._device())[i_core:]
        u = self.truncated_energy(r, pair, temperature)
        finite = u.detach().isfinite()
        if not finite.all():
            bad = r[~finite][0].item()
            require(
                False,
                type(self).__name__,
                f"energy must be finite from {i_core * self.grid.width:.4g} nm to the cutoff, found "
                f"{u.detach()[~finite][0].item()} at {bad:.4g} nm for pair {pair}",
                "Check the parameters and the formula",
            )
        free = least_squares(u, 1 / (1 + torch.relu(u) / kT))
        c = torch.cat([free.new_zeros(i_core), free, free.new_zeros(3)])
        if i_core == 0:
            return c
        c = self.grid.extend_core(c, i_core)
        with torch.no_grad():
            innermost, edge = ((c[i] + 4 * c[i + 1] + c[i + 2]).item() / 6 for i in (0, i_core))
        if innermost < edge:
            who = type(self).__name__
            warnings.warn(
                f"{who}: the core of pair {pair} turns attractive: u falls from {edge / kT:.3g} "
                f"kT at {i_core * self.grid.width:.4g} nm to {innermost / kT:.3g} kT at 0 nm. "
                "Thermal motion does not get there; overlapping start positions may. "
                "Lower core= or add a repulsive part.",
                stacklevel=3,
            )
        return c

    def core_knot(self, pair: Pair | None, temperature: float) -> int:
        """Index of the knot where the core ends: the largest with u >= core kT; 0 where there is no core."""
        kT, n, who = KB * temperature, self.grid.n_intervals, type(self).__name__
        inner = fit_points(self.grid, self._device())[0]
        r = torch.cat([inner, self.grid.knots[1:n].to(inner.device)])
        with torch.no_grad():
            u = self.truncated_energy(r, pair, temperature).cpu().numpy() / kT
        above = np.flatnonzero(u >= self.core)
        if len(above) > 0:
            # within the first interval the core begins at its end
            i_core = max(int(above[-1]) - len(inner) + 1, 1)
            require(
                i_core <= n - 4,
                who,
                f"u must fall below core = {self.core:g} kT well before the cutoff of {self.cutoff:g} nm, "
                f"found {u[above[-1]]:.4g} kT at {i_core * self.grid.width:.4g} nm for pair {pair}",
                "Use a larger cutoff, or check the units (nm, kJ/mol)",
            )
            return i_core
        known = np.where(np.isnan(u), np.inf, u)
        top = int(np.argmax(np.where(np.isfinite(u), u, -np.inf)))
        require(
            not (known[0] < -self.core and known[0] == known.min()),
            who,
            f"u must reach core = {self.core:g} kT somewhere or stay bounded at small r, found a barrier of "
            f"{u[top]:.4g} kT at {r[top].item():.4g} nm and {u[0]:.4g} kT inside it for pair {pair}",
            "Particles would fall in: lower core= below the barrier, or add a repulsive part",
        )
        return 0

    def projection_error(
        self, pairs: Sequence[Pair | None], temperature: float, below: float = 10.0
    ) -> ProjectionError:
        """Largest deviation of the projected spline from ``truncated_energy`` where u <= ``below`` kT.

        The range is r_core <= r < cutoff; above ``below`` kT the weights let the error grow with u, and
        particles do not go there. With "shift" the force jumps at the cutoff and its error there does not
        vanish.
        """
        temperature = self._checked_temperature(temperature)
        kT, worst = KB * temperature, ProjectionError(0.0, 0.0, self.cutoff, self.cutoff)
        coefficients = self.coefficients(pairs, temperature).detach()
        for pair, c in list(zip(pairs, coefficients, strict=True))[: None if self.pair_dependent else 1]:
            r_core = self.core_knot(pair, temperature) * self.grid.width
            r = check_points(self.grid, self._device())
            r = r[r > r_core].clone().requires_grad_(True)
            with torch.enable_grad():
                u = self.truncated_energy(r, pair, temperature)
                slope = _slope(u, r).detach()
            r, u = r.detach(), u.detach()
            counted = u <= below * kT
            du = torch.where(counted, (self.grid.evaluate(c, r) - u).abs(), 0.0) / kT
            df = torch.where(counted, (self.grid.evaluate(c, r, 1) - slope).abs(), 0.0) / kT
            i, j = int(du.argmax()), int(df.argmax())
            energy, force = (du[i].item(), r[i].item()), (df[j].item(), r[j].item())
            energy = max(energy, (worst.energy, worst.r_energy))
            force = max(force, (worst.force, worst.r_force))
            worst = ProjectionError(energy[0], force[0], energy[1], force[1])
        return worst

    def tabulate(self, r: Any, pair: Pair | None = None, temperature: float = 300.0):
        """Energy (kJ/mol) and force -du/dr (kJ/mol/nm) of the projected spline at r [R] (nm), as ndarrays."""
        r = torch.as_tensor(plain(r, "nm"), dtype=torch.float64)
        with torch.no_grad():
            c = self.coefficients([pair], temperature)[0].cpu()
        return self.grid.evaluate(c, r).numpy(), -self.grid.evaluate(c, r, 1).numpy()

    def __add__(self, other: PairPotential) -> PairPotential:
        from openmmgrad.potentials.composite import SumPotential

        return SumPotential(self, other)

    def _scalar(self, name: str, value: Any, unit: str) -> nn.Parameter:
        """A float64 parameter from a number or Quantity."""
        self._units[name] = unit
        number = torch.as_tensor(plain(value, unit), dtype=torch.float64).detach().clone()
        require(
            number.ndim == 0,
            type(self).__name__,
            f"{name} must be one number in {unit}, found shape {list(number.shape)}",
            "Use PerPair for different values per pair of types",
        )
        _check_scalar(number.item(), name, unit, type(self).__name__, name in self.positive)
        return nn.Parameter(number)

    def _checked_temperature(self, temperature: float) -> float:
        """The temperature in K; refuses a bad one, and parameters that are not finite or not positive."""
        who = type(self).__name__
        T = thermal_energy(temperature, who) / KB
        for module in self.modules():
            if isinstance(module, PairPotential):
                for name in module.positive:
                    value = getattr(module, name).item()
                    _check_scalar(value, name, module._units[name], type(module).__name__, True)
        for name, parameter in self.named_parameters():
            require(
                bool(parameter.detach().isfinite().all()),
                who,
                f"parameter {name} must be finite, found {parameter.detach().flatten()[:4].tolist()}",
                "Lower the learning rate, or start from other parameters",
            )
        return T

    def _checked_energy(self, r: Tensor, pair: Pair | None, temperature: float | None) -> Tensor:
        u = self.energy(r, pair, temperature)
        who = f"{type(self).__name__}.energy"
        require(
            isinstance(u, Tensor) and u.is_floating_point(),
            who,
            f"expected a real torch tensor, found {u.dtype if isinstance(u, Tensor) else type(u).__name__}",
            "Return torch operations on r",
            TypeError,
        )
        require(
            u.shape == r.shape,
            who,
            f"expected one energy per distance, shape {list(r.shape)}, found {list(u.shape)}",
            "Return a tensor of the shape of r; a network's last axis goes with .squeeze(-1)",
        )
        return u.to(torch.float64)

    def _device(self) -> torch.device:
        first = next(self.parameters(), next(self.buffers(), None))
        return torch.device("cpu") if first is None else first.device


def thermal_energy(temperature: Any, who: str) -> float:
    """The energy kT, kJ/mol, of a temperature in K, or of a Quantity."""
    T = float(plain(temperature, "K"))
    require(math.isfinite(T) and T > 0, who, f"temperature must be positive, found {T} K", "Give it in K")
    return KB * T


def _slope(u: Tensor, r: Tensor) -> Tensor:
    """du/dr with graph, zero where u does not depend on r."""
    if not u.requires_grad:
        return torch.zeros_like(r)
    return torch.autograd.grad(u.sum(), r, create_graph=True, materialize_grads=True)[0]


def _checked_pairs(pairs: Sequence[Any], who: str) -> list[Pair | None]:
    wrong = [p for p in pairs if p is not None and not (isinstance(p, tuple | list) and len(p) == 2)]
    require(
        len(pairs) > 0 and not wrong,
        who,
        f"pairs must be a list of two labels each, found {wrong[0] if wrong else 'none'!r}",
        'Write them as in [("A", "A"), ("A", "B")]',
    )
    return [None if p is None else (p[0], p[1]) for p in pairs]


def _check_scalar(value: float, name: str, unit: str, who: str, positive: bool) -> None:
    require(
        math.isfinite(value) and (value > 0 or not positive),
        who,
        f"{name} must be {'positive' if positive else 'finite'}, found {value:g} {unit}",
        "Start from other parameters, or lower the learning rate",
    )
