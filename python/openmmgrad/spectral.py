# SPDX-License-Identifier: MIT
"""From correlation functions to spectra: windows, the frequency shift of leapfrog, quantum corrections."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from .errors import require
from .units import KB

SPEED = 0.0299792458  # of light, cm/ps
HBAR = 0.0635077993  # kJ/mol ps
EPSILON_0 = 1 / (4 * math.pi * 138.93545764)  # e^2/(kJ/mol nm)

#: Factors on the correlation function at lag t, from 1 at 0; x is t/max_lag.
WINDOWS = {
    "hann": lambda x: np.cos(0.5 * np.pi * x) ** 2,
    "blackman": lambda x: 0.42 + 0.5 * np.cos(np.pi * x) + 0.08 * np.cos(2 * np.pi * x),
    "gaussian": lambda x: np.exp(-4.5 * x**2),
    "none": np.ones_like,
}


def angular(wavenumbers: np.ndarray) -> np.ndarray:
    """rad/ps of 1/cm.

    Examples
    --------
    >>> round(float(angular(1000.0)), 4)
    188.3652
    """
    return 2 * math.pi * SPEED * np.asarray(wavenumbers, dtype=float)


def shifted(omega: np.ndarray, timestep: float, who: str = "spectral") -> np.ndarray:
    r"""Where a leapfrog trajectory shows a harmonic mode of angular frequency omega, rad/ps.

    .. math:: \omega_d = \frac{2}{\Delta t} \arcsin \frac{\omega \Delta t}{2}

    Examples
    --------
    3500 1/cm in steps of 0.5 fs is shown 16 1/cm too high:

    >>> float((shifted(angular(3500.0), 0.0005) / angular(1.0)).round(1))
    3516.0
    """
    x = 0.5 * timestep * np.asarray(omega)
    require(bool((np.abs(x) < 1).all()), who,
            f"a timestep of {timestep:g} ps follows no mode above {2 / timestep / angular(1.0):.0f} 1/cm",
            "Use a shorter timestep, or end the wavenumbers earlier")
    return 2 / timestep * np.arcsin(x)


def transform(n_lags: int, interval: float, omega: np.ndarray, window: str) -> np.ndarray:
    r"""The matrix [L, B] of S(w) = int C(t) exp(-iwt) dt over both signs of t, for even C at lags 0 .. L-1.

    By the trapezoidal rule, with the window over the longest lag.
    """
    t = interval * np.arange(n_lags)
    factors = 2 * interval * WINDOWS[window](t / max(t[-1], interval))
    factors[0] /= 2
    if window == "none":
        factors[-1] /= 2
    return factors[:, None] * np.cos(np.outer(t, omega))


@lru_cache(maxsize=64)
def resolution(window: str, max_lag: float) -> float:
    """Full width at half maximum that a sharp line has in a spectrum, 1/cm."""
    t = np.linspace(0, max_lag, 4001)
    nu = np.linspace(0, 4 / (SPEED * max_lag), 2001)
    line = WINDOWS[window](t / max_lag) @ np.cos(np.outer(t, angular(nu)))
    below = int(np.argmax(line < 0.5 * line[0]))
    part = (line[below - 1] - 0.5 * line[0]) / (line[below - 1] - line[below])
    return float(2 * (nu[below - 1] + part * (nu[1] - nu[0])))


def harmonic_factor(name: str, omega: np.ndarray, temperature: float) -> np.ndarray:
    r"""What a quantum correction makes of a spectrum with the harmonic one, [B].

    .. math:: n\alpha \propto \omega\,(1 - e^{-x})\, Q(x) \int \langle M(0) M(t) \rangle e^{-i\omega t} dt,
        \qquad x = \beta\hbar\omega

    with Q = x/(1 - exp(-x)) (harmonic), 1 (classical), exp(x/2) (Schofield), 2/(1 + exp(-x)) (standard).
    """
    x = np.maximum(HBAR * np.abs(omega) / (KB * temperature), 1e-12)
    detailed = -np.expm1(-x) / x
    return {"harmonic": np.ones_like(x), "classical": detailed, "schofield": detailed * np.exp(0.5 * x),
            "standard": detailed * 2 / (1 + np.exp(-x))}[name]


CORRECTIONS = ("harmonic", "classical", "schofield", "standard")
