# SPDX-License-Identifier: MIT
"""Atoms in wells for the tests of fitting: global parameters, torch energies and paths in seconds, on Reference."""

import numpy as np
import openmm
import torch

import openmmgrad as og
from openmmgrad.observables import Observable

KT, MASS = 1.5, 1.0
TEMPERATURE = KT / og.units.KB


class MeanSquare(Observable):
    """<x^2 + y^2 + z^2> over the atoms, nm^2: 3 kT/k of oscillators."""

    grid, unit, name, axis = np.zeros(1), "nm^2", "r^2", ""

    def __call__(self, frames):
        return torch.as_tensor((np.asarray(frames.positions) ** 2).sum(-1).mean(1, keepdims=True))


class Tether(torch.nn.Module):
    """k r^2 / 2 of every atom."""

    def __init__(self, k: float) -> None:
        super().__init__()
        self.k = torch.nn.Parameter(torch.tensor(k, dtype=torch.float64))

    def energy(self, positions, box):
        return 0.5 * self.k * (positions**2).sum()


def well(n: int, k: float) -> openmm.CustomExternalForce:
    """One well for n atoms, with a global parameter k."""
    force = openmm.CustomExternalForce("0.5*k*(x^2 + y^2 + z^2)")
    force.addGlobalParameter("k", k)
    for i in range(n):
        force.addParticle(i)
    return force


def atoms(n: int, mass: float) -> openmm.System:
    """Atoms without forces."""
    system = openmm.System()
    for _ in range(n):
        system.addParticle(mass)
    return system


def wells(k: float, n: int = 40, scale=None) -> og.Model:
    """Oscillators whose k is learnt."""
    system = atoms(n, MASS)
    system.addForce(well(n, k))
    model = og.Model(system)
    model.add_parameters({"k": k}, scale=scale)
    return model


def tethered(k: float, n: int = 20) -> og.Model:
    """The same by a torch energy."""
    model = og.Model(atoms(n, MASS))
    model.add_energy(Tether(k), periodic=False)
    return model


def ensemble(model: og.Model, n_frames: int = 80, temperature: float = TEMPERATURE, name: str = "wells",
             seed: int = 1, stride: int = 40) -> og.Ensemble:
    """Oscillators at kT = 1.5 kJ/mol, frames a few correlation times apart."""
    start = np.random.default_rng(1).normal(size=(model.n_particles, 3))
    return og.Ensemble(model, start, temperature, timestep=0.1, friction=1.0, n_frames=n_frames, platform="Reference",
                       equilibration=100, name=name, seed=seed, stride=stride)


def droplet(k: float, epsilon: float, n_frames: int = 100, name: str = "droplet", seed: int = 1) -> og.Ensemble:
    """24 Lennard-Jones atoms in a well: k is a global parameter, epsilon that of a pair potential; sigma is fixed."""
    system = atoms(24, 39.948)
    system.addForce(well(24, k))
    model = og.Model(system)
    potential = og.LennardJones(sigma=0.34, epsilon=epsilon, cutoff=0.85, n_coefficients=48)
    potential.sigma.requires_grad_(False)
    model.add_pair_potential(potential, periodic=False)
    model.add_parameters({"k": k})
    return og.Ensemble(model, og.fluids.lattice(24, 1.1) - 0.55, 150.0, timestep=0.02, friction=1.0, n_frames=n_frames,
                       platform="Reference", name=name, seed=seed, stride=50, equilibration=500, threads=1)


def droplet_rdf() -> og.RDF:
    """Of a system without a volume."""
    return og.RDF(None, None, r_max=1.2, bins=30, normalization="window")


def without_features(frames: og.Frames) -> og.Frames:
    """Positions and velocities alone, as of another program."""
    return og.Frames(frames.positions, og.State([], frames.temperature), velocities=frames.velocities,
                     masses=frames.masses)


def interrupted_at(segment: int, sample):
    """`Ensemble.sample` that is interrupted before a segment."""
    def interrupted(self, **options):
        if self.segment == segment:
            raise KeyboardInterrupt
        return sample(self, **options)
    return interrupted
