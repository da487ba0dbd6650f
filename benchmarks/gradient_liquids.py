# SPDX-License-Identifier: MIT
"""Liquids of benchmarks/gradient.py: where windows start, plain dynamics of them, and the gradient of a window."""

from dataclasses import dataclass
from time import perf_counter, process_time

import force as argon
import numpy as np
import openmm
import torch

import openmmgrad as og

MOLECULES, LENGTH = 333, (333 / 33.33) ** (1 / 3)  # of the smallest box of water; nm


@dataclass
class Liquid:
    """Where windows start: positions, velocities [N, 3], a timestep (ps), a temperature (K)."""

    positions: np.ndarray
    velocities: np.ndarray
    box: np.ndarray
    timestep: float
    temperature: float

    def loss(self, path: og.Path) -> torch.Tensor:
        """Mean squared displacement and velocity correlation at the last time."""
        x, v = path.positions[0], path.velocities[0, -1]
        return ((x[-1] - x[0]) ** 2).sum(1).mean() + (v * torch.as_tensor(self.velocities)).sum(1).mean()


def cpu_context(system: openmm.System, integrator: openmm.Integrator, threads: int) -> openmm.Context:
    """On the CPU platform."""
    return openmm.Context(system, integrator, openmm.Platform.getPlatformByName("CPU"), {"Threads": str(threads)})


def with_velocities(system: openmm.System, positions: np.ndarray, timestep: float, temperature: float) -> Liquid:
    """Positions with velocities of a temperature."""
    context = cpu_context(system, openmm.VerletIntegrator(timestep), 1)
    context.setPositions(positions)
    context.setVelocitiesToTemperature(temperature, 1)
    state = context.getState(velocities=True)
    velocities = state.getVelocities(asNumpy=True)._value
    return Liquid(positions, velocities, state.getPeriodicBoxVectors(asNumpy=True)._value, timestep, temperature)


class Plain:
    """Dynamics of a window by integrator.step alone."""

    def __init__(self, system: openmm.System, liquid: Liquid, n_steps: int, threads: int) -> None:
        self.liquid, self.n_steps = liquid, n_steps
        self.context = cpu_context(system, openmm.VerletIntegrator(liquid.timestep), threads)

    def __call__(self) -> dict[str, float]:
        """Seconds and CPU seconds."""
        self.context.setPositions(self.liquid.positions)
        self.context.setVelocities(self.liquid.velocities)
        self.context.getIntegrator().step(2)
        begin, cpu = perf_counter(), process_time()
        self.context.getIntegrator().step(self.n_steps)
        return {"seconds": perf_counter() - begin, "cpu": process_time() - cpu}


class Gradient:
    """The loss of a window and its gradient; keywords go to the Propagator."""

    def __init__(self, model: og.Model, liquid: Liquid, n_steps: int, threads: int, **keywords) -> None:
        self.model, self.liquid = model, liquid
        self.propagator = og.Propagator(model, liquid.timestep, n_steps, stride=n_steps, platform="CPU",
                                        threads=threads, temperature=liquid.temperature, **keywords)  # fmt: skip

    def __call__(self) -> dict[str, float]:
        """Seconds and CPU seconds, and seconds of its two halves."""
        self.model.zero_grad()
        begin, cpu = perf_counter(), process_time()
        self.path = self.propagator(initial=(self.liquid.positions, self.liquid.velocities))
        self.loss = self.liquid.loss(self.path)
        middle = perf_counter()
        self.loss.backward()
        end = perf_counter()
        return {"seconds": end - begin, "cpu": process_time() - cpu, "forward": middle - begin,
                "backward": end - middle}  # fmt: skip


def argon_liquid(n: int, threads: int) -> Liquid:
    """N atoms of liquid argon; large ones are eight copies of a smaller one side by side."""
    if n > 8000 and n % 8 == 0:
        small = argon_liquid(n // 8, threads)
        corners = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
        positions = (small.positions + corners * small.box[0, 0]).reshape(-1, 3)
    else:
        positions = argon.liquid(n, threads)
    return with_velocities(argon_model(n).create_system(), positions, 0.002, argon.TEMPERATURE)


def argon_model(n: int) -> og.Model:
    """A LearnablePairForce alone."""
    system, topology, _ = og.bead_fluid(n, argon.REDUCED.number_density(0.8442), argon.REDUCED.mass)
    model = og.Model(system, topology)
    model.add_pair_potential(og.LennardJones(argon.SIGMA, argon.EPSILON, argon.CUTOFF, truncation="shift-force"))
    return model


def argon_nonbonded(n: int) -> openmm.System:
    """OpenMM's own Lennard-Jones alone."""
    system, _, _ = og.bead_fluid(n, argon.REDUCED.number_density(0.8442), argon.REDUCED.mass)
    force = argon.nonbonded(n)
    force.setCutoffDistance(argon.CUTOFF)
    system.addForce(force)
    return system


def argon_case(liquid: Liquid, n_steps: int, threads: int) -> dict:
    """What gradient_peers.py reads."""
    return {"positions": liquid.positions, "velocities": liquid.velocities, "length": liquid.box[0, 0],
            "sigma": argon.SIGMA, "epsilon": argon.EPSILON, "cutoff": argon.CUTOFF, "mass": argon.REDUCED.mass,
            "timestep": liquid.timestep, "n_steps": n_steps, "threads": threads}  # fmt: skip


def water_system(tiles: tuple[int, int, int]) -> openmm.System:
    """Flexible SPC/Fw water (Wu, Tepper, Voth, J. Chem. Phys. 124, 024503 (2006)), in copies of one cubic box."""
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*(np.diag(tiles) * LENGTH))
    pme = openmm.NonbondedForce()
    pme.setNonbondedMethod(openmm.NonbondedForce.PME)
    pme.setCutoffDistance(0.9)
    pme.setUseSwitchingFunction(True)
    pme.setSwitchingDistance(0.8)
    pme.setUseDispersionCorrection(False)
    pme.setEwaldErrorTolerance(1e-5)
    pme.addGlobalParameter("charge_shift", 0.0)
    bonds = openmm.CustomBondForce("0.5*k_OH*(r-0.1012)^2")
    bonds.addGlobalParameter("k_OH", 443153.8)
    angles = openmm.HarmonicAngleForce()
    for force in (bonds, angles):
        force.setUsesPeriodicBoundaryConditions(True)
    oxygen, hydrogen = (15.9994, -0.82, 0.3165492, 0.650299, -2), (1.008, 0.41, 1.0, 0.0, 1)
    for o in range(0, 3 * MOLECULES * int(np.prod(tiles)), 3):
        for mass, charge, sigma, epsilon, shift in (oxygen, hydrogen, hydrogen):
            system.addParticle(mass)
            pme.addParticleParameterOffset("charge_shift", pme.addParticle(charge, sigma, epsilon), shift, 0, 0)
        for pair in ((o, o + 1), (o, o + 2), (o + 1, o + 2)):
            pme.addException(*pair, 0, 1, 0)
        bonds.addBond(o, o + 1)
        bonds.addBond(o, o + 2)
        angles.addAngle(o + 1, o, o + 2, np.radians(113.24), 317.5656)
    for force in (pme, bonds, angles):
        system.addForce(force)
    return system


def water_box(threads: int) -> np.ndarray:
    """The smallest box of water after 2 ps at 300 K, [999, 3], nm."""
    _, _, centres = og.bead_fluid(MOLECULES, MOLECULES / LENGTH**3, 18.0)
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(MOLECULES, 3, 3)))[0]
    half = np.radians(113.24 / 2)
    shape = 0.1012 * np.array([[0, 0, 0], [np.sin(half), np.cos(half), 0], [-np.sin(half), np.cos(half), 0]])
    context = cpu_context(water_system((1, 1, 1)), openmm.LangevinMiddleIntegrator(300, 5, 0.0005), threads)
    context.setPositions((centres[:, None] + shape @ turned).reshape(-1, 3))
    openmm.LocalEnergyMinimizer.minimize(context, 100, 200)
    context.setVelocitiesToTemperature(300, 1)
    context.getIntegrator().step(4000)
    return context.getState(positions=True).getPositions(asNumpy=True)._value


def water_liquid(n: int, box: np.ndarray) -> tuple[Liquid, openmm.System]:
    """About n atoms of water, 1, 4 or 16 copies of one box side by side."""
    tiles = min(((1, 1, 1), (2, 2, 1), (4, 2, 2)), key=lambda t: abs(np.prod(t) * len(box) - n))
    shifts = LENGTH * np.stack(np.meshgrid(*map(np.arange, tiles), indexing="ij"), axis=-1).reshape(-1, 1, 3)
    system = water_system(tiles)
    return with_velocities(system, (box[None] + shifts).reshape(-1, 3), 0.0005, 300.0), system
