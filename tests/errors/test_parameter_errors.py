# SPDX-License-Identifier: MIT
"""Mistakes with learnt global parameters and torch energies: each message names what was found and what to do."""

import numpy as np
import openmm
import pytest
import torch
from openmm import unit

import openmmgrad as og

T = 300.0


def spring(**options):
    system = openmm.System()
    for _ in range(2):
        system.addParticle(12.0)
    bond = openmm.CustomBondForce("0.5*k*r^2+b")
    bond.addGlobalParameter("k", 1.0)
    bond.addGlobalParameter("b", 0.0)
    bond.addBond(0, 1)
    system.addForce(bond)
    return og.Model(system)


@pytest.mark.parametrize(("arguments", "error", "message"), [
    (({"q": 1.0},), ValueError, r"add_parameters: no Force has a global parameter 'q'; found b, k\. Choose one of"),
    (({},), TypeError, r"add_parameters: expected \{name: value\}, found \{\}\. Name the global parameters"),
    ((["k"],), TypeError, r"expected \{name: value\}, found \['k'\]"),
    (({"k": 3.0 * unit.nanometer},), TypeError, r"the value of 'k' must be a plain number.*unit that the Force's"),
    (({"k": "3"},), TypeError, r"the value of 'k' must be a plain number, found '3'"),
    (({"k": np.nan},), ValueError, r"the value of 'k' must be finite, found nan"),
    (({"k": 1.0}, 0.0), ValueError, r"the scale of 'k' must be positive, found 0\.0\. Give the size of a natural"),
    (({"k": 1.0}, {"b": 1.0}), ValueError, r"scale has 'b', which is not among the values"),
    (({"k": 1.0}, np.inf), ValueError, r"the scale of 'k' must be finite"),
])
def test_add_parameters_refuses(arguments, error, message):
    model = spring()
    with pytest.raises(error, match=message):
        model.add_parameters(*arguments)
    assert model.parameter_names == [] and list(model.parameters()) == []


def test_a_parameter_is_added_once():
    model = spring()
    model.add_parameters({"k": 1.0})
    with pytest.raises(ValueError, match=r"'k' is learnt already\. Add each parameter once"):
        model.add_parameters({"k": 2.0})


def test_a_system_without_global_parameters_says_so():
    with pytest.raises(ValueError, match=r"no Force has a global parameter 'k'; found none\..*addGlobalParameter"):
        og.Model(openmm.System()).add_parameters({"k": 1.0})


def test_parameters_that_are_not_finite_are_refused_where_they_would_be_used():
    model = spring()
    model.add_parameters({"k": 1.0})
    with torch.no_grad():
        model.global_parameters["k"].fill_(torch.nan)
    with pytest.raises(ValueError, match=r"Model: parameters k are NaN or infinite\. Restore the last good"):
        model.create_system()
    with pytest.raises(ValueError, match=r"State: parameters must be finite, found"):
        og.State([], T, parameters={"k": np.inf})


def lennard_jones_with_offsets(correction, **scales):
    """Eight argon atoms whose NonbondedForce has offsets by the parameter "shift"."""
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*(2.0 * np.eye(3)))
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(0.9)
    force.setUseDispersionCorrection(correction)
    force.addGlobalParameter("shift", 0.0)
    for i in range(8):
        system.addParticle(40.0)
        force.addParticle(0.0, 0.34, 1.0)
        force.addParticleParameterOffset("shift", i, *(scales.get(name, 0.0) for name in ("q", "sigma", "eps")))
    system.addForce(force)
    model = og.Model(system)
    model.add_parameters({"shift": 0.01})
    return model


POSITIONS = og.fluids.lattice(8, 2.0)
REFUSED = r"shift offset sigma or epsilon at constant pressure.*setUseDispersionCorrection\(False\).*volume constant"


@pytest.mark.parametrize("scales", [{"sigma": 1.0}, {"eps": 1.0}], ids=str)
def test_offsets_that_the_dispersion_correction_does_not_follow_are_refused_at_constant_pressure(scales):
    ensemble = og.Ensemble(lennard_jones_with_offsets(True, **scales), POSITIONS, T, pressure=1.0)
    with pytest.raises(ValueError, match="Ensemble: " + REFUSED):
        ensemble.sample(1)


@pytest.mark.parametrize(("correction", "scales", "pressure"), [
    (False, {"sigma": 1.0}, 1.0), (True, {"q": 1.0}, 1.0), (True, {"sigma": 1.0}, None)], ids=str)
def test_other_offsets_are_accepted(correction, scales, pressure):
    ensemble = og.Ensemble(lennard_jones_with_offsets(correction, **scales), POSITIONS, T, pressure=pressure,
                           stride=2, platform="Reference")
    assert ensemble.sample(1).states[0].parameters == {"shift": 0.01}
