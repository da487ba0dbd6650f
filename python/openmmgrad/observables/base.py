# SPDX-License-Identifier: MIT
"""What every observable of frames and paths offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor

from ..estimate import Estimate, expectation
from ..frames import Frames
from .streaming import stream


class Observable(ABC):
    """A function of one frame or window, evaluated on many: Frames or Path -> [S, B].

    A subclass sets the attributes below and defines ``__call__``; nothing else is needed to fit it or to plot it.

    Attributes
    ----------
    grid
        [B] ndarray, where the values stand.
    unit
        Of the values, as a text; "1" is dimensionless.
    name
        Of the values, for figures: "g(r)".
    axis
        Of the grid, with unit, for figures: "r (nm)".
    explicit
        True where the values depend on a model's parameters themselves, beyond which frames there are: such values
        carry a graph and are computed anew each time.

    Examples
    --------
    >>> import torch
    >>> from openmmgrad.frames import State
    >>> class MeanX(Observable):
    ...     grid, unit, name, axis = np.zeros(1), "nm", "<x>", ""
    ...     def __call__(self, frames):
    ...         return torch.as_tensor(frames.positions[:, :, 0].mean(axis=1, keepdims=True))
    >>> MeanX()(Frames(np.ones((2, 3, 3)), State([], 300.0)))
    tensor([[1.],
            [1.]], dtype=torch.float64)
    """

    grid: np.ndarray
    unit: str
    name: str
    axis: str
    explicit: bool = False

    @abstractmethod
    def __call__(self, frames: Frames) -> Tensor:
        """Values of every frame, [S, B], float64."""

    def one_count(self, values: Tensor) -> np.ndarray | None:
        """What one count more in all S frames adds to the mean of values [S, B]; None for other than histograms."""
        return None

    def coefficient_derivatives(self, frames: Frames) -> Tensor:
        """dO/dc of every frame at fixed positions, [S, B, F]: for Gauss-Newton, where ``explicit`` is True."""
        raise TypeError(f"{type(self).__name__}: expected coefficient_derivatives(frames) -> [S, B, F] beside "
                        "explicit = True, found none. Define it, or fit with a torch optimiser.")

    def stream(self, chunks: Iterable[Any]) -> Estimate:
        """The average over a trajectory that does not fit into memory, with its standard error.

        Memory is that of one chunk, and of at most 256 rows of B values: averages over stretches of equal length, from
        which the standard error is found. Up to 256 frames it is that of `expectation` with equal weights.

        Parameters
        ----------
        chunks
            Successive parts of the trajectory: ``mdtraj.iterload("run.xtc", top="run.pdb", chunk=100)``, or any other
            iterable of mdtraj Trajectories or of Frames.

        Raises
        ------
        ValueError, TypeError
            If there is no frame, a chunk is something else, or the observable refuses it.
        """
        values, weights = stream(self, chunks, f"{type(self).__name__}.stream")
        return expectation(values, weights, observable=self)

    def plot(self, estimate: Any, reference: Any = None, axes: Any = None) -> Any:
        """An average with its standard error, and what it should be, over the grid.

        Parameters
        ----------
        estimate
            An `Estimate`, or values [B].
        reference
            An `Estimate`, values [B], or None.
        axes
            matplotlib Axes to draw on; None makes a figure, which ``axes.figure.savefig`` writes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        if axes is None:
            from matplotlib.figure import Figure

            axes = Figure(figsize=(5.0, 3.4), layout="constrained").subplots()
        for content, label, style in ((reference, "reference", {"color": "black"}),
                                      (estimate, self.name, {"color": "tab:red", "linestyle": "--"})):
            if content is None:
                continue
            mean = np.asarray(getattr(content, "mean_values", content), dtype=float)
            stderr = getattr(content, "stderr", None)
            if stderr is not None:
                axes.fill_between(self.grid, mean - 2 * stderr, mean + 2 * stderr, alpha=0.25, linewidth=0,
                                  color=style["color"])
            axes.plot(self.grid, mean, linewidth=1.2, label=label, **style)
        axes.set_xlabel(self.axis)
        axes.set_ylabel(self.name if self.unit == "1" else f"{self.name} ({self.unit})")
        axes.legend(frameon=False)
        return axes
