# SPDX-License-Identifier: MIT
"""Contexts for the tests: one thread, so that equal runs are equal bit by bit."""

import numpy as np
import openmm

NAMES = ("Reference", "CPU")


def context(system: openmm.System, platform: str, positions=None, timestep: float = 0.001) -> openmm.Context:
    """A Context with a VerletIntegrator (ps)."""
    properties = {"Threads": "1"} if platform == "CPU" else {}
    made = openmm.Context(system, openmm.VerletIntegrator(timestep), openmm.Platform.getPlatformByName(platform),
                          properties)
    made.held = system  # a force lives as long as its System
    if positions is not None:
        made.setPositions(positions)
    return made


def energy_and_forces(made: openmm.Context) -> tuple[float, np.ndarray]:
    """kJ/mol and [N, 3] in kJ/mol/nm."""
    state = made.getState(energy=True, forces=True)
    return state.getPotentialEnergy()._value, state.getForces(asNumpy=True)._value.copy()
