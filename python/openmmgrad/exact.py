# SPDX-License-Identifier: MIT
"""Energies of stored frames from the raw module, for terms with exact=True."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .backends.neighbors import NeighborPairs
from .frames import Frames


def module_energies(term, frames: Frames, temperature: float) -> Tensor:
    """Energy of a term's raw module on every frame, [S], kJ/mol, with graph to its parameters.

    All pairs of all frames go through the module in one call per type pair.
    """
    spec = term.spec
    neighbors = NeighborPairs(spec)
    distances, pairs, owner = [], [], []
    for s in range(len(frames)):
        box = frames.boxes[s] if spec.periodic else None
        i, j, displacement = neighbors(np.asarray(frames.positions[s]), box)
        r = np.sqrt((displacement**2).sum(1))
        within = r < spec.cutoff
        distances.append(r[within])
        pairs.append(spec.pair_index[spec.types[i[within]], spec.types[j[within]]])
        owner.append(np.full(int(within.sum()), s))
    r, pair, frame = (np.concatenate(parts) for parts in (distances, pairs, owner))
    total = torch.zeros(len(frames), dtype=torch.float64)
    for p, labels in enumerate(term.pairs):
        here = np.flatnonzero(pair == p)
        if len(here):
            u = term.potential.truncated_energy(torch.as_tensor(r[here]), labels, temperature)
            total = total.index_add(0, torch.as_tensor(frame[here]), u)
    return total
