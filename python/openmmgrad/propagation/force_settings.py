# SPDX-License-Identifier: MIT
"""Settings of a System's Forces that spoil derivatives taken by differences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import openmm

_COULOMB = 138.935  # kJ nm/mol/e^2


def force_settings(system: openmm.System) -> list[str]:
    """Settings that make forces jump where pairs pass a cutoff, or leave Ewald sums rough, and what to set instead."""
    found = []
    for index, force in enumerate(system.getForces()):
        who = f"Force {index} ({force.getName()})"
        if isinstance(force, openmm.NonbondedForce):
            found += [f"{who} {text}" for text in _nonbonded(force)]
        elif isinstance(force, openmm.CustomNonbondedForce):
            if force.getNonbondedMethod() != force.NoCutoff and not force.getUseSwitchingFunction():
                cutoff = force.getCutoffDistance()._value
                found.append(f"{who} cuts off at {cutoff:g} nm without a switching function: forces jump there unless "
                             f"its expression ends smoothly. {_switch(cutoff)}")
        elif isinstance(force, openmm.GBSAOBCForce | openmm.CustomGBForce | openmm.CustomHbondForce
                        | openmm.CustomManyParticleForce) and force.getNonbondedMethod() != force.NoCutoff:
            found.append(f"{who} cuts off at {force.getCutoffDistance()._value:g} nm, and has no switching function: "
                         "forces may jump there. Set NoCutoff, or a cutoff where little is left.")
    return found


def _nonbonded(force: openmm.NonbondedForce) -> Iterator[str]:
    method, cutoff = force.getNonbondedMethod(), force.getCutoffDistance()._value
    if method == force.NoCutoff:
        return
    particles = [force.getParticleParameters(i) for i in range(force.getNumParticles())]
    offsets = [force.getParticleParameterOffset(i) for i in range(force.getNumParticleParameterOffsets())]
    q, sigma, epsilon = (np.array([[value._value for value in row] for row in particles]).reshape(-1, 3)).T
    if method != force.LJPME and not force.getUseSwitchingFunction():
        ratio = (sigma / cutoff) ** 6
        jump = np.abs(24 * epsilon / cutoff * (2 * ratio**2 - ratio)).max(initial=0.0)
        if jump > 0 or any(offset[4] != 0 for offset in offsets):
            yield (f"cuts Lennard-Jones off at {cutoff:g} nm without a switching function: forces jump there by up to "
                   f"{jump:.2g} kJ/mol/nm a pair. {_switch(cutoff)}")
    if method in (force.CutoffPeriodic, force.CutoffNonPeriodic):
        left = 3 / (2 * force.getReactionFieldDielectric() + 1)  # of the Coulomb force at the cutoff
        jump = left * _COULOMB * np.square(q).max(initial=0.0) / cutoff**2
        if left > 1e-4 and (jump > 0 or any(offset[2] != 0 for offset in offsets)):
            yield (f"has a reaction field whose force jumps at {cutoff:g} nm by up to {jump:.2g} kJ/mol/nm a pair. "
                   "Set setReactionFieldDielectric(1e9), or PME.")
    elif force.getEwaldErrorTolerance() > 1.001e-5 and force.getPMEParameters()[0]._value == 0:
        yield (f"has an Ewald tolerance of {force.getEwaldErrorTolerance():g}: reciprocal and direct forces do not "
               "match to better than that. Set setEwaldErrorTolerance(1e-5).")


def _switch(cutoff: float) -> str:
    return f"Set setUseSwitchingFunction(True) and setSwitchingDistance({0.9 * cutoff:.3g})."
