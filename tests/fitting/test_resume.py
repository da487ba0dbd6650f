# SPDX-License-Identifier: MIT
"""A fit survives a kill at any moment, and refuses what is not its own."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from fitting import fluids

import openmmgrad as og


def job(directory, iterations=3, method="gauss-newton", seed=1, **options):
    potential = fluids.lennard_jones(epsilon=0.9)
    sampler = fluids.ensemble(potential, n_frames=40, n=64, rho=0.3, seed=seed)
    r = fluids.rdf(20).grid
    values = np.exp(-np.clip(4 * ((0.34 / r) ** 12 - (0.34 / r) ** 6), -1, 50))
    target = og.Target(fluids.rdf(20), sampler, values, sigma=0.05, name="g(r)")
    history = og.fit([target], method=method, max_iterations=iterations, directory=directory, progress=False,
                     figures=False, tolerance=0.0, **options)
    return np.array([potential.sigma.item(), potential.epsilon.item()]), history


@pytest.mark.parametrize("method", ["gauss-newton", torch.optim.Adam])
def test_resumed_run_equals_an_uninterrupted_one_bit_by_bit(tmp_path, method, monkeypatch):
    options = {"lr": 0.01} if method is torch.optim.Adam else {}
    whole, history = job(tmp_path / "whole", method=method, **options)
    sample = og.Ensemble.sample

    def interrupted(self, **options):
        if self.segment == 2:
            raise KeyboardInterrupt
        return sample(self, **options)

    monkeypatch.setattr(og.Ensemble, "sample", interrupted)
    with pytest.raises(KeyboardInterrupt):
        job(tmp_path / "cut", method=method, **options)
    monkeypatch.setattr(og.Ensemble, "sample", sample)
    resumed, again = job(tmp_path / "cut", method=method, **options)
    assert (resumed == whole).all()
    assert [row["rms g(r)"] for row in again.rows] == [row["rms g(r)"] for row in history.rows]


def test_killed_process_loses_only_the_iteration_it_was_in(tmp_path):
    script = f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
        import openmmgrad as og
        from fitting import test_resume
        sample = og.Ensemble.sample
        def killed(self, **options):
            frames = sample(self, **options)
            if self.segment == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return frames
        og.Ensemble.sample = killed
        test_resume.job({str(tmp_path / "run")!r})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env={**os.environ}, timeout=300)
    assert done.returncode == -signal.SIGKILL
    assert len((tmp_path / "run" / "history.jsonl").read_text().splitlines()) == 2
    resumed, history = job(tmp_path / "run")
    whole, _ = job(tmp_path / "whole")
    assert (resumed == whole).all() and len(history) == 4


def test_finished_fit_is_not_run_again_but_can_be_continued(tmp_path, monkeypatch):
    first, history = job(tmp_path / "run", iterations=2)
    monkeypatch.setattr(og.Ensemble, "sample", lambda self, **_: pytest.fail("sampled again"))
    again, loaded = job(tmp_path / "run", iterations=2)
    assert (again == first).all() and loaded.finished
    for name, band in history.bands.items():
        assert all(np.array_equal(a, b) for a, b in zip(band, loaded.bands[name], strict=True))
    monkeypatch.undo()
    longer, _ = job(tmp_path / "run", iterations=3)
    whole, _ = job(tmp_path / "whole", iterations=3)
    assert (longer == whole).all()


def test_line_cut_by_a_kill_is_dropped(tmp_path):
    job(tmp_path / "run", iterations=1)
    file = tmp_path / "run" / "history.jsonl"
    file.write_text(file.read_text() + '{"md_steps": 12')
    _, history = job(tmp_path / "run", iterations=1)
    assert len(history) == 2


def test_foreign_directories_are_refused_and_left_alone(tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="not empty and holds no fit.json.*thesis.tex.*Choose a new directory"):
        job(foreign)
    assert [p.name for p in foreign.iterdir()] == ["thesis.tex"]
    job(tmp_path / "run", iterations=1)
    with pytest.raises(ValueError, match="holds another fit: it differs in ensembles"):
        job(tmp_path / "run", iterations=1, seed=2)
    header = tmp_path / "run" / "fit.json"
    header.write_text(header.read_text()[:40])
    with pytest.raises(ValueError, match="not readable"):
        job(tmp_path / "run", iterations=1)
    header.write_text(json.dumps({"format": "another"}))
    with pytest.raises(ValueError, match="not of this program"):
        job(tmp_path / "run", iterations=1)


def test_failure_in_a_running_fit_loses_nothing(tmp_path, monkeypatch):
    sample = og.Ensemble.sample

    def broken(self, **options):
        if self.segment == 1:
            self.positions = self.positions * np.nan
        return sample(self, **options)

    monkeypatch.setattr(og.Ensemble, "sample", broken)
    with pytest.raises((ValueError, Exception), match="NaN|nan"):
        job(tmp_path / "run")
    monkeypatch.undo()
    resumed, _ = job(tmp_path / "run")
    whole, _ = job(tmp_path / "whole")
    assert (resumed == whole).all()


def test_equal_runs_with_ewald_sums_are_equal_bit_by_bit():
    system, topology, positions = og.flexible_water(27, cutoff=0.45)
    runs = []
    for _ in range(3):
        sampler = og.Ensemble(og.Model(system, topology), positions, 298.15, timestep=0.001, n_frames=2, stride=50,
                              equilibration=100, platform="CPU", threads=1)
        frames = sampler.sample()
        path = og.propagate(sampler.model, frames, 0.0005, 50, threads=1, workers=1)
        runs.append(path.positions.numpy())
    assert np.array_equal(runs[0], runs[1]) and np.array_equal(runs[0], runs[2])
