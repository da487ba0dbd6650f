# SPDX-License-Identifier: MIT
"""Shear viscosity of paths of the pressure tensor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..path import Path
from ..units import KB
from .base import Observable
from .windows import Lags, around, both_sides, mean_products, n_lags

_SI = 1e-12 * 1e27 * 1e3 / 6.02214076e23  # Pa s in 1 kJ/mol/nm^3 ps


class Viscosity(Lags, Observable):
    r"""Shear viscosity from every window of a `Path` whose ``observed`` is the pressure tensor.

    .. math:: \eta = \frac{V}{k T} \int_0^{t_{max}} \langle P_{ab}(0) P_{ab}(t) \rangle\, dt

    by the trapezoidal rule, the mean over xy, xz, yz; where the diagonal is there too, all of the symmetric traceless
    tensor serves: a tenth of the integral of :math:`\sum_{ab} \langle \bar P_{ab}(0) \bar P_{ab}(t) \rangle`.

    Parameters
    ----------
    t_max
        Upper limit, ps, a whole number of intervals between stored times: where `running` has reached its plateau.
        None is the length of the window.
    origins
        "all" times of each window, by Fourier transform; or "first": the first only (both sides of a two-sided one).

    Raises
    ------
    ValueError
        If the path has no pressure [S, T, 3] or [S, T, 6], no box or no temperature; if a window is shorter than t_max
        or t_max is between two stored times.

    Notes
    -----
    The pressure is in kJ/mol/nm^3, in the order xy, xz, yz, xx, yy, zz of `Recorder` and `PressureTensor`. Its mean is
    not taken away: in equilibrium the off-diagonal ones have none. The five independent components of an isotropic
    liquid lower the variance to about three fifths of that of three.

    References
    ----------
    [1] M. P. Allen, D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), eq. (2.120).
    [2] P. J. Daivis, D. J. Evans, J. Chem. Phys. 100, 541 (1994): the whole tensor.

    Examples
    --------
    A pressure that lasts for exactly one interval: the integral is <P P> times half an interval.

    >>> P = torch.zeros(1, 4, 3, dtype=torch.float64)
    >>> P[0, 0] = 2.0
    >>> path = Path(None, None, times=[0, 0.1, 0.2, 0.3], timestep=0.1, masses=[1.0], observed=P,
    ...             boxes=2 * np.eye(3), temperature=300.0)
    >>> viscosity = Viscosity(t_max=0.2)
    >>> round(viscosity(path).item() / (8 / (KB * 300.0) * (4 / 4) * 0.05 * 1.66053906717e-6), 9)
    1.0
    >>> viscosity.running(path).shape, viscosity.lags.tolist()
    (torch.Size([1, 3]), [0.0, 0.1, 0.2])
    """

    unit = "Pa s"
    name = "viscosity"
    axis = ""

    def __init__(self, t_max: float | None = None, origins: str = "all") -> None:
        self._set_lags(t_max, origins, None)
        self.grid, self.lags = np.zeros(1), np.zeros(0)

    def __call__(self, path: Path) -> Tensor:
        """Viscosity from every window, [S, 1], Pa s."""
        return self.running(path)[:, -1:]

    def running(self, path: Path) -> Tensor:
        """The integral up to each lag, [S, L], Pa s, for the plateau; ``lags`` [L], ps, are those of this path."""
        values = self.correlation(path)
        require(values.shape[1] > 1, "Viscosity", "expected t_max of at least one interval, found 0",
                "Use longer windows")
        volumes = torch.as_tensor(np.abs(np.linalg.det(path.boxes)))
        integral = torch.cumulative_trapezoid(values, dx=path.interval, dim=1)
        factor = _SI * volumes / (KB * path.temperature)
        return factor[:, None] * torch.cat([torch.zeros_like(values[:, :1]), integral], dim=1)

    def correlation(self, path: Path) -> Tensor:
        """The correlation that is integrated, per component, [S, L], (kJ/mol/nm^3)^2."""
        who = "Viscosity"
        require(isinstance(path, Path), who, f"expected a Path, found {type(path).__name__}",
                "Pass recorder.path('stress')", TypeError)
        pressure = path.observed
        require(pressure is not None and pressure.ndim == 3 and pressure.shape[2] in (3, 6), who,
                "expected a path whose observed is the pressure, [S, T, 3] or [S, T, 6], found "
                f"{None if pressure is None else list(pressure.shape)}", "Pass recorder.path('stress')")
        require(path.boxes is not None and path.temperature is not None, who,
                "expected a path with a box and a temperature, found "
                f"{'no box' if path.boxes is None else 'no temperature'}", "Pass boxes= and temperature= to the Path")
        n = n_lags(path, self.max_lag, who, "t_max", self.origins)
        self.lags = path.interval * np.arange(n)
        require(self.max_lag is None or abs(self.lags[-1] - self.max_lag) < 1e-6 * path.interval, who,
                f"t_max = {self.max_lag} ps is between the stored times {self.lags[-1]:g} and "
                f"{self.lags[-1] + path.interval:g} ps", "Give a multiple of timestep * stride")
        rows, share = _traceless(pressure)
        if self.origins == "all":
            return torch.stack([mean_products(window, share, None, n) for window in rows.unbind(0)])
        near, origin = around(path, rows, n)
        return both_sides((near * near[:, origin:origin + 1]).sum(-1) @ share, n)


def _traceless(pressure: Tensor) -> tuple[Tensor, Tensor]:
    """Components as rows of three, [S, T, 1 or 2, 3], and what each row counts in the mean."""
    if pressure.shape[2] == 3:
        return pressure[:, :, None], pressure.new_tensor([1 / 3])
    shear, diagonal = pressure[..., :3], pressure[..., 3:]
    diagonal = diagonal - diagonal.mean(-1, keepdim=True)
    return torch.stack([shear, diagonal], dim=2), pressure.new_tensor([2 / 10, 1 / 10])
