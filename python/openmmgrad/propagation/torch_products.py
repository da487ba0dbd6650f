# SPDX-License-Identifier: MIT
"""Torch energies in the reverse sweep: products by autograd, called from the C++ loop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..backends.neighbors import NeighborPairs
from ..model import Model, PairTerm
from ..torch_energy import AutogradProduct


class TorchProduct:
    """What ForceDerivatives calls for one torch energy: adds to the product, and sums over steps for its parameters."""

    def __init__(self, module: nn.Module, periodic: bool, box: Callable[[], np.ndarray | None]) -> None:
        self._product, self._periodic, self._box = AutogradProduct(module), periodic, box
        self._parameters = learnt_parameters(module)
        self.clear()

    def clear(self) -> None:
        """Start new sums."""
        self.sums = [np.zeros(tuple(p.shape)) for p in self._parameters]

    def __call__(self, positions: memoryview, direction: memoryview, product: memoryview) -> None:
        """Add (dF/dx) a for positions x and direction a, buffers of [N, 3]."""
        x, a, total = (np.frombuffer(each).reshape(-1, 3) for each in (positions, direction, product))
        on_x, on_parameters = self._product(x, self._box() if self._periodic else None, a)
        total += on_x
        for held, part in zip(self.sums, on_parameters, strict=True):
            held += part


class ExactPairEnergy(nn.Module):
    """The raw module of a pair term (exact=True) as an energy of all positions."""

    def __init__(self, term: PairTerm, temperature: float) -> None:
        super().__init__()
        self.potential = term.potential
        self._term, self._temperature = term, temperature
        self._neighbors = NeighborPairs(term.spec)

    def energy(self, positions: Tensor, box: Tensor | None) -> Tensor:
        """kJ/mol of positions [N, 3] in a box [3, 3] or None, nm."""
        spec, x = self._term.spec, positions.detach().numpy()
        i, j, displacement = self._neighbors(x, None if box is None else box.numpy())
        within = np.flatnonzero((displacement**2).sum(1) < spec.cutoff**2)
        i, j = i[within], j[within]
        image = torch.from_numpy(displacement[within] - (x[i] - x[j]))
        r = torch.linalg.vector_norm(positions[i] - positions[j] + image, dim=1)
        pair, total = spec.pair_index[spec.types[i], spec.types[j]], positions.new_zeros(())
        for p, labels in enumerate(self._term.pairs):
            here = np.flatnonzero(pair == p)
            if len(here):
                total = total + self.potential.truncated_energy(r[here], labels, self._temperature).sum()
        return total


def torch_modules(model: Model, temperature: float) -> list[tuple[nn.Module, bool]]:
    """(module, periodic) of everything that torch differentiates: torch energies, then exact pair terms."""
    exact = [(ExactPairEnergy(term, temperature), term.spec.periodic) for term in model.terms if term.spec.exact]
    return [(term.module, term.periodic) for term in model.energy_terms] + exact


def learnt_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Those that require grad."""
    return [p for p in module.parameters() if p.requires_grad]


def version(model: Model) -> tuple:
    """Changes when a torch energy's parameters or buffers do: its forces are frozen in a Context."""
    modules = [term.module for term in model.energy_terms]
    modules += [term.potential for term in model.terms if term.spec.exact]
    return tuple((id(t), t._version) for m in modules for t in (*m.parameters(), *m.buffers()))
