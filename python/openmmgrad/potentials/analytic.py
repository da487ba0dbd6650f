# SPDX-License-Identifier: MIT
"""Pair potentials in closed form; every physical parameter is learnable, exponents are fixed numbers.

All ignore the pair's labels (use ``PerPair`` for several types) and the temperature, and take the keywords of
``PairPotential``: n_coefficients, truncation, switch_distance, core.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from openmmgrad.errors import require
from openmmgrad.potentials.base import Pair, PairPotential


class LennardJones(PairPotential):
    r"""Lennard-Jones 12-6: :math:`u(r) = 4\epsilon[(\sigma/r)^{12} - (\sigma/r)^6]`.

    Parameters
    ----------
    sigma
        nm, positive.
    epsilon
        Depth of the well, kJ/mol, positive.
    cutoff
        nm.
    **keywords
        As in ``PairPotential``.

    Raises
    ------
    ValueError
        If sigma or epsilon is not positive.

    References
    ----------
    J. E. Lennard-Jones, Proc. Phys. Soc. 43, 461 (1931).

    Examples
    --------
    >>> argon = LennardJones(sigma=0.34, epsilon=0.996, cutoff=1.02, truncation="none")
    >>> argon.energy(torch.tensor([0.34 * 2 ** (1 / 6)], dtype=torch.float64)).item()
    -0.996
    """

    pair_dependent = temperature_dependent = False
    positive = ("sigma", "epsilon")

    def __init__(self, sigma: float, epsilon: float, cutoff: float, **keywords: Any) -> None:
        super().__init__(cutoff, **keywords)
        self.sigma = self._scalar("sigma", sigma, "nm")
        self.epsilon = self._scalar("epsilon", epsilon, "kJ/mol")

    def energy(self, r: Tensor, pair: Pair | None = None, temperature: float | None = None) -> Tensor:
        """[R] in nm to [R] in kJ/mol."""
        x = (self.sigma / r) ** 6
        return 4 * self.epsilon * x * (x - 1)


class LennardJonesFamily(PairPotential):
    r"""Mie's n-m potential: :math:`u(r) = C\epsilon[(\sigma/r)^n - (\sigma/r)^m]`.

    Without ``prefactor``, :math:`C = \frac{n}{n-m}(n/m)^{m/(n-m)}` and epsilon is the depth of the well.
    ``prefactor=4.0`` is the "LJ family" of Wang et al., whose depth is epsilon for 12-6 only.

    Parameters
    ----------
    sigma
        Where u = 0, nm, positive.
    epsilon
        kJ/mol, positive.
    cutoff
        nm.
    repulsive, attractive
        n > m > 0.
    prefactor
        C.
    **keywords
        As in ``PairPotential``.

    Raises
    ------
    ValueError
        If sigma or epsilon is not positive, or not n > m > 0.

    References
    ----------
    G. Mie, Ann. Phys. 316, 657 (1903); W. Wang et al., J. Chem. Phys. 158, 044113 (2023).

    Examples
    --------
    >>> u = LennardJonesFamily(sigma=0.3, epsilon=1.0, cutoff=0.9, repulsive=8, attractive=4)
    >>> u.prefactor, round(u.energy(torch.tensor([0.3 * 2 ** (1 / 4)], dtype=torch.float64)).item(), 12)
    (4.0, -1.0)
    """

    pair_dependent = temperature_dependent = False
    positive = ("sigma", "epsilon")

    def __init__(
        self,
        sigma: float,
        epsilon: float,
        cutoff: float,
        repulsive: float = 12,
        attractive: float = 6,
        prefactor: float | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(cutoff, **keywords)
        require(
            repulsive > attractive > 0,
            "LennardJonesFamily",
            f"expected exponents repulsive > attractive > 0, found {repulsive} and {attractive}",
            "12 and 6 is Lennard-Jones",
        )
        ratio = repulsive / attractive
        depth_one = repulsive / (repulsive - attractive) * ratio ** (attractive / (repulsive - attractive))
        self.repulsive, self.attractive = repulsive, attractive
        self.prefactor = depth_one if prefactor is None else float(prefactor)
        self.sigma = self._scalar("sigma", sigma, "nm")
        self.epsilon = self._scalar("epsilon", epsilon, "kJ/mol")

    def energy(self, r: Tensor, pair: Pair | None = None, temperature: float | None = None) -> Tensor:
        """[R] in nm to [R] in kJ/mol."""
        x = self.sigma / r
        return self.prefactor * self.epsilon * (x**self.repulsive - x**self.attractive)


class Morse(PairPotential):
    r"""Morse: :math:`u(r) = D[e^{-2\alpha(r-r_0)} - 2e^{-\alpha(r-r_0)}]`.

    Parameters
    ----------
    depth
        D, kJ/mol, positive.
    alpha
        1/nm, positive.
    r0
        Where u = -D, nm, positive.
    cutoff
        nm.
    **keywords
        As in ``PairPotential``.

    Raises
    ------
    ValueError
        If a parameter is not positive.

    Notes
    -----
    u(0) is finite: the wall is only as high as :math:`D(e^{2\alpha r_0} - 2e^{\alpha r_0})`.

    References
    ----------
    P. M. Morse, Phys. Rev. 34, 57 (1929), eq. (4).

    Examples
    --------
    >>> u = Morse(depth=1.5, alpha=15.0, r0=0.38, cutoff=1.0, truncation="none")
    >>> u.energy(torch.tensor([0.38], dtype=torch.float64)).item()
    -1.5
    """

    pair_dependent = temperature_dependent = False
    positive = ("depth", "alpha", "r0")

    def __init__(self, depth: float, alpha: float, r0: float, cutoff: float, **keywords: Any) -> None:
        super().__init__(cutoff, **keywords)
        self.depth = self._scalar("depth", depth, "kJ/mol")
        self.alpha = self._scalar("alpha", alpha, "1/nm")
        self.r0 = self._scalar("r0", r0, "nm")

    def energy(self, r: Tensor, pair: Pair | None = None, temperature: float | None = None) -> Tensor:
        """[R] in nm to [R] in kJ/mol."""
        x = torch.exp(-self.alpha * (r - self.r0))
        return self.depth * x * (x - 2)


class SoftSphere(PairPotential):
    r"""Inverse power: :math:`u(r) = \epsilon(\sigma/r)^n`.

    Parameters
    ----------
    epsilon
        kJ/mol, positive.
    sigma
        nm, positive.
    cutoff
        nm.
    power
        n > 0.
    **keywords
        As in ``PairPotential``.

    Raises
    ------
    ValueError
        If epsilon, sigma or n is not positive.

    Notes
    -----
    Only :math:`\epsilon\sigma^n` matters: fit one of the two (``requires_grad_(False)`` on the other).

    References
    ----------
    W. G. Hoover et al., J. Chem. Phys. 52, 4931 (1970).

    Examples
    --------
    >>> u = SoftSphere(epsilon=1.0, sigma=0.3, cutoff=0.9, truncation="none")
    >>> u.energy(torch.tensor([0.6], dtype=torch.float64)).item() * 2**12
    1.0
    """

    pair_dependent = temperature_dependent = False
    positive = ("epsilon", "sigma")

    def __init__(
        self, epsilon: float, sigma: float, cutoff: float, power: float = 12, **keywords: Any
    ) -> None:
        super().__init__(cutoff, **keywords)
        require(power > 0, "SoftSphere", f"power must be positive, found {power}", "12 is usual")
        self.power = power
        self.epsilon = self._scalar("epsilon", epsilon, "kJ/mol")
        self.sigma = self._scalar("sigma", sigma, "nm")

    def energy(self, r: Tensor, pair: Pair | None = None, temperature: float | None = None) -> Tensor:
        """[R] in nm to [R] in kJ/mol."""
        return self.epsilon * (self.sigma / r) ** self.power


class Yukawa(PairPotential):
    r"""Screened Coulomb: :math:`u(r) = A e^{-\kappa r}/r`.

    Parameters
    ----------
    strength
        A, kJ/mol nm; any sign, but an attractive one needs a repulsive partner in a sum.
    kappa
        Inverse screening length, 1/nm, positive.
    cutoff
        nm.
    **keywords
        As in ``PairPotential``.

    Raises
    ------
    ValueError
        If kappa is not positive, and from ``coefficients`` if particles would fall into each other.

    References
    ----------
    H. Yukawa, Proc. Phys.-Math. Soc. Japan 17, 48 (1935).

    Examples
    --------
    >>> u = Yukawa(strength=2.0, kappa=5.0, cutoff=1.0, truncation="none")
    >>> u.energy(torch.tensor([0.2], dtype=torch.float64)).item()
    3.6787944117144233
    """

    pair_dependent = temperature_dependent = False
    positive = ("kappa",)

    def __init__(self, strength: float, kappa: float, cutoff: float, **keywords: Any) -> None:
        super().__init__(cutoff, **keywords)
        self.strength = self._scalar("strength", strength, "kJ/mol*nm")
        self.kappa = self._scalar("kappa", kappa, "1/nm")

    def energy(self, r: Tensor, pair: Pair | None = None, temperature: float | None = None) -> Tensor:
        """[R] in nm to [R] in kJ/mol."""
        return self.strength * torch.exp(-self.kappa * r) / r


class Buckingham(PairPotential):
    r"""Exp-6: :math:`u(r) = A e^{-Br} - C/r^6`.

    Parameters
    ----------
    A
        kJ/mol, positive.
    B
        1/nm, positive.
    C
        kJ/mol nm^6, positive.
    cutoff
        nm.
    **keywords
        As in ``PairPotential``.

    Raises
    ------
    ValueError
        If a parameter is not positive, and from ``coefficients`` if the barrier that keeps particles from
        collapsing (u falls to minus infinity at r = 0) is lower than ``core`` kT.

    Notes
    -----
    The core begins outside the barrier: what is simulated does not collapse.

    References
    ----------
    R. A. Buckingham, Proc. R. Soc. A 168, 264 (1938).

    Examples
    --------
    >>> u = Buckingham(A=1e5, B=36.0, C=6e-3, cutoff=1.0, truncation="none")
    >>> round(u.energy(torch.tensor([0.4], dtype=torch.float64)).item(), 4)
    -1.4091
    """

    pair_dependent = temperature_dependent = False
    positive = ("A", "B", "C")

    def __init__(self, A: float, B: float, C: float, cutoff: float, **keywords: Any) -> None:
        super().__init__(cutoff, **keywords)
        self.A = self._scalar("A", A, "kJ/mol")
        self.B = self._scalar("B", B, "1/nm")
        self.C = self._scalar("C", C, "kJ/mol*nm^6")

    def energy(self, r: Tensor, pair: Pair | None = None, temperature: float | None = None) -> Tensor:
        """[R] in nm to [R] in kJ/mol."""
        return self.A * torch.exp(-self.B * r) - self.C / r**6
