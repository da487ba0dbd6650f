# SPDX-License-Identifier: MIT
"""Windows: which steps are shown, which are kept, and one window forwards and backwards."""

from __future__ import annotations

import hashlib
import math
import weakref
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from .buffers import Buffers
from .engine import PIECE, Cotangents, Engine, Piece, Reversal, State


@dataclass(frozen=True)
class Plan:
    """How each window runs.

    Parameters
    ----------
    n_steps, stride
        Steps of a window (of each half, where two-sided), and steps between two shown states.
    two_sided
        Whether windows also run backwards in time from their frame.
    half_step
        Whether velocities are half a step behind.
    keep
        Whether a reverse sweep may follow; otherwise nothing is kept for it.
    every
        Steps between checkpoints; None keeps all positions.
    keep_velocities
        Whether all velocities must be kept, too, or be run again.
    constrained
        Whether the System has constraints.
    max_reverse_steps
        The reverse sweep stops after so many steps.
    observe
        f(x, v) -> values, or None to show positions and velocities.
    seed
        Of noise.
    buffers
        Memory of the positions and velocities that are kept.
    """

    n_steps: int
    stride: int
    two_sided: bool
    half_step: bool
    keep: bool
    every: int | None
    keep_velocities: bool
    constrained: bool
    max_reverse_steps: int
    observe: Callable[[Tensor, Tensor], Tensor] | None
    seed: int
    buffers: Buffers

    @property
    def n_shown(self) -> int:
        """T, shown states."""
        return self.origin + self.n_steps // self.stride + 1

    @property
    def origin(self) -> int:
        """Index of the frame among the shown states."""
        return self.n_steps // self.stride if self.two_sided else 0

    @property
    def directions(self) -> tuple[int, ...]:
        """+1 forwards in time, -1 backwards."""
        return (1, -1) if self.two_sided else (1,)

    def pieces(self, direction: int) -> Iterator[Span]:
        """The steps of one direction, cut where states are kept, with the states that they show."""
        # Backwards in time the velocity half a step before a position is, reversed, that of the step after it.
        lag = 1 if direction < 0 and self.half_step else 0
        total = self.n_steps + lag
        first_shown = 1 if direction < 0 else 0
        length = self.every or PIECE
        for first in range(0, total, length):
            n = min(length, total - first)
            known_from = first + 1 if first > 0 else 0  # of the step whose state completes the pair (x, v)
            steps = np.arange(first_shown * self.stride, self.n_steps + 1, self.stride)
            steps = steps[(steps + lag >= known_from) & (steps + lag <= first + n)]
            yield Span(first, n, steps - first, steps + lag - first, self.origin + direction * (steps // self.stride))


@dataclass(frozen=True)
class Span:
    """Steps first .. first + n, and what they show: x of states x_at, v of states v_at, as entries `shown`."""

    first: int
    n: int
    x_at: np.ndarray
    v_at: np.ndarray
    shown: np.ndarray

    def rows(self, at: np.ndarray, begin: int) -> np.ndarray:
        """For each state from `begin`: its place among the shown, or -1."""
        rows = np.full(self.n + 1, -1, dtype=np.intc)
        rows[at] = np.arange(len(at))
        return rows[begin:]


@dataclass
class Kept:
    """What is kept of one direction of one window for the reverse sweep; `engine` ran it."""

    engine: Engine
    box: np.ndarray | None
    v0: np.ndarray
    controls: np.ndarray
    seed: int
    starts: list[State] = field(default_factory=list)
    x: np.ndarray | None = None
    v: np.ndarray | None = None
    p: list[np.ndarray] = field(default_factory=list)
    histories: list[int] = field(default_factory=list)


@dataclass
class Shown:
    """One window's part of the outputs: x, v [T, N, 3], or values [T, ...]."""

    x: np.ndarray | None = None
    v: np.ndarray | None = None
    values: np.ndarray | None = None


def plan_memory(n_steps: int, n_particles: int, branches: int, keep_velocities: bool, memory: int,
                every: int | None) -> tuple[int | None, int]:
    """Steps between checkpoints (None keeps everything) and the bytes that this keeps."""
    state = 24 * n_particles
    everything = branches * (n_steps + 1) * state * (2 if keep_velocities else 1)
    if every is None and everything <= memory:
        return None, everything
    if every is None:
        every = max(1, round(math.sqrt(n_steps)))
    kept = branches * math.ceil(n_steps / every) * 2 * state + (every + 1) * 2 * state
    require(kept <= memory, "propagate",
            f"even with checkpoints every {every} steps the windows need {kept / 2**30:.3g} GiB, more than memory = "
            f"{memory / 2**30:.3g} GiB", "Give more memory, fewer windows at a time, or shorter ones")
    return every, kept


def forward(engine: Engine, plan: Plan, window: int, box: np.ndarray | None, x0: np.ndarray, v0: np.ndarray,
            controls: np.ndarray, shown: Shown) -> list[Kept]:
    """Run one window, fill in what it shows, and return what the reverse sweep needs."""
    kept = []
    for direction in plan.directions:
        n = max(span.first + span.n for span in plan.pieces(direction))
        values = controls if len(controls) == n else np.zeros((n, controls.shape[1]))
        branch = Kept(engine, box, v0, values, _seed(plan.seed, window))
        _begin(engine, branch, 0, plan)
        state = engine.start(x0, direction * v0, values)
        if plan.keep and plan.every is None:
            direct = shown.x is not None and plan.stride == 1 and not plan.two_sided
            branch.x = shown.x if direct else plan.buffers.empty((n + 1, *x0.shape))
            branch.v = plan.buffers.empty((n + 1, *x0.shape)) if plan.keep_velocities else None
        for span in plan.pieces(direction):
            if span.first > 0 and plan.every is not None:
                _begin(engine, branch, span.first, plan)
            branch.starts.append(state if plan.keep and plan.every is not None else None)
            x, v = (None if array is None else array[span.first:span.first + span.n + 1]
                    for array in (branch.x, branch.v))
            x = plan.buffers.empty((span.n + 1, *x0.shape)) if x is None else x
            v_at = None if plan.keep_velocities and (plan.keep or plan.constrained) else span.v_at
            hold = plan.keep and plan.every is None
            piece = engine.run(span.first, values[span.first:span.first + span.n], state, v_at, span.x_at, hold, x, v)
            if hold:
                weakref.finalize(branch, engine.release, piece.history).atexit = False
            _require_finite(piece, window, span)
            branch.p.append(piece.p if plan.keep and plan.every is None else None)
            branch.histories.append(piece.history)
            _show(plan, span, direction, piece, branch.v0, shown)
            state = piece.last
        kept.append(branch)
    return kept


def backward(engine: Engine, plan: Plan, kept: list[Kept], g: Shown, observed: list[Tensor],
             ) -> Generator[Reversal, None, tuple[Cotangents, np.ndarray, list[Tensor]]]:
    """The reverse sweep of one window: cotangents at its frame, of its controls [n, C] and of `observed` tensors.

    Yields what the engine has to reverse, piece by piece; `sweep_back` does so for several windows.
    """
    total, g_observed = engine.no_cotangents(), [torch.zeros_like(tensor) for tensor in observed]
    g_controls = np.zeros(kept[0].controls.shape)
    for direction, branch in zip(plan.directions, kept, strict=True):
        carry = engine.no_cotangents()
        carry.coefficients, carry.parameters = total.coefficients, total.parameters
        spans = list(plan.pieces(direction))
        end = spans[-1].first + spans[-1].n
        for index in range(len(spans) - 1, -1, -1):
            span = spans[index]
            last_kept = end - plan.max_reverse_steps  # steps before it are constants
            if span.first + span.n <= last_kept:
                carry.x[:], carry.v[:] = 0.0, 0.0
                break
            piece = _recall(engine, plan, branch, span, index)
            g_x, g_v = _outer(plan, span, direction, piece, branch.v0, g, observed, g_observed)
            begin = max(last_kept - span.first, 0)
            part = Piece(piece.x[begin:], piece.v[begin:], piece.p[begin:], piece.history, begin)
            steps = slice(span.first + begin, span.first + span.n)
            x_rows, v_rows = span.rows(span.x_at, begin), span.rows(span.v_at, begin)
            if _shows_constrained_start(plan, span, direction) and begin == 0:
                g_v, v_rows, on_v0 = _pull_back_start(g_v, v_rows)
                total.v += on_v0
            yield Reversal(steps.start, branch.controls[steps], part, x_rows, v_rows, g_x, g_v, carry,
                           g_controls[steps], branch.box)
            if plan.every is not None:
                engine.release(piece.history)
            if begin > 0:
                carry.x[:], carry.v[:] = 0.0, 0.0
                break
        total.x += carry.x
        total.v += direction * carry.v
    return total, g_controls, g_observed


def sweep_back(engine: Engine, windows: list[Generator]) -> list[tuple[Cotangents, np.ndarray, list[Tensor]]]:
    """The results of `backward` for windows of one Plan, whose pieces the engine reverses together."""
    results: list = [None] * len(windows)
    left = list(range(len(windows)))
    while left:
        wanted = []
        for s in list(left):
            try:
                wanted.append(next(windows[s]))
            except StopIteration as end:
                results[s] = end.value
                left.remove(s)
        if wanted:
            engine.reverse(wanted)
    return results


def _begin(engine: Engine, branch: Kept, first: int, plan: Plan) -> None:
    """The box and, for integrators with noise, its seed: of the window, or of each piece that may be run again."""
    engine.begin(branch.box, _seed(branch.seed, first) if engine.noisy else None)


def _recall(engine: Engine, plan: Plan, branch: Kept, span: Span, index: int) -> Piece:
    if plan.every is not None:
        _begin(engine, branch, span.first, plan)
        v_at = None if plan.keep_velocities else span.v_at[:0]
        x = plan.buffers.empty((span.n + 1, *branch.starts[index].x.shape))
        controls = branch.controls[span.first:span.first + span.n]
        return engine.run(span.first, controls, branch.starts[index], v_at, span.x_at, True, x)
    states = slice(span.first, span.first + span.n + 1)
    v = branch.x[states] if branch.v is None else branch.v[states]  # not read where it is not kept
    return Piece(branch.x[states], v, branch.p[index], branch.histories[index])


def _shows_constrained_start(plan: Plan, span: Span, direction: int) -> bool:
    return plan.constrained and direction > 0 and span.first == 0


def _velocities(plan: Plan, span: Span, direction: int, piece: Piece, v0: np.ndarray) -> np.ndarray:
    """Those that a span shows. With constraints, v(-1/2) is 2 v(0) - v(1/2): the integrator's has parts along them."""
    v = direction * piece.v[span.v_at]
    if _shows_constrained_start(plan, span, direction):
        v[0] = 2 * v0 - piece.v[1]
    return v


def _pull_back_start(g_v: np.ndarray, v_rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The adjoint of v(-1/2) = 2 v(0) - v(1/2): cotangents without its own, their rows, and what v(0) gets."""
    own, rows = g_v[0].copy(), v_rows.copy()
    if rows[1] < 0:
        g_v, rows[1] = np.concatenate([g_v, np.zeros_like(g_v[:1])]), len(g_v)
    g_v[rows[1]] -= own
    rows[0] = -1
    return g_v, rows, 2 * own


def _show(plan: Plan, span: Span, direction: int, piece: Piece, v0: np.ndarray, shown: Shown) -> None:
    if plan.observe is None:
        if shown.x.base is None or not np.shares_memory(shown.x, piece.x):
            shown.x[span.shown] = piece.x[span.x_at]
        shown.v[span.shown] = _velocities(plan, span, direction, piece, v0)
    elif len(span.shown):
        with torch.no_grad():
            x, v = piece.x[span.x_at], _velocities(plan, span, direction, piece, v0)
            values = plan.observe(torch.from_numpy(x), torch.from_numpy(v))
        shown.values[span.shown] = values.numpy()


def _outer(plan: Plan, span: Span, direction: int, piece: Piece, v0: np.ndarray, g: Shown, observed: list[Tensor],
           g_observed: list[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Cotangents of the positions and velocities that a span shows, [rows, N, 3] each."""
    if plan.observe is None:
        zeros = np.zeros((len(span.shown), *piece.x.shape[1:]))
        g_x = zeros if g.x is None else np.ascontiguousarray(g.x[span.shown])
        g_v = zeros if g.v is None else np.ascontiguousarray(direction * g.v[span.shown])
        return g_x, g_v
    if len(span.shown) == 0:
        return np.zeros((0, *piece.x.shape[1:])), np.zeros((0, *piece.x.shape[1:]))
    with torch.enable_grad():
        x = torch.from_numpy(piece.x[span.x_at]).requires_grad_()
        v = torch.from_numpy(_velocities(plan, span, direction, piece, v0)).requires_grad_()
        values = plan.observe(x, v)
        if not values.requires_grad:
            return np.zeros(x.shape), np.zeros(x.shape)
        outer = torch.from_numpy(g.values[span.shown])
        found = torch.autograd.grad(values, [x, v, *observed], outer, allow_unused=True)
    g_x, g_v = (np.zeros(x.shape) if part is None else part.numpy() for part in found[:2])
    for total, part in zip(g_observed, found[2:], strict=True):
        if part is not None:
            total += part
    return np.ascontiguousarray(g_x), np.ascontiguousarray(direction * g_v)


def _seed(seed: int, index: int) -> int:
    digest = hashlib.sha256(f"{seed}/{index}".encode()).digest()
    return int.from_bytes(digest[:4], "little") % (2**31 - 2) + 1


def _require_finite(piece: Piece, window: int, span: Span) -> None:
    if np.isfinite(piece.x[-1]).all():  # what is not finite stays so
        return
    known = np.union1d(span.x_at, span.n)
    step = span.first + int(known[np.argmin(np.isfinite(piece.x[known]).all(axis=(1, 2)))])
    require(False, "propagate", f"positions of window {window} are NaN or infinite from step {step}",
            "Use a shorter timestep, or start from frames without overlaps")
