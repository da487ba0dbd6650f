# SPDX-License-Identifier: MIT
"""Density, energies and heat of vaporisation: NIST, whole Contexts, closed forms, and both terms of derivatives."""

import copy

import numpy as np
import openmm
import pytest
import torch
from reference_data import data_file

import openmmgrad as og
from openmmgrad.fitting.sample import Sample
from openmmgrad.fitting.statistics import response
from openmmgrad.units import KB

T = 300.0
KT = KB * T
EXACT = dict(platform="Reference")


def test_density_is_mass_over_volume():
    masses = [15.999, 1.008, 1.008] * 2
    boxes = np.array([np.eye(3) * 0.4, [[0.5, 0, 0], [0.2, 0.4, 0], [0.1, 0.1, 0.3]]])
    values = og.Density(masses)(og.Frames(np.zeros((2, 6, 3)), og.State([], T), boxes=boxes))
    grams = 2 * 18.015 / 6.02214076e23  # cm^3 in 1 nm^3: 1e-21
    assert values[:, 0].numpy() == pytest.approx([1000 * grams / 0.064e-21, 1000 * grams / 0.06e-21], rel=1e-9)
    assert not og.Density(masses).explicit


def test_rigid_water_has_the_energy_of_nist():
    """SPC/E, configuration 1: -4.88604e5 K of Ewald sums with alpha 5.6/L and few vectors; good to about 1e-5."""
    rows = np.loadtxt(data_file("spce_nist_config1.csv"), delimiter=",", comments=("#", "e"), usecols=(1, 2, 3))
    water = rows.reshape(100, 3, 3) / 10
    water -= 2.0 * np.rint((water - water[:, :1]) / 2.0)  # molecules in one piece: OpenMM excludes pairs as they are
    system, pairs = openmm.System(), openmm.NonbondedForce()
    system.setDefaultPeriodicBoxVectors(*(2.0 * np.eye(3)))
    pairs.setNonbondedMethod(openmm.NonbondedForce.PME)
    pairs.setCutoffDistance(1.0)
    pairs.setEwaldErrorTolerance(1e-5)
    for o in range(0, 300, 3):
        for k, q in enumerate((-0.8476, 0.4238, 0.4238)):
            system.addParticle(1.0)
            pairs.addParticle(q, 0.316555789 if k == 0 else 1.0, 78.19743111 * KB if k == 0 else 0.0)
        for a, b in ((o, o + 1), (o, o + 2), (o + 1, o + 2)):
            pairs.addException(a, b, 0.0, 1.0, 0.0)
            system.addConstraint(a, b, 0.1)
    system.addForce(pairs)
    frames = og.Frames(water.reshape(1, 300, 3), og.State([], T), boxes=2.0 * np.eye(3))
    model = og.Model(system)
    energy = og.PotentialEnergy(model, **EXACT)(frames).item()
    print(f"U/k {energy / KB:.1f} K, NIST -488604 K, relative {energy / KB / -488604 - 1:.1e}")
    assert energy / KB == pytest.approx(-4.88604e5, rel=5e-5)
    assert og.PotentialEnergy(model, "molecule", **EXACT)(frames).item() == pytest.approx(energy / 100)
    heat = og.HeatOfVaporization(model, correction=-5.22, **EXACT)(frames).item()
    assert heat == pytest.approx(-energy / 100 + KT - 5.22)


class Tether(torch.nn.Module):
    """A torch energy with a parameter."""

    def __init__(self):
        super().__init__()
        self.k = torch.nn.Parameter(torch.tensor(50.0, dtype=torch.float64))

    def energy(self, positions, box):
        return 0.5 * self.k * (positions[:, 0] ** 2).sum()


def everything(torch_energy: bool) -> og.Model:
    """Forces with learnt parameters and without, a pair potential, and a torch energy or none."""
    n, length, rng = 20, 2.0, np.random.default_rng(1)
    system, pairs = openmm.System(), openmm.NonbondedForce()
    system.setDefaultPeriodicBoxVectors(*(length * np.eye(3)))
    pairs.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    pairs.setCutoffDistance(0.9)
    pairs.addGlobalParameter("deps", 0.0)
    bonds, angles = openmm.CustomBondForce("k*(r-0.15)^2"), openmm.HarmonicAngleForce()
    bonds.addGlobalParameter("k", 300.0)
    for i in range(n):
        system.addParticle(12.0)
        pairs.addParticle(rng.normal() / 10, 0.25, 0.5)
        pairs.addParticleParameterOffset("deps", i, 0.0, 0.0, 1.0)
        if i % 4:
            bonds.addBond(i - 1, i)
        if i % 4 == 2:
            angles.addAngle(i - 2, i - 1, i, 2.0, 100.0)
    for force in (pairs, bonds, angles, openmm.CMMotionRemover()):
        system.addForce(force)
    model = og.Model(system)
    model.add_parameters({"deps": 0.1, "k": 500.0})
    model.add_pair_potential(og.SoftSphere(1.0, 0.25, 0.8, n_coefficients=48))
    if torch_energy:
        model.add_energy(Tether())
    return model


def whole_energies(model, frames) -> np.ndarray:
    """By one Context of all that the Model simulates."""
    context = openmm.Context(model.create_system(T), openmm.VerletIntegrator(0.001),
                             openmm.Platform.getPlatformByName("Reference"))
    energies = []
    for x, box in zip(frames.positions, frames.boxes, strict=True):
        context.setPeriodicBoxVectors(*box)
        context.setPositions(x)
        energies.append(context.getState(energy=True).getPotentialEnergy()._value)
    return np.array(energies)


@pytest.mark.parametrize("torch_energy", [False, True], ids=["OpenMM alone", "with torch"])
def test_potential_energies_are_those_of_the_whole_context(torch_energy):
    model = everything(torch_energy)
    start = np.linspace(0, 1, 20)[:, None] * [6.0, 0.0, 0.0] + np.random.default_rng(0).normal(size=(20, 3)) * 0.02
    ensemble = og.Ensemble(model, start, T, n_frames=4, stride=5, equilibration=5, timestep=0.001, **EXACT)
    parts = [ensemble.sample()]
    with torch.no_grad():
        for p, factor in zip(model.parameters(), (1.3, 0.9, 1.1, 1.2, 0.8), strict=False):
            p.mul_(factor)
    parts.append(ensemble.sample())
    with torch.no_grad():
        model.global_parameters["deps"].fill_(0.3)
    for frames in (parts[0], og.Frames.concatenate(parts)):
        bare = og.Frames(frames.positions, og.State([], T), boxes=frames.boxes)
        expected = whole_energies(model, frames)
        assert model.potential_energies(frames, **EXACT).detach().numpy() == pytest.approx(expected, rel=1e-6, abs=2e-4)
        assert model.potential_energies(bare, **EXACT).detach().numpy() == pytest.approx(expected, rel=1e-6, abs=2e-4)
        small = np.array([[0.004, 0, 0], [0.002, -0.003, 0], [0.001, 0.002, 0.001]])
        moved = model.strained(frames, small)
        assert model.potential_energies(moved, **EXACT).detach().numpy() == pytest.approx(
            whole_energies(model, moved), rel=1e-6, abs=2e-4)


def test_every_parameter_is_in_the_gradient():
    model = everything(True)
    frames = og.Frames(np.random.default_rng(0).random((2, 20, 3)) * 2, og.State([], T), boxes=2 * np.eye(3))
    total = model.potential_energies(frames, **EXACT).sum()
    parameters = dict(model.named_parameters())
    gradient = torch.autograd.grad(total, list(parameters.values()))
    for (name, parameter), found in zip(parameters.items(), gradient, strict=True):
        start, h = parameter.item(), 1e-4 * abs(parameter.item())
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.fill_(start + sign * h)
            values.append(model.potential_energies(frames, **EXACT).sum().item())
        with torch.no_grad():
            parameter.fill_(start)
        assert found.item() == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-5), name


def test_a_copied_model_remembers_nothing():
    model = everything(False)
    frames = og.Frames(np.random.default_rng(0).random((1, 20, 3)) * 2, og.State([], T), boxes=2 * np.eye(3))
    first = model.potential_energies(frames, **EXACT)
    other = copy.deepcopy(model)
    assert other._remembered.molecules is None
    assert other.potential_energies(frames, **EXACT).item() == first.item()


# -- closed forms --

def oscillator(expression: str, values: dict[str, float], share=None) -> og.Model:
    """One particle in an external energy whose constants are learnt, or shared with another Model."""
    system, force = openmm.System(), openmm.CustomExternalForce(expression)
    system.addParticle(10.0)
    force.addParticle(0)
    for name, value in values.items():
        force.addGlobalParameter(name, value)
    system.addForce(force)
    model = og.Model(system)
    model.add_parameters({name: share.global_parameters[name] if share and name in share.parameter_names else value
                          for name, value in values.items()})
    return model


def quadrature(model, k: float) -> og.Frames:
    """27 frames of exact moments to fifth order of exp(-k r^2/2kT): Gauss-Hermite nodes, with their multiplicity."""
    node = np.sqrt(3.0 * KT / k) * np.array([-1, 0, 0, 0, 0, 1])
    positions = np.stack(np.meshgrid(node, node, node, indexing="ij"), -1).reshape(-1, 1, 3)
    return og.Frames(positions, og.State([], T, parameters=model.global_parameters.as_dict()), boxes=np.eye(3))


def gradient_of(observable, model, frames, parameters):
    mean = og.expectation(observable(frames), og.weights(model, frames, **EXACT)).mean
    return mean.item(), [float(g) for g in torch.autograd.grad(mean.sum(), parameters)]


def test_an_oscillator_has_three_halves_kt_at_any_k():
    """<U> = 3kT/2: <dU/dk> = 3kT/2k and -beta Cov(U, dU/dk) = -3kT/2k cancel; a constant counts fully."""
    model = oscillator("0.5*k*(x^2+y^2+z^2)+a", {"k": 200.0, "a": 3.0})
    frames = quadrature(model, 200.0)
    energy, parameters = og.PotentialEnergy(model, **EXACT), list(model.parameters())
    value, slopes = gradient_of(energy, model, frames, parameters)
    assert value == pytest.approx(1.5 * KT + 3.0)
    assert slopes == pytest.approx([0.0, 1.0], abs=1e-6)
    explicit = torch.autograd.grad(energy(frames).mean(), parameters)
    assert [float(g) for g in explicit] == pytest.approx([1.5 * KT / 200.0, 1.0])


def test_heat_of_vaporisation_of_oscillators():
    """Liquid k r^2/2 + w r^2/2 - a, gas k r^2/2: both 3kT/2, so dH = a + kT, and only a moves it."""
    liquid = oscillator("0.5*(k+w)*(x^2+y^2+z^2)-a", {"k": 200.0, "w": 100.0, "a": 40.0})
    gas = oscillator("0.5*k*(x^2+y^2+z^2)", {"k": 200.0}, share=liquid)
    heat = og.HeatOfVaporization(liquid, gas=(gas, quadrature(gas, 200.0)), **EXACT)
    value, slopes = gradient_of(heat, liquid, quadrature(liquid, 300.0), list(liquid.parameters()))
    assert value == pytest.approx(40.0 + KT)
    assert slopes == pytest.approx([0.0, 0.0, 1.0], abs=1e-6)
    number = og.HeatOfVaporization(liquid, gas=1.5 * KT, **EXACT)
    assert number(quadrature(liquid, 300.0)).mean().item() == pytest.approx(40.0 + KT)


@pytest.fixture(scope="module")
def vapour():
    """An anharmonic liquid and its gas, which share k: 300 random frames of each, from neither's distribution."""
    liquid = oscillator("0.5*k*(x^2+y^2+z^2)+b*x^4-20", {"k": 200.0, "b": 300.0})
    gas = oscillator("0.5*k*(x^2+y^2+z^2)+30*cos(9*y)", {"k": 200.0}, share=liquid)
    rng = np.random.default_rng(0)
    frames = [og.Frames(0.12 * rng.normal(size=(300, 1, 3)), og.State([], T, parameters=m.global_parameters.as_dict()),
                        boxes=np.eye(3)) for m in (liquid, gas)]
    return liquid, gas, *frames


def by_difference(model, name, mean):
    parameter, values = model.global_parameters[name], []
    start = parameter.item()
    for sign in (1, -1):
        with torch.no_grad():
            parameter.fill_(start * (1 + 1e-5 * sign))
        values.append(mean())
    with torch.no_grad():
        parameter.fill_(start)
    return (values[0] - values[1]) / (2e-5 * start)


def test_gradients_are_differences_of_the_whole_estimate(vapour):
    liquid, gas, frames, of_gas = vapour
    parameters = [liquid.global_parameters[name] for name in ("k", "b")]
    for observable in (og.HeatOfVaporization(liquid, gas=(gas, of_gas), **EXACT), og.PotentialEnergy(liquid, **EXACT)):
        _, slopes = gradient_of(observable, liquid, frames, parameters)
        for name, slope in zip(("k", "b"), slopes, strict=True):
            expected = by_difference(liquid, name, lambda o=observable: gradient_of(o, liquid, frames, parameters)[0])
            assert slope == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_gauss_newton_sees_both_terms_and_the_gas(vapour):
    liquid, gas, frames, of_gas = vapour
    ensemble = og.Ensemble(liquid, np.zeros((1, 3)), T, box=[1.0] * 3, **EXACT)
    for observable in (og.HeatOfVaporization(liquid, gas=(gas, of_gas), **EXACT), og.PotentialEnergy(liquid, **EXACT)):
        sample = Sample(ensemble, [frames])
        target = og.Target(observable, ensemble, [1.0], sigma=0.1)
        jacobian = response(target, sample, sample.weights()).jacobian
        parameters = [liquid.global_parameters[name] for name in ("k", "b")]
        _, slopes = gradient_of(observable, liquid, frames, parameters)
        scaled = np.array(slopes) * list(liquid.parameter_scales.values())
        assert jacobian[0] == pytest.approx(scaled, rel=2e-3)  # CPU and Reference


def test_energies_of_pair_potentials_have_their_gauss_newton_terms():
    model = everything(False)
    positions = np.random.default_rng(3).random((30, 20, 3)) * 0.5
    frames = og.compute_features(model, og.Frames(positions, og.State([], T), boxes=2 * np.eye(3)))
    plain = model.potential_energies(frames, **EXACT)
    for observable, factor in ((og.PotentialEnergy(model, **EXACT), 1), (og.PotentialEnergy(model, "molecule"), 1 / 5),
                               (og.HeatOfVaporization(model, **EXACT), -1 / 5), (og.Pressure(model, **EXACT), None)):
        derivatives = observable.coefficient_derivatives(frames).numpy()
        assert derivatives.shape == (30, 1, 48)
        if factor is not None:
            assert derivatives[:, 0] == pytest.approx(factor * frames.features)
    assert plain.requires_grad and model.molecules.n == 5
