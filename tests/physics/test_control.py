# SPDX-License-Identifier: MIT
"""Control by gradients through dynamics: a trap's protocol with an exact optimum, a chain that learns to fold."""

import importlib.util
from argparse import Namespace
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str):
    spec = importlib.util.spec_from_file_location(f"control_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


trap, fold = example("07_drag_a_trap"), example("06_fold_a_chain")


# -- a trap that moves: positions are linear in the protocol, work is quadratic --

@pytest.fixture(scope="module", params=[10.0, 100.0], ids="gamma={}".format)
def drag(request):
    """40 particles for 60 steps: with inertia, and nearly without."""
    return trap.Drag(40, duration=0.3, friction=request.param, platform="Reference")


@pytest.fixture(scope="module")
def protocol(drag):
    generator = np.random.default_rng(3)
    return torch.as_tensor(trap.DISTANCE * generator.random(drag.n_steps))


def closed_form(drag, positions):
    """Response a [T, n] to the protocol, positions without it [T], and moves of the trap: d c + last."""
    n = drag.n_steps
    with torch.no_grad():
        free = positions(torch.zeros(n, dtype=torch.float64)).mean(1).numpy()
    d = np.diff(np.eye(n), axis=0, prepend=0.0, append=0.0)
    return trap.response(n, drag.mass, drag.friction), free, d, np.append(np.zeros(n), trap.DISTANCE)


def test_particles_answer_a_protocol_linearly_whatever_the_noise(drag, protocol):
    positions = drag.sample(1)
    a, free, _, _ = closed_form(drag, positions)
    with torch.no_grad():
        x = positions(protocol).mean(1).numpy()
    assert np.abs(free).max() > 1e-3  # there is noise
    np.testing.assert_allclose(x, free + a @ protocol.numpy(), rtol=0, atol=1e-12)


def test_gradient_of_the_work_is_that_of_the_discrete_linear_system(drag, protocol):
    positions, c = drag.sample(1), protocol.clone().requires_grad_()
    a, free, d, last = closed_form(drag, positions)
    drag.work(c, positions(c)).mean().backward()
    x = free + a @ protocol.numpy()
    exact = -trap.SPRING * (d.T @ x + a.T @ (d @ protocol.numpy() + last))
    np.testing.assert_allclose(c.grad.numpy(), exact, rtol=0, atol=1e-6 * np.abs(exact).max())


def test_the_optimum_for_the_noise_is_reached(drag):
    positions = drag.sample(2)
    learnt, history = trap.learn(drag, positions, max_iterations=100)
    _, free, _, _ = closed_form(drag, positions)
    best = trap.exact_protocol(drag, free)
    with torch.no_grad():
        least = drag.work(best, positions(best)).mean().item()
    assert history[-1] - least == pytest.approx(0.0, abs=1e-8)
    np.testing.assert_allclose(learnt, best, rtol=0, atol=1e-5 * trap.DISTANCE)
    assert least < history[0]


def test_the_exact_protocol_tends_to_the_known_optimum(monkeypatch):
    """W* = k L^2 / (2 + tau k/zeta), along a line between two jumps (T. Schmiedl, U. Seifert, 2007)."""
    monkeypatch.setattr(trap, "TIMESTEP", 0.00125)
    drag = trap.Drag(1, duration=1.0, friction=200.0, platform="Reference")
    c, n = trap.exact_protocol(drag), drag.n_steps
    x = torch.as_tensor(trap.response(n, drag.mass, drag.friction)) @ c
    assert drag.work(c, x).item() == pytest.approx(drag.exact_work, rel=2e-3)
    t = trap.TIMESTEP * torch.arange(n, dtype=torch.float64)
    middle = slice(n // 10, -n // 10)
    torch.testing.assert_close(c[middle], (trap.DISTANCE * (t + 1) / 3)[middle], rtol=0, atol=2e-3 * trap.DISTANCE)


def test_work_has_the_variance_that_the_fluctuation_theorem_demands():
    """Dragging changes no free energy and work is Gaussian: <W> = var(W)/2kT, by Jarzynski's equality."""
    drag = trap.Drag(4000, duration=0.5, friction=100.0, platform="Reference")
    with torch.no_grad():
        c = drag.linear()
        work = drag.work(c, drag.sample(4)(c))
    kT, n = og.units.KB * trap.TEMPERATURE, len(work)
    mean, variance = work.mean().item(), work.var().item()
    error = np.hypot(work.std().item() / n**0.5, variance * (2 / n) ** 0.5 / (2 * kT))
    assert abs(mean - variance / (2 * kT)) < 4 * error
    assert error < 0.03 * mean


# -- a chain that folds --

SMALL = Namespace(updates=50, chains=8, tests=4, steps=1000, platform="Reference", seed=1)


def test_the_helix_is_its_own_goal():
    assert sum(fold.loss_terms(fold.HELIX).values()).item() == pytest.approx(0.0, abs=1e-12)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    turned = fold.HELIX @ torch.as_tensor(turn * np.sign(np.linalg.det(turn))) + 5.0
    assert fold.superpose(turned)[1].item() == pytest.approx(0.0, abs=1e-7)
    assert fold.superpose(-fold.HELIX)[1].item() > 0.3  # the mirror image is another structure
    assert fold.dihedral_rmsd(-fold.HELIX).item() == pytest.approx(2 * 10.2577, abs=1e-3)


def test_gradient_of_folding_is_the_difference_of_whole_simulations():
    model, generator = fold.chain_model(), torch.Generator().manual_seed(1)
    x, v = fold.straight_chains(2, generator)
    x = x + 0.15 * torch.randn(x.shape, dtype=x.dtype, generator=generator)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.3 * torch.randn(p.shape, dtype=p.dtype, generator=generator)
    run = fold.propagator(model, fold.WINDOW, fold.WINDOW, "Reference")

    def loss():
        terms = fold.loss_terms(run(initial=(x, v)).positions[:, -1])
        return terms["bonds"] + terms["angles"] + terms["distances"]  # dihedrals take their weights as constants

    loss().backward()
    parameters = list(model.parameters())
    direction = [torch.randn(p.shape, dtype=p.dtype, generator=generator) for p in parameters]
    found = sum((p.grad * d).sum() for p, d in zip(parameters, direction, strict=True)).item()
    values = []
    for h in (1e-4, -1e-4):
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p += h * d
            values.append(loss().item())
            for p, d in zip(parameters, direction, strict=True):
                p -= h * d
    assert found == pytest.approx((values[0] - values[1]) / 2e-4, rel=1e-6)


@pytest.fixture(scope="module")
def trained():
    """A model before training, judged; the same after 50 updates; the history."""
    model = fold.chain_model()
    _, before = fold.judge(model, SMALL)
    history = fold.train(model, SMALL)
    return model, before, history


def test_training_lowers_the_loss_by_bounded_gradients(trained):
    _, _, history = trained
    assert np.mean(history["loss"][-5:]) < 0.4 * history["loss"][0]
    assert max(history["gradient norm"]) < 10


def test_chains_fold_from_unseen_velocities_in_longer_runs(trained):
    model, before, _ = trained
    times, after = fold.judge(model, SMALL)
    assert times[-1] > 20 * fold.WINDOW * fold.TIMESTEP
    assert fold.superpose(before[:, -1])[1].min() > 3
    assert fold.superpose(after[:, -1])[1].max() < 1.2
    assert fold.dihedral_rmsd(before[:, -1]).mean() > 60
    assert fold.dihedral_rmsd(after[:, -1]).mean() < 25


def test_the_learnt_system_folds_under_another_thermostat(trained):
    """In plain OpenMM, from a straight line at rest."""
    temperature = fold.REDUCED.temperature(fold.KT)
    integrator = openmm.LangevinMiddleIntegrator(temperature, 0.5, fold.TIMESTEP)
    integrator.setRandomNumberSeed(1)
    context = openmm.Context(trained[0].create_system(temperature), integrator,
                             openmm.Platform.getPlatformByName("Reference"))
    x, _ = fold.straight_chains(1, torch.Generator().manual_seed(7))
    context.setPositions(x[0].numpy())
    integrator.step(2000)
    last = torch.as_tensor(context.getState(positions=True).getPositions(asNumpy=True)._value)
    assert fold.superpose(last)[1].item() < 1.2
