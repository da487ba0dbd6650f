# SPDX-License-Identifier: MIT
"""dU/dc of stored configurations, by the compiled loops over pairs: no Context is needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import backends
from .errors import require
from .frames import Frames, State
from .model import Model
from .plugin import FrameFeatures

_BLOCK = 2**22  # coordinates at a time: what is copied of memory-mapped frames, 32 MB


class FeatureEvaluator:
    r"""Features of configurations: :math:`\Phi_k = \partial U/\partial c_k` and the virial's derivatives.

    The learnable energy of a frame is linear in the coefficients, U = c . Phi, so a stored frame is reweighted by
    a dot product. The same evaluation serves every backend.

    Parameters
    ----------
    model
        The Model whose terms are evaluated.
    threads
        None is one for each processor. The features do not depend on it.
    """

    def __init__(self, model: Model, threads: int | None = None) -> None:
        self._terms = [FrameFeatures(backends.build("native", term.spec).force) for term in model.terms]
        self._n_threads = 0 if threads is None else threads

    def __call__(self, positions: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """dU/dc and d(tr W)/dc, [S, F] each, of positions [S, N, 3] and boxes [S, 3, 3] in nm."""
        values = np.zeros((2, len(positions), sum(term.getNumFeatures() for term in self._terms)))
        n_frames = max(_BLOCK // max(positions[:1].size, 1), 1)
        for start in range(0, len(positions), n_frames):
            part = slice(start, start + n_frames)
            x, cells = (np.ascontiguousarray(array[part], dtype=np.float64) for array in (positions, boxes))
            column = 0
            for term in self._terms:
                features, virial = np.empty((2, len(x), term.getNumFeatures()))
                term.compute(x, cells, self._n_threads, features, virial)
                columns = slice(column, column + features.shape[1])
                values[0, part, columns], values[1, part, columns] = features, virial
                column = columns.stop
        return values[0], values[1]


def compute_features(model: Model, frames: Frames, threads: int | None = None) -> Frames:
    """The same frames with the features of a Model: of a trajectory that something else has made.

    Parameters
    ----------
    model
        The Model whose learnable terms are evaluated; its present coefficients become the frames' State, which says
        nothing about who made them: use such frames as a target, not with `weights`. Stored energies, which belong to
        what made the frames, are left out.
    frames
        S frames of the Model's particles.
    threads
        None is one for each processor. The features do not depend on it.

    Raises
    ------
    ValueError
        If the numbers of particles differ, or a periodic Model gets frames without boxes.
    """
    who = "compute_features"
    require(frames.n_atoms == model.n_particles, who,
            f"expected frames of {model.n_particles} particles, found {frames.n_atoms}",
            "Use frames of the same System")
    require(frames.boxes is not None or not model.periodic, who, "the Model is periodic and the frames have no boxes",
            "Pass boxes= where the frames are made")
    features, virial = features_of(model, frames, threads)
    state = State(model.coefficients(frames.temperature).detach().numpy(), frames.temperature,
                  frames.states[0].pressure, model.global_parameters.as_dict())
    return replace(frames, features=features, virial_features=virial, states=[state],
                   state_index=np.zeros(len(frames), dtype=int), energies=None, learnable_energies=None)


def features_of(model: Model, frames: Frames, threads: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """dU/dc and d(tr W)/dc of every frame, [S, F] each."""
    boxes = np.broadcast_to(np.eye(3), (len(frames), 3, 3)) if frames.boxes is None else frames.boxes
    return FeatureEvaluator(model, threads)(frames.positions, boxes)
