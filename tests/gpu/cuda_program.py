# SPDX-License-Identifier: MIT
"""Run by test_cuda_compiles.py with the fake driver: calls everything of the CUDA kernels, prints what they launched.

    python cuda_program.py single|mixed|double
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openmm
import torch

import openmmgrad as og
from openmmgrad.plugin import LearnablePairForce

sys.path.insert(0, str(Path(__file__).parents[1]))
from device_sweeps import Sweep  # noqa: E402

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


def swept(case: str, precision: str) -> None:
    """A window and its adjoint, from states that the device kept and from states that it is given."""
    sweep = Sweep(case, "CUDA", precision)
    assert sweep.sweep._usesDevice()
    x, v, history = sweep.run(4)
    sweep.reverse(x, v, history)
    sweep.reverse(x, v)


def propagated(integrator: openmm.Integrator, precision: str) -> None:
    """Two windows at once, with forces beside the pairs, whose parameters are learnt: one in closed form, one not."""
    system, bond, charges = openmm.System(), openmm.CustomBondForce("0.5*k*(r-0.2)^2"), openmm.NonbondedForce()
    charges.setNonbondedMethod(charges.CutoffPeriodic)
    charges.setCutoffDistance(0.8)
    charges.addGlobalParameter("q", 0.1)
    for i in range(N):
        system.addParticle(39.948)
        charges.addParticle(0.0, 0.3, 0.5)
        charges.addParticleParameterOffset("q", i, (-1.0) ** i, 0.0, 0.0)
    system.setDefaultPeriodicBoxVectors(*(2.2 * np.eye(3)))
    bond.addGlobalParameter("k", 1000.0)
    bond.addBond(0, 1)
    for force in (bond, charges):
        system.addForce(force)
    model = og.Model(system)
    model.add_pair_potential(og.LennardJones(0.3, 1.0, cutoff=0.8))
    model.add_parameters({"k": 1000.0, "q": 0.1})
    x = torch.as_tensor(np.random.default_rng(0).random((2, N, 3)) * 2)
    path = og.propagate(model, n_steps=4, stride=2, initial=(x, torch.zeros_like(x)), platform=f"CUDA:{precision}",
                        temperature=100.0, integrator=integrator)  # fmt: skip
    path.positions.sum().backward()


def main() -> None:
    """One precision, every case."""
    platform = openmm.Platform.getPlatformByName("CUDA")
    precision, found = sys.argv[1], {}
    platform.setPropertyDefaultValue("Precision", precision)

    def recorded(call: Callable[[], object]) -> list[str]:
        before = len(launched())
        call()
        return launched()[before:]

    for name, options in CASES.items():
        system = openmm.System()
        for _ in range(N):
            system.addParticle(1.0)
        system.setDefaultPeriodicBoxVectors(*(TRICLINIC if "triclinic" in name else 2.2 * np.eye(3)))
        force = force_of(**options)
        system.addForce(force)
        context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
        context.setPositions(np.random.default_rng(0).random((N, 3)) * 2)
        found[name] = {label: recorded(call) for label, call in calls(context, force).items()}
        del context
    sweeps = {case: lambda case=case: swept(case, precision) for case in ("all at once", "non-periodic")}
    noisy, chain = openmm.LangevinMiddleIntegrator(100.0, 1.0, 0.002), og.NoseHooverChainIntegrator(100.0, 0.002, 3 * N)
    sweeps |= {"LangevinMiddle": lambda: propagated(noisy, precision),
               "Nose-Hoover": lambda: propagated(chain, precision)}  # fmt: skip
    print(json.dumps({"forces": found, "sweeps": {name: recorded(call) for name, call in sweeps.items()}}))


if __name__ == "__main__":
    main()
