# SPDX-License-Identifier: MIT
"""diagnose_gradient: how far a path gradient can be trusted, measured on the user's own system and loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import require
from ..estimate import expectation
from ..frames import Frames
from ..model import Model
from ..path import Path
from ..weights import Weights, weights
from . import gradient_checks as checks
from .force_settings import force_settings
from .gradient_report import GradientReport
from .gradient_runs import WHO, Learnt, Runner, Windows, is_double


def diagnose_gradient(model: Model, frames: Frames, loss: Callable[[Path], Tensor], n_steps: int = 1000,
                      timestep: float | None = None, *, windows: Sequence[int] | None = None, stride: int = 1,
                      static: bool = False, w: Weights | None = None, max_relative_error: float = 0.5,
                      max_growth: float = 1e3, difference: float | None = None, **options: Any) -> GradientReport:
    r"""How well the path gradient of a loss is known, for windows of several lengths: a report to print.

    .. math:: g_s = \frac{d\, L[\mathrm{path}_s(\theta)]}{d\theta}, \qquad
        \bar g = \sum_s w_s\, g_s, \qquad \text{relative error} = \sqrt{\textstyle\sum_i \sigma_i^2}\, /\, |\bar g|

    with sigma_i the standard error of component i over the windows s. The report has, in this order:

    - the gradient's norm and its relative error for each length of the windows, and how large the derivative of the
      last positions with respect to the first has become: trajectories diverge, and from some length on the gradient
      is noise;
    - the gradient against differences of the whole simulation;
    - with ``static``, the weights alone against weights and path together, which must agree;
    - how much the product of the force's Jacobian with a vector depends on the displacement that it is a difference
      over, and settings of the System's Forces that make forces jump;
    - seconds and memory.

    Gradients are per natural change: a scalar's natural size is its scale (see `Model.add_parameters`) or its
    magnitude, an array's the root mean square of its entries; 1 where that is 0. One number for an array is the
    derivative with respect to a change of all its entries in proportion.

    Parameters
    ----------
    model
        The Model: its parameters that require grad are diagnosed. Left as it is.
    frames
        S Frames with velocities; 10 or more say something about errors.
    loss
        loss(path) -> [S], one value of each window of a `Path`, with graph. Called with one window at a time, from
        several threads.
    n_steps, timestep, stride
        Of the longest windows, as in `propagate`.
    windows
        Lengths in steps, multiples of ``stride``; default: n_steps halved five times.
    static
        Say that the mean of the loss at equilibrium does not depend on the length of the window, as the loss is a
        function of the positions at one time, or an average of such over times. Compares its derivative by weights
        alone, from the frames, with weights and path together.
    w
        Weights of the frames. Default: equal; with ``static`` `openmmgrad.weights` of the model.
    max_relative_error, max_growth
        The suggested window is the longest whose relative error, and whose derivative of last by first positions,
        are at most these.
    difference
        Of the parameters in differences of the simulation, in natural sizes. Default: 3e-4 on Reference, 3e-3
        elsewhere.
    options
        Further options of `Propagator`, without initial and controls: ``platform``, ``integrator``, ``seed``, ..

    Returns
    -------
    GradientReport
        Prints as tables; ``rows``, ``suggested_window`` (steps, or None), ``messages``, ``plot()``.

    Raises
    ------
    ValueError, TypeError
        For lengths that do not fit, a loss that does not return one value per window, and as `propagate`. Gradients
        that are NaN, zero, exploding or vanishing are no errors: the report says so.

    Notes
    -----
    The relative error shrinks as the square root of the number of windows; the length at which gradients explode does
    not change with it. The growth is that of one random direction from the first frame.

    References
    ----------
    [1] L. Metz, C. D. Freeman, S. S. Schoenholz, T. Kachman, arXiv 2111.05803 (2021): gradients of chaotic systems.
    [2] B. Han, K. Yu, Nat. Commun. 16 (2025), arXiv 2406.18269: short windows.

    Examples
    --------
    Particles on springs do not diverge, so that the whole window is of use:

    >>> import openmm, openmmgrad as og
    >>> system = openmm.System()
    >>> spring = openmm.CustomExternalForce("0.5*k*x^2")
    >>> _ = system.addParticle(1.0), spring.addGlobalParameter("k", 9.0), spring.addParticle(0), system.addForce(spring)
    >>> model = og.Model(system)
    >>> model.add_parameters({"k": 9.0})
    >>> still = np.zeros((6, 1, 3))
    >>> frames = og.Frames(still + np.linspace(0.1, 0.2, 6)[:, None, None], og.State([], 300.0), velocities=still)
    >>> report = og.diagnose_gradient(model, frames, lambda path: path.positions[:, -1, 0, 0], n_steps=64,
    ...                               timestep=0.01, platform="Reference")
    >>> report.suggested_window, round(report.growth_rate, 6)
    (64, 0.0)
    """
    lengths = _lengths(windows, n_steps, stride)
    _require_arguments(model, frames, loss, options)
    for name, value in (("max_relative_error", max_relative_error), ("max_growth", max_growth),
                        ("difference", 1.0 if difference is None else difference)):
        require(value > 0, WHO, f"{name} must be positive, found {value}", "Give a positive number")
    learnt = Learnt.of(model)
    require(len(learnt.tensors) > 0, WHO, "the Model has no parameters that require grad",
            "Add a potential, or name global parameters with model.add_parameters")
    if w is None:
        w = weights(model, frames) if static else Weights.uniform(len(frames))
    require(len(w) == len(frames), WHO, f"expected weights of {len(frames)} frames, found {len(w)}",
            "Use the weights of these frames")
    runner = Runner(model, frames, loss, learnt, (timestep, max(lengths), stride), options)
    runs = [runner.gradients(length) for length in lengths]
    growth = checks.growth(runner.plain, frames, lengths)
    plain_weights = Weights(w.w.detach(), w.segments)
    return GradientReport(
        parameters=learnt.names, n_windows=len(frames), max_relative_error=max_relative_error, max_growth=max_growth,
        rows=[_row(run, runner.timestep, learnt, plain_weights, size) for run, size in zip(runs, growth, strict=True)],
        differences=checks.differences(runner, learnt, runs, difference),
        static=checks.static(runner, learnt, runs, w) if static else [],
        spread=checks.spread(runner.plain, frames), double=is_double(runner.propagators[0]),
        force_settings=force_settings(model.system), cost=_cost(runs[-1], runner))


def _row(run: Windows, timestep: float, learnt: Learnt, w: Weights, growth: float) -> dict[str, Any]:
    """One length: mean gradient and standard errors, in all and for each parameter."""
    row = {"steps": run.n_steps, "ps": run.n_steps * timestep, "loss": float(w.w.numpy() @ run.values)}
    along, n = learnt.along(run.gradients), len(learnt.direction)
    mean, stderr = np.full((2, n + along.shape[1]), np.nan)
    finite = np.isfinite(run.gradients).all(axis=1) & np.isfinite(run.values)
    if finite.all():
        estimate = expectation(np.concatenate([run.gradients, along], axis=1), w)
        mean, stderr = estimate.mean_values, estimate.stderr if len(w) > 1 else stderr
    norm, error = np.linalg.norm(mean[:n]), np.linalg.norm(stderr[:n])
    row |= {"norm": float(norm), "stderr": float(error), "relative_error": float(error / norm) if norm > 0 else np.nan,
            "growth": growth, "not_finite": int((~finite).sum())}
    for k, name in enumerate(learnt.names):
        row |= {f"d/d {name}": float(mean[n + k]), f"stderr d/d {name}": float(stderr[n + k])}
    return row


def _cost(run: Windows, runner: Runner) -> dict[str, Any]:
    kept = {"bytes": None, "checkpoint_every": None} if run.memory is None else run.memory
    return {"forward": float(run.seconds[0]), "reverse": float(run.seconds[1]), "n_steps": run.n_steps,
            "workers": len(runner.propagators), "threads": runner.propagators[0].threads, **kept}


def _lengths(windows: Iterable[int] | None, n_steps: int, stride: int) -> list[int]:
    for name, value in (("n_steps", n_steps), ("stride", stride)):
        require(value == int(value) and value >= 1, WHO, f"{name} must be a whole number from 1, found {value}",
                "Give a number of steps")
    require(n_steps >= stride, WHO, f"expected n_steps from stride = {stride}, found {n_steps}", "Take more steps")
    if windows is None:
        halved = [n_steps // 2**k // stride * stride for k in range(5, -1, -1)]
        return sorted({length for length in halved if length > 0})
    lengths = sorted({int(length) for length in windows})
    bad = [length for length in lengths if not 0 < length <= n_steps or length % stride]
    require(lengths and not bad, WHO,
            f"windows must be lengths from {stride} to n_steps = {n_steps} steps, multiples of stride = {stride}; "
            f"found {bad or 'none'}", "Give such lengths, or leave windows out")
    return lengths


def _require_arguments(model: Any, frames: Any, loss: Any, options: dict) -> None:
    require(isinstance(model, Model), WHO, f"expected a Model, found {type(model).__name__}",
            "Pass openmmgrad.Model(system)", TypeError)
    require(isinstance(frames, Frames) and len(frames) > 0, WHO,
            f"expected Frames, found {type(frames).__name__}{' of no frame' if isinstance(frames, Frames) else ''}",
            "Pass what Ensemble.sample returns, or Frames(positions, State([], 300.0), velocities=velocities)",
            TypeError)
    require(frames.velocities is not None, WHO, "expected frames with velocities, found none",
            "Sample them with an Ensemble, or pass velocities= to Frames")
    require(callable(loss), WHO, f"loss must be a function of a Path, found {type(loss).__name__}",
            "Pass lambda path: path.positions[:, -1].square().mean((1, 2)), say", TypeError)
    for name in ("initial", "controls"):
        require(name not in options, WHO, f"{name}= is not diagnosed", "Pass frames, and a loss of the Model's "
                "parameters", TypeError)
