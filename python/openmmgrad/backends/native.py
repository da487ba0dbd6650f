# SPDX-License-Identifier: MIT
"""backend="native": the plugin's LearnablePairForce, the only one with closed-form derivatives."""

from __future__ import annotations

import numpy as np
import openmm

from .spec import PairForceSpec


class NativePairForce:
    """LearnablePairForce built from a spec; see `openmmgrad.backends` for the interface.

    Raises
    ------
    ImportError
        If the compiled plugin is missing.
    """

    updates_in_place = True

    def __init__(self, spec: PairForceSpec, temperature: float | None = None) -> None:
        try:
            from ..plugin import LearnablePairForce
        except ImportError as error:
            raise ImportError(
                "backend='native': expected the compiled module openmmgrad.plugin, found none that loads "
                f"({error}). Install the package with pip, or use backend='table'."
            ) from error
        self._spec = spec
        force = LearnablePairForce(spec.n_types, spec.cutoff, spec.n_coefficients)
        force.setNonbondedMethod(force.CutoffPeriodic if spec.periodic else force.CutoffNonPeriodic)
        force.addParticles(spec.types)
        for i, j in spec.exclusions:
            force.addExclusion(i, j)
        for a, b in spec.interaction_groups:
            force.addInteractionGroup(a.tolist(), b.tolist())
        self.force = spec.label(force)

    def set_coefficients(self, coefficients: np.ndarray) -> None:
        """Stage coefficients [P, K], kJ/mol."""
        index, c = self._spec.pair_index, self._spec.check_coefficients(coefficients)
        for a, b in zip(*np.triu_indices(self._spec.n_types), strict=True):
            self.force.setCoefficients(int(a), int(b), c[index[a, b]])

    def update(self, context: openmm.Context) -> None:
        """Bring the staged coefficients into a Context."""
        self.force.updateParametersInContext(context)
