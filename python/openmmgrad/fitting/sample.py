# SPDX-License-Identifier: MIT
"""Sample: the frames that one iteration compares with the targets."""

from __future__ import annotations

from ..estimate import Estimate, expectation
from ..weights import Weights, weights


class Sample:
    """Frames of one Ensemble, weighted to the present parameters."""

    def __init__(self, ensemble, frames) -> None:
        self.ensemble, self.frames = ensemble, frames

    def weights(self) -> Weights:
        """Weights under the present parameters, with graph."""
        return weights(self.ensemble.model, self.frames)

    def estimate(self, target, w: Weights | None = None) -> Estimate:
        """The reweighted average that a target is compared with."""
        w = self.weights() if w is None else w
        return expectation(self.frames.observed(target.observable), w, observable=target.observable)
