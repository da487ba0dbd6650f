# SPDX-License-Identifier: MIT
"""The structure factor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..frames import Frames
from ..units import plain
from .base import Observable
from .scattering import RADIATIONS, scattering_factors

_CHUNK = 24576  # complex numbers per buffer: three of them stay in the processor's cache


class StructureFactor(Observable):
    r"""Structure factor S(Q) of every frame, at wave vectors that the box allows.

    .. math:: S(\mathbf Q) = \frac{\big|\sum_j b_j(Q)\, e^{i \mathbf{Q} \cdot \mathbf{r}_j}\big|^2}{\sum_j b_j(Q)^2},
        \qquad \mathbf{Q} = 2\pi\, (n_1 \mathbf{a}^* + n_2 \mathbf{b}^* + n_3 \mathbf{c}^*)

    averaged within shells of \|Q\|. It tends to 1 at large Q, and is 1 for an ideal gas. Without radiation every
    b_j is 1.

    Parameters
    ----------
    selection
        The atoms that scatter; see `Frames.select`.
    q_max
        1/nm.
    box
        Three lengths or three vectors [3, 3], nm, of all frames: ``ensemble.box``. The smallest Q is 2 pi over the
        longest width.
    radiation
        None, "neutron" (b: coherent scattering lengths) or "xray" (b: form factors of neutral atoms).
    shell_width
        1/nm. A shell begins at the smallest \|Q\| that is in none yet and holds all within this width: equal \|Q\|
        are never divided, and the small ones that lie further apart stay separate.
    elements
        Symbols, for one or for every selected atom: "36-Ar", or ["O", "D", "D"]. None takes the topology's.
    max_vectors
        Wave vectors per shell, at most; Q and -Q are equal and count once. Of larger shells those are taken that
        stand at even steps in the order of \|Q\| and then of (n1, n2, n3).

    Attributes
    ----------
    grid
        Mean \|Q\| of the vectors used in each shell, [B], 1/nm.
    n_vectors
        Their number, [B].

    Raises
    ------
    ValueError
        If the box of a frame is another, an element is unknown, or no wave vector is within q_max.

    Notes
    -----
    For constant volume only. An experiment's S(Q) of several elements may be normalised by (sum b)^2 instead.

    References
    ----------
    J.-P. Hansen, I. R. McDonald, Theory of Simple Liquids, 4th ed. (2013), eq. (4.1.3).

    Examples
    --------
    >>> from openmmgrad.frames import State
    >>> s = StructureFactor(None, q_max=8.0, box=[1.0, 1.0, 1.0])
    >>> (s.grid / (2 * np.pi)).tolist(), s.n_vectors.tolist()
    ([1.0], [3])
    >>> s(Frames([[[0.0, 0, 0], [0.5, 0.5, 0.5]]], State([], 300.0), boxes=np.eye(3))).abs().round(decimals=9)
    tensor([[0.]], dtype=torch.float64)
    """

    unit = "1"
    name = "S(Q)"
    axis = "Q (1/nm)"

    def __init__(self, selection: Any, q_max: float, box: Any, radiation: str | None = None, *,
                 shell_width: float = 0.5, elements: str | Sequence[str] | None = None, max_vectors: int = 30) -> None:
        who = "StructureFactor"
        box = np.asarray(plain(box, "nm"), dtype=float)
        require(box.shape in ((3,), (3, 3)) and bool(np.isfinite(box).all()), who,
                f"box must be 3 lengths or 3 vectors, found shape {list(box.shape)}", "Give ensemble.box, nm")
        self.box = np.diag(box) if box.ndim == 1 else box
        require(abs(np.linalg.det(self.box)) > 0, who, "the box has no volume", "Give ensemble.box, nm")
        require(radiation is None or radiation in RADIATIONS, who,
                f"radiation must be None, {' or '.join(RADIATIONS)}, found {radiation!r}", "Choose one of those")
        require(shell_width >= 1e-6, who, f"shell_width must be positive, found {shell_width} 1/nm", "0.5 is usual")
        require(max_vectors >= 1, who, f"max_vectors must be at least 1, found {max_vectors}", "30 is usual")
        self.selection, self.radiation, self.elements = selection, radiation, elements
        self.q_max, self.shell_width = float(plain(q_max, "1/nm")), float(shell_width)
        vectors, lengths = _allowed_vectors(self.box, self.q_max)
        require(len(vectors) > 0, who, f"the box allows no wave vector up to q_max = {self.q_max:g} 1/nm",
                "Use a larger q_max; the smallest is 2 pi over the box length")
        self._vectors, self._lengths, self._shell = _choose(vectors, lengths, self.shell_width, max_vectors)
        self.n_vectors = np.bincount(self._shell)
        self.grid = np.bincount(self._shell, self._lengths) / self.n_vectors

    def __call__(self, frames: Frames) -> Tensor:
        """S(Q) of every frame, [S, B]."""
        who = "StructureFactor"
        require(frames.boxes is not None, who, "expected periodic frames, found no boxes", "Use frames with boxes")
        different = np.abs(frames.boxes - self.box).max(axis=(1, 2)) > 1e-5 * np.abs(self.box).max()
        require(not different.any(), who,
                f"the box of {different.sum()} of {len(frames)} frames differs from the box given",
                "Pass box=ensemble.box, and sample at constant volume")
        atoms = frames.select(self.selection)
        groups, factors = self._scatterers(frames, atoms)
        inverse = np.linalg.inv(self.box)
        values = np.empty((len(frames), len(self.grid)))
        norm = sum(len(group) * f**2 for group, f in zip(groups, factors, strict=True))
        for s in range(len(frames)):
            positions = frames.positions[s]
            amplitude = sum(f * _density(positions[group] @ inverse, self._vectors)
                            for group, f in zip(groups, factors, strict=True))
            intensity = (amplitude.real**2 + amplitude.imag**2) / norm
            values[s] = np.bincount(self._shell, intensity) / self.n_vectors
        return torch.as_tensor(values)

    def _scatterers(self, frames: Frames, atoms: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Atoms of each element, and their factors at each wave vector, [E, M]."""
        if self.radiation is None:
            return [atoms], np.ones((1, len(self._lengths)))
        symbols = self._symbols(frames, atoms)
        kinds = sorted(set(symbols.tolist()))
        return [atoms[symbols == kind] for kind in kinds], scattering_factors(kinds, self._lengths, self.radiation)

    def _symbols(self, frames: Frames, atoms: np.ndarray) -> np.ndarray:
        who = "StructureFactor"
        if isinstance(self.elements, str):
            return np.full(len(atoms), self.elements)
        if self.elements is not None:
            require(len(self.elements) == len(atoms), who,
                    f"expected elements of {len(atoms)} selected atoms, found {len(self.elements)}",
                    "Give one for each")
            return np.asarray(self.elements)
        require(frames.topology is not None, who,
                f"radiation={self.radiation!r} needs elements, and there is no topology",
                'Pass elements=, as in "36-Ar"')
        found = [frames.topology.atom(i) for i in atoms]
        missing = [str(atom) for atom in found if atom.element is None]
        require(not missing, who, f"{len(missing)} selected atoms have no element, the first is {missing[:1]}",
                'Pass elements=, as in "36-Ar"')
        return np.array([atom.element.symbol for atom in found])


def _allowed_vectors(box: np.ndarray, q_max: float) -> tuple[np.ndarray, np.ndarray]:
    """Integers n [M, 3] of one of each pair (Q, -Q) with 0 < |Q| <= q_max, and |Q| [M]."""
    reach = [math.floor(q_max * np.linalg.norm(vector) / (2 * np.pi)) for vector in box]
    axes = [np.arange(-n, n + 1) for n in reach]
    n = np.stack(np.meshgrid(np.arange(reach[0] + 1), *axes[1:], indexing="ij"), axis=-1).reshape(-1, 3)
    half = (n[:, 0] > 0) | ((n[:, 0] == 0) & ((n[:, 1] > 0) | ((n[:, 1] == 0) & (n[:, 2] > 0))))
    n = n[half]
    lengths = 2 * np.pi * np.linalg.norm(n @ np.linalg.inv(box).T, axis=1)
    within = lengths <= q_max
    n, lengths = n[within], lengths[within]
    order = np.lexsort((n[:, 2], n[:, 1], n[:, 0], np.round(lengths, 9)))
    return n[order], lengths[order]


def _choose(vectors, lengths, width: float, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors [M, 3] and |Q| [M] that are used, and the shell of each [M]."""
    starts = [0]
    while (after := int(np.searchsorted(lengths, lengths[starts[-1]] + width))) < len(lengths):
        # equal |Q| may differ in their last digits
        starts.append(int(np.searchsorted(lengths, lengths[after] - 1e-9)))
    chosen, shell = [], []
    for b, (start, end) in enumerate(zip(starts, [*starts[1:], len(lengths)], strict=True)):
        count = min(most, end - start)
        chosen.append(start + np.arange(count) * (end - start) // count)
        shell.append(np.full(count, b))
    chosen = np.concatenate(chosen)
    return vectors[chosen], lengths[chosen], np.concatenate(shell)


def _density(fractional: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """sum_j exp(2 pi i n . s_j) for each n, [M]; fractional coordinates s [N, 3].

    Phases are products of powers per axis, so that each costs two multiplications and no sine.
    """
    n_atoms = len(fractional)
    powers = [_powers(np.exp(2j * np.pi * fractional[:, k]), int(np.abs(vectors[:, k]).max())) for k in range(3)]
    places = [vectors[:, k] + len(powers[k]) // 2 for k in range(3)]
    rows = max(_CHUNK // n_atoms, 1)
    density = np.empty(len(vectors), dtype=complex)
    for start in range(0, len(vectors), rows):
        part = slice(start, start + rows)
        phase = powers[0][places[0][part]]
        phase *= powers[1][places[1][part]]
        density[part] = np.einsum("mj,mj->m", phase, powers[2][places[2][part]])
    return density


def _powers(z: np.ndarray, most: int) -> np.ndarray:
    """z^n for n = -most .. most, [2 most + 1, N], for |z| = 1."""
    table = np.empty((2 * most + 1, len(z)), dtype=complex)
    table[most] = 1.0
    for n in range(1, most + 1):
        np.multiply(table[most + n - 1], z, out=table[most + n])
    np.conjugate(table[most + 1:][::-1], out=table[:most])
    return table
