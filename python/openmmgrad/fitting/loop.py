# SPDX-License-Identifier: MIT
"""fit: sample, compare, step, until the targets are met."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from ..errors import require
from ..estimate import chi2
from ..observables import RDF
from .boltzmann import BoltzmannInversion
from .checkpoint import Checkpoint
from .figures import draw
from .gauss_newton import GaussNewton
from .history import History
from .optimizer import Gradient
from .posterior import posterior
from .problem import Problem, potential_on

UNSAMPLED = 0.02  # part of a target's pairs that may be out of reach
METHODS = {"gauss-newton": GaussNewton, "ibi": BoltzmannInversion}


def fit(targets: Sequence, method="gauss-newton", max_iterations: int = 20, directory: str | Path | None = None, *,
        tolerance: float = 0.005, n_eff_min: float = 0.5, confidence: float = 0.95, progress: bool = True,
        figures: bool = True, executor: Executor | None = None, **options) -> History:
    """Fit the parameters behind the targets' Models to the targets.

    Each iteration samples every Ensemble at the present parameters, compares these frames with the targets, and
    steps. Earlier frames that still represent the parameters (n_eff) are weighted in, and steps are repeated on the
    same frames as long as these represent the new parameters. The parameters of the Models are changed in place:
    those of pair potentials, global parameters, and, by torch optimisers, those of torch energies.

    Targets of paths (`Target`, propagate=) run windows from the latest frames at every comparison and every step, and
    their gradient has both terms: that of the weights and that of the paths. "gauss-newton" then takes one step a
    sample, and carries windows of earlier samples on as long as these represent the parameters.

    Parameters
    ----------
    targets
        Any number of `Target`, of any Ensembles and Models; Models given the same potential share it.
    method
        "gauss-newton" (default), "ibi" (iterative Boltzmann inversion, the baseline), or a torch.optim class, which
        moves global parameters in units of their scales: lr=0.01 is a hundredth of a scale in an Adam step.
    max_iterations
        Sampled iterations at most. A final sample confirms the fitted parameters.
    directory
        Where history, states and figures go; the same call again resumes there after a kill. None keeps nothing.
    tolerance
        Stop when an iteration changes less than this: u(r) where sampled, kT; global parameters, in units of their
        scales (`Model.add_parameters`); energies, kT per particle (standard deviation over frames over the root of N):
        with "gauss-newton" those of the Forces that have a parameter, otherwise those of learnt torch energies.
    n_eff_min
        Sample again when n_eff falls below this part of the frames.
    confidence
        Of the band of u(r).
    progress, figures
        Show a progress bar; draw figures into the directory.
    executor
        Samples the Ensembles in parallel: a `concurrent.futures` thread pool.
    options
        Of the method: max_step, smoothness, lr, ...

    Returns
    -------
    History

    Raises
    ------
    ValueError
        For unknown methods, a method that cannot move what is learnt or follow a target, a directory of another fit,
        frames that are too few or not finite. What was done until then stays in the directory.
    """
    require(max_iterations >= 1, "fit", f"max_iterations must be at least 1, found {max_iterations}", "Give 1 or more")
    problem = Problem(targets)
    stepper = _method(method, options)
    stepper.check(problem)
    checkpoint = Checkpoint(directory, problem, stepper, options)
    history = checkpoint.resume(max_iterations)
    with _bar(progress, max_iterations, len(history)) as bar:
        while not history.finished:
            history.finished = len(history) == max_iterations or history.converged
            problem.renew_windows(confirm=history.finished)
            samples, row = _sample(problem, checkpoint, len(history), n_eff_min, executor)
            _compare(problem, samples, history, row)
            if history.finished:
                # the prior as it is believed: a larger lambda smooths u and must not narrow its band
                history.bands, errors, history.influence = posterior(problem, samples, confidence,
                                                                     min(stepper.used_smoothness, 1.0))
                row.update({f"error {label}": error for label, error in errors.items()})
            else:
                _steps(problem, stepper, samples, row, n_eff_min)
                history.converged = row["change"] <= tolerance
            row["seconds_fit"] = time.perf_counter() - row.pop("started") - row["seconds_sampling"]
            history.rows.append(row)
            checkpoint.commit(history)
            if figures and directory is not None:
                draw(problem, history, Path(directory) / "figures")
            bar.update(1)
            bar.set_postfix(_postfix(row))
    return history


def _method(method, options: dict):
    if isinstance(method, str):
        require(method in METHODS, "fit", f"unknown method {method!r}; expected {', '.join(METHODS)} or a torch.optim "
                "class", "Choose one of those")
        return METHODS[method](**options)
    return Gradient(method, **options)


def _sample(problem: Problem, checkpoint: Checkpoint, iteration: int, n_eff_min: float,
            executor: Executor | None) -> tuple[dict, dict]:
    """One segment of every Ensemble, and the first figures of the iteration's row."""
    started = time.perf_counter()
    paths = [checkpoint.frames_path(iteration, k) for k in range(len(problem.ensembles))]
    run = map if executor is None else executor.map
    frames = list(run(lambda ensemble, path: ensemble.sample(path=path), problem.ensembles, paths))
    row = {"md_steps": sum(e.md_steps for e in problem.ensembles), "frames": sum(len(f) for f in frames),
           "seconds_sampling": time.perf_counter() - started, "started": started}
    return checkpoint.pool.add(iteration, frames, n_eff_min), row


def _compare(problem: Problem, samples: dict, history: History, row: dict) -> None:
    """Averages of every target at the parameters that were sampled."""
    row.update({f"parameter {s.label}": s.tensor.item() for s in problem.scalars})
    for ensemble in problem.ensembles:
        history.potentials[ensemble.name].append(potential_on(problem, ensemble, history.r[ensemble.name]))
        with torch.no_grad():
            for target, estimate in problem.estimates(samples[ensemble].latest).items():
                difference = np.asarray(estimate.mean) - np.asarray(target.values)
                row[f"chi2 {target.name}"] = float(chi2(estimate, target.values, target.sigma))
                row[f"unsampled {target.name}"] = _unsampled(target, estimate)
                row[f"rms {target.name}"] = float(np.sqrt(np.mean(difference**2)))
                history.estimates[target.name] = (np.asarray(target.observable.grid), np.asarray(estimate.mean),
                                                  np.asarray(estimate.stderr))


def _unsampled(target, estimate) -> float:
    """Part of an RDF target's pairs at distances that no frame has reached; 0 for other targets.

    Raises
    ------
    ValueError
        Above UNSAMPLED: such pairs have no gradient, and a fit cannot find them.
    """
    if not isinstance(target.observable, RDF):
        return 0.0
    r, pairs = np.asarray(target.observable.grid), target.values * np.asarray(target.observable.grid) ** 2
    missing = (np.asarray(estimate.mean) == 0) & (target.values > 0)
    part = float(pairs[missing].sum() / pairs.sum())
    require(part <= UNSAMPLED, "fit", f"{100 * part:.0f} % of the pairs of target {target.name!r} are at distances "
            f"that no frame of {target.ensemble.name!r} reached, from {r[missing].min(initial=np.inf):.3g} to "
            f"{r[missing].max(initial=0):.3g} nm",
            "Start from a potential with a smaller core: start_from_rdf or SplinePotential.from_rdf of the target")
    return part


def _steps(problem: Problem, stepper, samples: dict, row: dict, n_eff_min: float) -> None:
    """Steps on the same frames until they no longer represent the parameters: the only policy on n_eff."""
    row["n_eff"], row["change"], row["steps"] = 1.0, 0.0, 0
    for _ in range(stepper.max_steps_per_sample):
        report = stepper.step(problem, samples)
        row.update(report.figures)
        if row["steps"] == 0:
            row.update({f"error {label}": error for label, error in report.errors.items()})
        row["change"], row["steps"] = max(row["change"], report.change), row["steps"] + 1
        row["n_eff"] = min(sample.fraction() for sample in samples.values())
        if row["n_eff"] < n_eff_min:
            break


def _bar(progress: bool, max_iterations: int, done: int):
    return tqdm(total=max_iterations + 1, initial=done, desc="fit", unit="it", disable=not progress)


def _postfix(row: dict) -> dict[str, str]:
    return {k: f"{v:.3g}" for k, v in row.items() if k.startswith(("chi2", "rms", "n_eff", "change"))}
