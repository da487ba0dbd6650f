# SPDX-License-Identifier: MIT
"""Pictures of a fit: targets, u(r) and parameters through the iterations, chi^2, and what the data leave open."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .history import History
from .problem import Problem


def draw(problem: Problem, history: History, directory: Path) -> list[Path]:
    """Draw every figure of a fit as PNG into a directory, and return the files."""
    directory.mkdir(parents=True, exist_ok=True)
    files = [_save(plot_chi2(history), directory / "chi2.png")]
    for k, target in enumerate(problem.targets):
        files.append(_save(plot_target(target, history), directory / f"target-{k}.png"))
    for k, ensemble in enumerate(problem.ensembles):
        if ensemble.model.terms:
            files.append(_save(plot_potential(ensemble, history), directory / f"potential-{k}.png"))
    if problem.scalars:
        files.append(_save(plot_parameters([s.label for s in problem.scalars], history), directory / "parameters.png"))
    return files


def plot_target(target, history: History):
    """A target and the latest average, with the difference below."""
    figure = _figure(4.2)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    grid, mean, stderr = history.estimates[target.name]
    wanted = np.asarray(target.values)
    point = "o" if len(np.atleast_1d(grid)) == 1 else None
    top.plot(grid, wanted, color="black", linewidth=1.2, marker=point, label=f"target: {target.name}")
    top.plot(grid, mean, color="tab:red", linestyle="--", linewidth=1.2, marker=point, label="model")
    top.set_ylabel(target.observable.name)
    top.legend(frameon=False)
    bottom.fill_between(grid, -2 * stderr, 2 * stderr, color="0.85", linewidth=0)
    bottom.plot(grid, mean - wanted, color="tab:red", linewidth=0.8)
    bottom.set_xlabel(target.observable.axis)
    bottom.set_ylabel("model - target")
    return figure


def plot_potential(ensemble, history: History):
    """u(r) of every type pair through the iterations, and its band."""
    r = history.r[ensemble.name]
    steps = history.potentials[ensemble.name]
    pairs = [p for term in ensemble.model.terms for p in term.pairs]
    figure = _figure(3.4)
    axes = figure.subplots(1, len(pairs), squeeze=False)[0]
    for row, (axis, pair) in enumerate(zip(axes, pairs, strict=True)):
        for i, u in enumerate(steps):
            shade = 0.85 - 0.6 * i / max(len(steps) - 1, 1)
            axis.plot(r, u[row], color=str(shade), linewidth=0.8)
        axis.plot(r, steps[-1][row], color="tab:blue", linewidth=1.4, label="last")
        if ensemble.name in history.bands:
            rb, u, width = history.bands[ensemble.name]
            axis.fill_between(rb, u[row] - width[row], u[row] + width[row], color="tab:blue", alpha=0.3,
                              linewidth=0, label="band")
        low = min(steps[-1][row].min(), -0.5)
        high = max(4.0, -2 * low)
        axis.set_ylim(1.6 * low, high)
        axis.set_xlim(0.97 * r[np.argmax(steps[-1][row] < high)], r[-1])
        axis.set_xlabel("r (nm)")
        axis.set_ylabel("u(r) / kT")
        axis.set_title("-".join(pair) + f", {ensemble.name}", fontsize=9)
        axis.legend(frameon=False)
    return figure


def plot_parameters(labels: list[str], history: History):
    """Every learnt global parameter through the iterations, with twice its standard error where known."""
    figure = _figure(1.2 + 1.8 * len(labels))
    axes = figure.subplots(len(labels), 1, sharex=True, squeeze=False)[:, 0]
    iterations = np.arange(len(history))
    for axis, label in zip(axes, labels, strict=True):
        known = any(f"error {label}" in row for row in history.rows)
        error = history.column(f"error {label}") if known else np.zeros(len(history))
        axis.errorbar(iterations, history.column(f"parameter {label}"), yerr=2 * np.nan_to_num(error), marker="o",
                      capsize=3, color="tab:blue")
        axis.set_ylabel(label)
    axes[-1].set_xlabel("iteration")
    return figure


def plot_chi2(history: History):
    """chi^2 per degree of freedom of every target, and the steps, through the iterations."""
    figure = _figure(3.2)
    axis = figure.subplots()
    iterations = np.arange(len(history))
    for name in (key for key in history.rows[0] if key.startswith("chi2 ")):
        axis.semilogy(iterations, history.column(name), marker="o", label=name)
    axis.axhline(1.0, color="0.7", linewidth=0.8)
    axis.set_xlabel("iteration")
    axis.set_ylabel("chi^2 per degree of freedom")
    axis.legend(frameon=False)
    return figure


def _figure(height: float):
    from matplotlib.figure import Figure

    return Figure(figsize=(6.4, height), layout="constrained")


def _save(figure, path: Path) -> Path:
    figure.savefig(path, dpi=120)
    return path
