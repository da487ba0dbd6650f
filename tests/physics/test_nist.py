# SPDX-License-Identifier: MIT
"""NIST's Lennard-Jones reference configurations: published numbers, then linear force shift by a double sum."""

import numpy as np
import openmm
import platforms
import pytest
from reference_data import data_file

import openmmgrad as og

LENGTH, TEMPERATURE = 8.0, 1.0 / og.units.KB  # sigma = 1 nm, epsilon = 1 kJ/mol = kT
# (energy, sum of r.F) at plain truncation: NIST Standard Reference Simulation Website, reference calculations
PUBLISHED = {(2, 3.0): (-690.00, -568.46), (2, 4.0): (-704.60, -655.99),
             (4, 3.0): (-16.790, -46.249), (4, 4.0): (-17.060, -47.869)}
DIGITS = {2: 0.005, 4: 0.0005}  # half of the last published digit


class ForceShifted(og.PairPotential):
    """4 (r^-12 - r^-6); the base class shifts it."""

    def energy(self, r, pair=None, temperature=None):
        return 4 * (r**-12 - r**-6)


def configuration(index: int) -> np.ndarray:
    return np.loadtxt(data_file(f"lj_nist_config{index}.csv"), delimiter=",", comments="#", skiprows=8)


def double_sum(x: np.ndarray, cutoff: float, force_shift: bool) -> tuple[float, float]:
    """Energy and sum of r.F over all pairs of nearest images."""
    d = x[:, None] - x
    r = np.linalg.norm(d - LENGTH * np.rint(d / LENGTH), axis=-1)[np.triu_indices(len(x), 1)]
    r = r[r < cutoff]

    def u(r):
        return 4 * (r**-12 - r**-6)

    def slope(r):
        return -48 * r**-13 + 24 * r**-7

    if not force_shift:
        return u(r).sum(), -(r * slope(r)).sum()
    shifted = u(r) - u(cutoff) - (r - cutoff) * slope(cutoff)
    return shifted.sum(), -(r * (slope(r) - slope(cutoff))).sum()


@pytest.mark.parametrize(("index", "cutoff"), PUBLISHED)
def test_the_double_sum_gives_the_published_numbers(index, cutoff):
    energy, virial = double_sum(configuration(index), cutoff, force_shift=False)
    # positions are given to ten digits, so only the rounding of the published numbers counts
    assert energy == pytest.approx(PUBLISHED[index, cutoff][0], abs=DIGITS[index])
    assert virial == pytest.approx(PUBLISHED[index, cutoff][1], abs=DIGITS[index])


@pytest.mark.parametrize("platform", platforms.NAMES)
@pytest.mark.parametrize(("index", "cutoff"), PUBLISHED)
def test_a_users_potential_has_the_energy_and_virial_of_the_double_sum(index, cutoff, platform):
    x = configuration(index)
    system = openmm.System()
    for _ in x:
        system.addParticle(1.0)
    system.setDefaultPeriodicBoxVectors(*(LENGTH * np.eye(3)))
    model = og.Model(system)
    model.add_pair_potential(ForceShifted(cutoff, n_coefficients=512, truncation="shift-force"))
    system = model.create_system(TEMPERATURE)
    context = platforms.context(system, platform, x)
    energy, _ = platforms.energy_and_forces(context)
    virial, _ = og.LearnablePairForce.cast(system.getForce(0)).computeVirial(context)
    exact_energy, exact_virial = double_sum(x, cutoff, force_shift=True)
    print(f"config {index}, rc {cutoff}, {platform}: relative errors {energy / exact_energy - 1:.1e}, "
          f"{np.trace(virial) / exact_virial - 1:.1e}")
    assert energy == pytest.approx(exact_energy, rel=5e-5)
    assert np.trace(virial) == pytest.approx(exact_virial, rel=5e-4)
