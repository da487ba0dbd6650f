# SPDX-License-Identifier: MIT
"""REQUIRE_PLATFORMS names the platforms that must be there, with a device and our kernels; any other is a failure."""

import os

import numpy as np
import openmm
import pytest

from openmmgrad import LearnablePairForce
from openmmgrad.contexts import find_platform

REQUIRED = [name for name in os.environ.get("REQUIRE_PLATFORMS", "Reference,CPU").split(",") if name]


@pytest.mark.parametrize("name", REQUIRED)
def test_a_required_platform_computes_our_force(name):
    force = LearnablePairForce(1, 0.9, 8)
    force.setCoefficients(0, 0, np.r_[np.linspace(3.0, 1.0, 5), 0, 0, 0])
    force.addParticles(np.zeros(4, dtype=int))
    system = openmm.System()
    for _ in range(4):
        system.addParticle(1.0)
    system.addForce(force)
    energies = []
    for platform in (name, "Reference"):
        context = openmm.Context(system, openmm.VerletIntegrator(0.001), find_platform(platform, "REQUIRE_PLATFORMS"))
        context.setPositions(np.eye(4, 3) * 0.5)
        energies.append(context.getState(energy=True).getPotentialEnergy()._value)
    assert energies[1] > 1.0
    assert energies[0] == pytest.approx(energies[1], rel=1e-5)


def test_who_requires_nothing_is_not_heard():
    assert REQUIRED
