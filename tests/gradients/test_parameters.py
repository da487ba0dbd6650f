# SPDX-License-Identifier: MIT
"""Global parameters of Forces as learnt parameters: in Systems, States, Frames and weights."""

import json

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og
from openmmgrad.global_parameters import analytic, forces_of, request_derivatives

T = 300.0


def with_globals(force, **values):
    for name, value in values.items():
        force.addGlobalParameter(name.replace("__", "."), value)
    return force


def bonded_system():
    """Two particles on a spring, one of them in an external field, and charges with an offset."""
    system = openmm.System()
    for _ in range(2):
        system.addParticle(12.0)
    bond = with_globals(openmm.CustomBondForce("0.5*k*(r-r0)^2"), k=1.0, r0=0.1)
    bond.addBond(0, 1)
    outside = with_globals(openmm.CustomExternalForce("k*x+type*y"), k=1.0, type=0.0)
    outside.addParticle(0)
    charges = with_globals(openmm.NonbondedForce(), q__scale=1.0)
    for q in (0.0, 0.0):
        charges.addParticle(q, 0.3, 0.0)
    charges.addParticleParameterOffset("q.scale", 0, 1.0, 0.0, 0.0)
    inner = openmm.CustomCVForce("2*d+w")
    distance = with_globals(openmm.CustomBondForce("s*r"), s=1.0)
    distance.addBond(0, 1)
    inner.addCollectiveVariable("d", distance)
    with_globals(inner, w=3.0)
    for force in (bond, openmm.CMMotionRemover(), outside, charges, inner):
        system.addForce(force)
    return system


def test_parameters_are_torch_parameters_with_scales():
    model = og.Model(bonded_system())
    model.add_parameters({"k": 100, "q.scale": np.float64(0.5), "type": 0.0}, scale={"k": 7.0})
    model.add_parameters({"r0": -0.2})
    assert model.parameter_names == ["k", "q.scale", "type", "r0"]
    assert model.parameter_scales == {"k": 7.0, "q.scale": 0.5, "type": 1.0, "r0": 0.2}
    assert [name for name, _ in model.named_parameters()] == [
        "global_parameters.k", "global_parameters.q_scale", "global_parameters.type_", "global_parameters.r0"]
    assert all(p.dtype == torch.float64 and p.shape == () for p in model.parameters())
    values = model.parameter_values()
    assert values.tolist() == [100.0, 0.5, 0.0, -0.2]
    values.sum().backward()
    assert [float(p.grad) for p in model.parameters()] == [1.0] * 4


def test_state_dicts_carry_parameters_of_any_name():
    models = [og.Model(bonded_system()) for _ in range(2)]
    for model, value in zip(models, (2.0, 5.0), strict=True):
        model.add_parameters({"q.scale": value, "type": value})
    models[1].load_state_dict(models[0].state_dict())
    assert models[1].parameter_values().tolist() == [2.0, 2.0]


def test_a_created_system_has_the_present_values_as_defaults_in_every_force():
    model = og.Model(bonded_system())
    model.add_parameters({"k": 100.0, "s": 4.0, "q.scale": -1.0})
    with torch.no_grad():
        model.global_parameters["k"].fill_(50.0)
    system = model.create_system()
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    found = dict(context.getParameters())
    assert found == {"k": 50.0, "r0": 0.1, "type": 0.0, "q.scale": -1.0, "w": 3.0, "s": 4.0}
    assert model.system.getForce(0).getGlobalParameterDefaultValue(0) == 1.0  # the Model's own System is never changed


def test_forces_that_use_a_parameter_are_found_with_what_they_can_report():
    system = bonded_system()
    names = ("k", "r0", "q.scale", "w", "s", "?")
    assert [forces_of(system, name) for name in names] == [[0, 2], [0], [3], [4], [4], []]
    assert [analytic(system, name) for name in names[:-1]] == [False, True, False, True, False]


def test_derivatives_are_requested_once():
    system = bonded_system()
    for _ in range(2):
        request_derivatives(system, "r0")
    assert system.getForce(0).getNumEnergyParameterDerivatives() == 1
    with pytest.raises(ValueError, match=r"a Force with the parameter 'k' reports no derivative"):
        request_derivatives(system, "k")


def spring_frames(parameters, n=6):
    rng = np.random.default_rng(3)
    return og.Frames(rng.normal(size=(n, 2, 3)), og.State([], T, parameters=parameters))


def test_frames_keep_parameters_through_files_slices_and_mixtures(tmp_path):
    a, b, c = (spring_frames({"k": k}) for k in (0.1 + 0.2, 2.0, 2.0))
    a.save(tmp_path / "a")
    loaded = og.Frames.load(tmp_path / "a")
    assert loaded.states == a.states and loaded.states[0].parameters == {"k": 0.1 + 0.2}
    mixed = og.Frames.concatenate([loaded, b, c])
    assert [state.parameters["k"] for state in mixed.states] == [0.1 + 0.2, 2.0]
    assert [state.parameters["k"] for state in mixed[8:].states] == [2.0]


def test_frames_without_parameters_are_stored_as_before(tmp_path):
    spring_frames({}).save(tmp_path / "a")
    facts = json.loads((tmp_path / "a" / "system.json").read_text())
    assert facts["states"] == [{"coefficients": [], "temperature": T, "pressure": None}]
    assert og.Frames.load(tmp_path / "a").states[0].parameters == {}


def test_an_ensemble_samples_with_the_present_values_and_writes_them(tmp_path):
    model = og.Model(bonded_system())
    model.add_parameters({"k": 100.0})
    positions = np.array([[0.0, 0, 0], [0.1, 0, 0]])
    ensemble = og.Ensemble(model, positions, T, n_frames=3, stride=2, platform="Reference")
    frames = ensemble.sample(path=tmp_path / "a")
    with torch.no_grad():
        model.global_parameters["k"].fill_(200.0)
    later = ensemble.sample()
    assert [f.states[0].parameters for f in (frames, later)] == [{"k": 100.0}, {"k": 200.0}]
