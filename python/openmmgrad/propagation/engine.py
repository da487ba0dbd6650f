# SPDX-License-Identifier: MIT
"""Engine: one Context in which windows run forwards and backwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import openmm

from ..contexts import find_platform
from ..integrators import NoseHooverChainIntegrator
from ..model import Model
from ..platforms import parse, properties
from ..plugin import ForceDerivatives, TrajectorySweep
from .system import copy_integrator, prepare
from .torch_products import TorchProduct, torch_modules

#: How far differences move the fastest particle, nm: near the best by measurement. Longer steps meet the curvature of
#: bonds; shorter ones divide the noise of single precision, and force jumps at cutoffs, by less.
DISPLACEMENT = {"smooth": 3e-6, "rough on Reference": 1e-4, "rough on CPU": 1e-3, "rough on a GPU": 1e-4}
#: The same for parameters, in units of their natural scale.
PARAMETER_STEP = {"double": 1e-5, "single": 2e-3}

PIECE = 256  # steps that are run at a time where every position is kept
TOGETHER = 2**30  # bytes that windows which are swept back together may take


@dataclass(frozen=True)
class Settings:
    """What all engines of a Propagator have in common; `openmmgrad.propagate` says what the names mean."""

    integrator: openmm.Integrator
    platform: str
    threads: int | None
    displacement: float
    differences: str
    parameters: tuple[str, ...]
    controls: tuple[str, ...]

    @property
    def precision(self) -> str:
        """Of the platform's forces, and of parameters of Forces, which GPUs keep in single precision always."""
        return "double" if self.platform == "Reference" else "single"

    @property
    def like(self) -> str:
        """The platform whose forces are as rough: Reference for a GPU in double precision."""
        return "Reference" if parse(self.platform).in_double else self.platform


@dataclass
class State:
    """Where a trajectory stands: positions and velocities [N, 3] as the integrator has them, chain momenta [M]."""

    x: np.ndarray
    v: np.ndarray
    p: np.ndarray


@dataclass
class Piece:
    """Consecutive states of a trajectory: x, v [n + 1, N, 3] and p [n + 1, M].

    ``history`` names the run whose states the device may still have, of which ``begin`` is the first here; -1: none.
    """

    x: np.ndarray
    v: np.ndarray
    p: np.ndarray
    history: int = -1
    begin: int = 0

    @property
    def last(self) -> State:
        """The state to go on from."""
        return State(self.x[-1].copy(), self.v[-1].copy(), self.p[-1].copy())


@dataclass
class Reversal:
    """What one window wants of `Engine.reverse`; g and g_controls are changed in place."""

    first: int
    controls: np.ndarray
    piece: Piece
    x_rows: np.ndarray
    v_rows: np.ndarray
    g_x: np.ndarray
    g_v: np.ndarray
    g: Cotangents
    g_controls: np.ndarray
    box: np.ndarray | None


@dataclass
class Cotangents:
    """Derivatives of the loss: of a state, x, v [N, 3] and p [M], and sums for coefficients [F] and parameters [P]."""

    x: np.ndarray
    v: np.ndarray
    p: np.ndarray
    coefficients: np.ndarray
    parameters: np.ndarray


class Engine:
    """One Context of a Model's System, with the sweep that runs and differentiates its steps."""

    def __init__(self, model: Model, temperature: float, settings: Settings, box: np.ndarray | None) -> None:
        self.settings = settings
        prepared = prepare(model, temperature, (*settings.parameters, *settings.controls), settings.like)
        self._prepared = prepared  # owns the forces
        if box is not None:
            prepared.system.setDefaultPeriodicBoxVectors(*box)
        integrator = copy_integrator(settings.integrator, None, prepared.system)
        platform = find_platform(settings.platform, "propagate")
        given = properties(settings.platform, settings.threads)
        self.integrator, self.context = integrator, openmm.Context(prepared.system, integrator, platform, given)
        self.n_particles = prepared.system.getNumParticles()
        self.n_coefficients, self.n_parameters = model.n_features, len(prepared.parameters)
        self._columns = np.concatenate([np.arange(0), *(np.r_[term.columns] for term, _ in prepared.pair_forces)])
        self._box: np.ndarray | None = None
        modules = torch_modules(model, temperature)
        self.products = [TorchProduct(module, periodic, lambda: self._box) for module, periodic in modules]
        self._derivatives = self._make_derivatives(model)
        self._sweep, self.n_links = self._make_sweep()

    @property
    def noisy(self) -> bool:
        """Whether steps draw random numbers."""
        return isinstance(self.integrator, openmm.LangevinMiddleIntegrator)

    def _make_derivatives(self, model: Model) -> ForceDerivatives:
        settings, prepared = self.settings, self._prepared
        derivatives = ForceDerivatives(self.context)
        for _, built in prepared.pair_forces:
            derivatives.addPairForce(built.force)
        for product in self.products:
            derivatives.addForceProduct(product)
        where = settings.like if settings.like in ("Reference", "CPU") else "a GPU"
        for groups, kind in ((prepared.smooth_groups, "smooth"), (prepared.rough_groups, f"rough on {where}")):
            if groups:
                distance = settings.displacement * DISPLACEMENT[kind]
                if kind != "smooth" and self._one_sided():
                    derivatives.addOneSidedDifferences(groups, distance, settings.differences == "alternating")
                else:
                    derivatives.addDifferences(groups, distance)
        for name, groups, closed in prepared.parameters:
            scale = model.parameter_scales.get(name, abs(self.context.getParameter(name)) or 1.0)
            derivatives.addParameter(name, groups, 0.0 if closed else PARAMETER_STEP[settings.precision] * scale)
        return derivatives

    def _one_sided(self) -> bool:
        """Whether differences of the rough groups start from the forces that the steps had."""
        if self.settings.differences == "central" or self.products:
            return False
        system, groups = self._prepared.system, self._prepared.rough_groups
        massless = (i for i in range(self.n_particles) if system.getParticleMass(i)._value == 0)
        return (all(system.isVirtualSite(i) for i in massless)
                and not any(closed and bits & groups for _, bits, closed in self._prepared.parameters))

    def _make_sweep(self) -> tuple[TrajectorySweep, int]:
        if isinstance(self.integrator, NoseHooverChainIntegrator):
            sweep = TrajectorySweep(self._derivatives, TrajectorySweep.NoseHoover, 0.0)
            masses = np.array(self.integrator.chain_masses)
            sweep.setChain(self.integrator.kT, self.integrator.degrees_of_freedom, masses)
            links = len(masses)
        elif self.noisy:
            friction = self.integrator.getFriction()._value
            sweep, links = TrajectorySweep(self._derivatives, TrajectorySweep.LangevinMiddle, friction), 0
        else:
            sweep, links = TrajectorySweep(self._derivatives, TrajectorySweep.Verlet, 0.0), 0
        first = len(self.settings.parameters)
        sweep.setControls(np.arange(first, first + len(self.settings.controls), dtype=np.intc))
        return sweep, links

    def load(self, coefficients: np.ndarray, parameters: dict[str, float]) -> None:
        """Bring parameters into the Context: coefficients [F], kJ/mol, and global parameters by name."""
        for term, built in self._prepared.pair_forces:
            built.set_coefficients(coefficients[term.columns].reshape(term.shape))
            built.update(self.context)
        self._parameters = parameters
        self._apply_parameters()

    def _apply_parameters(self) -> None:
        for name, value in self._parameters.items():
            self.context.setParameter(name, value)

    def begin(self, box: np.ndarray | None, seed: int | None) -> None:
        """Before a window, or a piece of one that draws its own noise: the box, and the noise's seed."""
        if seed is not None and not self._sweep._startNoise(seed):
            self.integrator.setRandomNumberSeed(seed)
            self.context.reinitialize()
            self._apply_parameters()
            self._box = None
        if box is not None and not np.array_equal(box, self._box):
            self.context.setPeriodicBoxVectors(*box)
            self._box = box

    def start(self, x: np.ndarray, v: np.ndarray, controls: np.ndarray) -> State:
        """The state in which the integrator begins at positions and velocities [N, 3] of one time."""
        v = np.array(v)
        self._sweep.start(np.ascontiguousarray(x), v, np.ascontiguousarray(controls[:1]))
        return State(np.array(x), v, np.zeros(self.n_links))

    def run(self, first: int, controls: np.ndarray, state: State, v_at: np.ndarray | None, x_at: np.ndarray,
            hold: bool, x: np.ndarray | None = None, v: np.ndarray | None = None) -> Piece:
        """Steps first, first + 1, .. with their controls [n, C]; x and v [n + 1, N, 3] are where to write them.

        Velocities are read at the states v_at, the first and the last only (None: at all); others are not set. A device
        need set no more positions than those of the states x_at, the first and the last; if it is to hold the others
        for `reverse`, `release` its history in the end.
        """
        n = len(controls)
        wanted = np.full(n + 1, v_at is None, dtype=np.intc)
        wanted[-1] = True
        if v_at is not None:
            wanted[v_at] = True
        shown = np.zeros(n + 1, dtype=np.intc)
        shown[x_at], shown[-1] = True, True
        shape = (n + 1, self.n_particles, 3)
        x = np.empty(shape) if x is None else x
        v = np.empty(shape) if v is None else v
        p = np.empty((n + 1, self.n_links))
        x[0], v[0], p[0] = state.x, state.v, state.p
        history = self._sweep.run(first, n, np.ascontiguousarray(controls), wanted, x, v, p, shown, hold)
        return Piece(x, v, p, history)

    def release(self, history: int) -> None:
        """The states of a run are needed no more."""
        self._sweep._release(history)

    def no_cotangents(self) -> Cotangents:
        """Zeros."""
        shape = (self.n_particles, 3)
        return Cotangents(np.zeros(shape), np.zeros(shape), np.zeros(self.n_links), np.zeros(self.n_coefficients),
                          np.zeros(self.n_parameters))

    @property
    def together(self) -> int:
        """Windows that are swept back at a time: as many as TOGETHER bytes hold on a device, else 1."""
        if not self._sweep._sweepsTogether():
            return 1
        return int(np.clip(TOGETHER // (PIECE * self.n_particles * 64), 1, 64))

    @property
    def on_device(self) -> bool:
        """Whether states stay on the device of the platform."""
        return self._sweep._usesDevice()

    def reverse(self, windows: list[Reversal]) -> None:
        """The adjoint of `run` (and of `start`, where first is 0): takes each g from the last state to the first.

        Rows [n + 1] say which row of g_x and g_v [rows, N, 3] is the outer cotangent of a state, -1 for none. Several
        windows must be of the same steps and show the same states.
        """
        of_pair_forces = np.zeros(len(self._columns))
        if len(windows) > 1:
            for one in windows:
                self.begin(one.box, None)
                self._sweep._addWindow(one.piece.x, one.g_x, one.g_v, one.g.x, one.g.v, one.piece.history,
                                       one.piece.begin)
            one = windows[0]
            self._sweep._reverseTogether(one.first, len(one.controls), one.x_rows, one.v_rows, of_pair_forces)
        else:
            (one,) = windows
            self.begin(one.box, None)
            piece, g = one.piece, one.g
            self._sweep.reverse(one.first, len(one.controls), np.ascontiguousarray(one.controls), piece.x, piece.v,
                                piece.p, one.x_rows, one.v_rows, one.g_x, one.g_v, g.x, g.v, g.p, of_pair_forces,
                                g.parameters, one.g_controls, piece.history, piece.begin)
        one.g.coefficients[self._columns] += of_pair_forces
