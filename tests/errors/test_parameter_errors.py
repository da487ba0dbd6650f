# SPDX-License-Identifier: MIT
"""Mistakes with learnt global parameters and torch energies: each message names what was found and what to do."""

import sys

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


# -- weights --

def frames_of(n=2, parameters=None, pressure=None, boxes=None):
    return og.Frames(np.full((3, n, 3), 0.1) * np.arange(n)[:, None],
                     og.State([], T, pressure, {"k": 1.0} if parameters is None else parameters), boxes=boxes)


@pytest.mark.parametrize(("frames", "message"), [
    (frames_of(parameters={}), r"states have the global parameters \[\], and the model \['k'\]\. .*State\(parameters="),
    (frames_of(parameters={"k": 1.0, "b": 2.0}), r"parameters \['b', 'k'\], and the model \['k'\]"),
    (frames_of(n=3), r"weights: expected frames of 2 particles, found 3\. Use frames of the same System"),
    (frames_of(parameters={"k": 1e300}), r"the energy of frame 0 is not finite at parameters \{'k': 1e\+300\}\. Rest"),
])
def test_weights_refuse(frames, message):
    model = spring()
    model.add_parameters({"k": 1.0})
    if "finite" in message:
        frames.positions *= 1e10
    with pytest.raises(ValueError, match=message):
        og.weights(model, frames)


def test_weights_of_coefficients_refuse_frames_of_different_parameters():
    mixed = og.Frames.concatenate([frames_of(parameters={"k": k}) for k in (1.0, 2.0)])
    with pytest.raises(ValueError, match=r"differ in global parameters, and coefficients say nothing.*Pass the Model"):
        og.weights(torch.zeros(0, dtype=torch.float64), mixed)


def test_periodic_forces_refuse_frames_without_boxes():
    system = openmm.System()
    bond = openmm.CustomBondForce("0.5*k*r^2")
    bond.addGlobalParameter("k", 1.0)
    bond.setUsesPeriodicBoundaryConditions(True)
    for _ in range(2):
        system.addParticle(12.0)
    bond.addBond(0, 1)
    system.addForce(bond)
    model = og.Model(system)
    model.add_parameters({"k": 1.0})
    with pytest.raises(ValueError, match=r"Forces with learnt parameters are periodic and the frames have no boxes"):
        og.weights(model, frames_of())


# -- torch energies --

class Tether(torch.nn.Module):
    broken = False

    def energy(self, positions, box):
        return (positions**2).sum() * (torch.nan if Tether.broken else 1.0)


class PerParticle(torch.nn.Module):
    def energy(self, positions, box):
        return (positions**2).sum(1)


class Plain(torch.nn.Module):
    def energy(self, positions, box):
        return 1.0


class Single(Tether):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)


@pytest.mark.parametrize(("arguments", "options", "error", "message"), [
    ((torch.nn.Linear(3, 1),), {}, TypeError, r"expected a torch module with energy\(positions, box\), found Linear"),
    ((lambda x, box: x.sum(),), {}, TypeError, r"add_energy: expected a torch module.*found function\. Subclass torch"),
    ((Tether(),), dict(backend="native"), ValueError, r"unknown backend 'native'; expected one of pythonforce, torchf"),
    ((Single(),), {}, ValueError, r"must be float64, found layer\.weight, layer\.bias in other.*module\.double\(\)"),
])
def test_add_energy_refuses(arguments, options, error, message):
    model = spring()
    with pytest.raises(error, match=message):
        model.add_energy(*arguments, **options)
    assert model.energy_terms == [] and len(model.energy_modules) == 0


def test_torchforce_needs_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "openmmtorch", None)
    with pytest.raises(ImportError, match=r"expected OpenMM-Torch, found none.*pip install"):
        spring().add_energy(Tether(), backend="torchforce")


@pytest.mark.parametrize(("module", "found"), [(PerParticle(), r"\[2\]"), (Plain(), "float")], ids=["vector", "number"])
def test_energies_that_are_no_scalar_tensors_are_refused(module, found):
    model = spring()
    model.add_energy(module, periodic=False)
    name = type(module).__name__
    with pytest.raises(ValueError, match=rf"{name}: energy\(positions, box\) must return a scalar.*found {found}"):
        model.energies(frames_of())


def test_weights_refuse_frames_that_do_not_say_what_the_torch_energies_were():
    model = spring()
    model.add_energy(Tether(), periodic=False)
    with pytest.raises(ValueError, match=r"do not say what the torch energies were.*learnable_energies="):
        og.weights(model, frames_of(parameters={}))


def test_periodic_energies_refuse_frames_without_boxes():
    model = spring()
    model.add_energy(Tether(), periodic=True)
    with pytest.raises(ValueError, match=r"TorchEnergy: the energy is periodic and the frames have no boxes\. Pass"):
        model.energies(frames_of())


def test_frames_before_an_energy_that_stops_being_finite_stay_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(Tether, "broken", False)
    model = spring()
    model.add_energy(Tether(), periodic=False)
    ensemble = og.Ensemble(model, np.zeros((2, 3)), T, stride=2, platform="Reference")

    def break_after_three(done):
        Tether.broken = done == 3

    with pytest.raises((ValueError, openmm.OpenMMException), match=r"NaN|is nan kJ/mol"):
        ensemble.sample(10, path=tmp_path / "run", progress=break_after_three)
    assert len(og.Frames.load(tmp_path / "run")) == 3
    assert ensemble.segment == 0 and not ensemble.positions.any()
