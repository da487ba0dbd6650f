# SPDX-License-Identifier: MIT
"""Distributions of angles whose answers are known: lattices, directions at random, mdtraj, sums written out."""

import mdtraj
import numpy as np
import pytest
import torch

from openmmgrad.estimate import expectation
from openmmgrad.frames import Frames, State
from openmmgrad.observables import AngleDistribution
from openmmgrad.path import Path
from openmmgrad.weights import Weights

STATE = State([], 300.0)
TRICLINIC = np.array([[2.0, 0.0, 0.0], [0.7, 1.9, 0.0], [-0.6, 0.5, 1.8]])
BOXES = {"cubic": np.eye(3) * 1.9, "triclinic": TRICLINIC}
FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
DIAMOND = np.concatenate([FCC, FCC + 0.25])


def crystal(basis, cells, a):
    corners = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    positions = ((corners + basis).reshape(-1, 3) * a)[None]
    return Frames(positions, STATE, boxes=np.eye(3) * cells * a)


@pytest.mark.parametrize(("basis", "cells", "cutoff", "expected"), [
    (FCC, 3, 0.42, {60.0: 24, 90.0: 12, 120.0: 24, 180.0: 6}),  # of 12 neighbours
    (DIAMOND, 2, 0.26, {np.degrees(np.arccos(-1 / 3)): 6}),  # of 4
], ids=["fcc", "diamond"])
def test_angles_of_crystals(basis, cells, cutoff, expected):
    adf = AngleDistribution.of_neighbors(None, None, cutoff, bins=181)  # none of the angles is on an edge
    frames = crystal(basis, cells, a=0.5)
    counts = np.zeros(181)
    for angle, number in expected.items():
        counts[np.searchsorted(adf.edges, angle - 1e-6) - 1] = number
    assert (adf.angle_counts(frames)[0] / frames.n_atoms).tolist() == counts.tolist()


def test_directions_at_random_have_a_density_of_one_in_solid_angle():
    rng = np.random.default_rng(0)
    n, frames = 12, 800
    directions = rng.normal(size=(frames, n, 3))
    directions *= rng.uniform(0.1, 0.3, size=(frames, n, 1)) / np.linalg.norm(directions, axis=-1, keepdims=True)
    x = np.concatenate([np.zeros((frames, 1, 3)), directions], axis=1)
    for smear in (None, 3.0):
        adf = AngleDistribution.of_neighbors([0], list(range(1, n + 1)), 0.35, bins=20, solid_angle=True, smear=smear)
        estimate = expectation(adf(Frames(x, STATE)), Weights.uniform(frames), observable=adf)
        expected = np.ones(20)
        if smear:  # a Gaussian of 3 degrees, mirrored at the ends, of sin(theta)/2
            fine = (np.arange(36000) + 0.5) * 0.005
            images = np.concatenate([-fine, fine, 360 - fine])
            share = np.sin(np.radians(np.tile(fine, 3))) * np.radians(0.005) / 2
            below = torch.special.ndtr(torch.as_tensor((adf.edges[:, None] - images) / smear)).numpy() @ share
            expected = np.diff(below) / (-np.diff(np.cos(np.radians(adf.edges))) / 2)
        assert np.abs((estimate.mean_values - expected) / estimate.stderr).max() < 4
        assert estimate.stderr[5:15].max() < 0.02


@pytest.mark.parametrize("smear", [None, 4.0])
def test_the_density_integrates_to_one(smear):
    x = np.random.default_rng(1).normal(size=(3, 9, 3))
    adf = AngleDistribution([[0, 1, 2], [3, 4, 5], [0, 4, 8]], bins=30, smear=smear)
    values = adf(Frames(x, STATE))
    assert adf.unit == "1/degree"
    assert (values.sum(1) * 6.0).numpy() == pytest.approx(1.0, abs=1e-12)
    assert adf.angle_counts(Frames(x, STATE)).sum(1).numpy() == pytest.approx(3.0, abs=1e-8)  # and none is lost


def with_topology(x, box):
    topology = mdtraj.Topology()
    residue = topology.add_residue("X", topology.add_chain())
    for _ in range(x.shape[1]):
        topology.add_atom("A", mdtraj.element.argon, residue)
    trajectory = mdtraj.Trajectory(x.astype(np.float32), topology)
    trajectory.unitcell_vectors = np.array([box] * len(x), dtype=np.float32)
    return trajectory


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_mdtraj_agrees_through_the_boundary(box):
    """Chains of three atoms whose bonds are up to 0.7 nm, each atom in any image."""
    rng = np.random.default_rng(2)
    bonds = rng.normal(size=(4, 20, 2, 3))
    bonds *= rng.uniform(0.1, 0.7, size=(4, 20, 2, 1)) / np.linalg.norm(bonds, axis=-1, keepdims=True)
    middle = rng.random((4, 20, 1, 3)) @ box
    x = np.concatenate([middle + bonds[:, :, :1], middle, middle + bonds[:, :, 1:]], axis=2).reshape(4, 60, 3)
    trajectory = with_topology(x + rng.integers(-1, 2, size=(4, 60, 3)) @ box, box)
    triples = np.arange(60).reshape(20, 3)
    expected = np.degrees(mdtraj.compute_angles(trajectory, triples))
    adf = AngleDistribution(triples, bins=18)
    for s, counts in enumerate(adf.angle_counts(Frames.from_mdtraj(trajectory, 300.0)).numpy()):
        assert counts.tolist() == np.histogram(expected[s], adf.edges)[0].tolist()


def brute_force(x, box, centre, neighbors, cutoff, edges):
    """Every centre and every two of its neighbours, the nearest of 27 images."""
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 3) @ box
    angles = []
    for c in centre:
        arms = []
        for n in neighbors:
            image = x[n] - x[c] + shifts
            arm = image[np.linalg.norm(image, axis=1).argmin()]
            if n != c and np.linalg.norm(arm) < cutoff:
                arms.append(arm / np.linalg.norm(arm))
        angles += [np.degrees(np.arccos(np.clip(a @ b, -1, 1))) for k, a in enumerate(arms) for b in arms[k + 1:]]
    return np.histogram(angles, edges)[0]


@pytest.mark.parametrize(("centre", "neighbors"), [(None, None), ([0, 3, 5], range(6, 25)), (range(10), range(5, 25)),
                                                   ([4], None)], ids=["all", "disjoint", "overlapping", "one"])
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_every_two_neighbours_count_once(box, centre, neighbors):
    x = np.random.default_rng(3).random((2, 25, 3)) @ box
    centre, neighbors = (None if s is None else list(s) for s in (centre, neighbors))
    adf = AngleDistribution.of_neighbors(centre, neighbors, cutoff=0.8, bins=36)
    members = [range(25) if s is None else s for s in (centre, neighbors)]
    for s, counts in enumerate(adf.angle_counts(Frames(x, STATE, boxes=box)).numpy()):
        assert counts.tolist() == brute_force(x[s], box, *members, 0.8, adf.edges).tolist()


def test_many_triples_are_counted_in_pieces(monkeypatch):
    x = np.random.default_rng(4).random((1, 40, 3))
    frames = Frames(x, STATE)
    listed = np.random.default_rng(5).permuted(np.tile(np.arange(40), (70, 1)), axis=1)[:, :3]
    makers = (lambda: AngleDistribution.of_neighbors(None, None, 0.4, smear=5.0, cutoff_smear=0.01),
              lambda: AngleDistribution(listed, smear=5.0))
    positions = torch.tensor(x, requires_grad=True)
    for make in makers:
        results = []
        for size in (2**17, 50):
            monkeypatch.setattr("openmmgrad.observables.triples._BLOCK", size)
            values = make().angle_counts(frames, positions)
            results += [values.detach(), torch.autograd.grad(values.pow(2).sum(), positions)[0]]
        assert torch.allclose(results[0], results[2], rtol=1e-12)
        assert torch.allclose(results[1], results[3], rtol=1e-9, atol=1e-9)


LISTED = [[0, 1, 2], [3, 1, 0], [2, 3, 4]]


def smooth(kind, **more):
    if kind == "listed":
        return AngleDistribution(LISTED, bins=6, smear=8.0, **more)
    return AngleDistribution.of_neighbors([0, 1, 2], None, cutoff=0.5, bins=6, smear=8.0, cutoff_smear=0.05, **more)


@pytest.mark.parametrize("kind", ["listed", "neighbours"])
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize("solid_angle", [False, True])
def test_gradients_are_those_of_differences(kind, box, solid_angle):
    x = torch.as_tensor(np.random.default_rng(6).random((2, 5, 3)) * 0.7) - 0.3
    frames, adf = Frames(x.numpy(), STATE, boxes=box), smooth(kind, solid_angle=solid_angle)
    assert torch.autograd.gradcheck(lambda x: adf(frames, x), x.clone().requires_grad_(), atol=1e-6)


@pytest.mark.parametrize("kind", ["listed", "neighbours"])
@pytest.mark.parametrize("every", [1, 2])
def test_a_window_has_the_angles_of_its_times(kind, every):
    x = torch.as_tensor(np.random.default_rng(7).random((2, 3, 5, 3)) * 0.7)
    adf, box = smooth(kind, every=every), BOXES["cubic"]

    def values(x):
        return adf(Path(x, None, times=[0.0, 0.1, 0.2], timestep=0.1, masses=np.ones(5), boxes=box))

    for s in range(2):
        together = adf.angle_counts(Frames(x[s, ::every].numpy(), STATE, boxes=box)).sum(0)
        assert torch.allclose(values(x)[s], together / together.sum() / 30.0, rtol=1e-12)
    assert torch.autograd.gradcheck(values, x[:1].clone().requires_grad_(), atol=1e-6)


def test_straight_angles_have_a_gradient_of_zero():
    """The mirror at 180 and at 0 degrees makes the distribution flat there."""
    for third in ([-1.0, 0, 0], [0.5, 0, 0]):
        x = torch.tensor([[[1.0, 0, 0], [0, 0, 0], third]], dtype=torch.float64, requires_grad=True)
        frames = Frames(x.detach().numpy(), STATE)
        values = AngleDistribution([[0, 1, 2]], bins=9, smear=10.0)(frames, x)
        gradient = torch.autograd.grad(values[0, 0] - 3 * values[0, 8], x)[0]
        assert float(gradient.abs().max()) < 1e-9


def test_a_narrow_smear_is_the_histogram():
    """Up to angles within a few smears of an edge: here none."""
    angles = np.radians([1.0, 33.0, 97.0, 178.5])
    x = [[[np.cos(a), np.sin(a), 0], [0, 0, 0], [1.0, 0, 0]] for a in angles]
    sharp, smeared = (AngleDistribution([[0, 1, 2]], bins=18, smear=s)(Frames(x, STATE)) for s in (None, 0.15))
    assert torch.allclose(sharp, smeared, atol=1e-9)


def test_frames_without_triples_have_no_density():
    adf = AngleDistribution.of_neighbors(None, None, cutoff=0.3)
    x = np.arange(6.0).reshape(1, 2, 3)
    assert float(adf(Frames(x, STATE)).abs().sum()) == 0.0
