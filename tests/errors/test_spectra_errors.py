# SPDX-License-Identifier: MIT
"""Mistakes with dipoles and spectra: each names what was expected, what was found, and a way out."""

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og

S, T, N = 2, 41, 3
X = torch.as_tensor(np.random.default_rng(0).random((S, T, N, 3)))
CHARGES = og.PointCharges([0.4, -0.8, 0.4])
SQUARE = og.TorchDipole(lambda x: (x**2).sum(1))


def path_of(**change):
    timestep, stride = change.pop("timestep", 0.001), change.pop("stride", 1)
    arguments = {"positions": X, "velocities": X, "times": timestep * stride * np.arange(T), "timestep": timestep,
                 "stride": stride, "masses": np.ones(N), "boxes": 3.0 * np.eye(3), "temperature": 300.0} | change
    return og.Path(**arguments)


def infrared(dipole=CHARGES, **options):
    return og.IRSpectrum(dipole, **({"max_lag": 0.02} | options))


def density(**options):
    return og.VibrationalDensityOfStates(**({"max_lag": 0.02} | options))


BAD = [
    (lambda: infrared(window="hamming"), "IRSpectrum: unknown window 'hamming'; expected hann, blackman, gaussian, no"),
    (lambda: density(window="hamming"), "VibrationalDensityOfStates: unknown window 'hamming'"),
    (lambda: infrared(correction="kubo"), "unknown correction 'kubo'; expected harmonic, classical, schofield, stan"),
    (lambda: infrared(route="velocity"), "route must be 'flux' or 'dipole', found 'velocity'"),
    (lambda: infrared(origins="some"), "origins must be 'first' or 'all', found 'some'"),
    (lambda: infrared(max_lag=-1.0), "max_lag must not be negative, found -1.0 ps"),
    (lambda: infrared(max_lag=0.0), "max_lag must be positive, found 0.0 ps. Give the longest lag in ps"),
    (lambda: density(max_lag=None), "max_lag must be positive, found None"),
    (lambda: infrared(wavenumbers=[]), "wavenumbers must be finite and not negative. Give them in 1/cm"),
    (lambda: infrared(wavenumbers=[-10.0, 0.0]), "wavenumbers must be finite and not negative"),
    (lambda: density(wavenumbers=[0.0, np.nan]), "wavenumbers must be finite and not negative"),
    (lambda: og.PointCharges([]), r"PointCharges: expected finite charges, found \[\]. Give one per particle, e"),
    (lambda: og.PointCharges([1.0, np.inf]), r"expected finite charges, found \[1.0, inf\]"),
    (lambda: infrared(None).observe, "IRSpectrum: expected a dipole, found none. Pass dipole="),
    (lambda: infrared(SQUARE, route="flux").observe, "IRSpectrum.observe: the flux of a TorchDipole .* half a step"),
    (lambda: infrared(correction="standard").seen([0.0, 1.0], [0.0, 0.0]), "seen: expected a temperature, found none"),
    (lambda: infrared().seen([0.0, 1.0], [0.0]), r"finite values at increasing wavenumbers, found shapes \[1\] and"),
    (lambda: infrared().seen([1.0, 0.0], [0.0, 0.0]), "IRSpectrum.seen: expected finite values at increasing waven"),
    (lambda: infrared().seen([0.0, 1.0], [0.0, np.nan]), "expected finite values at increasing wavenumbers"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=range(len(BAD)))
def test_arguments_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_something_else_than_a_dipole_or_a_path():
    with pytest.raises(TypeError, match="expected PointCharges or a TorchDipole, found list. .*PointCharges.of"):
        infrared([0.4, -0.8, 0.4])
    with pytest.raises(TypeError, match="TorchDipole: expected a function, found list"):
        og.TorchDipole([1.0])
    frames = og.Frames(X[0].numpy(), og.State([], 300.0))
    for observable in (infrared(), infrared(route="dipole"), infrared(SQUARE, route="flux"), density()):
        with pytest.raises(TypeError, match="expected a Path, found Frames"):
            observable(frames)


MISSING = [
    (infrared(), {"velocities": None}, "IRSpectrum: expected a path with velocities, found none"),
    (infrared(route="dipole"), {"positions": None}, "IRSpectrum: expected a path with positions, found none"),
    (infrared(SQUARE), {"positions": None}, "expected a path with positions, found none"),
    (infrared(SQUARE, route="flux"), {"positions": None}, "expected a path with positions, found none"),
    (infrared(None), {}, "expected a dipole, found none. Pass dipole="),
    (infrared(None, route="dipole"), {}, "expected a dipole, found none. Pass dipole="),
    (infrared(), {"boxes": None}, r"expected a box, found none. Pass volume=, nm\^3"),
    (infrared(), {"temperature": None}, "expected a temperature, found None. Pass temperature=, K"),
    (density(), {"velocities": None}, "expected a path with velocities, found none"),
    (density(), {"temperature": None}, "VibrationalDensityOfStates: expected a temperature, found None"),
    (density(selection=[0]), {"masses": [0.0, 1.0, 1.0]}, "the selected atoms must have mass"),
    (infrared(None), {"observed": X}, r"expected observed fluxes or dipoles \[S, T, 3\], found \[2, 41, 3, 3\]"),
    (infrared(og.PointCharges([0.5, -0.5])), {}, r"PointCharges: expected vectors of 2 particles, found shape \[2, 41"),
    (infrared(og.PointCharges([0.5, -0.5]), route="dipole"), {}, "expected vectors of 2 particles"),
    (infrared(og.TorchDipole(lambda x: x)), {}, r"expected dipoles \[82, 3\] of positions \[82, 3, 3\], found"),
]


@pytest.mark.parametrize(("observable", "change", "message"), MISSING, ids=range(len(MISSING)))
def test_what_a_path_lacks(observable, change, message):
    with pytest.raises(ValueError, match=message):
        observable(path_of(**change))


def test_what_the_observable_has_itself_is_not_missed():
    values = infrared(temperature=300.0, volume=27.0)(path_of(boxes=None, temperature=None))
    assert torch.allclose(values, infrared()(path_of()))
    assert torch.isfinite(density(temperature=300.0)(path_of(temperature=None))).all()


SHORT = [
    (infrared(max_lag=0.05), {}, "IRSpectrum: max_lag = 0.05 ps needs longer windows: found 0.04 ps"),
    (infrared(max_lag=0.04, route="dipole"), {}, "max_lag = 0.04 ps needs longer windows: found 0.039 ps"),
    (density(max_lag=0.05), {}, "VibrationalDensityOfStates: max_lag = 0.05 ps needs longer windows: found 0.04 ps"),
    (infrared(), {"stride": 8}, "times 0.008 ps apart show no wavenumbers above 2085 1/cm, and the grid ends at 4000"),
    (density(), {"stride": 8}, "VibrationalDensityOfStates: times 0.008 ps apart show no wavenumbers above 2085"),
    (infrared(), {"timestep": 0.004}, "IRSpectrum: a timestep of 0.004 ps follows no mode above 2654 1/cm"),
    (density(), {"timestep": 0.004}, "VibrationalDensityOfStates: a timestep of 0.004 ps follows no mode above 2654"),
]


@pytest.mark.parametrize(("observable", "change", "message"), SHORT, ids=range(len(SHORT)))
def test_windows_that_are_too_short_or_too_coarse(observable, change, message):
    with pytest.raises(ValueError, match=message):
        observable(path_of(**change))


def test_differences_of_one_time():
    path = path_of(positions=X[:, :1], velocities=None, times=[0.0])
    with pytest.raises(ValueError, match="expected at least two times, found one. Use longer windows"):
        infrared(route="dipole")(path)


@pytest.mark.parametrize("n", [0, 2])
def test_charges_of_a_system_without_or_with_several_nonbonded_forces(n):
    system = openmm.System()
    system.addParticle(1.0)
    for _ in range(n):
        force = openmm.NonbondedForce()
        force.addParticle(1.0, 0.3, 0.0)
        system.addForce(force)
    with pytest.raises(ValueError, match=rf"expected one NonbondedForce, found {n}. .*PointCharges\(\[...\]\)"):
        og.PointCharges.of(og.Model(system))


@pytest.mark.parametrize("learns", [False, True])
def test_a_function_that_does_not_depend_on_positions(learns):
    constant = torch.ones(3, dtype=torch.float64, requires_grad=learns)
    with pytest.raises(ValueError, match="TorchDipole: the function does not depend on positions by torch operations"):
        og.TorchDipole(lambda x: constant.expand(len(x), 3)).flux(X[0], X[0])
