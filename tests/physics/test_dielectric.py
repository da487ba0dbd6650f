# SPDX-License-Identifier: MIT
"""The static dielectric constant: closed forms of independent dipoles, and both terms of its derivative."""

import mdtraj
import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og
from openmmgrad.fitting.sample import Sample
from openmmgrad.fitting.statistics import response
from openmmgrad.observables.molecules import Molecules
from openmmgrad.units import KB

T, LENGTH = 300.0, 2.0
KT = KB * T
EXACT = dict(platform="Reference")
PER_SQUARE = 4 * np.pi * 138.935457644 / (3 * LENGTH**3 * KT)  # M^2 e^2 nm^2 -> epsilon - 1


def test_independent_rigid_dipoles():
    """epsilon - 1 = N mu^2/(3 eps0 V kT) for directions drawn at random."""
    n, mu, rng = 20, 0.05, np.random.default_rng(0)
    directions = rng.normal(size=(3000, n, 3))
    half = 0.05 * directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    centres = rng.random((3000, n, 3)) * LENGTH
    positions = np.stack([centres + half, centres - half], axis=2).reshape(3000, 2 * n, 3)
    frames = og.Frames(positions, og.State([], T), boxes=LENGTH * np.eye(3))
    epsilon = og.StaticDielectric(og.PointCharges([mu / 0.1, -mu / 0.1] * n))
    estimate = og.expectation(epsilon(frames), og.Weights.uniform(3000))
    exact = 1 + n * mu**2 * PER_SQUARE
    print(f"{estimate.mean.item():.3f} +- {float(estimate.stderr[0]):.3f}, exact {exact:.3f}")
    assert abs(estimate.mean.item() - exact) < 4 * float(estimate.stderr[0]) < 0.1 * exact
    assert not epsilon.explicit


@pytest.fixture
def charges_on_springs():
    """Three pairs +-q on springs k, both learnt; 216 frames with exact moments, no pair sees another."""
    system, bonds, pairs = openmm.System(), openmm.CustomBondForce("0.5*k*r^2"), openmm.NonbondedForce()
    bonds.addGlobalParameter("k", 800.0)
    pairs.addGlobalParameter("q", 0.3)
    pairs.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    pairs.setCutoffDistance(0.3)
    pairs.setUseDispersionCorrection(False)
    for i in range(6):
        system.addParticle(10.0)
        pairs.addParticle(0.0, 0.3, 0.0)
        pairs.addParticleParameterOffset("q", i, 1.0 - 2 * (i % 2), 0.0, 0.0)
        if i % 2:
            bonds.addBond(i - 1, i)
            pairs.addException(i - 1, i, 0.0, 0.3, 0.0)
    system.addForce(bonds)
    system.addForce(pairs)
    model = og.Model(system)
    model.add_parameters({"k": 800.0, "q": 0.3})
    node = np.sqrt(3.0 * KT / 800.0) * np.array([-1, 0, 0, 0, 0, 1])
    bond = np.stack(np.meshgrid(node, node, node, indexing="ij"), -1).reshape(-1, 3)
    positions = np.zeros((216, 6, 3)) + np.repeat([[0.2] * 3, [0.9] * 3, [1.6] * 3], 2, axis=0)
    for k in range(3):  # each pair goes through the nodes in another order: their products average to 0
        positions[:, 2 * k] += np.random.default_rng(k).permutation(bond) if k else bond
    frames = og.Frames(positions, og.State([], T, parameters={"k": 800.0, "q": 0.3}), boxes=LENGTH * np.eye(3))
    return model, frames


def one_pair(frames):
    """The first pair alone: others at rest."""
    positions = frames.positions.copy()
    positions[:, 2:] = np.repeat([[0.9] * 3, [1.6] * 3], 2, axis=0)
    return og.Frames(positions, frames.states, boxes=frames.boxes)


def test_charges_on_springs_have_closed_forms_of_both_terms(charges_on_springs):
    """epsilon - 1 = q^2/(k eps0 V) for one pair: 2/q times it by q, explicit; -1/k times it by k, through weights."""
    model, frames = charges_on_springs
    frames = one_pair(frames)
    observable = og.StaticDielectric(og.PointCharges.of(model), model)
    assert observable.explicit
    mean = og.expectation(observable(frames), og.weights(model, frames, **EXACT)).mean
    exact = 3 * 0.3**2 * KT / 800.0 * PER_SQUARE
    assert mean.item() == pytest.approx(1 + exact, rel=1e-9)
    slopes = torch.autograd.grad(mean.sum(), list(model.parameters()))
    assert [float(s) for s in slopes] == pytest.approx([-exact / 800.0, 2 * exact / 0.3], rel=1e-6)


def test_gauss_newton_sees_both_terms(charges_on_springs):
    model, frames = charges_on_springs
    observable = og.StaticDielectric(og.PointCharges.of(model), model)
    ensemble = og.Ensemble(model, frames.positions[0], T, box=[LENGTH] * 3, **EXACT)
    sample = Sample(ensemble, [frames])
    jacobian = response(og.Target(observable, ensemble, [2.0], sigma=0.1), sample, sample.weights()).jacobian
    mean = og.expectation(observable(frames), og.weights(model, frames)).mean
    slopes = torch.autograd.grad(mean.sum(), list(model.parameters()))
    assert jacobian[0] == pytest.approx([float(s) * scale for s, scale in zip(slopes, (800.0, 0.3), strict=True)])


def test_learnt_charges_and_torch_dipoles_give_the_same(charges_on_springs):
    model, frames = charges_on_springs
    values = [0.3, -0.3] * 3
    learnt = og.StaticDielectric(og.PointCharges(values, learn=True))
    fixed = og.StaticDielectric(og.PointCharges(values))
    function = og.StaticDielectric(og.TorchDipole(lambda x: (x * torch.tensor(values)[:, None]).sum(1)))
    assert [o.explicit for o in (learnt, fixed, function)] == [True, False, False]
    assert learnt(frames).requires_grad and not fixed(frames).requires_grad
    for other in (learnt, function):
        assert other(frames).detach().numpy() == pytest.approx(fixed(frames).numpy(), rel=1e-6)
    assert learnt.coefficient_derivatives(frames).shape == (216, 1, 0)


def test_molecules_of_a_topology_are_bonds_and_residues():
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for _ in range(2):
        residue = topology.add_residue("HOH", chain)
        o, *hydrogens = [topology.add_atom(name, mdtraj.element.hydrogen, residue) for name in ("O", "H1", "H2", "M")]
        for h in hydrogens[:2]:
            topology.add_bond(o, h)
    found = Molecules.of_topology(topology)
    assert found.labels.tolist() == [0] * 4 + [1] * 4  # the site M has no bond
    assert found.bonds.tolist() == [[0, 1], [0, 2], [4, 5], [4, 6]]
