# SPDX-License-Identifier: MIT
"""What one iteration compares with the targets: its frames, and earlier ones that still represent the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch

from ..estimate import Estimate, expectation
from ..frames import Frames
from ..weights import Weights, weights

POOL = 4  # segments that are weighted together at most


class Sample:
    """Frames of one Ensemble, weighted to the present parameters; the last part is the latest segment."""

    def __init__(self, ensemble, parts: Sequence[Frames]) -> None:
        self.ensemble, self.parts = ensemble, list(parts)

    @property
    def latest(self) -> Sample:
        """The frames of the latest segment alone."""
        return self if len(self.parts) == 1 else Sample(self.ensemble, self.parts[-1:])

    @cached_property
    def frames(self) -> Frames:
        """All parts in a row."""
        return self.parts[0] if len(self.parts) == 1 else Frames.concatenate(self.parts)

    def weights(self) -> Weights:
        """Weights under the present parameters, with graph."""
        return weights(self.ensemble.model, self.frames)

    def values(self, observable) -> torch.Tensor:
        """An observable of every frame, [S, B]; evaluated once for each part unless it contains parameters."""
        if observable.explicit:
            return observable(self.frames)
        return torch.cat([part.observed(observable) for part in self.parts])

    def estimate(self, target, w: Weights | None = None) -> Estimate:
        """The reweighted average that a target is compared with."""
        w = self.weights() if w is None else w
        return expectation(self.values(target.observable), w, observable=target.observable)

    def fraction(self) -> float:
        """n_eff of the latest segment as a part of its frames."""
        with torch.no_grad():
            return self.latest.weights().n_eff / len(self.parts[-1])


class Pool:
    """The latest segments of every Ensemble, and which iterations they come from."""

    def __init__(self, ensembles: Sequence) -> None:
        self._ensembles = list(ensembles)
        self.parts: dict[int, dict[int, Frames]] = {k: {} for k in range(len(self._ensembles))}

    def add(self, iteration: int, frames: Sequence[Frames], n_eff_min: float) -> dict:
        """Take in the segments of an iteration and return {Ensemble: Sample} for its steps.

        Earlier segments stay as long as their n_eff under the present parameters is at least n_eff_min of their
        frames. A model that is evaluated without its spline is never pooled.
        """
        samples = {}
        for k, (ensemble, latest) in enumerate(zip(self._ensembles, frames, strict=True)):
            earlier = {} if ensemble.model.reevaluates else self.parts[k]
            kept = {i: f for i, f in list(earlier.items())[1 - POOL:] if Sample(ensemble, [f]).fraction() >= n_eff_min}
            self.parts[k] = {**kept, iteration: latest}
            samples[ensemble] = Sample(ensemble, list(self.parts[k].values()))
        return samples
