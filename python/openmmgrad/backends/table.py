# SPDX-License-Identifier: MIT
"""backend="table": CustomNonbondedForce with a tabulated function; exact, and runs without the plugin."""

from __future__ import annotations

import numpy as np
import openmm

from .spec import PairForceSpec


class TablePairForce:
    """CustomNonbondedForce built from a spec; see `openmmgrad.backends` for the interface.

    OpenMM interpolates a tabulated function by the natural cubic spline through its values, and there is one
    such spline: tabulating u at its own knots reproduces u to rounding, provided its second derivative
    vanishes at both ends. At the cutoff it does. At r = 0 one more knot at -h, where the cubic of [-h, 0] has
    lost its curvature, makes it so (`knot_values`). Several types share a Continuous2DFunction of r and the
    index of the pair of types. Measurements: docs/decisions/0002-table-backend.md.

    No long-range dispersion correction: the potential is the truncated one.
    """

    updates_in_place = True

    def __init__(self, spec: PairForceSpec, temperature: float | None = None) -> None:
        self._spec = spec
        several = spec.n_types > 1
        force = openmm.CustomNonbondedForce("u(r, pair(type1, type2))" if several else "u(r)")
        self._function = _tabulate(spec, np.zeros((spec.n_pairs, spec.n_coefficients)))
        force.addTabulatedFunction("u", self._function)
        if several:
            index = spec.pair_index.astype(float).ravel()
            force.addTabulatedFunction("pair", openmm.Discrete2DFunction(spec.n_types, spec.n_types, index))
            force.addPerParticleParameter("type")
        for particle_type in spec.types:
            force.addParticle([float(particle_type)] if several else [])
        for i, j in spec.exclusions:
            force.addExclusion(i, j)
        for a, b in _disjoint_groups(spec):
            force.addInteractionGroup(a, b)
        force.setNonbondedMethod(force.CutoffPeriodic if spec.periodic else force.CutoffNonPeriodic)
        force.setCutoffDistance(spec.cutoff)
        force.setUseLongRangeCorrection(False)
        self.force = spec.label(force)

    def set_coefficients(self, coefficients: np.ndarray) -> None:
        """Stage coefficients [P, K], kJ/mol."""
        staged = _tabulate(self._spec, self._spec.check_coefficients(coefficients))
        self._function.setFunctionParameters(*staged.getFunctionParameters())

    def update(self, context: openmm.Context) -> None:
        """Bring the staged coefficients into a Context."""
        self.force.updateParametersInContext(context)


def knot_values(coefficients: np.ndarray) -> np.ndarray:
    """Values of the splines [P, K] at r = -h, 0, h, .., cutoff: [P, K-1], kJ/mol.

    The value at -h is that of the cubic on [-h, 0] which joins u at 0 with equal value, slope and curvature
    and whose curvature vanishes at -h; the natural cubic spline through all values is then u itself on [0,
    cutoff].
    """
    c = coefficients
    knots = (c[:, :-2] + 4 * c[:, 1:-1] + c[:, 2:]) / 6
    slope, curvature = (c[:, 2] - c[:, 0]) / 2, c[:, 0] - 2 * c[:, 1] + c[:, 2]
    return np.concatenate([(knots[:, 0] - slope + curvature / 3)[:, None], knots], axis=1)


def _tabulate(spec: PairForceSpec, coefficients: np.ndarray) -> openmm.TabulatedFunction:
    values, start = knot_values(coefficients), -spec.grid.width
    n_pairs, n_values = values.shape
    if n_pairs == 1:
        return openmm.Continuous1DFunction(values[0], start, spec.cutoff)
    return openmm.Continuous2DFunction(n_values, n_pairs, values.ravel(), start, spec.cutoff, 0, n_pairs - 1)


def _disjoint_groups(spec: PairForceSpec) -> list[tuple[list[int], list[int]]]:
    """Groups of which no two hold the same pair, because CustomNonbondedForce would count it twice."""
    if not spec.interaction_groups:
        return []
    label, allowed = spec.signatures
    members = [np.flatnonzero(label == c).tolist() for c in range(len(allowed))]
    groups = [(members[a], members[b]) for a, b in np.argwhere(np.triu(allowed))]
    # without any group everything would interact: a particle with itself is a group without pairs
    return groups or [([0], [0])]
