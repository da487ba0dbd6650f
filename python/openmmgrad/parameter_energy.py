# SPDX-License-Identifier: MIT
"""Energies of stored frames as functions of global parameters, in one Context that holds the Forces concerned."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np
import openmm
import torch
from torch import Tensor

from .contexts import find_platform
from .errors import require
from .frames import Frames
from .global_parameters import analytic, forces_of, moves_dispersion, request_derivatives, set_defaults
from .platforms import properties

STEP = 5e-3  # of a parameter's scale: its fourth power for r^-12 is 2e-7 of the derivative
STENCIL = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}  # f' = sum of weight * f(x + k h) / h, error h^4 f'''''/30
KEPT = 8  # energies of frames that are remembered, beside those of the frames' own states


class ParameterEnergy:
    r"""U_par(x_s; theta): the energy of the Forces that have learnt parameters, and its derivatives.

    The derivative with respect to a parameter is OpenMM's own where every Force that has it reports one, and a
    central difference of fourth order in steps of STEP times the parameter's scale elsewhere. Energies are
    remembered per frames and theta, so that equal parameters give equal bits.

    Parameters
    ----------
    system
        Of the Model; its Forces with a learnt parameter are copied. Constraints and virtual sites are left out: the
        frames' positions obey them.
    scales
        {name: size of a natural change} of all learnt parameters.
    platform, threads
        An OpenMM platform by name; threads of the CPU platform (None: OpenMM's choice).
    """

    def __init__(self, system: openmm.System, scales: Mapping[str, float], platform: str = "CPU",
                 threads: int | None = 1) -> None:
        self.names = list(scales)
        self._steps = STEP * np.array([scales[name] for name in self.names])
        held = openmm.System()
        for i in range(system.getNumParticles()):
            held.addParticle(system.getParticleMass(i))
        held.setDefaultPeriodicBoxVectors(*system.getDefaultPeriodicBoxVectors())
        for index in sorted({index for name in self.names for index in forces_of(system, name)}):
            held.addForce(copy.deepcopy(system.getForce(index)))
        self._analytic = [g for g, name in enumerate(self.names) if analytic(held, name)]
        for g in self._analytic:
            request_derivatives(held, self.names[g])
        self._by_difference = [g for g in range(len(self.names)) if g not in self._analytic]
        self._renewed = moves_dispersion(held, self.names)  # then a Context is right for the parameters it began with
        self._periodic = held.usesPeriodicBoundaryConditions()
        given = properties(platform, threads)
        self._system = held
        self._context = openmm.Context(held, openmm.VerletIntegrator(0.001),
                                       find_platform(platform, "potential_energies"), given)
        self._remembered: WeakKeyDictionary[Frames, OrderedDict] = WeakKeyDictionary()

    def energies(self, frames: Frames, values: np.ndarray) -> np.ndarray:
        """U_par of every frame at theta [G], [S], kJ/mol."""
        return self._at(frames, values)["energies"]

    def derivatives(self, frames: Frames, values: np.ndarray) -> np.ndarray:
        """dU_par/dtheta of every frame at theta [G], [S, G], kJ/mol per unit of the parameter."""
        row = self._at(frames, values)
        if "derivatives" not in row:
            total = np.zeros((len(frames), len(self.names)))
            total[:, self._analytic] = row["analytic"]
            moved = [(g, k, weight) for g in self._by_difference for k, weight in STENCIL.items()]
            points = [values + k * self._steps * (np.arange(len(values)) == g) for g, k, _ in moved]
            energies, _ = self._evaluate(frames, points)
            for (g, _, weight), energy in zip(moved, energies, strict=True):
                total[:, g] += weight * energy / self._steps[g]
            row["derivatives"] = total
        return row["derivatives"]

    def _at(self, frames: Frames, values: np.ndarray) -> dict[str, np.ndarray]:
        rows = self._remembered.setdefault(frames, OrderedDict())
        key = np.asarray(values, dtype=float).tobytes()
        if key not in rows:
            energies, derivatives = self._evaluate(frames, [values])
            rows[key] = {"energies": energies[0], "analytic": derivatives[0]}
        rows.move_to_end(key)
        while len(rows) > KEPT + len(frames.states):
            rows.popitem(last=False)
        return rows[key]

    def _set(self, values: np.ndarray) -> None:
        """Bring the Context to parameters [G]."""
        point = dict(zip(self.names, map(float, values), strict=True))
        if self._renewed:
            set_defaults(self._system, point)
            self._context.reinitialize()
        for name, value in point.items():
            self._context.setParameter(name, value)

    def _evaluate(self, frames: Frames, points: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Energies [R, S] and analytic derivatives [R, S, A] at R points."""
        who, context, n = "weights", self._context, self._system.getNumParticles()
        require(frames.n_atoms == n, who, f"expected frames of {n} particles, found {frames.n_atoms}",
                "Use frames of the same System")
        require(frames.boxes is not None or not self._periodic, who,
                "the Forces with learnt parameters are periodic and the frames have no boxes",
                "Pass boxes= where the frames are made")
        names = [self.names[g] for g in self._analytic]
        energies = np.zeros((len(points), len(frames)))
        derivatives = np.zeros((len(points), len(frames), len(names)))
        for p, values in enumerate(points):
            self._set(values)
            for s in range(len(frames)):
                if frames.boxes is not None:
                    context.setPeriodicBoxVectors(*frames.boxes[s])
                context.setPositions(np.asarray(frames.positions[s]))
                state = context.getState(energy=True, parameterDerivatives=bool(names))
                energies[p, s] = state.getPotentialEnergy()._value
                if names:
                    found = state.getEnergyParameterDerivatives()
                    derivatives[p, s] = [found[name] for name in names]
        bad = np.argwhere(~np.isfinite(energies))
        require(len(bad) == 0, who,
                f"the energy of frame {bad[0][1] if len(bad) else 0} is not finite at parameters "
                f"{dict(zip(self.names, map(float, points[bad[0][0]]), strict=True)) if len(bad) else {}}",
                "Restore the last good parameters, or give a smaller scale to parameters near a bound")
        return energies, derivatives


class EnergyOfParameters(torch.autograd.Function):
    """theta [G] -> U_par(x_s; theta) [S], kJ/mol; first derivatives only."""

    @staticmethod
    def forward(ctx, values: Tensor, evaluator: ParameterEnergy, frames: Frames) -> Tensor:
        """Energies of stored frames."""
        ctx.evaluator, ctx.frames, ctx.point = evaluator, frames, values.detach().numpy().copy()
        return torch.as_tensor(evaluator.energies(frames, ctx.point).copy())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Gradient [S] times dU_par/dtheta [S, G]."""
        return gradient @ torch.as_tensor(ctx.evaluator.derivatives(ctx.frames, ctx.point)), None, None
