# SPDX-License-Identifier: MIT
"""Gauss-Newton on pair counts with full covariance: a few sampled iterations instead of hundreds of small steps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from ..errors import require
from ..units import KB
from .problem import Problem, n_coordinates
from .quadratic import LocalQuadratic, Step, gram_and_probe
from .statistics import response

FLEXIBLE = 10           # a potential with more parameters than this gets the roughness prior
SAMPLED = 0.01          # distances whose density is at least this part of the largest count as sampled
WORSE = 3.0             # chi^2 per count below which a step is never undone
CURVATURE = (1200.0, 90.0)  # kT/r_p^2: prior scale of u'' inside and outside r_p, the rise of the first peak


@dataclass
class StepReport:
    """What one step of a method did: the largest change (see `fit`: tolerance), figures to log, errors by label."""

    change: float
    figures: dict[str, float]
    errors: dict[str, float] = field(default_factory=dict)


class GaussNewton:
    r"""One Gauss-Newton step in the spline's own pair counts, and in global parameters.

    .. math:: \min_\theta\; \tfrac12 (\delta + J \Delta y)^T C^{-1} (\delta + J \Delta y)
              + \tfrac{\lambda}{2} \sum_k \left(\frac{h^2 u''(r_k)}{s_k}\right)^2
              + \tfrac12 \sum_g \left(\frac{\Delta p_g}{\text{scale}_g}\right)^2,
              \qquad |\Delta u|, |\Delta p| \le \text{max\_step}

    with y the spline coefficients and the global parameters. delta is the difference of the counts (of other
    observables: of the averages), J = -beta Cov(Phi) or -beta Cov(O, dU/dy), C = Cov(Phi)(1/S_eff + 1/S_target) plus
    the target's own errors. The prior is on u itself, and on the step of a parameter in units of its scale. lambda is 1
    until the step is unbounded, then the largest value that still explains the data (discrepancy principle).

    Parameters
    ----------
    max_step
        Largest change in one step: of u at sampled distances, kT; of a global parameter, as a part of its scale; of the
        energy of the Forces that have it, kT per particle (standard deviation over frames over the root of N). Where a
        step has made chi^2 worse than twice what it was, the parameters and the Ensembles go back to where they were
        and the bound becomes a third.
    smoothness
        lambda; "auto" chooses it, a number fixes it.
    max_steps_per_sample
        Steps on the same frames, as long as they represent the new potential (n_eff).

    References
    ----------
    [1] A. P. Lyubartsev, A. Laaksonen, Phys. Rev. E 52, 3730 (1995): inverse Monte Carlo, eq. (5).
    [2] V. A. Morozov, Soviet Math. Dokl. 7, 414 (1966): the discrepancy principle.
    """

    name = "gauss-newton"

    def __init__(self, max_step: float = 0.6, smoothness: float | str = "auto", max_steps_per_sample: int = 3) -> None:
        require(max_step > 0, "GaussNewton", f"max_step must be positive, found {max_step} kT", "Give kT, such as 0.6")
        self.max_step, self.smoothness = max_step, smoothness
        self.max_steps_per_sample = max_steps_per_sample
        self.used_smoothness = 1.0 if smoothness == "auto" else float(smoothness)
        self._radius, self._best = float(max_step), None

    def check(self, problem: Problem) -> None:
        """Refuse what has no linear response here: parameters of torch energies. Paths are run once a sample."""
        remedy = "Use a torch optimiser: method=torch.optim.Adam, lr=..."
        require(not problem.learns_torch_energies, "fit", "method 'gauss-newton' would leave the parameters of torch "
                "energies (add_energy) as they are", f"{remedy}, or freeze them with requires_grad_(False)")
        if problem.windows:
            self.max_steps_per_sample = 1

    def step(self, problem: Problem, samples: dict) -> StepReport:
        """Move the Problem's parameters once; samples: {Ensemble: Sample}."""
        parts, responses = local_quadratics(problem, samples)
        chi2, rank = counts_chi2(responses, None)
        chi2 /= max(rank, 1)
        if self._best is not None and chi2 > max(2 * self._best[0], WORSE):
            return self._go_back(problem, chi2)
        if self._best is None or chi2 < self._best[0]:
            self._best = (chi2, problem.theta, [e.state() for e in problem.ensembles])
        step = Step(problem, parts)
        smoothness = 1.0 if self.smoothness == "auto" else float(self.smoothness)
        mu = self._bound(step, smoothness)
        if mu == 0 and self.smoothness == "auto":
            smoothness = _discrepancy(step, responses)
            mu = self._bound(step, smoothness)  # less smoothing lets a step grow
        theta = step.solve(smoothness, mu)
        change = step.largest_change(step.moved(theta))
        problem.theta = theta
        self.used_smoothness = smoothness
        errors = parameter_errors(problem, parts, step.posterior(1.0)) if problem.scalars else {}
        return StepReport(change, {"smoothness": smoothness, "bounded": float(mu > 0), "counts_chi2": chi2}, errors)

    def _go_back(self, problem: Problem, chi2: float) -> StepReport:
        """Undo what made chi^2 worse, and bound the next steps more tightly."""
        _, theta, states = self._best
        problem.theta = theta
        for ensemble, state in zip(problem.ensembles, states, strict=True):
            counters = ensemble.state()["counters"]
            ensemble.restore({**state, "counters": counters})
        self._radius /= 3
        self._best = None
        return StepReport(self._radius, {"smoothness": self.used_smoothness, "bounded": 1.0, "counts_chi2": chi2,
                                         "went_back": 1.0})

    def _bound(self, step: Step, smoothness: float) -> float:
        """The smallest mu that keeps the predicted change within max_step, by bisection of its logarithm."""
        if step.largest_change(step.predict(smoothness, 0.0)) <= self._radius:
            return 0.0
        low, high = -4.0, 12.0
        for _ in range(16):
            middle = 0.5 * (low + high)
            fits = step.largest_change(step.predict(smoothness, 10**middle)) <= self._radius
            low, high = (low, middle) if fits else (middle, high)
        return 10**high

    def state(self) -> dict:
        """The last lambda, the bound, and the best parameters so far with their Ensembles."""
        saved = {"smoothness": np.array(self.used_smoothness), "radius": np.array(self._radius)}
        if self._best is not None:
            saved |= {"chi2": np.array(self._best[0]), "theta": self._best[1].numpy()}
            for k, state in enumerate(self._best[2]):
                saved |= {f"best{k}/{name}": value for name, value in state.items()}
        return saved

    def restore(self, saved) -> None:
        """Continue from `state`."""
        self.used_smoothness, self._radius = float(saved["smoothness"]), float(saved["radius"])
        if "theta" in saved:
            states: dict[int, dict] = {}
            for name, value in saved.items():
                if name.startswith("best"):
                    k, key = name[4:].split("/")
                    states.setdefault(int(k), {})[key] = value
            self._best = (float(saved["chi2"]), torch.as_tensor(saved["theta"]), [states[k] for k in sorted(states)])


def counts_chi2(responses: list, changes: list | None) -> tuple[float, int]:
    """chi^2 and number of independent counts, after changes of the coefficients (None: before)."""
    chi2, rank = 0.0, 0
    for k, (_, r) in enumerate(responses):
        inverse, n = r.inverse_covariance
        residual = r.residual if changes is None else r.residual + r.jacobian @ changes[k]
        chi2, rank = chi2 + float(residual @ inverse @ residual), rank + n
    return chi2, rank


def _discrepancy(step: Step, responses: list) -> float:
    """The largest lambda in [0.1, 10] whose residual counts stay within their noise; 0.1 where none does."""
    _, rank = counts_chi2(responses, None)
    for exponent in np.linspace(1.0, -1.0, 9):
        predicted = {id(p): d.numpy() for p, d in zip(step.parts, step.predict(10**exponent, 0.0), strict=True)}
        if counts_chi2(responses, [predicted[id(part)] for part, _ in responses])[0] <= rank:
            break
    return float(10**exponent)


def local_quadratics(problem: Problem, samples: dict) -> tuple[list[LocalQuadratic], list]:
    """The quadratic model of every Ensemble, and (part, Response) of every target."""
    parts, responses = [], []
    for ensemble in problem.ensembles:
        sample = samples[ensemble]
        frames, w = sample.frames, sample.weights()
        size = n_coordinates(ensemble.model)
        hessian, gradient = np.zeros((size, size)), np.zeros(size)
        _require_frames(problem, ensemble, len(frames))
        of_paths = problem.path_memory.responses(problem, sample)
        mine = [of_paths[t] if t in of_paths else response(t, sample, w) for t in problem.targets_of(ensemble)]
        for r in mine:
            inverse, _ = r.inverse_covariance
            hessian += r.weight * r.jacobian.T @ inverse @ r.jacobian
            gradient -= r.weight * r.jacobian.T @ inverse @ r.residual
        start, p = problem.coordinates(ensemble), np.asarray(w.w.detach())
        n_sharing = sum(e.model is ensemble.model for e in problem.ensembles)
        sampled, roughness, anchor = _sampled_and_priors(ensemble, start, p @ sample.slopes(), n_sharing)
        gram, probe = gram_and_probe(ensemble, sampled, sample.slopes(), p)
        first = min((float(r[0]) for pairs in sampled.values() for r in pairs), default=np.nan)
        part = LocalQuadratic(ensemble, start, torch.as_tensor(hessian), torch.as_tensor(gradient), roughness, gram,
                              anchor, probe, first)
        parts.append(part)
        responses += [(part, r) for r in mine]
    return parts, responses


def parameter_errors(problem: Problem, parts: list[LocalQuadratic], covariances: list) -> dict[str, float]:
    """{label: standard error} of every learnt global parameter, from covariances [D, D] of the parts' coordinates."""
    variances = {part.ensemble.model: c.diagonal() for part, c in zip(parts, covariances, strict=True)}
    return {s.label: s.scale * float(variances[s.model][s.column].clamp_min(0).sqrt()) for s in problem.scalars}


def _require_frames(problem: Problem, ensemble, n_frames: int) -> None:
    """Refuse to estimate a covariance from fewer frames than it has dimensions, twice over."""
    needed = 2 * min(problem.n_parameters, n_coordinates(ensemble.model))
    require(n_frames >= needed, "fit", f"{n_frames} frames of {ensemble.name!r} cannot tell the covariance of "
            f"{needed // 2} parameters: at least {needed} are needed",
            f"Use Ensemble(n_frames={needed}) or more, or fewer coefficients")


def pair_density(grid, phi: np.ndarray) -> np.ndarray:
    """Mean pair density over 4 pi r^2 at the splines' centres, relative to its largest value, [K]."""
    r = grid.centres.numpy()
    density = np.divide(phi, r**2, out=np.zeros_like(phi), where=r > 0.5 * grid.width)
    return density / max(density.max(), 1e-300)


def _sampled_and_priors(ensemble, y: torch.Tensor, mean: np.ndarray, n_sharing: int):
    """Sampled distances of every type pair, the roughness prior's rows R [rows, D], and the anchor A [D, D].

    y [D] are the coordinates, mean [D] the average dU/dy, n_sharing the Ensembles of the Model.
    """
    model, kT, size = ensemble.model, KB * ensemble.temperature, len(y)
    sampled, rows = {}, [torch.zeros(0, size, dtype=torch.float64)]
    anchor = torch.diag((torch.arange(size) >= model.n_features).double() / n_sharing)  # one prior per parameter
    for t, term in enumerate(model.terms):
        grid = term.potential.grid
        flexible = sum(p.numel() for p in term.potential.parameters()) > FLEXIBLE
        sampled[t] = []
        for p in range(term.shape[0]):
            start = term.columns.start + p * term.shape[1]
            block = slice(start, start + term.shape[1])
            density = pair_density(grid, mean[block])
            first, rise = (float(grid.centres[np.argmax(density >= level)]) for level in (SAMPLED, 0.9))
            sampled[t].append(np.linspace(first, grid.cutoff, 120, endpoint=False))
            if flexible:
                rows.append(_roughness_rows(grid, first, rise, kT, start, size))
                anchor[block, block] = _anchor(grid, y[block], first - grid.width, kT)
    return sampled, torch.cat(rows), anchor


def _anchor(grid, c: torch.Tensor, first: float, kT: float) -> torch.Tensor:
    """A^T A with a row for each distance inside the data: u may move by kT + u/20 there, [K, K]."""
    r = torch.arange(0.0, max(first, 0.0), 0.5 * grid.width, dtype=torch.float64)
    u = grid.evaluate(c, r)
    rows = grid.basis(r) / (kT + 0.05 * u.clamp_min(0))[:, None]
    return rows.T @ rows


def _roughness_rows(grid, first: float, rise: float, kT: float, start: int, size: int) -> torch.Tensor:
    differences = np.asarray(grid.second_differences())
    centres = grid.centres.numpy()[1:-1]
    inside, outside = CURVATURE
    scale = kT * (grid.width / rise) ** 2 * np.where(centres < rise, inside, outside)
    keep = centres >= first - 2 * grid.width
    block = torch.zeros(int(keep.sum()), size, dtype=torch.float64)
    block[:, start:start + differences.shape[1]] = torch.as_tensor((differences / scale[:, None])[keep])
    return block
