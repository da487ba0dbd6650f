# SPDX-License-Identifier: MIT
"""Run by test_cuda_compiles.py with the fake driver: sweeps forwards and back; prints what they asked of the driver.

    python cuda_sweep_program.py single|mixed|double
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
import openmm
from cuda_program import CASES, TRICLINIC, N, force_of

from openmmgrad.plugin import ForceDerivatives, TrajectorySweep


def others() -> list[openmm.Force]:
    """A bond with an energy derivative, charges with a parameter that is differenced, and a CMMotionRemover."""
    bond = openmm.CustomBondForce("0.5*k*(r-0.2)^2")
    bond.addGlobalParameter("k", 10.0)
    bond.addEnergyParameterDerivative("k")
    bond.addBond(0, 1)
    charges = openmm.NonbondedForce()
    charges.setNonbondedMethod(openmm.NonbondedForce.CutoffNonPeriodic)
    charges.setCutoffDistance(0.8)
    charges.addGlobalParameter("dq", 0.0)
    for i in range(N):
        charges.addParticle(0.1 * (-1) ** i, 0.3, 0.0)
        charges.addParticleParameterOffset("dq", i, (-1) ** i, 0.0, 0.0)
    for i in range(0, N - 1, 2):
        charges.addException(i, i + 1, 0.0, 1.0, 0.0)
    for group, force in enumerate((bond, charges), 1):
        force.setForceGroup(group)
    return [bond, charges, openmm.CMMotionRemover(2)]


def calls(function: Callable[[], object]) -> dict[str, int]:
    """How often each kernel was launched, and "read" and "waited": the host for the device."""
    size = os.path.getsize(os.environ["FAKE_CUDA_LOG"])
    function()
    with open(os.environ["FAKE_CUDA_LOG"]) as file:
        file.seek(size)
        words = [line.split() for line in file]
    return Counter(line[1] if line[0] == "launched" else line[0] for line in words if line[0] != "compiled")


def sweep(options: dict, box: np.ndarray, with_others: bool) -> dict[str, dict[str, int]]:
    """Calls of windows of three lengths."""
    system = openmm.System()
    for _ in range(N):
        system.addParticle(1.0)
    system.setDefaultPeriodicBoxVectors(*box)
    force = force_of(**options)
    system.addForce(force)
    for other in others() if with_others else ():
        system.addForce(other)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("CUDA"),
                             {"Precision": sys.argv[1]})
    context.setPositions(np.random.default_rng(0).random((N, 3)) * 2)
    derivatives = ForceDerivatives(context)
    derivatives.addPairForce(force)
    if with_others:
        derivatives.addDifferences(0b110, 1e-4)
        derivatives.addParameter("k", 0b010, 0.0)
        derivatives.addParameter("dq", 0b100, 1e-3)
    window = TrajectorySweep(derivatives, TrajectorySweep.Verlet, 0.0)
    found = {}
    for n in (3, 4, 12):  # the first makes the kernels
        found.update(window_of(window, n, derivatives))
    return found


def window_of(window: TrajectorySweep, n: int, derivatives: ForceDerivatives) -> dict[str, dict[str, int]]:
    """Calls of a window of n steps, run and reversed; its states are kept, and given."""
    gx, gv, names = np.zeros((N, 3)), np.zeros((N, 3)), []
    coefficients, parameters = np.zeros(derivatives.getNumCoefficients()), np.zeros(derivatives.getNumParameters())
    x, v, none, p = np.zeros((n + 1, N, 3)), np.zeros((n + 1, N, 3)), np.zeros((n, 0)), np.zeros((n + 1, 0))
    outer, rows = np.ones((n + 1, N, 3)), np.arange(n + 1, dtype=np.intc)

    def reverse(name: int) -> None:
        window.reverse(0, n, none, x, v, p, rows, rows, outer, outer, gx, gv, np.zeros(0), coefficients, parameters,
                       none, name, 0)

    found = {f"run {n}": calls(lambda: names.append(window.run(0, n, none, rows, x, v, p, rows + 1, False))),
             f"reverse {n}": calls(lambda: reverse(names[0])), f"reverse {n} of the host": calls(lambda: reverse(-1))}
    assert window._usesDevice() and names[0] >= 0
    return found


def main() -> None:
    """One precision, every case."""
    found = {}
    for name in ("three types, exclusions, triclinic", "open, exclusions, groups"):
        options = CASES[name]
        box = np.array(TRICLINIC) if "triclinic" in name else 2.2 * np.eye(3)
        found[name] = sweep(options, box, with_others="open" in name)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
