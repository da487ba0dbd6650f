# SPDX-License-Identifier: MIT
"""Pressure: closed forms, the derivative of the energy by volume, NIST's virial, and both terms of its gradient."""

import numpy as np
import openmm
import pytest
import torch
from reference_data import data_file

import openmmgrad as og
from openmmgrad.fluids import lattice
from openmmgrad.observables.pressure import Pressure
from openmmgrad.units import BAR, KB

N, LENGTH, T = 125, 2.2, 300.0


def a_model(*potentials, n=N, types=None, mass=40.0):
    system = openmm.System()
    for _ in range(n):
        system.addParticle(mass)
    model = og.Model(system)
    for potential in potentials:
        model.add_pair_potential(potential, types=types)
    return model


def shaken_lattice(n_frames, n=N, length=LENGTH, shake=0.04, seed=0):
    rng = np.random.default_rng(seed)
    positions = lattice(n, length) + rng.uniform(-shake, shake, (n_frames, n, 3))
    return og.Frames(positions, og.State([], T), boxes=length * np.eye(3))


def test_an_ideal_gas_has_nkt_over_v():
    frames = og.compute_features(a_model(), shaken_lattice(3))
    values = Pressure(a_model())(frames)
    assert values.shape == (3, 1)
    assert values.numpy() == pytest.approx(N * KB * T / LENGTH**3 / 0.0602214076, rel=1e-12)


def test_particles_without_mass_do_not_count():
    system = openmm.System()
    for k in range(10):
        system.addParticle(40.0 if k < 7 else 0.0)
    model = og.Model(system)
    frames = og.compute_features(model, shaken_lattice(1, n=10))
    assert Pressure(model)(frames).item() == pytest.approx(7 * KB * T / LENGTH**3 / BAR, rel=1e-12)


def test_soft_spheres_obey_the_virial_theorem():
    # u = eps (sigma/r)^12: tr W = 12 U, with U before it is shifted at the cutoff
    epsilon, sigma, cutoff = 1.0, 0.34, 0.9
    model = a_model(og.SoftSphere(epsilon, sigma, cutoff, power=12, n_coefficients=256))
    frames = og.compute_features(model, shaken_lattice(4))
    energies = np.empty(4)
    for s, x in enumerate(frames.positions):
        d = x[:, None] - x
        r = np.linalg.norm(d - LENGTH * np.rint(d / LENGTH), axis=-1)[np.triu_indices(N, 1)]
        assert r.min() > 0.28
        energies[s] = (epsilon * (sigma / r[r < cutoff]) ** 12).sum()
    volume = LENGTH**3
    expected = (N * KB * T + 12 * energies / 3) / volume / BAR
    assert Pressure(model)(frames)[:, 0].detach().numpy() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("rc", [3.0, 4.0])
def test_lennard_jones_has_the_virial_of_nist(rc):
    # configuration 2. The spline ends without the jump of the force at the cutoff: at K = 1500 that is 1e-4 of W
    x = np.loadtxt(data_file("lj_nist_config2.csv"), delimiter=",", skiprows=8)
    virial = {3.0: -568.46, 4.0: -655.99}[rc]
    model = a_model(og.LennardJones(sigma=1.0, epsilon=1.0, cutoff=rc, n_coefficients=1500), n=len(x))
    temperature = 1 / KB  # kT = 1
    frames = og.compute_features(model, og.Frames(x[None], og.State([], temperature), boxes=8.0 * np.eye(3)))
    expected = len(x) / 512 + virial / (3 * 512)
    assert Pressure(model)(frames).item() * BAR == pytest.approx(expected, abs=3e-4 * abs(virial) / (3 * 512))


def test_pressure_is_minus_the_change_of_energy_with_volume():
    types = ["A", "B"] * 62 + ["A"]
    model = a_model(og.LennardJones(0.33, 0.9, 0.9), og.Yukawa(3.0, 4.0, 0.8), types=types)
    frames = shaken_lattice(3)
    c = model.coefficients(T).detach().numpy()
    step = 1e-5

    def energy(volume_scale):
        scale = volume_scale ** (1 / 3)
        scaled = og.Frames(frames.positions * scale, og.State([], T), boxes=frames.boxes * scale)
        return og.compute_features(model, scaled).features @ c

    slope = (energy(1 + step) - energy(1 - step)) / (2 * step * LENGTH**3)
    values = Pressure(model)(og.compute_features(model, frames))[:, 0].detach().numpy()
    assert values * BAR == pytest.approx(N * KB * T / LENGTH**3 - slope, rel=1e-5)


def test_gradient_has_the_explicit_term_and_the_weights_term():
    model = a_model(og.SplinePotential(0.9, 20))
    with torch.no_grad():
        model.potentials[0].values.normal_(generator=torch.Generator().manual_seed(3))
    frames = og.compute_features(model, shaken_lattice(40))
    c = model.coefficients(T).detach().clone().requires_grad_(True)
    pressure = Pressure(model)
    assert pressure.explicit

    class Present:
        """The Model with free coefficients in place of its parameters."""

        reevaluates, n_particles, system, masses = False, N, model.system, model.masses

        def coefficients(self, temperature):
            return c

    mean = og.expectation(Pressure(Present())(frames), og.weights(c, frames)).mean
    (gradient,) = torch.autograd.grad(mean.sum(), c)
    volume, beta = LENGTH**3, 1 / (KB * T)
    phi, psi = frames.features, frames.virial_features
    p = (N * KB * T + psi @ c.detach().numpy() / 3) / volume / BAR
    explicit = psi.mean(0) / (3 * volume * BAR)
    through_weights = -beta * ((p - p.mean())[:, None] * (phi - phi.mean(0))).mean(0)
    assert gradient.numpy() == pytest.approx(explicit + through_weights, rel=1e-9, abs=1e-6)
    assert np.abs(explicit).max() > 1
    assert np.abs(through_weights).max() > 1


def test_gradient_is_the_difference_of_reweighted_pressures():
    model = a_model(og.LennardJones(0.33, 0.9, 0.9))
    frames = og.compute_features(model, shaken_lattice(40))
    pressure, potential = Pressure(model), model.potentials[0]

    def mean():
        return og.expectation(pressure(frames), og.weights(model, frames)).mean.sum()

    gradient = torch.autograd.grad(mean(), [potential.sigma, potential.epsilon])
    for parameter, found in zip((potential.sigma, potential.epsilon), gradient, strict=True):
        values, step = [], 1e-5 * parameter.item()
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(sign * step)
                values.append(mean().item())
                parameter.sub_(sign * step)
        assert found.item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)


def test_a_dense_fluid_obeys_the_virial_theorem_while_it_moves():
    # soft spheres n = 12 have one state variable, rho* T*^(-1/4): at equal values P V / NkT is equal
    ratios = []
    for temperature in (300.0, 1200.0):
        sigma = 0.34 * (temperature / 300.0) ** (1 / 12)  # eps sigma^12 / kT constant at one density
        model = a_model(og.SoftSphere(2.0, sigma, 1.0, power=12, n_coefficients=128))
        ensemble = og.Ensemble(model, lattice(N, LENGTH), temperature, box=[LENGTH] * 3, n_frames=100, stride=20,
                               timestep=0.003, threads=1, equilibration=600, friction=5.0)
        frames = ensemble.sample()
        estimate = og.expectation(Pressure(model)(frames).detach(), og.Weights.uniform(len(frames)))
        scale = BAR * LENGTH**3 / (N * KB * temperature)
        ratios.append((estimate.mean.item() * scale, float(estimate.stderr[0]) * scale))
    (first, error), (second, other) = ratios
    assert first > 1.5
    assert abs(first - second) < 4 * np.hypot(error, other)
