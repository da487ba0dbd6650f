# SPDX-License-Identifier: MIT
"""Torch energies of all positions: their forces in OpenMM, products for adjoints, and weights of stored frames."""

import copy
import sys
from types import SimpleNamespace

import numpy as np
import openmm
import pytest
import torch
from platforms import NAMES, context, energy_and_forces

import openmmgrad as og
from openmmgrad.estimate import expectation
from openmmgrad.torch_energy import AutogradProduct
from openmmgrad.units import KB

T, N, LENGTH = 300.0, 8, 2.0
BETA = 1 / (KB * T)
TRICLINIC = np.array([[2.0, 0.0, 0.0], [0.5, 1.9, 0.0], [-0.4, 0.3, 2.1]])
STENCIL = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


class Embedded(torch.nn.Module):
    """Many-body: every particle has the energy -a sqrt(density), the density is a sum of Gaussians of width w."""

    def __init__(self, a=3.0, w=0.4):
        super().__init__()
        self.a, self.w = (torch.nn.Parameter(tensor(value)) for value in (a, w))
        self.unused = torch.nn.Parameter(tensor([1.0, 2.0]))

    def energy(self, positions, box):
        d = positions[:, None] - positions[None]
        if box is not None:
            for k in (2, 1, 0):
                d = d - torch.round(d[..., k:k + 1] / box[k, k]).detach() * box[k]
        return -self.a * torch.exp(-(d**2).sum(-1) / self.w**2).sum(1).sqrt().sum()


class Linear(torch.nn.Module):
    """A constant force."""

    def energy(self, positions, box):
        return positions[:, 0].sum()


class Constant(torch.nn.Module):
    """No force at all."""

    def energy(self, positions, box):
        return torch.ones(1)


POSITIONS = og.fluids.lattice(N, LENGTH) * 0.6 + np.random.default_rng(1).normal(scale=0.05, size=(N, 3))


def a_system(box=None):
    system = openmm.System()
    for _ in range(N):
        system.addParticle(40.0)
    if box is not None:
        system.setDefaultPeriodicBoxVectors(*box)
    return system


def a_model(module, box=None, **options):
    model = og.Model(a_system(box))
    model.add_energy(module, periodic=box is not None, **options)
    return model


def difference(function, x, h):
    """Central difference of fourth order with respect to every entry of x."""
    slopes = np.zeros((*x.shape, *np.shape(function(x))))
    for index in np.ndindex(x.shape):
        for k, weight in STENCIL.items():
            moved = x.copy()
            moved[index] += k * h
            slopes[index] += weight / h * function(moved)
    return slopes


# -- forces --

@pytest.mark.parametrize("platform", NAMES)
@pytest.mark.parametrize("box", [None, TRICLINIC], ids=["non-periodic", "triclinic"])
def test_the_force_is_minus_the_gradient_of_the_energy(box, platform):
    module = Embedded()
    made = context(a_model(module, box).create_system(), platform, POSITIONS)
    energy, forces = energy_and_forces(made)
    cell = None if box is None else tensor(box)
    assert energy == pytest.approx(module.energy(tensor(POSITIONS), cell).item(), rel=1e-12)

    def of(x):
        return module.energy(tensor(x), cell).item()

    # the CPU platform adds forces up in single precision
    assert np.abs(forces + difference(of, POSITIONS, 1e-3)).max() < (1e-8 if platform == "Reference" else 1e-5)


def test_terms_say_where_they_act():
    module = Embedded()
    model = a_model(module, LENGTH * np.eye(3), force_group=3, name="embedded")
    (term,) = model.energy_terms
    assert (term.module, term.name, term.force_group, term.periodic, term.backend) == (
        module, "embedded", 3, True, "pythonforce")
    assert model.periodic and model.reevaluates
    assert [name for name, _ in model.named_parameters()] == [
        f"energy_modules.0.{name}" for name in ("a", "w", "unused")]
    system = model.create_system()
    (force,) = system.getForces()
    assert (force.getForceGroup(), force.getName(), force.usesPeriodicBoundaryConditions()) == (3, "embedded", True)


def test_a_created_system_holds_the_parameters_of_its_time_and_its_copies_do():
    module = Embedded(a=3.0)
    system = a_model(module).create_system()
    with torch.no_grad():
        module.a.fill_(6.0)
    before, after = Embedded(a=3.0), module
    for held, expected in ((system, before), (copy.deepcopy(system), before), (a_model(module).create_system(), after)):
        energy, _ = energy_and_forces(context(held, "Reference", POSITIONS))
        assert energy == pytest.approx(expected.energy(tensor(POSITIONS), None).item(), rel=1e-12)
    assert module.a.requires_grad


class Recorded(openmm.CustomExternalForce):
    """Takes the place of OpenMM-Torch's TorchForce and keeps what it was given."""

    def __init__(self, module):
        super().__init__("0")
        self.module = module

    def setUsesPeriodicBoundaryConditions(self, periodic):
        self.periodic = periodic


class Branching(torch.nn.Module):
    """Its recording holds one branch only."""

    def energy(self, positions, box):
        return positions.sum() if positions[0, 0] > positions[1, 0] else -positions.sum()


@pytest.mark.parametrize("box", [None, TRICLINIC], ids=["non-periodic", "triclinic"])
def test_torchforce_is_given_a_recording_of_the_energy(monkeypatch, box):
    monkeypatch.setitem(sys.modules, "openmmtorch", SimpleNamespace(TorchForce=Recorded))
    module = Embedded()
    model = a_model(module, box, backend="torchforce", force_group=2)
    force = model.energy_terms[0].create_force()
    cell = () if box is None else (tensor(box),)
    found = force.module(tensor(POSITIONS), *cell)
    assert found.item() == pytest.approx(module.energy(tensor(POSITIONS), *(cell or (None,))).item(), rel=1e-12)
    assert (force.periodic, force.getForceGroup()) == (box is not None, 2)


def test_an_energy_that_cannot_be_recorded_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "openmmtorch", SimpleNamespace(TorchForce=Recorded))
    model = a_model(Branching(), backend="torchforce")
    with pytest.raises(ValueError, match=r"torchforce: Branching: its recording differs.*backend='pythonforce'"):
        model.energy_terms[0].create_force()


# -- products for adjoints --

@pytest.mark.parametrize("box", [None, TRICLINIC], ids=["non-periodic", "triclinic"])
def test_products_are_differences_of_forces_and_symmetric(box):
    module, (one, two) = Embedded(), np.random.default_rng(2).normal(size=(2, N, 3))
    multiply, cell = AutogradProduct(module), None if box is None else tensor(box)

    def force(x):
        x = tensor(x).requires_grad_()
        return -torch.autograd.grad(module.energy(x, cell), x)[0].numpy()

    on_x, on_parameters = multiply(POSITIONS, box, one)
    along = sum(weight / 1e-3 * force(POSITIONS + 1e-3 * k * one) for k, weight in STENCIL.items())
    assert np.abs(on_x - along).max() < 1e-6 * np.abs(along).max()
    assert (two * on_x).sum() == pytest.approx((one * multiply(POSITIONS, box, two)[0]).sum(), rel=1e-12)
    for parameter, found in zip(list(module.parameters())[:2], on_parameters, strict=False):
        start, slope = float(parameter.detach()), 0.0
        for k, weight in STENCIL.items():
            with torch.no_grad():
                parameter.fill_(start + 1e-3 * k)
            slope += weight / 1e-3 * (one * force(POSITIONS)).sum()
        with torch.no_grad():
            parameter.fill_(start)
        assert float(found) == pytest.approx(slope, rel=1e-7)
    assert on_parameters[2].tolist() == [0.0, 0.0]  # a parameter that the energy does not use


def test_only_parameters_that_require_grad_have_products():
    module = Embedded()
    module.a.requires_grad_(False)
    _, products = AutogradProduct(module)(POSITIONS, None, np.ones((N, 3)))
    assert [p.shape for p in products] == [(), (2,)]


@pytest.mark.parametrize("module", [Linear(), Constant()], ids=["linear", "constant"])
def test_energies_without_curvature_have_products_of_zero(module):
    on_x, products = AutogradProduct(module)(POSITIONS, None, np.ones((N, 3)))
    assert not on_x.any() and products == []
    made = context(a_model(module).create_system(), "Reference", POSITIONS)
    assert energy_and_forces(made)[1].tolist() == [[-float(isinstance(module, Linear)), 0.0, 0.0]] * N


# -- stored frames --

def lennard_jones():
    return og.LennardJones(0.34, 1.0, 0.9, n_coefficients=24)


def full_model(with_parameter=True):
    """Everything that is learnt at once: a spline, a raw module, a torch energy and a global parameter."""
    system = a_system(LENGTH * np.eye(3))
    field = openmm.CustomExternalForce("field*sin(3.14159265358979*x)")
    field.addGlobalParameter("field", 0.0)
    for i in range(N):
        field.addParticle(i)
    system.addForce(field)
    model = og.Model(system)
    model.add_pair_potential(lennard_jones())
    model.add_pair_potential(lennard_jones(), backend="pythonforce", exact=True, name="exact")
    model.add_energy(Embedded(), periodic=True)
    if with_parameter:
        model.add_parameters({"field": 2.0})
    return model


@pytest.mark.parametrize("on_disk", [True, False])
def test_weights_of_an_ensembles_own_frames_are_equal_to_the_last_bit(tmp_path, on_disk):
    model = full_model()
    start = og.fluids.lattice(N, LENGTH)
    ensemble = og.Ensemble(model, start, T, n_frames=7, stride=5, threads=1, equilibration=20)
    frames = ensemble.sample(path=tmp_path / "a" if on_disk else None)
    equal = torch.full((7,), 1 / 7, dtype=torch.float64)
    assert torch.equal(og.weights(model, frames).w.detach(), equal)
    frames.save(tmp_path / "b")
    assert torch.equal(og.weights(model, og.Frames.load(tmp_path / "b")).w.detach(), equal)
    kinetic_free = frames.energies - frames.learnable_energies  # the field, which has its own account
    field = 2.0 * np.sin(np.pi * frames.positions[:, :, 0]).sum(1)
    assert kinetic_free == pytest.approx(field, abs=1e-4)  # the simulation's forces add up in single precision


def test_energies_of_frames_are_those_of_the_context_and_have_their_gradient():
    module, rng = Embedded(), np.random.default_rng(3)
    model = a_model(module, TRICLINIC)
    frames = og.Frames(POSITIONS + rng.normal(scale=0.05, size=(5, N, 3)), og.State([], T), boxes=TRICLINIC)
    energies = model.energies(frames)
    made = context(model.create_system(), "Reference")
    for x, energy in zip(frames.positions, energies.tolist(), strict=True):
        made.setPositions(x)
        assert energy == pytest.approx(energy_and_forces(made)[0], rel=1e-12)
    g = tensor(rng.normal(size=5))
    (gradient,) = torch.autograd.grad(g @ energies, module.a)
    assert float(gradient) == pytest.approx(float(g @ energies.detach()) / 3.0, rel=1e-12)  # linear in a


def test_gradient_of_a_weighted_mean_is_its_difference():
    model, rng = full_model(), np.random.default_rng(4)
    positions = og.fluids.lattice(N, LENGTH) + rng.normal(scale=0.05, size=(9, N, 3))
    state = og.State(model.coefficients(T).detach().numpy(), T, parameters=model.global_parameters.as_dict())
    frames = og.compute_features(model, og.Frames(positions, state, boxes=LENGTH * np.eye(3)))
    frames.learnable_energies = model.energies(frames).detach().numpy()
    values = tensor(rng.normal(size=9))

    def mean():
        return expectation(values, og.weights(model, frames, platform="Reference")).mean

    parameters = [p for p in model.parameters() if p.ndim == 0]
    with torch.no_grad():
        for p in parameters:
            p.mul_(1.02)
    for p, gradient in zip(parameters, torch.autograd.grad(mean(), parameters), strict=True):
        # small steps: where sigma moves the edge of the core to another knot, the projection jumps
        start, h, slope = p.detach().clone(), 1e-4 * abs(float(p.detach())), 0.0
        for k, weight in STENCIL.items():
            with torch.no_grad():
                p.copy_(start + k * h)
                slope += weight / h * float(mean())
                p.copy_(start)
        assert float(gradient) == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_a_tether_has_its_closed_form_average_and_gradient():
    """U = k x^2/2 of one particle, sampled exactly: <x^2> = 3 kT/k, d<x^2>/dk = -3 kT/k^2."""

    class Tether(torch.nn.Module):
        def __init__(self, k):
            super().__init__()
            self.k = torch.nn.Parameter(tensor(k))

        def energy(self, positions, box):
            return 0.5 * self.k * (positions**2).sum()

    system = openmm.System()
    system.addParticle(40.0)
    model = og.Model(system)
    model.add_energy(Tether(110.0), periodic=False)
    x = np.random.default_rng(5).normal(scale=1 / np.sqrt(BETA * 100.0), size=(3000, 1, 3))
    square = (x**2).sum((1, 2))
    frames = og.Frames(x, og.State([], T), learnable_energies=50.0 * square)
    w = og.weights(model, frames)
    estimate = expectation(tensor(square), w)
    (gradient,) = torch.autograd.grad(estimate.mean, model.energy_terms[0].module.k)
    assert abs(estimate.mean.item() - 3 / (BETA * 110)) < 4 * float(estimate.stderr)
    p = w.w.detach().numpy()
    centred = square - p @ square
    assert float(gradient) == pytest.approx(-BETA * (p @ centred**2) / 2, rel=1e-10)
    influence = p * (-BETA / 2) * (centred**2 - p @ centred**2)
    assert abs(float(gradient) + 3 / (BETA * 110**2)) < 4 * np.sqrt((influence**2).sum())


def test_raw_pair_energies_do_not_depend_on_how_they_are_chunked(monkeypatch):
    model = og.Model(a_system(LENGTH * np.eye(3)))
    model.add_pair_potential(lennard_jones(), backend="pythonforce", exact=True)
    positions = og.fluids.lattice(N, LENGTH) + np.random.default_rng(6).normal(scale=0.05, size=(6, N, 3))
    positions[2] = 100.0 * np.arange(N)[:, None]  # nothing within the cutoff
    frames = og.Frames(positions, og.State(np.zeros(model.n_features), T), boxes=LENGTH * np.eye(3) * 50)
    sigma = model.potentials[0].sigma

    def result():
        energies = model.energies(frames)
        return energies.detach(), torch.autograd.grad(energies.sum(), sigma)[0]

    whole = result()
    monkeypatch.setattr("openmmgrad.exact.CHUNK", 1)
    pieces = result()
    assert torch.allclose(whole[0], pieces[0], rtol=1e-13) and whole[0].shape == (6,)
    assert float(whole[1]) == pytest.approx(float(pieces[1]), rel=1e-12)
    assert float(whole[1]) != 0


def test_coefficient_columns_belong_to_one_term():
    model = og.Model(a_system())
    model.add_pair_potential(lennard_jones(), ["A"] * 4 + ["B"] * 4, periodic=False)
    model.add_pair_potential(og.Morse(1.0, 10.0, 0.3, 0.9, n_coefficients=16), periodic=False)
    term, row, splines = model.term_of([24 + 3, 24 + 5])
    assert (term, row, splines.tolist()) == (model.terms[0], 1, [3, 5])
    term, row, splines = model.term_of(np.arange(72, 88))
    assert (term, row, splines.tolist()) == (model.terms[1], 0, list(range(16)))
    for columns, message in (([23, 24], "of one type pair, found 23 to 24"), ([88], "below 88, found 88"),
                             ([5, -1], "below 88, found -1"), ([], "of one type pair, found none")):
        with pytest.raises(ValueError, match=rf"Model\.term_of: expected columns {message}\. Use columns of"):
            model.term_of(columns)
