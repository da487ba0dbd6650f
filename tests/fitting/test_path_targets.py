# SPDX-License-Identifier: MIT
"""Targets of paths: windows, both terms of their gradient, joint fits with structure, resumption."""

import numpy as np
import pytest
import torch
from fitting import springs

import openmmgrad as og
from openmmgrad.fitting.optimizer import loss
from openmmgrad.fitting.problem import Problem
from openmmgrad.fitting.sample import Sample

WINDOWS = {"timestep": 0.05, "n_steps": 40, "stride": 4}


def oscillators(k, n_frames=30, **options):
    return springs.ensemble(springs.wells(k, n=10), n_frames=n_frames, **options)


def correlation(k, times, dt=WINDOWS["timestep"]):
    """<v(0) v(t)> of the leapfrog's half-step velocities that start from canonical ones: see `VACF`."""
    theta = np.arccos(1 - k * dt**2 / (2 * springs.MASS))
    return 3 * springs.KT / springs.MASS * (1 + k * dt**2 / (4 * springs.MASS)) * np.cos(theta * times / dt)


def vacf_target(sampler, k=2.0, options=WINDOWS, **further):
    vacf = og.VACF(remove_com=False, max_lag=2.0)
    times = options["timestep"] * options.get("stride", 1) * np.arange(11)
    return og.Target(vacf, sampler, correlation(k, times), propagate=options, **further)


def test_gradient_of_the_loss_has_both_terms():
    sampler = oscillators(1.7)
    msd = og.Target(og.MSD(remove_com=False, max_lag=1.0), sampler, np.zeros(6), sigma=100.0, propagate=WINDOWS)
    problem = Problem([vacf_target(sampler, sigma=100.0), msd])  # errors of averages are constants in the gradient
    samples, k = {sampler: Sample(sampler, [sampler.sample()])}, problem.parameters[0]
    loss(problem, samples).backward()
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            k.copy_(1.7 + sign * 1e-4)
            values.append(loss(problem, samples).item())
    assert k.grad.item() == pytest.approx((values[0] - values[1]) / 2e-4, rel=1e-5)


def test_windows_start_from_weighted_frames_of_the_latest_segment(monkeypatch):
    sampler = oscillators(1.7, n_frames=9)
    options = WINDOWS | {"n_windows": 3}
    targets = [vacf_target(sampler, options=options),
               og.Target(og.SelfDiffusion(t_max=1.0), sampler, [1e-6], propagate=dict(options)),
               og.Target(og.MSD(max_lag=2.0), sampler, np.zeros(11), propagate=WINDOWS)]
    problem = Problem(targets)
    sample = Sample(sampler, [sampler.sample(), sampler.sample()])
    with torch.no_grad():
        sampler.model.global_parameters["k"].copy_(1.8)
    seen, run = [], og.Propagator.__call__

    def spy(self, frames, **further):
        seen.append(frames)
        return run(self, frames, **further)

    monkeypatch.setattr(og.Propagator, "__call__", spy)
    found = problem.estimates(sample)
    assert [len(frames) for frames in seen] == [3, 9]  # equal options share their windows
    last = sample.parts[-1]
    assert np.array_equal(seen[0].positions, last.positions[[0, 4, 8]])
    w = og.weights(sampler.model, last[[0, 4, 8]])
    path = og.propagate(sampler.model, last[[0, 4, 8]], **WINDOWS, platform="Reference")
    expected = og.expectation(targets[0].observable(path), w)
    assert torch.allclose(found[targets[0]].mean, expected.mean, rtol=1e-12)
    assert not torch.allclose(w.w, torch.full((3,), 1 / 3, dtype=torch.float64), rtol=0.01)


def test_frequency_of_oscillators_is_found_from_their_correlation():
    sampler = springs.ensemble(springs.wells(1.4), n_frames=60)
    history = og.fit([vacf_target(sampler, name="C(t)")], method=torch.optim.Adam, lr=0.03, betas=(0.3, 0.9),
                     max_steps_per_sample=10, max_iterations=5, progress=False)
    # of 8 seeds: 2.001 on average, with a standard deviation of 0.023
    assert abs(history.column("parameter k")[-1] - 2.0) < 4 * 0.023
    chi2 = history.column("chi2 C(t)")  # of a cosine with one amplitude: the bins go up and down together
    assert chi2[-1] < 0.1 * chi2[0]
    assert history.estimates["C(t)"][0] == pytest.approx(0.2 * np.arange(11))


def test_structure_and_dynamics_fit_together():
    truth = springs.droplet(40.0, 1.0, n_frames=300, name="truth", seed=5)
    frames = springs.without_features(truth.sample())
    windows = {"timestep": 0.02, "n_steps": 45, "stride": 3}
    vacf = og.VACF(max_lag=0.9, remove_com=False)
    with torch.no_grad():
        path = og.propagate(truth.model, frames[::3], **windows, platform="Reference")
    wanted = og.expectation(vacf(path), og.Weights.uniform(len(path)))
    sampler = springs.droplet(30.0, 0.8, n_frames=240)
    targets = [og.Target.from_frames(frames, springs.droplet_rdf(), sampler, name="g(r)"),
               og.Target(vacf, sampler, wanted.mean_values, wanted.stderr, name="C(t)",
                         propagate=windows | {"n_windows": 40})]
    history = og.fit(targets, method=torch.optim.Adam, lr=0.05, max_steps_per_sample=6, n_eff_min=0.3,
                     max_iterations=4, progress=False)
    epsilon = sampler.model.terms[0].potential.epsilon.item()
    # of 5 seeds: k/40 1.01 and epsilon 0.99 on average, with standard deviations of 0.02 and 0.03; chi2 0.3 to 1.2
    assert abs(history.column("parameter k")[-1] / 40 - 1) < 0.1
    assert abs(epsilon - 1) < 0.07
    for name in ("chi2 g(r)", "chi2 C(t)"):
        assert history.column(name)[-1] < 2 < history.column(name)[0]
    assert history.bands == {} and "error k" not in history.rows[-1]  # paths have no linear response here


def test_smeared_structure_of_paths_is_a_target():
    sampler = springs.droplet(40.0, 1.0, n_frames=6)
    rdf = og.RDF(None, None, r_max=1.2, bins=12, normalization="window", smear=0.05, every=5)
    target = og.Target(rdf, sampler, np.ones(12), sigma=0.1, propagate={"timestep": 0.02, "n_steps": 10})
    problem = Problem([target])
    loss(problem, {sampler: Sample(sampler, [sampler.sample()])}).backward()
    assert all(p.grad is not None and p.grad != 0 for p in problem.parameters)


def test_resumed_fit_of_paths_equals_an_uninterrupted_one_bit_by_bit(tmp_path, monkeypatch):
    def job(directory, n_steps=20, figures=False):
        sampler = springs.droplet(30.0, 0.8, n_frames=12)
        windows = {"timestep": 0.02, "n_steps": n_steps, "n_windows": 4, "workers": 1}
        targets = [og.Target(springs.droplet_rdf(), sampler, np.ones(30), sigma=0.1, name="g(r)"),
                   og.Target(og.SelfDiffusion(t_max=0.2), sampler, [3e-8], sigma=1e-8, name="D", propagate=windows)]
        history = og.fit(targets, method=torch.optim.Adam, lr=0.02, max_steps_per_sample=2, max_iterations=2,
                         directory=directory, progress=False, figures=figures, tolerance=0.0)
        return [p.item() for p in sampler.model.parameters()], history

    whole, history = job(tmp_path / "whole")
    sample = og.Ensemble.sample
    monkeypatch.setattr(og.Ensemble, "sample", springs.interrupted_at(1, sample))
    with pytest.raises(KeyboardInterrupt):
        job(tmp_path / "cut", figures=True)
    monkeypatch.setattr(og.Ensemble, "sample", sample)
    resumed, again = job(tmp_path / "cut")
    assert resumed == whole
    assert (again.column("chi2 D") == history.column("chi2 D")).all() and len(set(again.column("rms D"))) == 3
    assert (tmp_path / "cut" / "figures" / "target-1.png").exists()
    with pytest.raises(ValueError, match="holds another fit: it differs in windows"):
        job(tmp_path / "cut", n_steps=30)


def test_tables_of_others_come_to_the_lags_of_the_windows(tmp_path):
    t = np.linspace(0, 3, 61)
    rows = "\n".join(f"{a:.6f},{b:.9f},0.01" for a, b in zip(t, np.exp(-t), strict=True))
    (tmp_path / "vacf.csv").write_text(f"t_ps,C,sigma\n{rows}\n")
    target = og.Target.from_file(tmp_path / "vacf.csv", og.VACF(max_lag=1.5), oscillators(1.0), column="C",
                                 sigma_column="sigma", propagate=WINDOWS)
    assert target.observable.grid == pytest.approx(0.2 * np.arange(8))
    assert target.values == pytest.approx(np.exp(-target.observable.grid), abs=1e-4)
    assert target.propagate == WINDOWS and target.sigma == pytest.approx(np.full(8, 0.01))
