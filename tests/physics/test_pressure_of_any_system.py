# SPDX-License-Identifier: MIT
"""Pressure by small changes of the volume: closed forms, the other route, OpenMM's barostat, gradients, sampling."""

import copy

import molecules
import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og
from openmmgrad.fluids import lattice
from openmmgrad.observables.molecules import Molecules, strained
from openmmgrad.units import BAR, KB

T = 300.0
EXACT = dict(platform="Reference")
PME, RF = openmm.NonbondedForce.PME, openmm.NonbondedForce.CutoffPeriodic


def system_of(n, length, mass=40.0):
    system = openmm.System()
    for _ in range(n):
        system.addParticle(mass)
    system.setDefaultPeriodicBoxVectors(*(length * np.eye(3)))
    return system


def strain_of(model, **options):
    return og.Pressure(model, route="strain", **(EXACT | options))


def test_both_routes_agree_for_pair_potentials():
    model, rng = og.Model(system_of(125, 2.2)), np.random.default_rng(0)
    model.add_pair_potential(og.LennardJones(0.33, 0.9, 0.9))
    positions = lattice(125, 2.2) + rng.uniform(-0.04, 0.04, (4, 125, 3))
    frames = og.compute_features(model, og.Frames(positions, og.State([], T), boxes=2.2 * np.eye(3)))
    virial, strain = og.Pressure(model), strain_of(model)
    assert (virial.route, strain.route) == ("virial", "strain")
    assert strain(frames).detach().numpy() == pytest.approx(virial(frames).detach().numpy(), rel=1e-6)
    # the last three coefficients are always 0, and their splines do not end at the cutoff
    slopes = [p.coefficient_derivatives(frames)[..., :-3].numpy() for p in (strain, virial)]
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-4, abs=1e-4 * np.abs(slopes[1]).max())


def test_an_ideal_gas_is_exact():
    system = system_of(30, 2.0)
    system.addForce(openmm.HarmonicBondForce())
    frames = og.Frames(np.random.default_rng(0).random((2, 30, 3)) * 2, og.State([], T), boxes=2.0 * np.eye(3))
    pressure = og.Pressure(og.Model(system))
    assert pressure.route == "strain"
    assert pressure(frames).numpy() == pytest.approx(30 * KB * T / 8 / BAR, rel=1e-12)


K_BOND, R_BOND = 1000.0, 0.2  # kJ/mol/nm^2, nm


@pytest.fixture(scope="module")
def dimers():
    """A gas of 50 harmonic dimers that do not see each other, and 400 frames drawn from its exact distribution."""
    n, length, rng = 50, 3.0, np.random.default_rng(4)
    system, bonds = system_of(2 * n, length), openmm.HarmonicBondForce()
    for k in range(n):
        bonds.addBond(2 * k, 2 * k + 1, R_BOND, K_BOND)
    system.addForce(bonds)
    r = np.linspace(1e-4, 0.6, 20000)
    cumulative = np.cumsum(r**2 * np.exp(-K_BOND * (r - R_BOND) ** 2 / (2 * KB * T)))
    lengths = np.interp(rng.random((400, n)), cumulative / cumulative[-1], r)
    directions = rng.normal(size=(400, n, 3))
    bond = lengths[..., None] * directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    centres = rng.random((400, n, 3)) * length
    positions = np.stack([centres - bond / 2, centres + bond / 2], axis=2).reshape(400, 2 * n, 3)
    return og.Model(system), og.Frames(positions, og.State([], T), boxes=length * np.eye(3))


def test_dimers_push_as_molecules_in_every_frame(dimers):
    model, frames = dimers
    assert model.molecules.n == 50
    assert og.Pressure(model, **EXACT)(frames[:20]).numpy() == pytest.approx(50 * KB * T / 27 / BAR, rel=1e-9)


def test_moving_atoms_in_place_of_molecules_gives_the_same_average(dimers):
    """P = 2 n kT/V - dU/dV with every atom moved: bonds bring the average back to n kT/V."""
    model, frames = dimers
    atoms, h = Molecules.of_bonds([], model.masses), 1e-4
    up, down = (model.potential_energies(strained(frames, np.expm1(s * h / 3) * np.eye(3), atoms), **EXACT)
                for s in (1, -1))
    values = (100 * KB * T - (up - down) / (2 * h)) / 27 / BAR
    estimate = og.expectation(values, og.Weights.uniform(400))
    print(f"{estimate.mean.item():.3f} +- {float(estimate.stderr):.3f} bar, exact {50 * KB * T / 27 / BAR:.3f}")
    assert abs(estimate.mean.item() - 50 * KB * T / 27 / BAR) < 4 * float(estimate.stderr)
    assert float(estimate.stderr) < 0.02 * estimate.mean.item()


def test_the_dispersion_correction_counts_at_every_volume():
    """Two atoms out of each other's reach: U = C/V, so P = 2 kT/V + C/V^2, also where an offset moves sigma."""
    def model_of(sigma):
        system, pairs = system_of(2, 3.0), openmm.NonbondedForce()
        pairs.setNonbondedMethod(RF)
        pairs.setCutoffDistance(1.0)
        pairs.addGlobalParameter("dsigma", 0.0)
        for k in range(2):
            pairs.addParticle(0.0, 0.34, 1.0)
            pairs.addParticleParameterOffset("dsigma", k, 0.0, 1.0, 0.0)
        system.addForce(pairs)
        model = og.Model(system)
        model.add_parameters({"dsigma": sigma - 0.34}, scale=0.34)
        return model

    # C/V = 8 pi n^2/V eps sigma^6 [sigma^6/(9 rc^9) - 1/(3 rc^3)], with n = 2 for OpenMM's pairs of all particles
    def exact(sigma, volume):
        c = 8 * np.pi * 2**2 * sigma**6 * (sigma**6 / 9 - 1 / 3)
        return (2 * KB * T / volume + c / volume**2) / BAR

    for sigma in (0.34, 0.38):
        for length in (3.0, 3.6):
            model = model_of(sigma)
            frames = og.Frames([[[0, 0, 0], [length / 2] * 3]], og.State([], T, parameters={"dsigma": 0.0}),
                               boxes=length * np.eye(3))
            value = og.Pressure(model, **EXACT)(frames)
            assert value.item() == pytest.approx(exact(sigma, length**3), rel=1e-6)
            (slope,) = torch.autograd.grad(value.sum(), model.global_parameters["dsigma"])
            h = 1e-5
            by_difference = (exact(sigma + h, length**3) - exact(sigma - h, length**3)) / (2 * h)
            assert slope.item() == pytest.approx(by_difference, rel=1e-4)


@pytest.fixture(scope="module")
def rigid_water():
    """Rigid water (SETTLE) with PME; all atoms equally heavy, so that OpenMM's centres are centres of mass too."""
    case = molecules.water("spcfw", 3, RF, 0.45)
    system = system_of(81, case.system.getDefaultPeriodicBoxVectors()[0][0]._value, mass=10.0)
    pairs = openmm.XmlSerializer.clone(case.system.getForce(2))
    pairs.setNonbondedMethod(PME)
    pairs.setUseDispersionCorrection(True)
    system.addForce(pairs)
    for o in range(0, 81, 3):
        for a, b, r in ((o, o + 1, 0.1), (o, o + 2, 0.1), (o + 1, o + 2, 0.16330)):
            system.addConstraint(a, b, r)
    model = og.Model(system)
    ensemble = og.Ensemble(model, case.positions, T, n_frames=4, stride=20, timestep=0.002, seed=3,
                           threads=1)
    return model, ensemble.sample()


def test_rigid_water_has_the_pressure_that_the_barostat_computes(rigid_water):
    model, frames = rigid_water
    barostat = openmm.MonteCarloBarostat(1.0, T)
    system = copy.deepcopy(model.system)
    system.addForce(barostat)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    still = []
    for x, box in zip(frames.positions, frames.boxes, strict=True):
        context.setPeriodicBoxVectors(*box)
        context.setPositions(x)
        context.setVelocities(np.zeros_like(x))  # then it is that of the forces alone
        still.append(barostat.computeCurrentPressure(context)._value)
    up, down = (model.strained(frames, s * 1e-3 * np.eye(3)) for s in (1, -1))  # OpenMM's own step
    energies = [model.potential_energies(moved, **EXACT).numpy() for moved in (up, down)]
    ours = -(energies[0] - energies[1]) / (up.volumes - down.volumes) / BAR
    print("pressure of forces", ours.round(2), "bar")
    assert model.molecules.n == 27
    assert ours == pytest.approx(np.array(still), rel=1e-6)
    # the step of Pressure differs: pairs that cross the short cutoff of this small box are some 10 bar
    assert og.Pressure(model, **EXACT)(frames)[:, 0].numpy() == pytest.approx(
        ours + 27 * KB * T / frames.volumes / BAR, abs=30.0)


def test_strained_molecules_keep_their_form(rigid_water):
    model, frames = rigid_water
    strain = np.array([[0.01, 0, 0], [0.02, -0.01, 0], [-0.015, 0.005, 0.02]])
    moved = model.strained(frames, strain)
    assert model.strained(frames, strain.copy()) is moved
    before, after = (f.positions.reshape(4, 27, 3, 3) for f in (frames, moved))
    assert after - after[:, :, :1] == pytest.approx(before - before[:, :, :1], abs=1e-14)
    assert after.mean(2) == pytest.approx(before.mean(2) @ (np.eye(3) + strain), abs=1e-14)
    assert moved.boxes == pytest.approx(frames.boxes @ (np.eye(3) + strain), abs=1e-14)
    assert not np.triu(moved.boxes, 1).any()
    trace = [float(model.strained(frames[:1], s * np.eye(3)).volumes[0]) for s in (0.01, -0.01)]
    assert trace == pytest.approx(frames.volumes[0] * np.array([1.01, 0.99]) ** 3)


@pytest.fixture(scope="module")
def flexible_water():
    """27 SPC/Fw waters with PME that learn charge, sigma and bond strength, and a few frames."""
    case = molecules.water("spcfw", 3, RF, 0.45)
    model = og.Model(case.system)
    names = ("dq", "dsigma", "k_OH")
    model.add_parameters({name: case.values[name] for name in names}, scale={name: case.sizes[name] for name in names})
    box = np.array([[v.x, v.y, v.z] for v in case.system.getDefaultPeriodicBoxVectors()])
    rng = np.random.default_rng(2)
    positions = case.positions + 0.002 * rng.normal(size=(6, 81, 3))
    return model, og.Frames(positions, og.State([], T, parameters=model.global_parameters.as_dict()), boxes=box)


def test_gradient_is_the_difference_of_the_whole_estimate(flexible_water):
    model, frames = flexible_water
    pressure = og.Pressure(model, **EXACT)

    def mean():
        return og.expectation(pressure(frames), og.weights(model, frames, **EXACT)).mean.sum()

    parameters = list(model.parameters())
    gradient = torch.autograd.grad(mean(), parameters)
    fixed = torch.autograd.grad(pressure(frames).mean(), parameters)
    for parameter, scale, total, explicit in zip(parameters, model.parameter_scales.values(), gradient, fixed,
                                                 strict=True):
        start, values, h = parameter.item(), [], 1e-4 * scale
        for sign in (1, -1):
            with torch.no_grad():
                parameter.fill_(start + sign * h)
            values.append(mean().item())
        with torch.no_grad():
            parameter.fill_(start)
        by_difference = (values[0] - values[1]) / (2 * h)
        print(f"{total.item() * scale:.6g} bar per scale, by difference {by_difference * scale:.6g}, "
              f"explicit {explicit.item() * scale:.6g}")
        assert total.item() == pytest.approx(by_difference, rel=1e-4)


EPSILON, N, LENGTH = 1.0, 64, 2.0


def fluid(epsilon=EPSILON, length=LENGTH, pressure=None, n_frames=300, seed=1):
    """Soft spheres eps (0.34/r)^12 whose eps is a global parameter, as an Ensemble."""
    system = system_of(N, length)
    pairs = openmm.CustomNonbondedForce("eps*((0.34/r)^12-c); c=(0.34/0.85)^12")
    pairs.addGlobalParameter("eps", epsilon)
    pairs.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    pairs.setCutoffDistance(0.85)
    for _ in range(N):
        pairs.addParticle()
    system.addForce(pairs)
    model = og.Model(system)
    model.add_parameters({"eps": epsilon})
    return og.Ensemble(model, lattice(N, length), T, pressure, timestep=0.005, n_frames=n_frames, stride=25,
                       friction=5.0, equilibration=1000, threads=1, seed=seed)


def test_derivative_is_that_of_simulations_with_other_parameters():
    ensemble = fluid()
    frames = ensemble.sample()
    pressure = og.Pressure(ensemble.model)
    values, w = pressure(frames), og.weights(ensemble.model, frames)
    mean = og.expectation(values, w).mean
    (slope,) = torch.autograd.grad(mean.sum(), ensemble.model.global_parameters["eps"])
    sides = []
    for epsilon in (0.8, 1.2):
        other = fluid(epsilon, seed=5)
        sampled = other.sample()
        sides.append(og.expectation(og.Pressure(other.model)(sampled).detach(), og.Weights.uniform(300)))
    by_runs = (sides[1].mean.item() - sides[0].mean.item()) / 0.4
    error = np.hypot(*(float(side.stderr[0]) for side in sides)) / 0.4
    explicit = (pressure(frames).mean().item() - float(frames.volumes.mean() ** -1) * N * KB * T / BAR) / EPSILON
    print(f"P {mean.item():.1f} bar; dP/deps {slope.item():.1f}, explicit term {explicit:.1f}, from runs {by_runs:.1f} "
          f"+- {error:.1f} bar")
    assert abs(slope.item() - by_runs) < 4 * error
    assert abs(explicit - by_runs) > 4 * error  # the explicit term alone is wrong


def test_mean_pressure_of_frames_at_constant_pressure_is_that_pressure():
    frames = fluid(length=1.92, pressure=800.0, n_frames=400).sample()
    estimate = og.expectation(og.Pressure(fluid().model)(frames).detach(), og.Weights.uniform(len(frames)))
    print(f"{estimate.mean.item():.1f} +- {float(estimate.stderr[0]):.1f} bar, wanted 800")
    assert abs(estimate.mean.item() - 800.0) < 4 * float(estimate.stderr[0])
    assert float(estimate.stderr[0]) < 40
