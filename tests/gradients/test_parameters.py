# SPDX-License-Identifier: MIT
"""Global parameters of Forces as learnt parameters: in Systems, States, Frames and weights."""

import copy
import json

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og
from openmmgrad.estimate import expectation
from openmmgrad.global_parameters import analytic, forces_of, request_derivatives
from openmmgrad.units import KB

T = 300.0
BETA = 1 / (KB * T)
EXACT = dict(platform="Reference")


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


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


# -- weights: a particle on a spring about another, U = k r^2/2, <r^2> = 3 kT/k --

def spring_model(k):
    system = openmm.System()
    for _ in range(2):
        system.addParticle(12.0)
    bond = with_globals(openmm.CustomBondForce("0.5*k*r^2"), k=1.0)
    bond.addBond(0, 1)
    system.addForce(bond)
    model = og.Model(system)
    model.add_parameters({"k": k})
    return model


def spring_samples(rng, constants, n_each):
    """Exact samples of every k, and r^2 [S]."""
    parts = []
    for k in constants:
        positions = np.zeros((n_each, 2, 3))
        positions[:, 1] = rng.normal(scale=1 / np.sqrt(BETA * k), size=(n_each, 3))
        parts.append(og.Frames(positions, og.State([], T, parameters={"k": k})))
    frames = og.Frames.concatenate(parts)
    return frames, (frames.positions[:, 1] ** 2).sum(1)


def test_harmonic_oscillator_has_its_closed_form_average_and_gradient():
    frames, square = spring_samples(np.random.default_rng(4), [100.0], 20000)
    model = spring_model(120.0)
    w = og.weights(model, frames, **EXACT)
    estimate = expectation(tensor(square), w)
    estimate.mean.backward()
    gradient = float(model.global_parameters["k"].grad)
    p = w.w.detach().numpy()
    centred = square - p @ square
    covariance = p @ centred**2 / 2  # of r^2 and dU/dk = r^2/2
    assert gradient == pytest.approx(-BETA * covariance, rel=1e-10)
    assert abs(estimate.mean.item() - 3 / (BETA * 120)) < 4 * float(estimate.stderr)
    influence = p * (-BETA / 2) * (centred**2 - p @ centred**2)
    assert abs(gradient + 3 / (BETA * 120**2)) < 4 * np.sqrt((influence**2).sum())


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_unchanged_parameters_give_equal_weights(platform):
    frames, _ = spring_samples(np.random.default_rng(5), [100.0], 50)
    model = spring_model(100.0)
    w = og.weights(model, frames, platform=platform)
    assert torch.equal(w.w.detach(), torch.full((50,), 1 / 50, dtype=torch.float64))
    with torch.no_grad():
        model.global_parameters["k"].fill_(90.0)
    assert og.weights(model, frames, platform=platform).n_eff < 50
    with torch.no_grad():
        model.global_parameters["k"].fill_(100.0)
    assert torch.equal(og.weights(model, frames, platform=platform).w, w.w)


def test_mixture_weights_are_those_of_the_same_energy_as_a_coefficient():
    """U = k r^2/2 as a Force with a parameter, and as a coefficient k with the feature r^2/2."""
    frames, square = spring_samples(np.random.default_rng(6), [80.0, 160.0], 400)
    states = [og.State([k], T) for k in (80.0, 160.0)]
    linear = og.Frames(frames.positions, states, frames.state_index, features=square[:, None] / 2)
    w = og.weights(spring_model(120.0), frames, **EXACT)
    assert torch.allclose(w.w, og.weights(tensor([120.0]), linear).w, rtol=1e-9)
    assert w.segments.tolist() == [0] * 400 + [1] * 400


def test_a_mixture_agrees_with_one_big_sample_of_the_wanted_state():
    rng = np.random.default_rng(7)
    frames, square = spring_samples(rng, [80.0, 160.0], 4000)
    mixed = expectation(tensor(square), og.weights(spring_model(120.0), frames))
    _, wanted = spring_samples(rng, [120.0], 200000)
    stderr = np.hypot(float(mixed.stderr), wanted.std() / np.sqrt(len(wanted)))
    assert abs(mixed.mean.item() - wanted.mean()) < 4 * stderr


def test_frames_from_disk_have_the_same_weights(tmp_path):
    frames, _ = spring_samples(np.random.default_rng(8), [80.0, 160.0], 30)
    frames.save(tmp_path / "a")
    model = spring_model(120.0)
    loaded = og.weights(model, og.Frames.load(tmp_path / "a"))
    assert torch.equal(loaded.w, og.weights(model, frames).w)


# -- weights: gradients against differences, with and without analytic derivatives and pair potentials --

NAMES = {
    "charge": {"q": 0.3}, "sigma": {"sigma": 0.02}, "bond": {"kb": 300.0}, "external": {"field": 4.0},
    "all": {"q": 0.3, "kb": 300.0, "field": 4.0, "sigma": 0.02},
}
LENGTH, N, S = 2.0, 16, 12


def mixed_system():
    """Charges with offsets by q and sigma (no analytic derivative), bonds (analytic), a field (not analytic)."""
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*(LENGTH * np.eye(3)))
    charges = with_globals(openmm.NonbondedForce(), q=0.0, sigma=0.0)
    charges.setNonbondedMethod(openmm.NonbondedForce.PME)
    charges.setCutoffDistance(0.9)
    bonds = with_globals(openmm.CustomBondForce("0.5*kb*(r-0.5)^2"), kb=100.0)
    external = with_globals(openmm.CustomExternalForce("field*sin(3.14159265358979*x)"), field=1.0)
    for i in range(N):
        system.addParticle(20.0)
        charges.addParticle(0.2 * (-1) ** i, 0.25, 0.3)
        charges.addParticleParameterOffset("q", i, (-1) ** i, 0.0, 0.0)
        charges.addParticleParameterOffset("sigma", i, 0.0, 1.0, 0.0)
        external.addParticle(i)
    for i in range(0, N, 2):
        bonds.addBond(i, i + 1)
    for force in (charges, openmm.CMMotionRemover(), bonds, external):
        system.addForce(force)
    return system


def mixed_model(values, pair_potential):
    model = og.Model(mixed_system())
    if pair_potential:
        model.add_pair_potential(og.LennardJones(0.3, 0.5, 0.9, n_coefficients=24))
    model.add_parameters(values)
    return model


def mixed_frames(model):
    """Displaced lattices: the identities hold for any frames."""
    rng = np.random.default_rng(11)
    positions = og.fluids.lattice(N, LENGTH) + rng.normal(scale=0.03, size=(S, N, 3))
    state = og.State(model.coefficients(T).detach().numpy(), T, parameters=model.global_parameters.as_dict())
    frames = og.Frames(positions, state, boxes=LENGTH * np.eye(3))
    return og.compute_features(model, frames), tensor(rng.normal(size=S))


@pytest.mark.parametrize("pair_potential", [False, True], ids=["alone", "with a pair potential"])
@pytest.mark.parametrize("which", NAMES)
def test_gradient_of_a_weighted_mean_is_its_difference(which, pair_potential):
    model = mixed_model(NAMES[which], pair_potential)
    frames, values = mixed_frames(model)
    parameters = list(model.parameters())

    def mean():
        return expectation(values, og.weights(model, frames, **EXACT)).mean

    with torch.no_grad():  # away from what made the frames
        for p in parameters:
            p.mul_(1.05)
    gradients = torch.autograd.grad(mean(), parameters)
    for p, gradient in zip(parameters, gradients, strict=True):
        start, h = p.detach().clone(), 2e-3 * abs(float(p.detach()))
        difference = 0.0
        for k, weight in {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}.items():
            with torch.no_grad():
                p.copy_(start + k * h)
                difference += weight * float(mean()) / h
                p.copy_(start)
        assert float(gradient) == pytest.approx(difference, rel=1e-6, abs=1e-9)


def whole_energies(model, frames):
    """[S], kJ/mol, each frame in its box, from a Context that is made for the present parameters."""
    context = openmm.Context(model.create_system(T), openmm.VerletIntegrator(0.001),
                             openmm.Platform.getPlatformByName("Reference"))
    energies = []
    for x, box in zip(frames.positions, frames.boxes, strict=True):
        context.setPeriodicBoxVectors(*box)
        context.setPositions(x)
        energies.append(context.getState(energy=True).getPotentialEnergy()._value)
    return np.array(energies)


def test_changes_of_energy_are_those_of_the_whole_system_at_every_volume():
    """Offsets of sigma move NonbondedForce's dispersion correction, which OpenMM fixes when a Context is made."""
    model = mixed_model(NAMES["all"], False)
    frames, _ = mixed_frames(model)
    frames.boxes = frames.boxes * np.linspace(1.0, 1.3, S)[:, None, None]
    before, ours = whole_energies(model, frames), model.parameter_energies(frames, **EXACT).detach().numpy()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.1)
    change = model.parameter_energies(frames, **EXACT).detach().numpy() - ours
    assert change == pytest.approx(whole_energies(model, frames) - before, abs=1e-9)


def test_jacobians_of_many_averages_are_taken_at_once():
    model = mixed_model(NAMES["all"], True)
    frames, _ = mixed_frames(model)
    values = tensor(np.random.default_rng(0).normal(size=(S, 3)))
    parameters = [model.global_parameters[name] for name in model.parameter_names]
    means = expectation(values, og.weights(model, frames)).mean
    batched = torch.autograd.grad(means, parameters, torch.eye(3, dtype=torch.float64), is_grads_batched=True,
                                  retain_graph=True)
    one_by_one = zip(*(torch.autograd.grad(m, parameters, retain_graph=True) for m in means), strict=True)
    for all_rows, rows in zip(batched, one_by_one, strict=True):
        assert torch.allclose(all_rows, torch.stack(rows), rtol=1e-12)


def test_cpu_and_reference_give_the_same_weights_to_single_precision():
    model = mixed_model(NAMES["all"], True)
    frames, values = mixed_frames(model)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.05)
    found = []
    for platform in ("Reference", "CPU"):
        w = og.weights(model, frames, platform=platform)
        gradients = torch.autograd.grad(values @ w.w, [*model.global_parameters.parameters()])
        found.append((w.w.detach(), torch.stack(gradients) * tensor(list(model.parameter_scales.values()))))
    assert torch.allclose(found[0][0], found[1][0], rtol=1e-4)
    assert torch.allclose(found[0][1], found[1][1], rtol=0, atol=1e-3 * float(found[0][1].abs().max()))


def test_a_model_is_copied_after_its_energies_were_evaluated():
    model = mixed_model(NAMES["all"], False)
    frames, _ = mixed_frames(model)
    w = og.weights(model, frames, **EXACT)
    again = og.weights(copy.deepcopy(model), frames, **EXACT)
    assert torch.equal(w.w, again.w)


def test_parameters_added_later_count():
    model = mixed_model(NAMES["bond"], False)
    frames, _ = mixed_frames(model)
    og.weights(model, frames)
    model.add_parameters({"field": 2.0})
    frames = og.Frames(frames.positions, og.State([], T, parameters={"kb": 300.0, "field": 1.0}), boxes=frames.boxes)
    field = np.sin(np.pi * frames.positions[:, :, 0]).sum(1)
    expected = np.exp(-BETA * field)
    expected /= expected.sum()
    assert og.weights(model, frames, **EXACT).w.tolist() == pytest.approx(expected.tolist(), rel=1e-9)
