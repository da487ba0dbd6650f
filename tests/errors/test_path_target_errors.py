# SPDX-License-Identifier: MIT
"""Mistakes with targets of paths, and with exports of what is not a pair potential."""

import numpy as np
import openmm
import pytest
from fitting import springs

import openmmgrad as og

WINDOWS = {"timestep": 0.05, "n_steps": 20}


@pytest.fixture
def sampler():
    return springs.ensemble(springs.wells(1.0, n=4), n_frames=5)


@pytest.mark.parametrize(("propagate", "error", "message"), [
    (None, ValueError, r"Target: C\(t\) is an observable of paths, and found no word on how.*Pass propagate=dict\("),
    ([0.05, 20], TypeError, r"propagate must be \{option: value\}, found list\. Pass dict\(timestep"),
    ({"timestep": 0.05}, ValueError, "propagate needs n_steps, and timestep or integrator, found timestep"),
    ({"n_steps": 20}, ValueError, "propagate needs n_steps, and timestep or integrator, found n_steps"),
    (WINDOWS | {"windows": 5}, ValueError, "unknown options windows; expected some of n_windows, "
         "n_differentiated, confirm_steps, weight_term, timestep"),
    (WINDOWS | {"n_steps": 2.5}, ValueError, r"n_steps of propagate must be a whole number from 1, found 2\.5"),
    (WINDOWS | {"n_windows": 1}, ValueError, "n_windows of propagate must be a whole number from 2, found 1"),
    (WINDOWS | {"stride": 40}, ValueError, "stride of propagate must be up to n_steps = 20, found 40"),
    (WINDOWS | {"timestep": 0.0}, ValueError, r"timestep of propagate must be positive, found 0\.0 ps"),
    (WINDOWS | {"n_steps": 5}, ValueError, r"VACF: max_lag = 0\.5 ps needs longer windows: found 0\.25 ps"),
])
def test_targets_refuse_windows(sampler, propagate, error, message):
    with pytest.raises(error, match=message):
        og.Target(og.VACF(max_lag=0.5), sampler, np.zeros(11), propagate=propagate)


def test_targets_refuse_lags_that_windows_do_not_have(sampler):
    with pytest.raises(ValueError, match=r"SelfDiffusion: t_max = 3 ps needs longer windows: found 1 ps"):
        og.Target(og.SelfDiffusion(t_max=3.0), sampler, [1e-9], propagate=WINDOWS)
    with pytest.raises(ValueError, match=r"MSD: expected times 0\.1 ps apart, found 0\.05 ps.*stride = interval"):
        og.Target(og.MSD(max_lag=0.5, interval=0.1), sampler, np.zeros(6), propagate=WINDOWS)
    with pytest.raises(ValueError, match=r"C\(t\) has 11 bins, found 5 values"):
        og.Target(og.VACF(max_lag=0.5), sampler, np.zeros(5), propagate=WINDOWS)
    # two-sided windows, and the timestep of an integrator
    both = {"integrator": openmm.VerletIntegrator(0.05), "n_steps": 10, "two_sided": True}
    target = og.Target(og.VACF(), sampler, np.zeros(11), propagate=both)
    assert target.observable.grid[-1] == pytest.approx(0.5)


def test_frames_are_no_paths(sampler):
    frames = sampler.sample()
    with pytest.raises(ValueError, match=r"MSD is an observable of paths, and frames have no times.*Path\.from_frames"):
        og.Target.from_frames(frames, og.MSD(max_lag=1.0), sampler)


def test_fit_refuses_more_windows_than_frames_before_it_samples(sampler, monkeypatch):
    monkeypatch.setattr(og.Ensemble, "sample", lambda self, **_: pytest.fail("sampled"))
    target = og.Target(og.VACF(), sampler, np.zeros(21), propagate=WINDOWS | {"n_windows": 6})
    with pytest.raises(ValueError, match=r"6 windows need as many frames of 'wells', found n_frames = 5"):
        og.fit([target], progress=False)


def test_a_method_without_gradients_of_paths_names_one_that_has_them(sampler, monkeypatch):
    monkeypatch.setattr(og.Ensemble, "sample", lambda self, **_: pytest.fail("sampled"))
    target = og.Target(og.VACF(), sampler, np.zeros(21), propagate=WINDOWS, name="C")
    with pytest.raises(ValueError, match="target C is not the RDF.*torch optimiser"):
        og.fit([target], method="ibi", progress=False)
