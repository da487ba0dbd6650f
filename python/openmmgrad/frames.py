# SPDX-License-Identifier: MIT
"""Frames: equilibrium configurations, with what is needed to reweight them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .errors import require
from .selection import select_atoms, topology_from_table, topology_table
from .storage import GrowingArrays, read_arrays

__all__ = ["FrameWriter", "Frames", "State", "select_atoms"]

_PER_FRAME = ("positions", "velocities", "boxes", "features", "virial_features", "energies",
              "learnable_energies")


@dataclass(frozen=True, eq=False)
class State:
    """What a frame was sampled from.

    Parameters
    ----------
    coefficients
        Spline coefficients of all learnable potentials in model order, [F], kJ/mol.
    temperature
        K.
    pressure
        kJ/mol/nm^3 (bar times `units.BAR`); None is constant volume.
    parameters
        Values of the learnt global parameters by name, in the units of their Forces.

    Raises
    ------
    ValueError
        If a coefficient or parameter is not finite, or T is not positive.
    """

    coefficients: np.ndarray
    temperature: float
    pressure: float | None = None
    parameters: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        coefficients = np.array(self.coefficients, dtype=float).reshape(-1)
        require(bool(np.isfinite(coefficients).all()), "State", "coefficients contain NaN or infinite values",
                "Sample with finite parameters")
        require(np.isfinite(self.temperature) and self.temperature > 0, "State",
                f"temperature must be positive, found {self.temperature} K", "Give the temperature in K")
        parameters = {name: float(value) for name, value in self.parameters.items()}
        require(all(map(np.isfinite, parameters.values())), "State",
                f"parameters must be finite, found {parameters}", "Sample with finite parameters")
        object.__setattr__(self, "coefficients", coefficients)
        object.__setattr__(self, "parameters", parameters)

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, State) and self.temperature == other.temperature
                and self.pressure == other.pressure and self.parameters == other.parameters
                and np.array_equal(self.coefficients, other.coefficients))

    __hash__ = None


@dataclass(eq=False)
class Frames:
    r"""S equilibrium configurations of one system, and the states (parameters, T, p) that made them.

    Frames slice like arrays: ``frames[::2]``, ``frames[indices]`` and ``frames[mask]`` are Frames.

    Parameters
    ----------
    positions
        [S, N, 3], nm; may be memory-mapped. Need not be wrapped into the box.
    states
        The `State` objects that made the frames, or one State.
    state_index
        [S] of int: which State made each frame; may be left out for one State.
    velocities
        [S, N, 3], nm/ps, at the time of the positions (not half-step), or None.
    boxes
        [S, 3, 3], nm, rows a, b, c; one [3, 3] serves all frames; None is not periodic.
    features
        :math:`\Phi = \partial U/\partial c`, [S, F], of all learnable potentials in model order,
        dimensionless.
    virial_features
        d(tr W)/dc, [S, F], dimensionless; W the virial of the learnable potentials.
    energies
        Total potential energy, [S], kJ/mol.
    learnable_energies
        Energy of the learnable potentials in the state that made the frame, [S], kJ/mol; needed only where it
        is not ``features @ coefficients`` (potentials evaluated without their spline).
    masses
        [N], amu; 0 for virtual sites.
    topology
        The `mdtraj.Topology` for selections by name, or None.

    Raises
    ------
    ValueError
        If shapes disagree or an array in memory has NaN or infinite values.

    Examples
    --------
    >>> frames = Frames(np.zeros((3, 2, 3)), State([0.5], temperature=300.0), boxes=np.eye(3))
    >>> len(frames), frames.n_atoms, frames[1:].boxes.shape
    (3, 2, (2, 3, 3))
    """

    positions: np.ndarray
    states: Sequence[State] | State
    state_index: np.ndarray | None = None
    velocities: np.ndarray | None = None
    boxes: np.ndarray | None = None
    features: np.ndarray | None = None
    virial_features: np.ndarray | None = None
    energies: np.ndarray | None = None
    learnable_energies: np.ndarray | None = None
    masses: np.ndarray | None = None
    topology: Any = None
    _observed: dict = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.states = [self.states] if isinstance(self.states, State) else list(self.states)
        self.positions = _float_array(self.positions)
        require(self.positions.ndim == 3 and self.positions.shape[2] == 3, "Frames",
                f"positions must have shape [S, N, 3], found {list(self.positions.shape)}",
                "Stack the frames")
        n_frames, n_atoms = self.positions.shape[:2]
        if self.boxes is not None:
            boxes = _float_array(self.boxes)
            self.boxes = np.broadcast_to(boxes, (n_frames, 3, 3)) if boxes.shape == (3, 3) else boxes
        require(bool(self.states), "Frames", "expected at least one State, found none",
                "Say what the frames were sampled from")
        n_coefficients = len(self.states[0].coefficients)
        shapes = {"velocities": (n_frames, n_atoms, 3), "boxes": (n_frames, 3, 3),
                  "features": (n_frames, n_coefficients), "virial_features": (n_frames, n_coefficients),
                  "energies": (n_frames,), "learnable_energies": (n_frames,), "masses": (n_atoms,)}
        self._check("positions", (n_frames, n_atoms, 3))
        for name, shape in shapes.items():
            self._check(name, shape)
        given = self.state_index is not None
        index = np.asarray(self.state_index, dtype=int) if given else np.zeros(n_frames, dtype=int)
        require(index.shape == (n_frames,) and (given or len(self.states) == 1), "Frames",
                f"{len(self.states)} states need a state_index of shape [{n_frames}], "
                f"found {list(index.shape) if given else None}", "Say which State made each frame")
        require(n_frames == 0 or (index.min() >= 0 and index.max() < len(self.states)), "Frames",
                f"state_index must be from 0 to {len(self.states) - 1}", "Name States in the list")
        self.state_index = index
        require(self.topology is None or self.topology.n_atoms == n_atoms, "Frames",
                f"the topology must have {n_atoms} atoms", "Pass the topology of these positions")

    def _check(self, name: str, shape: tuple[int, ...]) -> None:
        array = getattr(self, name)
        if array is None:
            return
        array = _float_array(array)
        require(array.shape == shape, "Frames",
                f"{name} must have shape {list(shape)}, found {list(array.shape)}",
                "Pass one entry per frame, atom and coefficient")
        in_memory = not isinstance(array, np.memmap)
        require(not in_memory or bool(np.isfinite(array).all()), "Frames",
                f"{name} contain NaN or infinite values", "Remove the frames where the simulation failed")
        setattr(self, name, array)

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def n_atoms(self) -> int:
        """N."""
        return self.positions.shape[1]

    @property
    def temperature(self) -> float:
        """K, common to all frames.

        Raises
        ------
        ValueError
            If frames of several temperatures were concatenated.
        """
        found = sorted({state.temperature for state in self.states})
        require(len(found) == 1, "Frames",
                f"expected one temperature, found {', '.join(f'{t:g}' for t in found)} K",
                "Keep frames of different temperatures in separate Frames")
        return found[0]

    @property
    def volumes(self) -> np.ndarray:
        """[S], nm^3.

        Raises
        ------
        ValueError
            If the frames have no box.
        """
        require(self.boxes is not None, "Frames", "expected periodic frames, found no boxes",
                "Sample a periodic System, or pass boxes=")
        return np.abs(np.linalg.det(self.boxes))

    def __getitem__(self, index: Any) -> Frames:
        if isinstance(index, int | np.integer):
            require(-len(self) <= index < len(self), "Frames", f"frame {index} of {len(self)} does not exist",
                    "Count from 0", IndexError)
            index = slice(index, index + 1 or None)
        used, renumbered = np.unique(self.state_index[index], return_inverse=True)
        arrays = {name: getattr(self, name)[index] for name in _PER_FRAME if getattr(self, name) is not None}
        states = [self.states[k] for k in used] or self.states[:1]
        return replace(self, **arrays, states=states, state_index=renumbered.reshape(-1))

    @classmethod
    def concatenate(cls, parts: Sequence[Frames]) -> Frames:
        """Frames of several runs of one system in a row; equal States become one.

        Arrays that some part lacks are left out.

        Raises
        ------
        ValueError
            If there is no part, or the systems or their coefficients differ in size.
        """
        parts = list(parts)
        require(bool(parts), "Frames.concatenate", "expected at least one Frames, found none",
                "Pass a list of Frames")
        for label, sizes in (("atoms", {p.n_atoms for p in parts}),
                             ("coefficients", {len(s.coefficients) for p in parts for s in p.states})):
            require(len(sizes) == 1, "Frames.concatenate", f"numbers of {label} differ: {sorted(sizes)}",
                    "Concatenate frames of one Model")
        states: list[State] = []
        index = []
        for part in parts:
            for state in part.states:
                if state not in states:
                    states.append(state)
            place = np.array([states.index(state) for state in part.states])
            index.append(place[part.state_index])
        arrays = {name: np.concatenate([getattr(p, name) for p in parts])
                  for name in _PER_FRAME if all(getattr(p, name) is not None for p in parts)}
        return cls(**arrays, states=states, state_index=np.concatenate(index), masses=parts[0].masses,
                   topology=parts[0].topology)

    def select(self, selection: Any) -> np.ndarray:
        """Indices of None (all), an mdtraj selection, indices or a mask: see `select_atoms`."""
        return select_atoms(selection, self.n_atoms, self.topology, "Frames.select")

    def observed(self, observable: Any) -> Tensor:
        """``observable(self)``, [S, ...], computed once unless the observable is explicit in parameters."""
        if observable.explicit:
            return observable(self)
        if observable not in self._observed:
            self._observed[observable] = observable(self)
        return self._observed[observable]

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Write a directory of .npy files and JSON (no pickle); `Frames.load` maps it back."""
        with FrameWriter(path, self.states, self.masses, self.topology, overwrite=overwrite) as writer:
            for s in range(len(self)):
                row = {_SINGULAR.get(name, name): getattr(self, name)[s]
                       for name in _PER_FRAME if getattr(self, name) is not None}
                writer.append(**row, state=self.state_index[s])

    @classmethod
    def load(cls, path: str | Path) -> Frames:
        """Memory-mapped Frames of a directory written by `save` or `FrameWriter`.

        Raises
        ------
        FileNotFoundError
            If the directory or one of its files is missing.
        ValueError
            If it was not written by this package, or a file is truncated.
        """
        arrays, facts = read_arrays(path)
        require(bool(arrays), "Frames.load", f"{path} holds no complete frame", "Sample again")
        states = [State(**state) for state in facts["states"]]
        return cls(**arrays, states=states, masses=facts["masses"],
                   topology=topology_from_table(facts["topology"]))

    @classmethod
    def from_mdtraj(cls, trajectory: Any, temperature: float, pressure: float | None = None) -> Frames:
        """Frames of an `mdtraj.Trajectory`, without features: for observables and targets, not for weights.

        Parameters
        ----------
        trajectory
            Positions in nm; its unit cells become the boxes.
        temperature
            K.
        pressure
            kJ/mol/nm^3, or None.
        """
        boxes = trajectory.unitcell_vectors
        masses = [a.element.mass if a.element else 0.0 for a in trajectory.topology.atoms]
        return cls(trajectory.xyz, State([], temperature, pressure), boxes=boxes, masses=masses,
                   topology=trajectory.topology)

    def to_mdtraj(self) -> Any:
        """An `mdtraj.Trajectory` of positions and boxes (single precision, as mdtraj has it).

        Raises
        ------
        ValueError
            If there is no topology.
        """
        import mdtraj

        require(self.topology is not None, "Frames.to_mdtraj", "expected a topology, found none",
                "Pass topology= where the frames are made")
        trajectory = mdtraj.Trajectory(np.array(self.positions, dtype=np.float32), self.topology)
        if self.boxes is not None:
            trajectory.unitcell_vectors = np.array(self.boxes, dtype=np.float32)
        return trajectory


_SINGULAR = {"boxes": "box", "energies": "energy", "learnable_energies": "learnable_energy"}


class FrameWriter:
    """Collects frames one by one, in memory or on disk.

    On disk at most `buffer_frames` frames are held in memory, and a crash loses at most those.

    Parameters
    ----------
    path
        A directory for the frames; None keeps them in memory.
    state
        The State, or States, that make the frames.
    masses, topology
        As in `Frames`.
    buffer_frames
        Frames between two writes to disk.
    overwrite
        Replace frames that the directory holds.
    """

    def __init__(self, path: str | Path | None, state: State | Sequence[State], masses: Any = None,
                 topology: Any = None, *, buffer_frames: int = 32, overwrite: bool = False) -> None:
        self._states = [state] if isinstance(state, State) else list(state)
        self._masses, self._topology = masses, topology
        self._rows: list[dict[str, np.ndarray]] = []
        self._shapes: dict[str, tuple[int, ...]] = {}
        self.path = path
        self._n_frames = 0
        self._disk = None
        if path is not None:
            states = [{"coefficients": s.coefficients.tolist(), "temperature": float(s.temperature),
                       "pressure": s.pressure} | ({"parameters": s.parameters} if s.parameters else {})
                      for s in self._states]
            masses = None if masses is None else np.asarray(masses, dtype=float).tolist()
            facts = {"states": states, "masses": masses, "topology": topology_table(topology)}
            self._disk = GrowingArrays(path, facts, buffer_frames, overwrite)

    def __len__(self) -> int:
        return self._n_frames

    def append(self, positions: Any, velocities: Any = None, box: Any = None, features: Any = None,
               virial_features: Any = None, energy: Any = None, learnable_energy: Any = None,
               state: int = 0) -> None:
        """Add one frame: positions [N, 3], velocities [N, 3], box [3, 3], features [F], energies scalar.

        Raises
        ------
        ValueError
            If a value is not finite, or arrays differ in name or shape from those of the first frame.
        """
        given = {"positions": positions, "velocities": velocities, "boxes": box, "features": features,
                 "virial_features": virial_features, "energies": energy,
                 "learnable_energies": learnable_energy, "state_index": state}
        row = {name: np.array(value, dtype=float) for name, value in given.items() if value is not None}
        for name, array in row.items():
            require(bool(np.isfinite(array).all()), "FrameWriter",
                    f"{name} of frame {self._n_frames} contain NaN or infinite values",
                    "Use a shorter timestep")
        shapes = {name: array.shape for name, array in row.items()}
        self._shapes = self._shapes or shapes
        require(shapes == self._shapes, "FrameWriter",
                f"frame {self._n_frames} has arrays {shapes}, and the first had {self._shapes}",
                "Pass the same arrays for every frame")
        (self._rows if self._disk is None else self._disk).append(row)
        self._n_frames += 1

    def close(self, learnable_energies: Callable[[Frames], np.ndarray] | None = None) -> Frames:
        """Finish, and return the frames: in memory, or memory-mapped from the directory.

        Parameters
        ----------
        learnable_energies
            A function that gives ``learnable_energies`` [S], kJ/mol, of the finished frames, to be stored with them.
        """
        require(self._n_frames > 0, "FrameWriter", "expected at least one frame, found none",
                "Append frames first")
        if self._disk is not None:
            self._disk.flush()
            frames = Frames.load(self.path)
            if learnable_energies is None:
                return frames
            self._disk.add("learnable_energies", learnable_energies(frames))
            return Frames.load(self.path)
        arrays = {name: np.stack([row[name] for row in self._rows]) for name in self._shapes}
        frames = Frames(**arrays, states=self._states, masses=self._masses, topology=self._topology)
        if learnable_energies is not None:
            frames = replace(frames, learnable_energies=learnable_energies(frames))
        return frames

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._disk is not None:
            self._disk.flush()


def _float_array(array: Any) -> np.ndarray:
    """float64, keeping a memory map as it is."""
    if isinstance(array, np.memmap) and array.dtype == np.float64:
        return array
    return np.asarray(array, dtype=np.float64)
