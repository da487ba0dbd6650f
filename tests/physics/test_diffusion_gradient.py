# SPDX-License-Identifier: MIT
"""The gradient of a self-diffusion coefficient: its two parts, with known values, and what lowers their noise."""

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og

KT, MASS, KAPPA = og.units.KB * 300.0, 40.0, 2500.0  # kJ/mol, amu, kJ/mol/nm^4
TIMESTEP, WINDOW = 0.02, 0.8  # ps
WELLS = og.SelfDiffusion(t_max=WINDOW, remove_com=False)


def quadrature(kappa: float, kappa_of_frames: float, on_step: bool = False) -> float:
    """D of leapfrog's half-step (or on-step) velocities in u = kappa x^4/4, over frames of kappa_of_frames, nm^2/ps."""
    v, v_weight = np.polynomial.hermite_e.hermegauss(30)
    x = np.linspace(-2.6, 2.6, 401) * (4 * KT / KAPPA) ** 0.25
    x_weight = np.exp(-kappa_of_frames * x**4 / 4 / KT)
    now, velocity = np.meshgrid(x, v * np.sqrt(KT / MASS), indexing="ij")
    on = velocity
    velocity = velocity + 0.5 * TIMESTEP * kappa * now**3 / MASS
    first = on if on_step else velocity
    n, total = round(WINDOW / TIMESTEP), 0.5 * TIMESTEP * first * first
    for step in range(1, n + 1):
        velocity = velocity - TIMESTEP * kappa * now**3 / MASS
        now = now + TIMESTEP * velocity
        shown = velocity - 0.5 * TIMESTEP * kappa * now**3 / MASS if on_step else velocity
        total += (0.5 if step == n else 1.0) * TIMESTEP * first * shown
    return float(x_weight @ total @ v_weight / x_weight.sum() / v_weight.sum())


def parts(on_step: bool) -> np.ndarray:
    """The path part and the weight part of dD/dkappa."""
    up, down = KAPPA * (1 + 1e-3), KAPPA * (1 - 1e-3)
    return np.array([quadrature(up, KAPPA, on_step) - quadrature(down, KAPPA, on_step),
                     quadrature(KAPPA, up, on_step) - quadrature(KAPPA, down, on_step)]) / (up - down)


def wells(n_atoms: int) -> og.Model:
    """Independent atoms, each in quartic wells along x, y and z."""
    system = openmm.System()
    force = openmm.CustomExternalForce("kappa*(x^4 + y^4 + z^4)/4")
    force.addGlobalParameter("kappa", KAPPA)
    for i in range(n_atoms):
        system.addParticle(MASS)
        force.addParticle(i, [])
    system.addForce(force)
    model = og.Model(system)
    model.add_parameters({"kappa": KAPPA})
    return model


def canonical(n_frames: int, n_atoms: int, seed: int) -> og.Frames:
    """Exact samples: kappa x^4/(4 kT) has a Gamma distribution of shape 1/4."""
    rng = np.random.default_rng(seed)
    shape = (n_frames, n_atoms, 3)
    x = rng.choice([-1.0, 1.0], shape) * (rng.gamma(0.25, size=shape) * 4 * KT / KAPPA) ** 0.25
    return og.Frames(x, og.State([], 300.0, parameters={"kappa": KAPPA}),
                     velocities=rng.normal(size=shape) * np.sqrt(KT / MASS), masses=[MASS] * n_atoms)


def derivative(value: torch.Tensor, model: og.Model) -> float:
    """d(value)/d(kappa), in nm^2/ps for values in m^2/s."""
    return 1e6 * torch.autograd.grad(value.sum(), model.global_parameters["kappa"])[0].item()


def test_the_sum_of_the_parts_agrees_with_scaling_and_does_not_depend_on_where_the_frame_is():
    # energies scale with kT, lengths with (kT/kappa)^(1/4): kappa dD/dkappa = -(D - t dD/dt)/4 in continuous time
    half, on = parts(on_step=False), parts(on_step=True)
    assert KAPPA * half.sum() == pytest.approx(-0.00702, abs=2e-5)
    assert KAPPA * on.sum() == pytest.approx(-0.00702, abs=2e-5)
    assert half[0] < 0 < half[1] and on[0] < 0 < on[1]
    assert abs(half - on).min() > 0.05 * abs(half.sum())


@pytest.mark.parametrize("on_step", [False, True])
def test_both_parts_of_the_gradient_have_their_known_values(on_step):
    model = wells(10)
    n_steps = round(WINDOW / TIMESTEP)
    propagator = og.Propagator(model, TIMESTEP, n_steps + on_step, platform="Reference", workers=1)
    rows = []
    for seed in range(10):
        frames = canonical(400, 10, seed)
        path = propagator(frames)
        values = og.time_origins(WELLS, path, model, WINDOW, every=WINDOW)[0] if on_step else WELLS(path)
        w = og.weights(model, frames, platform="Reference")
        rows.append([derivative(og.expectation(values, og.Weights.uniform(400)).mean, model),
                     derivative(og.expectation(values.detach(), w).mean, model)])
    path, weight = np.transpose(rows)
    known_path, known_weight = parts(on_step)
    for found, known in ((path, known_path), (weight, known_weight), (path + weight, known_path + known_weight)):
        error = found.std(ddof=1) / np.sqrt(len(found))
        assert abs(found.mean() - known) < 4 * error
        assert 4 * error < known_weight  # without either part the sum is wrong


def test_the_gradient_of_an_expectation_is_the_sum_of_its_parts():
    model, frames = wells(2), canonical(6, 2, 1)
    windows = og.Propagator(model, TIMESTEP, 10, platform="Reference", workers=1)
    diffusion = og.SelfDiffusion(remove_com=False)
    w = og.weights(model, frames, platform="Reference")
    both = derivative(og.expectation(diffusion(windows(frames)), w).mean, model)
    values = diffusion(windows(frames))
    path = derivative(og.expectation(values, og.Weights.uniform(6)).mean, model)
    w = og.weights(model, frames, platform="Reference")
    assert both == pytest.approx(path + derivative(og.expectation(values.detach(), w).mean, model), rel=1e-9)


def long_runs(model: og.Model, n_runs: int, seed: int) -> og.Path:
    """Runs of seven windows' length from canonical frames."""
    frames = canonical(n_runs, model.n_particles, seed)
    with torch.no_grad():
        return og.propagate(model, frames, TIMESTEP, round(7 * WINDOW / TIMESTEP) + 1, platform="Reference", workers=1)


def test_every_time_of_a_run_gives_the_same_mean_and_the_same_weight_part():
    model = wells(5)
    values, gradients = [], []
    for seed in range(10):
        d, frames = og.time_origins(WELLS, long_runs(model, 60, seed), model, WINDOW, every=0.2)
        assert d.shape == (60 * 25, 1) and len(frames) == 1500
        values.append(d.mean().item() * 1e6)
        gradients.append(derivative(og.expectation(d, og.weights(model, frames, platform="Reference")).mean, model))
    known = parts(on_step=True)[1]
    for found, expected in ((values, quadrature(KAPPA, KAPPA, on_step=True)), (gradients, known)):
        assert abs(np.mean(found) - expected) < 4 * np.std(found, ddof=1) / np.sqrt(10)
    assert 5 * np.std(gradients, ddof=1) / np.sqrt(10) < known


def test_the_weight_part_is_a_covariance_with_the_energy_derivative():
    model = wells(5)
    d, frames = og.time_origins(WELLS, long_runs(model, 4, 3), model, WINDOW, every=0.4)
    slope = (frames.positions**4).sum((1, 2)) / 4
    expected = -np.cov(1e6 * d[:, 0].numpy(), slope, ddof=0)[0, 1] / KT
    found = derivative(og.expectation(d, og.weights(model, frames, platform="Reference")).mean, model)
    assert found == pytest.approx(expected, rel=1e-6)


def test_kinetic_energy_is_noise_that_can_be_taken_out():
    # free atoms: D t_max/3 of each is its kinetic energy; in wells, some of D is
    model = wells(3)
    windows = og.Propagator(model, TIMESTEP, round(WINDOW / TIMESTEP), platform="Reference", workers=1)
    kept = []
    for seed in range(20):
        frames = canonical(60, 3, seed)
        with torch.no_grad():
            values = 1e6 * WELLS(windows(frames))
        kept.append([values.mean().item(), og.kinetic_control(values, frames).mean().item()])
    plain, controlled = np.transpose(kept)
    assert controlled.std() < 0.8 * plain.std()
    assert abs(controlled.mean() - quadrature(KAPPA, KAPPA)) < 4 * controlled.std(ddof=1) / np.sqrt(20)


def test_the_gradient_of_values_is_not_touched_by_kinetic_control():
    frames = canonical(5, 2, 1)
    values = torch.arange(5.0, dtype=torch.float64, requires_grad=True)
    og.kinetic_control(values, frames).sum().backward()
    assert values.grad.tolist() == [1.0] * 5


def test_what_cannot_be_cut_into_windows_is_refused():
    model, frames = wells(2), canonical(3, 2, 1)

    def cut(length=0.2, every=0.1, stride=1, **options):
        with torch.no_grad():
            runs = og.propagate(model, frames, TIMESTEP, 20, platform="Reference", workers=1, **options)
        og.time_origins(og.SelfDiffusion(), runs, model, length, every, stride)

    with pytest.raises(ValueError, match=r"windows of up to 19 times .* found 20"):
        cut(length=0.4)
    with pytest.raises(ValueError, match=r"whole number of strides, found 10 and stride 3"):
        cut(stride=3)
    with pytest.raises(ValueError, match=r"length must be a multiple of 0.02 ps, found 0.21 ps"):
        cut(length=0.21)
    with pytest.raises(ValueError, match=r"runs that start at time 0, found -0.4 ps"):
        cut(two_sided=True)
    with pytest.raises(ValueError, match="expected runs with positions and velocities"):
        cut(observe=lambda x, v: v.sum((1, 2)))
    with pytest.raises(ValueError, match="one timestep apart, found stride = 2"):
        og.time_origins(WELLS, og.propagate(model, frames, TIMESTEP, 20, 2, platform="Reference"), model, 0.2, 0.2)
    with pytest.raises(ValueError, match="at least 3 frames, found 2 values and 3 frames"):
        og.kinetic_control(torch.zeros(2), frames)
    with pytest.raises(ValueError, match="velocities and masses"):
        og.kinetic_control(torch.zeros(3), og.Frames(frames.positions, frames.states))
