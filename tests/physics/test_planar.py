# SPDX-License-Identifier: MIT
"""Ensembles in two dimensions: z stays to the bit, and x, y are sampled as by LangevinMiddleIntegrator."""

import numpy as np
import openmm
import pytest
from platforms import NAMES

import openmmgrad as og
from openmmgrad.planar import planar_integrator, start_in_plane
from openmmgrad.units import KB

T, M = 300.0, 40.0


def oscillators(n, k):
    """n independent particles with U = k (x^2 + y^2)/2 and a constant force in z."""
    system = openmm.System()
    force = openmm.CustomExternalForce(f"0.5*{k}*(x^2+y^2)+100*z")
    for i in range(n):
        system.addParticle(M)
        force.addParticle(i)
    system.addForce(force)
    return system


@pytest.mark.parametrize("platform", NAMES)
def test_z_stays_to_the_bit_in_positions_and_velocities(platform):
    positions = np.random.default_rng(0).normal(size=(10, 3))
    ensemble = og.Ensemble(og.Model(oscillators(10, 50.0)), positions, T, n_frames=5, stride=7, platform=platform,
                           threads=1, dimensions=2)
    for frames in (ensemble.sample(), ensemble.sample()):
        assert np.array_equal(frames.positions[:, :, 2], np.tile(positions[:, 2], (5, 1)))
        assert not frames.velocities[:, :, 2].any() and frames.velocities[:, :, :2].all()
    assert not ensemble.velocities[:, 2].any()


def test_a_harmonic_oscillator_has_its_averages_at_a_long_timestep():
    """The middle scheme samples <x^2> = kT/k exactly at any stable timestep: here omega dt = 1."""
    k, dt = 4000.0, 0.1  # omega = sqrt(k/m) = 10/ps
    ensemble = og.Ensemble(og.Model(oscillators(400, k)), np.zeros((400, 3)), T, timestep=dt, friction=5.0,
                           n_frames=60, stride=20, platform="Reference", dimensions=2)
    frames = ensemble.sample()
    square = frames.positions[:, :, :2] ** 2
    stderr = square.mean((0, 2)).std(ddof=1) / np.sqrt(400)  # particles are independent
    assert abs(square.mean() - KB * T / k) < 4 * stderr
    assert stderr < 0.01 * KB * T / k


def test_without_noise_it_steps_as_langevin_middle_does():
    """Argon in a plane, with a frozen atom and a virtual site that pulls on its parents."""
    n, friction, dt = 16, 1e-13, 0.002
    system = openmm.System()
    force = openmm.NonbondedForce()
    for i in range(n + 1):
        system.addParticle(0.0 if i in (5, n) else M)
        force.addParticle(0.0, 0.34, 1.0)
    system.setVirtualSite(n, openmm.TwoParticleAverageSite(0, 15, 0.5, 0.5))
    system.addForce(force)
    x = np.stack([*np.meshgrid(*[0.42 * np.arange(4)] * 2), np.zeros((4, 4))], axis=-1).reshape(n, 3)
    x = np.vstack([x, 0.5 * (x[0] + x[15])])
    v = np.random.default_rng(1).normal(scale=0.2, size=(n + 1, 3)) * [1, 1, 0]
    v[[5, n]] = 0
    ends = []
    for integrator in (openmm.LangevinMiddleIntegrator(T, friction, dt), planar_integrator(T, friction, dt)):
        context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
        context.setPositions(x)
        context.setVelocities(v)
        if isinstance(integrator, openmm.CustomIntegrator):
            start_in_plane(context, x)
        integrator.step(200)
        ends.append(context.getState(positions=True).getPositions(asNumpy=True)._value)
    assert np.abs(ends[0] - x).max() > 0.01
    assert np.abs(ends[0] - ends[1]).max() < 1e-7  # noise of 5e-9 nm/ps a step is left


def test_what_would_leave_the_plane_is_refused():
    model = og.Model(oscillators(2, 50.0))
    with pytest.raises(ValueError, match=r"Ensemble: dimensions must be 2 or 3, found 1"):
        og.Ensemble(model, np.zeros((2, 3)), T, dimensions=1)
    with pytest.raises(ValueError, match=r"Ensemble\(dimensions=2\): found a pressure, and barostats scale z\. Keep"):
        og.Ensemble(model, np.zeros((2, 3)), T, pressure=1.0, dimensions=2)
    tilted = oscillators(2, 50.0)
    tilted.addConstraint(0, 1, 0.1)
    with pytest.raises(ValueError, match=r"constraint between particles 0 and 1 is not parallel.*0 and 0\.1 nm"):
        og.Ensemble(og.Model(tilted), np.array([[0, 0, 0], [0.0, 0.0, 0.1]]), T, dimensions=2)


def test_constraints_in_the_plane_hold():
    system = oscillators(2, 50.0)
    system.addConstraint(0, 1, 0.1)
    ensemble = og.Ensemble(og.Model(system), np.array([[0, 0, 0.5], [0.1, 0.0, 0.5]]), T, n_frames=5, stride=20,
                           platform="Reference", dimensions=2)
    frames = ensemble.sample()
    d = frames.positions[:, 0] - frames.positions[:, 1]
    assert np.linalg.norm(d, axis=1) == pytest.approx([0.1] * 5, rel=1e-4)
    assert (frames.positions[:, :, 2] == 0.5).all()
