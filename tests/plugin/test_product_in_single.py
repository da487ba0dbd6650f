# SPDX-License-Identifier: MIT
"""Hessian-vector products in the precision of forces, against Reference, with every set of instructions."""

import numpy as np
import pytest
from instructions import AVAILABLE
from pair_systems import CASES, PairSystem

from openmmgrad.plugin import LearnablePairForce


def products(system, platform, coefficients, vectors, double=False, **options):
    built = system.built("native", coefficients)
    built.force.setUseDoublePrecision(double)
    context = system.context(built, platform)
    force = LearnablePairForce.cast(context.getSystem().getForce(0))
    return force.computeHessianVectorProduct(context, vectors, **options)


def relative(found, exact):
    return [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(found, exact, strict=True)]


@pytest.fixture(params=AVAILABLE)
def instructions(request, monkeypatch):
    monkeypatch.setenv("OPENMMGRAD_CPU_SIMD", request.param)
    return request.param


@pytest.mark.parametrize("case", CASES)
def test_single_precision_is_near(case, instructions):
    system = PairSystem(case)
    c, vectors = system.coefficients(), system.rng.normal(size=(60, 3))
    system.positions[3] = system.positions[7]  # no direction, no force
    exact = products(system, "Reference", c, vectors)
    assert max(relative(products(system, "CPU", c, vectors, inPrecisionOfForces=True), exact)) < 5e-6
    assert max(relative(products(system, "CPU", c, vectors), exact)) < 1e-12


def test_double_is_kept_where_it_is_asked_for(instructions):
    system = PairSystem("three types")
    c, vectors = system.coefficients(), system.rng.normal(size=(60, 3))
    exact = products(system, "Reference", c, vectors, inPrecisionOfForces=True)
    assert max(relative(products(system, "CPU", c, vectors, double=True, inPrecisionOfForces=True), exact)) < 1e-12


@pytest.mark.parametrize("size", [1e-60, 1e60])
def test_vectors_of_any_size(size, instructions):
    system = PairSystem("one type")
    c, vectors = system.coefficients(), system.rng.normal(size=(60, 3))
    expected = products(system, "CPU", c, vectors, inPrecisionOfForces=True)
    found = products(system, "CPU", c, size * vectors, inPrecisionOfForces=True)
    assert max(relative(found, [size * part for part in expected])) < 1e-6


def test_no_vectors_no_products(instructions):
    system = PairSystem("one type")
    for part in products(system, "CPU", system.coefficients(), np.zeros((60, 3)), inPrecisionOfForces=True):
        assert not part.any()


def test_many_pairs_are_summed_in_double_precision(instructions):
    # sums in single precision alone would lose the small difference of many equal terms
    n = 1500
    system = PairSystem("one type", n=n)
    c = system.coefficients()
    positions = system.positions
    vectors = 1.0 + positions + 0.1 * np.sin(7 * positions)
    exact = products(system, "Reference", c, vectors)
    assert max(relative(products(system, "CPU", c, vectors, inPrecisionOfForces=True), exact)) < 1e-5
