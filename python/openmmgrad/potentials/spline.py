# SPDX-License-Identifier: MIT
"""A pair potential whose parameters are its spline coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from openmmgrad.errors import require
from openmmgrad.potentials.base import Pair, PairPotential, thermal_energy
from openmmgrad.potentials.tables import invert_rdf, project_table
from openmmgrad.units import plain


class SplinePotential(PairPotential):
    r"""Free splines: :math:`u(r) = \sum_k c_k B_k(r)`, the most general potential the plugin can run.

    The learnable ``values`` are the coefficients themselves. Below knot ``core_index`` u continues
    quadratically (C2): coefficients there follow from the next three, and the corresponding ``values`` are
    not used. Nothing is projected: ``energy``, ``coefficients`` and what is simulated agree to rounding.

    Parameters
    ----------
    cutoff
        nm.
    n_coefficients
        K, at least 7; the last three are zero.
    pairs
        P pairs of type labels in any order, one spline each; None for one spline that serves all pairs.

    Attributes
    ----------
    values
        Parameter [P, K-3], kJ/mol; zero at first.
    core_index
        Buffer [P]: knot where the core ends; 0 for none.

    Raises
    ------
    ValueError
        For a pair given twice, and later for a pair of labels that is not among ``pairs``.

    References
    ----------
    Cubic B-splines as basis of a pair potential: L. Lu, S. Izvekov, A. Das, H. C. Andersen, G. A. Voth,
    J. Chem. Theory Comput. 6, 954 (2010), eq. (9).

    Examples
    --------
    >>> potential = SplinePotential(cutoff=0.9)
    >>> potential.values.shape, potential.coefficients([("A", "A")], 300.0).shape
    (torch.Size([1, 61]), torch.Size([1, 64]))
    """

    temperature_dependent = False

    def __init__(self, cutoff: float, n_coefficients: int = 64, pairs: Sequence[Pair] | None = None) -> None:
        super().__init__(cutoff, n_coefficients, truncation="none")
        self.pairs = None if pairs is None else [tuple(sorted(pair)) for pair in pairs]
        require(
            self.pairs is None or 0 < len(set(self.pairs)) == len(self.pairs),
            "SplinePotential",
            f"pairs must be different pairs of labels, found {pairs}",
            'Write them as in [("A", "A"), ("A", "B")]',
        )
        self.pair_dependent = self.pairs is not None
        rows = 1 if self.pairs is None else len(self.pairs)
        self.values = nn.Parameter(torch.zeros(rows, self.n_coefficients - 3, dtype=torch.float64))
        self.register_buffer("core_index", torch.zeros(rows, dtype=torch.long))

    def row(self, pair: Pair | None) -> int:
        """Row of ``values`` that belongs to a pair of labels."""
        if self.pairs is None:
            return 0
        known = ", ".join(map(str, self.pairs))
        require(
            pair is not None and tuple(sorted(pair)) in self.pairs,
            "SplinePotential",
            f"no spline for pair {pair}; known are {known}",
            "Name it in pairs=, or correct the labels of the particles",
        )
        return self.pairs.index(tuple(sorted(pair)))

    def energy(self, r: Tensor, pair: Pair | None = None, temperature: float | None = None) -> Tensor:
        """[R] in nm to [R] in kJ/mol."""
        return self.grid.evaluate(self._row_coefficients(pair), r)

    def pair_coefficients(self, pair: Pair | None, temperature: float) -> Tensor:
        """[K], kJ/mol: the values with their core and three zeros."""
        return self._row_coefficients(pair)

    def core_knot(self, pair: Pair | None, temperature: float) -> int:
        """Entry of ``core_index`` of a pair."""
        return int(self.core_index[self.row(pair)])

    def set_core(self, r: float) -> None:
        """Let every core end at the first knot at or beyond r (nm); 0 removes the cores.

        Raises
        ------
        ValueError
            Unless r leaves four intervals outside the core.
        """
        r = float(plain(r, "nm"))
        knot = int(np.ceil(r / self.grid.width - 1e-9))
        largest = (self.grid.n_intervals - 4) * self.grid.width
        require(
            0 <= knot <= self.grid.n_intervals - 4,
            "SplinePotential.set_core",
            f"expected r from 0 to {largest:.4g} nm, found {r} nm",
            "A core ends where pairs begin to be seen",
        )
        self.core_index.fill_(knot)

    def _row_coefficients(self, pair: Pair | None) -> Tensor:
        row = self.row(pair)
        c = torch.cat([self.values[row], self.values.new_zeros(3)])
        return self.grid.extend_core(c, self.core_index[row])

    def _rows_of(self, name: str, values: Any, n: int) -> np.ndarray:
        """[P, R] from a column for all pairs, or one for each."""
        values, rows = np.asarray(values, dtype=float), len(self.values)
        require(
            values.shape in ((n,), (rows, n)),
            "SplinePotential",
            f"expected {name} [R] or [P, R] with R = {n} and P = {rows}, found shape {list(values.shape)}",
            "Give as many values as distances, and pairs= for several rows",
        )
        return np.broadcast_to(values, (rows, n))

    def _assign(self, rows: Sequence[tuple[Tensor, int]]) -> SplinePotential:
        with torch.no_grad():
            for row, (c, i_core) in enumerate(rows):
                self.values[row] = c[:-3]
                self.core_index[row] = i_core
        return self

    @classmethod
    def from_potential(
        cls, potential: PairPotential, temperature: float, pairs: Sequence[Pair] | None = None
    ) -> SplinePotential:
        """Free splines that start as another potential's projection at a temperature (K)."""
        new = cls(potential.cutoff, potential.n_coefficients, pairs)
        labels = [None] if new.pairs is None else new.pairs
        coefficients = potential.coefficients(labels, temperature).detach()
        knots = [potential.core_knot(pair, temperature) for pair in labels]
        return new._assign(list(zip(coefficients, knots, strict=True)))

    @classmethod
    def from_energy(
        cls,
        r: Any,
        u: Any,
        cutoff: float,
        n_coefficients: int = 64,
        *,
        pairs: Sequence[Pair] | None = None,
        temperature: float | None = None,
        core: float = 50.0,
        shift: bool = True,
    ) -> SplinePotential:
        """Least squares on a table u(r).

        Parameters
        ----------
        r
            [R], nm, increasing; from where u begins to the cutoff or beyond (rows outside are ignored).
        u
            [R] or [P, R], kJ/mol. Infinite values are allowed at small r and ignored.
        cutoff, n_coefficients, pairs
            As in the class.
        temperature, core
            With a temperature (K) the fit is weighted by 1/(1 + max(u, 0)/kT) and the core ends where
            u = ``core`` kT; without, all rows weigh the same and the core ends where the table begins.
        shift
            Subtract u(cutoff). Without, u must vanish there by itself.

        Raises
        ------
        ValueError
            If the table has NaN, is not increasing, or does not reach the cutoff.

        Examples
        --------
        >>> r = np.linspace(0.05, 1.0, 200)
        >>> fitted = SplinePotential.from_energy(r, 3 * (1 - r) ** 3, cutoff=1.0)
        >>> round(fitted(torch.tensor([0.5], dtype=torch.float64)).item(), 9)
        0.375
        """
        new = cls(cutoff, n_coefficients, pairs)
        r = np.asarray(plain(r, "nm"), dtype=float)
        tables = new._rows_of("u", plain(u, "kJ/mol"), len(r))
        kT = None if temperature is None else thermal_energy(temperature, "SplinePotential")
        return new._assign([project_table(new.grid, r, row, kT, core, shift) for row in tables])

    @classmethod
    def from_rdf(
        cls,
        r: Any,
        g: Any,
        temperature: float,
        cutoff: float,
        n_coefficients: int = 64,
        g_min: float = 1e-3,
        *,
        pairs: Sequence[Pair] | None = None,
    ) -> SplinePotential:
        r"""The potential of mean force :math:`-k_BT\ln g(r)`, shifted to vanish at the cutoff.

        A weighted spline fit (weights g r^2, as the counts) with a weak preference for small third
        differences. The core ends at the first knot beyond the last point of the rise with g <= g_min;
        there u is made to fall (u' < 0, at least the mean slope down to g = 1) and to be convex, where
        noise says otherwise.

        Parameters
        ----------
        r
            [R], nm, increasing, reaching the cutoff to half a spacing.
        g
            [R] or [P, R].
        temperature
            K.
        cutoff, n_coefficients, pairs
            As in the class.
        g_min
            Smallest g that is data.

        Raises
        ------
        ValueError
            If g has NaN or negative entries, never exceeds g_min, or does not reach the cutoff.

        Notes
        -----
        Exact for vanishing density only; elsewhere a start for a fit.

        References
        ----------
        D. Reith, M. Puetz, F. Mueller-Plathe, J. Comput. Chem. 24, 1624 (2003), eq. (2).

        Examples
        --------
        >>> r = np.linspace(0.01, 1.0, 100)
        >>> u = SplinePotential.from_rdf(r, np.where(r > 0.3, 1.0, 0.0), 300.0, cutoff=0.9)
        >>> abs(u(torch.tensor([0.6], dtype=torch.float64)).item()) < 1e-6
        True
        """
        new = cls(cutoff, n_coefficients, pairs)
        r, kT = np.asarray(plain(r, "nm"), dtype=float), thermal_energy(temperature, "SplinePotential")
        tables = new._rows_of("g", g, len(r))
        return new._assign([invert_rdf(new.grid, r, row, kT, g_min) for row in tables])
