# SPDX-License-Identifier: MIT
"""The Lennard-Jones liquid of benchmarks/gpu.py, without what grows slowly in Python: up to millions of particles."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import openmm

import openmmgrad as og
from openmmgrad import backends
from openmmgrad.contexts import find_platform

REDUCED = og.ReducedUnits(sigma=0.3405, epsilon=0.99607, mass=39.948)
SIGMA, EPSILON, CUTOFF = REDUCED.sigma, REDUCED.epsilon, 2.5 * REDUCED.sigma
DENSITY, TEMPERATURE, TIMESTEP = REDUCED.number_density(0.8442), REDUCED.temperature(0.73), 0.002
PAIRS = 2 / 3 * np.pi * DENSITY * CUTOFF**3  # within the cutoff, per particle


def nonbonded(n: int) -> openmm.Force:
    """OpenMM's own Lennard-Jones."""
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(force.CutoffPeriodic)
    force.setCutoffDistance(CUTOFF)
    force.setUseDispersionCorrection(False)
    for _ in range(n):
        force.addParticle(0, SIGMA, EPSILON)
    return force


def table(n: int) -> openmm.Force:
    """CustomNonbondedForce with a tabulated function of 1000 points."""
    r = np.linspace(0.6 * SIGMA, CUTOFF, 1000)
    force = openmm.CustomNonbondedForce("u(r)")
    force.setNonbondedMethod(force.CutoffPeriodic)
    force.setCutoffDistance(CUTOFF)
    values = 4 * EPSILON * ((SIGMA / r) ** 12 - (SIGMA / r) ** 6)
    force.addTabulatedFunction("u", openmm.Continuous1DFunction(values, r[0], r[-1]))
    for _ in range(n):
        force.addParticle([])
    return force


def potential() -> og.LennardJones:
    """Argon's."""
    return og.LennardJones(SIGMA, EPSILON, cutoff=CUTOFF)


def learnable(n: int, n_types: int = 1) -> og.LearnablePairForce:
    """Our spline with K = 64, equal for all pairs of types."""
    (c,) = potential().coefficients([("A", "A")], TEMPERATURE).detach().numpy()
    force = og.LearnablePairForce(n_types, CUTOFF, len(c))
    force.setNonbondedMethod(force.CutoffPeriodic)
    for a in range(n_types):
        for b in range(a, n_types):
            force.setCoefficients(a, b, c)
    force.addParticles(np.arange(n) % n_types)
    return force


def torchforce(n: int) -> openmm.Force:
    """The same spline as a TorchForce of OpenMM-Torch."""
    (term,) = model(n).terms
    backend = backends.build("torchforce", term.spec, TEMPERATURE)
    backend.set_coefficients(model(n).coefficients(TEMPERATURE).detach().numpy().reshape(term.shape))
    return backend.force


OURS = "LearnablePairForce"
FORCES: dict[str, Callable[[int], openmm.Force]] = {
    OURS: learnable,
    "LearnablePairForce, 4 types": lambda n: learnable(n, 4),
    "NonbondedForce": nonbonded,
    "CustomNonbondedForce, table": table,
}
if importlib.util.find_spec("openmmtorch") is not None:
    FORCES["TorchForce"] = torchforce


def system_of(n: int) -> openmm.System:
    """N masses in a cubic box."""
    system = openmm.System()
    for _ in range(n):
        system.addParticle(REDUCED.mass)
    system.setDefaultPeriodicBoxVectors(*(np.eye(3) * (n / DENSITY) ** (1 / 3)))
    return system


def model(n: int) -> og.Model:
    """For gradients: sigma, epsilon."""
    made = og.Model(system_of(n))
    made.add_pair_potential(potential())
    return made


def lattice(n: int) -> np.ndarray:
    """[N, 3], nm: the first N points of a cubic lattice that fills the box."""
    edge = int(np.ceil(n ** (1 / 3) - 1e-9))
    points = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), -1).reshape(-1, 3)[:n]
    return (points + 0.5) * (n / DENSITY) ** (1 / 3) / edge


@dataclass(frozen=True)
class Device:
    """Where Contexts are made."""

    platform: str
    precision: str
    index: str

    def context(self, force: openmm.Force, n: int) -> openmm.Context:
        """With one Force and Verlet steps of 2 fs."""
        system = system_of(n)
        system.addForce(force)
        properties = {}
        if self.platform in ("CUDA", "OpenCL"):
            properties = {"Precision": self.precision, "DeviceIndex": self.index}
        platform = find_platform(self.platform, "gpu.py")
        made = openmm.Context(system, openmm.VerletIntegrator(TIMESTEP), platform, properties)
        made.held = system, force  # a Force lives as long as its System
        return made


def wait(context: openmm.Context) -> None:
    """Until the device has done what it was asked for."""
    context.getState(energy=True)


def liquid(n: int, device: Device, picoseconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities [N, 3] (nm, nm/ps) of a lattice that melted."""
    context = device.context(learnable(n), n)
    context.setPositions(lattice(n))
    context.setVelocitiesToTemperature(2 * TEMPERATURE, 1)  # half of it goes into melting
    context.getIntegrator().step(int(picoseconds / TIMESTEP))
    context.setVelocitiesToTemperature(TEMPERATURE, 2)
    state = context.getState(positions=True, velocities=True)
    return state.getPositions(asNumpy=True)._value, state.getVelocities(asNumpy=True)._value


class Steps:
    """Dynamics in one Context: seconds per step."""

    def __init__(self, context: openmm.Context, positions: np.ndarray, velocities: np.ndarray, seconds: float) -> None:
        self.context, self.state = context, (positions, velocities)
        self.n_steps = 10
        while (taken := self()) * self.n_steps < seconds / 4 and self.n_steps < 100_000:
            self.n_steps *= 4
        self.n_steps = max(10, int(seconds / taken))

    def __call__(self) -> float:
        """A spell from the same start."""
        positions, velocities = self.state
        self.context.setPositions(positions)
        self.context.setVelocities(velocities)
        self.context.getIntegrator().step(2)
        wait(self.context)
        begin = perf_counter()
        self.context.getIntegrator().step(self.n_steps)
        wait(self.context)
        return (perf_counter() - begin) / self.n_steps
