# SPDX-License-Identifier: MIT
"""What a Recorder needs to know of a System and its integrator before the first record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import openmm

from . import plugin
from .errors import require
from .integrators import NoseHooverChainIntegrator
from .selection import select_atoms
from .units import plain

#: Integrators whose velocities are half a step behind the positions, x' = x + timestep v'.
LEAPFROG = (openmm.VerletIntegrator, openmm.LangevinMiddleIntegrator, openmm.LangevinIntegrator,
            openmm.NoseHooverIntegrator, openmm.QTBIntegrator)
_THERMOSTATED = (openmm.LangevinMiddleIntegrator, openmm.LangevinIntegrator, openmm.QTBIntegrator)
_VARIABLE = (openmm.VariableVerletIntegrator, openmm.VariableLangevinIntegrator)
_AVERAGES = (openmm.TwoParticleAverageSite, openmm.ThreeParticleAverageSite)


def folded(system: openmm.System, weights: Any) -> np.ndarray:
    r"""Weights [N] with those of virtual sites given to the particles that define them.

    For sites that are averages of particles, :math:`x_s = \sum_p a_p x_p`, the sums :math:`\sum_i w_i v_i` over
    particles and sites and over particles alone are then the same. OpenMM's own velocities of sites are zero.

    Parameters
    ----------
    system
        The openmm.System.
    weights
        [N], such as charges, e.

    Raises
    ------
    ValueError
        If there is not one finite weight per particle, or a site that is not an average has weight.

    Examples
    --------
    >>> system = openmm.System()
    >>> _ = [system.addParticle(mass) for mass in (16.0, 1.0, 0.0)]
    >>> system.setVirtualSite(2, openmm.TwoParticleAverageSite(0, 1, 0.75, 0.25))
    >>> folded(system, [0.0, 1.0, -1.0]).tolist()
    [-0.75, 0.75, 0.0]
    """
    weights = weights_of(system, weights, "folded")
    sites = [i for i in np.flatnonzero(weights).tolist() if system.isVirtualSite(i)]
    if sites:
        others = [i for i in sites if not isinstance(system.getVirtualSite(i), _AVERAGES)]
        require(not others, "folded",
                f"virtual sites with weight must be averages of two or three particles, found "
                f"{len(others)} {type(system.getVirtualSite(others[0])).__name__}s" if others else "",
                "Record dipoles= instead of fluxes=: positions of sites of any kind are known")
        plugin.StepRecorder.foldWeights(system, weights)
    return weights


def weights_of(system: openmm.System, weights: Any, who: str) -> np.ndarray:
    """A copy of weights [N], checked."""
    found = np.array(plain(weights, "e"), dtype=float)
    require(found.shape == (system.getNumParticles(),) and bool(np.isfinite(found).all()), who,
            f"weights must be {system.getNumParticles()} finite numbers, one per particle, found shape "
            f"{list(found.shape)}", "Give charges or masses of all particles, 0 for those that do not count")
    return found


def atoms_of(selection: Any, n_atoms: int, topology: Any, simulation: Any) -> tuple[np.ndarray, Any]:
    """Indices of a selection (None is no atom, True all), and the topology used."""
    if selection is None or selection is True:
        return np.arange(n_atoms if selection else 0), topology
    if isinstance(selection, str) and topology is None and hasattr(simulation, "topology"):
        import mdtraj

        topology = mdtraj.Topology.from_openmm(simulation.topology)
    return select_atoms(selection, n_atoms, topology, "Recorder"), topology


def is_half_step(integrator: openmm.Integrator, given: bool | None) -> bool:
    """Whether velocities are half a step behind the positions; refuses steps of changing length."""
    kind = type(integrator).__name__
    require(not isinstance(integrator, _VARIABLE), "Recorder", f"{kind} takes steps of changing length",
            "Use an integrator with a fixed step: series are of equal times")
    if given is not None:
        return bool(given)
    if isinstance(integrator, NoseHooverChainIntegrator):
        return False
    require(isinstance(integrator, LEAPFROG), "Recorder",
            f"whether velocities of {kind} are at the time of the positions is not known here",
            "Pass half_step=True (half a step before them) or False")
    return True


def temperature_of(integrator: openmm.Integrator, given: float | None) -> float | None:
    """K, given or the integrator's."""
    if given is not None:
        return given
    if isinstance(integrator, NoseHooverChainIntegrator):
        return float(integrator.temperature)
    return integrator.getTemperature()._value if isinstance(integrator, _THERMOSTATED) else None


def box_of(context: openmm.Context) -> list[list[float]] | None:
    """Rows a, b, c, nm, or None; refuses a System whose box changes."""
    system = context.getSystem()
    active = [force.getName() for force in system.getForces()
              if "Barostat" in type(force).__name__ and force.getFrequency() > 0]
    require(not active, "Recorder", f"expected a constant box, found an active {', '.join(active)}",
            "Set its frequency to 0, or sample at constant pressure first and record at constant volume")
    if not system.usesPeriodicBoundaryConditions():
        return None
    return context.getState().getPeriodicBoxVectors(asNumpy=True)._value.tolist()


def require_same(old: Mapping[str, Any], new: Mapping[str, Any], path: Any) -> None:
    """Whether a recording can go on: what must be equal."""
    other = [name for name in new if name not in ("first_step", "topology") and old.get(name) != new[name]]
    require(not other, "Recorder", f"{path} holds a recording with other values of: {', '.join(other)}",
            "Go on with the same System and settings, or choose another path")
