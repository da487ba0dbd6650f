# SPDX-License-Identifier: MIT
"""Counts of configurations taken one by one, with a gradient that keeps nothing but the positions."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


class Counter(Protocol):
    """What is counted in one configuration."""

    def counts(self, positions: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        """Counts n [B] of positions [N, 3] in a box [3, 3]."""

    def gradient(self, positions: np.ndarray, box: np.ndarray | None, cotangent: np.ndarray) -> np.ndarray:
        """d(sum_b g_b n_b)/d positions, [N, 3], of g [B]."""


def count_each(counter: Counter, positions: np.ndarray | Tensor, boxes: np.ndarray | None) -> Tensor:
    """Counts of every configuration, [..., B], float64, with graph where positions [..., N, 3] have one.

    ``boxes`` [S, 3, 3] belong to the first axis of the positions. For the gradient every configuration is counted
    again, so that memory does not grow with what is counted.
    """
    if isinstance(positions, Tensor) and positions.requires_grad and torch.is_grad_enabled():
        return _Count.apply(positions.to(torch.float64), boxes, counter)
    return torch.as_tensor(_counts(counter, _plain(positions), boxes))


class _Count(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, positions: Tensor, boxes: np.ndarray | None, counter: Counter) -> Tensor:
        ctx.save_for_backward(positions)
        ctx.boxes, ctx.counter = boxes, counter
        return torch.as_tensor(_counts(counter, _plain(positions), boxes))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangents: Tensor) -> tuple[Tensor, None, None]:
        (positions,) = ctx.saved_tensors
        x, given = _plain(positions), cotangents.numpy()
        gradient = np.zeros(x.shape)
        for place in np.ndindex(x.shape[:-2]):
            if given[place].any():
                gradient[place] = ctx.counter.gradient(x[place], _box(ctx.boxes, place), given[place])
        return torch.as_tensor(gradient), None, None


def _counts(counter: Counter, positions: np.ndarray, boxes: np.ndarray | None) -> np.ndarray:
    rows = [counter.counts(positions[place], _box(boxes, place)) for place in np.ndindex(positions.shape[:-2])]
    return np.array(rows, dtype=float).reshape(*positions.shape[:-2], -1 if rows else 0)


def _plain(positions: np.ndarray | Tensor) -> np.ndarray:
    return positions.detach().numpy() if isinstance(positions, Tensor) else positions


def _box(boxes: np.ndarray | None, place: tuple[int, ...]) -> np.ndarray | None:
    return None if boxes is None else boxes[place[0]]
