# SPDX-License-Identifier: MIT
"""The CPU kernels and their list of pairs: nothing missed, nothing counted twice, in every box and with any threads.

OPENMMGRAD_CPU_SIMD chooses the loops: off, sse, avx2 or avx512; all that this processor has are tested, and which it
has is read from the system. Forces asked for without the energy are in single precision, all else in double precision.
"""

import copy
import itertools
from time import perf_counter

import numpy as np
import openmm
import pytest
from instructions import AVAILABLE

from openmmgrad._load import load_plugins
from openmmgrad.plugin import LearnablePairForce

load_plugins()
CUTOFF, K = 0.9, 20
PADDING = 0.08 * CUTOFF  # of the list
BOXES = {
    "open": None,
    "rectangular": [[2.0, 0, 0], [0, 2.5, 0], [0, 0, 3.0]],
    "smallest": [[1.8, 0, 0], [0, 1.8, 0], [0, 0, 1.8]],
    "long x": [[12.0, 0, 0], [0, 1.85, 0], [0, 0, 1.9]],
    "long z": [[1.9, 0, 0], [0, 1.85, 0], [0, 0, 12.0]],
    "skewed": [[4.0, 0, 0], [1.9, 4.0, 0], [-1.9, 1.9, 4.0]],
    "smallest skewed": [[1.8, 0, 0], [0.9, 1.8, 0], [-0.9, 0.9, 1.8]],
    "long skewed": [[6.0, 0, 0], [0.9, 2.0, 0], [-2.9, -0.9, 1.9]],
}
SELECTIONS = {  # types, exclusions, groups
    "plain": (1, 0, 0),
    "types": (3, 0, 0),
    "many types": (9, 0, 0),
    "very many types": (18, 0, 0),
    "exclusions": (2, 400, 0),
    "groups": (2, 0, 2),
    "all": (3, 300, 3),
}


@pytest.fixture(params=AVAILABLE)
def instructions(request, monkeypatch):
    monkeypatch.setenv("OPENMMGRAD_CPU_SIMD", request.param)
    return request.param


def cubic(strength=1.0, cutoff=CUTOFF):
    """Coefficients of strength*(cutoff - r)^3, from its values at the knots around each spline's centre."""
    h = cutoff / (K - 3)
    c = strength * np.prod([cutoff - (np.arange(K) - m) * h for m in (2, 1, 0)], axis=0)
    c[-3:] = 0
    return c


def make_force(n, periodic, rng, selection="plain", coefficients=None):
    n_types, n_exclusions, n_groups = SELECTIONS[selection]
    force = LearnablePairForce(n_types, CUTOFF, K)
    periodic_or_not = LearnablePairForce.CutoffPeriodic if periodic else LearnablePairForce.CutoffNonPeriodic
    force.setNonbondedMethod(periodic_or_not)
    for a, b in itertools.combinations_with_replacement(range(n_types), 2):
        random = np.append(rng.normal(size=K - 3), [0, 0, 0])
        force.setCoefficients(a, b, random if coefficients is None else coefficients)
    force.addParticles(rng.integers(n_types, size=n))
    first, second = np.triu_indices(n, 1) if n_exclusions else (None, None)
    for pair in rng.choice(n * (n - 1) // 2, size=n_exclusions, replace=False) if n_exclusions else ():
        force.addExclusion(int(first[pair]), int(second[pair]))
    for _ in range(n_groups):
        force.addInteractionGroup(*(set(rng.choice(n, n // 3, replace=False).tolist()) for _ in range(2)))
    return force


def make_context(force, box, positions, platform="CPU", threads=2, integrator=None, barostat=None):
    system = openmm.System()
    for _ in range(len(positions)):
        system.addParticle(40.0)
    if box is not None:
        system.setDefaultPeriodicBoxVectors(*np.asarray(box, dtype=float))
    system.addForce(copy.deepcopy(force))
    if barostat is not None:
        system.addForce(barostat)
    properties = {"Threads": str(threads)} if platform == "CPU" else {}
    context = openmm.Context(
        system, integrator or openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName(platform), properties
    )
    context.setPositions(positions)
    return context


def energy(context):
    return context.getState(energy=True).getPotentialEnergy()._value


def forces(context, **also):
    return context.getState(forces=True, **also).getForces(asNumpy=True)._value


def force_of(context):
    return LearnablePairForce.cast(context.getSystem().getForce(0))


def everything(context, lam):
    """Energy, forces (double), dU/dc, both products, both parts of the virial."""
    force = force_of(context)
    return [
        np.array(energy(context)),
        forces(context, energy=True),
        force.computeCoefficientDerivatives(context),
        *force.computeHessianVectorProduct(context, lam),
        *force.computeVirial(context),
    ]


def relative_error(found, expected):
    return np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12)


@pytest.mark.parametrize("wish", ["avx512", "avx2", "sse", "off", "", "neon", "AVX2"])
def test_loops_are_what_the_processor_has(wish, monkeypatch):
    monkeypatch.setenv("OPENMMGRAD_CPU_SIMD", wish)
    force = make_force(2, False, np.random.default_rng(0))
    if wish in [*AVAILABLE, ""]:
        assert energy(make_context(force, None, [[0, 0, 0], [0.5, 0, 0]])) != 0
    else:
        expected = rf"OPENMMGRAD_CPU_SIMD={wish}, expected one of what this processor has: {', '.join(AVAILABLE)}\."
        with pytest.raises(openmm.OpenMMException, match=expected):
            make_context(force, None, [[0, 0, 0], [0.5, 0, 0]])


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("box", BOXES)
def test_cpu_equals_reference(box, selection, instructions):
    vectors = BOXES[box]
    for threads, n in [(1, 90), (2, 250), (3, 130)]:
        rng = np.random.default_rng(threads)
        positions = rng.uniform(-1, 2, size=(n, 3)) @ (np.eye(3) * 1.5 if vectors is None else vectors)
        positions[3] = positions[7]  # in the same place: no direction, no force
        lam = rng.normal(size=(n, 3))
        force = make_force(n, vectors is not None, rng, selection)
        contexts = [
            make_context(force, vectors, positions, platform, threads)
            for platform in ("Reference", "CPU")
        ]
        for found, expected in zip(everything(contexts[1], lam), everything(contexts[0], lam), strict=True):
            assert relative_error(found, expected) < 1e-11
        assert relative_error(forces(contexts[1]), forces(contexts[0])) < 1e-5


def test_forces_alone_are_in_double_precision_where_asked_for(instructions):
    rng = np.random.default_rng(4)
    positions, box = liquid(5, rng)
    force = make_force(len(positions), True, rng, "types")
    expected = forces(make_context(force, box, positions, "Reference"))
    assert 1e-8 < relative_error(forces(make_context(force, box, positions)), expected) < 1e-5
    force.setUseDoublePrecision(True)
    context = make_context(copy.deepcopy(force), box, positions)
    assert force_of(context).getUseDoublePrecision()
    assert relative_error(forces(context), expected) < 1e-12
    assert np.array_equal(forces(context), forces(context, energy=True))


def test_dynamics_in_double_precision_follow_reference():
    rng = np.random.default_rng(17)
    positions, box = liquid(4, rng)
    force = make_force(len(positions), True, rng, coefficients=cubic(60.0))
    ends = []
    for platform, double in [("Reference", False), ("CPU", True), ("CPU", False)]:
        force.setUseDoublePrecision(double)
        context = make_context(force, box, positions, platform)
        context.setVelocitiesToTemperature(300, 1)
        context.getIntegrator().step(50)
        ends.append(context.getState(positions=True).getPositions(asNumpy=True)._value)
    assert np.abs(ends[1] - ends[0]).max() < 1e-12
    assert 1e-11 < np.abs(ends[2] - ends[0]).max() < 1e-6


@pytest.mark.parametrize("box", ["open", "smallest", "smallest skewed"])
def test_force_alone_vanishes_smoothly_at_cutoff(box, instructions):
    for r in [0.899, *np.nextafter(CUTOFF, [0, 2]), CUTOFF, 0.9 - 1e-7, 0.9 + 1e-7, np.float32(CUTOFF)]:
        force = make_force(2, BOXES[box] is not None, np.random.default_rng(0), coefficients=cubic(1000.0))
        found = forces(make_context(force, BOXES[box], [[0.3, 0.2, 0.1], [0.3, 0.2, 0.1 + float(r)]]))
        expected = 3000.0 * max(CUTOFF - float(r), 0) ** 2
        assert abs(found[0, 2] + expected) <= 1e-4 * expected + 1e-6  # u'(0) is 2430 kJ/mol/nm
        assert np.array_equal(found[0], -found[1])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_call_gives_the_same_bits(threads, instructions):
    rng = np.random.default_rng(5)
    positions = rng.uniform(0, 4, size=(1500, 3))
    force = make_force(1500, True, rng, "types")
    lam = rng.normal(size=positions.shape)
    contexts = [make_context(force, np.eye(3) * 4, positions, threads=threads) for _ in range(2)]
    expected = [*everything(contexts[0], lam), forces(contexts[0])]
    for context in contexts:
        for _ in range(5):
            for first, second in zip(expected, [*everything(context, lam), forces(context)], strict=True):
                assert np.array_equal(first, second)


@pytest.mark.parametrize(("first", "second"), [(0.6, 0.44), (0.52, 0.52), (0.3, 0.75), (0.0, 1.04)])
def test_two_particles_that_close_in_on_each_other_are_found(first, second, instructions):
    """They start just outside the list's range and move by these parts of its padding, to within the cutoff.

    OpenMM's own CPU list misses the first case: it looks again only at particles that moved by more than half of
    the padding. Across the box boundary the particles are wrapped, so plain differences tell nothing.
    """
    box, apart = np.eye(3) * 2.5, CUTOFF + 1.02 * PADDING
    for start in (0.5, 2.4, 1.9):
        before = np.array([[start, 1.0, 1.0], [start + apart, 1.0, 1.0]])
        after = before + np.array([[first, 0, 0], [-second, 0, 0]]) * PADDING
        r = after[1, 0] - after[0, 0]
        for positions in (after, after % 2.5):
            force = make_force(2, True, np.random.default_rng(0), coefficients=cubic())
            context = make_context(force, box, before % 2.5)
            assert energy(context) == 0
            context.setPositions(positions)
            assert forces(context)[0, 0] == pytest.approx(-3 * (CUTOFF - r) ** 2, rel=1e-3)
            assert energy(context) == pytest.approx((CUTOFF - r) ** 3, rel=1e-9)


def liquid(n_cells, rng, noise=0.02):
    """A face-centred cubic crystal with noise: positions [4 n_cells^3, 3] and box, at 21 particles per nm^3."""
    cell = (4 / 21) ** (1 / 3)
    corners = np.array(list(itertools.product(range(n_cells), repeat=3)))
    basis = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    positions = (corners[:, None] + basis).reshape(-1, 3) * cell
    return positions + rng.normal(scale=noise, size=positions.shape), np.eye(3) * n_cells * cell


def assert_equals_fresh_context(context, force, threads):
    state = context.getState(positions=True)
    fresh = make_context(
        force,
        state.getPeriodicBoxVectors(asNumpy=True)._value,
        state.getPositions(asNumpy=True)._value,
        threads=threads,
    )
    assert energy(context) == pytest.approx(energy(fresh), rel=1e-11)
    assert relative_error(forces(context), forces(fresh)) < 1e-5


@pytest.mark.parametrize("threads", [1, 3])
def test_no_pair_is_missed_in_hot_dynamics(threads):
    rng = np.random.default_rng(11)
    positions, box = liquid(5, rng)
    force = make_force(len(positions), True, rng, coefficients=cubic(60.0))
    context = make_context(force, box, positions, threads=threads)
    context.setVelocitiesToTemperature(3000, 1)
    for _ in range(20):
        context.getIntegrator().step(100)
        assert_equals_fresh_context(context, force, threads)


def test_barostat_changes_the_box_under_the_list():
    rng = np.random.default_rng(12)
    positions, box = liquid(5, rng)
    force = make_force(len(positions), True, rng, coefficients=cubic(60.0))
    barostat = openmm.MonteCarloBarostat(1500.0, 300.0, 3)
    barostat.setRandomNumberSeed(1)
    integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.002)
    integrator.setRandomNumberSeed(1)
    context = make_context(force, box, positions, integrator=integrator, barostat=barostat)
    context.setVelocitiesToTemperature(300, 1)
    volumes = []
    for _ in range(15):
        context.getIntegrator().step(20)
        volumes.append(context.getState().getPeriodicBoxVolume()._value)
        assert_equals_fresh_context(context, force, 2)
    assert np.ptp(volumes) > 0.01 * volumes[0]


def test_box_and_wrapping_may_change_between_calls(instructions):
    rng = np.random.default_rng(13)
    positions, box = liquid(5, rng)
    force = make_force(len(positions), True, rng, "types")
    context = make_context(force, box, positions)
    for step in range(6):
        new_box = box * (1 + 0.02 * step)
        new_box[2, :2] = 0.1 * step
        context.setPeriodicBoxVectors(*new_box)
        context.setPositions(positions @ np.linalg.inv(box) @ new_box + rng.integers(-2, 3, positions.shape) @ new_box)
        assert_equals_fresh_context(context, force, 2)


def test_replicated_box_has_the_same_energy_per_particle():
    """At production size: 108,000 particles are 27 copies of 4000."""
    rng = np.random.default_rng(14)
    positions, box = liquid(10, rng)
    shifts = np.array(list(itertools.product(range(3), repeat=3))) @ box
    copies = (shifts[:, None] + positions).reshape(-1, 3)
    cell, crystal = (
        make_context(make_force(len(x), True, rng, coefficients=cubic(60.0)), b, x)
        for x, b in ((positions, box), (copies, 3 * box))
    )
    start = perf_counter()
    assert energy(crystal) == pytest.approx(27 * energy(cell), rel=1e-12)
    print(f"{len(copies)} particles: {perf_counter() - start:.2f} s to build the list and find the energy")
    expected = forces(cell, energy=True)
    assert relative_error(forces(crystal, energy=True).reshape(27, -1, 3), expected) < 1e-10
    assert relative_error(forces(crystal).reshape(27, -1, 3), expected) < 1e-5


def test_a_droplet_with_stray_particles_costs_no_more_than_its_pairs():
    """Cells over the bounding box would be too many, or as large as the droplet."""
    rng = np.random.default_rng(15)
    droplet, _ = liquid(17, rng)
    strays = rng.uniform(-1e5, 1e5, size=(len(droplet) // 50, 3))
    times = []
    for x in (droplet, np.concatenate([droplet, strays])):
        context = make_context(make_force(len(x), False, rng, coefficients=cubic()), None, x)
        best = np.inf
        for shift in (0, 1, 2, 3):
            context.setPositions(x + shift)  # a new list each time
            start = perf_counter()
            total = energy(context)
            best = min(best, perf_counter() - start)
        times.append((best, total))
    assert times[1][1] == pytest.approx(times[0][1], rel=1e-8)
    assert times[1][0] < 5 * times[0][0]


def test_lost_particles_are_named():
    positions = np.zeros((5, 3)) + np.arange(5)[:, None]
    force = make_force(5, False, np.random.default_rng(16))
    context = make_context(force, None, positions)
    for lost in (np.nan, np.inf, 1e9):
        bad = positions.copy()
        bad[3, 1] = lost
        context.setPositions(bad)
        with pytest.raises(openmm.OpenMMException, match=r"coordinates must be finite.* for particle 3"):
            force_of(context).computeCoefficientDerivatives(context)
    context.setPositions(positions)
    assert np.isfinite(force_of(context).computeCoefficientDerivatives(context)).all()
