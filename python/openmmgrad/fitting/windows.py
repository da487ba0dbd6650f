# SPDX-License-Identifier: MIT
"""Windows of path targets: run anew for every comparison, because their gradient belongs to the present parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import require
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
        require(self.n_windows is None or self.n_windows <= ensemble.n_frames, "fit",
                f"{self.n_windows} windows need as many frames of {ensemble.name!r}, found n_frames = "
                f"{ensemble.n_frames}", "Give fewer windows, or more frames")
        self.renew()

    def renew(self) -> None:
        """Start in fresh Contexts."""
        self._propagator = Propagator(self._model, **self._options)

    def run(self, sample) -> tuple:
        """The Path of windows that start from some of a Sample's frames, evenly spaced, and their Weights."""
        n_frames = len(sample.frames)
        chosen = np.unique(np.linspace(0, n_frames - 1, self.n_windows or n_frames).round().astype(int))
        w = sample.weights().w[chosen]
        frames = sample.frames if len(chosen) == n_frames else sample.frames[chosen]
        return self._propagator(frames), Weights(w / w.sum())


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
