# SPDX-License-Identifier: MIT
"""Harmonic oscillators: a time correlation needs the weight and the path, each with its closed form."""

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og
from openmmgrad.frames import Frames, State
from openmmgrad.units import KB

K, MASS, KT, TIME, DT = 2.0, 1.0, 1.5, 1.7, 0.01
TEMPERATURE = KT / KB


def oscillator(k=K, mass=MASS, particles=1):
    system = openmm.System()
    force = openmm.CustomExternalForce("0.5*k*(x^2 + y^2 + z^2)")
    force.addGlobalParameter("k", k)
    for i in range(particles):
        system.addParticle(mass)
        force.addParticle(i)
    system.addForce(force)
    model = og.Model(system)
    model.add_parameters({"k": k})
    return model


def quadrature_frames(k=K, mass=MASS):
    """36 frames of one oscillator whose moments to fifth order are exactly canonical: Gauss-Hermite nodes, repeated."""
    nodes = np.sqrt(3.0) * np.array([-1, 0, 0, 0, 0, 1])
    x, v = np.meshgrid(nodes * np.sqrt(KT / k), nodes * np.sqrt(KT / mass), indexing="ij")
    positions, velocities = np.zeros((36, 1, 3)), np.zeros((36, 1, 3))
    positions[:, 0, 0], velocities[:, 0, 0] = x.ravel(), v.ravel()
    return Frames(positions, State([], TEMPERATURE, parameters={"k": k}), velocities=velocities, masses=[mass])


def correlation(model, frames, weight=True, path=True):
    """<x(0) x(t)>, with the graph of the weight, of the path, or of both."""
    w = og.weights(model, frames)
    if not weight:
        w = og.Weights(w.w.detach())
    n_steps = round(TIME / DT)
    trajectory = og.propagate(model, frames, DT, n_steps, stride=n_steps, platform="Reference")
    x = trajectory.positions if path else trajectory.positions.detach()
    return og.expectation(x[:, 0, 0, 0] * x[:, -1, 0, 0], w).mean


def derivative(model, frames, **options):
    (gradient,) = torch.autograd.grad(correlation(model, frames, **options), list(model.parameters()))
    return float(gradient)


def discrete(k, n, dt, mass=MASS):
    """<x(0) x(t)> of the leapfrog map: kT/k cos(n theta), cos theta = 1 - k dt^2 / 2m."""
    return KT / k * np.cos(n * np.arccos(1 - k * dt**2 / (2 * mass)))


def test_weight_and_path_have_their_closed_forms():
    model, frames = oscillator(), quadrature_frames()
    parts = [derivative(model, frames, path=False), derivative(model, frames, weight=False)]
    assert parts == pytest.approx([0.27757, -0.30310], abs=3e-5)  # of continuous time
    total = derivative(model, frames)
    assert total == pytest.approx(-0.02552, abs=3e-5)
    n, h = round(TIME / DT), 1e-5
    exact = (discrete(K + h, n, DT) - discrete(K - h, n, DT)) / (2 * h)
    assert total == pytest.approx(exact, abs=1e-7)  # differences of forces: 1e-7 of the path part
    # either part alone is wrong by more than ten times the whole
    assert all(abs(part - exact) > 10 * abs(exact) for part in parts)


def test_stiff_oscillators_keep_their_phase():
    """omega dt = 0.33, as an O-H bond at 0.5 fs: velocities half a step behind, or <x(0)x(t)> is 17 % off."""
    dt = 0.33 / np.sqrt(K / MASS)
    model, frames = oscillator(), quadrature_frames()
    with torch.no_grad():
        path = og.propagate(model, frames, dt, 60, platform="Reference").positions[:, :, 0, 0]
        found = (path * path[:, :1]).mean(0).numpy()
    expected = discrete(K, np.arange(61), dt)
    assert np.abs(found - expected).max() < 1e-3 * expected[0]
    assert np.abs(found - expected).max() < 1e-9


def test_frames_of_an_ensemble_keep_their_phase():
    """The same from sampled frames: 150 oscillators, 400 frames, standard error over frames."""
    mass, k = 16.0, 16.0 * 400.0**2
    dt = 0.33 / 400.0
    model = oscillator(k, mass, particles=150)
    start = np.random.default_rng(1).normal(size=(150, 3)) * np.sqrt(KT / k)
    ensemble = og.Ensemble(model, start, TEMPERATURE, timestep=dt / 8, n_frames=400, stride=100, friction=50.0,
                           platform="Reference", seed=2)
    frames = ensemble.sample()
    with torch.no_grad():
        path = og.propagate(model, frames, dt, 30, platform="Reference").positions
    found = og.expectation((path * path[:, :1]).mean((2, 3)), og.Weights.uniform(len(path)))
    expected = discrete(k, np.arange(31), dt, mass)
    relative = (found.mean_values - expected) / expected[0]
    error = found.stderr / expected[0]
    assert error.max() < 5e-3
    assert (np.abs(relative) < 4 * error + 1e-3).all()


def test_frames_must_carry_velocities_and_parameters():
    frames = quadrature_frames()
    frames.velocities = None
    with pytest.raises(ValueError, match="velocities"):
        og.propagate(oscillator(), frames, DT, 10, platform="Reference")
