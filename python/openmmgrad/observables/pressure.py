# SPDX-License-Identifier: MIT
"""The pressure of a system of learnable pair potentials."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..frames import Frames
from ..units import BAR, KB
from .base import Observable

#: Forces of a System that exert none on distances.
_WITHOUT_VIRIAL = ("CMMotionRemover", "MonteCarloBarostat")


class Pressure(Observable):
    r"""Instantaneous pressure of every frame, from the virial of the learnable pair potentials.

    .. math:: P = \frac{N k T}{V} + \frac{\operatorname{tr} W}{3 V}, \qquad
        \operatorname{tr} W = -\sum_{i<j} r_{ij}\, u'(r_{ij})
        = \mathbf c \cdot \frac{\partial \operatorname{tr} W}{\partial \mathbf c}

    Symbol -> code: c -> ``model.coefficients(T)``; d(tr W)/dc -> ``frames.virial_features``; N counts particles with
    mass. The pressure contains c itself, so d<P>/dc has two terms: <dP/dc> - beta Cov(P, Phi). Both arise by autograd
    from ``expectation(pressure(frames), weights(model, frames))``.

    Parameters
    ----------
    model
        The Model whose particles feel nothing but its learnable pair potentials.

    Raises
    ------
    ValueError
        If the System has other forces or constraints, or evaluates a module without its spline; if the frames have no
        box or no virial.

    Notes
    -----
    The pressure of the potential as it is truncated: no correction for its tail is added.

    References
    ----------
    M. P. Allen, D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), eqs. (2.54), (2.65).

    Examples
    --------
    >>> import openmm, openmmgrad as og
    >>> system = openmm.System()
    >>> for _ in range(100):
    ...     _ = system.addParticle(40.0)
    >>> frames = og.Frames(np.zeros((1, 100, 3)), og.State([], 300.0), boxes=10.0 * np.eye(3),
    ...                    virial_features=np.zeros((1, 0)))
    >>> Pressure(og.Model(system))(frames).round(decimals=4)         # an ideal gas of 0.1 nm^-3
    tensor([[4.1419]], dtype=torch.float64)
    """

    unit = "bar"
    name = "P"
    axis = ""
    explicit = True

    def __init__(self, model: Any) -> None:
        system = model.system
        others = [type(force).__name__ for force in system.getForces() if type(force).__name__ not in _WITHOUT_VIRIAL]
        require(not others, "Pressure",
                f"expected a System of learnable pair potentials only, found {', '.join(others)}",
                "Their virial is not known here: sample at constant pressure and compare densities instead")
        require(system.getNumConstraints() == 0, "Pressure",
                f"expected no constraints, found {system.getNumConstraints()}, whose forces have a virial too",
                "Use flexible molecules, or sample at constant pressure and compare densities instead")
        self.model = model
        self.grid = np.zeros(1)
        self._n_particles = int(np.count_nonzero(model.masses))
        self._check_spline()

    def __call__(self, frames: Frames) -> Tensor:
        """P of every frame at the Model's present parameters and the frames' temperature, [S, 1], bar, with graph."""
        self._check_spline()
        require(frames.virial_features is not None, "Pressure", "the frames have no virial_features",
                "Sample them with an Ensemble, or use compute_features")
        require(frames.n_atoms == self.model.n_particles, "Pressure",
                f"expected frames of {self.model.n_particles} particles, found {frames.n_atoms}",
                "Use the frames of this Model's Ensembles")
        coefficients = self.model.coefficients(frames.temperature)
        features = torch.as_tensor(np.array(frames.virial_features))
        require(features.shape[1:] == coefficients.shape, "Pressure",
                f"the frames have {features.shape[1]} coefficients, and the model {len(coefficients)}",
                "Use the Model that sampled the frames")
        ideal = self._n_particles * KB * frames.temperature
        pressure = (ideal + features @ coefficients / 3) / torch.as_tensor(frames.volumes)
        return pressure[:, None] / BAR

    def coefficient_derivatives(self, frames: Frames) -> Tensor:
        """dP/dc of every frame at fixed positions, [S, 1, F], bar mol/kJ."""
        features = torch.as_tensor(np.array(frames.virial_features))
        return (features / (3 * BAR * torch.as_tensor(frames.volumes))[:, None])[:, None]

    def _check_spline(self) -> None:
        require(not self.model.reevaluates, "Pressure", "the Model evaluates a module without its spline (exact=True)",
                "Add its potential with exact=False: the virial is the spline's")
