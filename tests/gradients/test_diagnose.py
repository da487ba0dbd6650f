# SPDX-License-Identifier: MIT
"""diagnose_gradient on systems whose answer is known: springs, hills, a liquid, and forces that jump."""

from functools import cache

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og
from openmmgrad.propagation.force_settings import force_settings
from openmmgrad.units import KB

T = 300.0
KT = KB * T
MASS, K, DT = 10.0, 500.0, 0.01
RUN = dict(timestep=DT, platform="Reference", workers=1)


def last_square(path):
    return path.positions[:, -1].square().mean((1, 2))


def springs(expression="0.5*k*(x^2+y^2+z^2)", n=2, **parameters):
    """n particles in an external potential, all of its parameters learnt."""
    system, force = openmm.System(), openmm.CustomExternalForce(expression)
    parameters = parameters or {"k": K}
    for name, value in parameters.items():
        force.addGlobalParameter(name, value)
    for i in range(n):
        system.addParticle(MASS)
        force.addParticle(i)
    system.addForce(force)
    model = og.Model(system)
    model.add_parameters(parameters)
    return model


def thermal(n_frames, n=2, width=1.0, seed=0, **parameters):
    """Equilibrium frames of the springs, or frames narrower by `width`."""
    rng = np.random.default_rng(seed)
    x, v = rng.normal(size=(2, n_frames, n, 3)) * np.sqrt([KT / K, KT / MASS])[:, None, None, None]
    return og.Frames(width * x, og.State([], T, parameters=parameters or {"k": K}), velocities=v)


def leapfrog(x, v, log_k, n_steps):
    """x after n steps of the spring, from velocities of the same time."""
    k = K * torch.exp(log_k)
    v = v + DT / 2 * k * x / MASS
    for _ in range(n_steps):
        v = v - DT * k * x / MASS
        x = x + DT * v
    return x


def spring_gradients(frames, n_steps):
    """d(mean x^2)/d ln k of every window, by autograd through the leapfrog."""
    log_k = torch.zeros(len(frames), 1, 1, dtype=torch.float64, requires_grad=True)
    x = leapfrog(torch.tensor(frames.positions), torch.tensor(frames.velocities), log_k, n_steps)
    return torch.autograd.grad(x.square().mean((1, 2)).sum(), log_k)[0].reshape(-1).numpy()


@cache
def spring_report():
    model, frames = springs(), thermal(40)
    return model, frames, og.diagnose_gradient(model, frames, last_square, n_steps=64, static=True, **RUN)


# -- what the tables say of springs, whose gradients are known in closed form --

def test_means_and_standard_errors_are_those_of_the_single_windows():
    _, frames, report = spring_report()
    assert [row["steps"] for row in report.rows] == [2, 4, 8, 16, 32, 64]
    for row in report.rows:
        wanted = og.expectation(spring_gradients(frames, row["steps"]), og.Weights.uniform(len(frames)))
        assert row["d/d k"] == pytest.approx(wanted.mean.item(), rel=1e-6)
        assert row["stderr d/d k"] == pytest.approx(float(wanted.stderr), rel=1e-6)
        assert row["norm"] == abs(row["d/d k"]) and row["relative_error"] == row["stderr"] / row["norm"]
        assert row["ps"] == pytest.approx(DT * row["steps"])


def test_springs_do_not_diverge_and_use_the_whole_window():
    _, _, report = spring_report()
    times = np.array([row["ps"] for row in report.rows])
    cosine = np.abs(np.cos(np.sqrt(K / MASS) * times))
    assert np.abs([row["growth"] for row in report.rows] - cosine).max() < 2e-3  # leapfrog: (w dt)^2/24 per radian
    assert report.growth_rate == 0
    assert report.suggested_window == 64
    assert report.messages == []


def test_the_adjoint_is_that_of_the_simulation():
    _, frames, report = spring_report()
    assert [(row["parameter"], row["steps"]) for row in report.differences] == [("k", 2), ("k", 16)]
    for row in report.differences:
        exact = spring_gradients(frames[0], row["steps"])[0]
        assert row["adjoint"] == pytest.approx(exact, rel=1e-6)
        assert abs(row["difference"] - exact) < 1e-9 * abs(exact) + row["uncertainty"]


def test_weights_alone_agree_with_weights_and_path_and_with_theory():
    _, _, report = spring_report()
    assert [row["steps"] for row in report.static] == [2, 4, 8, 16, 32, 64]
    for row in report.static:
        for label in ("weights", "both"):  # <x^2> = kT/k, its derivative by ln k is -kT/k; four standard errors
            assert abs(row[label] + KT / K) < 4 * row[f"stderr {label}"]
        assert abs(row["difference"]) < 4 * row["stderr difference"]
        assert row["difference"] == pytest.approx(row["both"] - row["weights"], rel=1e-9)
    assert report.static[-1]["stderr weights"] == pytest.approx(np.sqrt(14 / 240) * 2 * KT / K, rel=0.5)


def test_a_gradient_that_misses_a_part_differs_from_the_simulation():
    model = springs()

    def without_graph(path):  # depends on k once more, behind autograd's back
        return last_square(path) * model.global_parameters["k"].item()

    report = og.diagnose_gradient(model, thermal(10), without_graph, n_steps=16, **RUN)
    assert sum(text.startswith("differences: d loss/d k over ") for text in report.messages) == 2


def test_frames_out_of_equilibrium_disagree():
    report = og.diagnose_gradient(springs(), thermal(40, width=0.3), last_square, windows=[22], n_steps=22, static=True,
                                  **RUN)
    assert any(text.startswith("static: d<loss>/d k by weights alone") for text in report.messages)


def test_the_model_stays_as_it_was():
    model, frames, _ = spring_report()
    k = model.global_parameters["k"]
    assert k.item() == K and k.grad is None
    w = og.weights(model, frames).w  # a graph from before survives
    og.diagnose_gradient(model, frames[:2], last_square, n_steps=2, **RUN)
    torch.autograd.grad(w[0], k)


def test_the_table_reads_well_and_the_picture_draws():
    _, _, report = spring_report()
    text = str(report)
    assert "suggested window: 64 steps" in text and "growth rate 0 /ps" in text
    for title in ("Path gradient of the loss, 40 windows", "d loss/d k", "adjoint against differences",
                  "weights alone against weights and path", "s forward", "all steps kept"):
        assert title in text
    assert max(map(len, text.splitlines())) < 160
    axes = report.plot()
    assert axes.get_xlabel() == "length of the window (ps)" and axes.figure.axes[1].get_ylabel() == "|dx(t)/dx(0)|"
    axes.figure.canvas.draw()


def test_several_workers_change_nothing():
    model, frames, report = spring_report()
    two = og.diagnose_gradient(model, frames, last_square, n_steps=64, **{**RUN, "workers": 2})
    assert [row["d/d k"] for row in two.rows] == [row["d/d k"] for row in report.rows]


# -- gradients that are of no use are reported, not raised --

def test_a_hill_explodes_at_its_own_rate():
    rate = 20.0  # 1/ps: |dx(t)/dx(0)| = cosh(rate t)
    model = springs("-0.5*k*(x^2+y^2+z^2)", k=MASS * rate**2)
    report = og.diagnose_gradient(model, thermal(10, k=MASS * rate**2), last_square, n_steps=640, timestep=0.001,
                                  platform="Reference")
    assert [row["growth"] for row in report.rows] == pytest.approx(
        [np.cosh(rate * row["ps"]) for row in report.rows], rel=1e-3)
    assert report.growth_rate == pytest.approx(rate, rel=0.05)  # ln cosh bends upwards at first
    assert [row["note"] == "exploding" for row in report.rows] == [False] * 5 + [True]  # cosh(6.4) < 1000 < cosh(12.8)
    assert report.suggested_window == 320
    assert any(text.startswith("exploding: at 640 steps") for text in report.messages)


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_trajectories_that_become_nan_are_rows(platform):
    model = springs("-k*(x^6+y^6+z^6)", k=1e12)
    report = og.diagnose_gradient(model, thermal(5, k=1e12), last_square, n_steps=64, timestep=0.1, platform=platform)
    assert report.rows[-1]["note"] == "NaN" and report.rows[-1]["not_finite"] == 5
    assert np.isnan(report.rows[-1]["norm"]) and report.suggested_window is None
    assert any(text.startswith("NaN: at ") and "shorter timestep" in text for text in report.messages)
    assert "suggested window: none" in str(report)
    report.plot().figure.canvas.draw()


def test_a_loss_that_is_nan_is_reported():
    report = og.diagnose_gradient(springs(), thermal(5), lambda path: (-last_square(path)).sqrt(), n_steps=4, **RUN)
    assert {row["note"] for row in report.rows} == {"NaN"}


def test_zero_gradients_are_named():
    model = springs("0.5*k*(x^2+y^2+z^2)+b", k=K, b=1.0)
    frames = thermal(10, k=K, b=1.0)
    report = og.diagnose_gradient(model, frames, last_square, n_steps=16, **RUN)
    assert report.messages == ["zero: the loss does not depend on b."]
    assert report.suggested_window == 16
    lost = og.diagnose_gradient(model, frames, lambda path: last_square(path.detach()), n_steps=16, **RUN)
    assert {row["note"] for row in lost.rows} == {"zero"} and lost.suggested_window is None
    assert lost.messages[0].startswith("zero: the gradient is zero at every length") and "detach()" in lost.messages[0]


def test_vanishing_gradients_are_reported():
    report = og.diagnose_gradient(springs(), thermal(10), lambda path: last_square(path) * 0.1 ** len(path.times),
                                  n_steps=32, **RUN)
    assert [row["note"] for row in report.rows] == ["", "", "", "", "vanishing", "vanishing"]  # 1e-15 and less
    assert report.suggested_window == 8


def test_few_windows_and_noise_are_reported():
    model, frames = springs(), thermal(10)
    noisy = og.diagnose_gradient(model, frames, lambda path: path.positions[:, -1, 0, 0], n_steps=16, **RUN)
    assert noisy.messages[0].startswith("noisy: at ") and "relative error is above 0.5" in noisy.messages[0]
    single = og.diagnose_gradient(model, frames[0], last_square, n_steps=16, **RUN)
    assert single.suggested_window == 16 and np.isnan(single.rows[0]["stderr"])
    assert single.messages == ["Standard errors of 1 windows say little. Use 10 frames or more."]


# -- liquids: chaos, cutoffs, arrays of parameters --

@cache
def liquid(cutoff=0.7):
    """Six frames of 64 argon atoms with a learnable potential."""
    system, topology, positions = og.bead_fluid(64, 21.25, 39.948)
    model = og.Model(system, topology)
    model.add_pair_potential(og.SplinePotential(cutoff=cutoff, n_coefficients=24))
    start = og.LennardJones(sigma=0.34, epsilon=1.0, cutoff=cutoff, n_coefficients=24)
    with torch.no_grad():
        next(iter(model.parameters())).copy_(start.coefficients([("all", "all")], 120.0)[0, :21])
    ensemble = og.Ensemble(model, positions, 120.0, timestep=0.004, n_frames=6, stride=50, equilibration=500, threads=1)
    return model, ensemble.sample()


def test_a_liquid_diverges():
    model, frames = liquid()
    report = og.diagnose_gradient(model, frames, displacement_of_atoms, n_steps=512, timestep=0.004, stride=4,
                                  threads=1)
    assert 0.5 < report.growth_rate < 4  # argon: about 1/ps
    assert report.rows[-1]["growth"] > 5 > report.rows[0]["growth"]
    assert report.spread == 0  # in closed form
    assert report.suggested_window is None or report.suggested_window < 512
    for row in report.differences:  # all coefficients in proportion: single precision forces
        assert row["adjoint"] == pytest.approx(row["difference"], rel=1e-2)
    assert not any(text.startswith(("differences", "forces")) for text in report.messages)


def displacement_of_atoms(path):
    return (path.positions[:, -1] - path.positions[:, 0]).square().sum(-1).mean(1)


def lennard_jones(switched):
    """The liquid with OpenMM's NonbondedForce, sigma learnt."""
    _, frames = liquid()
    system, force = openmm.System(), openmm.NonbondedForce()
    system.setDefaultPeriodicBoxVectors(*frames.boxes[0])
    force.setNonbondedMethod(force.CutoffPeriodic)
    force.setCutoffDistance(0.7)
    force.setUseDispersionCorrection(False)
    force.setUseSwitchingFunction(switched)
    force.setSwitchingDistance(0.6)
    force.addGlobalParameter("dsigma", 0.0)
    for i in range(64):
        system.addParticle(39.948)
        force.addParticle(0.0, 0.34, 1.0)
        force.addParticleParameterOffset("dsigma", i, 0.0, 1.0, 0.0)
    system.addForce(force)
    model = og.Model(system)
    model.add_parameters({"dsigma": 0.0}, scale=0.34)
    return model, frames


@pytest.mark.parametrize("switched", [True, False])
def test_a_cutoff_without_switching_is_named_and_seen(switched):
    model, frames = lennard_jones(switched)
    report = og.diagnose_gradient(model, frames, displacement_of_atoms, n_steps=40, timestep=0.004, windows=[10, 40],
                                  threads=1)
    about_forces = [text for text in report.messages if text.startswith("forces: ")]
    if switched:
        assert about_forces == [] and report.spread < 1e-2
    else:
        assert "changes by" in about_forces[0] and report.spread > 1e-2
        assert "Force 0 (NonbondedForce) cuts Lennard-Jones off at 0.7 nm without a switching" in about_forces[1]
        assert "setUseSwitchingFunction(True) and setSwitchingDistance(0.63)" in about_forces[1]


# -- settings of Forces --

def with_nonbonded(method, charge=0.0, epsilon=1.0, **settings):
    system, force = openmm.System(), openmm.NonbondedForce()
    system.addParticle(1.0)
    force.addParticle(charge, 0.3, epsilon)
    force.setNonbondedMethod(method)
    force.setCutoffDistance(1.0)
    for name, value in settings.items():
        getattr(force, f"set{name}")(value)
    system.addForce(force)
    return system


NB = openmm.NonbondedForce
SWITCHED = dict(UseSwitchingFunction=True, SwitchingDistance=0.8)


@pytest.mark.parametrize(("system", "words"), [
    (with_nonbonded(NB.NoCutoff, 1.0), []),
    (with_nonbonded(NB.CutoffPeriodic), ["up to 0.017 kJ/mol/nm a pair"]),  # 24 eps/rc [2 (s/rc)^12 - (s/rc)^6]
    (with_nonbonded(NB.CutoffPeriodic, **SWITCHED), []),
    (with_nonbonded(NB.CutoffPeriodic, epsilon=0.0), []),
    (with_nonbonded(NB.CutoffPeriodic, 1.0, **SWITCHED), ["reaction field whose force jumps at 1 nm by up to 2.6 "]),
    (with_nonbonded(NB.CutoffPeriodic, 1.0, ReactionFieldDielectric=1e9, **SWITCHED), []),
    (with_nonbonded(NB.PME, 1.0), ["Lennard-Jones", "Ewald tolerance of 0.0005"]),
    (with_nonbonded(NB.PME, 1.0, EwaldErrorTolerance=1e-5, **SWITCHED), []),
    (with_nonbonded(NB.LJPME, 1.0), ["Ewald tolerance of 0.0005"]),
])
def test_settings_of_nonbonded_forces(system, words):
    found = force_settings(system)
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


def test_settings_of_other_forces():
    system = openmm.System()
    for force in (openmm.CustomNonbondedForce("r"), openmm.CustomGBForce(), openmm.CustomNonbondedForce("r")):
        force.setNonbondedMethod(force.CutoffNonPeriodic)
        system.addForce(force)
    system.getForce(2).setUseSwitchingFunction(True)
    assert [text.split(" cuts off")[0] for text in force_settings(system)] == [
        "Force 0 (CustomNonbondedForce)", "Force 1 (CustomGBForce)"]


# -- options of propagate --

def test_options_reach_the_propagator():
    model, frames = springs(), thermal(6)
    noise = openmm.LangevinMiddleIntegrator(T, 5.0, DT)
    report = og.diagnose_gradient(model, frames, last_square, n_steps=32, integrator=noise, platform="Reference",
                                  checkpoint_every=8, max_reverse_steps=16)
    assert report.cost["checkpoint_every"] == 8 and "a checkpoint every 8 steps" in str(report)
    assert {row["steps"] for row in report.differences} == {1, 8}
    for row in report.differences:  # equal noise on both sides
        assert row["adjoint"] == pytest.approx(row["difference"], rel=1e-6)
    observed = og.diagnose_gradient(model, frames, lambda path: path.observed[:, -1], n_steps=8, static=True,
                                    observe=lambda x, v: x.square().mean((1, 2)), two_sided=True, **RUN)
    shown = og.diagnose_gradient(model, frames, last_square, n_steps=8, static=True, two_sided=True, **RUN)
    for a, b in zip(observed.rows + observed.static, shown.rows + shown.static, strict=True):
        numbers = [key for key in a if key not in ("note", "parameter")]
        assert [a[key] for key in numbers] == pytest.approx([b[key] for key in numbers], rel=1e-9)
