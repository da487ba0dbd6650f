# SPDX-License-Identifier: MIT
"""TorchForce, native, table and pythonforce in one environment: one spline, one energy, one set of forces."""

import numpy as np
import pytest
from pair_systems import CASES, PairSystem, evaluate

import openmmgrad as og
from openmmgrad.backends import NAMES, PairForceSpec, build

pytestmark = pytest.mark.torchforce


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
@pytest.mark.parametrize("case", CASES)
def test_all_backends_evaluate_the_same_spline(case, platform):
    system = PairSystem(case)
    c = system.coefficients()
    expected, expected_forces, scale = system.answer(c)
    largest = np.abs(expected_forces).max()
    for name in NAMES:
        energy, forces = evaluate(system.context(system.built(name, c), platform))
        assert abs(energy - expected) < 1e-6 * scale, name
        assert np.abs(forces - expected_forces).max() < 1e-5 * largest, name


@pytest.mark.parametrize("case", CASES)
def test_torchforce_force_is_minus_energy_gradient(case):
    system = PairSystem(case)
    context = system.context(system.built("torchforce", system.coefficients()), "Reference")
    _, forces = evaluate(context)
    direction, step, energies = system.rng.normal(size=forces.shape), 1e-6, []
    for sign in (1, -1):
        context.setPositions(system.positions + sign * step * direction)
        energies.append(evaluate(context)[0])
    slope = (energies[0] - energies[1]) / (2 * step)
    assert slope == pytest.approx(-(forces * direction).sum(), rel=1e-5)


def test_exact_module_is_the_lennard_jones_formula():
    sigma, epsilon, cutoff = 0.3, 1.2, 0.9
    system = PairSystem("triclinic")
    lattice = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3)[:60]
    system.positions = (lattice + 0.5) / 4 @ system.box + system.rng.normal(scale=0.02, size=(60, 3))
    potential = og.LennardJones(sigma, epsilon, cutoff=cutoff)
    system.spec = PairForceSpec(
        60, [0] * 60, 1, cutoff, 64, True, force_group=3, exact=True, potential=potential, pairs=[("A", "A")]
    )
    i, j, r, d = system.pairs()
    x = (sigma / r) ** 6
    u = 4 * epsilon * (x * x - x) - 4 * epsilon * ((sigma / cutoff) ** 12 - (sigma / cutoff) ** 6)
    pull = (24 * epsilon * (2 * x * x - x) / r**2)[:, None] * d
    expected = np.zeros((60, 3))
    np.add.at(expected, i, pull)
    np.add.at(expected, j, -pull)
    energy, forces = evaluate(system.context(build("torchforce", system.spec, temperature=300.0), "Reference"))
    assert energy == pytest.approx(u.sum(), rel=1e-12)
    np.testing.assert_allclose(forces, expected, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("exact", [False, True])
def test_ensemble_samples_with_torchforce(exact):
    """Frames hold the energy of TorchForce and the features of the plugin: U = c . Phi ties them together."""
    system, topology, positions = og.bead_fluid(64, number_density=10.0, mass=39.948)
    model = og.Model(system, topology)
    potential = og.LennardJones(0.34, 1.0, cutoff=0.85, n_coefficients=128)
    model.add_pair_potential(potential, backend="torchforce", exact=exact)
    ensemble = og.Ensemble(
        model, positions, temperature=120.0, n_frames=3, stride=10, equilibration=10, threads=1
    )
    frames = ensemble.sample()
    energies = model.energies(frames).detach().numpy()
    np.testing.assert_allclose(frames.energies, energies, rtol=1e-9)
    splined = np.asarray(frames.features) @ model.coefficients(120.0).detach().numpy()
    np.testing.assert_allclose(frames.energies, splined, rtol=1e-3 if exact else 1e-9)
