# SPDX-License-Identifier: MIT
"""What a Recorder refuses, and what it says."""

import numpy as np
import openmm
import pytest

import openmmgrad as og
from openmmgrad.recorder import folded


def system_of(n=3, site=None):
    system = openmm.System()
    for _ in range(n):
        system.addParticle(10.0)
    if site is not None:
        system.addParticle(0.0)
        system.setVirtualSite(n, site)
    return system


def context_of(system=None, integrator=None):
    context = openmm.Context(system or system_of(), integrator or openmm.VerletIntegrator(0.001),
                             openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(np.eye(3)[np.arange(context.getSystem().getNumParticles()) % 3])
    return context


@pytest.mark.parametrize("settings, message", [
    (dict(), "expected something to record, found nothing"),
    (dict(interval=0, velocities=True), "interval and block must be at least 1"),
    (dict(interval=4, velocities=True, stress=6), "stress must be a multiple of interval = 4, found 6"),
    (dict(fluxes={"stress": [1.0]}), "names must be distinct and other than 'velocities' and 'stress'"),
    (dict(fluxes={"a": [1.0]}, dipoles={"a": [1.0]}), "names must be distinct"),
    (dict(fluxes={"../a": [1.0]}), "must be plain words"),
    (dict(velocities=True, append=True), "append=True needs a file"),
])
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        og.Recorder(**settings)


@pytest.mark.parametrize("settings, message", [
    (dict(fluxes={"charge": [1.0, -1.0]}), r"weights must be 3 finite numbers, one per particle, found shape \[2\]"),
    (dict(fluxes={"charge": [1.0, np.nan, 0.0]}), "finite numbers"),
    (dict(velocities=[0, 7]), "indices must be from 0 to 2"),
    (dict(velocities="name O"), "needs a topology"),
    (dict(stress=True), "expected a periodic System"),
])
def test_settings_that_do_not_fit_the_system(settings, message):
    with pytest.raises(ValueError, match=message):
        og.Recorder(**settings).run(context_of(), 1)


def test_integrators_that_are_not_known():
    recorder = og.Recorder(velocities=True)
    custom = openmm.CustomIntegrator(0.001)
    custom.addComputePerDof("x", "x+dt*v")
    with pytest.raises(ValueError, match="CustomIntegrator are at the time .* is not known here. Pass half_step"):
        recorder.run(context_of(integrator=custom), 1)
    with pytest.raises(ValueError, match="VariableVerletIntegrator takes steps of changing length"):
        og.Recorder(velocities=True).run(context_of(integrator=openmm.VariableVerletIntegrator(0.1)), 1)
    with pytest.raises(TypeError, match="expected an openmm.Context or Simulation, found str"):
        og.Recorder(velocities=True).run("run", 1)


def test_sites_that_are_not_averages():
    frame = openmm.LocalCoordinatesSite(0, 1, 2, openmm.Vec3(1, 0, 0), openmm.Vec3(-1, 1, 0), openmm.Vec3(-1, 0, 1),
                                        openmm.Vec3(0.1, 0, 0))
    system = system_of(site=frame)
    with pytest.raises(ValueError, match="found 1 LocalCoordinatesSites. Record dipoles= instead"):
        og.Recorder(fluxes={"charge": [0, 0, 1.0, -1.0]}).run(context_of(system), 1)
    assert folded(system, [1, 2, 3, 0]).tolist() == [1, 2, 3, 0]
    recorder = og.Recorder(fluxes={"a": [0, 0, 1.0, 0]}, dipoles={"dipole": [0, 0, 1.0, -1.0]})
    recorder.run(context_of(system), 4)
    assert recorder.series("dipole").shape == (4, 3)


def test_a_barostat_that_is_active():
    system = system_of()
    force = openmm.CustomNonbondedForce("0")
    force.setNonbondedMethod(force.CutoffPeriodic)
    for _ in range(3):
        force.addParticle([])
    system.addForce(force)
    system.addForce(openmm.MonteCarloBarostat(1.0, 300.0))
    with pytest.raises(ValueError, match="expected a constant box, found an active MonteCarloBarostat"):
        og.Recorder(velocities=True).run(context_of(system), 1)


def test_steps_between_and_other_contexts():
    recorder, context = og.Recorder(2, velocities=True), context_of()
    with pytest.raises(ValueError, match="n_steps must be a multiple of interval = 2, found 3"):
        recorder.run(context, 3)
    recorder.run(context, 4)
    context.getIntegrator().step(1)
    with pytest.raises(ValueError, match="the next record is of step 6, found step 7"):
        recorder.run(context, 2)
    with pytest.raises(ValueError, match="expected the Context of the first record"):
        recorder.run(context_of(), 2)


def test_nan_is_not_recorded():
    context = context_of()
    context.setVelocities(np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match="NaN or infinite values within 5 steps. Use a shorter timestep"):
        og.Recorder(velocities=True).run(context, 5)


def test_reading_what_is_not_there():
    recorder = og.Recorder(velocities=True, fluxes={"a": np.ones(3)})
    with pytest.raises(ValueError, match="expected records, found none"):
        recorder.path()
    recorder.run(context_of(), 10)
    with pytest.raises(ValueError, match="expected one of the series a, velocities, found 'charge'"):
        recorder.path()
    with pytest.raises(ValueError, match="windows of 1 to 10 records"):
        recorder.path("a", n_times=11)


def test_directories(tmp_path):
    settings = dict(fluxes={"a": np.ones(3)}, file=tmp_path / "run")
    og.Recorder(**settings).run(context_of(), 10)
    with pytest.raises(ValueError, match="already holds a recording. Choose another path, pass append=True"):
        og.Recorder(**settings).run(context_of(), 10)
    with pytest.raises(ValueError, match="holds a recording with other values of: series, weights"):
        og.Recorder(fluxes={"b": np.ones(3)}, file=tmp_path / "run", append=True).run(context_of(), 10)
    late = context_of()
    late.setStepCount(50)
    with pytest.raises(ValueError, match="the next record is of step 11, found step 51"):
        og.Recorder(**settings, append=True).run(late, 10)
    with pytest.raises(FileNotFoundError, match="directory .* not found"):
        og.Recorder.load(tmp_path / "nothing")
    with pytest.raises(ValueError, match="holds no recording.json. Pass a directory that a Recorder wrote"):
        og.Recorder.load(tmp_path)
    file = tmp_path / "run" / "a.npy"
    content = file.read_bytes()
    file.write_bytes(content[:-8])
    with pytest.raises(ValueError, match="a.npy is truncated: expected 240 bytes for 10 rows, found 232"):
        og.Recorder.load(tmp_path / "run")
    file.write_bytes(content[:40])
    with pytest.raises(ValueError, match="is not a .npy file or is truncated"):
        og.Recorder.load(tmp_path / "run")
    file.unlink()
    with pytest.raises(FileNotFoundError, match="The directory is incomplete"):
        og.Recorder.load(tmp_path / "run")
    og.Recorder(**settings, overwrite=True).run(context_of(), 3)
    assert len(og.Recorder.load(tmp_path / "run").series()) == 3
    (tmp_path / "run" / "recording.json").write_text("{")
    with pytest.raises(ValueError, match="recording.json is truncated or not JSON"):
        og.Recorder.load(tmp_path / "run")
