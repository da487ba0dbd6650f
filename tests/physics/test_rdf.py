# SPDX-License-Identifier: MIT
"""Radial distribution functions of configurations whose g(r) is known."""

import mdtraj
import numpy as np
import pytest
import torch

from openmmgrad.estimate import expectation
from openmmgrad.frames import Frames, State
from openmmgrad.observables import RDF
from openmmgrad.weights import Weights

STATE = State([], 300.0)
TRICLINIC = np.array([[2.0, 0.0, 0.0], [0.7, 1.9, 0.0], [-0.6, 0.5, 1.8]])


def gas(rng, n_frames, n_atoms, box):
    return Frames(rng.random((n_frames, n_atoms, 3)) @ box, STATE, boxes=box)


def fcc(cells, a):
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    corners = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    return ((corners + basis).reshape(-1, 3) * a)[None], np.eye(3) * cells * a


def brute_force_distances(x, box, a, b):
    """Every distinct pair, the nearest of 343 images."""
    shifts = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), -1).reshape(-1, 3) @ box
    pairs = np.array(sorted({(min(i, j), max(i, j)) for i in a for j in b if i != j}))
    d = x[pairs[:, 0]] - x[pairs[:, 1]]
    return np.linalg.norm(d[:, None] + shifts, axis=-1).min(axis=1)


@pytest.mark.parametrize("box", [np.eye(3) * 2.0, TRICLINIC], ids=["cubic", "triclinic"])
def test_ideal_gas_has_g_of_one(box):
    rdf = RDF(None, None, r_max=0.8, bins=20)
    frames = gas(np.random.default_rng(0), 200, 60, box)
    estimate = expectation(rdf(frames), Weights.uniform(200), observable=rdf)
    z = (estimate.mean_values - 1) / estimate.stderr
    assert np.abs(z).max() < 4
    # the counts are Poisson: their standard error is known without the frames
    expected = 60 * 59 / 2 * rdf.shell_volumes / np.abs(np.linalg.det(box)) * 200
    assert np.abs((estimate.mean_values - 1) * np.sqrt(expected)).max() < 4
    assert np.median(estimate.stderr * np.sqrt(expected)) == pytest.approx(1.0, abs=0.15)


def test_fcc_crystal_has_its_coordination_numbers():
    a = 0.5
    positions, box = fcc(4, a)
    rng = np.random.default_rng(1)
    shells = {1: 12, 2: 6, 3: 24, 4: 12, 5: 24, 6: 8}  # neighbours at a sqrt(k/2)
    rdf = RDF(None, None, r_max=0.98, bins=98)
    frames = Frames(positions + 1e-4 * rng.normal(size=positions.shape), STATE, boxes=box)
    counts = 2 * rdf.pair_counts(frames)[0].numpy() / positions.shape[1]
    for k, number in shells.items():
        near = np.abs(rdf.grid - a * np.sqrt(k / 2)) < 0.011
        assert counts[near].sum() == number
    assert counts.sum() == sum(shells.values()) + 48  # and the seventh shell at 0.935 nm


def mdtraj_frames(rng, n_frames, n_atoms, box):
    topology = mdtraj.Topology()
    residue = topology.add_residue("X", topology.add_chain())
    for k in range(n_atoms):
        topology.add_atom("A" if k % 3 else "B", mdtraj.element.argon, residue)
    trajectory = mdtraj.Trajectory((rng.random((n_frames, n_atoms, 3)) @ box).astype(np.float32), topology)
    trajectory.unitcell_vectors = np.array([box] * n_frames, dtype=np.float32)
    return trajectory


SELECTIONS = [("all", "all"), ("name A", "name A"), ("name A", "name B"), ("all", "name B")]


@pytest.mark.parametrize("box", [np.diag([2.0, 2.1, 2.2]), TRICLINIC], ids=["orthorhombic", "triclinic"])
@pytest.mark.parametrize(("a", "b"), SELECTIONS)
def test_mdtraj_agrees_in_the_same_bins(box, a, b):
    trajectory = mdtraj_frames(np.random.default_rng(2), 5, 45, box)
    pairs = trajectory.topology.select_pairs(a, b)
    r, g = mdtraj.compute_rdf(trajectory, pairs, r_range=(0.05, 0.85), n_bins=40)
    rdf = RDF(a, b, r_min=0.05, r_max=0.85, bins=40)
    assert rdf.grid == pytest.approx(r, abs=1e-12)
    assert rdf(Frames.from_mdtraj(trajectory, 300.0)).mean(0).numpy() == pytest.approx(g, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("a", "b"), [(None, None), ([0, 3, 5], [0, 3, 5]), (range(10), range(10, 24)),
                                      (range(12), range(6, 24)), ([7], None)], ids=str)
@pytest.mark.parametrize("box", [np.diag([1.5, 2, 3]), TRICLINIC, None], ids=["ortho", "triclinic", "none"])
def test_counts_are_those_of_all_images(a, b, box):
    rng = np.random.default_rng(3)
    positions = rng.normal(size=(4, 24, 3)) if box is None else 2 * rng.random((4, 24, 3)) @ box - box[0]
    a, b = (None if s is None else list(s) for s in (a, b))
    frames = Frames(positions, STATE, boxes=box)
    rdf = RDF(a, b, r_max=0.74, bins=37)
    members = [range(24) if s is None else s for s in (a, b)]
    for s, counts in enumerate(rdf.pair_counts(frames).numpy()):
        expected = brute_force_distances(positions[s], np.zeros((3, 3)) if box is None else box, *members)
        assert counts.tolist() == np.histogram(expected, rdf.edges)[0].tolist()


def test_a_skewed_cell_of_the_same_lattice_gives_the_same_g():
    rng = np.random.default_rng(4)
    box = np.diag([2.0, 2.2, 2.4])
    skewed = box.copy()
    skewed[1] += box[0]
    skewed[2] -= box[1]
    positions = rng.random((3, 40, 3)) @ box
    rdf = RDF(None, None, r_max=0.6, bins=30)
    straight, same = (rdf(Frames(positions, STATE, boxes=cell)) for cell in (box, skewed))
    assert torch.allclose(straight, same, rtol=1e-12)


@pytest.mark.parametrize("n_atoms", [2, 3, 301, 600])
def test_all_sizes_count_every_pair_once(n_atoms):
    """Within the sphere that fits into the box; the total is n(n-1)/2 when everything is close together."""
    positions = 0.3 * np.random.default_rng(5).random((1, n_atoms, 3))
    frames = Frames(positions, STATE, boxes=2.0 * np.eye(3))
    assert float(RDF(None, None, r_max=0.9, bins=7).pair_counts(frames).sum()) == n_atoms * (n_atoms - 1) / 2


def test_volume_of_each_frame_enters():
    positions = np.array([[[0.0, 0, 0], [0.3, 0, 0]]] * 2)
    boxes = np.array([np.eye(3) * 2.0, np.eye(3) * 3.0])
    g = RDF(None, None, r_max=0.9, bins=3)(Frames(positions, STATE, boxes=boxes))
    assert float(g[1].sum() / g[0].sum()) == pytest.approx(27 / 8)


def test_window_needs_no_volume_and_is_one_on_average():
    frames = Frames(np.random.default_rng(6).normal(size=(3, 30, 3)), STATE)
    rdf = RDF(None, None, r_max=2.0, bins=25, normalization="window")
    g = rdf(frames).numpy()
    assert (g * rdf.shell_volumes).sum(1) / rdf.shell_volumes.sum() == pytest.approx([1.0] * 3)
    counts = rdf.pair_counts(frames).numpy()
    expected = counts / counts.sum(1, keepdims=True) / (rdf.shell_volumes / rdf.shell_volumes.sum())
    assert g == pytest.approx(expected)


def test_window_and_density_differ_by_a_factor_per_frame():
    frames = gas(np.random.default_rng(7), 3, 50, 2.0 * np.eye(3))
    density, window = (RDF(None, None, r_max=0.9, bins=3, normalization=name)(frames)
                       for name in ("density", "window"))
    ratio = (density / window).numpy()
    assert np.ptp(ratio, axis=1).max() < 1e-12


def test_smeared_counts_are_gaussian_integrals():
    frames = Frames([[[0.0, 0, 0], [0.52, 0, 0]]], STATE, boxes=2.0 * np.eye(3))
    rdf = RDF(None, None, r_max=0.8, bins=16, smear=0.03)
    z = torch.as_tensor((rdf.edges - 0.52) / 0.03)
    expected = torch.special.ndtr(z).diff()
    assert torch.allclose(rdf.pair_counts(frames)[0], expected, atol=2e-9)


def test_a_narrow_smear_is_the_histogram():
    """Up to pairs within a few smears of an edge: here none."""
    positions = np.zeros((1, 5, 3))
    positions[0, :, 0] = [0.0, 0.012, 0.024, 0.136, 0.248]
    frames = Frames(positions, STATE, boxes=2.0 * np.eye(3))
    sharp, smooth = (RDF(None, None, r_max=0.8, bins=80, smear=s).pair_counts(frames) for s in (None, 1e-4))
    assert torch.allclose(sharp, smooth, atol=1e-9)


@pytest.mark.parametrize("box", [np.eye(3) * 1.6, TRICLINIC], ids=["cubic", "triclinic"])
@pytest.mark.parametrize("normalization", ["density", "window"])
def test_smeared_g_has_the_gradient_of_differences(box, normalization):
    rng = np.random.default_rng(8)
    frames = gas(rng, 2, 6, box)
    rdf = RDF(None, None, r_max=0.4, bins=8, smear=0.05, normalization=normalization)
    positions = torch.tensor(np.array(frames.positions), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: rdf(frames, x), positions, atol=1e-6)


def test_every_frame_stands_for_itself():
    frames = gas(np.random.default_rng(9), 4, 20, np.eye(3))
    rdf = RDF(None, None, r_max=0.5, bins=9)
    assert torch.equal(rdf(frames)[2:3], rdf(frames[2]))


def test_large_systems_count_as_small_ones_do():
    """10^4 atoms in 10^3 bins, against the histogram of a tree."""
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(10)
    positions = rng.random((1, 10000, 3)) * 7.0
    rdf = RDF(None, None, r_max=0.5, bins=1000)
    tree = cKDTree(positions[0], boxsize=7.0)
    expected = np.diff(tree.count_neighbors(tree, rdf.edges)) // 2
    counts = rdf.pair_counts(Frames(positions, STATE, boxes=7.0 * np.eye(3)))[0].numpy()
    assert np.abs(np.cumsum(counts) - np.cumsum(expected)).max() <= 1  # one pair may lie on an edge
