# SPDX-License-Identifier: MIT
"""Langevin dynamics in the plane: x and y move, z does not."""

from __future__ import annotations

import math

import numpy as np
import openmm

from .errors import require
from .units import KB

IN_PLANE = np.array([1.0, 1.0, 0.0])


def planar_integrator(temperature: float, friction: float, timestep: float) -> openmm.CustomIntegrator:
    """The splitting of `openmm.LangevinMiddleIntegrator` for x and y; z and its velocity do not change by a bit.

    Units K, 1/ps, ps. Call `start_in_plane` with each Context before the first step.

    References
    ----------
    [1] Z. Zhang, X. Liu, K. Yan, M. E. Tuckerman, J. Liu, J. Phys. Chem. A 123, 6056 (2019), the "middle" scheme.
    """
    integrator = openmm.CustomIntegrator(timestep)
    kept = math.exp(-friction * timestep)
    integrator.addGlobalVariable("kept", kept)
    integrator.addGlobalVariable("noise", math.sqrt((1 - kept**2) * KB * temperature))
    integrator.addPerDofVariable("plane", 0.0)
    integrator.addPerDofVariable("before", 0.0)
    integrator.addUpdateContextState()
    integrator.addComputePerDof("v", "v + plane*dt*f/m")
    integrator.addConstrainVelocities()
    integrator.addComputePerDof("x", "x + 0.5*dt*v")
    integrator.addComputePerDof("v", "kept*v + plane*noise*gaussian/sqrt(m)")
    integrator.addComputePerDof("x", "x + 0.5*dt*v")
    integrator.addComputePerDof("before", "x")
    integrator.addConstrainPositions()
    integrator.addComputePerDof("v", "v + (x-before)/dt")
    return integrator


def start_in_plane(context: openmm.Context, positions: np.ndarray) -> None:
    """Put every particle back to the z of positions [N, 3] (nm), and take its velocity in z away."""
    state = context.getState(positions=True, velocities=True)
    x = np.array(state.getPositions(asNumpy=True)._value)
    x[:, 2] = positions[:, 2]
    context.setPositions(x)
    context.setVelocities(state.getVelocities(asNumpy=True)._value * IN_PLANE)
    context.getIntegrator().setPerDofVariableByName("plane", np.broadcast_to(IN_PLANE, x.shape).tolist())


def require_planar(system: openmm.System, positions: np.ndarray, pressure: float | None) -> None:
    """Refuse what would move particles in z: barostats, and constraints that are not parallel to the plane."""
    who = "Ensemble(dimensions=2)"
    barostats = [type(force).__name__ for force in system.getForces() if "Barostat" in type(force).__name__]
    require(pressure is None and not barostats, who, "found a pressure, and barostats scale z",
            "Keep the area constant: pressure=None, and no barostat in the System")
    for k in range(system.getNumConstraints()):
        i, j, _ = system.getConstraintParameters(k)
        require(positions[i, 2] == positions[j, 2], who,
                f"the constraint between particles {i} and {j} is not parallel to the plane: z = "
                f"{positions[i, 2]:.6g} and {positions[j, 2]:.6g} nm", "Start both at one z, or leave it out")
