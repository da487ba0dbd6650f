# SPDX-License-Identifier: MIT
"""What tests of a graphics processor share: the platform under test, and the same System on it and on Reference."""

import os

import numpy as np
import openmm

from openmmgrad.contexts import find_platform
from openmmgrad.platforms import properties

#: OpenCL, which PoCL offers without a graphics processor; OPENMMGRAD_TEST_PLATFORM=CUDA where there is one.
PLATFORM = os.environ.get("OPENMMGRAD_TEST_PLATFORM", "OpenCL")
PRECISIONS = ("single", "mixed", "double")
#: Relative errors. A distance in single precision is known to 1e-7 nm, which u'' makes 1e-5 of a force; OpenMM adds
#: forces in multiples of 2^-32 kJ/mol/nm; our own integers are finer.
TOLERANCE = {
    "single": dict(energy=2e-6, forces=2e-5, derivatives=2e-5),
    "mixed": dict(energy=2e-6, forces=2e-5, derivatives=2e-5),
    "double": dict(energy=1e-12, forces=1e-9, derivatives=1e-10),
}


def make_context(system: openmm.System, platform: str, positions: np.ndarray) -> openmm.Context:
    """Platform as in `openmmgrad.platforms.parse`; the Context holds its System, which owns the forces."""
    integrator = openmm.LangevinMiddleIntegrator(300.0, 1.0, 0.001)
    integrator.setRandomNumberSeed(11)
    context = openmm.Context(system, integrator, find_platform(platform, "tests"), properties(platform, 1))
    context.held = system
    context.setPositions(positions)
    return context


def evaluate(context: openmm.Context, force, direction: np.ndarray) -> dict[str, np.ndarray]:
    """All that a LearnablePairForce computes; energy and forces are those of its force group."""
    state = context.getState(energy=True, forces=True, groups={force.getForceGroup()})
    product, parameter_product = force.computeHessianVectorProduct(context, direction)
    virial, trace_derivatives = force.computeVirial(context)
    return {
        "energy": np.array([state.getPotentialEnergy()._value]),
        "forces": state.getForces(asNumpy=True)._value.copy(),
        "dU/dc": np.asarray(force.computeCoefficientDerivatives(context)),
        "product": np.asarray(product),
        "parameter product": np.asarray(parameter_product),
        "virial": np.asarray(virial),
        "trace derivatives": np.asarray(trace_derivatives),
    }


def assert_agree(found: dict, expected: dict, precision: str) -> None:
    for name, value in expected.items():
        error = np.linalg.norm(found[name] - value) / np.linalg.norm(value)
        allowed = TOLERANCE[precision].get(name, TOLERANCE[precision]["derivatives"])
        assert error < allowed, f"{name} in {precision} precision: relative error {error:.2g}, allowed {allowed:g}"


def atom_order(context: openmm.Context, n: int) -> np.ndarray:
    """Which particle of the System stands where on the device, from a checkpoint: [N]."""
    data, padded = context.createCheckpoint(), 32 * ((n + 31) // 32)
    for offset in range(4):
        numbers = np.frombuffer(data, np.int32, count=(len(data) - offset) // 4, offset=offset)
        inside = np.concatenate([[0], np.cumsum((numbers >= 0) & (numbers < padded))])
        for start in np.flatnonzero(inside[padded:] - inside[:-padded] == padded):
            if (np.sort(numbers[start : start + padded]) == np.arange(padded)).all():
                return numbers[start : start + n]
    raise AssertionError("found no order of particles in the checkpoint")
