# SPDX-License-Identifier: MIT
"""The total potential energy of stored frames, as they are and under a strain, with graph to all that is learnt."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import openmm
import torch
from torch import Tensor

from .contexts import find_platform
from .errors import require
from .frames import Frames
from .global_parameters import forces_of
from .observables.molecules import Molecules, strained
from .platforms import properties

__all__ = ["Molecules", "SystemEnergies", "strained"]

#: Endings of names of Forces that have no energy.
_WITHOUT_ENERGY = ("Barostat", "Thermostat", "CMMotionRemover")


class SystemEnergies:
    """The methods of a `Model` that concern its whole potential energy."""

    system: openmm.System
    _remembered: RememberedEnergies

    @property
    def molecules(self) -> Molecules:
        """What the System's bonds, constraints and virtual sites connect."""
        if self._remembered.molecules is None:
            self._remembered.molecules = molecules_of(self.system)
        return self._remembered.molecules

    def potential_energies(self, frames: Frames, platform: str = "CPU", threads: int | None = 1) -> Tensor:
        r"""Total potential energy of stored frames at the Model's present parameters, [S], kJ/mol, with graph.

        .. math:: U_\theta(x_s) = U_\text{rest}(x_s) + U_\text{par}(x_s;\theta) + \mathbf c(\theta) \cdot \Phi_s
            + U_\text{torch}(x_s;\theta)

        U_rest, of the Forces that nothing is learnt of, is what the frames' stored energies leave beside the learnt
        energies of the states that made them. Where energies are not stored it is evaluated in a Context. Either way
        it is found once for given frames.

        Parameters
        ----------
        frames
            S frames of the Model's particles.
        platform, threads
            As in `Model.parameter_energies`.

        Raises
        ------
        ValueError
            If particles or boxes do not fit, molecules are broken across the box, or an energy is not finite.
        """
        who = "potential_energies"
        require(frames.n_atoms == self.system.getNumParticles(), who,
                f"expected frames of {self.system.getNumParticles()} particles, found {frames.n_atoms}",
                "Use frames of the same System")
        rest = self._remembered.rest(self, frames, platform, threads)
        learnt = self.energies(self._remembered.with_features(self, frames))
        return torch.as_tensor(rest) + learnt + self.parameter_energies(frames, None, platform, threads)

    def features_of(self, frames: Frames) -> np.ndarray:
        """dU/dc of stored frames, [S, F], dimensionless: the frames' own, or evaluated once where they have none."""
        features = self._remembered.with_features(self, frames).features
        return np.zeros((len(frames), 0)) if features is None else np.asarray(features)

    def strained(self, frames: Frames, strain: np.ndarray) -> Frames:
        """Frames under a small strain [3, 3] of their box, with rigidly moved molecules and new features.

        See `openmmgrad.observables.molecules.strained`. The last two of the same frames are kept, so that what is known
        of them is not computed again.
        """
        return self._remembered.strained(self, frames, np.asarray(strain, dtype=float))


class RememberedEnergies:
    """Contexts, and what does not change while a Model learns. It is not copied with the Model."""

    KEPT = 2  # strained copies of given frames

    def __init__(self) -> None:
        self.molecules: Molecules | None = None
        self._contexts: dict[tuple, openmm.Context] = {}
        self._rest: WeakKeyDictionary[Frames, dict] = WeakKeyDictionary()
        self._featured: WeakKeyDictionary[Frames, Frames] = WeakKeyDictionary()
        self._strained: WeakKeyDictionary[Frames, dict[bytes, Frames]] = WeakKeyDictionary()

    def __getstate__(self) -> dict:
        return {}

    def __setstate__(self, state: dict) -> None:
        self.__init__()

    def rest(self, model: Any, frames: Frames, platform: str, threads: int | None) -> np.ndarray:
        """Energy of the Forces that nothing is learnt of, [S], kJ/mol."""
        rows = self._rest.setdefault(frames, {})
        key = (tuple(model.parameter_names), model.n_features, platform, threads)
        if key not in rows:
            stored = _rest_of_stored(model, frames, platform, threads)
            rows[key] = self._evaluate(model, frames, platform, threads) if stored is None else stored
        return rows[key]

    def with_features(self, model: Any, frames: Frames) -> Frames:
        """The frames, with features where they have none and the Model needs them."""
        if frames.features is not None or model.n_features == 0:
            return frames
        if frames not in self._featured:
            from .features import features_of

            features, virial = features_of(model, frames)
            self._featured[frames] = replace(frames, features=features, virial_features=virial, states=[
                replace(state, coefficients=np.zeros(model.n_features)) for state in frames.states])
        return self._featured[frames]

    def strained(self, model: Any, frames: Frames, strain: np.ndarray) -> Frames:
        """See `SystemEnergies.strained`."""
        rows, key = self._strained.setdefault(frames, {}), strain.tobytes()
        if key not in rows:
            while len(rows) >= self.KEPT:
                rows.pop(next(iter(rows)))
            rows[key] = self.with_features(model, strained(frames, strain, model.molecules))
        return rows[key]

    def _evaluate(self, model: Any, frames: Frames, platform: str, threads: int | None) -> np.ndarray:
        who, energies = "potential_energies", np.zeros(len(frames))
        key = (tuple(model.parameter_names), platform, threads)
        if key not in self._contexts:
            self._contexts[key] = _context(model, frames, platform, threads)
        context = self._contexts[key]
        require(frames.boxes is not None or not context.getSystem().usesPeriodicBoundaryConditions(), who,
                "the System is periodic and the frames have no boxes", "Pass boxes= where the frames are made")
        if _needs_whole_molecules(model.system):
            model.molecules.require_whole(frames, who)
        for s in range(len(frames) if context.getSystem().getNumForces() else 0):
            if frames.boxes is not None:
                context.setPeriodicBoxVectors(*frames.boxes[s])
            context.setPositions(np.asarray(frames.positions[s]))
            energies[s] = context.getState(energy=True).getPotentialEnergy()._value
        bad = np.flatnonzero(~np.isfinite(energies))
        require(len(bad) == 0, who, f"the energy of frame {bad[:1]} is not finite", "Remove frames with overlaps")
        return energies


def _context(model: Any, frames: Frames, platform: str, threads: int | None) -> openmm.Context:
    """A Context of the Forces that have no learnt parameter, without constraints: positions obey them."""
    system = openmm.System()
    for mass in model.masses:
        system.addParticle(mass)
    learnt = {index for name in model.parameter_names for index in forces_of(model.system, name)}
    for index, force in enumerate(model.system.getForces()):
        if index not in learnt and not type(force).__name__.endswith(_WITHOUT_ENERGY):
            system.addForce(copy.deepcopy(force))
    if frames.boxes is not None:
        system.setDefaultPeriodicBoxVectors(*frames.boxes[0])
    given = properties(platform, threads)
    return openmm.Context(system, openmm.VerletIntegrator(0.001), find_platform(platform, "potential_energies"), given)


def _needs_whole_molecules(system: openmm.System) -> bool:
    """Whether pairs are excluded as they are, not by nearest images: then Ewald sums need molecules in one piece."""
    return any(isinstance(force, openmm.NonbondedForce) and force.getNumExceptions() > 0
               and not force.getExceptionsUsePeriodicBoundaryConditions() for force in system.getForces())


def _rest_of_stored(model: Any, frames: Frames, platform: str, threads: int | None) -> np.ndarray | None:
    """Stored energies less the learnt ones of the states that made the frames, [S]; None where these are not known."""
    names, index = model.parameter_names, frames.state_index
    if frames.energies is None or any(set(state.parameters) != set(names) for state in frames.states):
        return None
    learnable = frames.learnable_energies
    if learnable is None:
        known = frames.features is not None and frames.features.shape[1] == model.n_features
        if model.reevaluates or not (known or model.n_features == 0):
            return None
        coefficients = np.stack([state.coefficients for state in frames.states])
        learnable = (frames.features * coefficients[index]).sum(1) if model.n_features else 0.0
    rest = np.array(frames.energies) - learnable
    for k, state in enumerate(frames.states if names else []):
        point = torch.tensor([state.parameters[name] for name in names], dtype=torch.float64)
        with torch.no_grad():
            rest[index == k] -= model.parameter_energies(frames, point, platform, threads).numpy()[index == k]
    return rest


def molecules_of(system: openmm.System) -> Molecules:
    """What bonds, constraints and virtual sites of a System connect."""
    context = openmm.Context(copy.deepcopy(system), openmm.VerletIntegrator(0.001),
                             openmm.Platform.getPlatformByName("Reference"))
    labels = np.zeros(system.getNumParticles(), dtype=int)
    for k, members in enumerate(context.getMolecules()):
        labels[list(members)] = k
    masses = np.array([system.getParticleMass(i)._value for i in range(system.getNumParticles())])
    return Molecules(labels, masses, np.array(_bonds(system), dtype=int).reshape(-1, 2))


def _bonds(system: openmm.System) -> list[tuple[int, int]]:
    """Pairs that are constrained or bonded, and so are close in space."""
    pairs = [tuple(system.getConstraintParameters(k)[:2]) for k in range(system.getNumConstraints())]
    for force in system.getForces():
        if isinstance(force, openmm.HarmonicBondForce | openmm.CustomBondForce):
            pairs += [tuple(force.getBondParameters(k)[:2]) for k in range(force.getNumBonds())]
    return pairs
