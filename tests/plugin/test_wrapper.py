# SPDX-License-Identifier: MIT
"""The Python face of LearnablePairForce: arrays, units, ownership, XML, threads. Physics: the C++ tests."""

import copy
import gc
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import openmm
import pytest
from openmm import unit

from openmmgrad._load import load_plugins
from openmmgrad.plugin import LearnablePairForce

load_plugins()
CUTOFF, K, N = 1.0, 12, 40


def coefficients(seed):
    values = np.random.default_rng(seed).normal(size=K)
    values[-3:] = 0
    return values


@pytest.fixture
def force():
    force = LearnablePairForce(2, CUTOFF, K)
    for index, (a, b) in enumerate([(0, 0), (0, 1), (1, 1)]):
        force.setCoefficients(a, b, coefficients(index))
    force.addParticles(np.arange(N) % 2)
    return force


def make_context(force, n=N, width=3.0):
    system = openmm.System()
    for _ in range(n):
        system.addParticle(1.0)
    system.setDefaultPeriodicBoxVectors((width, 0, 0), (0, width, 0), (0, 0, width))
    system.addForce(force)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(np.random.default_rng(9).uniform(0, width, (n, 3)))
    return context


def energy_and_forces(context):
    state = context.getState(energy=True, forces=True)
    return (
        state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole),
        state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer),
    )


def all_coefficients(force):
    return np.array([force.getCoefficients(a, b) for a, b in [(0, 0), (0, 1), (1, 1)]])


def test_arrays_have_the_stated_shapes_and_values(force):
    context = make_context(force)
    energy, forces = energy_and_forces(context)
    derivatives = force.computeCoefficientDerivatives(context)
    assert derivatives.shape == (3, K) and derivatives.dtype == np.float64
    assert np.sum(derivatives * all_coefficients(force)) == pytest.approx(energy, rel=1e-12)
    vectors = np.random.default_rng(1).normal(size=(N, 3))
    product, parameter_product = force.computeHessianVectorProduct(context, vectors)
    assert product.shape == (N, 3) and parameter_product.shape == (3, K)
    # F is linear in c: c . (dF/dc)^T lambda = lambda . F
    assert np.sum(parameter_product * all_coefficients(force)) == pytest.approx(
        np.sum(vectors * forces), rel=1e-10
    )
    virial, trace_derivatives = force.computeVirial(context)
    assert virial.shape == (3, 3) and trace_derivatives.shape == (3, K)
    assert np.sum(trace_derivatives * all_coefficients(force)) == pytest.approx(np.trace(virial), rel=1e-12)


def test_product_accepts_any_layout_and_number_type(force):
    context = make_context(force)
    vectors = np.random.default_rng(1).integers(-3, 4, size=(3, N)).T
    expected, _ = force.computeHessianVectorProduct(context, np.ascontiguousarray(vectors, dtype=float))
    for given in (vectors, vectors.astype(np.float32), vectors.tolist()):
        np.testing.assert_array_equal(force.computeHessianVectorProduct(context, given)[0], expected)


def test_coefficients_round_trip_and_are_symmetric_in_types(force):
    np.testing.assert_array_equal(force.getCoefficients(1, 0), coefficients(1))
    force.setCoefficients(np.int64(1), np.int32(0), list(coefficients(5)))
    np.testing.assert_array_equal(force.getCoefficients(0, 1), coefficients(5))
    assert [force.getTypePairIndex(a, b) for a, b in [(0, 0), (0, 1), (1, 0), (1, 1)]] == [0, 1, 1, 2]


def test_quantities_are_converted(force):
    angstroms = LearnablePairForce(1, 9.0 * unit.angstrom, K)
    assert angstroms.getCutoffDistance() == pytest.approx(0.9, rel=1e-15)
    angstroms.setCutoffDistance(7 * unit.angstrom)
    assert angstroms.getCutoffDistance() == pytest.approx(0.7, rel=1e-15)
    force.setCoefficients(0, 0, coefficients(3) * unit.kilocalorie_per_mole)
    np.testing.assert_allclose(force.getCoefficients(0, 0), 4.184 * coefficients(3), rtol=1e-14)


def test_quantities_of_another_dimension_are_refused(force):
    with pytest.raises(ValueError, match="a quantity in nanometer was expected, found picosecond"):
        force.setCutoffDistance(1.0 * unit.picosecond)
    with pytest.raises(ValueError, match="a quantity in kilojoule/mole was expected, found nanometer"):
        force.setCoefficients(0, 0, coefficients(0) * unit.nanometer)


def test_particles_exclusions_and_groups_round_trip(force):
    force.setParticleType(3, 0)
    assert force.addParticle(1) == N
    np.testing.assert_array_equal(
        force.getParticleTypes(), [*(np.arange(N) % 2)[:3], 0, *(np.arange(N) % 2)[4:], 1]
    )
    assert force.getParticleType(np.int64(3)) == 0
    assert force.addExclusion(3, 7) == 0
    force.setExclusionParticles(0, 8, 2)
    assert force.getExclusionParticles(0) == (8, 2)
    force.createExclusionsFromBonds([(0, 1), (1, 2)], 2)
    found = [force.getExclusionParticles(i) for i in range(force.getNumExclusions())]
    assert found == [(8, 2), (0, 1), (0, 2), (1, 2)]
    assert force.addInteractionGroup({1, 5}, range(3)) == 0
    assert force.getInteractionGroupParameters(0) == ({1, 5}, {0, 1, 2})
    force.setInteractionGroupParameters(0, np.array([4]), [])
    assert force.getInteractionGroupParameters(0) == ({4}, set())
    assert force.getNumInteractionGroups() == 1


def test_nonbonded_method_decides_about_periodicity(force):
    assert force.getNonbondedMethod() == LearnablePairForce.CutoffPeriodic
    assert force.usesPeriodicBoundaryConditions()
    force.setNonbondedMethod(LearnablePairForce.CutoffNonPeriodic)
    assert not force.usesPeriodicBoundaryConditions()


def test_update_in_context_changes_the_energy(force):
    context = make_context(force)
    before, _ = energy_and_forces(context)
    for a, b in [(0, 0), (0, 1), (1, 1)]:
        force.setCoefficients(a, b, 2 * force.getCoefficients(a, b))
    assert energy_and_forces(context)[0] == before
    force.updateParametersInContext(context)
    assert energy_and_forces(context)[0] == pytest.approx(2 * before, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: LearnablePairForce(1, 1.0, 6), openmm.OpenMMException, "at least 7, found 6"),
        (lambda f: LearnablePairForce(1, -1, 20), openmm.OpenMMException, "positive and finite, found -1 nm"),
        (lambda f: LearnablePairForce(1.5, 1.0, 20), TypeError, "integer"),
        (
            lambda f: f.setCoefficients(0, 0, np.zeros(K + 1)),
            openmm.OpenMMException,
            "12 coefficients were expected",
        ),
        (
            lambda f: f.setCoefficients(0, 0, np.full(K, np.nan)),
            openmm.OpenMMException,
            "must be finite, found nan",
        ),
        (
            lambda f: f.setCoefficients(0, 0, np.ones(K)),
            openmm.OpenMMException,
            "last three coefficients must be zero",
        ),
        (
            lambda f: f.setCoefficients(0, 0, np.zeros((3, K))),
            ValueError,
            r"shape \[K=12\] .* found \[3, 12\]",
        ),
        (lambda f: f.setCoefficients(0, 2, np.zeros(K)), openmm.OpenMMException, "between 0 and 1, found 2"),
        (lambda f: f.addParticles([0, 1, 2]), openmm.OpenMMException, "type index must be between 0 and 1"),
        (lambda f: f.addParticles([0.0, 1.0]), TypeError, "types must be integers, found float64"),
        (lambda f: f.addParticles([2**40]), ValueError, "must fit into 32 bits"),
        (lambda f: f.addInteractionGroup([True, False], [1]), TypeError, "set1 must be integers, found bool"),
        (
            lambda f: f.createExclusionsFromBonds([0, 1], 2),
            ValueError,
            r"bonds of shape \[B, 2\] .* found \[2\]",
        ),
        (lambda f: f.getExclusionParticles(0), openmm.OpenMMException, "exclusion index"),
        (lambda f: LearnablePairForce.cast(openmm.NonbondedForce()), TypeError, "found NonbondedForce"),
    ],
)
def test_wrong_arguments_are_refused(force, call, error, message):
    with pytest.raises(error, match=message):
        call(force)


def test_errors_of_a_context_reach_python(force):
    context = make_context(force)
    with pytest.raises(ValueError, match=r"lambda of shape \[40, 3\] was expected, found \[3, 40\]"):
        force.computeHessianVectorProduct(context, np.zeros((3, N)))
    with pytest.raises(openmm.OpenMMException, match="not part of the given Context"):
        copy.copy(force).computeVirial(context)
    context.setPeriodicBoxVectors((1.5, 0, 0), (0, 3, 0), (0, 0, 3))
    for compute in (force.computeVirial, force.computeCoefficientDerivatives):
        with pytest.raises(
            openmm.OpenMMException, match=r"the cutoff \(1 nm\) .* smallest box width \(1.5 nm\)"
        ):
            compute(context)
    with pytest.raises(openmm.OpenMMException, match="smallest box width"):
        make_context(copy.copy(force), width=1.9)


def test_system_takes_ownership_and_gives_the_force_back(force):
    system = openmm.System()
    assert force.thisown and isinstance(force, openmm.Force)
    system.addForce(force)
    assert not force.thisown
    plain = system.getForce(0)
    assert LearnablePairForce.isinstance(plain)
    assert not LearnablePairForce.isinstance(openmm.HarmonicBondForce())
    again = LearnablePairForce.cast(plain)
    again.setName("renamed")
    assert force.getName() == "renamed" and not again.thisown
    assert LearnablePairForce.cast(force) is force


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_copies_are_independent_and_equal(force, duplicate):
    force.addExclusion(1, 2)
    force.addInteractionGroup([1], [2, 3])
    force.setForceGroup(5)
    other = duplicate(force)
    assert type(other) is LearnablePairForce and other.thisown
    assert openmm.XmlSerializer.serialize(other) == openmm.XmlSerializer.serialize(force)
    other.setCoefficients(0, 0, np.zeros(K))
    assert np.any(force.getCoefficients(0, 0) != 0)


def test_copied_system_keeps_the_force(force):
    system = openmm.System()
    system.addForce(force)
    duplicate = copy.deepcopy(system)
    other = LearnablePairForce.cast(duplicate.getForce(0))
    assert other.getNumParticles() == N


def test_cast_keeps_a_deserialised_force_alive(force):
    plain = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(force))
    cast = LearnablePairForce.cast(plain)
    del plain
    gc.collect()
    np.testing.assert_array_equal(cast.getCoefficients(0, 1), force.getCoefficients(0, 1))
    plain = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(force))
    LearnablePairForce.cast(plain)
    gc.collect()
    assert LearnablePairForce.cast(plain).getNumParticles() == N
    openmm.System().addForce(LearnablePairForce.cast(plain))


def test_xml_is_read_by_a_process_that_knows_only_openmm(force, tmp_path):
    context = make_context(force)
    path = tmp_path / "system.xml"
    path.write_text(openmm.XmlSerializer.serialize(context.getSystem()))
    positions = context.getState(positions=True).getPositions(asNumpy=True)
    np.save(tmp_path / "positions.npy", positions.value_in_unit(unit.nanometer))
    program = f"""
import sys, numpy, openmm
system = openmm.XmlSerializer.deserialize(open({str(path)!r}).read())
platform = openmm.Platform.getPlatformByName("Reference")
context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
context.setPositions(numpy.load({str(tmp_path / "positions.npy")!r}))
assert "openmmgrad" not in sys.modules
print(repr(context.getState(energy=True).getPotentialEnergy()._value))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) == energy_and_forces(context)[0]


def test_other_python_threads_run_during_a_computation():
    n = 3000
    force = LearnablePairForce(1, CUTOFF, K)
    force.addParticles(np.zeros(n, dtype=int))
    context = make_context(force, n=n, width=5.0)
    started, stop, ticks = threading.Event(), threading.Event(), []

    def tick():
        started.set()
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(1e-4)

    thread = threading.Thread(target=tick)
    thread.start()
    started.wait()
    begin = time.perf_counter()
    force.computeHessianVectorProduct(context, np.zeros((n, 3)))
    end = time.perf_counter()
    stop.set()
    thread.join()
    inside = [t for t in ticks if begin + 0.1 * (end - begin) < t < end - 0.1 * (end - begin)]
    assert len(inside) >= 3, f"{len(inside)} of {len(ticks)} ticks within {end - begin:.4f} s"
