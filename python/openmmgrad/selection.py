# SPDX-License-Identifier: MIT
"""Atom selections in mdtraj's language, and topologies as plain tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import require


def select_atoms(selection: Any, n_atoms: int, topology: Any = None, who: str = "select") -> np.ndarray:
    """Indices of a selection, in ascending order for texts and masks, in the given order for indices.

    Parameters
    ----------
    selection
        None (all atoms), a text in mdtraj's selection language, distinct indices, or a boolean mask [N].
    n_atoms
        N.
    topology
        The `mdtraj.Topology` that a text refers to.
    who
        Named in errors.

    Returns
    -------
    ndarray
        [n] of int, n >= 1.

    Raises
    ------
    ValueError
        If the text cannot be parsed, the selection is empty, or an index is out of range or given twice.
    TypeError
        If the selection is neither of the four.

    Examples
    --------
    >>> select_atoms([True, False, True], 3).tolist()
    [0, 2]
    """
    if selection is None:
        return np.arange(n_atoms)
    if isinstance(selection, str):
        indices = _select_text(selection, topology, who)
    else:
        indices = _select_indices(np.asarray(selection), n_atoms, who)
    require(len(indices) > 0, who,
            f"selection {_short(selection)} must contain atoms, found none of {n_atoms}",
            "Check the names in the topology, or pass indices")
    require(indices.min() >= 0 and indices.max() < n_atoms, who,
            f"indices must be from 0 to {n_atoms - 1}, found {indices.min()} to {indices.max()}",
            "Indices count from 0")
    require(len(np.unique(indices)) == len(indices), who,
            f"indices must be distinct, found {len(indices) - len(np.unique(indices))} repeated",
            "Name each atom once")
    return indices


def _select_text(selection: str, topology: Any, who: str) -> np.ndarray:
    require(topology is not None, who, f"selection {selection!r} is a text and needs a topology, found none",
            "Pass topology= where the frames are made, or select by indices")
    try:
        return np.asarray(topology.select(selection), dtype=int)
    except Exception as problem:  # mdtraj's parser raises several unrelated classes
        require(False, who, f"selection {selection!r} is not in mdtraj's language ({problem})",
                "Write it as in 'name O' or 'resname HOH and element O'")
        raise


def _select_indices(array: np.ndarray, n_atoms: int, who: str) -> np.ndarray:
    if array.dtype == bool:
        require(array.shape == (n_atoms,), who,
                f"a boolean mask must have shape [{n_atoms}], found {list(array.shape)}",
                "Give one entry per atom")
        return np.flatnonzero(array)
    require(array.ndim == 1 and (array.size == 0 or np.issubdtype(array.dtype, np.integer)), who,
            f"expected None, a text, indices or a mask, found shape {list(array.shape)} of {array.dtype}",
            "Pass integer indices", TypeError)
    return array.astype(int)


def _short(selection: Any) -> str:
    text = repr(selection)
    return text if len(text) <= 60 else text[:57] + "..."


def topology_table(topology: Any) -> dict | None:
    """An `mdtraj.Topology` as plain lists that JSON holds; None stays None."""
    if topology is None:
        return None
    return {
        "chains": [chain.chain_id for chain in topology.chains],
        "residues": [[r.name, r.resSeq, r.chain.index, r.segment_id] for r in topology.residues],
        "atoms": [[a.name, a.element.symbol if a.element else None, a.residue.index, a.serial]
                  for a in topology.atoms],
        "bonds": [[a.index, b.index] for a, b in topology.bonds],
    }


def topology_from_table(table: dict | None) -> Any:
    """The `mdtraj.Topology` of `topology_table`."""
    if table is None:
        return None
    import mdtraj
    from mdtraj.core.element import get_by_symbol

    topology = mdtraj.Topology()
    chains = [topology.add_chain(chain_id) for chain_id in table["chains"]]
    residues = [topology.add_residue(name, chains[chain], resSeq=number, segment_id=segment)
                for name, number, chain, segment in table["residues"]]
    for name, symbol, residue, serial in table["atoms"]:
        element = None if symbol is None else get_by_symbol(symbol)
        topology.add_atom(name, element, residues[residue], serial=serial)
    atoms = list(topology.atoms)
    for i, j in table["bonds"]:
        topology.add_bond(atoms[i], atoms[j])
    return topology
