# SPDX-License-Identifier: MIT
"""Potentials made of others: sums, energy and entropy, one per pair of types, any torch module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from openmmgrad.errors import require
from openmmgrad.potentials.base import Pair, PairPotential


class ModulePotential(PairPotential):
    """Any torch module u(r) as a pair potential, the same for all pairs of types.

    Parameters
    ----------
    module
        Maps distances [R] in nm to energies [R] in kJ/mol. It is called in float64 unless its first parameter
        has another floating point type.
    cutoff
        nm.
    **keywords
        As in ``PairPotential``.

    Raises
    ------
    TypeError
        If it is not a torch.nn.Module.
    ValueError
        If its output has another shape than its input.

    Examples
    --------
    >>> class Ramp(nn.Module):
    ...     def forward(self, r):
    ...         return 10 * (1 - r)
    >>> ModulePotential(Ramp(), cutoff=0.9)(torch.tensor([0.4], dtype=torch.float64)).item()
    5.0
    """

    pair_dependent = temperature_dependent = False

    def __init__(self, module: nn.Module, cutoff: float, **keywords: Any) -> None:
        super().__init__(cutoff, **keywords)
        require(
            isinstance(module, nn.Module),
            "ModulePotential",
            f"expected a torch.nn.Module, found {type(module).__name__}",
            "Wrap the function in a Module, or subclass PairPotential",
            TypeError,
        )
        self.module = module

    def energy(self, r: Tensor, pair: Pair | None = None, temperature: float | None = None) -> Tensor:
        """[R] in nm to [R] in kJ/mol."""
        first = next(self.module.parameters(), r)
        return self.module(r.to(first.dtype))


class SumPotential(PairPotential):
    """The sum of potentials (kJ/mol), each with its own truncation and cutoff; also written ``a + b``.

    The sum is projected once, with one core where the whole reaches ``core`` kT: a purely attractive part is
    allowed if the others are repulsive enough.

    Parameters
    ----------
    *parts
        At least one PairPotential.
    cutoff, n_coefficients
        nm and K; the largest of the parts unless given.
    core
        kT.

    Raises
    ------
    ValueError
        If the cutoff is smaller than that of a part.
    TypeError
        If a part is not a PairPotential.

    Examples
    --------
    >>> from openmmgrad.potentials import LennardJones, Yukawa
    >>> u = LennardJones(sigma=0.3, epsilon=1.0, cutoff=0.9) + Yukawa(strength=1.0, kappa=5.0, cutoff=0.7)
    >>> u.cutoff, len(list(u.parameters()))
    (0.9, 4)
    """

    def __init__(
        self,
        *parts: PairPotential,
        cutoff: float | None = None,
        n_coefficients: int | None = None,
        core: float = 50.0,
    ) -> None:
        super().__init__(
            *_common_grid("SumPotential", parts, cutoff, n_coefficients), truncation="none", core=core
        )
        self.parts = nn.ModuleList(parts)
        self.pair_dependent = any(part.pair_dependent for part in parts)
        self.temperature_dependent = any(part.temperature_dependent for part in parts)

    def energy(self, r: Tensor, pair: Pair | None = None, temperature: float | None = None) -> Tensor:
        """[R] in nm to [R] in kJ/mol: the parts with their truncations."""
        return torch.stack([part.truncated_energy(r, pair, temperature) for part in self.parts]).sum(0)


class EnergyEntropy(PairPotential):
    """A free energy linear in temperature: u(r, T) = E(r) - T S(r), for coarse-grained particles.

    Parameters
    ----------
    energy
        E(r), kJ/mol.
    entropy
        S(r), a PairPotential whose values are read in kJ/mol/K. Its parameters act multiplied by T: choose
        them of the order of k_B = 0.0083 kJ/mol/K, as with ``MLPPotential(scale=units.KB, prior=None)``.
    cutoff, n_coefficients
        nm and K; the largest of the two unless given.
    core
        kT.

    Raises
    ------
    ValueError
        If the cutoff is smaller than that of a part, or the temperature is missing.
    TypeError
        If a part is not a PairPotential.

    References
    ----------
    W. Wang et al., J. Chem. Phys. 158, 044113 (2023), coarse-grained water.

    Examples
    --------
    >>> from openmmgrad.potentials import SoftSphere
    >>> e, s = (SoftSphere(epsilon=x, sigma=0.3, cutoff=0.9, truncation="none") for x in (3.0, 0.01))
    >>> r = torch.tensor([0.3], dtype=torch.float64)
    >>> EnergyEntropy(e, s).energy(r, temperature=200.0).item()
    1.0
    """

    temperature_dependent = True

    def __init__(
        self,
        energy: PairPotential,
        entropy: PairPotential,
        cutoff: float | None = None,
        n_coefficients: int | None = None,
        core: float = 50.0,
    ) -> None:
        grid = _common_grid("EnergyEntropy", (energy, entropy), cutoff, n_coefficients)
        super().__init__(*grid, truncation="none", core=core)
        self.energy_part, self.entropy_part = energy, entropy
        self.pair_dependent = energy.pair_dependent or entropy.pair_dependent

    def energy(self, r: Tensor, pair: Pair | None = None, temperature: float | None = None) -> Tensor:
        """[R] in nm to [R] in kJ/mol."""
        require(
            temperature is not None,
            "EnergyEntropy.energy",
            "expected a temperature in K, found None",
            "Pass temperature=",
        )
        entropy = self.entropy_part.truncated_energy(r, pair, temperature)
        return self.energy_part.truncated_energy(r, pair, temperature) - temperature * entropy


class PerPair(PairPotential):
    """A potential for each pair of types, in kJ/mol as all others.

    Parameters
    ----------
    potentials
        {(label, label): potential}; the order of the two labels does not matter, and one object may serve
        several pairs. Every pair of labels that ``coefficients`` is asked for must be there.
    cutoff, n_coefficients
        nm and K; the largest of the potentials unless given.
    core
        kT; only for potentials whose own cutoff or K differ (they are projected anew).

    Raises
    ------
    ValueError
        If a pair is given twice or is missing, or the cutoff is smaller than that of a potential.
    TypeError
        If one is not a PairPotential.

    Examples
    --------
    >>> from openmmgrad.potentials import LennardJones
    >>> a, b = (LennardJones(sigma=s, epsilon=1.0, cutoff=1.0) for s in (0.3, 0.33))
    >>> mixture = PerPair({("A", "A"): a, ("A", "B"): b, ("B", "B"): b})
    >>> mixture.coefficients([("A", "A"), ("B", "A"), ("B", "B")], 300.0).shape
    torch.Size([3, 64])
    """

    pair_dependent = True

    def __init__(
        self,
        potentials: Mapping[Pair, PairPotential],
        cutoff: float | None = None,
        n_coefficients: int | None = None,
        core: float = 50.0,
    ) -> None:
        unique = list({id(p): p for p in potentials.values()}.values())
        super().__init__(
            *_common_grid("PerPair", unique, cutoff, n_coefficients), truncation="none", core=core
        )
        self.potentials = nn.ModuleList(unique)
        self._index: dict[Pair, int] = {}
        for labels, potential in potentials.items():
            key = _unordered(labels)
            require(key not in self._index, "PerPair", f"pair {key} is given twice", "Give each pair once")
            self._index[key] = next(i for i, p in enumerate(unique) if p is potential)
        self.temperature_dependent = any(part.temperature_dependent for part in unique)

    def of(self, pair: Pair | None) -> PairPotential:
        """The potential of a pair of labels."""
        known = ", ".join(map(str, self._index))
        require(
            pair is not None and _unordered(pair) in self._index,
            "PerPair",
            f"no potential for pair {pair}; known are {known}",
            "Add it, or correct the labels of the particles",
        )
        return self.potentials[self._index[_unordered(pair)]]

    def energy(self, r: Tensor, pair: Pair | None = None, temperature: float | None = None) -> Tensor:
        """[R] in nm to [R] in kJ/mol."""
        return self.of(pair).truncated_energy(r, pair, temperature)

    def pair_coefficients(self, pair: Pair | None, temperature: float) -> Tensor:
        """[K], kJ/mol: the coefficients of that pair's potential."""
        part = self.of(pair)
        if part.grid == self.grid:
            return part.pair_coefficients(pair, temperature)
        return super().pair_coefficients(pair, temperature)

    def core_knot(self, pair: Pair | None, temperature: float) -> int:
        """Index of the knot where the core of that pair's potential ends."""
        part = self.of(pair)
        return (
            part.core_knot(pair, temperature)
            if part.grid == self.grid
            else super().core_knot(pair, temperature)
        )


def _unordered(pair: Pair) -> Pair:
    require(
        isinstance(pair, tuple | list) and len(pair) == 2,
        "PerPair",
        f"a pair must be two labels, found {pair!r}",
        'Write it as in ("A", "B")',
    )
    return tuple(sorted(pair))


def _common_grid(who: str, parts: Any, cutoff: float | None, n_coefficients: int | None) -> tuple[float, int]:
    """Cutoff and K for parts: the largest unless given."""
    wrong = [type(part).__name__ for part in parts if not isinstance(part, PairPotential)]
    require(
        len(parts) > 0 and not wrong,
        who,
        f"expected PairPotentials, found {wrong[0] if wrong else 'none'}",
        "Wrap a torch module in ModulePotential",
        TypeError,
    )
    largest = max(part.cutoff for part in parts)
    require(
        cutoff is None or cutoff >= largest,
        who,
        f"cutoff must be at least that of the parts, {largest} nm, found {cutoff} nm",
        "Leave cutoff out",
    )
    K = max(part.n_coefficients for part in parts) if n_coefficients is None else n_coefficients
    return (largest if cutoff is None else cutoff), K
