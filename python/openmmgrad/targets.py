# SPDX-License-Identifier: MIT
"""Target: what an Ensemble should show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from .counts import spline_counts_matrix
from .errors import require
from .estimate import expectation
from .observables import RDF, AngleDistribution
from .observables.pairs import n_pairs, widths
from .observables.windows import Lags, n_lags
from .path import Path as WindowPath
from .table_values import check_g, of_spectrum, on_angles, on_bins, on_points
from .tables import read_table
from .units import plain
from .weights import Weights

#: What ``propagate=`` of a Target takes: how many frames start windows, and options of `Propagator`.
WINDOWS = ("n_windows", "n_differentiated", "confirm_steps", "weight_term", "timestep", "n_steps", "stride",
           "two_sided", "integrator", "observe", "platform", "threads", "workers", "max_reverse_steps",
           "checkpoint_every", "memory", "displacement", "seed")

class Target:
    """Values that an observable of an Ensemble should have, with their standard errors.

    Parameters
    ----------
    observable
        Any observable: `RDF`, `StructureFactor`, `Pressure`, ...; with ``propagate``, of paths: `VACF`, `MSD`,
        `SelfDiffusion`, smeared `RDF`, ...
    ensemble
        The Ensemble whose frames are compared; of it only ``model``, ``temperature``, ``box`` [3, 3] (nm) and
        ``name`` are used.
    values
        [B] at ``observable.grid``, in the observable's unit. For an RDF: averages over its bins.
    sigma
        Standard errors [B] or one number; None counts as exact.
    name
        Default "<observable> <ensemble>"; names the curve in histories and figures.
    weight
        Of this target's chi^2 among several.
    propagate
        For observables of paths: {option: value} of how `fit` runs windows, such as ``dict(timestep=0.002,
        n_steps=200, n_windows=50)``. n_windows frames of the latest segment start one each, evenly spaced (default:
        all of them). n_differentiated of these are run again by "gauss-newton" for the paths' part of its Jacobian
        (default: all; the weights' part, which is noisier, has all in any case). confirm_steps is the length of the
        windows of the last sample, which no step has seen (default: n_steps): short windows in the fit, long ones to
        confirm it. weight_term=False leaves out of the gradient that other parameters make other frames likely, to
        see what that does. Other options are those of `Propagator`, whose platform and threads are the Ensemble's
        unless given. Several targets of an Ensemble with equal options share their windows. With one thread and
        ``workers=1`` equal runs are equal bit by bit.

    Raises
    ------
    ValueError, TypeError
        If shapes differ from the grid's, a value is not finite, an RDF is negative or longer than half the box; if an
        observable of paths comes without ``propagate``, or its windows are too short or have unknown options.

    Examples
    --------
    >>> import openmm, openmmgrad as og
    >>> system = openmm.System()
    >>> _ = system.addParticle(40.0)
    >>> ensemble = og.Ensemble(og.Model(system), np.zeros((1, 3)), temperature=300.0)
    >>> vacf = og.VACF(max_lag=0.2)
    >>> target = Target(vacf, ensemble, np.exp(-np.arange(6)), propagate=dict(timestep=0.004, n_steps=60, stride=10))
    >>> target.name, vacf.grid
    ('C(t) 300 K', array([0.  , 0.04, 0.08, 0.12, 0.16, 0.2 ]))
    """

    def __init__(self, observable, ensemble, values, sigma=None, name: str | None = None, weight: float = 1.0, *,
                 propagate: Mapping | None = None) -> None:
        self.propagate = read_windows(propagate, observable)
        self.observable, self.ensemble = observable, ensemble
        self.name = name or f"{observable.name} {ensemble.name}"
        self.weight = float(weight)
        self.values = _vector(values)
        self.sigma = None if sigma is None else _vector(sigma)
        self._features: np.ndarray | None = None
        if self.sigma is not None and self.sigma.shape == (1,):
            self.sigma = np.repeat(self.sigma, len(self.values))
        self._validate()

    def _validate(self) -> None:
        who, n_bins = "Target", len(np.atleast_1d(self.observable.grid))
        require(self.values.shape == (n_bins,), who,
                f"{self.observable.name} has {n_bins} bins, found {len(self.values)} values",
                "Give the values at observable.grid, or read a table with Target.from_file")
        bad = np.flatnonzero(~np.isfinite(self.values))
        require(len(bad) == 0, who, f"values must be finite, found {self.values[bad[:1]]} in bin {bad[:1]}",
                "Remove NaN from the data, or end the observable's grid before them")
        if self.sigma is not None:
            require(self.sigma.shape == (n_bins,), who, f"expected {n_bins} standard errors, found {len(self.sigma)}",
                    "Give one per value, or a single number")
            require(bool((np.isfinite(self.sigma) & (self.sigma >= 0)).all()), who,
                    "standard errors must be finite and not negative", "Use sigma=None where they are unknown")
        require(np.isfinite(self.weight) and self.weight > 0, who, f"weight must be positive, found {self.weight}",
                "Leave out a target that should not count")
        temperature = self.ensemble.temperature
        require(np.isfinite(temperature) and temperature > 0, who,
                f"the temperature must be positive, found {temperature} K", "Give the Ensemble's temperature in K")
        if isinstance(self.observable, RDF):
            check_g(self.values, np.asarray(self.observable.grid), who)
            if self.ensemble.model.periodic:
                _check_half_box(self.observable.r_max, np.asarray(self.ensemble.box), who)

    @classmethod
    def from_frames(cls, frames, observable, ensemble, name: str | None = None, weight: float = 1.0) -> Target:
        """The average over frames of another simulation, with its standard errors.

        Where the frames carry the features of the Ensemble's Model (sampled by an Ensemble with the same grid of
        coefficients, or by `compute_features`), fits match the counts of these frames themselves.

        Parameters
        ----------
        frames
            S `Frames` of one state, at the Ensemble's temperature.

        Raises
        ------
        ValueError
            If the frames come from several states or another temperature, or the observable is of paths: average it
            over `Path.from_frames`, and give `Target` the values and errors.
        """
        who = "Target.from_frames"
        require(not isinstance(observable, Lags), who, f"{observable.name} is an observable of paths, and frames have "
                "no times", "Average it over Path.from_frames(frames, timestep) and make Target(values=, propagate=)")
        require(len(frames.states) == 1, who, f"expected frames of one state, found {len(frames.states)} states",
                "Use the frames of one set of parameters")
        require(abs(frames.temperature / ensemble.temperature - 1) < 1e-6, who,
                f"the frames have {frames.temperature:g} K and the Ensemble {ensemble.temperature:g} K",
                "Pair frames with an Ensemble of their temperature")
        w = Weights.uniform(len(frames))
        estimate = expectation(frames.observed(observable), w, observable=observable)
        target = cls(observable, ensemble, estimate.mean_values, estimate.stderr, name, weight)
        if _has_features_of(frames, ensemble):
            target._features = frames.features
        return target

    @classmethod
    def from_file(cls, path: str | Path, observable, ensemble, r_unit: str | None = None, q_unit: str | None = None,
                  column: str | int | None = None, sigma=None,
                  sigma_column: str | int | None = None, name: str | None = None, weight: float = 1.0, *,
                  angle_unit: str | None = None, spectrum: Mapping | None = None, rows: Mapping | None = None,
                  sort: bool = False, core: float | None = None, binned: bool | None = None,
                  propagate: Mapping | None = None) -> Target:
        """A table made by others, brought to the observable's grid.

        An RDF becomes averages over the observable's bins (see `integrate_rdf`), exact where the table's own bins
        divide them; so does the density of an AngleDistribution. A measured spectrum is converted by `read_spectrum`
        and becomes what an IRSpectrum would show of it (``observable.seen``: its resolution). Anything else is
        interpolated at the grid's points, without overshoot.

        Parameters
        ----------
        path
            CSV, XVG or columns: see `read_table`, also for ``column``, ``sigma_column``, ``rows`` and ``sort``.
        r_unit, q_unit
            "nm" or "angstrom"; "1/nm" or "1/angstrom". None: the column's name tells (``r_nm``, ``r (A)``, ``Q_invA``).
            Lennard-Jones tables in units of sigma: name nm, and use sigma = 1 nm.
        angle_unit
            "degree" or "radian"; None: the column's name tells (``theta_rad``).
        spectrum
            Of an IRSpectrum: {option: value} of `read_spectrum`, ``dict(quantity="nk")`` or ``dict(quantity="alpha",
            x_unit="THz", refractive_index=1.33)``.
        sigma
            Standard errors in place of a column of them: one number, [B] at the grid, or a function of the values
            [B], such as ``lambda values: 0.05 * values + 1.0``.
        core
            nm; g counts as 0 below it: removes the ripples that Fourier inversion leaves inside the core.
        binned
            Whether g are averages over bins (a histogram) or values at points. None: evenly spaced rows are bins. For
            a table as coarse as the structure it matters: points read as bins change g by h^2 g''/24.
        propagate
            See `Target`.

        Raises
        ------
        FileNotFoundError, ValueError
            As `read_table`; further if the unit is not known or not plausible, g is negative, or the table does not
            cover the grid.

        Notes
        -----
        Errors of a table that is finer than the bins are averaged like g, as if fully correlated within a bin.
        """
        who = "Target.from_file"
        propagate = read_windows(propagate, observable)
        of_table = dict(column=column, sigma_column=sigma_column, rows=rows, sort=sort)
        require(sigma is None or sigma_column is None, who, "found both sigma= and sigma_column=", "Give one of them")
        require(len(observable.grid) > 1, who, f"{observable.name} is a single value",
                "Make it Target(observable, ensemble, value, sigma)")
        require((spectrum is not None) == hasattr(observable, "seen"), who,
                f"spectrum= goes with an IRSpectrum, found {spectrum!r} for {observable.name}",
                'Pass spectrum=dict(quantity="alpha", ...) of `read_spectrum` with that alone')
        if spectrum is not None:
            temperature = observable.temperature or ensemble.temperature
            values, errors = of_spectrum(path, observable, temperature, {**of_table, **spectrum})
        elif isinstance(observable, RDF):
            values, errors = on_bins(read_table(path, **of_table), observable, r_unit, core, binned)
        elif isinstance(observable, AngleDistribution):
            values, errors = on_angles(read_table(path, **of_table), observable, angle_unit, binned)
        else:
            values, errors = on_points(read_table(path, **of_table), observable, q_unit)
        if errors is None:
            errors = sigma(values) if callable(sigma) else sigma
        return cls(observable, ensemble, values, errors, name, weight, propagate=propagate)

    def spline_counts(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""What the Model's spline basis functions count in the target, and the covariance of these counts.

        .. math:: \Phi^*_k = \frac{N_\text{pairs}}{V} \int 4 \pi r^2 g^*(r)\, B_k(r)\, dr

        with N(N-1)/2 or N_a N_b distinct pairs. Of a target from frames with features it is their average instead.

        Parameters
        ----------
        columns
            [M], columns of the Model's features that belong to one type pair, whose splines end within r_max.

        Returns
        -------
        counts [M], covariance [M, M]
            Dimensionless, for the Ensemble's box.

        Raises
        ------
        ValueError
            If the observable is no RDF normalised by density.
        """
        columns = np.asarray(columns, dtype=int)
        if self._features is not None:
            estimate = expectation(self._features[:, columns], Weights.uniform(len(self._features)))
            return estimate.mean_values, estimate.covariance()
        rdf = self.observable
        require(isinstance(rdf, RDF) and rdf.normalization == "density", "Target.spline_counts",
                f"expected an RDF normalised by density, found {rdf.name}", "Use RDF(normalization='density')")
        model = self.ensemble.model
        density = n_pairs(model.select(rdf.selection_a), model.select(rdf.selection_b)) / _volume(self.ensemble)
        term, _, splines = model.term_of(columns)
        matrix = spline_counts_matrix(rdf.edges, term.potential.grid)[splines] * (density * rdf.shell_volumes)
        covariance = np.zeros((len(columns),) * 2) if self.sigma is None else (matrix * self.sigma**2) @ matrix.T
        return matrix @ self.values, covariance


def read_windows(propagate: Mapping | None, observable) -> dict | None:
    """The checked options of windows (timestep in ps), long enough for an observable's lags, which become its grid."""
    who = "Target"
    if propagate is None:
        require(not isinstance(observable, Lags), who, f"{observable.name} is an observable of paths, and "
                "found no word on how windows are run", "Pass propagate=dict(timestep=..., n_steps=...)")
        return None
    require(isinstance(propagate, Mapping), who, f"propagate must be {{option: value}}, found "
            f"{type(propagate).__name__}", "Pass dict(timestep=..., n_steps=...)", error=TypeError)
    options = dict(propagate)
    unknown = [str(name) for name in options if name not in WINDOWS]
    require(not unknown, who, f"propagate has unknown options {', '.join(unknown)}; expected some of "
            f"{', '.join(WINDOWS)}", "Choose of those")
    require("n_steps" in options and ("timestep" in options or "integrator" in options), who,
            f"propagate needs n_steps, and timestep or integrator, found {', '.join(options) or 'nothing'}",
            "Pass dict(timestep=..., n_steps=...)")
    for name, least in (("n_steps", 1), ("stride", 1), ("n_windows", 2), ("n_differentiated", 2), ("confirm_steps", 1)):
        value = options.get(name, least)
        require(isinstance(value, int | np.integer) and value >= least, who,
                f"{name} of propagate must be a whole number from {least}, found {value!r}", "Give such a number")
    n_steps, stride = int(options["n_steps"]), int(options.get("stride", 1))
    require(stride <= n_steps, who, f"stride of propagate must be up to n_steps = {n_steps}, found {stride}",
            "Take more steps or a shorter stride")
    if "timestep" in options:
        options["timestep"] = float(plain(options["timestep"], "ps"))
    timestep = options["timestep"] if "timestep" in options else float(plain(options["integrator"].getStepSize(), "ps"))
    require(0 < timestep < np.inf, who, f"timestep of propagate must be positive, found {timestep} ps", "Give ps")
    if isinstance(observable, Lags):
        _read_lags(observable, timestep, stride, n_steps // stride, bool(options.get("two_sided", False)))
    return options


def _read_lags(observable: Lags, timestep: float, stride: int, n: int, two_sided: bool) -> None:
    """Refuse windows of n intervals, on each side, that are too short; lags that follow from them become the grid."""
    times = timestep * stride * np.arange(-n if two_sided else 0, n + 1)
    path = WindowPath(np.zeros((1, len(times), 1, 3)), None, times, timestep, stride, masses=[1.0])
    who, longest = type(observable).__name__, "t_max" if hasattr(observable, "t_max") else "max_lag"
    lags = timestep * stride * np.arange(n_lags(path, observable.max_lag, who, longest, observable.origins))
    if longest == "max_lag" and observable.interval is None and observable.lags_are_grid:
        observable.grid = lags
    require(observable.interval is None or abs(timestep * stride / observable.interval - 1) < 1e-6, who,
            f"expected times {observable.interval} ps apart, found {timestep * stride:g} ps",
            "Propagate with timestep * stride = interval")


def _vector(values) -> np.ndarray:
    """Numbers, an array or a tensor as a new float64 array [B]."""
    values = values.detach() if isinstance(values, Tensor) else values
    return np.asarray(values, dtype=float).reshape(-1).copy()


def _has_features_of(frames, ensemble) -> bool:
    """Whether dU/dc of the frames counts the same pairs in the same box as the Ensemble's."""
    model = ensemble.model
    if frames.features is None or frames.n_atoms != model.n_particles or frames.features.shape[1] != model.n_features:
        return False
    constant = frames.boxes is not None and np.ptp(frames.volumes) == 0
    return not constant or bool(np.isclose(frames.volumes[0], _volume(ensemble), rtol=1e-5))


def _volume(ensemble) -> float:
    return float(abs(np.linalg.det(np.asarray(ensemble.box))))


def _check_half_box(r_max: float, box: np.ndarray, who: str) -> None:
    half = widths(box).min() / 2
    require(r_max <= half * (1 + 1e-6), who,
            f"the RDF reaches {r_max:.4g} nm, more than half the smallest width of the box ({half:.4g} nm)",
            "Use a smaller r_max, or more particles")
