# SPDX-License-Identifier: MIT
"""Buffers: memory of trajectories that is used again, because fresh pages cost as much as filling them."""

from __future__ import annotations

import math
import weakref

import numpy as np


class Buffers:
    """Hands out arrays, and takes their memory back when nothing refers to them or to views of them any more.

    So an array that a retained graph still needs is never handed out again. It keeps as much memory as was in use at
    one time.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[np.ndarray]] = {}

    def empty(self, shape: tuple[int, ...]) -> np.ndarray:
        """float64 [shape], not initialised."""
        count = math.prod(shape)
        free = self._free.setdefault(count, [])
        try:
            block = free.pop()
        except IndexError:  # threads share the list
            block = np.empty(count)
        # The base of an array on a memoryview is no array, so that views refer to `lent`, not to the block behind it.
        lent = np.frombuffer(memoryview(block), dtype=np.float64)
        weakref.finalize(lent, free.append, block).atexit = False
        return lent.reshape(shape)
