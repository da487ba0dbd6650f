# SPDX-License-Identifier: MIT
"""propagate: trajectories of any OpenMM System as torch tensors with graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import openmm
import torch
from torch import Tensor, nn

from ..contexts import find_platform
from ..errors import require
from ..frames import Frames
from ..global_parameters import available
from ..integrators import NoseHooverChainIntegrator
from ..model import REFERENCE_TEMPERATURE, Model
from ..path import Path
from ..sampling import box_vectors
from ..units import plain
from .buffers import Buffers
from .engine import Engine, Settings
from .function import PropagateFunction, Run
from .system import copy_integrator
from .torch_products import learnt_parameters, torch_modules, version
from .windows import Plan, plan_memory


def propagate(model: Model, frames: Frames | None = None, timestep: float | None = None, n_steps: int = 1000,
              stride: int = 1, **options: Any) -> Path:
    r"""Trajectories that start from frames, as tensors whose backward pass is the exact adjoint of OpenMM's steps.

    One call of a `Propagator`, which says more; make one of those to run many times: it keeps its Contexts.

    Parameters
    ----------
    model
        The Model. Gradients reach its potentials, global parameters and torch energies.
    frames
        S Frames with velocities; or None, with ``initial=(positions, velocities)``.
    timestep
        ps.
    n_steps, stride
        Steps of a window, and steps between two shown states.
    options
        ``initial=`` and ``controls=`` of the call; ``integrator=``, ``observe=``, ``two_sided=``, ``platform=`` and all
        others of `Propagator`.

    Returns
    -------
    Path
        positions and velocities [S, T, N, 3], nm and nm/ps, with graph.

    Raises
    ------
    ValueError, TypeError
        See `Propagator`.

    Examples
    --------
    The energy of a Lennard-Jones pair after 20 steps, differentiated with respect to the potential:

    >>> import openmm, openmmgrad as og
    >>> system = openmm.System()
    >>> for _ in range(2):
    ...     _ = system.addParticle(39.948)
    >>> model = og.Model(system)
    >>> model.add_pair_potential(og.LennardJones(sigma=0.34, epsilon=1.0, cutoff=0.85), periodic=False)
    >>> x0 = torch.tensor([[0.0, 0.0, 0.0], [0.4, 0.0, 0.0]], dtype=torch.float64)
    >>> path = og.propagate(model, timestep=0.002, n_steps=20, initial=(x0, torch.zeros(2, 3)), platform="Reference")
    >>> loss = (path.positions[0, -1, 1, 0] - path.positions[0, -1, 0, 0] - 0.39) ** 2
    >>> loss.backward()
    >>> bool(model.terms[0].potential.sigma.grad != 0)
    True
    """
    initial, controls = options.pop("initial", None), options.pop("controls", None)
    return Propagator(model, timestep, n_steps, stride, **options)(frames, initial=initial, controls=controls)


class Propagator:
    r"""Runs windows of a Model's System and differentiates them: keeps its Contexts, and memory, between calls.

    .. math:: v' = v + \Delta t\, F_\theta(x)/m, \qquad x' = x + \Delta t\, v'

    forwards by OpenMM's own integrator, and backwards by the exact adjoint of these discrete steps: for each step a
    product of the force's Jacobian with the adjoint, in closed form for learnable pair potentials, by autograd for
    torch energies, and by central differences of OpenMM's forces for everything else.

    Parameters
    ----------
    model
        The Model. Gradients reach its potentials, ``model.global_parameters`` and torch energies.
    timestep
        ps; may be left out where an integrator has it.
    n_steps, stride
        Steps of a window, and steps between two shown states: T = n_steps // stride + 1, the first is the frame.
    integrator
        A VerletIntegrator (default), a LangevinMiddleIntegrator or an `openmmgrad.NoseHooverChainIntegrator`. Rigid
        constraints are differentiated exactly with VerletIntegrator, and refused with the others.
    observe
        f(x, v) of pieces [T', N, 3] of one window -> [T', ...]: kept in place of positions and velocities. Each time
        is on its own; a piece may hold any number. An `nn.Module` where it has parameters to learn.
    two_sided
        Also run backwards in time from each frame, for Verlet and the Nose-Hoover chain: T = 2 (n_steps // stride) + 1.
    platform, threads, workers
        An OpenMM platform by name, for OpenCL and CUDA with a precision and a device if wanted ("CUDA:double:0"; else
        "mixed"), threads of each CPU Context, and windows that run at the same time, each in a Context. Default: all
        cores, one window each as far as there are windows.
    max_reverse_steps
        The gradient passes through so many last steps only; the state before them is a constant.
    checkpoint_every, memory
        Steps between checkpoints, from which the reverse sweep runs again what was not kept. Default: keep all
        positions if they fit into ``memory`` bytes, else the square root of n_steps. ``path.memory`` says what was
        done. A LangevinMiddleIntegrator draws other noise from each checkpoint on.
    displacement
        A factor for how far differences move the fastest particle: 1 is 3e-6 nm for smooth forces in double precision,
        1e-3 nm for nonbonded forces on CPU, and 1e-4 nm for others.
    differences
        "central", or "alternating": nonbonded forces are evaluated once and not twice per step of the reverse sweep,
        displaced forwards and backwards in turns, beside the force that moved the step. Half the cost; as exact in
        windows of 50 steps and more, unless cotangents jump from step to step (2e-3 at worst). With VerletIntegrator
        on Reference and CPU; central all the same where torch energies or particles without mass are in the System,
        or parameters with energy derivatives in such forces.
    seed
        Of a LangevinMiddleIntegrator's noise: equal seeds give equal noise, window by window (with equal ``threads``).
    temperature
        K, where potentials take their coefficients. Default: the frames', then the integrator's, then 300 K.
    box
        For ``initial`` without frames: three lengths or vectors, nm. Default: the System's.

    Raises
    ------
    ValueError
        For integrators, Forces, constraints and virtual sites that have no adjoint here, by name; shapes and numbers
        that do not fit; positions that become NaN.

    Notes
    -----
    The gradient is that of the discrete trajectory that was run, and grows with its length as trajectories diverge:
    see `openmmgrad.diagnose_gradient`. It does not contain how likely the frames are: see `openmmgrad.weights`.
    Differences are as accurate as the forces are smooth: switch Lennard-Jones off before its cutoff, and take an Ewald
    tolerance of 1e-5 or less. What remains is the jump of PME's direct sum at the cutoff: an alpha 1.2 times OpenMM's
    choice, with a grid as much finer (setPMEParameters), took errors from 6e-4 to 2e-5 (64 waters, 200 steps).

    References
    ----------
    [1] W. Wang, S. Axelrod, R. Gomez-Bombarelli, arXiv 2003.00868 (2020).
    [2] B. Han, K. Yu, Nat. Commun. 16 (2025), arXiv 2406.18269: reversed leapfrog, both gradient terms.
    """

    def __init__(self, model: Model, timestep: float | None = None, n_steps: int = 1000, stride: int = 1, *,
                 integrator: openmm.Integrator | None = None, observe: Callable[[Tensor, Tensor], Tensor] | None = None,
                 two_sided: bool = False, platform: str = "CPU", threads: int | None = None, workers: int | None = None,
                 max_reverse_steps: int | None = None, checkpoint_every: int | None = None, memory: int = 2 * 2**30,
                 displacement: float = 1.0, differences: str = "central", seed: int = 1,
                 temperature: float | None = None, box: Any = None) -> None:
        who = "propagate"
        require(isinstance(model, Model), who, f"expected a Model, found {type(model).__name__}",
                "Pass openmmgrad.Model(system)", TypeError)
        for name, value in (("n_steps", n_steps), ("stride", stride), ("workers", workers), ("threads", threads),
                            ("max_reverse_steps", max_reverse_steps), ("checkpoint_every", checkpoint_every)):
            require(value is None or (int(value) == value and value >= 1), who,
                    f"{name} must be a whole number from 1, found {value}", "Give a number of steps, or leave it out")
        require(n_steps >= stride, who, f"expected stride up to n_steps = {n_steps}, found {stride}",
                "Take more steps or a shorter stride")
        find_platform(platform, who)
        require(differences in ("central", "alternating"), who,
                f'differences must be "central" or "alternating", found {differences!r}', "Choose one of those")
        self.model, self._masses = model, model.masses
        step = None if timestep is None else float(plain(timestep, "ps"))
        self.integrator = copy_integrator(integrator, step, model.system)
        self.noisy = isinstance(self.integrator, openmm.LangevinMiddleIntegrator)
        require(not (self.noisy and two_sided), who, "a LangevinMiddleIntegrator cannot run backwards in time",
                "Use Verlet, or two_sided=False")
        verlet = type(self.integrator) is openmm.VerletIntegrator
        require(differences != "alternating" or (verlet and platform in ("Reference", "CPU")), who,
                f'differences="alternating" starts from forces that steps of Verlet leave in positions of double '
                f"precision, found {type(self.integrator).__name__} on {platform}",
                'Use VerletIntegrator on Reference or CPU, or differences="central"')
        self.n_steps, self.stride, self.two_sided = int(n_steps), int(stride), bool(two_sided)
        self.observe, self.seed = observe, int(seed)
        self.max_reverse_steps = int(max_reverse_steps or 2 * n_steps + 2)
        self.checkpoint_every, self.memory = checkpoint_every, int(memory)
        self.platform, self.threads, self.workers = platform, threads, workers
        self.displacement, self.differences = displacement, differences
        self.temperature = None if temperature is None else float(plain(temperature, "K"))
        self._default_box = box
        self._engines: dict[tuple, list[Engine]] = {}
        self._buffers = Buffers()

    def __call__(self, frames: Frames | None = None, *, initial: tuple[Any, Any] | None = None,
                 controls: Mapping[str, Tensor] | None = None) -> Path:
        """Windows that start from frames, or from positions and velocities.

        Parameters
        ----------
        frames
            S Frames with velocities.
        initial
            (positions, velocities), [S, N, 3] or [N, 3] each, nm and nm/ps at one time: tensors may require grad. In
            place of the frames' own.
        controls
            {name: [n_steps] or [S, n_steps]}: values of global parameters that change with time; value k acts on
            the force of step k. Tensors may require grad. For Verlet and LangevinMiddle.
        """
        x0, v0 = self._initial(frames, initial)
        n_windows = len(x0)
        boxes = self._boxes(frames, n_windows)
        temperature = self._temperature(frames)
        controls = {} if controls is None else dict(controls)
        control_values = self._controls(controls, n_windows)
        learnt = tuple(name for name in self.model.parameter_names
                       if self.model.global_parameters[name].requires_grad and name not in controls)
        half_step = not isinstance(self.integrator, NoseHooverChainIntegrator)
        branches = n_windows * (2 if self.two_sided else 1)
        constrained = self.model.system.getNumConstraints() > 0
        keep_velocities = self.observe is not None or not half_step or constrained
        coefficients = self.model.coefficients(temperature)
        parameters = torch.stack([self.model.global_parameters[name] for name in learnt]) if learnt else _nothing()
        snapshot = coefficients.detach().numpy().copy(), self.model.global_parameters.as_dict()
        energies = [p for module, _ in torch_modules(self.model, temperature) for p in learnt_parameters(module)]
        observed = []
        if isinstance(self.observe, nn.Module):
            observed = [p for p in self.observe.parameters() if p.requires_grad]
        inputs = (x0, v0, coefficients, parameters, control_values, *energies, *observed)
        keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
        every, kept_bytes = None, 0
        if keep:
            every, kept_bytes = plan_memory(self.n_steps, self.model.n_particles, branches, keep_velocities,
                                            self.memory, self.checkpoint_every)
        plan = Plan(self.n_steps, self.stride, self.two_sided, half_step, keep, every, keep_velocities, constrained,
                    self.max_reverse_steps, self.observe, self.seed, self._buffers)
        engines = self._get_engines(n_windows, temperature, learnt, tuple(controls), boxes)

        def load() -> None:
            for engine in engines:
                engine.load(*snapshot)

        outputs = PropagateFunction.apply(Run(engines, load, plan, boxes, len(energies)), *inputs)
        shown = {"positions": outputs[0], "velocities": outputs[1]} if self.observe is None else {
            "positions": None, "velocities": None, "observed": outputs[0]}
        timestep = self.integrator.getStepSize()._value
        times = (np.arange(plan.n_shown) - plan.origin) * self.stride * timestep
        return Path(**shown, times=times, timestep=timestep, stride=self.stride, masses=self._masses, boxes=boxes,
                    topology=self.model.topology, temperature=temperature, half_step=half_step,
                    memory={"bytes": kept_bytes, "checkpoint_every": every})

    def _initial(self, frames: Frames | None, initial: tuple[Any, Any] | None) -> tuple[Tensor, Tensor]:
        who, n = "propagate", self.model.n_particles
        if initial is None:
            require(isinstance(frames, Frames), who, f"expected Frames, found {type(frames).__name__}",
                    "Pass what Ensemble.sample returns, or initial=(positions, velocities)", TypeError)
            require(frames.velocities is not None, who, "expected frames with velocities, found none",
                    "Sample them with an Ensemble, or pass initial=(positions, velocities)")
            initial = np.array(frames.positions), np.array(frames.velocities)
        x0, v0 = (part if isinstance(part, Tensor) else torch.as_tensor(np.asarray(plain(part, unit), dtype=float))
                  for part, unit in zip(initial, ("nm", "nm/ps"), strict=True))
        x0, v0 = (part.to(torch.float64)[None] if part.ndim == 2 else part.to(torch.float64) for part in (x0, v0))
        require(x0.ndim == 3 and x0.shape[1:] == (n, 3) and x0.shape == v0.shape, who,
                f"expected positions and velocities [S, {n}, 3], found {list(x0.shape)} and {list(v0.shape)}",
                "Pass both for the particles of the Model's System")
        require(frames is None or len(frames) == len(x0), who,
                f"expected {0 if frames is None else len(frames)} initial positions, found {len(x0)}",
                "Pass one per frame")
        require(bool(torch.isfinite(x0).all() and torch.isfinite(v0).all()), who,
                "initial positions or velocities are NaN or infinite", "Start from finite ones")
        return x0, v0

    def _boxes(self, frames: Frames | None, n_windows: int) -> np.ndarray | None:
        if not self.model.periodic:
            return None
        if frames is not None and frames.boxes is not None:
            return np.array(frames.boxes)
        return np.broadcast_to(box_vectors(self._default_box, self.model.system), (n_windows, 3, 3))

    def _temperature(self, frames: Frames | None) -> float:
        if self.temperature is not None:
            return self.temperature
        if frames is not None:
            return frames.temperature
        if self.noisy:
            return self.integrator.getTemperature()._value
        return getattr(self.integrator, "temperature", REFERENCE_TEMPERATURE)

    def _controls(self, controls: Mapping[str, Tensor], n_windows: int) -> Tensor:
        who, n = "propagate", self.n_steps
        if not controls:
            return torch.zeros((n_windows, n, 0), dtype=torch.float64)
        require(not isinstance(self.integrator, NoseHooverChainIntegrator) and not self.two_sided, who,
                "controls act on the kicks of Verlet and LangevinMiddle, forwards in time",
                "Use one of those, and two_sided=False")
        columns, known = [], available(self.model.system)
        for name, values in controls.items():
            require(name in known, who,
                    f"control {name!r} is no global parameter of a Force; found {', '.join(known) or 'none'}",
                    "Name one of those")
            values = torch.as_tensor(values, dtype=torch.float64)
            require(values.shape in ((n,), (n_windows, n)), who,
                    f"control {name!r} must have shape [{n}] or [{n_windows}, {n}], found {list(values.shape)}",
                    "Give one value per step")
            require(bool(torch.isfinite(values).all()), who, f"control {name!r} is NaN or infinite",
                    "Give finite values")
            columns.append(values.expand(n_windows, n))
        return torch.stack(columns, dim=2).contiguous()

    def _get_engines(self, n_windows: int, temperature: float, learnt: tuple[str, ...], controls: tuple[str, ...],
                     boxes: np.ndarray | None) -> list[Engine]:
        """As many as windows run at a time; torch energies are frozen in them, and changed ones need new engines."""
        cores = os.cpu_count() or 1
        many = self.platform == "CPU" or (self.platform == "Reference" and not self.noisy)
        workers = self.workers or (min(n_windows, cores) if many else 1)
        threads = self.threads or max(1, cores // workers)
        key = (len(self.model.terms), self.model.system.getNumForces(), learnt, controls, threads, version(self.model))
        self._engines = {key: self._engines.get(key, [])}
        engines = self._engines[key]
        settings = Settings(self.integrator, self.platform, threads, self.displacement, self.differences, learnt,
                            controls)
        while len(engines) < workers:
            engines.append(Engine(self.model, temperature, settings, None if boxes is None else boxes[0]))
        return engines[:workers]


def _nothing() -> Tensor:
    return torch.zeros(0, dtype=torch.float64)
