# SPDX-License-Identifier: MIT
"""Run by test_cuda_compiles.py with the fake driver: calls everything of the CUDA kernels, prints what they launched.

    python cuda_program.py single|mixed|double
"""

import json
import os
import sys
from collections.abc import Callable

import numpy as np
import openmm

from openmmgrad.plugin import LearnablePairForce

N, K = 50, 12
TRICLINIC = ([2.2, 0, 0], [0.4, 2.1, 0], [-0.3, 0.5, 2.0])


def launched() -> list[str]:
    """Kernels so far, in order."""
    with open(os.environ["FAKE_CUDA_LOG"]) as file:
        return [line.split()[1] for line in file if line.startswith("launched")]


def force_of(n_types: int, periodic: bool, excluded: bool, grouped: bool) -> LearnablePairForce:
    """A spline of 12 coefficients for each pair of types."""
    force = LearnablePairForce(n_types, 0.8, K)
    force.setNonbondedMethod(force.CutoffPeriodic if periodic else force.CutoffNonPeriodic)
    for a in range(n_types):
        for b in range(a, n_types):
            force.setCoefficients(a, b, np.r_[np.linspace(3.0 + a + b, 0.5, K - 3), 0, 0, 0])
    force.addParticles(np.arange(N) % n_types)
    if excluded:
        for i in range(0, N - 1, 2):
            force.addExclusion(i, i + 1)
    if grouped:
        force.addInteractionGroup(list(range(20)), list(range(10, 40)))
    return force


CASES = {
    "one type": dict(n_types=1, periodic=True, excluded=False, grouped=False),
    "three types, exclusions, triclinic": dict(n_types=3, periodic=True, excluded=True, grouped=False),
    "open, exclusions, groups": dict(n_types=2, periodic=False, excluded=True, grouped=True),
}


def calls(context: openmm.Context, force: LearnablePairForce) -> dict[str, Callable[[], object]]:
    """What the kernels can be asked for."""
    return {
        "energy and forces": lambda: context.getState(energy=True, forces=True),
        "dynamics": lambda: context.getIntegrator().step(3),
        "coefficient derivatives": lambda: force.computeCoefficientDerivatives(context),
        "Hessian-vector product": lambda: force.computeHessianVectorProduct(context, np.ones((N, 3))),
        "virial": lambda: force.computeVirial(context),
        "new coefficients": lambda: force.updateParametersInContext(context),
    }


def main() -> None:
    """One precision, every case."""
    platform = openmm.Platform.getPlatformByName("CUDA")
    found = {}
    for name, options in CASES.items():
        system = openmm.System()
        for _ in range(N):
            system.addParticle(1.0)
        system.setDefaultPeriodicBoxVectors(*(TRICLINIC if "triclinic" in name else 2.2 * np.eye(3)))
        force = force_of(**options)
        system.addForce(force)
        context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform, {"Precision": sys.argv[1]})
        context.setPositions(np.random.default_rng(0).random((N, 3)) * 2)
        found[name] = {}
        for label, call in calls(context, force).items():
            before = len(launched())
            call()
            found[name][label] = launched()[before:]
        del context
    print(json.dumps(found))


if __name__ == "__main__":
    main()
