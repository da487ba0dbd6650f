# SPDX-License-Identifier: MIT
"""dU/dc and d(tr W)/dc of stored frames without a Context, against those that the platforms give in one."""

import numpy as np
import openmm
import pytest
from pair_systems import CASES, PairSystem

from openmmgrad import LearnablePairForce
from openmmgrad.plugin import FrameFeatures


def compute(force, positions, boxes, threads=1):
    loops = FrameFeatures(force)
    features, virial = np.empty((2, len(positions), loops.getNumFeatures()))
    boxes = np.zeros((len(positions), 3, 3)) if boxes is None else np.ascontiguousarray(boxes)
    loops.compute(np.ascontiguousarray(positions), boxes, threads, features, virial)
    return features, virial


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
@pytest.mark.parametrize("case", CASES)
def test_features_are_those_of_a_context(case, platform):
    system = PairSystem(case)
    backend = system.built("native", system.coefficients())
    context = system.context(backend, platform)
    frames = np.stack([system.positions + 0.05 * system.rng.normal(size=system.positions.shape) for _ in range(3)])
    features, virial = compute(backend.force, frames, None if system.box is None else [system.box] * 3)
    for s, x in enumerate(frames):
        context.setPositions(x)
        expected = backend.force.computeCoefficientDerivatives(context).ravel()
        of_trace = backend.force.computeVirial(context)[1].ravel()
        assert np.abs(features[s] - expected).max() < 1e-12 * np.abs(expected).max()
        assert np.abs(virial[s] - of_trace).max() < 1e-12 * np.abs(of_trace).max()


@pytest.mark.parametrize("case", CASES)
def test_features_times_coefficients_is_the_energy(case):
    system = PairSystem(case)
    c = system.coefficients()
    features, _ = compute(system.built("native", c).force, system.positions[None],
                          None if system.box is None else [system.box])
    energy, _, size = system.answer(c)
    assert abs(features[0] @ c.ravel() - energy) < 1e-12 * size


def large(n=5000, n_types=2):
    """Parts of a frame are 2,000 particles: this has two."""
    force = LearnablePairForce(n_types, 0.7, 30)
    force.addParticles(np.arange(n) % n_types)
    return force, np.random.default_rng(0), np.array([[5.0, 0, 0], [1.5, 5.0, 0], [-1.0, 0.9, 5.0]])


@pytest.mark.parametrize("n_frames", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [60, 5000])
def test_threads_do_not_change_a_bit(n, n_frames):
    force, rng, box = large(n)
    x = rng.random((n_frames, n, 3)) @ box
    one = compute(force, x, [box] * n_frames)
    assert (np.abs(one[0]).max(axis=1) > 0).all()
    for threads in (2, 3, 0):
        for mine, expected in zip(compute(force, x, [box] * n_frames, threads), one, strict=True):
            assert mine.tobytes() == expected.tobytes()


def test_each_frame_has_its_box():
    force, rng, box = large(100)
    boxes = np.array([box, 0.9 * box, 1.2 * box])
    x = rng.random((3, 100, 3)) @ boxes
    together = compute(force, x, boxes, 2)
    for s in range(3):
        alone = compute(force, x[s:s + 1], boxes[s:s + 1])
        assert all(np.array_equal(a[0], b[s]) for a, b in zip(alone, together, strict=True))


def test_the_force_may_change_or_go():
    force, rng, box = large(50)
    x = rng.random((1, 50, 3)) @ box
    loops, expected = FrameFeatures(force), compute(force, x, [box])[0]
    force.setParticleType(3, 0)
    del force
    features, virial = np.empty((2, 1, loops.getNumFeatures()))
    loops.compute(x, box[None].copy(), 1, features, virial)
    assert np.array_equal(features, expected)


def test_mistakes_are_named():
    force, rng, box = large(50)
    x = rng.random((4, 50, 3)) @ box
    bad = x.copy()
    bad[2, 7, 1] = np.nan
    for n_frames in (3, 4):  # alone, and in parts
        with pytest.raises(openmm.OpenMMException, match="finite and within 1e8 nm, found nan nm for particle 7"):
            compute(force, bad[:n_frames], [box] * n_frames, 2)
    with pytest.raises(openmm.OpenMMException, match=r"cutoff \(0.7 nm\) .* half .* \(1.25 nm\) of frame 1"):
        compute(force, x[:2], [box, box / 4])
    with pytest.raises(openmm.OpenMMException, match="a along x and b in the xy plane .* found others in frame 0"):
        compute(force, x[:1], [box.T])
    with pytest.raises(openmm.OpenMMException, match=r"positions of shape \[S, N, 3\]"):
        compute(force, x[:, :49], [box] * 4)
