# SPDX-License-Identifier: MIT
"""Radial distribution functions of paths: those of each time, with gradients, and without keeping pairs."""

import mdtraj
import numpy as np
import pytest
import torch

from openmmgrad.estimate import expectation
from openmmgrad.frames import Frames, State
from openmmgrad.observables import RDF
from openmmgrad.observables.smearing import SmearedBins
from openmmgrad.path import Path
from openmmgrad.weights import Weights

STATE = State([], 300.0)
BOXES = {"cubic": np.eye(3) * 1.8, "triclinic": np.array([[2.0, 0, 0], [0.7, 1.9, 0], [-0.6, 0.5, 1.8]])}


@pytest.fixture(params=BOXES, ids=str)
def box(request):
    return BOXES[request.param]


def wandering(box, n_windows=2, n_times=5, n_atoms=30, seed=0, topology=None):
    """Points that wander through the box and out of it."""
    rng = np.random.default_rng(seed)
    x = 0.4 * rng.normal(size=(n_windows, n_times, n_atoms, 3)).cumsum(1) + rng.random((n_windows, 1, n_atoms, 3)) @ box
    return Path(torch.as_tensor(x), None, times=0.1 * np.arange(n_times), timestep=0.1, masses=np.ones(n_atoms),
                boxes=box, topology=topology)


@pytest.mark.parametrize("smear", [None, 0.02])
@pytest.mark.parametrize("normalization", ["density", "window"])
@pytest.mark.parametrize("every", [1, 2])
def test_a_window_has_the_pairs_of_its_times(box, smear, normalization, every):
    path = wandering(box)
    selections = list(range(20)), list(range(15, 30))
    rdf = RDF(*selections, r_max=0.5, bins=25, smear=smear, normalization=normalization, every=every)
    for s, g in enumerate(rdf(path)):
        frames = Frames(path.positions[s, ::every].numpy(), STATE, boxes=box)
        counts = rdf.pair_counts(frames).mean(0)
        assert torch.allclose(rdf.pair_counts(path)[s], counts, rtol=1e-12)
        if normalization == "density":
            assert torch.allclose(g, rdf(frames).mean(0), rtol=1e-12)
        else:
            shells = torch.as_tensor(rdf.shell_volumes)
            assert torch.allclose(g, counts / counts.sum() / shells * shells.sum(), rtol=1e-12)


def test_mdtraj_agrees(box):
    topology = mdtraj.Topology()
    residue = topology.add_residue("X", topology.add_chain())
    for _ in range(30):
        topology.add_atom("A", mdtraj.element.argon, residue)
    path = wandering(box, n_windows=1, topology=topology)
    r, g = mdtraj.compute_rdf(path.to_mdtraj(0), topology.select_pairs("all", "all"), r_range=(0.0, 0.8), n_bins=20)
    rdf = RDF("name A", None, r_max=0.8, bins=20)
    assert rdf.grid == pytest.approx(r, abs=1e-12)
    assert rdf(path)[0].numpy() == pytest.approx(g, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("normalization", ["density", "window"])
@pytest.mark.parametrize("every", [1, 2])
def test_gradients_are_those_of_differences(box, normalization, every):
    path = wandering(box, n_windows=2, n_times=3, n_atoms=4)
    rdf = RDF([0, 1, 2], [1, 2, 3], r_max=0.6, bins=5, smear=0.04, normalization=normalization, every=every)

    def g(x):
        return rdf(Path(x, None, times=path.times, timestep=0.1, masses=path.masses, boxes=box))

    assert torch.autograd.gradcheck(g, path.positions.clone().requires_grad_(), atol=1e-6)


def test_without_a_box_the_window_still_has_a_gradient():
    x = torch.as_tensor(np.random.default_rng(1).normal(size=(1, 2, 5, 3)) * 0.2, dtype=torch.float64)
    rdf = RDF(None, None, r_max=0.6, bins=6, smear=0.05, normalization="window")
    assert torch.autograd.gradcheck(
        lambda x: rdf(Path(x, None, times=[0.0, 0.1], timestep=0.1, masses=np.ones(5))), x.requires_grad_(), atol=1e-6)


@pytest.mark.parametrize("smear", [0.002, 0.02, 0.2])
@pytest.mark.parametrize("edges", [np.linspace(0, 1, 41), np.linspace(0.3, 0.9, 4)], ids=["many", "few"])
def test_sums_over_cells_are_gaussian_integrals(smear, edges):
    """To 2e-9 of each value: what lies beyond six widths; slopes to 2e-8 of the largest."""
    rng = np.random.default_rng(2)
    values, weights, pull = rng.uniform(-0.2, 1.4, 500), rng.normal(size=500), rng.normal(size=len(edges) - 1)
    z = (edges[:, None] - values) / smear
    integrals = np.diff(torch.special.ndtr(torch.as_tensor(z)).numpy(), axis=0)
    slopes = -np.diff(np.exp(-z**2 / 2) / np.sqrt(2 * np.pi) / smear, axis=0)
    bins = SmearedBins(edges, smear)
    assert np.abs(bins.counts(values, weights) - integrals @ weights).max() < 2e-9 * np.abs(weights).sum()
    assert np.abs(bins.counts(values) - integrals.sum(1)).max() < 2e-9 * len(values)
    for _ in range(2):  # what is kept from one time to the next
        for g in (pull, 2 * pull):
            by_value, by_weight = bins.gradient(values, g)
            assert np.abs(by_weight - g @ integrals).max() < 2e-9 * np.abs(g).sum()
            assert np.abs(by_value - g @ slopes).max() < 2e-8 / smear * np.abs(g).sum()


def test_the_graph_holds_the_positions_and_no_pairs():
    n_atoms, n_times = 400, 4
    path = wandering(np.eye(3) * 2.5, n_windows=1, n_times=n_times, n_atoms=n_atoms)
    path.positions.requires_grad_()
    held = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: held.append(x.numel()) or x, lambda x: x):
        values = RDF(None, None, r_max=1.0, bins=50, smear=0.02)(path)
    assert sum(held) <= 3 * n_atoms * n_times + 10 * 50
    values.pow(2).sum().backward()
    forces = path.positions.grad
    assert float(forces.sum((0, 1, 2)).abs().max()) < 1e-10 * float(forces.abs().sum())  # pairs act in pairs


def test_weights_and_path_both_carry_a_graph(box):
    path = wandering(box, n_windows=3)
    x, logits = path.positions.requires_grad_(), torch.zeros(3, dtype=torch.float64, requires_grad=True)
    rdf = RDF(None, None, r_max=0.5, bins=10, smear=0.03)
    estimate = expectation(rdf(path), Weights(torch.softmax(logits, 0)), observable=rdf)
    estimate.mean[5].backward()
    assert float(x.grad.abs().sum()) > 0
    assert float(logits.grad.abs().sum()) > 0
