# SPDX-License-Identifier: MIT
"""From S(Q) to g(r)."""

from __future__ import annotations

import numpy as np

from .errors import require
from .units import KB


def rdf_from_structure_factor(q, s, number_density: float, r, window: bool = True) -> np.ndarray:
    r"""g(r) of a simple liquid from its structure factor.

    .. math:: g(r) = 1 + \frac{1}{2\pi^2 \rho\, r} \int_0^{Q_{max}} Q\,[S(Q) - 1]\, \sin(Qr)\,
              \frac{\sin(\pi Q/Q_{max})}{\pi Q/Q_{max}}\, dQ

    Good as a start, not as data: the end of the table at Q_max broadens g(r) (with the window) or makes it ripple
    (without), and inside the core it is noise.

    Parameters
    ----------
    q
        [M], 1/nm, increasing.
    s
        [M], S(Q), tending to 1.
    number_density
        nm^-3.
    r
        [R], nm, positive.
    window
        Whether to damp the end of the table (Lorch).

    Returns
    -------
    ndarray
        [R].

    Raises
    ------
    ValueError
        If the table is not finite and increasing.

    References
    ----------
    [1] E. Lorch, J. Phys. C 2, 229 (1969), eq. (4).

    Examples
    --------
    >>> q = np.linspace(0.5, 100.0, 200)
    >>> rdf_from_structure_factor(q, np.ones(200), 21.25, [0.3, 0.5]).tolist()
    [1.0, 1.0]
    """
    q, s, r = (np.asarray(a, dtype=float) for a in (q, s, r))
    require(bool(np.isfinite(q).all() and np.isfinite(s).all() and (np.diff(q) > 0).all()), "rdf_from_structure_factor",
            "expected finite S(Q) at increasing Q", "Sort the table and remove what is not a number")
    require(number_density > 0, "rdf_from_structure_factor", f"number density must be positive, found {number_density}",
            "Give nm^-3")
    damping = np.sinc(q / q[-1]) if window else np.ones_like(q)
    integrand = (q * (s - 1) * damping)[None] * np.sin(np.outer(r, q))
    return 1 + np.trapezoid(integrand, q, axis=1) / (2 * np.pi**2 * number_density * r)


def potential_from_structure_factor(q, s, number_density: float, temperature: float, r, g_min: float = 0.1):
    r"""A first u(r) of a dense simple liquid from its S(Q), by the hypernetted-chain closure.

    .. math:: u(r)/kT = g(r) - 1 - c(r) - \ln g(r), \qquad \rho\,\hat c(Q) = 1 - 1/S(Q)

    Much closer than -kT ln g in a dense liquid, where most of g(r) is packing; exact for weak u only.

    Parameters
    ----------
    q, s, number_density
        As in `rdf_from_structure_factor`.
    temperature
        K.
    r
        [R], nm, increasing.
    g_min
        Smallest g that is data.

    Returns
    -------
    r, u
        The distances from the first with g > g_min on, and kJ/mol there.

    References
    ----------
    [1] J.-P. Hansen, I. R. McDonald, Theory of Simple Liquids, 4th ed. (2013), eq. (4.3.19).
    """
    r = np.asarray(r, dtype=float)
    g = rdf_from_structure_factor(q, s, number_density, r)
    # c(r) is the same transform with 1 - 1/S in place of S - 1, over the density
    direct = rdf_from_structure_factor(q, 2 - 1 / np.asarray(s, dtype=float), number_density, r) - 1
    first = len(g) - np.argmax((g < g_min)[::-1])  # beyond the last g that is not data
    known = slice(first % len(g), None)
    u = KB * temperature * (g[known] - 1 - direct[known] - np.log(g[known]))
    return r[known], u
