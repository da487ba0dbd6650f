# SPDX-License-Identifier: MIT
"""Global parameters of a System's Forces: who has them, who reports derivatives, and their defaults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import openmm

from .errors import require


def _with_inner(force: openmm.Force) -> Iterator[openmm.Force]:
    """A Force and the Forces inside it (of a CustomCVForce or an ATMForce)."""
    yield force
    inner = []
    if isinstance(force, openmm.CustomCVForce):
        inner = [force.getCollectiveVariable(i) for i in range(force.getNumCollectiveVariables())]
    elif isinstance(force, openmm.ATMForce):
        inner = [force.getForce(i) for i in range(force.getNumForces())]
    for each in inner:
        yield from _with_inner(each)


def _own_names(force: openmm.Force) -> list[str]:
    if not hasattr(force, "setGlobalParameterDefaultValue"):
        return []
    return [force.getGlobalParameterName(i) for i in range(force.getNumGlobalParameters())]


def available(system: openmm.System) -> list[str]:
    """Names of all global parameters of a System's Forces, sorted."""
    return sorted({name for force in system.getForces() for f in _with_inner(force) for name in _own_names(f)})


def forces_of(system: openmm.System, name: str) -> list[int]:
    """Indices of the Forces that have a global parameter, by themselves or in a Force inside them.

    Examples
    --------
    >>> system = openmm.System()
    >>> _ = system.addForce(openmm.CMMotionRemover())
    >>> bond = openmm.CustomBondForce("k*r^2")
    >>> _ = bond.addGlobalParameter("k", 3.0), system.addForce(bond)
    >>> forces_of(system, "k"), analytic(system, "k")
    ([1], True)
    """
    return [i for i, force in enumerate(system.getForces())
            if any(name in _own_names(f) for f in _with_inner(force))]


def analytic(system: openmm.System, name: str) -> bool:
    """Whether every Force that has a global parameter can report the energy's derivative with respect to it."""
    for index in forces_of(system, name):
        own, *inner = _with_inner(system.getForce(index))
        if not hasattr(own, "addEnergyParameterDerivative") or any(name in _own_names(f) for f in inner):
            return False
    return True


def request_derivatives(system: openmm.System, name: str) -> None:
    """Make every Force that has a global parameter report the energy's derivative with respect to it.

    Raises
    ------
    ValueError
        If one of them cannot (see `analytic`).
    """
    require(analytic(system, name), "request_derivatives",
            f"a Force with the parameter {name!r} reports no derivative with respect to it",
            "Take differences of the energy")
    for index in forces_of(system, name):
        force = system.getForce(index)
        requested = [force.getEnergyParameterDerivativeName(i)
                     for i in range(force.getNumEnergyParameterDerivatives())]
        if name not in requested:
            force.addEnergyParameterDerivative(name)


def set_defaults(system: openmm.System, values: Mapping[str, float]) -> None:
    """Write values as the defaults of every Force that has these global parameters."""
    for top in system.getForces():
        for force in _with_inner(top):
            for i, name in enumerate(_own_names(force)):
                if name in values:
                    force.setGlobalParameterDefaultValue(i, values[name])


def moves_dispersion(system: openmm.System, names: Iterable[str]) -> bool:
    """Whether one of these parameters offsets sigma or epsilon of a NonbondedForce with dispersion correction.

    OpenMM computes that correction from the parameters' defaults when a Context is made, and `Context.setParameter`
    leaves it as it is: at constant volume a constant energy, at other volumes a wrong one.
    """
    names = set(names)
    for force in (f for top in system.getForces() for f in _with_inner(top)):
        if isinstance(force, openmm.NonbondedForce) and force.getUseDispersionCorrection():
            offsets = [force.getParticleParameterOffset(i) for i in range(force.getNumParticleParameterOffsets())]
            if any(name in names for name, _, _, sigma, epsilon in offsets if sigma != 0 or epsilon != 0):
                return True
    return False
