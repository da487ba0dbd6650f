# SPDX-License-Identifier: MIT
"""Windows of path targets: run anew for every comparison, because their gradient belongs to the present parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..errors import require
from ..frames import Frames
from ..propagation import Propagator
from ..weights import Weights


class Windows:
    """The windows that start from one Ensemble's frames, in one way.

    Parameters
    ----------
    ensemble
        Its platform and threads are those of the windows, unless the options say otherwise.
    options
        As `Target.propagate`.

    Raises
    ------
    ValueError
        As `Propagator`, and if there are fewer frames than windows.
    """

    def __init__(self, ensemble, options: dict) -> None:
        self._model = ensemble.model
        self._options = {"platform": ensemble.platform, "threads": ensemble.threads, **options}
        self.n_windows = self._options.pop("n_windows", None)
        self.weight_term = self._options.pop("weight_term", True)
        self._confirm_steps = self._options.pop("confirm_steps", None)
        self.n_differentiated = self._options.pop("n_differentiated", None)
        require(self.n_windows is None or self.n_windows <= ensemble.n_frames, "fit",
                f"{self.n_windows} windows need as many frames of {ensemble.name!r}, found n_frames = "
                f"{ensemble.n_frames}", "Give fewer windows, or more frames")
        self.renew()

    def renew(self, confirm: bool = False) -> None:
        """Start in fresh Contexts; to confirm what was fitted, with windows as long as was asked for that."""
        self.confirms = confirm and self._confirm_steps is not None
        changed = {"n_steps": self._confirm_steps} if self.confirms else {}
        self.propagate = Propagator(self._model, **{**self._options, **changed})
        self._last: tuple = (None, None)

    def chosen_of(self, rows: np.ndarray) -> np.ndarray:
        """Of rows [S, ...], one per frame, those of the frames that windows start from."""
        return rows[evenly(len(rows), self.n_windows)]

    def start(self, sample) -> tuple[Frames, Weights]:
        """The frames of a Sample that windows start from, evenly spaced, and their Weights."""
        n_frames = len(sample.frames)
        chosen = self.chosen_of(np.arange(n_frames))
        w = sample.weights().w[chosen]
        w = w if self.weight_term else w.detach()
        return sample.frames if len(chosen) == n_frames else sample.frames[chosen], Weights(w / w.sum())

    def run(self, sample) -> tuple:
        """The Path of windows that start from some of a Sample's frames, and their Weights.

        Without a graph, a second call for the same Sample and parameters gets what the first one ran.
        """
        key, (known, result) = (sample, sample.present()), self._last
        self._last = (None, None)
        if known == key and not torch.is_grad_enabled():
            return result
        frames, w = self.start(sample)
        result = self.propagate(frames), w
        if not torch.is_grad_enabled():
            self._last = key, result
        return result


def evenly(n: int, wanted: int | None) -> np.ndarray:
    """Indices of so many of n, evenly spaced with both ends; None is all."""
    return np.unique(np.linspace(0, n - 1, wanted or n).round().astype(int))


def windows_of(targets: Sequence) -> dict:
    """{path target: its Windows}; targets of one Ensemble with equal options share theirs."""
    found: list[tuple] = []
    result = {}
    for target in targets:
        if target.propagate is None:
            continue
        same = [w for ensemble, options, w in found if ensemble is target.ensemble and options == target.propagate]
        if not same:
            same = [Windows(target.ensemble, target.propagate)]
            found.append((target.ensemble, target.propagate, same[0]))
        result[target] = same[0]
    return result
