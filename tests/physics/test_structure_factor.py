# SPDX-License-Identifier: MIT
"""S(Q): closed forms for a gas, molecules and a crystal, a double sum over atoms, and the transform of g(r)."""

import mdtraj
import numpy as np
import openmm
import periodictable
import pytest
from reference_data import data_file

import openmmgrad as og
from openmmgrad.fluids import lattice
from openmmgrad.observables.scattering import scattering_factors
from openmmgrad.observables.structure_factor import StructureFactor

BOX = 3.0 * np.eye(3)
SKEWED = np.array([[3.0, 0, 0], [0.8, 2.8, 0], [-0.7, 0.9, 2.6]])


def frames_of(positions, box=BOX, symbols=None):
    topology = None
    if symbols is not None:
        topology = mdtraj.Topology()
        residue = topology.add_residue("X", topology.add_chain())
        for symbol in symbols:
            topology.add_atom(symbol, mdtraj.element.get_by_symbol(symbol), residue)
    return og.Frames(positions, og.State([], 300.0), boxes=box, topology=topology)


def z_scores(values, expected):
    estimate = og.expectation(values, og.Weights.uniform(len(values)))
    return (estimate.mean_values - expected) / estimate.stderr


@pytest.mark.parametrize("box", [BOX, SKEWED], ids=["cubic", "skewed"])
def test_an_ideal_gas_scatters_like_its_atoms(box):
    rng = np.random.default_rng(2)
    s = StructureFactor(None, q_max=25.0, box=box)
    z = z_scores(s(frames_of(rng.uniform(size=(400, 120, 3)) @ box, box)), 1.0)
    assert np.abs(z).max() < 4
    assert 0.6 < z.std() < 1.4


def test_dimers_scatter_as_debye_says():
    # independent dimers of length d: S = 1 + sin(Qd)/(Qd)
    rng = np.random.default_rng(3)
    n_frames, n, d = 500, 60, 0.31
    first = rng.uniform(size=(n_frames, n, 3)) @ BOX
    axis = rng.normal(size=first.shape)
    second = first + d * axis / np.linalg.norm(axis, axis=-1, keepdims=True)
    s = StructureFactor(None, q_max=30.0, box=BOX, shell_width=0.1)
    assert np.abs(z_scores(s(frames_of(np.concatenate([first, second], axis=1))),
                           1 + np.sinc(s.grid * d / np.pi))).max() < 4


def test_a_crystal_has_bragg_peaks_of_height_n_and_nothing_between():
    length, cells = 3.0, 5
    positions = lattice(cells**3, length)
    s = StructureFactor(None, 2.2 * 2 * np.pi * cells / length, [length] * 3, shell_width=0.01, max_vectors=500)
    values = s(frames_of(positions[None]))[0].numpy()
    squared = np.rint((s.grid * length / (2 * np.pi)) ** 2)
    for m in (1, 2, 3, 4):
        shell = values[squared == m * cells**2]
        n_vectors = s.n_vectors[squared == m * cells**2]
        # of the vectors in the shell, those whose components are all multiples of `cells` are Bragg's
        bragg = {1: 3, 2: 6, 3: 4, 4: 3}[m]
        assert shell * n_vectors == pytest.approx(bragg * cells**3, rel=1e-9)
    assert np.abs(values[squared < cells**2]).max() < 1e-9


@pytest.mark.parametrize("radiation", [None, "neutron", "xray"])
@pytest.mark.parametrize("box", [BOX, SKEWED], ids=["cubic", "skewed"])
def test_a_mixture_agrees_with_the_double_sum_over_its_atoms(radiation, box):
    rng = np.random.default_rng(4)
    symbols = ["O"] * 10 + ["H"] * 17 + ["Ar"] * 5
    positions = rng.uniform(-1, 2, size=(2, 32, 3)) @ box
    s = StructureFactor(None, 14.0, box, radiation, shell_width=0.01, max_vectors=1)
    values = s(frames_of(positions, box, symbols)).numpy()
    # each shell has one vector: find those of the box with that length
    n = np.stack(np.meshgrid(*[np.arange(-10, 11)] * 3, indexing="ij"), -1).reshape(-1, 3)
    q = 2 * np.pi * n @ np.linalg.inv(box).T
    lengths = np.linalg.norm(q, axis=1)
    for b in range(0, len(s.grid), 5):
        if radiation == "neutron":
            weight = np.array([periodictable.elements.symbol(x).neutron.b_c for x in symbols])
        elif radiation == "xray":
            weight = np.array([periodictable.elements.symbol(x).xray.f0(s.grid[b] / 10) for x in symbols])
        else:
            weight = np.ones(32)
        candidates = q[np.abs(lengths - s.grid[b]) < 1e-6]
        difference = positions[:, :, None] - positions[:, None]
        direct = np.cos(np.einsum("sijk,ck->sijc", difference, candidates))
        double_sum = np.einsum("i,j,sijc->sc", weight, weight, direct) / (weight**2).sum()
        assert np.abs(double_sum - values[:, b, None]).min(axis=1).max() < 1e-9


def test_shells_hold_all_vectors_once_and_at_most_so_many():
    every = StructureFactor(None, 12.0, BOX, max_vectors=10**6)
    n = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), -1).reshape(-1, 3)
    lengths = 2 * np.pi / 3 * np.linalg.norm(n, axis=1)
    assert every.n_vectors.sum() == ((lengths > 0) & (lengths <= 12.0)).sum() / 2
    few = StructureFactor(None, 12.0, BOX, max_vectors=8)
    assert few.n_vectors.tolist() == np.minimum(every.n_vectors, 8).tolist()
    assert np.abs(few.grid - every.grid).max() < every.shell_width
    assert np.diff(every.grid).min() > 0
    # the smallest |Q| stay separate: 1, sqrt 2, sqrt 3 times 2 pi / L
    narrow = StructureFactor(None, 4.0, BOX, shell_width=0.1)
    assert (narrow.grid * 3 / (2 * np.pi)) ** 2 == pytest.approx([1, 2, 3])
    assert narrow.n_vectors.tolist() == [3, 6, 4]


def test_one_kind_of_atom_scatters_alike_whatever_the_radiation():
    rng = np.random.default_rng(6)
    frames = frames_of(rng.uniform(size=(3, 50, 3)) @ BOX, symbols=["Ar"] * 50)
    plain = StructureFactor(None, 20.0, BOX)(frames)
    for radiation in ("neutron", "xray"):
        assert StructureFactor(None, 20.0, BOX, radiation)(frames) == pytest.approx(plain, rel=1e-12)
    assert StructureFactor(None, 20.0, BOX, "neutron", elements="36-Ar")(frames) == pytest.approx(plain, rel=1e-12)


def test_translation_permutation_and_images_change_nothing():
    rng = np.random.default_rng(7)
    x = rng.uniform(size=(2, 40, 3)) @ SKEWED
    s = StructureFactor(range(30), 15.0, SKEWED)
    values = s(frames_of(x, SKEWED))
    images = x + rng.integers(-3, 4, size=x.shape) @ SKEWED + [0.3, -0.2, 5.0]
    assert s(frames_of(images, SKEWED)).numpy() == pytest.approx(values.numpy(), rel=1e-8, abs=1e-10)
    order = np.concatenate([rng.permutation(30), np.arange(30, 40)])
    assert s(frames_of(x[:, order], SKEWED)).numpy() == pytest.approx(values.numpy(), rel=1e-9, abs=1e-10)


def test_a_fluid_agrees_with_the_transform_of_its_g():
    # Lennard-Jones, rho* = 0.5, T* = 2. In one box S - 1 = (N-1)/V times the transform of g - 1, cut at half the box:
    # what lies beyond is small at this temperature, and compared frame by frame most of the noise cancels
    sigma, n = 0.34, 256
    length = sigma * (n / 0.5) ** (1 / 3)
    system = openmm.System()
    for _ in range(n):
        system.addParticle(40.0)
    model = og.Model(system)
    model.add_pair_potential(og.LennardJones(sigma=sigma, epsilon=1.0, cutoff=2.5 * sigma))
    ensemble = og.Ensemble(model, lattice(n, length), 240.0, box=[length] * 3, n_frames=150, stride=40, timestep=0.005,
                           threads=1, equilibration=1500)
    frames = ensemble.sample()
    s = StructureFactor(None, 20 / sigma, ensemble.box)
    rdf = og.RDF(None, None, r_max=length / 2 * (1 - 1e-9), bins=400)
    g = rdf(frames).numpy()
    density = (n - 1) / length**3
    kernel = np.sinc(np.outer(s.grid, rdf.grid) / np.pi) * rdf.shell_volumes
    transformed = 1 + density * (g - 1) @ kernel.T
    estimate = og.expectation(s(frames), og.Weights.uniform(len(frames)))
    other = og.expectation(transformed, og.Weights.uniform(len(frames)))
    used = s.grid > 3 / sigma
    error = np.hypot(estimate.stderr, other.stderr)
    difference = estimate.mean_values - other.mean_values
    assert estimate.mean_values[used].max() > 1.3
    assert np.sqrt(np.mean((difference / error)[used] ** 2)) < 1.5
    assert np.abs(difference / error)[used].max() < 4


def test_the_first_peak_of_argon_is_at_20_per_nm():
    table = og.Target.from_file(data_file("argon_Sq_yarnell_1973.csv"), s := StructureFactor(None, 60.0, [3.5] * 3),
                                _Argon()).values
    assert s.grid[table.argmax()] == pytest.approx(20.0, abs=0.5)


class _Argon:
    """What Target asks of an Ensemble."""

    name, temperature, box = "argon", 85.0, 3.5 * np.eye(3)


def test_scattering_factors_are_those_of_the_tables():
    assert scattering_factors(["H", "D", "36-Ar"], np.array([5.0, 90.0]), "neutron")[:, 0] == pytest.approx(
        [-3.7409, 6.6681, 24.9], abs=0.01)
    f0 = scattering_factors(["O", "Ar"], np.array([0.0, 300.0]), "xray")
    assert f0[:, 0] == pytest.approx([8, 18], abs=0.01)
    assert (f0[:, 1] < f0[:, 0] / 3).all()


def test_production_size_takes_seconds():
    # 864 atoms and 3000 vectors: 12 ms a frame where this was written, 500 frames in 6 s
    rng = np.random.default_rng(8)
    s = StructureFactor(None, 60.0, [3.5] * 3)
    assert s.n_vectors.sum() > 3000
    values = s(frames_of(rng.uniform(0, 3.5, size=(10, 864, 3)), 3.5 * np.eye(3)))
    assert values.mean().item() == pytest.approx(1.0, abs=0.05)
