# SPDX-License-Identifier: MIT
"""Fits of global parameters and torch energies: Gauss-Newton and torch optimisers, histories, resumption."""

import numpy as np
import pytest
import torch
from fitting import springs

import openmmgrad as og
from openmmgrad.fitting.gauss_newton import local_quadratics, parameter_errors
from openmmgrad.fitting.optimizer import Gradient, loss
from openmmgrad.fitting.problem import Problem
from openmmgrad.fitting.quadratic import Step
from openmmgrad.fitting.sample import Sample
from openmmgrad.fitting.statistics import response

K = 2.0


def mean_square(sampler, k=K, **options):
    """The exact average at a k."""
    return og.Target(springs.MeanSquare(), sampler, [3 * sampler.kT / k], **options)


def sampled(targets):
    """A Problem and one segment of each of its Ensembles."""
    problem = Problem(targets)
    return problem, {e: Sample(e, [e.sample()]) for e in problem.ensembles}


def test_gauss_newton_finds_a_parameter_within_its_standard_error():
    sampler = springs.ensemble(springs.wells(1.2))
    history = og.fit([mean_square(sampler)], max_iterations=4, progress=False)
    k, error = history.column("parameter k"), history.column("error k")
    assert k[0] == 1.2 and sampler.model.parameter_values().item() == k[-1]
    assert abs(k[-1] - K) < 4 * error[-1] < 0.15
    assert history.potentials == {"wells": history.potentials["wells"]} and history.bands == {}


def test_standard_error_is_that_of_the_mean_square():
    # <r^2> of n oscillators and S independent frames has the relative error sqrt(2/(3 n S)), and so has k
    problem, samples = sampled([mean_square(springs.ensemble(springs.wells(K), n_frames=150))])
    parts, _ = local_quadratics(problem, samples)
    errors = parameter_errors(problem, parts, Step(problem, parts).posterior(1.0))
    assert errors["k"] == pytest.approx(K * np.sqrt(2 / (3 * 40 * 150)), rel=0.3)
    # without data it is the scale, for all Ensembles together
    warm = springs.ensemble(problem.models[0], temperature=1.5 * springs.TEMPERATURE, name="warm")
    problem, samples = sampled([mean_square(e, sigma=1e6) for e in (problem.ensembles[0], warm)])
    parts, _ = local_quadratics(problem, samples)
    assert parameter_errors(problem, parts, Step(problem, parts).posterior(1.0))["k"] == pytest.approx(K, rel=1e-4)


@pytest.fixture(scope="module")
def droplet_case():
    """A droplet that learns k and epsilon, with the g(r) of another."""
    truth = springs.droplet(40.0, 1.0, n_frames=300, name="truth", seed=5)
    frames = springs.without_features(truth.sample())
    sampler = springs.droplet(30.0, 0.8)
    return sampler, og.Target.from_frames(frames, springs.droplet_rdf(), sampler, name="g(r)")


def test_jacobian_joins_coefficients_and_parameters(droplet_case):
    sampler, target = droplet_case
    sample = Sample(sampler, [sampler.sample()])
    analytic = response(target, sample, sample.weights()).jacobian
    model, k = sampler.model, sampler.model.global_parameters["k"]
    assert analytic.shape == (30, model.n_features + 1)
    values = target.observable(sample.frames).numpy()

    def average(shift):
        with torch.no_grad():
            k.copy_(30.0 + shift)
            found = sample.weights().w.numpy() @ values
            k.copy_(30.0)
        return found

    h = 1e-3
    differences = (average(h) - average(-h)) / (2 * h) * model.parameter_scales["k"]
    assert np.allclose(analytic[:, -1], differences, rtol=1e-4, atol=1e-6 * np.abs(differences).max())


def test_gauss_newton_moves_splines_and_parameters_in_one_step(droplet_case):
    sampler, target = droplet_case
    start = {name: value.clone() for name, value in sampler.model.state_dict().items()}
    history = og.fit([target], max_iterations=4, progress=False)
    k, error = history.column("parameter k"), history.column("error k")
    epsilon = sampler.model.terms[0].potential.epsilon.item()
    sampler.model.load_state_dict(start)
    assert abs(k[-1] - 40) < 4 * error[-1] < 12  # the truth's frames have an error, too, and it is in this one
    assert abs(epsilon - 1) < 0.1
    assert history.column("chi2 g(r)")[-1] < 2 < history.column("chi2 g(r)")[0]
    assert history.bands["droplet"][1].shape == (1, 200)
    assert history.column("change")[:-1].max() < 0.6 * 1.01  # u and U are linear in epsilon and k: max_step is kept


def test_a_step_of_gauss_newton_is_bounded_in_scales_and_in_energy():
    # 1.2 of 12 is a tenth of its scale; of 1.2, as far as energy allows
    for k, scale, of_energy in ((1.2, 0.2, False), (1.2, 100.0, True)):
        problem, samples = sampled([mean_square(springs.ensemble(springs.wells(k, scale=scale)), k=10 * K)])
        stepper = og.fitting.GaussNewton(max_step=0.3)
        report = stepper.step(problem, samples)
        (sample,) = samples.values()
        moved = problem.models[0].parameter_values().item() - k
        spread = (moved * sample.slopes()[:, 0] / scale).std() / springs.KT / np.sqrt(40)
        assert report.figures["bounded"] == 1.0 and report.change == pytest.approx(0.3, rel=1e-3)
        assert (spread if of_energy else moved / scale) == pytest.approx(0.3, rel=0.02)


def test_optimisers_move_parameters_in_units_of_their_scales():
    problem, samples = sampled([mean_square(springs.ensemble(springs.wells(1.2, scale=5.0)))])
    stepper = Gradient(torch.optim.Adam, lr=0.01)
    first, second = stepper.step(problem, samples), stepper.step(problem, samples)
    moved = problem.models[0].parameter_values().item() - 1.2
    assert 0.09 < moved < 0.11  # two steps of 0.01 times 5
    assert first.change == pytest.approx(0.01, rel=1e-6)
    assert second.change == pytest.approx(moved / 5, rel=1e-12)  # since the first step on these frames


def test_gradient_of_the_loss_is_that_of_differences():
    problem, samples = sampled([mean_square(springs.ensemble(springs.wells(1.7)), sigma=100.0)])
    k = problem.parameters[0]
    loss(problem, samples).backward()
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            k.copy_(1.7 + sign * 1e-4)
        values.append(loss(problem, samples).item())
    assert k.grad.item() == pytest.approx((values[0] - values[1]) / 2e-4, rel=1e-5)


@pytest.mark.parametrize("method", ["gauss-newton", torch.optim.Adam, torch.optim.SGD])
def test_resumed_fit_equals_an_uninterrupted_one_bit_by_bit(tmp_path, method, monkeypatch):
    options = {} if method == "gauss-newton" else {"lr": 0.02 if method is torch.optim.Adam else 1e-4,
                                                   "max_steps_per_sample": 4}

    def job(directory):
        models = [springs.wells(1.4, n=10, scale=0.7), springs.wells(1.2, n=10)]
        targets = [mean_square(springs.ensemble(m, n_frames=20, name=f"wells {i}")) for i, m in enumerate(models)]
        history = og.fit(targets, method=method, max_iterations=3, directory=directory, progress=False, tolerance=0.0,
                         figures=False, **options)
        return [m.parameter_values().item() for m in models], history

    whole, history = job(tmp_path / "whole")
    sample = og.Ensemble.sample
    monkeypatch.setattr(og.Ensemble, "sample", springs.interrupted_at(2, sample))
    with pytest.raises(KeyboardInterrupt):
        job(tmp_path / "cut")
    monkeypatch.setattr(og.Ensemble, "sample", sample)
    resumed, again = job(tmp_path / "cut")
    assert resumed == whole and len(again) == 4
    for label in ("k wells 0", "k wells 1"):  # two Models, two parameters of one name
        values = history.column(f"parameter {label}")
        assert (again.column(f"parameter {label}") == values).all() and len(set(values)) > 2


def test_run_directories_show_parameters(tmp_path):
    def job(scale):
        target = mean_square(springs.ensemble(springs.wells(1.5, n=10, scale=scale), n_frames=20))
        return og.fit([target], max_iterations=1, directory=tmp_path / "run", progress=False)

    job(1.0)
    assert {p.name for p in (tmp_path / "run" / "figures").iterdir()} == {"chi2.png", "target-0.png", "parameters.png"}
    assert "parameter k" in (tmp_path / "run" / "history.csv").read_text()
    with pytest.raises(ValueError, match="holds another fit: it differs in global parameters"):
        job(2.0)


def test_torch_optimisers_fit_torch_energies():
    model = springs.tethered(1.4)
    sampler = springs.ensemble(model, n_frames=40)
    history = og.fit([mean_square(sampler)], method=torch.optim.Adam, lr=0.06, max_iterations=3, progress=False)
    # 20 oscillators, 40 frames: relative error 0.03 of k
    assert abs(model.energy_terms[0].module.k.item() - K) < 4 * 0.03 * K
    change = history.column("change")[0]
    k = 1.4 + 0.06 * history.column("steps")[0]  # of <r^2> 3 kT/k, the energy moves by dk r^2/2: sqrt(3/2) dk/k kT
    assert change == pytest.approx((k / 1.4 - 1) * np.sqrt(1.5), rel=0.35)
    assert history.bands == {} and not any("parameter" in key for row in history.rows for key in row)


def test_frozen_torch_energies_do_not_hinder_gauss_newton():
    model = springs.wells(1.5, n=20)
    model.add_energy(springs.Tether(0.5), periodic=False)
    model.energy_terms[0].module.requires_grad_(False)
    history = og.fit([mean_square(springs.ensemble(model, n_frames=60))], max_iterations=3, progress=False)
    k, error = history.column("parameter k")[-1], history.column("error k")[-1]
    assert abs(k + 0.5 - K) < 4 * error < 0.5


@pytest.mark.parametrize(("method", "model", "message"), [
    ("gauss-newton", springs.tethered, r"leave the parameters of torch energies.*method=torch\.optim\.Adam.*freeze"),
    ("ibi", springs.wells, "not the RDF of one type pair of a SplinePotential.*gauss-newton"),
])
def test_methods_refuse_what_they_would_not_move(tmp_path, method, model, message, monkeypatch):
    monkeypatch.setattr(og.Ensemble, "sample", lambda self, **_: pytest.fail("sampled before it was refused"))
    with pytest.raises(ValueError, match=message):
        og.fit([mean_square(springs.ensemble(model(1.0)))], method=method, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_boltzmann_inversion_refuses_parameters_beside_its_spline():
    system, topology, positions = og.bead_fluid(30, 5.0, 40.0)
    system.addForce(springs.well(30, 1.0))
    model = og.Model(system, topology)
    model.add_pair_potential(og.SplinePotential(cutoff=0.8, n_coefficients=30))
    model.add_parameters({"k": 1.0})
    target = og.Target(og.RDF(None, None, 0.8, 20), og.Ensemble(model, positions, 120.0), np.ones(20))
    with pytest.raises(ValueError, match="BoltzmannInversion: it moves splines only, and k would stay.*freeze"):
        og.fit([target], method="ibi", progress=False)
