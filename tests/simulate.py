# SPDX-License-Identifier: MIT
"""Trajectories by plain OpenMM, losses on them, and differences of those losses: what gradients are checked against."""

from dataclasses import dataclass

import numpy as np
import openmm
import torch

LIGHT = 2.99792458e-2  # cm/ps: an angular frequency in rad/ps is 2 pi LIGHT times a wavenumber in cm^-1


def simulate(system, x0, v0, timestep, n_steps, platform="Reference", parameters=None, stride=1, integrator=None):
    """Positions and half-step velocities, two arrays [T, N, 3], from on-step (x0, v0): T = n_steps // stride + 1.

    A fresh Context each time. Leapfrog (or `integrator`, of that timestep) starts with v0 - dt/2 F(x0)/m.
    Velocities of virtual sites are those of the averages that place them.
    """
    integrator = openmm.VerletIntegrator(timestep) if integrator is None else openmm.XmlSerializer.clone(integrator)
    properties = {"Threads": "1"} if platform == "CPU" else {}
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform), properties)
    for name, value in (parameters or {}).items():
        context.setParameter(name, value)
    context.setPositions(x0)
    context.computeVirtualSites()
    forces = context.getState(forces=True).getForces(asNumpy=True)._value
    masses = np.array([system.getParticleMass(i)._value for i in range(system.getNumParticles())])[:, None]
    context.setVelocities(v0 - timestep / 2 * np.divide(forces, masses, where=masses > 0, out=np.zeros_like(forces)))
    sites = site_matrix(system)
    positions, velocities = [], []
    for step in range(0, n_steps + 1, stride):
        if step:
            integrator.step(stride)
        state = context.getState(positions=True, velocities=True)
        positions.append(state.getPositions(asNumpy=True)._value.copy())
        velocities.append(sites @ state.getVelocities(asNumpy=True)._value)
    return np.array(positions), np.array(velocities)


def site_matrix(system) -> np.ndarray:
    """[N, N]: rows of average sites hold their parents' weights, other rows are those of the identity."""
    matrix = np.eye(system.getNumParticles())
    for i in range(len(matrix)):
        if system.isVirtualSite(i):
            site = system.getVirtualSite(i)
            matrix[i] = 0
            for k in range(site.getNumParticles()):
                matrix[i, site.getParticle(k)] = site.getWeight(k)
    return matrix


@dataclass
class Band:
    """Power of the charge flux J = sum q v within a band of wavenumbers (cm^-1), under a Hann window: an IR band.

    The charges are constants, so that parameters act through the trajectory alone.
    """

    charges: np.ndarray
    timestep: float  # ps, between stored times
    low: float
    high: float
    n_frequencies: int = 8

    def __call__(self, positions, velocities):
        wavenumbers = np.linspace(self.low, self.high, self.n_frequencies)
        times = np.arange(len(velocities))
        phases = 2 * np.pi * LIGHT * wavenumbers[:, None] * times * self.timestep
        window = np.sin(np.pi * times / (len(times) - 1)) ** 2
        projection = np.concatenate([np.cos(phases), np.sin(phases)]) * window
        flux = torch.einsum("i,tia->ta", torch.as_tensor(self.charges), velocities)
        return (torch.as_tensor(projection) @ flux).square().sum() / len(times)


@dataclass
class Probe:
    """A smooth function of every position and velocity of a trajectory, with random weights: no direction is missed."""

    atoms: np.ndarray | None = None  # indices; None is all
    seed: int = 2

    def __call__(self, positions, velocities):
        rng = np.random.default_rng(self.seed)
        atoms = np.arange(positions.shape[1]) if self.atoms is None else self.atoms
        a, b = (torch.as_tensor(rng.normal(size=(2, len(positions), len(atoms), 3))))
        return (a * torch.sin(10 * positions[:, atoms])).sum() + (b * torch.tanh(velocities[:, atoms] / 3)).sum()


def differences(function, step: float) -> tuple[float, float]:
    """Derivative of function(t) at 0, and its uncertainty.

    Central differences with `step` and half of it, extrapolated by Richardson; the uncertainty is what the
    extrapolation changed, a bound while the error falls as step^2 and a fair size once rounding rules.
    """
    coarse = (function(step) - function(-step)) / (2 * step)
    fine = (function(step / 2) - function(-step / 2)) / step
    return (4 * fine - coarse) / 3, abs(fine - coarse) / 3


def parameter_differences(case, losses: dict, run: dict, step: float) -> dict[str, dict[str, tuple[float, float]]]:
    """{loss: {parameter: (size times derivative, uncertainty)}}; `step` is a fraction of each parameter's size."""
    found = {loss: {} for loss in losses}
    for name, size in case.sizes.items():
        def trajectory(t, name=name, size=size):
            moved = {**case.values, name: case.values[name] + t * size}
            return simulate(case.system, case.positions, case.velocities, parameters=moved, **run)
        for loss, derivative in _several(trajectory, losses, step).items():
            found[loss][name] = derivative
    return found


def state_differences(case, losses: dict, run: dict, step: float, seed: int = 4) -> dict:
    """{loss: {"x0", "v0": (derivative, uncertainty)}} along the case's random directions (`directions`)."""
    found = {loss: {} for loss in losses}
    along = directions(case, seed)
    for name, direction in along.items():
        def trajectory(t, name=name, direction=direction):
            x0 = case.positions + (t * direction if name == "x0" else 0)
            v0 = case.velocities + (t * direction if name == "v0" else 0)
            return simulate(case.system, x0, v0, **run)
        for loss, derivative in _several(trajectory, losses, step).items():
            found[loss][name] = derivative
    return found


def directions(case, seed: int = 4) -> dict[str, np.ndarray]:
    """A random direction for the positions (0.01 nm) and one for the velocities (0.3 nm/ps); sites have none."""
    rng = np.random.default_rng(seed)
    real = np.array([not case.system.isVirtualSite(i) for i in range(len(case.positions))])[:, None]
    return {name: size * real * rng.normal(size=case.positions.shape) for name, size in (("x0", 0.01), ("v0", 0.3))}


def _several(trajectory, losses: dict, step: float) -> dict[str, tuple[float, float]]:
    """`differences` of several losses of one family of trajectories."""
    kept = {}

    def value(t, loss):
        if t not in kept:
            kept[t] = [torch.as_tensor(a) for a in trajectory(t)]
        return losses[loss](*kept[t]).item()

    return {loss: differences(lambda t, loss=loss: value(t, loss), step) for loss in losses}
