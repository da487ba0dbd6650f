# SPDX-License-Identifier: MIT
"""A Model's System made ready to be differentiated: what is refused, and which force group holds what."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import openmm

from .. import backends
from ..errors import require
from ..global_parameters import analytic, forces_of, request_derivatives, set_defaults
from ..integrators import NoseHooverChainIntegrator
from ..model import Model

CONSTRAINT_TOLERANCE = 1e-10  # relative: constraints that are not met leave errors in the gradient
_LEARNABLE, _TORCH, _OTHERS = 0, 1, 2  # force groups; forces with differenced parameters have groups from 3


@dataclass
class DifferentiableSystem:
    """A System whose Forces are sorted into force groups by the way of their derivatives.

    Parameters
    ----------
    system
        The Model's System with all learnable forces; it must live as long as its Contexts.
    pair_forces
        (term, its LearnablePairForce as `backends.build` made it), in order; terms with exact=True are torch energies.
    smooth_groups, rough_groups
        Bits of the force groups whose derivatives are differences: of forces in double precision that are smooth, and
        of others.
    parameters
        (name, bits of the groups that depend on it, whether its energy derivative is analytic), in order.
    """

    system: openmm.System
    pair_forces: list
    smooth_groups: int
    rough_groups: int
    parameters: list[tuple[str, int, bool]]


def prepare(model: Model, temperature: float, parameters: Sequence[str], platform: str) -> DifferentiableSystem:
    """Copy a Model's System, with its learnable forces, for derivatives with respect to global parameters."""
    _refuse(model.system)
    system = copy.deepcopy(model.system)
    set_defaults(system, model.global_parameters.as_dict())
    rough = [_is_rough(force, platform) for force in system.getForces()]
    groups = _sort_into_groups(system, parameters, rough)
    by_name = []
    for name in parameters:
        closed = analytic(system, name)
        if closed:
            request_derivatives(system, name)
        bits = sum({1 << groups[index] for index in forces_of(system, name)})
        by_name.append((name, bits, closed))
    bits = {False: 0, True: 0}
    for index, force in enumerate(system.getForces()):
        if not isinstance(force, openmm.CMMotionRemover):
            bits[rough[index]] |= 1 << groups[index]
    pair_forces = []
    for term in model.terms:
        built = backends.build(term.backend if term.spec.exact else "native", term.spec, temperature)
        built.force.setForceGroup(_TORCH if term.spec.exact else _LEARNABLE)
        system.addForce(built.force)
        if not term.spec.exact:
            pair_forces.append((term, built))
    for term in model.energy_terms:
        force = term.create_force()
        force.setForceGroup(_TORCH)
        system.addForce(force)
    return DifferentiableSystem(system, pair_forces, bits[False], bits[True], by_name)


def _is_rough(force: openmm.Force, platform: str) -> bool:
    """Whether a Force is computed in single precision, or jumps at a cutoff by its Ewald tolerance."""
    ewald = (openmm.NonbondedForce.Ewald, openmm.NonbondedForce.PME, openmm.NonbondedForce.LJPME)
    if platform == "Reference":
        return isinstance(force, openmm.NonbondedForce) and force.getNonbondedMethod() in ewald
    kind = type(force).__name__
    bonded = any(word in kind for word in ("Bond", "Angle", "Torsion", "External", "Volume", "RMSD", "Python"))
    return platform != "CPU" or not bonded or kind == "CustomHbondForce"


def _sort_into_groups(system: openmm.System, parameters: Sequence[str], rough: Sequence[bool]) -> list[int]:
    """The new force group of each Force: one for each set of parameters that need differences, rough or smooth."""
    differenced = [name for name in parameters if not analytic(system, name)]
    owners = {name: set(forces_of(system, name)) for name in differenced}
    signatures: dict[tuple, int] = {}
    groups = []
    for index, force in enumerate(system.getForces()):
        held = rough[index], *(name for name in differenced if index in owners[name])
        group = signatures.setdefault(held, _OTHERS + len(signatures))
        require(group < 32, "propagate",
                f"parameters without energy derivatives are spread over {len(signatures)} sets of Forces, and OpenMM "
                "has 32 force groups", "Learn fewer of them at a time")
        force.setForceGroup(group)
        if hasattr(force, "setReciprocalSpaceForceGroup"):
            force.setReciprocalSpaceForceGroup(-1)
        groups.append(group)
    return groups


def _refuse(system: openmm.System) -> None:
    who = "propagate"
    for force in system.getForces():
        kind = type(force).__name__
        require("Barostat" not in kind and "Thermostat" not in kind, who,
                f"{kind} changes the state at random inside steps, and is not differentiable",
                "Leave it out of the Model's System: an Ensemble adds its own barostat and thermostat")
        require("Drude" not in kind, who, f"{kind} needs an integrator that is not differentiable",
                "Use a System that VerletIntegrator can run")


def copy_integrator(integrator: openmm.Integrator | None, timestep: float | None,
                    system: openmm.System) -> openmm.Integrator:
    """A fresh integrator of the same kind; only those whose discrete steps of this System have an adjoint here."""
    who = "propagate"
    remedy = "Pass a VerletIntegrator, a LangevinMiddleIntegrator or openmmgrad.NoseHooverChainIntegrator"
    require(timestep is not None or integrator is not None, who, "expected a timestep, found none",
            "Pass timestep= in ps, or integrator=")
    step = integrator.getStepSize()._value if timestep is None else timestep
    require(0 < step < float("inf"), who, f"the timestep must be positive, found {step} ps", "Give it in ps")
    integrator = openmm.VerletIntegrator(step) if integrator is None else integrator
    require(integrator.getIntegrationForceGroups() == 0xFFFFFFFF or integrator.getIntegrationForceGroups() == -1, who,
            "the integrator leaves out force groups", "Use one that integrates all forces")
    if type(integrator) is openmm.VerletIntegrator:
        copied = openmm.VerletIntegrator(step)
        copied.setConstraintTolerance(min(CONSTRAINT_TOLERANCE, integrator.getConstraintTolerance()))
        return copied
    n = system.getNumConstraints()
    require(n == 0, who, f"the System has {n} constraints, which are differentiable with VerletIntegrator only",
            "Use that, or create the System with constraints=None, rigidWater=False; `weights` works with constraints")
    if isinstance(integrator, NoseHooverChainIntegrator):
        return NoseHooverChainIntegrator(integrator.temperature, step, integrator.degrees_of_freedom,
                                         integrator.chain_masses)
    require(type(integrator) is openmm.LangevinMiddleIntegrator, who,
            f"the steps of {type(integrator).__name__} are not differentiable", remedy, error=TypeError)
    return openmm.LangevinMiddleIntegrator(integrator.getTemperature(), integrator.getFriction(), step)
