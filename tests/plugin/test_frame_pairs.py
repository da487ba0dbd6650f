# SPDX-License-Identifier: MIT
"""Pairs of stored frames by the compiled loops, against all pairs in numpy: each in the bin of its double distance."""

from functools import cache
from itertools import product

import numpy as np
import openmm
import pytest
from instructions import AVAILABLE

from openmmgrad import plugin
from openmmgrad.frame_pairs import FramePairs

TRICLINIC = np.array([[2.0, 0.0, 0.0], [0.7, 1.9, 0.0], [-0.6, 0.5, 1.8]])
VERY_SKEWED = np.array([[2.0, 0, 0], [2.6, 2.0, 0], [-1.9, 5.3, 2.0]])
BOXES = {"cubic": 2.0 * np.eye(3), "long": np.diag([1.7, 2.2, 9.0]), "flat": np.diag([6.0, 5.0, 1.6]),
         "triclinic": TRICLINIC, "very skewed": VERY_SKEWED, "none": None}  # fmt: skip


def reach_of(box) -> float:
    """Half the smallest width."""
    return 0.9 if box is None else 0.5 / np.linalg.norm(np.linalg.inv(box), axis=0).max()


def all_pairs(x, box, a, b):
    """i, j and the nearest distance of every distinct pair."""
    i, j = np.triu_indices(len(x), 1)
    in_a, in_b = (np.isin(np.arange(len(x)), s) for s in (a, b))
    wanted = (in_a[i] & in_b[j]) | (in_a[j] & in_b[i])
    i, j = i[wanted], j[wanted]
    d = x[i] - x[j]
    if box is None:
        return i, j, np.linalg.norm(d, axis=1)
    d -= np.floor(d @ np.linalg.inv(box)) @ box
    images = range(-3, 4) if box is VERY_SKEWED else range(-2, 2)
    shifts = np.array(list(product(images, repeat=3))) @ box
    return i, j, np.sqrt(np.min([((d + image) ** 2).sum(1) for image in shifts], axis=0))


def configuration(rng, n, box, n_frames=1):
    """Atoms within and without the cell."""
    if box is None:
        return rng.normal(size=(n_frames, n, 3)) * 0.6 + 30.0
    outside = rng.integers(-2, 3, (n_frames, n, 3)) * (rng.random((n_frames, n, 1)) < 0.2)
    return (rng.random((n_frames, n, 3)) + outside) @ box


def histograms(pairs, x, box, edges, threads=1):
    return pairs.histograms(x, None if box is None else np.broadcast_to(box, (len(x), 3, 3)), edges, threads)


@pytest.fixture(params=AVAILABLE)
def instructions(request, monkeypatch):
    monkeypatch.setenv("OPENMMGRAD_CPU_SIMD", request.param)


@cache
def everyone(name, n):
    """A configuration of a box, and the distances of all pairs."""
    (x,) = configuration(np.random.default_rng(n), n, BOXES[name])
    return x, all_pairs(x, BOXES[name], np.arange(n), np.arange(n))[2]


@pytest.mark.parametrize("name", BOXES)
@pytest.mark.parametrize("n", [2, 3, 17, 64, 201])
def test_histograms_are_those_of_all_pairs(name, n, instructions):
    box, (x, r) = BOXES[name], everyone(name, n)
    for start, bins in ((0.0, 1), (0.0, 137), (0.35, 40)):
        edges = np.linspace(start * reach_of(box), reach_of(box), bins + 1)
        (counts,) = histograms(FramePairs(np.arange(n), np.arange(n)), x[None], box, edges)
        assert counts.tolist() == np.histogram(r[r < edges[-1]], edges)[0].tolist()  # numpy's last bin is closed


SELECTIONS = {"equal": (range(80), range(80)), "disjoint": (range(30), range(30, 120)),
              "overlap": (range(70), range(40, 120)), "within": (range(10, 40), range(120)),
              "one atom": ([5], range(120)), "itself": ([5], [5])}  # fmt: skip


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize("selections", SELECTIONS.values(), ids=SELECTIONS)
def test_selections_may_be_equal_disjoint_or_overlap(box, selections, instructions):
    rng = np.random.default_rng(1)
    x = configuration(rng, 120, box, n_frames=2)
    a, b = (rng.permutation(list(s)) for s in selections)
    pairs, reach = FramePairs(a, b), reach_of(box)
    edges = np.linspace(0.0, reach, 51)
    counts = histograms(pairs, x, box, edges)
    for s in range(2):
        i, j, r = all_pairs(x[s], box, a, b)
        near = r < reach
        assert counts[s].tolist() == np.histogram(r[near], edges)[0].tolist()
        found = pairs.within(x[s], box, reach)
        assert {frozenset(p) for p in zip(found[0].tolist(), found[1].tolist(), strict=True)} == {
            frozenset(p) for p in zip(i[near].tolist(), j[near].tolist(), strict=True)}
        assert len(found[2]) == near.sum()
        assert np.sort(found[2]) == pytest.approx(np.sort(r[near]), abs=1e-13)


@pytest.mark.parametrize("box", [3.2 * np.eye(3), np.array([[3.4, 0, 0], [1.2, 3.3, 0], [-1.1, 1.0, 3.2]])],
                         ids=["cubic", "triclinic"])
def test_many_atoms_in_many_cells(box, monkeypatch):
    """Some far apart and the rest dense; the narrower bins are thinner than what single precision resolves."""
    rng = np.random.default_rng(2)
    fractions = rng.random((700, 3))
    fractions[200:] *= [0.9, 0.2, 0.3]
    x, atoms = fractions @ box, np.arange(700)
    r = all_pairs(x, box, atoms, atoms)[2]
    for reach, bins, name in product((0.2, 0.5, 1.4), (200, 10**6), AVAILABLE):
        monkeypatch.setenv("OPENMMGRAD_CPU_SIMD", name)
        edges = np.linspace(0.0, reach, bins + 1)
        (counts,) = histograms(FramePairs(atoms, atoms), x[None], box, edges)
        assert np.array_equal(counts, np.histogram(r[r < reach], edges)[0]), (reach, bins, name)


@pytest.mark.parametrize("box", [4.0 * np.eye(3), np.array([[4.0, 0, 0], [2.0, 4.0, 0], [0.0, -2.0, 4.0]])],
                         ids=["cubic", "triclinic"])
def test_a_distance_on_an_edge_belongs_to_the_bin_above(box, instructions):
    """Multiples of 1/8 on edges that are multiples of 1/8: both are exact, and so are images in a box of 4."""
    x = np.zeros((12, 3))
    x[1:, 1] = np.arange(1, 12) / 8  # along b's plane
    x[6:, 1] += 8.0
    edges = np.arange(13) / 8
    (counts,) = histograms(FramePairs([0], np.arange(12)), x[None], np.diag([4.0, 4.0, 4.0]), edges)
    assert counts.tolist() == [0, *[1] * 11]
    x[:, [0, 1]] = x[:, [1, 0]]
    (counts,) = histograms(FramePairs([0], np.arange(12)), x[None] + 3.875, box, edges)
    assert counts.tolist() == [0, *[1] * 11]
    (counts,) = histograms(FramePairs([0], np.arange(12)), x[None], box, edges[2:6])  # the last edge is outside
    assert counts.tolist() == [1, 1, 1]


def test_atoms_in_one_place_are_at_distance_zero(instructions):
    x = np.full((1, 5, 3), 0.3)
    pairs = FramePairs(np.arange(5), np.arange(5))
    assert histograms(pairs, x, np.eye(3), np.linspace(0, 0.4, 5)).tolist() == [[10, 0, 0, 0]]
    assert histograms(pairs, x, None, np.linspace(0.1, 0.4, 4)).tolist() == [[0, 0, 0]]


def test_two_atoms_see_each_other_through_the_boundary(instructions):
    x = np.array([[[0.05, 0.05, 0.05], [1.95, 1.95, 1.95]]])
    (counts,) = histograms(FramePairs([0, 1], [0, 1]), x, 2.0 * np.eye(3), np.linspace(0, 1, 11))
    assert counts.tolist() == [0, 1, *[0] * 8]  # sqrt(3)/10


def test_far_apart_without_a_box(instructions):
    x = np.array([[[0.0, 0, 0], [0.35, 0, 0], [1e7, 0, 0], [1e7, 0.75, 0]]])
    (counts,) = histograms(FramePairs(np.arange(4), np.arange(4)), x, None, np.linspace(0, 1, 11))
    assert counts.tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 0, 0]
    assert [len(part) for part in FramePairs([0], [2]).within(x[0], None, 1.0)] == [0, 0, 0]


@pytest.mark.parametrize("n_frames", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [50, 2500])
def test_threads_do_not_change_the_counts(n, n_frames):
    rng = np.random.default_rng(3)
    box = TRICLINIC * 1.5
    x = configuration(rng, n, box, n_frames)
    pairs, edges = FramePairs(np.arange(n), np.arange(0, n, 3)), np.linspace(0, 0.6, 100)
    one = histograms(pairs, x, box, edges, threads=1)
    assert one.sum() > n_frames
    for threads in (2, 3, None):
        assert histograms(pairs, x, box, edges, threads).tobytes() == one.tobytes()


def test_frames_stay_apart_and_boxes_belong_to_them():
    rng = np.random.default_rng(4)
    boxes = np.array([TRICLINIC * s for s in (1.0, 1.1, 1.3, 0.9, 1.2)])
    x = rng.random((5, 40, 3)) @ boxes
    pairs, edges = FramePairs(np.arange(40), np.arange(40)), np.linspace(0, 0.6, 30)
    together = pairs.histograms(x, boxes, edges, threads=2)
    for s in range(5):
        assert pairs.histograms(x[s:s + 1], boxes[s:s + 1], edges)[0].tolist() == together[s].tolist()


@pytest.mark.parametrize("form", [lambda x: x.astype(np.float32), np.asfortranarray, lambda x: x[::-1][::-1]])
def test_arrays_may_have_any_form(form):
    x, box = (np.random.default_rng(5).random((3, 30, 3)) * 2).astype(np.float32).astype(float), 2 * np.eye(3)
    pairs, edges = FramePairs(np.arange(30), np.arange(30)), np.linspace(0, 0.9, 30)
    assert histograms(pairs, form(x), box, edges).tolist() == histograms(pairs, x, box, edges).tolist()


def test_no_frames_and_a_turned_box():
    pairs, edges = FramePairs([0, 1], [0, 1]), np.linspace(0, 0.9, 10)
    assert pairs.histograms(np.zeros((0, 2, 3)), np.zeros((0, 3, 3)), edges).shape == (0, 9)
    rng = np.random.default_rng(6)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    x, pairs = rng.random((1, 60, 3)) @ TRICLINIC, FramePairs(np.arange(60), np.arange(60))
    turned, straight = (histograms(pairs, x @ t, TRICLINIC @ t, edges[:7]) for t in (turn, np.eye(3)))
    assert turned.tolist() == straight.tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_positions_that_are_not_finite_are_refused(bad):
    x = np.zeros((2, 3, 3))
    x[1, 2, 1] = bad
    pairs = FramePairs([0, 1, 2], [0, 1, 2])
    with pytest.raises(ValueError, match="frames 0 to 1 contain NaN or infinite values. Leave such frames"):
        histograms(pairs, x, np.eye(3), np.linspace(0, 0.4, 3))
    loops = plugin.FramePairs(np.arange(3, dtype=np.intc), np.arange(3, dtype=np.intc))
    with pytest.raises(openmm.OpenMMException, match="finite and within 1e8 nm, found others in frame 1"):
        loops.countDistances(x, np.array([np.eye(3)] * 2), 3, np.linspace(0, 0.4, 3), 2, np.zeros((2, 2)))
    with pytest.raises(openmm.OpenMMException, match="finite and within 1e8 nm"):
        pairs.within(x[1], np.eye(3), 0.4)


def test_mistakes_are_named():
    pairs = FramePairs([0, 1, 4], [0, 1])
    x, edges = np.zeros((1, 5, 3)), np.linspace(0, 0.4, 3)
    with pytest.raises(openmm.OpenMMException, match="frames of at least 5 atoms were expected, found 3. Select atoms"):
        histograms(pairs, x[:, :3], np.eye(3), edges)
    with pytest.raises(openmm.OpenMMException, match=r"0.6 nm must not exceed half the smallest box width \(0.5 nm"):
        histograms(pairs, x, np.eye(3), np.linspace(0, 0.6, 3))
    with pytest.raises(openmm.OpenMMException, match="increasing edges of bins from 0 or more"):
        histograms(pairs, x, np.eye(3), np.array([0.4, 0.2]))
    with pytest.raises(openmm.OpenMMException, match="must be distinct"):
        FramePairs([0, 0], [1])
    with pytest.raises(openmm.OpenMMException, match="count from 0"):
        FramePairs([-1], [1])
    loops = plugin.FramePairs(np.arange(2, dtype=np.intc), np.arange(2, dtype=np.intc))
    with pytest.raises(openmm.OpenMMException, match=r"shape \[S, N, 3\] and boxes of shape \[S, 3, 3\]"):
        loops.countDistances(x, np.zeros((2, 3, 3)), 5, edges, 1, np.zeros((1, 2)))
    with pytest.raises(openmm.OpenMMException, match=r"counts of shape \[S, B\]"):
        loops.countDistances(x, np.eye(3)[None].copy(), 5, edges, 1, np.zeros((1, 3)))
    turned = np.array([[[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]])
    with pytest.raises(openmm.OpenMMException, match="with a along x and b in the xy plane were expected"):
        loops.countDistances(x, turned, 5, edges, 1, np.zeros((1, 2)))
