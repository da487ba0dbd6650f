# SPDX-License-Identifier: MIT
"""Energies of stored frames from the raw module, for terms with exact=True."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .backends.neighbors import NeighborPairs
from .frames import Frames

CHUNK = 2**18  # distances that go through the module at once, about


def module_energies(term, frames: Frames, temperature: float) -> Tensor:
    """Energy of a term's raw module on every frame, [S], kJ/mol, with graph to its parameters.

    About CHUNK pairs go through the module in one call per type pair; the backward pass computes activations again.
    """
    spec = term.spec
    neighbors = NeighborPairs(spec)
    parts, held, n_held = [torch.zeros(0, dtype=torch.float64)], [], 0
    for s in range(len(frames)):
        box = frames.boxes[s] if spec.periodic else None
        i, j, displacement = neighbors(np.asarray(frames.positions[s]), box)
        r = np.sqrt((displacement**2).sum(1))
        within = r < spec.cutoff
        held.append((r[within], spec.pair_index[spec.types[i[within]], spec.types[j[within]]]))
        n_held += int(within.sum())
        if n_held >= CHUNK or s == len(frames) - 1:
            parts.append(recomputed(_chunk_energies, term, held, temperature))
            held, n_held = [], 0
    return torch.cat(parts)


def _chunk_energies(term, held: list[tuple[np.ndarray, np.ndarray]], temperature: float) -> Tensor:
    """Energies [S'] of frames given as (distances [M], pairs of types [M])."""
    r, pair = (np.concatenate(arrays) for arrays in zip(*held, strict=True))
    frame = np.repeat(np.arange(len(held)), [len(each) for each, _ in held])
    total = torch.zeros(len(held), dtype=torch.float64)
    for p, labels in enumerate(term.pairs):
        here = np.flatnonzero(pair == p)
        if len(here):
            u = term.potential.truncated_energy(torch.tensor(r[here]), labels, temperature)
            total = total.index_add(0, torch.as_tensor(frame[here]), u)
    return total


def recomputed(function: Callable[..., Tensor], *arguments) -> Tensor:
    """``function(*arguments)`` whose activations are not kept for the backward pass but computed again."""
    if not torch.is_grad_enabled():
        return function(*arguments)
    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
