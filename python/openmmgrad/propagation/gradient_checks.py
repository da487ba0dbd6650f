# SPDX-License-Identifier: MIT
"""Checks of a path gradient: growth, differences of the simulation, weights, and the step of differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..estimate import expectation
from ..frames import Frames
from ..model import Model
from ..weights import Weights
from .gradient_runs import WHO, Learnt, Runner, Windows, if_finite, is_double
from .propagate import Propagator

PARAMETER_STEP = {True: 3e-4, False: 3e-3}  # of differences of the simulation, in natural sizes; by double precision


def growth(make: Callable[..., Propagator], frames: Frames, lengths: list[int]) -> list[float]:
    """|(dx(t)/dx(0))^T r| of a random unit vector r, from the first frame, for windows of each length."""
    propagator = make()
    x0, v0 = _start(frames[0])
    r = _random(propagator.model, x0)
    found = []
    for length in lengths:
        propagator.n_steps = propagator.stride = length
        path = if_finite(lambda: propagator(frames[0], initial=(x0, v0)))
        found.append(np.nan)
        if path is not None:
            found[-1] = float(torch.autograd.grad((r * path.positions[:, -1]).sum(), x0)[0].norm())
    return found


def spread(make: Callable[..., Propagator], frames: Frames) -> float:
    """Relative change of (dF/dx) a when the displacement of its difference becomes a quarter: the worst of 4 frames.

    From the Propagator's displacements on: a test of the forces, wherever they jump.
    """
    base = make()
    some = frames[np.unique(np.linspace(0, len(frames) - 1, 4).astype(int))]
    x0, v0 = _start(some)
    r = _random(base.model, x0)
    products = []
    for factor in (base.displacement, base.displacement / 4):
        propagator = make(displacement=factor)
        propagator.n_steps = propagator.stride = 1
        path = if_finite(lambda propagator=propagator: propagator(some, initial=(x0, v0)))
        if path is None:
            return np.nan
        gradient = torch.autograd.grad((r * path.positions[:, -1]).sum(), x0)[0]
        products.append(gradient - r)  # x(1) = x(0) + dt v(0) + dt^2/2 F(x(0))/m
    change = (products[0] - products[1]).flatten(1).norm(dim=1)
    return float((change / products[1].flatten(1).norm(dim=1).clamp_min(1e-300)).max())


def differences(runner: Runner, learnt: Learnt, runs: list[Windows], step: float | None) -> list[dict[str, Any]]:
    """Adjoint of the first window against differences of the whole simulation, for the shortest and a middle length.

    Central differences with two steps, extrapolated; the uncertainty is what the extrapolation changed.
    """
    propagator, rows = runner.propagators[0], []
    step = step or PARAMETER_STEP[is_double(propagator)]
    for run in {run.n_steps: run for run in (runs[0], runs[len(runs) // 2])}.values():
        if run.n_steps > propagator.max_reverse_steps:
            continue  # a truncated gradient is not that of the simulation
        adjoint = learnt.along(run.gradients[:1])[0]
        for k, name in enumerate(learnt.names):
            def value(t: float, k: int = k, run: Any = run) -> float:
                with learnt.moved(k, t):
                    path = if_finite(lambda: runner.path(propagator, 0, run.n_steps))
                    return np.nan if path is None else float(runner.value(path))

            coarse, fine = ((value(h) - value(-h)) / (2 * h) for h in (step, step / 2))
            rows.append({"parameter": name, "steps": run.n_steps, "adjoint": float(adjoint[k]),
                         "difference": (4 * fine - coarse) / 3, "uncertainty": abs(fine - coarse) / 3})
    return rows


def static(runner: Runner, learnt: Learnt, runs: list[Windows], w: Weights) -> list[dict[str, Any]]:
    """d<L>/dtheta of a static loss by weights alone, at the frames, and by weights and path at each length."""
    require(w.w.requires_grad, WHO, "static=True needs weights with graph to the Model's parameters",
            "Pass w = openmmgrad.weights(model, frames), or leave w out")
    n = len(w)
    at_frames = runner.value(runner.at_frames(), n)
    log_w = w.w.clamp_min(1e-300).log()
    slopes = learnt.along(np.array([learnt.gradient(log_w[s], retain=True) for s in range(n)]))
    explicit = learnt.along(np.array([learnt.gradient(at_frames[s], retain=True) for s in range(n)]))
    plain = Weights(w.w.detach(), w.segments)

    def weight_term(values: np.ndarray) -> np.ndarray:
        return (values - plain.w.numpy() @ values)[:, None] * slopes

    alone = weight_term(at_frames.detach().numpy()) + explicit
    rows = []
    for run in runs:
        if not (np.isfinite(run.gradients).all() and np.isfinite(run.values).all()):
            continue
        both = weight_term(run.values) + learnt.along(run.gradients)
        estimates = [expectation(samples, plain) for samples in (alone, both, both - alone)]
        for k, name in enumerate(learnt.names):
            row = {"parameter": name, "steps": run.n_steps}
            for label, estimate in zip(("weights", "both", "difference"), estimates, strict=True):
                row |= {label: float(estimate.mean_values[k]), f"stderr {label}": float(estimate.stderr[k])}
            rows.append(row)
    return rows


def _start(frames: Frames) -> tuple[Tensor, Tensor]:
    """Positions, requiring grad, and velocities, [S, N, 3]."""
    x0, v0 = (torch.tensor(np.array(part)) for part in (frames.positions, frames.velocities))
    return x0.requires_grad_(), v0


def _random(model: Model, like: Tensor) -> Tensor:
    """A unit vector for each frame, [S, N, 3]: zero for virtual sites and frozen particles."""
    r = np.random.default_rng(1).normal(size=like.shape) * (model.masses > 0)[:, None]
    return torch.as_tensor(r / np.linalg.norm(r, axis=(1, 2), keepdims=True))
