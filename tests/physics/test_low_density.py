# SPDX-License-Identifier: MIT
"""Ensembles against statistical mechanics: pairs alone in a box, an ideal gas under pressure, kinetic energy, seeds.

Two particles in a periodic box have g(r) = exp(-u/kT) V/Z below half the box, with
Z = V + int 4 pi r^2 (exp(-u/kT) - 1) dr: the limit of low density without its corrections. 32 such pairs, which do
not see each other, are run at once.
"""

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og
from openmmgrad.units import BAR, KB

REDUCED = og.ReducedUnits(sigma=0.34, epsilon=0.996, mass=39.948)
CUTOFF, LENGTH, N = 2.5 * REDUCED.sigma, 1.75, 64  # nm
TEMPERATURE = REDUCED.temperature(0.9)
kT = KB * TEMPERATURE
PLATFORM = "Reference"  # so few particles are not worth waking a thread for


def gas(n, length):
    system, topology, positions = og.bead_fluid(n, n / length**3, REDUCED.mass)
    return og.Model(system, topology), positions


@pytest.fixture(scope="module")
def pairs():
    """Model, and frames of 32 independent pairs."""
    model, positions = gas(N, LENGTH)
    model.add_pair_potential(og.LennardJones(REDUCED.sigma, REDUCED.epsilon, CUTOFF),
                             interaction_groups=[([k], [k + 1]) for k in range(0, N, 2)])
    ensemble = og.Ensemble(model, positions, TEMPERATURE, timestep=0.005, n_frames=1200, stride=80, seed=3, threads=1,
                           platform=PLATFORM, friction=0.5, equilibration=5000)
    return model, ensemble.sample()


class Exact:
    """Integrals over r of the spline that is simulated; trapezium rule on a grid of 2e-5 nm."""

    def __init__(self, model):
        term = model.terms[0]
        c = model.coefficients(TEMPERATURE).detach().reshape(term.shape)[0]
        self.r = np.linspace(0, CUTOFF, 42501)
        u, slope = (term.potential.grid.evaluate(c, torch.as_tensor(self.r), derivative=d).numpy() for d in (0, 1))
        self.boltzmann, self.shell, self.slope = np.exp(-u / kT), 4 * np.pi * self.r**2, slope
        self.b2 = -0.5 * np.trapezoid((self.boltzmann - 1) * self.shell, self.r)
        self.z = LENGTH**3 - 2 * self.b2

    def rdf(self, edges):
        """Averages over bins."""
        values = []
        for low, high in zip(edges[:-1], edges[1:], strict=True):
            r = np.linspace(low, high, 201)
            boltzmann = np.interp(r, self.r, self.boltzmann, right=1.0)
            values.append(np.trapezoid(boltzmann * r**2, r) / np.trapezoid(r**2, r))
        return np.array(values) * LENGTH**3 / self.z


def set_apart(frames):
    """The same pairs, 3 nm from each other: then all distances below the cutoff are within pairs."""
    d = frames.positions[:, 1::2] - frames.positions[:, ::2]
    first = 3.0 * np.stack(np.unravel_index(np.arange(N // 2), (4, 4, 2)), axis=1)
    x = np.stack([np.broadcast_to(first, d.shape), first + d - LENGTH * np.rint(d / LENGTH)], axis=2)
    return og.Frames(x.reshape(len(frames), N, 3), og.State([], TEMPERATURE), boxes=np.diag([12.0, 12.0, 6.0]))


def test_rdf_of_pairs_is_exp_minus_beta_u(pairs):
    model, frames = pairs
    rdf = og.RDF(None, None, r_max=CUTOFF, bins=34)
    counts = rdf.pair_counts(set_apart(frames))
    g = counts / torch.as_tensor(N // 2 * rdf.shell_volumes / LENGTH**3)
    estimate = og.expectation(g, og.Weights.uniform(len(frames)))
    exact = Exact(model).rdf(rdf.edges)
    expected = exact * rdf.shell_volumes / LENGTH**3 * N / 2 * len(frames)  # counts
    seen = expected > 100
    z = (estimate.mean.numpy() - exact)[seen] / estimate.stderr[seen]
    print(f"{seen.sum()} bins, rms z {np.sqrt(np.mean(z**2)):.2f}, largest |z| {np.abs(z).max():.2f}, "
          f"relative errors {np.median(estimate.stderr[seen] / exact[seen]):.3f}, highest g {exact.max():.2f}")
    assert seen.sum() >= 20 and exact.max() > 2.5
    assert np.abs(z).max() < 4
    assert np.median(estimate.stderr[seen] / exact[seen]) < 0.05  # sharp enough to tell
    assert counts.sum(0).numpy()[expected < 1e-3].sum() == 0


def test_pressure_gives_the_second_virial_coefficient(pairs):
    model, frames = pairs
    exact = Exact(model)
    pressure = og.Pressure(model)
    # per pair: (P V/kT - N)/32 = tr W/(3 kT) = 2 B2/Z, with Z = V - 2 B2
    excess = (pressure(frames) * BAR * LENGTH**3 / kT - N) / (N // 2)
    estimate = og.expectation(excess, og.Weights.uniform(len(frames)))
    y, stderr = estimate.mean.item(), estimate.stderr.item()
    expected = 2 * exact.b2 / exact.z
    by_slope = -np.trapezoid(exact.r * exact.slope * exact.boltzmann * exact.shell, exact.r) / (3 * kT * exact.z)
    assert by_slope == pytest.approx(expected, rel=1e-5)  # the integral by parts
    b2 = y * LENGTH**3 / (2 * (1 + y))
    print(f"B2 {b2:.4f} +- {stderr * LENGTH**3 / 2 / (1 + y) ** 2:.4f} nm^3, exact {exact.b2:.4f}")
    assert abs(y - expected) < 4 * stderr
    assert stderr < 0.1 * abs(expected)


def test_temperature_of_velocities_is_that_of_the_ensemble(pairs):
    _, frames = pairs
    twice_kinetic = (frames.masses[:, None] * np.asarray(frames.velocities) ** 2).sum((1, 2))
    estimate = og.expectation(twice_kinetic / (3 * N * KB), og.Weights.uniform(len(frames)))
    print(f"T {estimate.mean.item():.2f} +- {estimate.stderr.item():.2f} K, wanted {TEMPERATURE:.2f} K")
    assert abs(estimate.mean.item() - TEMPERATURE) < 4 * estimate.stderr.item()
    assert estimate.stderr.item() < 0.01 * TEMPERATURE


def a_liquid(seed):
    system, topology, positions = og.bead_fluid(125, REDUCED.number_density(0.6), REDUCED.mass)
    model = og.Model(system, topology)
    model.add_pair_potential(og.LennardJones(REDUCED.sigma, REDUCED.epsilon, CUTOFF))
    return og.Ensemble(model, positions, TEMPERATURE, n_frames=10, stride=20, seed=seed, threads=1)


def test_equal_runs_with_one_thread_are_equal_bit_by_bit_and_other_seeds_differ():
    first, again, other = (a_liquid(seed) for seed in (1, 1, 2))
    for segment in range(2):
        a, b, c = (ensemble.sample() for ensemble in (first, again, other))
        for name in ("positions", "velocities", "features", "virial_features", "energies"):
            assert np.array_equal(getattr(a, name), getattr(b, name)), (segment, name)
        assert np.abs(a.positions - c.positions).max() > 0.01
    assert not np.array_equal(first.sample().positions, a.positions)  # segments are not repeated


def test_a_barostat_goes_on_a_copy_and_gives_an_ideal_gas_its_volume():
    n, pressure, temperature = 50, 100.0, 300.0  # bar, K
    expected = (n + 1) * KB * temperature / (pressure * BAR)  # p(V) ~ V^N exp(-P V/kT)
    model, positions = gas(n, expected ** (1 / 3))
    model.add_pair_potential(og.SoftSphere(1e-9, 0.3, 0.4, core=1e-3))
    ensemble = og.Ensemble(model, positions, temperature, pressure, timestep=0.005, n_frames=800, stride=50, threads=1,
                           platform=PLATFORM, equilibration=3000)
    frames = ensemble.sample()
    assert model.system.getNumForces() == 0
    assert not any(isinstance(f, openmm.MonteCarloBarostat) for f in model.create_system(temperature).getForces())
    assert frames.states[0].pressure == pytest.approx(pressure * BAR)
    estimate = og.expectation(frames.volumes, og.Weights.uniform(len(frames)))
    volume, stderr = estimate.mean.item(), estimate.stderr.item()
    spread = frames.volumes.std() / volume
    print(f"<V> {volume:.3f} +- {stderr:.3f} nm^3, expected {expected:.3f}; spread {spread:.4f}")
    assert abs(volume - expected) < 4 * stderr
    assert stderr < 0.02 * expected
    assert spread == pytest.approx((n + 1) ** -0.5, rel=0.15)
