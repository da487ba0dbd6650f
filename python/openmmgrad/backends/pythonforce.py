# SPDX-License-Identifier: MIT
"""backend="pythonforce": OpenMM's own PythonForce with the spline in numpy, or the raw module in torch."""

from __future__ import annotations

import copy
from functools import cached_property

import numpy as np
import openmm
import torch
from openmm.unit import nanometer

from .neighbors import NeighborPairs
from .spec import PairForceSpec, refuse_update


class PythonPairForce:
    """openmm.PythonForce built from a spec; see `openmmgrad.backends` for the interface.

    OpenMM pickles the evaluation when the force is made, and copies of a System or its XML hold that pickle:
    a force is frozen, and `set_coefficients` starts a new one. Reading such XML needs openmmgrad (and, with
    ``exact=True``, the potential's class); exports to others use "table".
    """

    updates_in_place = False

    def __init__(self, spec: PairForceSpec, temperature: float | None = None) -> None:
        self._spec, self._temperature = spec, temperature
        self._coefficients = np.zeros((spec.n_pairs, spec.n_coefficients))

    def set_coefficients(self, coefficients: np.ndarray) -> None:
        """Stage coefficients [P, K], kJ/mol; with ``exact=True``, the module's present parameters."""
        self._coefficients = self._spec.check_coefficients(coefficients)
        self.__dict__.pop("force", None)

    @cached_property
    def force(self) -> openmm.PythonForce:
        """The force with what is staged."""
        spec = self._spec
        radial = (
            ModuleRadial(spec, self._temperature) if spec.exact else SplineRadial(spec, self._coefficients)
        )
        force = openmm.PythonForce(PairEvaluation(spec, radial))
        force.setUsesPeriodicBoundaryConditions(spec.periodic)
        return spec.label(force)

    def update(self, context: openmm.Context) -> None:
        """Refuse: see the class."""
        refuse_update("pythonforce")


class PairEvaluation:
    """What PythonForce calls: State -> (energy, forces [N, 3]), kJ/mol and kJ/mol/nm."""

    def __init__(self, spec: PairForceSpec, radial: SplineRadial | ModuleRadial) -> None:
        self._spec = spec
        self._radial = radial
        self._neighbors = NeighborPairs(spec)

    def __call__(self, state: openmm.State) -> tuple[float, np.ndarray]:
        """See the class."""
        positions = state.getPositions(asNumpy=True).value_in_unit(nanometer)
        box = (
            state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(nanometer)
            if self._spec.periodic
            else None
        )
        return self.evaluate(positions, box)

    def evaluate(self, positions: np.ndarray, box: np.ndarray | None) -> tuple[float, np.ndarray]:
        """Energy and forces at positions [N, 3] in a reduced box [3, 3], nm."""
        spec = self._spec
        i, j, d = self._neighbors(positions, box)
        r = np.sqrt((d * d).sum(1))
        within = r < spec.cutoff
        i, j, d, r = i[within], j[within], d[within], r[within]
        u, slope = self._radial(r, spec.pair_index[spec.types[i], spec.types[j]])
        on_i = (
            -(slope / np.maximum(r, 1e-300))[:, None] * d
        )  # two particles at one point: no direction, no force
        forces = [np.bincount(i, f, spec.n_particles) - np.bincount(j, f, spec.n_particles) for f in on_i.T]
        return float(u.sum()), np.stack(forces, axis=1)


class SplineRadial:
    """u(r) and u'(r) of the spline: local polynomials of each interval, from the coefficients [P, K]."""

    def __init__(self, spec: PairForceSpec, coefficients: np.ndarray) -> None:
        self._grid, self._coefficients = spec.grid, coefficients

    def __call__(self, r: np.ndarray, pair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[M] nm, [M] -> [M] kJ/mol, [M] kJ/mol/nm."""
        x = r / self._grid.width
        k = np.minimum(x.astype(int), self._grid.n_intervals - 1)
        t = x - k
        c0, c1, c2, c3 = (self._coefficients[pair, k + m] for m in range(4))
        a0, a1 = (c0 + 4 * c1 + c2) / 6, (c2 - c0) / 2
        a2, a3 = (c0 - 2 * c1 + c2) / 2, (c3 - 3 * c2 + 3 * c1 - c0) / 6
        return a0 + t * (a1 + t * (a2 + t * a3)), (a1 + t * (2 * a2 + t * 3 * a3)) / self._grid.width


class ModuleRadial:
    """u(r) and u'(r) of the raw module, its derivative by autograd; one call per pair of types."""

    def __init__(self, spec: PairForceSpec, temperature: float | None) -> None:
        # a copy: the next step of an optimiser must not reach a running Context
        self._potential = copy.deepcopy(spec.potential).requires_grad_(False)
        self._pairs, self._temperature = spec.pairs, temperature

    def __call__(self, r: np.ndarray, pair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[M] nm, [M] -> [M] kJ/mol, [M] kJ/mol/nm."""
        u, slope = np.zeros_like(r), np.zeros_like(r)
        for p, labels in enumerate(self._pairs):
            here = np.flatnonzero(pair == p)
            if len(here):
                with torch.enable_grad():
                    x = torch.from_numpy(r[here]).requires_grad_()
                    energy = self._potential.truncated_energy(x, labels, self._temperature)
                    (gradient,) = torch.autograd.grad(energy.sum(), x)
                u[here], slope[here] = energy.detach().numpy(), gradient.numpy()
        return u, slope
