# SPDX-License-Identifier: MIT
"""Spectra of paths: infrared absorption and the vibrational density of states."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..dipole import OnlyDipole, PointCharges, TorchDipole
from ..errors import require
from ..path import Path
from ..spectral import (
    CORRECTIONS,
    EPSILON_0,
    SPEED,
    WINDOWS,
    angular,
    harmonic_factor,
    resolution,
    shifted,
    transform,
)
from ..units import KB, plain
from .base import Observable
from .velocity import vacf
from .windows import Lags, array_of, shares


class Spectrum(Lags, Observable):
    """What spectra share: wavenumbers, window, resolution, and where leapfrog shows a frequency."""

    axis = "wavenumber (1/cm)"
    lags_are_grid = False
    _timestep: float | None = None

    def _set_spectrum(self, wavenumbers: Any, max_lag: float, window: str, origins: str) -> None:
        who = type(self).__name__
        require(window in WINDOWS, who, f"unknown window {window!r}; expected {', '.join(WINDOWS)}",
                "Choose one of those")
        self._set_lags(max_lag, origins, None)
        require(max_lag is not None and self.max_lag > 0, who, f"max_lag must be positive, found {max_lag} ps",
                "Give the longest lag in ps: it sets the resolution")
        grid = np.arange(0.0, 4001.0, 10.0) if wavenumbers is None else np.array(wavenumbers, dtype=float).reshape(-1)
        require(len(grid) > 0 and bool(np.isfinite(grid).all()) and bool((grid >= 0).all()), who,
                "wavenumbers must be finite and not negative", "Give them in 1/cm")
        self.window, self.grid = window, grid

    @property
    def resolution(self) -> float:
        """Full width at half maximum that a sharp line has, 1/cm."""
        return resolution(self.window, self.max_lag)

    def plot(self, estimate: Any, reference: Any = None, axes: Any = None) -> Any:
        """As `Observable.plot`; the title states window, resolution and the timestep of the last path seen."""
        axes = super().plot(estimate, reference, axes)
        steps = "" if self._timestep is None else f", steps of {1000 * self._timestep:g} fs"
        axes.set_title(f"{self.window} window, resolution {self.resolution:.0f} 1/cm{steps}", fontsize="small")
        return axes

    def _transform(self, path: Path, correlation: Tensor) -> Tensor:
        """S(w) [S, B] of correlation functions [S, L], at the wavenumbers of the grid; unit of C times ps."""
        self._timestep = path.timestep
        who, omega = type(self).__name__, shifted(angular(self.grid), path.timestep, type(self).__name__)
        require(omega.max() * path.interval < np.pi, who,
                f"times {path.interval:g} ps apart show no wavenumbers above "
                f"{1 / (2 * SPEED * path.interval):.0f} 1/cm, and the grid ends at {self.grid.max():g}",
                "Store more times (a smaller stride), or end the wavenumbers earlier")
        matrix = transform(correlation.shape[1], path.interval, omega, self.window)
        if not path.half_step:  # means of two half-step velocities, smaller by this cosine
            matrix /= np.cos(0.5 * omega * path.timestep) ** 2
        return correlation @ torch.as_tensor(matrix)


class IRSpectrum(Spectrum):
    r"""Infrared absorption of every window of a `Path`, n(w) alpha(w) in 1/cm (naperian).

    .. math:: n(\omega)\,\alpha(\omega) = \frac{\beta}{6\, c\, \epsilon_0 V}
        \int_{-\infty}^{\infty} \langle \mathbf J(0) \cdot \mathbf J(t) \rangle\, e^{-i\omega t}\, dt
        \;\times\; \frac{Q(\omega)}{Q_\text{harmonic}(\omega)}

    with J the flux of charge, the time derivative of the dipole. It is linear in the correlation function: a weighted
    average over windows is the spectrum of the averaged function.

    Parameters
    ----------
    dipole
        A `PointCharges` or `TorchDipole`. None takes ``path.observed`` as the flux.
    wavenumbers
        [B], 1/cm; default 0 to 4000 in steps of 10.
    max_lag
        Longest lag of the correlation function, ps: sets the resolution.
    window
        "hann", "blackman", "gaussian" (a standard deviation of max_lag/3) or "none", over the lags.
    correction
        Quantum correction of the classical line shape: "harmonic" (the formula above as it is, also the classical
        limit of the absorption coefficient), "classical" (the classical correlation function of M in place of the
        quantum one), "schofield" or "standard".
    origins
        "all" or "first" times of each window, as in `VACF`. Windows of constant energy that start from weighted
        equilibrium frames stay in equilibrium, so that all their times count.
    route
        "flux": of velocities, half a step behind the positions where the path says so. "dipole": differences of M
        from one time to the next, corrected for their length. For point charges and ``stride=1`` both are one series.
        Default: "flux" for point charges, "dipole" for a `TorchDipole`.
    temperature, volume
        K and nm^3, where the path does not have them.

    Attributes
    ----------
    grid
        Wavenumbers, [B], 1/cm.
    observe
        For `propagate`, ``observe=ir.observe``: keep only what this spectrum needs of every time, [S, T, 3].

    Raises
    ------
    ValueError
        If windows are shorter than max_lag, the timestep or stride cannot show the wavenumbers, or box, temperature
        or velocities are missing.

    Notes
    -----
    Leapfrog shows a mode of frequency w at (2/dt) arcsin(w dt/2): the grid is that of w, and the shift (16 1/cm at
    3500 1/cm and 0.5 fs) is taken out. What it does to the intensity, (1 + 1/cos^2)/2 with cos that of w_d dt/2, and
    to the width of a band cancels up to the fourth power of w dt, for frames that are canonical (x, v at one time).
    (w dt)^2/8 is left (1.4 % at 3500 1/cm and 0.5 fs): too much for ``origins="first"``, and too little for frames
    that an `Ensemble` made in steps as long as the path's; shorter ones, by half, leave a quarter of that.

    The area obeys the classical f-sum rule, whatever the interactions:
    int n alpha dnu = sum_i q_i^2/m_i / (4 c^2 eps0 V), with the charges of virtual sites on their parents.

    References
    ----------
    [1] R. Ramirez, T. Lopez-Ciudad, P. Kumar, D. Marx, J. Chem. Phys. 121, 3973 (2004), eqs. (8)-(14): corrections.
    [2] B. Han, K. Yu, Nat. Commun. 16 (2025), arXiv 2406.18269: the spectrum and its gradient.

    Examples
    --------
    Charges of one e that oscillate at 1000 1/cm:

    >>> t = 0.001 * torch.arange(4000, dtype=torch.float64)
    >>> v = torch.cos(shifted(angular(1000.0), 0.001).item() * t)[None, :, None, None] * torch.ones(1, 3)
    >>> path = Path(None, v, times=t.numpy(), timestep=0.001, masses=[1.0], boxes=np.eye(3), temperature=300.0)
    >>> ir = IRSpectrum(PointCharges([1.0]), max_lag=1.0)
    >>> ir.grid[ir(path)[0].argmax()], round(ir.resolution, 1)
    (np.float64(1000.0), 33.4)
    """

    unit = "1/cm"
    name = "n alpha"

    def __init__(self, dipole: PointCharges | TorchDipole | None = None, wavenumbers: Any = None,
                 max_lag: float = 0.5, window: str = "hann", correction: str = "harmonic", origins: str = "all",
                 route: str | None = None, temperature: float | None = None, volume: float | None = None) -> None:
        who = "IRSpectrum"
        require(dipole is None or isinstance(dipole, PointCharges | TorchDipole), who,
                f"expected PointCharges or a TorchDipole, found {type(dipole).__name__}",
                "Pass PointCharges.of(model), or TorchDipole(function)", TypeError)
        require(correction in CORRECTIONS, who,
                f"unknown correction {correction!r}; expected {', '.join(CORRECTIONS)}", "Choose one of those")
        route = route or ("dipole" if isinstance(dipole, TorchDipole) else "flux")
        require(route in ("flux", "dipole"), who, f"route must be 'flux' or 'dipole', found {route!r}",
                "Choose one of those")
        self._set_spectrum(wavenumbers, max_lag, window, origins)
        self.dipole, self.correction, self.route = dipole, correction, route
        self.temperature = None if temperature is None else float(plain(temperature, "K"))
        self.volume = None if volume is None else float(plain(volume, "nm^3"))

    @property
    def observe(self) -> nn.Module:
        """(positions, velocities) of a piece of a window -> flux, or dipole by that route, [T, 3]."""
        require(self.dipole is not None, "IRSpectrum", "expected a dipole, found none", "Pass dipole=")
        require(self.route == "dipole" or isinstance(self.dipole, PointCharges), "IRSpectrum.observe",
                "the flux of a TorchDipole needs positions and velocities at one time, and those of propagate are half "
                "a step apart", "Use route='dipole', or propagate without observe=")
        return self.dipole if self.route == "flux" else OnlyDipole(self.dipole)

    def __call__(self, path: Path) -> Tensor:
        """N alpha from every window, [S, B], 1/cm, with graph."""
        path, flux = self._flux(path)
        n = self._lags_of(path)
        correlation = vacf(path, flux[:, :, None], flux.new_ones(1), None, n, self.origins)
        spectrum = self._transform(path, correlation)
        temperature = self._temperature(path)
        factor = harmonic_factor(self.correction, angular(self.grid), temperature)
        if self.route == "dipole":
            factor = factor * _differences(angular(self.grid), path)
        factor = torch.as_tensor(factor / (6 * SPEED * KB * temperature * EPSILON_0))
        return spectrum * factor / torch.as_tensor(self._volumes(path))[:, None]

    def seen(self, wavenumber: Any, values: Any, temperature: float | None = None) -> np.ndarray:
        """A spectrum of perfect resolution as this observable shows it, [B].

        Parameters
        ----------
        wavenumber
            [R], 1/cm, increasing, from near 0 to beyond the grid by some resolutions.
        values
            n alpha, [R], 1/cm.
        temperature
            K, for corrections other than "harmonic"; default this observable's.
        """
        nu, values = np.asarray(wavenumber, dtype=float), np.asarray(values, dtype=float)
        require(nu.ndim == 1 and nu.shape == values.shape and len(nu) > 1 and bool((np.diff(nu) > 0).all())
                and bool(np.isfinite(values).all()), "IRSpectrum.seen",
                f"expected finite values at increasing wavenumbers, found shapes {list(values.shape)} and "
                f"{list(nu.shape)}", "Give one value at each wavenumber, in increasing order")
        if self.correction != "harmonic":
            temperature = temperature or self.temperature
            require(temperature is not None, "IRSpectrum.seen", "expected a temperature, found none", "Pass it, in K")
            values = values / harmonic_factor(self.correction, angular(nu), temperature)
        n = int(np.ceil(self.max_lag * 4 * SPEED * max(nu[-1], self.grid.max()))) + 200
        t = np.linspace(0, self.max_lag, n)
        correlation = 2 * SPEED * np.trapezoid(values * np.cos(np.outer(t, angular(nu))), nu, axis=1)
        result = correlation @ transform(n, t[1], angular(self.grid), self.window)
        if self.correction != "harmonic":
            result = result * harmonic_factor(self.correction, angular(self.grid), temperature)
        return result

    def _flux(self, path: Path) -> tuple[Path, Tensor]:
        """The flux [S, T', 3], and the path with the times that it has."""
        who = "IRSpectrum"
        require(isinstance(path, Path), who, f"expected a Path, found {type(path).__name__}",
                "Pass what propagate returns, or Path.from_frames(frames, timestep)", TypeError)
        if path.observed is not None:
            found = path.observed
            require(found.ndim == 3 and found.shape[-1] == 3, who,
                    f"expected observed fluxes or dipoles [S, T, 3], found {list(found.shape)}",
                    "Propagate with observe=ir.observe")
        elif self.route == "dipole":
            found = self.observe.of.dipole(array_of(path, "positions", who))
        else:
            velocities, positions = array_of(path, "velocities", who), path.positions
            require(self.dipole is not None, who, "expected a dipole, found none", "Pass dipole=")
            if isinstance(self.dipole, TorchDipole):
                positions = array_of(path, "positions", who)
                if path.half_step:
                    positions = positions - 0.5 * path.timestep * velocities
            found = self.dipole.flux(positions, velocities)
        if self.route == "flux":
            return path, found
        require(len(path.times) > 1, who, "expected at least two times, found one", "Use longer windows")
        found = (found[:, 1:] - found[:, :-1]) / path.interval
        return replace(path, positions=None, velocities=None, observed=found, times=path.times[:-1],
                       half_step=True), found

    def _temperature(self, path: Path) -> float:
        found = path.temperature if self.temperature is None else self.temperature
        require(found is not None and found > 0, "IRSpectrum", f"expected a temperature, found {found}",
                "Pass temperature=, K")
        return found

    def _volumes(self, path: Path) -> np.ndarray:
        if self.volume is not None:
            return np.full(len(path), self.volume)
        require(path.boxes is not None, "IRSpectrum", "expected a box, found none",
                "Pass volume=, nm^3: absorption is per volume")
        return np.abs(np.linalg.det(path.boxes))


def _differences(omega: np.ndarray, path: Path) -> np.ndarray:
    """From the power of differences over an interval to that over one timestep, [B]."""
    shown = shifted(omega, path.timestep)
    return (np.sinc(0.5 * shown * path.timestep / np.pi) / np.sinc(0.5 * shown * path.interval / np.pi)) ** 2


class VibrationalDensityOfStates(Spectrum):
    r"""Vibrational density of states of every window of a `Path`, per atom.

    .. math:: D(\nu) = \frac{2 c}{n\, k T} \int_{-\infty}^{\infty} \sum_i m_i
        \langle \mathbf v_i(0) \cdot \mathbf v_i(t) \rangle\, e^{-i\omega t}\, dt, \qquad \omega = 2 \pi c \nu

    over the n selected atoms that have mass: classical, with an area of 3, the degrees of freedom of an atom.

    Parameters
    ----------
    selection
        See `Frames.select`; None is all atoms that have mass.
    wavenumbers, max_lag, window, origins
        As in `IRSpectrum`.
    remove_com
        As in `VACF`.
    temperature
        K, where the path does not have it.

    Raises
    ------
    ValueError
        As `IRSpectrum`; if the selection has no mass.

    Notes
    -----
    At zero wavenumber D = 12 c m D_self/(k T) for atoms of equal mass m. The frequency shift of leapfrog is taken out.

    References
    ----------
    S.-T. Lin, M. Blanco, W. A. Goddard, J. Chem. Phys. 119, 11792 (2003), eqs. (3)-(8).

    Examples
    --------
    >>> t = 0.001 * torch.arange(4000, dtype=torch.float64)
    >>> v = torch.cos(shifted(angular(1000.0), 0.001).item() * t)[None, :, None, None] * torch.ones(2, 3)
    >>> v = v * torch.tensor([1.0, -1.0])[:, None]
    >>> path = Path(None, v, times=t.numpy(), timestep=0.001, masses=[1.0, 1.0], temperature=300.0)
    >>> vdos = VibrationalDensityOfStates(max_lag=1.0)
    >>> vdos.grid[vdos(path)[0].argmax()]
    np.float64(1000.0)
    """

    unit = "cm"
    name = "D(nu)"

    def __init__(self, selection: Any = None, wavenumbers: Any = None, max_lag: float = 0.5, window: str = "hann",
                 origins: str = "all", remove_com: bool = True, temperature: float | None = None) -> None:
        self._set_spectrum(wavenumbers, max_lag, window, origins)
        self.selection, self.remove_com = selection, remove_com
        self.temperature = None if temperature is None else float(plain(temperature, "K"))

    def __call__(self, path: Path) -> Tensor:
        """D(nu) from every window, [S, B], cm, with graph to ``path.velocities``."""
        velocities = array_of(path, "velocities", type(self).__name__)
        temperature = path.temperature if self.temperature is None else self.temperature
        require(temperature is not None and temperature > 0, type(self).__name__,
                f"expected a temperature, found {temperature}", "Pass temperature=, K")
        share = shares(path, self.selection, "mass")
        used = np.flatnonzero(share.numpy())
        correlation = vacf(path, velocities, share, self._mass(path), self._lags_of(path), self.origins)
        scale = 2 * SPEED * path.masses[used].sum() / (len(used) * KB * temperature)
        return scale * self._transform(path, correlation)
