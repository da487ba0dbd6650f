# SPDX-License-Identifier: MIT
"""The instantaneous pressure tensor of any periodic System, with its molecules moved as rigid bodies."""

from __future__ import annotations

from typing import Any

import numpy as np
import openmm

from . import plugin
from .contexts import find_platform
from .errors import require
from .platforms import properties as properties_of
from .units import plain

#: In this order; the first three without the diagonal.
COMPONENTS = ("xy", "xz", "yz", "xx", "yy", "zz")
STRAIN = 2e-3
_PROPERTIES = ("Threads", "Precision", "DeviceIndex", "OpenCLPlatformIndex")


class PressureTensor:
    r"""Instantaneous pressure tensor in molecular scaling.

    .. math:: P_{ab} = \frac 1V \Big[ \sum_m M_m V_{m,a} V_{m,b} - \frac{\partial U}{\partial \epsilon_{ab}} \Big]

    over molecules m with mass M and velocity V of their centre of mass. A strain moves the centres of mass,
    :math:`X_a \to X_a + \epsilon_{ab} X_b`, and the box with them; molecules move rigidly. Serves constraints, and
    flexible molecules without the noise of their bonds. The derivative is a central difference of energies of a
    second Context, two for each component, so that the Context of the simulation is left alone.

    The off-diagonal components are the symmetric part of the molecular tensor, (P_xy + P_yx)/2: each molecule turns
    with half of the shear. The antisymmetric part is the torque on molecules, which adds noise to Green-Kubo integrals
    and nothing to the shear viscosity.

    Parameters
    ----------
    system
        An openmm.System with a box. Molecules are OpenMM's: particles joined by bonds and constraints.
    platform
        Name of an OpenMM platform.
    properties
        Of the platform: {"Threads": "1"}.
    strain
        Of the differences. A larger one has less noise, a smaller one less bias, which grows with its square.
    diagonal
        Whether xx, yy, zz are computed too.

    Attributes
    ----------
    components
        Names of the components: xy, xz, yz, and with the diagonal xx, yy, zz.

    Raises
    ------
    ValueError
        If the System has no box, or the strain is not between 0 and 0.1.

    Notes
    -----
    Molecules must be whole (not cut by the boundary), as OpenMM's positions are. Of one molecule that fills the box,
    such as a crystal of bonds, the tensor is not defined in this form.

    216 flexible waters on the CPU platform (single precision) against double precision with PME made tight, at the
    default strain: errors of 2 bar of the off-diagonals, where they fluctuate by 750 bar, and a bias of 3 bar of the
    diagonal (20 bar at a strain of 0.005). That is with an Ewald tolerance of 1e-5 and a switching function. With
    OpenMM's default tolerance of 5e-4 energies jump where a pair crosses the cutoff, and the error is 80 bar.

    OpenMM's barostats scale the centroids of molecules, not their centres of mass: their instantaneous pressures differ
    from these, their averages do not.

    References
    ----------
    M. P. Allen, D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), section 2.7 (molecular pressure).

    Examples
    --------
    Two atoms that do not interact, with V_x V_y = 1 and -1 nm^2/ps^2:

    >>> system = openmm.System()
    >>> gas = openmm.CustomNonbondedForce("0")
    >>> gas.setNonbondedMethod(gas.CutoffPeriodic)
    >>> _ = [(system.addParticle(10.0 + i), gas.addParticle([])) for i in range(2)], system.addForce(gas)
    >>> pressure = PressureTensor(system, platform="Reference")
    >>> pressure(np.zeros((2, 3)), [[1.0, 1.0, 0.0], [1.0, -1.0, 0.0]], 2 * np.eye(3)) * 8
    array([-1.,  0.,  0.])
    """

    def __init__(self, system: openmm.System, platform: str = "CPU", properties: dict[str, str] | None = None,
                 strain: float = STRAIN, diagonal: bool = False) -> None:
        who = "PressureTensor"
        require(system.usesPeriodicBoundaryConditions(), who, "expected a periodic System, found one without a box",
                "Give its forces periodic boundary conditions: pressure needs a volume")
        require(0 < strain < 0.1, who, f"strain must be between 0 and 0.1, found {strain:g}", "Leave the default")
        self.components = COMPONENTS if diagonal else COMPONENTS[:3]
        self._n_particles = system.getNumParticles()
        self._context = openmm.Context(system, openmm.VerletIntegrator(0.001),
                                       find_platform(platform, who), properties or properties_of(platform, None))
        self.calculator = plugin.MolecularPressure(self._context, strain, diagonal)
        self.n_molecules = self.calculator.getNumMolecules()

    @classmethod
    def beside(cls, context: openmm.Context, strain: float = STRAIN, diagonal: bool = False) -> PressureTensor:
        """For the System of a Context, on the same platform with the same threads or device."""
        platform = context.getPlatform()
        properties = {name: platform.getPropertyValue(context, name) for name in platform.getPropertyNames()
                      if name in _PROPERTIES}
        made = cls(context.getSystem(), platform.getName(), properties, strain, diagonal)
        made._beside = context  # owns the System
        return made

    def __call__(self, positions: Any, velocities: Any, box: Any) -> np.ndarray:
        """The components [3] or [6], kJ/mol/nm^3, of positions [N, 3] nm, velocities [N, 3] nm/ps and box [3, 3] nm.

        Divide by `units.BAR` for bar.
        """
        arrays = [np.ascontiguousarray(plain(value, unit), dtype=float)
                  for value, unit in ((positions, "nm"), (velocities, "nm/ps"), (box, "nm"))]
        for array, name, n in zip(arrays, ("positions", "velocities", "box"), (*2 * [self._n_particles], 3),
                                  strict=True):
            require(array.shape == (n, 3), "PressureTensor",
                    f"{name} must have shape [{n}, 3], found {list(array.shape)}", "Pass one frame of this System")
        values = np.empty(len(self.components))
        self.calculator.compute(*arrays, values)
        return values
