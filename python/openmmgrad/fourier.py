# SPDX-License-Identifier: MIT
"""From S(Q) to g(r)."""

from __future__ import annotations

import numpy as np

from .errors import require


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
