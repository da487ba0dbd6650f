# SPDX-License-Identifier: MIT
"""Density, potential energy and heat of vaporisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..estimate import expectation
from ..frames import Frames
from ..units import KB
from ..weights import weights
from .base import Observable

#: kg/m^3 in 1 amu/nm^3.
KG_PER_M3 = 1.66053906660


class Density(Observable):
    r"""Mass density of every frame, at constant pressure.

    .. math:: \rho = \frac{1}{V} \sum_i m_i

    It says nothing of parameters beyond which frames there are: its derivative is that of the weights,
    -beta Cov(rho, dU/dtheta).

    Parameters
    ----------
    masses
        [N], amu, or a Model that has them.

    Raises
    ------
    ValueError
        If masses are negative or not finite, there is none, or frames have no box or another number of particles.

    References
    ----------
    D. Frenkel, B. Smit, Understanding Molecular Simulation, 2nd ed. (2002), section 5.4: constant pressure.

    Examples
    --------
    >>> from openmmgrad.frames import State
    >>> frames = Frames(np.zeros((1, 3, 3)), State([], 300.0), boxes=0.31 * np.eye(3))
    >>> Density([15.999, 1.008, 1.008])(frames).round(decimals=2)
    tensor([[1004.1500]], dtype=torch.float64)
    """

    unit = "kg/m^3"
    name = "density"
    axis = ""

    def __init__(self, masses: Any) -> None:
        values = np.array(getattr(masses, "masses", masses), dtype=float).reshape(-1)
        require(bool(np.isfinite(values).all() and (values >= 0).all()) and values.sum() > 0, "Density",
                f"expected masses that are finite and not negative, found {values.tolist()[:5]}",
                "Give one per particle, amu, or the Model")
        self.grid = np.zeros(1)
        self._n, self._mass = len(values), float(values.sum())

    def __call__(self, frames: Frames) -> Tensor:
        """The density of every frame, [S, 1], kg/m^3."""
        require(frames.n_atoms == self._n, "Density", f"expected frames of {self._n} particles, found {frames.n_atoms}",
                "Give one mass for each particle")
        return torch.as_tensor(KG_PER_M3 * self._mass / frames.volumes)[:, None]


class PotentialEnergy(Observable):
    r"""Total potential energy of every frame at the Model's present parameters.

    It contains the parameters itself, so its average has a derivative of two terms:

    .. math:: \frac{d\langle U\rangle}{d\theta} = \Big\langle\frac{\partial U}{\partial\theta}\Big\rangle
        - \beta\,\mathrm{Cov}\Big(U, \frac{\partial U}{\partial\theta}\Big)

    Both arise by autograd from ``expectation(energy(frames), weights(model, frames))``.

    Parameters
    ----------
    model
        The Model that the frames are of.
    per
        "system", or "molecule": divided by the number of molecules.
    platform, threads
        Where energies are evaluated: see `Model.parameter_energies` for the noise.

    Raises
    ------
    ValueError
        As `Model.potential_energies`.

    References
    ----------
    D. Frenkel, B. Smit, Understanding Molecular Simulation, 2nd ed. (2002), section 5.3.

    Examples
    --------
    >>> import openmm, openmmgrad as og
    >>> system, bond = openmm.System(), openmm.HarmonicBondForce()
    >>> _ = system.addParticle(1.0), system.addParticle(1.0), bond.addBond(0, 1, 0.1, 1000.0), system.addForce(bond)
    >>> frames = og.Frames([[[0.0, 0, 0], [0.12, 0, 0]]], og.State([], 300.0))
    >>> PotentialEnergy(og.Model(system))(frames).round(decimals=6)          # 1000 * 0.02^2 / 2
    tensor([[0.2000]], dtype=torch.float64)
    """

    unit = "kJ/mol"
    name = "U"
    axis = ""
    explicit = True

    def __init__(self, model: Any, per: str = "system", *, platform: str = "CPU", threads: int | None = 1) -> None:
        require(per in ("system", "molecule"), "PotentialEnergy",
                f"per must be 'system' or 'molecule', found {per!r}", "Choose one of those")
        self.model, self.grid = model, np.zeros(1)
        self._n = 1 if per == "system" else model.molecules.n
        self._evaluation = platform, threads

    def __call__(self, frames: Frames) -> Tensor:
        """U of every frame, [S, 1], kJ/mol, with graph."""
        return self.model.potential_energies(frames, *self._evaluation)[:, None] / self._n

    def coefficient_derivatives(self, frames: Frames) -> Tensor:
        """dU/dc of every frame at fixed positions, [S, 1, F], dimensionless."""
        return torch.as_tensor(self.model.features_of(frames) / self._n)[:, None]


class HeatOfVaporization(Observable):
    r"""Heat of vaporisation, from the energies of a liquid's frames and of one molecule in the gas.

    .. math:: \Delta H = \langle U_\text{gas}\rangle - \frac{\langle U\rangle}{n} + k T + C

    The gas is ideal, with P V = k T per molecule, and the liquid's volume is neglected beside it (for water at 1 bar,
    0.002 kJ/mol). Kinetic energies of both are equal. It contains the parameters of both Models: the gas is weighted to
    the present ones at each call, so that by autograd its average has both terms of its derivative, as the liquid's.

    Parameters
    ----------
    model
        The Model of the liquid, whose frames the observable is given.
    n_molecules
        n; None counts what bonds, constraints and virtual sites connect.
    gas
        <U_gas>: a pair (Model of gas, its Frames) of one or more molecules that do not see each other, or a number,
        kJ/mol per molecule (3/2 k T for a flexible molecule of three sites with harmonic terms). None is 0: rigid
        molecules without energy of their own. Learn parameters of both by giving them to both:
        ``gas.add_parameters({"k": liquid.global_parameters["k"]})``.
    correction
        C, kJ/mol per molecule, such as the energy it takes to polarise a molecule: -5.22 for SPC/E [1].
    platform, threads
        Where energies are evaluated: see `Model.parameter_energies` for the noise.

    Raises
    ------
    ValueError
        If the temperatures of liquid and gas differ; further as `Model.potential_energies` and `weights`.

    Notes
    -----
    The standard error of an `expectation` is that of the liquid: take enough frames of the gas, which are cheap. `fit`
    moves the liquid's parameters; those that the gas has alone stay as they are.

    References
    ----------
    [1] H. J. C. Berendsen, J. R. Grigera, T. P. Straatsma, J. Phys. Chem. 91, 6269 (1987). doi:10.1021/j100308a038
    [2] H. W. Horn et al., J. Chem. Phys. 120, 9665 (2004), section II: corrections. doi:10.1063/1.1683075

    Examples
    --------
    >>> import openmm, openmmgrad as og
    >>> system = openmm.System()
    >>> _ = system.addParticle(40.0)
    >>> frames = og.Frames(np.zeros((1, 1, 3)), og.State([], 300.0), energies=[-6.0])
    >>> HeatOfVaporization(og.Model(system))(frames).round(decimals=4)          # 6 + k T
    tensor([[8.4943]], dtype=torch.float64)
    """

    unit = "kJ/mol"
    name = "heat of vaporization"
    axis = ""
    explicit = True

    def __init__(self, model: Any, n_molecules: int | None = None, gas: Any = None, correction: float = 0.0, *,
                 platform: str = "CPU", threads: int | None = 1) -> None:
        who = "HeatOfVaporization"
        n = model.molecules.n if n_molecules is None else n_molecules
        require(n == int(n) and n >= 1, who, f"n_molecules must be a whole number from 1, found {n}", "Count molecules")
        self.model, self.n_molecules, self.grid = model, int(n), np.zeros(1)
        self._evaluation, self._correction = (platform, threads), float(correction)
        self._gas = self._gas_frames = None
        if isinstance(gas, tuple | list):
            require(len(gas) == 2 and isinstance(gas[1], Frames) and hasattr(gas[0], "potential_energies"), who,
                    f"gas must be (Model, Frames), found {[type(part).__name__ for part in gas]}",
                    "Pass the Model of one molecule and its frames, or kJ/mol per molecule")
            self._gas, self._gas_frames = gas
        else:
            self._correction += 0.0 if gas is None else float(gas)
        require(bool(np.isfinite(self._correction)), who, f"expected finite energies, found {self._correction} kJ/mol",
                "Give kJ/mol per molecule")

    def __call__(self, frames: Frames) -> Tensor:
        """Of every frame, [S, 1], kJ/mol, with graph: averages of the gas, and the frame's own energy."""
        liquid = self.model.potential_energies(frames, *self._evaluation) / self.n_molecules
        gas = torch.zeros((), dtype=torch.float64) if self._gas is None else self._gas_energy(frames.temperature)
        return (gas - liquid + KB * frames.temperature + self._correction)[:, None]

    def coefficient_derivatives(self, frames: Frames) -> Tensor:
        """Derivative by the liquid's coefficients at fixed positions of every frame, [S, 1, F], dimensionless.

        Raises
        ------
        ValueError
            If pair potentials of the gas are learnt: its coefficients are not those of the liquid.
        """
        learnt = self._gas is not None and any(p.requires_grad for p in self._gas.potentials.parameters())
        require(not learnt, "HeatOfVaporization", "the gas has learnt pair potentials, which Gauss-Newton does not see",
                "Use a torch optimiser: method=torch.optim.Adam, lr=...")
        return torch.as_tensor(-self.model.features_of(frames) / self.n_molecules)[:, None]

    def _gas_energy(self, temperature: float) -> Tensor:
        """<U_gas> per molecule at the present parameters, with graph, kJ/mol."""
        model, frames = self._gas, self._gas_frames
        require(abs(frames.temperature / temperature - 1) < 1e-6, "HeatOfVaporization",
                f"the gas has {frames.temperature:g} K and the liquid {temperature:g} K",
                "Sample both at one temperature")
        platform, threads = self._evaluation
        w = weights(model, frames, platform=platform, threads=threads)
        return expectation(model.potential_energies(frames, platform, threads), w).mean / model.molecules.n
