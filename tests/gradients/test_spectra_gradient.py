# SPDX-License-Identifier: MIT
"""Gradients of spectra: with respect to charges, dipole functions and the force, each against what is known."""

import numpy as np
import pytest
import torch
from harmonic_dipole import (
    AREA,
    CHARGE,
    NODE_WEIGHTS,
    VOLUME,
    constant_of,
    frames_of,
    harmonic_dipole,
    quadrature_frames,
    spectrum,
)
from torch import nn

import openmmgrad as og

LINE, DT, N_STEPS, LAG = 1600.0, 0.001, 400, 0.2
K = constant_of(LINE)
GRID = np.array([1400.0, 1500.0, 1560.0, 1600.0, 1640.0, 1700.0, 1800.0])
DIPOLE = og.PointCharges([CHARGE, -CHARGE])


def infrared(dipole=DIPOLE, grid=GRID, **options):
    return og.IRSpectrum(dipole, grid, LAG, volume=VOLUME, **options)


def run(model, frames, n_steps=N_STEPS, **options):
    return og.propagate(model, frames, DT, n_steps, platform="Reference", workers=1, threads=1, **options)


def mean(model, ir, frames, weight=True, path=True, observe=None):
    """The spectrum [B], with the graph of the weight, of the path, or of both."""
    w = og.weights(model, frames, platform="Reference").w * torch.as_tensor(NODE_WEIGHTS)
    w = og.Weights(w / w.sum() if weight else (w / w.sum()).detach())
    trajectory = run(model, frames, observe=observe)
    return og.expectation(ir(trajectory if path else trajectory.detach()), w).mean


def moving(names=("k",)):
    """A stretched bond that shortens, and one that passes its rest length."""
    return frames_of(K, [0.009, 0.0], [-1.0, 3.0], names)


def jacobian(values, parameter):
    return np.array([torch.autograd.grad(value, parameter, retain_graph=True)[0].item() for value in values])


# ------------------------------------------------------------------ the force

def exact(k, grid=GRID):
    return spectrum(k, DT, round(LAG / DT) + 1, N_STEPS + 1, grid)


def exact_derivative(grid=GRID):
    h = 1e-4 * K
    return (exact(K + h, grid) - exact(K - h, grid)) / (2 * h)


@pytest.mark.parametrize("observed", [False, True], ids=["path", "observe"])
def test_weight_and_path_together_are_the_derivative_of_the_band(observed):
    """d/dk of the band of a harmonic dipole, closed form in discrete time; neither part alone is right."""
    model, frames = harmonic_dipole(K, learn=("k",)), quadrature_frames(K)
    ir = infrared()
    k = model.global_parameters["k"]
    options = {"observe": ir.observe} if observed else {}
    values = mean(model, ir, frames, **options)
    assert values.detach().numpy() == pytest.approx(exact(K), rel=0, abs=1e-9 * exact(K).max())
    total, expected = jacobian(values, k), exact_derivative()
    size = np.abs(expected).max()
    assert np.abs(total - expected).max() < 1e-5 * size
    weight = jacobian(mean(model, ir, frames, path=False, **options), k)
    path = jacobian(mean(model, ir, frames, weight=False, **options), k)
    assert np.abs(weight + path - total).max() < 1e-9 * size
    for part in (weight, path):
        assert np.abs(part - expected).max() > 0.01 * size


def test_the_area_does_not_depend_on_the_force():
    """The sum rule: what the weight takes from the area, the path gives back; each alone is half of it over k.

    What is left, s/4 with s = sin^2(w_d dt/2) = 0.023, is of the ends of the window, and is in the closed form.
    """
    grid = np.arange(0.0, 6001.0, 8.0)
    model, frames, ir = harmonic_dipole(K, learn=("k",)), quadrature_frames(K), infrared(grid=grid)
    found = {}
    for part in ("both", "weight", "path"):
        values = mean(model, ir, frames, weight=part != "path", path=part != "weight")
        area = torch.trapezoid(values, torch.as_tensor(grid))
        assert float(area.detach()) / AREA == pytest.approx(1, abs=3e-4)
        (slope,) = torch.autograd.grad(area, model.global_parameters["k"])
        found[part] = float(slope) * K / AREA
    assert found["weight"] == pytest.approx(-0.5, abs=0.02)
    assert found["path"] == pytest.approx(0.5, abs=0.02)
    left = K / AREA * np.trapezoid(exact_derivative(grid), grid)
    assert found["both"] == pytest.approx(left, abs=1e-5)
    assert abs(left) < 0.007


# ------------------------------------------------------------------ charges

@pytest.mark.parametrize("observed", [False, True], ids=["path", "observe"])
@pytest.mark.parametrize("route", ["flux", "dipole"])
def test_an_offset_of_charges_acts_on_the_dipole_itself(route, observed):
    """No force sees the charges here: the spectrum is proportional to (q + dq)^2, and nothing else depends on dq."""
    model, frames = harmonic_dipole(K, learn=("dq",)), quadrature_frames(K, ("dq",))
    with torch.no_grad():
        model.global_parameters["dq"].fill_(0.02)
    ir = infrared(og.PointCharges.of(model), route=route)
    assert ir.dipole.charges().tolist() == pytest.approx([CHARGE + 0.02, -CHARGE - 0.02])
    values = mean(model, ir, frames, **({"observe": ir.observe} if observed else {}))
    expected = 2 * values.detach().numpy() / (CHARGE + 0.02)
    assert jacobian(values, model.global_parameters["dq"]) == pytest.approx(expected, rel=1e-6)
    if route == "flux":
        assert values.detach().numpy() == pytest.approx(exact(K) * (1 + 0.02 / CHARGE) ** 2, rel=1e-5)


def test_force_and_charges_at_once_have_the_same_gradients_with_observe():
    model, frames = harmonic_dipole(K, learn=("k", "dq")), quadrature_frames(K, ("k", "dq"))
    ir = infrared(og.PointCharges.of(model))
    probe = torch.as_tensor(np.random.default_rng(0).normal(size=len(GRID)))
    parameters, found = list(model.parameters()), []
    for observe in (None, ir.observe):
        values = mean(model, ir, frames, observe=observe)
        found.append([values.detach(), *torch.autograd.grad(probe @ values, parameters)])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=0)


def differences(loss, parameter, h=1e-5):
    """Central differences with respect to each entry of a parameter, flat."""
    flat = parameter.data.view(-1)
    found = []
    for i in range(len(flat)):
        ends = []
        for sign in (1, -1):
            flat[i] += sign * h
            ends.append(float(loss()))
            flat[i] -= sign * h
        found.append((ends[0] - ends[1]) / (2 * h))
    return np.array(found)


class Bent(nn.Module):
    """M = (q + a s + b s^2) r, s = |r|/r0 - 1, with q, a and b to learn."""

    def __init__(self):
        super().__init__()
        self.q = nn.Parameter(torch.tensor([0.5, 0.8, -1.5], dtype=torch.float64))

    def forward(self, x):
        bond = x[..., 0, :] - x[..., 1, :]
        s = bond.norm(dim=-1, keepdim=True) / 0.1 - 1
        return (self.q[0] + self.q[1] * s + self.q[2] * s**2) * bond


KINDS = {"charges-flux": (lambda: og.PointCharges([0.5, -0.4], learn=True), "flux"),
         "charges-dipole": (lambda: og.PointCharges([0.5, -0.4], learn=True), "dipole"),
         "function-flux": (lambda: og.TorchDipole(Bent()), "flux"),
         "function-dipole": (lambda: og.TorchDipole(Bent()), "dipole")}


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_what_dipoles_learn_are_differences(kind):
    make, route = KINDS[kind]
    dipole = make()
    ir = infrared(dipole, route=route, correction="standard")
    (parameter,) = dipole.parameters()
    model, frames = harmonic_dipole(K), moving(())
    with torch.no_grad():
        path = run(model, frames)
    probe = torch.as_tensor(np.random.default_rng(1).normal(size=(len(frames), len(GRID))))

    def loss():
        with torch.no_grad():
            return (probe * ir(path)).sum()

    (found,) = torch.autograd.grad((probe * ir(path)).sum(), parameter)
    expected = differences(loss, parameter)
    assert found.numpy() == pytest.approx(expected, rel=1e-7, abs=1e-7 * np.abs(expected).max())
    if kind == "function-flux":
        return  # test_spectra_errors.py
    kept = run(model, frames, observe=ir.observe)
    assert torch.allclose(ir(kept), ir(path), rtol=1e-9)
    (observed,) = torch.autograd.grad((probe * ir(kept)).sum(), parameter)
    assert torch.allclose(observed, found, rtol=1e-9)


@pytest.mark.parametrize("route", ["flux", "dipole"])
def test_gradients_pass_a_nonlinear_dipole_to_the_path(route):
    """The force constant, the initial state and the dipole's own parameters at once, through all of it."""
    model, dipole = harmonic_dipole(K, learn=("k",)), og.TorchDipole(Bent())
    ir, frames = infrared(dipole, route=route), moving()
    x0, v0 = (torch.tensor(part, requires_grad=True) for part in (frames.positions, frames.velocities))
    probe = torch.as_tensor(np.random.default_rng(2).normal(size=(2, len(GRID))))
    k, q = model.global_parameters["k"], dipole.function.q

    def loss():
        path = run(model, None, 250, initial=(x0, v0), temperature=300.0)
        return (probe * ir(path)).sum()

    g_k, g_q, g_x, g_v = torch.autograd.grad(loss(), [k, q, x0, v0])
    assert float(g_k) == pytest.approx(differences(lambda: loss().detach(), k, 1e-5 * K)[0], rel=1e-4)
    assert g_q.numpy() == pytest.approx(differences(lambda: loss().detach(), q), rel=1e-6)
    for tensor, gradient, h in ((x0, g_x, 1e-6), (v0, g_v, 1e-4)):
        expected = differences(lambda: loss().detach(), tensor, h)
        assert np.abs(gradient.numpy().ravel() - expected).max() < 1e-4 * np.abs(expected).max()


def test_gradients_of_densities_of_states():
    """With respect to velocities, half-step and on-step, of some atoms and of all."""
    rng = np.random.default_rng(3)
    v = torch.as_tensor(rng.normal(size=(1, 9, 3, 3)))
    for half_step in (True, False):
        for options in ({}, {"selection": [0, 2], "remove_com": False}, {"origins": "first"}):
            vdos = og.VibrationalDensityOfStates(wavenumbers=[0.0, 900.0, 2000.0], max_lag=0.01, **options)

            def density(v, half_step=half_step, vdos=vdos):
                return vdos(og.Path(None, v, times=0.002 * np.arange(9), timestep=0.002, masses=[1.0, 2.0, 5.0],
                                    temperature=300.0, half_step=half_step))

            assert torch.autograd.gradcheck(density, v.clone().requires_grad_(), fast_mode=True)
