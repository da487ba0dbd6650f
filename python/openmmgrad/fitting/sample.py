# SPDX-License-Identifier: MIT
"""What one iteration compares with the targets: its frames, and earlier ones that still represent the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from ..estimate import Estimate, expectation
from ..frames import Frames
from ..weights import Weights, weights

POOL = 4  # segments that are weighted together at most


class Sample:
    """Frames of one Ensemble, weighted to the present parameters; the last part is the latest segment."""

    def __init__(self, ensemble, parts: Sequence[Frames], iterations: Sequence[int] | None = None) -> None:
        self.ensemble, self.parts = ensemble, list(parts)
        self.iterations = list(range(len(self.parts)) if iterations is None else iterations)  # that made them
        self._remembered: dict[str, tuple] = {}

    @cached_property
    def latest(self) -> Sample:
        """The frames of the latest segment alone."""
        return self if len(self.parts) == 1 else Sample(self.ensemble, self.parts[-1:], self.iterations[-1:])

    @cached_property
    def frames(self) -> Frames:
        """All parts in a row."""
        return self.parts[0] if len(self.parts) == 1 else Frames.concatenate(self.parts)

    def weights(self) -> Weights:
        """Weights under the present parameters, with graph."""
        found = weights(self.ensemble.model, self.frames)
        self._remembered["weights"] = self.present(), Weights(found.w.detach(), found.segments)
        return found

    def plain_weights(self) -> Weights:
        """The same without graph; evaluated once for equal parameters."""
        if self._remembered.get("weights", (None,))[0] != self.present():
            with torch.no_grad():
                self.weights()
        return self._remembered["weights"][1]

    def slopes(self) -> np.ndarray:
        """dU/dy of every frame, [S, F + G], kJ/mol: features, and derivatives for global parameters times scales."""
        model, frames = self.ensemble.model, self.frames
        features = np.zeros((len(frames), 0)) if frames.features is None else np.asarray(frames.features)
        if not model.parameter_names:
            return features
        if self._remembered.get("slopes", (None,))[0] != self.present():
            values = model.parameter_values().detach().requires_grad_()
            energies = model.parameter_energies(frames, values)
            rows = [torch.autograd.grad(energy, values, retain_graph=True)[0] for energy in energies]
            scales = np.array(list(model.parameter_scales.values()))
            self._remembered["slopes"] = self.present(), np.hstack([features, torch.stack(rows).numpy() * scales])
        return self._remembered["slopes"][1]

    def values(self, observable) -> torch.Tensor:
        """An observable of every frame, [S, B]; evaluated once for each part unless it contains parameters."""
        if observable.explicit:  # part by part: a part's energies are remembered as long as it is in the pool
            return torch.cat([observable(part) for part in self.parts])
        return torch.cat([part.observed(observable) for part in self.parts])

    def estimate(self, target, w: Weights | None = None) -> Estimate:
        """The reweighted average that a target of frames is compared with."""
        w = self.weights() if w is None else w
        return expectation(self.values(target.observable), w, observable=target.observable)

    def fraction(self) -> float:
        """n_eff of the latest segment as a part of its frames."""
        return self.latest.plain_weights().n_eff / len(self.parts[-1])

    def energy_change(self, before: Weights) -> float:
        """What became of the energy since: standard deviation over the latest frames, kT/sqrt(N)."""
        p, after = (np.asarray(w.w) for w in (before, self.latest.plain_weights()))
        ratio = np.log(np.maximum(after, 1e-300)) - np.log(np.maximum(p, 1e-300))
        spread = np.sqrt(p @ (ratio - p @ ratio) ** 2)
        return float(spread / np.sqrt(np.count_nonzero(self.ensemble.model.masses)))

    def present(self) -> bytes:
        """The Model's parameters and buffers, to know them again."""
        return b"".join(np.asarray(v.detach()).tobytes() for v in self.ensemble.model.state_dict().values())


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
            samples[ensemble] = Sample(ensemble, list(self.parts[k].values()), list(self.parts[k]))
        return samples
