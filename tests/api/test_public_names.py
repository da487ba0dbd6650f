# SPDX-License-Identifier: MIT
"""The public names: pinned, so that every change is deliberate, and documented."""

import inspect
import re

import pytest

import openmmgrad as og

NOUNS = [
    "AngleDistribution", "BACKENDS", "Buckingham", "Density", "EnergyEntropy", "Ensemble", "Estimate", "FrameWriter",
    "Frames", "HeatOfVaporization", "History", "IRSpectrum", "Influence", "LearnablePairForce", "LennardJones",
    "LennardJonesFamily", "MLPPotential", "MSD", "MeasuredSpectrum", "Model", "ModulePotential", "Morse",
    "NoseHooverChainIntegrator", "PairPotential", "Path", "PerPair", "PointCharges", "PotentialEnergy", "Pressure",
    "PressureTensor", "Propagator", "RDF", "Recorder", "ReducedUnits", "SelfDiffusion", "SoftSphere",
    "SplinePotential", "State", "StaticDielectric", "StructureFactor", "SumPotential", "Target", "TorchDipole", "VACF",
    "VibrationalDensityOfStates", "Viscosity", "Weights", "Yukawa",
]
VERBS = [
    "bands", "bead_fluid", "chi2", "compute_features", "diagnose_gradient", "expectation", "export", "fit",
    "flexible_water", "kinetic_control", "potential_from_structure_factor", "propagate", "rdf_from_structure_factor",
    "read_spectrum", "read_table", "relative_l2", "start_from_rdf", "time_origins", "weights",
]


def test_the_public_names_are_these():
    assert sorted(og.__all__) == NOUNS + VERBS
    assert list(og.__all__) == sorted(og.__all__)


def test_nouns_are_classes_and_verbs_are_functions():
    assert [name for name in NOUNS if not inspect.isclass(getattr(og, name))] == ["BACKENDS"]
    assert [name for name in VERBS if not inspect.isfunction(getattr(og, name))] == []


def test_backends_are_these():
    assert og.BACKENDS == ("native", "table", "pythonforce", "torchforce")


@pytest.mark.parametrize("name", [name for name in NOUNS + VERBS if name != "BACKENDS"])
def test_every_name_has_a_docstring_and_says_which_package_it_is_of(name):
    thing = getattr(og, name)
    assert len(thing.__doc__.strip()) > 40
    assert thing.__module__.startswith("openmmgrad")


OWN = [name for name in NOUNS if name not in ("BACKENDS", "LearnablePairForce")]


@pytest.mark.parametrize("name", OWN)
def test_every_public_method_has_a_docstring(name):
    members = {key: value for key, value in vars(getattr(og, name)).items() if not key.startswith("_")}
    documented = {key: inspect.getdoc(getattr(getattr(og, name), key)) for key, value in members.items()
                  if inspect.isroutine(value) or isinstance(value, property | classmethod | staticmethod)}
    assert [key for key, text in documented.items() if not text] == []


@pytest.mark.parametrize("name", VERBS)
def test_every_parameter_of_a_verb_is_described(name):
    verb = getattr(og, name)
    text = verb.__doc__
    elsewhere = re.search(r"see `(\w+)`", text)
    if "Parameters\n" not in text and elsewhere:  # says where
        text = getattr(inspect.getmodule(verb), elsewhere[1]).__doc__
    described = text.split("Parameters\n")[1]
    assert [p for p in inspect.signature(verb).parameters if p not in described] == []
