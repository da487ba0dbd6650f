# SPDX-License-Identifier: MIT
"""The torch function behind `propagate`: windows in parallel threads, forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import require
from .engine import Engine
from .windows import Kept, Plan, Shown, backward, forward, sweep_back


@dataclass
class Run:
    """One call of a Propagator: its engines with the parameters of the call, its windows, and its tensors.

    After x0, v0, coefficients, parameters and controls its tensors are the ``n_energy`` parameters of torch energies,
    in the order of the engines' ``products``, then those of ``plan.observe``.
    """

    engines: list[Engine]
    load: Callable[[], None]
    plan: Plan
    boxes: np.ndarray | None
    n_energy: int

    def box(self, window: int) -> np.ndarray | None:
        """[3, 3], nm, or None."""
        return None if self.boxes is None else self.boxes[window]

    def map(self, work: Callable[[Engine, int], Any], windows: Iterable[int]) -> list[Any]:
        """work(engine, window) for each window, in threads; results in order."""
        self.load()
        if len(self.engines) == 1:
            with torch.enable_grad():  # as in a new thread: OpenMM-Torch differentiates inside the step
                return [work(self.engines[0], s) for s in windows]
        free: SimpleQueue[Engine] = SimpleQueue()
        for engine in self.engines:
            free.put(engine)

        def with_engine(s: int) -> Any:
            engine = free.get()
            try:
                return work(engine, s)
            finally:
                free.put(engine)

        with ThreadPoolExecutor(len(self.engines)) as pool:
            return list(pool.map(with_engine, windows))

    def sweep(self, work: Callable[[Engine, int], Generator], kept: list[list[Kept]]) -> list[Any]:
        """What work(engine, window), a `backward`, returns for each window; results in order.

        On a device the windows of an engine stay with it, which has their states, and go together as far as they can.
        """
        if not self.engines[0].on_device:
            return self.map(lambda engine, s: sweep_back(engine, [work(engine, s)])[0], range(len(kept)))
        self.load()
        results: list = [None] * len(kept)

        def of_engine(engine: Engine) -> None:
            own = [s for s, branches in enumerate(kept) if branches[0].engine is engine]
            for first in range(0, len(own), engine.together):
                some = own[first:first + engine.together]
                for s, result in zip(some, sweep_back(engine, [work(engine, s) for s in some]), strict=True):
                    results[s] = result

        with ThreadPoolExecutor(len(self.engines)) as pool:
            list(pool.map(of_engine, self.engines))
        return results


class PropagateFunction(torch.autograd.Function):
    """(x0, v0, coefficients, parameters, controls, *module parameters) -> (positions, velocities) or (values,)."""

    @staticmethod
    def forward(ctx: Any, run: Run, x0: Tensor, v0: Tensor, coefficients: Tensor, parameters: Tensor, controls: Tensor,
                *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run all windows."""
        plan, n_windows = run.plan, len(x0)
        starts, velocities, values = (t.detach().numpy() for t in (x0, v0, controls))
        outputs = _allocate(plan, x0)
        shown = [Shown(**{name: array[s] for name, array in outputs.items()}) for s in range(n_windows)]
        kept = run.map(lambda engine, s: forward(engine, plan, s, run.box(s), starts[s], velocities[s], values[s],
                                                 shown[s]), range(n_windows))
        result = tuple(torch.from_numpy(array) for array in outputs.values())
        ctx.run, ctx.kept = run, kept
        # versions are checked at the time of backward(): what was run must not have been changed since
        ctx.save_for_backward(coefficients, parameters, *tensors, *result)
        ctx.set_materialize_grads(False)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *g: Tensor | None) -> tuple[Tensor | None, ...]:
        """Sweep all windows back."""
        run, kept = ctx.run, ctx.kept
        n_observed = len(ctx.needs_input_grad) - 6 - run.n_energy
        saved = ctx.saved_tensors
        observed = list(saved[2 + run.n_energy:2 + run.n_energy + n_observed])
        names = ("x", "v") if run.plan.observe is None else ("values",)
        arrays = {name: None if part is None else part.numpy() for name, part in zip(names, g, strict=True)}

        def work(engine: Engine, s: int) -> Generator:
            outer = Shown(**{name: None if array is None else array[s] for name, array in arrays.items()})
            return backward(engine, run.plan, kept[s], outer, observed)

        for product in (product for engine in run.engines for product in engine.products):
            product.clear()
        results = run.sweep(work, kept)
        sums = [torch.from_numpy(sum(getattr(total, name) for total, _, _ in results))
                for name in ("coefficients", "parameters")]
        g_observed = [sum(parts) for parts in zip(*(found for _, _, found in results), strict=True)]
        g_energy = [torch.from_numpy(np.asarray(sum(parts))) for parts in zip(
            *([part for product in engine.products for part in product.sums] for engine in run.engines), strict=True)]
        n_learnt = len(saved[1])
        return (None, _stack(total.x for total, _, _ in results), _stack(total.v for total, _, _ in results), sums[0],
                sums[1][:n_learnt], _stack(controls for _, controls, _ in results), *g_energy, *g_observed)


def _allocate(plan: Plan, x0: Tensor) -> dict[str, np.ndarray]:
    shape = (len(x0), plan.n_shown)
    if plan.observe is None:
        return {"x": np.empty((*shape, *x0.shape[1:])), "v": np.empty((*shape, *x0.shape[1:]))}
    twice = x0[:1].detach().expand(2, -1, -1)
    with torch.enable_grad():
        value = plan.observe(twice, torch.zeros_like(twice))
    found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
    require(isinstance(value, Tensor) and value.ndim > 0 and len(value) == 2, "propagate",
            f"observe must return [T', ...] for positions [T', N, 3], found {found} for T' = 2",
            "Treat each time on its own, and keep their axis first")
    require(isinstance(plan.observe, torch.nn.Module) or not value.requires_grad, "propagate",
            "observe depends on tensors that require grad, which no gradient would reach",
            "Make it an nn.Module that has them as parameters")
    return {"values": np.empty((*shape, *value.shape[1:]))}


def _stack(arrays: Iterable[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(list(arrays)))
