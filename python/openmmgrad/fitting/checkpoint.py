# SPDX-License-Identifier: MIT
"""Checkpoint: everything a fit needs to go on after a kill, in its run directory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..frames import Frames
from .history import History, RunDirectory
from .problem import Problem, reach
from .sample import Pool


class Checkpoint:
    """Saves a fit after every iteration and resumes it; without a directory it keeps nothing."""

    def __init__(self, directory: str | Path | None, problem: Problem, stepper, options: dict) -> None:
        self._problem, self._stepper = problem, stepper
        self._run = None if directory is None else RunDirectory(directory, _facts(problem, stepper, options))
        self.pool = Pool(problem.ensembles)
        self._previous: set[tuple[int, int]] = set()

    def frames_path(self, iteration: int, k: int) -> Path | None:
        """Where the frames of Ensemble k are streamed to; frames of an interrupted iteration are removed."""
        return None if self._run is None else self._run.new_frames(iteration, k)

    def resume(self, max_iterations: int) -> History:
        """The History so far, with parameters, Ensembles and optimiser as they were after its last iteration.

        A finished fit that is asked for more iterations goes on from the step before its confirmation.
        """
        history = History()
        for ensemble in self._problem.ensembles:
            points = 401 if ensemble.model.terms else 1
            history.r[ensemble.name] = np.linspace(0.0, reach(ensemble.model), points)[1:]
            history.potentials[ensemble.name] = []
        rows = [] if self._run is None else self._run.rows()
        if not rows:
            return history
        saved = self._run.state(len(rows) - 1)
        if saved["finished"] and not saved["converged"] and len(rows) - 1 < max_iterations:
            rows = rows[:-1]
            saved = self._run.state(len(rows) - 1)
        history.rows = rows
        history.converged, history.finished = bool(saved["converged"]), bool(saved["finished"])
        self._problem.restore(_part(saved, "parameters/"))
        self._stepper.restore(_part(saved, "method/"))
        self._problem.path_memory.restore(_part(saved, "paths/"))
        for k, ensemble in enumerate(self._problem.ensembles):
            ensemble.restore(_part(saved, f"ensemble{k}/"))
            history.potentials[ensemble.name] = [self._run.estimates(i)[f"u/{k}"] for i in range(len(rows))]
            for i in saved[f"pool{k}"].tolist():
                self.pool.parts[k][i] = Frames.load(self._run.frames(i, k))
        history.influence = self._run.influence() if history.finished else None
        latest = self._run.estimates(len(rows) - 1)
        for k, target in enumerate(self._problem.targets):
            history.estimates[target.name] = tuple(latest[f"target/{k}"])
        for k, ensemble in enumerate(self._problem.ensembles):
            if f"band/{k}" in latest:
                history.bands[ensemble.name] = (latest[f"band_r/{k}"], *latest[f"band/{k}"])
        return history

    def commit(self, history: History) -> None:
        """Save the last iteration of the History."""
        if self._run is None:
            return
        state = {"converged": np.array(history.converged), "finished": np.array(history.finished)}
        parts = {"parameters/": self._problem.state(), "method/": self._stepper.state(),
                 "paths/": self._problem.path_memory.state()}
        for k, ensemble in enumerate(self._problem.ensembles):
            parts[f"ensemble{k}/"] = ensemble.state()
            state[f"pool{k}"] = np.array(list(self.pool.parts[k]), dtype=int)
        state |= {prefix + name: value for prefix, part in parts.items() for name, value in part.items()}
        estimates = {}
        for k, target in enumerate(self._problem.targets):
            estimates[f"target/{k}"] = np.array(history.estimates[target.name])
        for k, ensemble in enumerate(self._problem.ensembles):
            estimates[f"u/{k}"] = history.potentials[ensemble.name][-1]
            if ensemble.name in history.bands:
                r, u, width = history.bands[ensemble.name]
                estimates[f"band_r/{k}"], estimates[f"band/{k}"] = r, np.array([u, width])
        self._run.commit(len(history) - 1, history.rows, state, estimates, history.influence)
        present = {(i, k) for k, parts in self.pool.parts.items() for i in parts}
        self._run.keep_frames(present | self._previous)  # a finished fit may be continued from the one before
        self._previous = present


def _facts(problem: Problem, stepper, options: dict) -> dict:
    """What must be equal for a run to be resumed; numbers of iterations may differ."""
    facts = {
        "method": stepper.name,
        "options": {k: repr(v) for k, v in options.items()},
        "targets": [[t.name, t.ensemble.name, len(np.atleast_1d(t.values)), float(np.sum(np.asarray(t.values)))]
                    for t in problem.targets],
        "ensembles": [[e.name, e.temperature, e.pressure, e.timestep, e.n_frames, e.stride, e.seed, e.platform]
                      for e in problem.ensembles],
        "models": [[[t.backend, list(t.shape), t.potential.cutoff] for t in m.terms] for m in problem.models],
        "n_parameters": problem.n_parameters,
    }
    further = {
        "windows": [[t.name, {k: _plain(v) for k, v in t.propagate.items()}] for t in problem.targets if t.propagate],
        "global parameters": [[s.label, s.scale] for s in problem.scalars],
        "torch energies": [t.name for m in problem.models for t in m.energy_terms],
    }
    return facts | {name: found for name, found in further.items() if found}


def _plain(value):
    """An option of windows as JSON: objects, such as integrators, by their class and timestep."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    step = getattr(value, "getStepSize", None)
    return f"{type(value).__name__} {step() if step else ''}".strip()


def _part(saved: dict, prefix: str) -> dict:
    return {name[len(prefix):]: value for name, value in saved.items() if name.startswith(prefix)}
