# SPDX-License-Identifier: MIT
"""Sweeps of the plugin's own classes, on a device and on the host, for tests of the one against the other."""

from dataclasses import dataclass

import numpy as np
import openmm
from pair_systems import PairSystem

from openmmgrad.plugin import ForceDerivatives, TrajectorySweep

MASS, DT = 39.948, 0.002


@dataclass
class Swept:
    """States x, v [n + 1, N, 3]; cotangents of the first, and of the coefficients."""

    x: np.ndarray
    v: np.ndarray
    gx: np.ndarray
    gv: np.ndarray
    coefficients: np.ndarray

    @property
    def gradients(self):
        return self.gx, self.gv, self.coefficients


class Sweep:
    """A PairSystem's Context with a TrajectorySweep; rough coefficients, so that every interval counts."""

    def __init__(self, case: str, platform: str, precision: str | None = None, n: int = 60, on_device: bool = True,
                 memory: float = 2.0**30, spread: float = 1.0) -> None:
        self.pairs = PairSystem(case, n=n)
        self.pairs.positions *= spread
        self.built = self.pairs.built("native", 30 * self.pairs.coefficients())
        system = openmm.System()
        for _ in range(n):
            system.addParticle(MASS)
        if self.pairs.box is not None:
            system.setDefaultPeriodicBoxVectors(*(spread * self.pairs.box))
        system.addForce(self.built.force)
        self.context = openmm.Context(system, openmm.VerletIntegrator(DT), openmm.Platform.getPlatformByName(platform),
                                      {} if precision is None else {"Precision": precision})
        self.system, self.n = system, n
        self.derivatives = ForceDerivatives(self.context)
        self.derivatives.addPairForce(self.built.force)
        self.sweep = TrajectorySweep(self.derivatives, TrajectorySweep.Verlet, 0.0)
        self.sweep._setDevice(on_device, memory)

    def run(self, n_steps: int) -> tuple[np.ndarray, np.ndarray, int]:
        """States of a window, and its name on the device."""
        rng = np.random.default_rng(1)
        x, v, none = np.empty((n_steps + 1, self.n, 3)), np.zeros((n_steps + 1, self.n, 3)), np.zeros((n_steps, 0))
        x[0], v[0] = self.pairs.positions, rng.normal(size=(self.n, 3)) * 0.3
        self.sweep.start(x[0].copy(), v[0], none)
        all_of_them = np.ones(n_steps + 1, dtype=np.intc)
        history = self.sweep.run(0, n_steps, none, all_of_them, x, v, np.empty((n_steps + 1, 0)), all_of_them, False)
        return x, v, history

    def reverse(self, x: np.ndarray, v: np.ndarray, history: int = -1) -> Swept:
        """Of a loss that knows every position and every third velocity."""
        n_steps, rng = len(x) - 1, np.random.default_rng(2)
        outer_x, outer_v = rng.normal(size=(2, n_steps + 1, self.n, 3))
        x_rows = np.arange(n_steps + 1, dtype=np.intc)
        v_rows = np.where(x_rows % 3 == 0, x_rows, -1).astype(np.intc)
        none, gx, gv = np.zeros((n_steps, 0)), np.zeros((self.n, 3)), np.zeros((self.n, 3))
        coefficients = np.zeros(self.derivatives.getNumCoefficients())
        self.sweep.reverse(0, n_steps, none, x, v, np.empty((n_steps + 1, 0)), x_rows, v_rows, outer_x, outer_v, gx, gv,
                           np.zeros(0), coefficients, np.zeros(0), none, history, 0)
        return Swept(x, v, gx, gv, coefficients)


def relative(found, expected) -> float:
    """Largest deviation over the largest value, of each array or tensor; what is expected to be zero must be."""
    return max(float(abs(f - e).max() / max(abs(e).max(), 1e-300)) for f, e in zip(found, expected, strict=True))
