# SPDX-License-Identifier: MIT
"""Targets: from numbers, frames and files, and what the splines of a Model count in them."""

import numpy as np
import openmm
import pytest
import torch
from reference_data import data_file

import openmmgrad as og
from openmmgrad.fluids import lattice
from openmmgrad.observables.structure_factor import StructureFactor
from openmmgrad.units import KB

N, LENGTH = 150, 2.2  # nm
CUTOFF = 0.9


def a_model(types=None, n=N, cutoff=CUTOFF, sigma=0.32):
    system = openmm.System()
    for _ in range(n):
        system.addParticle(40.0)
    model = og.Model(system)
    model.add_pair_potential(og.LennardJones(sigma=sigma, epsilon=1.0, cutoff=cutoff), types=types)
    return model


def an_ensemble(model=None, positions=None, length=LENGTH, temperature=300.0, **options):
    model = model or a_model()
    positions = np.zeros((model.n_particles, 3)) if positions is None else positions
    return og.Ensemble(model, positions, temperature, box=[length] * 3, **options)


@pytest.fixture(scope="module")
def fluid():
    """A Lennard-Jones fluid, rho* = 0.46, T* = 2.5: its Ensemble, and 80 frames with features."""
    positions = lattice(N, LENGTH)
    ensemble = an_ensemble(positions=positions, n_frames=80, stride=40, timestep=0.004, threads=1, equilibration=800)
    return ensemble, ensemble.sample()


def without_features(frames):
    return og.Frames(frames.positions, og.State([], frames.temperature), boxes=frames.boxes)


@pytest.fixture
def rdf():
    return og.RDF(None, None, r_max=1.0, bins=200)


def test_a_target_keeps_what_it_is_given(rdf):
    ensemble = an_ensemble(name="warm")
    target = og.Target(rdf, ensemble, np.ones(200), sigma=0.1, weight=2.0)
    assert (target.observable, target.ensemble, target.weight) == (rdf, ensemble, 2.0)
    assert target.name == "g(r) warm"
    assert target.values.tolist() == [1.0] * 200
    assert target.sigma.tolist() == [0.1] * 200
    assert og.Target(rdf, ensemble, torch.ones(200), name="mine").name == "mine"


def test_a_target_from_frames_is_their_average_with_its_error(rdf, fluid):
    ensemble, frames = fluid
    target = og.Target.from_frames(frames, rdf, ensemble)
    estimate = og.expectation(rdf(frames), og.Weights.uniform(len(frames)))
    assert target.values == pytest.approx(estimate.mean_values)
    assert target.sigma == pytest.approx(np.asarray(estimate.stderr))


def test_an_ideal_gas_fills_the_volume_of_every_spline():
    # g = 1: <Phi_k> = N(N-1)/2V int 4 pi r^2 B_k dr, exactly
    ensemble = an_ensemble(a_model(cutoff=0.8))
    grid = ensemble.model.terms[0].potential.grid
    columns = np.arange(grid.n_coefficients - 3)
    counts, covariance = og.Target(og.RDF(None, None, 0.8, 100), ensemble, np.ones(100)).spline_counts(columns)
    r = torch.linspace(0, 0.8, 200001, dtype=torch.float64)
    exact = torch.trapezoid((4 * np.pi * r**2)[:, None] * grid.basis(r), r, dim=0)[:-3] * N * (N - 1) / 2 / LENGTH**3
    assert counts == pytest.approx(exact.numpy(), rel=1e-6)
    assert not covariance.any()


def test_frames_with_features_are_matched_by_their_own_counts(rdf, fluid):
    ensemble, frames = fluid
    columns = np.arange(25, 60)
    counts, covariance = og.Target.from_frames(frames, rdf, ensemble).spline_counts(columns)
    estimate = og.expectation(frames.features[:, columns], og.Weights.uniform(len(frames)))
    assert counts == pytest.approx(estimate.mean_values, rel=1e-12)
    assert covariance == pytest.approx(estimate.covariance(), rel=1e-12)


def test_counts_from_g_are_the_features_of_the_same_frames(rdf, fluid):
    # bins of 5 pm hide where in a bin a pair is: that costs less than half the standard error of these frames
    ensemble, frames = fluid
    columns = np.flatnonzero(ensemble.model.terms[0].potential.grid.support_ends.numpy() <= CUTOFF)
    counts, covariance = og.Target.from_frames(without_features(frames), rdf, ensemble).spline_counts(columns)
    estimate = og.expectation(frames.features[:, columns], og.Weights.uniform(len(frames)))
    stderr = estimate.stderr
    sampled = estimate.mean_values > 1
    assert (np.abs(counts - estimate.mean_values)[sampled] / stderr[sampled]).max() < 0.5
    assert counts.sum() == pytest.approx(estimate.mean_values.sum(), rel=1e-4)
    assert np.sqrt(np.diag(covariance))[sampled].mean() == pytest.approx(stderr[sampled].mean(), rel=0.25)


def test_counts_of_a_mixture_belong_to_their_pair_of_types(fluid):
    types = np.array(["A"] * 60 + ["B"] * 90)
    ensemble = an_ensemble(a_model(types))
    frames = og.compute_features(ensemble.model, without_features(fluid[1]))
    term = ensemble.model.terms[0]
    for p, labels in enumerate(term.pairs):
        rdf = og.RDF(*(np.flatnonzero(types == label) for label in labels), r_max=1.0, bins=200)
        columns = term.columns.start + p * term.potential.n_coefficients + np.arange(24, 60)
        counts, _ = og.Target.from_frames(without_features(frames), rdf, ensemble).spline_counts(columns)
        phi = frames.features[:, columns]
        assert counts.sum() == pytest.approx(phi.mean(0).sum(), rel=1e-3), labels
        assert (np.abs(counts - phi.mean(0)) / (phi.std(0) / np.sqrt(len(phi)))).max() < 0.5, labels


def test_errors_of_bins_become_the_covariance_of_counts():
    rdf, ensemble, columns = og.RDF(None, None, 1.0, 80), an_ensemble(), np.arange(30, 40)
    sigma = np.linspace(0.01, 0.05, 80)
    ones = og.Target(rdf, ensemble, np.ones(80), sigma)
    moved = [og.Target(rdf, ensemble, 1 + step).spline_counts(columns)[0] for step in np.diag(sigma)]
    change = np.array(moved) - ones.spline_counts(columns)[0]
    assert ones.spline_counts(columns)[1] == pytest.approx(change.T @ change, rel=1e-6, abs=1e-9)


def test_frames_of_another_box_are_matched_by_their_rdf(rdf, fluid):
    larger = an_ensemble(length=2.4)
    counts, _ = og.Target.from_frames(fluid[1], rdf, larger).spline_counts(np.arange(30, 50))
    expected = fluid[1].features[:, 30:50].mean(0) * (LENGTH / 2.4) ** 3
    assert counts == pytest.approx(expected, rel=0.02)


def test_a_histogram_written_and_read_is_the_same_target(rdf, fluid, tmp_path):
    target = og.Target.from_frames(fluid[1], rdf, fluid[0])
    path = tmp_path / "g.csv"
    rows = np.column_stack([rdf.grid * 10, target.values, target.sigma])
    np.savetxt(path, rows, header="r_A,g,err", delimiter=",", comments="", fmt="%.10g")
    again = og.Target.from_file(path, rdf, target.ensemble, column="g", sigma_column="err")
    assert again.values == pytest.approx(target.values, abs=1e-7)
    assert again.sigma == pytest.approx(target.sigma, abs=1e-7)


def test_a_finer_table_is_averaged_over_the_bins_with_the_pairs_it_has(tmp_path):
    path = tmp_path / "g.dat"
    r = np.arange(0.001, 1.2, 0.002)
    g = np.where(r < 0.3, 0.0, 1 + np.exp(-(((r - 0.35) / 0.02) ** 2)))
    np.savetxt(path, np.column_stack([r, g]), header="r_nm g")
    rdf = og.RDF(None, None, r_max=1.0, bins=50)
    values = og.Target.from_file(path, rdf, an_ensemble()).values
    shells = (r + 0.001) ** 3 - (r - 0.001) ** 3
    expected = (g * shells)[:500].reshape(50, 10).sum(1) / shells[:500].reshape(50, 10).sum(1)
    assert values == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_table_that_begins_inside_the_core_needs_no_zeros(tmp_path):
    path = tmp_path / "g.dat"
    r = np.arange(0.25, 1.1, 0.005)
    np.savetxt(path, np.column_stack([r, 1 / (1 + np.exp(-(r - 0.3) / 0.005))]))
    target = og.Target.from_file(path, og.RDF(None, None, 1.0, 100), an_ensemble(), r_unit="nm")
    assert target.values[:24].tolist() == [0.0] * 24
    assert target.values[-1] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("name", "options", "peak"), [
    ("water_gOO_skinner_benmore_2014.csv", {"column": "gOO_295.1K"}, (0.2795, 2.57)),
    ("votca_spce_cg_rdf.csv", {}, (0.2745, 3.1)),
    ("votca_lj_binary_rdf.csv", {"rows": {"pair": "LJ1-LJ2"}}, (0.345, 2.86)),
    ("argon_gr_yarnell_1973_digitised.csv", {"sort": True, "core": 0.32}, (0.368, 3.05)),
])
def test_reference_rdfs(name, options, peak):
    rdf = og.RDF(None, None, r_max=0.99, bins=330)
    target = og.Target.from_file(data_file(name), rdf, an_ensemble(), **options)
    highest = int(target.values.argmax())
    assert (rdf.grid[highest], target.values[highest]) == pytest.approx(peak, rel=0.02)
    assert abs(target.values[-1] - 1) < 0.15


def test_reference_structure_factor():
    ensemble = an_ensemble(length=3.4, temperature=85.0)
    observable = StructureFactor(None, q_max=80.0, box=ensemble.box)
    target = og.Target.from_file(data_file("argon_Sq_yarnell_1973.csv"), observable, ensemble, sigma=0.01)
    near_peak = np.abs(observable.grid - 20.0) < 1.0
    assert target.values[near_peak].max() == pytest.approx(2.7, abs=0.1)
    assert target.values[-1] == pytest.approx(1, abs=0.03)
    assert target.values[0] == pytest.approx(0.0505, abs=0.003)
    assert (target.sigma == 0.01).all()


def test_reading_argon_as_potential_of_mean_force_has_its_well():
    # -kT ln g at the first peak of liquid argon: about -1.1 kT
    target = og.Target.from_file(data_file("argon_gr_yarnell_1973_digitised.csv"), og.RDF(None, None, 1.0, 200),
                                 an_ensemble(temperature=85.0), sort=True, core=0.32)
    assert -KB * 85 * np.log(target.values.max()) == pytest.approx(-1.11 * KB * 85, rel=0.03)
