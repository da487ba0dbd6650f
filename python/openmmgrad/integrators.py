# SPDX-License-Identifier: MIT
"""The Nose-Hoover chain of differentiable simulation, as an OpenMM integrator."""

from __future__ import annotations

from collections.abc import Sequence

import openmm

from .errors import require
from .units import KB, plain


class NoseHooverChainIntegrator(openmm.CustomIntegrator):
    r"""Velocity Verlet between two half steps of a Nose-Hoover chain of momenta :math:`p_1 .. p_M`.

    .. math:: \dot v = F/m - (p_1/Q_1)\, v, \quad \dot p_1 = 2K - n\,kT - p_1 p_2/Q_2, \quad
              \dot p_k = p_{k-1}^2/Q_{k-1} - kT - p_k p_{k+1}/Q_{k+1}

    The chain's momenta are the global variables ``p1 .. pM``, zero at first. Velocities are at the positions' time.

    Parameters
    ----------
    temperature
        K.
    timestep
        ps.
    degrees_of_freedom
        n of the equations: 3 N for N free particles, less what constraints and removed motion take.
    chain_masses
        Q, kJ/mol ps^2, one per link. Default: Q_1 = n kT tau^2 and Q_k = kT tau^2 with ``relaxation_time`` tau, for
        ``chain_length`` links. (The paper has Q = [50, 50/N, ..] in reduced units.)
    relaxation_time, chain_length
        tau, ps, and M.

    Raises
    ------
    ValueError
        For numbers that are not positive.

    References
    ----------
    [1] W. Wang, S. Axelrod, R. Gomez-Bombarelli, arXiv 2003.00868 (2020): the equations of motion.
    [2] G. J. Martyna, M. E. Tuckerman, D. J. Tobias, M. L. Klein, Mol. Phys. 87, 1117 (1996), section 4: the splitting.

    Examples
    --------
    >>> integrator = NoseHooverChainIntegrator(300.0, 0.001, degrees_of_freedom=96)
    >>> integrator.getNumGlobalVariables() >= 5, len(integrator.chain_masses)
    (True, 5)
    """

    def __init__(self, temperature: float, timestep: float, degrees_of_freedom: int,
                 chain_masses: Sequence[float] | None = None, *, relaxation_time: float = 0.1,
                 chain_length: int = 5) -> None:
        who = "NoseHooverChainIntegrator"
        self.temperature, self.degrees_of_freedom = float(plain(temperature, "K")), int(degrees_of_freedom)
        timestep, tau = float(plain(timestep, "ps")), float(plain(relaxation_time, "ps"))
        for name, value, unit in (("temperature", self.temperature, "K"), ("timestep", timestep, "ps"),
                                  ("degrees_of_freedom", self.degrees_of_freedom, ""), ("relaxation_time", tau, "ps"),
                                  ("chain_length", chain_length, "links")):
            require(0 < value < float("inf"), who, f"{name} must be positive, found {value} {unit}".rstrip(),
                    f"Give a positive {name}")
        kT = KB * self.temperature
        if chain_masses is None:
            chain_masses = [self.degrees_of_freedom * kT * tau**2] + [kT * tau**2] * (int(chain_length) - 1)
        self.chain_masses = [float(mass) for mass in chain_masses]
        require(len(self.chain_masses) > 0 and all(0 < mass < float("inf") for mass in self.chain_masses), who,
                f"chain masses must be positive, found {self.chain_masses} kJ/mol ps^2", "Give one per link")
        super().__init__(timestep)
        for name in ["twoK", "scale", *(f"p{k + 1}" for k in range(len(self.chain_masses)))]:
            self.addGlobalVariable(name, 0.0)
        self.addUpdateContextState()
        self._add_half_chain(kT)
        self.addComputePerDof("v", "v*scale + 0.5*dt*f/m")
        self.addComputePerDof("x", "x + dt*v")
        self.addComputePerDof("v", "v + 0.5*dt*f/m")
        self._add_half_chain(kT)
        self.addComputePerDof("v", "v*scale")

    @property
    def kT(self) -> float:
        """kJ/mol."""
        return KB * self.temperature

    def _add_half_chain(self, kT: float) -> None:
        """The operations of NoseHooverChain::halfStep (plugin/openmmapi/include/NoseHooverChain.h) with dt/2."""
        q, last = self.chain_masses, len(self.chain_masses) - 1

        def update(k: int) -> None:
            drive = f"p{k}*p{k}/{q[k - 1]!r} - {kT!r}" if k else f"twoK - {self.degrees_of_freedom * kT!r}"
            if k == last:
                self.addComputeGlobal(f"p{k + 1}", f"p{k + 1} + 0.25*dt*({drive})")
            else:
                damping = f"exp(-0.125*dt*p{k + 2}/{q[k + 1]!r})"
                self.addComputeGlobal(f"p{k + 1}", f"(p{k + 1}*d + 0.25*dt*({drive}))*d; d = {damping}")

        self.addComputeSum("twoK", "m*v*v")
        for k in range(last, -1, -1):
            update(k)
        self.addComputeGlobal("scale", f"exp(-0.5*dt*p1/{q[0]!r})")
        self.addComputeGlobal("twoK", "twoK*scale*scale")
        for k in range(last + 1):
            update(k)
