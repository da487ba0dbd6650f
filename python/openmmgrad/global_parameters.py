# SPDX-License-Identifier: MIT
"""Global parameters of a System's Forces as torch parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import openmm
import torch
from torch import Tensor, nn

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


def require_followed_by_dispersion(system: openmm.System, names, who: str) -> None:
    """Refuse, for constant pressure, learnt offsets of sigma or epsilon under a dispersion correction.

    OpenMM computes NonbondedForce's dispersion correction without the offsets. At constant volume it is a constant.
    """
    for force in system.getForces():
        if not isinstance(force, openmm.NonbondedForce) or not force.getUseDispersionCorrection():
            continue
        if force.getNonbondedMethod() in (openmm.NonbondedForce.NoCutoff, openmm.NonbondedForce.CutoffNonPeriodic):
            continue
        offsets = [force.getParticleParameterOffset(i) for i in range(force.getNumParticleParameterOffsets())]
        moved = {name for name, _, _, sigma, epsilon in offsets if sigma != 0 or epsilon != 0}
        learnt = sorted(moved & set(names))
        require(not learnt, who, f"{', '.join(learnt)} offset sigma or epsilon at constant pressure, and "
                "NonbondedForce's dispersion correction does not follow offsets",
                "Call setUseDispersionCorrection(False) before making the Model, or keep the volume constant")


class GlobalParameters(nn.Module):
    """Named scalars: a torch parameter for each learnt global parameter, and the size of its natural change.

    Its torch parameters are called as the global parameters are; characters that torch does not allow become "_".
    """

    def __init__(self) -> None:
        super().__init__()
        self._attributes: dict[str, str] = {}  # name -> name of the torch parameter
        self.scales: dict[str, float] = {}

    @property
    def names(self) -> list[str]:
        """In the order of their addition."""
        return list(self._attributes)

    def add(self, system: openmm.System, values: Mapping[str, float], scale=None) -> None:
        """See `Model.add_parameters`."""
        who = "add_parameters"
        require(isinstance(values, Mapping) and len(values) > 0, who, f"expected {{name: value}}, found {values!r}",
                "Name the global parameters to learn, with their first values", error=TypeError)
        known = available(system)
        for name, value in values.items():
            require(name in known, who,
                    f"no Force has a global parameter {name!r}; found {', '.join(known) or 'none'}",
                    "Choose one of those, or use addGlobalParameter on a Force before making the Model")
            require(name not in self._attributes, who, f"{name!r} is learnt already", "Add each parameter once")
            _require_number(value, f"the value of {name!r}")
        if scale is not None and not isinstance(scale, Mapping):
            scale = dict.fromkeys(values, scale)
        scale = {} if scale is None else scale
        unknown = [name for name in scale if name not in values]
        require(not unknown, who, f"scale has {', '.join(map(repr, unknown))}, which is not among the values",
                "Give scales of the parameters that are added")
        for name, size in scale.items():
            _require_number(size, f"the scale of {name!r}")
            require(size > 0, who, f"the scale of {name!r} must be positive, found {size}",
                    "Give the size of a natural change, in the parameter's unit")
        for name, value in values.items():
            self._attributes[name] = attribute = self._free_attribute(name)
            self.register_parameter(attribute, nn.Parameter(torch.tensor(float(value), dtype=torch.float64)))
            self.scales[name] = float(scale.get(name, abs(value) or 1.0))

    def _free_attribute(self, name: str) -> str:
        attribute = name.replace(".", "_") or "_"
        while hasattr(self, attribute):
            attribute += "_"
        return attribute

    def __getitem__(self, name: str) -> nn.Parameter:
        return getattr(self, self._attributes[name])

    def values(self) -> Tensor:
        """All values in order, [G], with graph."""
        parts = [self[name] for name in self.names]
        return torch.stack(parts) if parts else torch.zeros(0, dtype=torch.float64)

    def as_dict(self) -> dict[str, float]:
        """The present values, as plain numbers.

        Raises
        ------
        ValueError
            If one of them is not finite.
        """
        values = {name: self[name].item() for name in self.names}
        bad = [name for name, value in values.items() if not abs(value) < float("inf")]
        require(not bad, "Model", f"parameters {', '.join(bad)} are NaN or infinite",
                "Restore the last good parameters")
        return values


def _require_number(value, what: str) -> None:
    number = isinstance(value, int | float) or (hasattr(value, "__float__") and not openmm.unit.is_quantity(value))
    require(number, "add_parameters", f"{what} must be a plain number, found {value!r}",
            "Give it in the unit that the Force's expression uses", error=TypeError)
    require(abs(float(value)) < float("inf"), "add_parameters", f"{what} must be finite, found {value}",
            "Give a finite number")
