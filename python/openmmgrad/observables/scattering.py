# SPDX-License-Identifier: MIT
"""How strongly atoms scatter neutrons and X-rays, from the package `periodictable`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import require

RADIATIONS = ("neutron", "xray")


def scattering_factors(elements: Sequence[str], q: np.ndarray, radiation: str) -> np.ndarray:
    """What an atom of each element contributes to the scattered amplitude at each Q, [E, M].

    Parameters
    ----------
    elements
        Symbols, "O"; isotopes as "D" or "36-Ar".
    q
        [M], 1/nm.
    radiation
        "neutron": bound coherent scattering lengths b, fm, real parts, the same at every Q. "xray": form factors
        f0(Q) of neutral atoms, electrons, without dispersion corrections.

    Raises
    ------
    ValueError
        If an element is unknown, has no tabulated length, or Q exceeds the table of f0 (754 1/nm).

    References
    ----------
    [1] H. Rauch, W. Waschkowski, in Neutron Data Booklet, 2nd ed. (2003), section 1.1: b.
    [2] D. Waasmaier, A. Kirfel, Acta Cryst. A 51, 416 (1995), eq. (2): f0. doi:10.1107/S0108767394013292

    Examples
    --------
    >>> scattering_factors(["O", "D"], np.array([10.0]), "neutron").ravel().tolist()
    [5.8037, 6.6681]
    >>> scattering_factors(["O"], np.array([0.0]), "xray").round(2).item()
    8.0
    """
    who = "scattering_factors"
    require(radiation in RADIATIONS, who, f"radiation must be one of {', '.join(RADIATIONS)}, found {radiation!r}",
            "Choose one of those")
    q = np.asarray(q, dtype=float)
    rows = []
    for symbol in elements:
        atom = _atom(symbol)
        if radiation == "neutron":
            require(atom.neutron.b_c is not None, who, f"no neutron scattering length is tabulated for {symbol}",
                    "Choose another isotope")
            rows.append(np.full(q.shape, float(atom.neutron.b_c)))
        else:
            f0 = np.asarray(atom.xray.f0(q / 10))  # their Q is in 1/Angstrom
            require(bool(np.isfinite(f0).all()), who, f"no form factor of {symbol} is tabulated up to {q.max():g} 1/nm",
                    "Use a smaller q_max")
            rows.append(f0)
    return np.array(rows)


def _atom(symbol: str):
    import periodictable

    try:
        return periodictable.elements.isotope(symbol)
    except ValueError:
        require(False, "scattering_factors", f"{symbol!r} is no chemical element",
                'Give elements= for the selection, as in "O", "D" or "36-Ar"')
        raise
