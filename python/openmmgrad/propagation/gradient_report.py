# SPDX-License-Identifier: MIT
"""GradientReport: what `diagnose_gradient` found, as numbers, tables, sentences and a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

SPREAD = {True: 1e-6, False: 1e-2}  # smooth forces stay below it; by double precision
VANISHED = 1e-6  # of the largest norm
WIDTH = 100  # of a table with parameters side by side


@dataclass(eq=False)
class GradientReport:
    """What `diagnose_gradient` found: ``print(report)`` shows all of it.

    Parameters
    ----------
    parameters
        Names of the parameters, [G].
    rows
        For each length: "steps", "ps", "loss" (its mean), "norm" of the mean gradient with "stderr" and
        "relative_error", "growth" (|dx(t)/dx(0)| along a random direction), "not_finite" (windows whose loss or
        gradient is not finite), for each parameter ``f"d/d {name}"`` and ``f"stderr d/d {name}"``, and a "note" of one
        word.
    differences
        For each parameter and two lengths: "adjoint" of the first window, the "difference" of whole simulations and
        its "uncertainty".
    static
        For each parameter and length: "weights" (alone), "both" (weights and path), their "difference", each with
        ``f"stderr {..}"``. Empty without ``static``.
    spread
        Relative change of the product of the force's Jacobian with a vector when the displacement is quartered.
    force_settings
        Sentences on settings of the System that make forces jump.
    cost
        Seconds of "forward" and "reverse" of one of the longest windows, "bytes" kept, "checkpoint_every".
    n_windows, double, max_relative_error, max_growth
        S, whether forces had double precision, and the bounds that were asked for.
    """

    parameters: list[str]
    rows: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    static: list[dict[str, Any]]
    spread: float
    force_settings: list[str]
    cost: dict[str, Any]
    n_windows: int
    double: bool
    max_relative_error: float
    max_growth: float

    def __post_init__(self) -> None:
        largest = max((row["norm"] for row in self.rows if np.isfinite(row["norm"])), default=0.0)
        for row in self.rows:
            row["note"] = self._note(row, largest)

    def _note(self, row: dict[str, Any], largest: float) -> str:
        if row["not_finite"] or np.isnan(row["growth"]):
            return "NaN"
        if row["growth"] > self.max_growth:
            return "exploding"
        if row["norm"] <= VANISHED * largest:
            return "zero" if row["norm"] == 0 else "vanishing"
        return "noisy" if row["relative_error"] > self.max_relative_error else ""

    @cached_property
    def suggested_window(self) -> int | None:
        """The longest length, in steps, without a note; None if there is none."""
        return max((row["steps"] for row in self.rows if not row["note"]), default=None)

    @cached_property
    def growth_rate(self) -> float:
        """1/ps: the slope of the logarithm of |dx(t)/dx(0)|, of its largest value so far, from 1 at time 0."""
        known = [(row["ps"], row["growth"]) for row in self.rows if np.isfinite(row["growth"])]
        if not known:
            return np.nan
        times, values = np.array([(0.0, 1.0), *known]).T
        return float(np.polyfit(times, np.log(np.maximum.accumulate(values)), 1)[0])

    @cached_property
    def messages(self) -> list[str]:
        """What a user should know, a sentence each; empty where nothing stands out."""
        return [*self._on_lengths(), *self._on_differences(), *self._on_static(), *self._on_forces()]

    def _on_lengths(self) -> Iterator[str]:
        noted = {word: [row for row in self.rows if row["note"] == word]
                 for word in ("NaN", "exploding", "vanishing", "zero", "noisy")}
        if rows := noted["NaN"]:
            yield (f"NaN: at {_steps(rows)} steps, up to {max(row['not_finite'] for row in rows)} of {self.n_windows} "
                   "windows have a trajectory, loss or gradient that is NaN or infinite. Use a shorter timestep, start "
                   "from frames without overlaps, and see whether the loss is finite.")
        if rows := noted["exploding"]:
            yield (f"exploding: at {_steps(rows)} steps the last positions depend on the first by more than a factor "
                   f"of {self.max_growth:g}, and gradients are those of chaos. Use shorter windows.")
        if rows := noted["vanishing"]:
            yield (f"vanishing: at {_steps(rows)} steps the gradient is less than {VANISHED:g} of that at other "
                   "lengths. The loss forgets the parameters there: use other windows, or another loss.")
        if noted["zero"] and len(noted["zero"]) == len(self.rows):
            yield ("zero: the gradient is zero at every length. Compute the loss with torch from path.positions or "
                   "path.velocities, without detach() or numpy(), and of particles that the parameters act on.")
        else:
            if rows := noted["zero"]:
                yield f"zero: the gradient is zero at {_steps(rows)} steps."
            for name in self.parameters:
                if all(row[f"d/d {name}"] == 0 and not row[f"stderr d/d {name}"] > 0 for row in self.rows):
                    yield f"zero: the loss does not depend on {name}."
        if rows := noted["noisy"]:
            needed = self.n_windows * (min(row["relative_error"] for row in rows) / self.max_relative_error) ** 2
            yield (f"noisy: at {_steps(rows)} steps the relative error is above {self.max_relative_error:g}. Use more "
                   f"frames (the best of these lengths needs about {needed:.0f}), or another length.")
        if self.n_windows < 5:
            yield f"Standard errors of {self.n_windows} windows say little. Use 10 frames or more."

    def _on_differences(self) -> Iterator[str]:
        tolerance = 1e-3 if self.double else 2e-2
        scale = {row["steps"]: row["norm"] for row in self.rows}
        for row in self.differences:
            allowed = 5 * row["uncertainty"] + tolerance * max(abs(row["difference"]), 0.01 * scale[row["steps"]])
            if abs(row["adjoint"] - row["difference"]) > allowed:
                yield (f"differences: d loss/d {row['parameter']} over {row['steps']} steps is {row['adjoint']:.4g} by "
                       f"the adjoint and {row['difference']:.4g} +- {row['uncertainty']:.1g} by differences of the "
                       "simulation. Forces that jump, or a parameter that acts elsewhere, make them differ.")

    def _on_static(self) -> Iterator[str]:
        for row in self.static:
            apart = abs(row["difference"]) / max(row["stderr difference"], 1e-300)
            if apart > 4:
                yield (f"static: d<loss>/d {row['parameter']} by weights alone and by weights and path over "
                       f"{row['steps']} steps differ by {apart:.1f} standard errors. The frames are not at "
                       "equilibrium, the loss is not static, or the path gradient is wrong.")

    def _on_forces(self) -> Iterator[str]:
        if self.spread >= SPREAD[self.double]:
            yield (f"forces: the product of the force's Jacobian changes by {self.spread:.1g} with the displacement of "
                   f"its difference (smooth forces: below {SPREAD[self.double]:g})."
                   + ("" if self.force_settings else " Take platform='Reference', or another displacement=."))
        yield from (f"forces: {text}" for text in self.force_settings)

    def __str__(self) -> str:
        return "\n\n".join("\n".join(part) for part in (
            self._lengths(), *self._parameters(), self._differences(), self._static(), self._rest()) if part)

    def _lengths(self) -> Iterable[str]:
        header = ["steps", "ps", "mean loss", "|gradient|", "error", "relative", "|dx(t)/dx(0)|", "note"]
        cells = [[str(row["steps"]), f"{row['ps']:.4g}", f"{row['loss']:.5g}", f"{row['norm']:.4g}",
                  f"{row['stderr']:.1g}", f"{row['relative_error']:.2f}", f"{row['growth']:.3g}", row["note"]]
                 for row in self.rows]
        window = "none" if self.suggested_window is None else f"{self.suggested_window} steps"
        yield f"Path gradient of the loss, {self.n_windows} windows, per natural change of the parameters"
        yield from _table(header, cells)
        yield (f"suggested window: {window} (the longest with a relative error up to {self.max_relative_error:g} and "
               f"|dx(t)/dx(0)| up to {self.max_growth:g}); growth rate {self.growth_rate:.3g} /ps")

    def _parameters(self) -> Iterator[list[str]]:
        blocks, used = [[]], 0
        for name in self.parameters:
            width = max(len(name) + 11, 24)
            if blocks[-1] and used + width > WIDTH:
                blocks, used = [*blocks, []], 0
            blocks[-1].append(name)
            used += width
        for names in blocks:
            yield _table(["steps", *(f"d loss/d {name}" for name in names)], [
                [str(row["steps"]), *(_with_error(row, f"d/d {name}") for name in names)] for row in self.rows])

    def _differences(self) -> list[str]:
        return self.differences and ["First window: adjoint against differences of the whole simulation", *_table(
            ["parameter", "steps", "adjoint", "differences", "uncertainty", "apart"],
            [[row["parameter"], str(row["steps"]), f"{row['adjoint']:.6g}", f"{row['difference']:.6g}",
              f"{row['uncertainty']:.1g}", f"{abs(row['adjoint'] - row['difference']):.1g}"]
             for row in self.differences])]

    def _static(self) -> list[str]:
        return self.static and ["d<loss>/d parameter: weights alone against weights and path", *_table(
            ["parameter", "steps", "weights alone", "weights and path", "difference"],
            [[row["parameter"], str(row["steps"]), *(_with_error(row, label)
                                                     for label in ("weights", "both", "difference"))]
             for row in self.static])]

    def _rest(self) -> Iterator[str]:
        cost = self.cost
        yield f"spread of (dF/dx) a over its difference step: {self.spread:.1g}"
        every = cost["checkpoint_every"]
        kept = "all steps kept" if every is None else f"a checkpoint every {every} steps"
        memory = "" if cost["bytes"] is None else f"; {cost['bytes'] / 2**20:.3g} MiB a window, {kept}"
        yield (f"one window of {cost['n_steps']} steps: {cost['forward']:.2g} s forward, {cost['reverse']:.2g} s "
               f"reverse{memory}")
        yield from (f"* {message}" for message in self.messages)

    def plot(self, axes: Any = None) -> Any:
        """The gradient's norm with its error, and |dx(t)/dx(0)| (right), over the length of the windows.

        Parameters
        ----------
        axes
            matplotlib Axes to draw on; None makes a figure, which ``axes.figure.savefig`` writes.

        Returns
        -------
        matplotlib.axes.Axes
        """
        if axes is None:
            from matplotlib.figure import Figure

            axes = Figure(figsize=(5.6, 3.6), layout="constrained").subplots()
        ps, norm, stderr, growth = (np.array([row[name] for row in self.rows], dtype=float)
                                    for name in ("ps", "norm", "stderr", "growth"))
        right = axes.twinx()
        axes.errorbar(ps, norm, np.where(np.isfinite(stderr), stderr, 0.0), marker="o", capsize=2, color="black")
        right.plot(ps, growth, color="tab:red", linestyle="--")
        for each, values in ((axes, norm), (right, growth)):
            if (values[np.isfinite(values)] > 0).any():
                each.set_yscale("log", nonpositive="mask")
        axes.set_xscale("log")
        if self.suggested_window is not None:
            axes.axvline(next(row["ps"] for row in self.rows if row["steps"] == self.suggested_window), color="0.7")
        axes.set_xlabel("length of the window (ps)")
        axes.set_ylabel("|gradient| of the loss")
        right.set_ylabel("|dx(t)/dx(0)|", color="tab:red")
        return axes


def _steps(rows: list[dict[str, Any]]) -> str:
    return ", ".join(str(row["steps"]) for row in rows)


def _with_error(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.4g} +- {row[f'stderr {name}']:.1g}"


def _table(header: list[str], cells: list[list[str]]) -> list[str]:
    """Lines with aligned columns: the first column of words to the left, others to the right."""
    widths = [max(len(row[k]) for row in [header, *cells]) for k in range(len(header))]
    return ["  ".join(cell.ljust(width) if header[k] in ("parameter", "note") else cell.rjust(width)
                      for k, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
            for row in [header, *cells]]
