# SPDX-License-Identifier: MIT
"""Single windows of a loss: values and gradients in natural sizes of the parameters."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

import numpy as np
import openmm
import torch
from torch import Tensor

from ..errors import require
from ..frames import Frames
from ..model import Model
from ..path import Path
from ..platforms import parse
from .propagate import Propagator

WHO = "diagnose_gradient"
_NOT_FINITE = re.compile(r"(positions|velocities|coordinate|observed|[Ee]nergy)\b.*(NaN|nan|infinite)")


def is_double(propagator: Propagator) -> bool:
    """Whether forces have double precision."""
    return parse(propagator.platform).in_double


def if_finite(run: Callable[[], Path]) -> Path | None:
    """``run()``, or None where the trajectory becomes NaN or infinite."""
    try:
        return run()
    except (ValueError, openmm.OpenMMException) as error:
        if not _NOT_FINITE.search(str(error)):
            raise
        return None


@dataclass
class Learnt:
    """A Model's parameters in their natural sizes: entries [P] of all G tensors in a row.

    A scalar's size is its scale or magnitude, an array's the root mean square of its entries; 1 where that is 0. The
    ``direction`` [P] of a tensor changes all its entries in proportion.
    """

    names: list[str]
    tensors: list[Tensor]
    sizes: list[float]
    direction: np.ndarray

    @classmethod
    def of(cls, model: Model) -> Learnt:
        """The parameters that require grad."""
        scales = {id(model.global_parameters[name]): scale for name, scale in model.parameter_scales.items()}
        called = {id(model.global_parameters[name]): name for name in model.parameter_names}
        found = [(called.get(id(tensor), name), tensor) for name, tensor in model.named_parameters()
                 if tensor.requires_grad]
        names, tensors = [name for name, _ in found], [tensor for _, tensor in found]
        values = [tensor.detach().double().numpy().reshape(-1) for tensor in tensors]
        sizes = [scales.get(id(tensor), float(np.sqrt(np.mean(value**2))) or 1.0)
                 for tensor, value in zip(tensors, values, strict=True)]
        parts = [value / size if len(value) > 1 and value.any() else np.ones(len(value))
                 for value, size in zip(values, sizes, strict=True)]
        return cls(names, tensors, sizes, np.concatenate([np.zeros(0), *parts]))

    def gradient(self, value: Tensor, retain: bool = False) -> np.ndarray:
        """Of a scalar, per natural size, [P]; zero where it has no graph."""
        parts = [None] * len(self.tensors)
        if value.requires_grad:
            parts = torch.autograd.grad(value, self.tensors, allow_unused=True, retain_graph=retain)
        return np.concatenate([size * (torch.zeros_like(tensor) if part is None else part).double().numpy().reshape(-1)
                               for tensor, part, size in zip(self.tensors, parts, self.sizes, strict=True)])

    def along(self, gradients: np.ndarray) -> np.ndarray:
        """[S, P] -> [S, G]: per change of each tensor in proportion."""
        starts = np.cumsum([0, *(tensor.numel() for tensor in self.tensors[:-1])])
        return np.add.reduceat(gradients * self.direction, starts, axis=1)

    @contextmanager
    def moved(self, k: int, by: float) -> Iterator[None]:
        """Tensor k moved along its direction, without graph, and put back afterwards."""
        first = sum(tensor.numel() for tensor in self.tensors[:k])
        data = self.tensors[k].data  # graphs that exist stay valid, as the value comes back
        kept = data.clone()
        step = torch.as_tensor(by * self.sizes[k] * self.direction[first:first + data.numel()])
        try:
            data += step.reshape(data.shape).to(data)
            with torch.no_grad():
                yield
        finally:
            data.copy_(kept)


@dataclass
class Windows:
    """What all windows of one length gave: values [S], gradients [S, P] in natural sizes, seconds [2], memory."""

    n_steps: int
    values: np.ndarray
    gradients: np.ndarray
    seconds: np.ndarray
    memory: dict | None


class Runner:
    """Runs single windows, several at a time: each has a gradient of its own."""

    def __init__(self, model: Model, frames: Frames, loss: Callable, learnt: Learnt, run: tuple, options: dict) -> None:
        self.model, self.frames, self.loss, self.learnt = model, frames, loss, learnt
        timestep, self.n_steps, self.stride = run
        options = dict(options)
        workers, self.seed = options.pop("workers", None), int(options.get("seed", 1))
        platform, cores = options.get("platform", "CPU"), os.cpu_count() or 1
        noisy = isinstance(options.get("integrator"), openmm.LangevinMiddleIntegrator)
        many = platform == "CPU" or (platform == "Reference" and not noisy)
        n_workers = workers or (min(len(frames), cores) if many else 1)
        options["threads"] = options.get("threads") or max(1, cores // n_workers)

        def make(**other: Any) -> Propagator:
            chosen = {"stride": self.stride, "workers": 1, **options, **other}
            return Propagator(model, timestep, self.n_steps, **chosen)

        self._make = make
        self.propagators = [make() for _ in range(n_workers)]
        self.timestep = self.propagators[0].integrator.getStepSize()._value

    def plain(self, **options: Any) -> Propagator:
        """A Propagator of whole states, forwards in time only."""
        return self._make(**{"observe": None, "two_sided": False, "max_reverse_steps": None, **options})

    def path(self, propagator: Propagator, s: int, n_steps: int) -> Path:
        """Window s."""
        propagator.n_steps, propagator.seed = n_steps, self.seed + s
        return propagator(self.frames[s])

    def value(self, path: Path, n_windows: int = 1) -> Tensor:
        """The loss of a path, [S]."""
        try:
            value = self.loss(path)
        except ValueError as error:
            steps = (len(path.times) - 1) * path.stride
            if steps >= self.n_steps:
                raise
            raise ValueError(f"{WHO}: the loss refuses a window of {steps} steps: {error} Or give lengths that it can "
                             "take as windows=.") from error
        found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        require(isinstance(value, Tensor) and value.shape == (n_windows,), WHO,
                f"loss(path) must be a tensor of one value per window, shape [{n_windows}], found {found}",
                "Average over times and atoms, and keep the first axis: path.positions[:, -1].mean((1, 2))")
        return value

    def gradients(self, n_steps: int) -> Windows:
        """All windows of one length."""
        free: SimpleQueue[Propagator] = SimpleQueue()
        for propagator in self.propagators:
            free.put(propagator)

        def work(s: int) -> tuple:
            propagator = free.get()
            try:
                return self._gradient(propagator, s, n_steps)
            finally:
                free.put(propagator)

        with ThreadPoolExecutor(len(self.propagators)) as pool:
            found = list(pool.map(work, range(len(self.frames))))
        values, gradients, seconds, memory = zip(*found, strict=True)
        return Windows(n_steps, np.array(values), np.array(gradients), np.mean(seconds, axis=0), memory[-1])

    def _gradient(self, propagator: Propagator, s: int, n_steps: int) -> tuple:
        start = time.perf_counter()
        path = if_finite(lambda: self.path(propagator, s, n_steps))
        if path is None:
            return np.nan, np.full(len(self.learnt.direction), np.nan), (np.nan, np.nan), None
        value = self.value(path)
        middle = time.perf_counter()
        gradient = self.learnt.gradient(value[0])
        return value.item(), gradient, (middle - start, time.perf_counter() - middle), path.memory

    def at_frames(self) -> Path:
        """Windows of a single time: the frames themselves."""
        frames, propagator = self.frames, self.propagators[0]
        x, v = (torch.as_tensor(np.array(part))[:, None] for part in (frames.positions, frames.velocities))
        path = Path(x, v, [0.0], self.timestep, 1, self.model.masses, frames.boxes, topology=self.model.topology,
                    temperature=frames.temperature, half_step=False)
        if propagator.observe is None:
            return path
        observed = torch.stack([propagator.observe(*state) for state in zip(x, v, strict=True)])
        return replace(path, positions=None, velocities=None, observed=observed)
