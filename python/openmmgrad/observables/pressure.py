# SPDX-License-Identifier: MIT
"""The pressure, of learnable pair potentials in closed form and of any System by small changes of its volume."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..frames import Frames
from ..platforms import parse
from ..units import BAR, KB
from .base import Observable

#: Forces of a System that exert none on distances.
_WITHOUT_VIRIAL = ("CMMotionRemover", "MonteCarloBarostat")
#: Change of ln V on either side, by the precision of energies: errors are 7e-7 and 1e-5 of what r^-12 gives. In single
#: precision noise counts more: 3 bar in a frame of 216 waters, where P varies by some 1000 bar from frame to frame.
STEP = {"double": 5e-4, "single": 2e-3}
#: kT per molecule that a displacement of the whole system may change the energy by.
_FREE = 0.01


class Pressure(Observable):
    r"""Instantaneous pressure of every frame.

    Of learnable pair potentials alone (route "virial"), in closed form:

    .. math:: P = \frac{N k T}{V} + \frac{\operatorname{tr} W}{3 V}, \qquad
        \operatorname{tr} W = -\sum_{i<j} r_{ij}\, u'(r_{ij})
        = \mathbf c \cdot \frac{\partial \operatorname{tr} W}{\partial \mathbf c}

    Of any other System (route "strain"), from energies of two copies of the frame in which molecules are moved with the
    box and not deformed, so that bonds and constraints need no virial:

    .. math:: P = \frac{n k T}{V} - \frac{U_\theta(V e^{h}) - U_\theta(V e^{-h})}{2 h V}

    Symbol -> code: c -> ``model.coefficients(T)``; d(tr W)/dc -> ``frames.virial_features``; N counts particles and n
    molecules with mass; U -> ``model.potential_energies``; h -> STEP, by platform. The pressure contains the parameters
    themselves, so its derivative has two terms: <dP/dtheta> - beta Cov(P, dU/dtheta). Both arise by autograd from
    ``expectation(pressure(frames), weights(model, frames))``.

    Parameters
    ----------
    model
        The Model that the frames are of.
    route
        "virial", "strain", or "auto": "virial" where particles feel nothing but learnable pair potentials.
    platform, threads
        Of energies in route "strain", as in `Model.parameter_energies`.

    Raises
    ------
    ValueError
        In route "virial", if the System has other forces or constraints, evaluates a module without its spline, or the
        frames have no virial. In route "strain", if a molecule is broken across the box, or something holds the system
        in its place. In both, if frames have no box.

    Notes
    -----
    The pressure of the potential as it is truncated, with the dispersion correction of those Forces that use one. In
    route "strain" a pair that crosses a cutoff where u jumps is seen, as a barostat sees it, and is noise in single
    frames; in route "virial" u has no jump. Both routes, and any choice of molecules, have the same average, but not
    the same values in a frame. A molecule's kinetic energy counts by its average.

    References
    ----------
    [1] M. P. Allen, D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), eqs. (2.54), (2.65); molecules:
        section 2.8.
    [2] R. Eppenga, D. Frenkel, Mol. Phys. 52, 1303 (1984): pressure by changes of volume.
        doi:10.1080/00268978400101951

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

    def __init__(self, model: Any, route: str = "auto", *, platform: str = "CPU", threads: int | None = 1) -> None:
        require(route in ("auto", "virial", "strain"), "Pressure",
                f"route must be 'auto', 'virial' or 'strain', found {route!r}", "Choose one of those")
        system = model.system
        others = [type(force).__name__ for force in system.getForces() if type(force).__name__ not in _WITHOUT_VIRIAL]
        if route == "auto":
            route = "strain" if others or system.getNumConstraints() or model.reevaluates else "virial"
        self.model, self.route = model, route
        self.grid = np.zeros(1)
        self._evaluation, self._step = (platform, threads), STEP["double" if parse(platform).in_double else "single"]
        self._is_free = False
        if route == "virial":
            remedy = "Use route='strain'"
            require(not others, "Pressure",
                    f"expected a System of learnable pair potentials only, found {', '.join(others)}", remedy)
            require(system.getNumConstraints() == 0, "Pressure", "expected no constraints, found "
                    f"{system.getNumConstraints()}, whose forces have a virial too", remedy)
            self._n_particles = int(np.count_nonzero(model.masses))
            self._check_spline()

    def __call__(self, frames: Frames) -> Tensor:
        """P of every frame at the Model's present parameters and the frames' temperature, [S, 1], bar, with graph."""
        require(frames.n_atoms == self.model.n_particles, "Pressure",
                f"expected frames of {self.model.n_particles} particles, found {frames.n_atoms}",
                "Use the frames of this Model's Ensembles")
        volumes = torch.as_tensor(frames.volumes)
        if self.route == "virial":
            n, work = self._n_particles, self._virial(frames)
        else:
            self._check_free(frames)
            n = self.model.molecules.n_with_mass
            up, down = (self.model.potential_energies(moved, *self._evaluation) for moved in self._strained(frames))
            work = (down - up) / (2 * self._step)
        return ((n * KB * frames.temperature + work) / volumes)[:, None] / BAR

    def coefficient_derivatives(self, frames: Frames) -> Tensor:
        """dP/dc of every frame at fixed positions, [S, 1, F], bar mol/kJ."""
        if self.route == "virial":
            features = np.asarray(frames.virial_features) / 3
        else:
            up, down = map(self.model.features_of, self._strained(frames))
            features = (down - up) / (2 * self._step)
        return torch.as_tensor(features / (BAR * frames.volumes)[:, None])[:, None]

    def _virial(self, frames: Frames) -> Tensor:
        """A third of tr W, [S], kJ/mol."""
        self._check_spline()
        require(frames.virial_features is not None, "Pressure", "the frames have no virial_features",
                "Sample them with an Ensemble, or use compute_features")
        coefficients = self.model.coefficients(frames.temperature)
        features = torch.as_tensor(np.array(frames.virial_features))
        require(features.shape[1:] == coefficients.shape, "Pressure",
                f"the frames have {features.shape[1]} coefficients, and the model {len(coefficients)}",
                "Use the Model that sampled the frames")
        return features @ coefficients / 3

    def _strained(self, frames: Frames) -> list[Frames]:
        """The frames with their volume times exp(h) and exp(-h)."""
        return [self.model.strained(frames, np.expm1(h / 3) * np.eye(3)) for h in (self._step, -self._step)]

    def _check_free(self, frames: Frames) -> None:
        """Refuse, once, a system whose energy changes when it is displaced as a whole."""
        if self._is_free or not len(frames):
            return
        first = Frames(np.array(frames.positions[:1]), frames.states[0], boxes=frames.boxes[:1])
        moved = Frames(first.positions + [0.137, -0.211, 0.173], frames.states[0], boxes=frames.boxes[:1])
        with torch.no_grad():
            here, there = (float(self.model.potential_energies(each, *self._evaluation)) for each in (first, moved))
        limit = _FREE * KB * frames.temperature * self.model.molecules.n
        require(abs(there - here) < limit, "Pressure", "expected a system that is free to move, found one whose energy "
                f"changes by {there - here:.3g} kJ/mol when it is displaced as a whole",
                "Take away the restraints or fields that hold it in its place")
        self._is_free = True

    def _check_spline(self) -> None:
        require(not self.model.reevaluates, "Pressure", "the Model evaluates a module without its spline (exact=True)",
                "Add its potential with exact=False: the virial is the spline's. Or use route='strain'")
