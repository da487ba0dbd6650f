# SPDX-License-Identifier: MIT
"""Recorder: sums of the same steps by hand, dipoles and fluxes, reporter and run, files that survive."""

import json
import types

import molecules
import numpy as np
import openmm
import pytest
import torch
from openmm import app

import openmmgrad as og
from openmmgrad.recorder import folded

DT = 0.0005


@pytest.fixture(scope="module")
def cluster():
    """Eight q-TIP4P/F waters, whose negative charge sits on a virtual site."""
    return molecules.water("tip4pf", 2)


@pytest.fixture(scope="module")
def liquid():
    return molecules.water("spcfw", 2, molecules.RF, 0.3)


def context_of(case, integrator=None):
    context = openmm.Context(case.system, integrator or openmm.VerletIntegrator(DT),
                             openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(case.positions)
    context.setVelocities(case.velocities * (np.array(masses_of(case))[:, None] > 0))
    return context


def masses_of(case):
    return [case.system.getParticleMass(i)._value for i in range(case.system.getNumParticles())]


def by_hand(context, n_steps):
    """Positions and velocities [T, N, 3] after each step; velocities of sites from their particles'."""
    system, x, v = context.getSystem(), [], []
    for _ in range(n_steps):
        context.getIntegrator().step(1)
        state = context.getState(positions=True, velocities=True)
        x.append(state.getPositions(asNumpy=True)._value)
        v.append(state.getVelocities(asNumpy=True)._value)
        for i in range(system.getNumParticles()):
            if system.isVirtualSite(i):
                site = system.getVirtualSite(i)
                v[-1][i] = sum(site.getWeight(k) * v[-1][site.getParticle(k)] for k in range(3))
    return np.array(x), np.array(v)


def test_sums_are_those_of_the_same_steps_with_virtual_sites(cluster):
    x, v = by_hand(context_of(cluster), 60)
    q = cluster.charges
    recorder = og.Recorder(3, fluxes={"charge": q}, dipoles={"dipole": q}, velocities=[3, 0], block=7)
    recorder.run(context_of(cluster), 60)
    assert recorder.series("charge") == pytest.approx(np.einsum("n,tni->ti", q, v)[2::3], abs=1e-12)
    assert recorder.series("dipole") == pytest.approx(np.einsum("n,tni->ti", q, x)[2::3], abs=1e-12)
    kept = recorder.series("velocities")
    assert kept.dtype == np.float32
    assert kept == pytest.approx(v[2::3][:, [3, 0]], rel=1e-6)


def test_verlet_dipoles_differ_by_the_flux(cluster):
    recorder = og.Recorder(fluxes={"charge": cluster.charges}, dipoles={"dipole": cluster.charges})
    recorder.run(context_of(cluster), 200)
    difference = np.diff(recorder.series("dipole"), axis=0) / DT
    assert difference == pytest.approx(recorder.series("charge")[1:], abs=1e-11)
    assert recorder.path("charge").half_step and not recorder.path("dipole").half_step


def test_with_constraints_verlet_dipoles_differ_by_the_flux_too():
    """A rigid rotor in a field."""
    system = openmm.System()
    field = openmm.CustomExternalForce("-20*q*x")
    field.addPerParticleParameter("q")
    for i in range(2):
        system.addParticle(10.0)
        field.addParticle(i, [1.0 - 2.0 * i])
    system.addConstraint(0, 1, 0.1)
    system.addForce(field)
    start = np.array([[0, 0, 0], [0.06, 0.08, 0.0]])
    case = types.SimpleNamespace(system=system, positions=start, velocities=np.zeros((2, 3)))
    recorder = og.Recorder(fluxes={"charge": [1, -1]}, dipoles={"dipole": [1, -1]})
    recorder.run(context_of(case, openmm.VerletIntegrator(0.002)), 300)
    dipole = recorder.series("dipole")
    assert np.diff(dipole, axis=0) / 0.002 == pytest.approx(recorder.series("charge")[1:], abs=1e-11)
    assert np.ptp(dipole[:, 0]) > 0.05


def test_folded_weights_have_the_same_sums(cluster):
    weights = folded(cluster.system, cluster.charges)
    assert [weights[i] for i in range(len(weights)) if cluster.system.isVirtualSite(i)] == [0.0] * 8
    assert weights @ cluster.positions == pytest.approx(cluster.charges @ cluster.positions, abs=1e-13)


def simulation_of(case, integrator):
    topology = app.Topology()
    chain = topology.addChain()
    for _ in range(8):
        residue = topology.addResidue("HOH", chain)
        for name in ("O", "H1", "H2"):
            topology.addAtom(name, app.Element.getBySymbol(name[0]), residue)
    simulation = app.Simulation(topology, case.system, integrator, openmm.Platform.getPlatformByName("Reference"))
    simulation.context.setPositions(case.positions)
    simulation.context.setVelocities(case.velocities)
    return simulation


def langevin():
    integrator = openmm.LangevinMiddleIntegrator(310.0, 5.0, DT)
    integrator.setRandomNumberSeed(3)
    return integrator


def test_reporter_and_run_give_the_same_series(liquid):
    settings = dict(interval=2, fluxes={"charge": liquid.charges, "momentum": masses_of(liquid)},
                    dipoles={"dipole": liquid.charges}, velocities="name O", stress=6, diagonal=True)
    reporter, runner = og.Recorder(**settings), og.Recorder(**settings, block=4)
    simulation = simulation_of(liquid, langevin())
    simulation.reporters.append(reporter)
    simulation.step(40)
    runner.run(simulation_of(liquid, langevin()), 26)
    runner.run(runner._context, 14)
    assert reporter.names == runner.names == ["charge", "momentum", "dipole", "velocities", "stress"]
    for name in reporter.names:
        assert np.array_equal(reporter.series(name), runner.series(name)), name
    assert reporter.series("stress").shape == (6, 6)
    assert reporter.series("charge").shape == (20, 3)


def test_paths_say_what_they_are_of(liquid):
    recorder = og.Recorder(2, {"charge": liquid.charges}, velocities=[0, 3, 6], stress=4)
    recorder.run(simulation_of(liquid, langevin()), 40)
    path = recorder.path(name="charge", n_times=8, start_every=3)
    assert path.observed.shape == (5, 8, 3)
    assert torch.equal(path.observed[1, 0], path.observed[0, 3])
    assert path.observed.untyped_storage().nbytes() == 20 * 3 * 8  # windows share memory
    assert (path.stride, path.timestep, path.temperature, path.half_step) == (2, DT, 310.0, True)
    assert path.n_atoms == 24
    assert np.diag(path.boxes[0]) == pytest.approx(np.cbrt(8 * molecules.VOLUME))
    velocities = recorder.path("velocities", n_times=5)
    assert velocities.velocities.shape == (4, 5, 3, 3) and velocities.masses.tolist() == [15.999] * 3
    stress = recorder.path("stress")
    assert stress.observed.shape == (1, 10, 3)
    assert (stress.stride, stress.half_step) == (4, False)


def test_observables_of_paths_take_them(liquid):
    recorder = og.Recorder(fluxes={"charge": liquid.charges}, velocities=True, stress=1, temperature=300.0)
    recorder.run(context_of(liquid), 120)
    velocities = recorder.path("velocities", n_times=60)
    v = velocities.velocities.detach()
    flux = recorder.path("charge", n_times=60)
    by_hand = np.einsum("n,stni->sti", liquid.charges, v.numpy())
    assert flux.observed.numpy() == pytest.approx(by_hand, abs=1e-5)  # velocities are in single precision
    grid = np.arange(100.0, 4000.0, 100.0)
    ir = og.IRSpectrum(wavenumbers=grid, max_lag=0.02)(flux)
    again = og.IRSpectrum(og.PointCharges(liquid.charges), wavenumbers=grid, max_lag=0.02)(velocities)
    assert ir.numpy() == pytest.approx(again.numpy(), rel=1e-4, abs=1e-4 * ir.abs().max().item())
    assert og.VACF(max_lag=0.02, origins="all")(velocities).shape == (2, 41)
    assert og.SelfDiffusion(t_max=0.02, origins="all")(velocities).shape == (2, 1)
    assert og.VibrationalDensityOfStates(wavenumbers=grid, max_lag=0.02)(velocities).shape == (2, len(grid))
    assert og.Viscosity(t_max=0.02)(recorder.path("stress", n_times=60)).shape == (2, 1)


@pytest.mark.parametrize("make, half_step", [
    (lambda: openmm.VerletIntegrator(DT), True), (langevin, True),
    (lambda: openmm.NoseHooverIntegrator(300, 1, DT), True),
    (lambda: og.NoseHooverChainIntegrator(300.0, DT, 6), False),
])
def test_half_step_is_known_of_integrators(make, half_step):
    """A free particle and a spring: which difference of positions the velocity is."""
    system = openmm.System()
    spring = openmm.HarmonicBondForce()
    for _ in range(2):
        system.addParticle(10.0)
    spring.addBond(0, 1, 0.1, 4000.0)
    system.addForce(spring)
    positions = np.array([[0.0, 0, 0], [0.13, 0, 0]])
    case = types.SimpleNamespace(system=system, positions=positions, velocities=np.zeros((2, 3)))
    recorder = og.Recorder(fluxes={"v": [0.0, 1.0]}, dipoles={"x": [0.0, 1.0]}, temperature=300.0)
    recorder.run(context_of(case, make()), 200)
    assert recorder.path("v").half_step == half_step
    x, v = recorder.series("x")[:, 0], recorder.series("v")[:, 0]
    if make is not langevin:  # noise
        before, centred = np.abs(np.diff(x) / DT - v[1:]).max(), np.abs((x[2:] - x[:-2]) / (2 * DT) - v[1:-1]).max()
        assert (before < 0.03 * centred) if half_step else (centred < 0.03 * before)


def test_the_record_on_disk_is_the_record(tmp_path, liquid):
    recorder = og.Recorder(1, {"charge": liquid.charges}, velocities=[0, 1], stress=5, file=tmp_path / "run", block=10)
    recorder.run(context_of(liquid), 33)
    loaded = og.Recorder.load(tmp_path / "run")
    assert loaded.names == ["charge", "velocities", "stress"]
    for name in loaded.names:
        assert np.array_equal(loaded.series(name), recorder.series(name))
        assert np.array_equal(np.load(tmp_path / "run" / f"{name}.npy"), recorder.series(name))
    assert loaded.path("charge", 11).observed.equal(recorder.path("charge", 11).observed)


def test_a_reporter_writes_whole_blocks_and_the_rest_at_its_end(tmp_path, liquid):
    recorder = og.Recorder(1, {"charge": liquid.charges}, file=tmp_path / "run", block=10)
    simulation = simulation_of(liquid, langevin())
    simulation.reporters.append(recorder)
    simulation.step(25)
    assert len(og.Recorder.load(tmp_path / "run").series()) == 20
    simulation.reporters.clear()
    del recorder
    assert len(og.Recorder.load(tmp_path / "run").series()) == 25


def test_a_recording_goes_on_from_a_checkpoint_after_a_crash(tmp_path, liquid):
    settings = dict(interval=2, fluxes={"charge": liquid.charges}, stress=4, block=5)
    whole = og.Recorder(**settings)
    whole.run(context_of(liquid), 80)
    context = context_of(liquid)
    first = og.Recorder(**settings, file=tmp_path, append=True)  # nothing there: begins
    first.run(context, 40)
    checkpoint = context.createCheckpoint()
    first.run(context, 20)
    with open(tmp_path / "charge.npy", "ab") as file:  # rows that a crash left uncounted
        file.write(b"\1" * 100)
    fresh = context_of(liquid)
    fresh.loadCheckpoint(checkpoint)
    again = og.Recorder(**settings, file=tmp_path, append=True)
    again.run(fresh, 40)
    for name in ("charge", "stress"):
        assert np.array_equal(again.series(name), whole.series(name))
        assert np.array_equal(og.Recorder.load(tmp_path).series(name), whole.series(name))
    assert json.loads((tmp_path / "recording.json").read_text())["n_records"] == 40


def test_global_parameters_reach_the_pressure(liquid):
    values = []
    for shift in (0.0, 0.01):
        context = context_of(liquid)
        recorder = og.Recorder(stress=1)
        recorder._attach(context)
        context.setParameter("dsigma", shift)
        recorder.run(context, 1)
        state = context.getState(positions=True, velocities=True)
        pressure = og.PressureTensor.beside(context)
        pressure.calculator.setParameters(context)
        direct = pressure(state.getPositions(asNumpy=True)._value, state.getVelocities(asNumpy=True)._value,
                          state.getPeriodicBoxVectors(asNumpy=True)._value)
        values.append(recorder.series()[0])
        assert values[-1] == pytest.approx(direct, rel=1e-9)
    assert np.abs(values[1] - values[0]).max() > 10
