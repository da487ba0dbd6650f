# SPDX-License-Identifier: MIT
"""dU/dc of stored configurations, in one Context that holds the learnable forces alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import openmm

from . import backends
from .errors import require
from .frames import Frames, State
from .model import Model
from .platforms import properties


class FeatureEvaluator:
    r"""Features of configurations: :math:`\Phi_k = \partial U/\partial c_k` and the virial's derivatives.

    The learnable energy of a frame is linear in the coefficients, U = c . Phi, so a stored frame is reweighted by
    a dot product. The same evaluation serves every backend.

    Parameters
    ----------
    model
        The Model whose terms are evaluated.
    box
        Three box vectors, [3, 3], nm.
    threads
        Threads of the CPU platform; None is OpenMM's choice.
    """

    def __init__(self, model: Model, box: np.ndarray, threads: int | None = None) -> None:
        system = openmm.System()
        for mass in model.masses:
            system.addParticle(mass)
        system.setDefaultPeriodicBoxVectors(*box)
        self._forces = []
        for term in model.terms:
            built = backends.build("native", term.spec)
            built.set_coefficients(np.zeros(term.shape))
            system.addForce(built.force)
            self._forces.append(built.force)
        given = properties("CPU", threads)
        platform = openmm.Platform.getPlatformByName("CPU")
        self._context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform, given)

    def __call__(self, positions: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """dU/dc [F] and d(tr W)/dc [F] of one configuration, positions [N, 3] and box [3, 3] in nm."""
        self._context.setPeriodicBoxVectors(*box)
        self._context.setPositions(positions)
        if not self._forces:
            return np.zeros(0), np.zeros(0)
        features = [force.computeCoefficientDerivatives(self._context).ravel() for force in self._forces]
        virial = [force.computeVirial(self._context)[1].ravel() for force in self._forces]
        return np.concatenate(features), np.concatenate(virial)


def compute_features(model: Model, frames: Frames) -> Frames:
    """The same frames with the features of a Model: of a trajectory that something else has made.

    Parameters
    ----------
    model
        The Model whose learnable terms are evaluated; its present coefficients become the frames' State, which says
        nothing about who made them: use such frames as a target, not with `weights`. Stored energies, which belong to
        what made the frames, are left out.
    frames
        S frames of the Model's particles.

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
    features, virial = features_of(model, frames)
    state = State(model.coefficients(frames.temperature).detach().numpy(), frames.temperature,
                  frames.states[0].pressure, model.global_parameters.as_dict())
    return replace(frames, features=features, virial_features=virial, states=[state],
                   state_index=np.zeros(len(frames), dtype=int), energies=None, learnable_energies=None)


def features_of(model: Model, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """dU/dc and d(tr W)/dc of every frame, [S, F] each."""
    boxes = np.broadcast_to(np.eye(3), (len(frames), 3, 3)) if frames.boxes is None else frames.boxes
    evaluator = FeatureEvaluator(model, boxes[0])
    features, virial = zip(*(evaluator(x, box) for x, box in zip(frames.positions, boxes, strict=True)), strict=True)
    return np.stack(features), np.stack(virial)
