# SPDX-License-Identifier: MIT
"""The static dielectric constant, from the fluctuation of the total dipole."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..frames import Frames
from ..units import KB
from .base import Observable
from .molecules import Molecules

#: 1/(4 pi eps0), kJ nm/(mol e^2).
COULOMB = 138.935457644
_NEUTRAL = 1e-4  # e


class StaticDielectric(Observable):
    r"""Static dielectric constant of every frame, from the fluctuation of the dipole of the box.

    .. math:: \varepsilon = 1 + \frac{\langle \mathbf M^2 \rangle}{3\,\varepsilon_0 V k T}

    for Ewald sums with conducting surroundings (PME as OpenMM has it). <M> is zero by symmetry and is not subtracted,
    so that the value of a frame stands alone and is reweighted. Electrons are in it as far as they are in the dipole:
    for fixed charges, not at all.

    Parameters
    ----------
    dipole
        `PointCharges` or `TorchDipole`: ``dipole.dipole(positions [S, N, 3])`` is M [S, 3], e nm, of unwrapped
        positions. With learnt charges the values carry a graph (``explicit``), beside that of the weights.
    model
        A Model, whose bonds, constraints and virtual sites tell the molecules. None: bonds and residues of the frames'
        topology.

    Raises
    ------
    ValueError
        If the system or one of its molecules is charged, or broken across the box; if frames have no boxes.

    Notes
    -----
    M turns slowly: for water at 300 K some nanoseconds are needed for 10 %. A slab, or a field, has another formula.
    Without model and topology only the total charge is checked.

    References
    ----------
    [1] M. Neumann, Mol. Phys. 50, 841 (1983), eq. (37) with conducting boundary. doi:10.1080/00268978300102721
    [2] S. W. de Leeuw, J. W. Perram, E. R. Smith, Annu. Rev. Phys. Chem. 37, 245 (1986).
        doi:10.1146/annurev.pc.37.100186.001333

    Examples
    --------
    >>> import openmmgrad as og
    >>> frames = og.Frames([[[0.0, 0, 0], [0.1, 0, 0]]], og.State([], 300.0), boxes=np.eye(3))
    >>> StaticDielectric(og.PointCharges([-0.5, 0.5]))(frames).round(decimals=4)
    tensor([[1.5833]], dtype=torch.float64)
    """

    unit = "1"
    name = "dielectric constant"
    axis = ""

    def __init__(self, dipole: Any, model: Any = None) -> None:
        require(callable(getattr(dipole, "dipole", None)), "StaticDielectric",
                f"expected a dipole, found {type(dipole).__name__}",
                "Pass PointCharges(charges), PointCharges.of(model) or TorchDipole(function)", TypeError)
        self.of, self.grid = dipole, np.zeros(1)
        self._model, self._known = model, (None, None)

    @property
    def explicit(self) -> bool:
        """Whether the dipole has parameters that require a gradient."""
        return any(p.requires_grad for p in self.of.parameters())

    def __call__(self, frames: Frames) -> Tensor:
        """1 + M^2/(3 eps0 V k T) of every frame, [S, 1], with graph to the dipole's parameters."""
        require(frames.boxes is not None, "StaticDielectric", "expected periodic frames, found no boxes",
                "Sample a periodic System")
        self._check(frames)
        moments = self.of.dipole(torch.tensor(np.asarray(frames.positions)))
        scale = 4 * math.pi * COULOMB / (3 * KB * frames.temperature) / torch.as_tensor(frames.volumes)
        return (1 + scale * moments.square().sum(-1))[:, None]

    def coefficient_derivatives(self, frames: Frames) -> Tensor:
        """Zeros, [S, 1, F]: dipoles do not depend on coefficients of pair potentials."""
        return torch.zeros(len(frames), 1, len(frames.states[0].coefficients), dtype=torch.float64)

    def _check(self, frames: Frames) -> None:
        """Refuse charges that could carry a current, and molecules in two pieces."""
        who, molecules = "StaticDielectric", self._molecules(frames)
        if molecules is not None:
            molecules.require_whole(frames, who)
        if not hasattr(self.of, "charges"):
            return
        charges = self.of.charges().detach().numpy()
        require(abs(charges.sum()) < _NEUTRAL, who, f"the system has a charge of {charges.sum():.3g} e",
                "The dipole of a charged system depends on the origin: use the spectrum of the current instead")
        if molecules is None or len(charges) != len(molecules.labels):
            return
        totals = molecules.totals(charges)
        worst = int(np.argmax(abs(totals)))
        atom = int(np.argmax(molecules.labels == worst))
        name = f"atom {atom}" if frames.topology is None else f"atom {atom} ({frames.topology.atom(atom)})"
        require(abs(totals[worst]) < _NEUTRAL, who,
                f"expected neutral molecules, found {totals[worst]:.3g} e on the molecule of {name}",
                "Ions carry a current, and the fluctuation of the dipole is then no dielectric constant")

    def _molecules(self, frames: Frames) -> Molecules | None:
        if self._model is not None:
            return self._model.molecules
        if frames.topology is None:
            return None
        if self._known[0] is not frames.topology:
            self._known = frames.topology, Molecules.of_topology(frames.topology)
        return self._known[1]
