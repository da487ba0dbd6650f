# SPDX-License-Identifier: MIT
"""What dynamics and symmetry conserve: energy, momentum, time reversal, translations, rotations, images."""

import numpy as np
import openmm
import platforms
import pytest

import openmmgrad as og

REDUCED = og.ReducedUnits(sigma=0.34, epsilon=0.996, mass=39.948)
CUTOFF, N = 2.5 * REDUCED.sigma, 125
TEMPERATURE = REDUCED.temperature(1.2)
TRICLINIC = np.array([[2.2, 0.0, 0.0], [0.9, 2.1, 0.0], [-0.8, 0.7, 2.0]])  # nm
# rounding of forces: our CPU kernel works in single precision where no energy is asked for, as in steps
EPS = np.finfo(float).eps
STEP_EPS = {"Reference": EPS, "CPU": float(np.finfo(np.float32).eps)}


# -- dynamics of a liquid --

@pytest.fixture(scope="module")
def liquid():
    """System, positions and velocities of an equilibrated Lennard-Jones liquid at rho* = 0.7."""
    system, topology, positions = og.bead_fluid(N, REDUCED.number_density(0.7), REDUCED.mass)
    model = og.Model(system, topology)
    model.add_pair_potential(og.LennardJones(REDUCED.sigma, REDUCED.epsilon, CUTOFF))
    ensemble = og.Ensemble(model, positions, TEMPERATURE, timestep=0.005, n_frames=1, threads=1, equilibration=2000)
    frames = ensemble.sample()
    return model.create_system(TEMPERATURE), frames.positions[0], frames.velocities[0]


class Leapfrog:
    """OpenMM's VerletIntegrator, begun from velocities at the time of the positions."""

    def __init__(self, system, platform, x, v, timestep):
        self.timestep, self.context = timestep, platforms.context(system, platform, x, timestep)
        self.context.setVelocities(v - 0.5 * timestep * self.acceleration())

    def acceleration(self):
        return platforms.energy_and_forces(self.context)[1] / REDUCED.mass

    def step(self, n):
        self.context.getIntegrator().step(n)

    @property
    def positions(self):
        return self.context.getState(positions=True).getPositions(asNumpy=True)._value

    @property
    def velocities(self):
        """At the time of the positions."""
        v = self.context.getState(velocities=True).getVelocities(asNumpy=True)._value
        return v + 0.5 * self.timestep * self.acceleration()

    def energy(self):
        return platforms.energy_and_forces(self.context)[0] + 0.5 * REDUCED.mass * (self.velocities**2).sum()


@pytest.mark.parametrize("platform", platforms.NAMES)
def test_energy_error_of_dynamics_is_second_order_in_the_timestep(liquid, platform):
    timesteps, errors = np.array([0.0025, 0.005, 0.01]), []
    for timestep in timesteps:
        run = Leapfrog(*liquid[:1], platform, *liquid[1:], timestep)
        start, off = run.energy(), []
        for _ in range(30):
            run.step(round(0.05 / timestep))
            off.append(run.energy() - start)
        errors.append(np.sqrt(np.mean(np.square(off))))
    slope = np.polyfit(np.log(timesteps), np.log(errors), 1)[0]
    print(f"{platform}: rms energy errors {errors} kJ/mol, order {slope:.3f}")
    assert slope == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("platform", platforms.NAMES)
def test_running_back_restores_the_start_and_momentum_stays(liquid, platform):
    system, x0, v0 = liquid
    run = Leapfrog(system, platform, x0, v0, 0.005)
    impulses = 400 * 0.005 * REDUCED.mass * np.abs(run.acceleration()).sum()
    # OpenMM makes velocities anew from differences of rounded positions in every step
    rounding = REDUCED.mass * EPS * np.abs(x0).max() / 0.005 * np.sqrt(400 * N)
    run.step(400)
    x, v = run.positions, run.velocities
    assert np.abs(x - x0).max() > 0.1
    drift = REDUCED.mass * np.abs((v - v0).sum(0)).max()
    back = Leapfrog(system, platform, x, -v, 0.005)
    back.step(400)
    error = np.abs(back.positions - x0).max()
    print(f"{platform}: reversal error {error:.1e} nm after 2 ps and back; momentum off by {drift:.1e} of "
          f"{REDUCED.mass * np.abs(v0).sum():.0f} amu nm/ps")
    assert drift < 4 * rounding + STEP_EPS[platform] * impulses
    reversal = {"Reference": 1e-10, "CPU": 1e-4}[platform]  # nm: rounding times e^(a few) for chaos
    assert error < reversal
    assert np.abs(back.velocities + v0).max() < 10 * reversal


# -- symmetry of one configuration --

@pytest.fixture(params=["Reference", "CPU", "CPU in steps"])
def particles(request):
    return Particles(*request.param.split(" ", 1))


class Particles:
    """Energy and forces of 60 particles of two types with random splines, as a function of positions and box."""

    def __init__(self, platform, in_steps=""):
        rng = np.random.default_rng(4)
        self.eps = STEP_EPS[platform] if in_steps else EPS
        self.in_steps, self.platform, self.types = in_steps, platform, rng.permutation(np.arange(60) % 2)
        self.x = rng.random((60, 3)) @ TRICLINIC
        self.c = rng.normal(size=(3, 24))
        self.c[:, -3:] = 0

    def __call__(self, x, box=TRICLINIC, types=None):
        system = openmm.System()
        for _ in x:
            system.addParticle(40.0)
        force = og.LearnablePairForce(2, 0.9, 24)
        force.addParticles(self.types if types is None else types)
        for c, pair in zip(self.c, [(0, 0), (0, 1), (1, 1)], strict=True):
            force.setCoefficients(*pair, c)
        if box is not None:
            system.setDefaultPeriodicBoxVectors(*box)
        force.setNonbondedMethod(force.CutoffNonPeriodic if box is None else force.CutoffPeriodic)
        system.addForce(force)
        context = platforms.context(system, self.platform, x)
        energy, forces = platforms.energy_and_forces(context)
        if self.in_steps:
            forces = context.getState(forces=True).getForces(asNumpy=True)._value.copy()
        return energy, forces

    def agree(self, found, expected):
        """Energies and forces to rounding: of positions up to 10 nm times the largest slope and curvature of u.

        In single precision only distances are rounded, which are at most the cutoff.
        """
        width = 0.9 / 21
        slope, curvature = np.abs(np.diff(self.c)).max() / width, np.abs(np.diff(self.c, 2)).max() / width**2
        reach = 10.0 if self.eps == EPS else 0.9
        assert found[0] == pytest.approx(expected[0], abs=10 * 10.0 * EPS * slope)
        assert np.abs(found[1] - expected[1]).max() < 4 * reach * self.eps * curvature


def test_forces_sum_to_zero(particles):
    _, forces = particles(particles.x)
    assert np.abs(forces).max() > 1
    assert np.abs(forces.sum(0)).max() < 10 * particles.eps * np.abs(forces).max()


def test_translation_changes_nothing(particles):
    particles.agree(particles(particles.x + [0.37, -1.91, 2.6]), particles(particles.x))


def test_images_are_the_same_particle(particles):
    images = np.random.default_rng(1).integers(-2, 3, size=(60, 3))
    assert np.abs(images).sum() > 60
    particles.agree(particles(particles.x + images @ TRICLINIC), particles(particles.x))


def test_permuted_particles_have_permuted_forces(particles):
    order = np.random.default_rng(2).permutation(60)
    energy, forces = particles(particles.x)
    particles.agree(particles(particles.x[order], types=particles.types[order]), (energy, forces[order]))
    swapped, _ = particles(particles.x[order])  # types stay behind: other neighbours, another energy
    assert abs(swapped - energy) > 1e-3


def test_rotation_rotates_forces_without_a_box(particles):
    rotation, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    energy, forces = particles(particles.x, box=None)
    particles.agree(particles(particles.x @ rotation, box=None), (energy, forces @ rotation))


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 0, 1)])
def test_rotation_of_box_and_particles_rotates_forces(particles, order):
    # OpenMM wants the first vector along x: the lattice is turned until another one of its vectors lies there
    rotation, upper = np.linalg.qr(TRICLINIC[list(order)].T)
    signs = np.sign(np.diag(upper))
    rotation, box = rotation * signs, (upper * signs[:, None]).T
    assert np.linalg.det(rotation) == pytest.approx(1) and np.abs(rotation - np.eye(3)).max() > 0.5
    box = np.tril(box)
    for row, other in ((2, 1), (2, 0), (1, 0)):
        box[row] -= box[other] * np.rint(box[row, other] / box[other, other])
    energy, forces = particles(particles.x)
    particles.agree(particles(particles.x @ rotation, box=box), (energy, forces @ rotation))
