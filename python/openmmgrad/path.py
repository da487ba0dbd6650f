# SPDX-License-Identifier: MIT
"""Path: trajectories that start from frames, as plain tensors with graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import require
from .frames import Frames
from .selection import select_atoms
from .units import plain


@dataclass(eq=False)
class Path:
    r"""S windows of one system's trajectory, each T times long.

    ``path[2:5]``, ``path[indices]`` and ``path[mask]`` are Paths of some windows. Any function of ``path.positions``
    and ``path.velocities`` that torch can differentiate is an observable: its values [S, ...] go to `expectation`.

    Parameters
    ----------
    positions
        [S, T, N, 3], nm, unwrapped: an atom that leaves the box is not moved back. None where only ``observed`` was
        kept.
    velocities
        [S, T, N, 3], nm/ps. With ``half_step``, entry t is the velocity half a timestep before the positions of
        entry t; without, at their time. Or None.
    times
        [T], ps, evenly spaced, ``stride * timestep`` apart. 0 is the frame that the window starts from; a two-sided
        window has negative times before it.
    timestep
        Of the integrator, ps.
    stride
        Steps from one stored time to the next.
    masses
        [N], amu; 0 for virtual sites.
    boxes
        [S, 3, 3], nm, constant in time; one [3, 3] serves all windows; None is not periodic.
    observed
        [S, T, ...], what a user's function kept of each time, or None.
    topology
        The `mdtraj.Topology` for selections by name, or None.
    temperature
        Of the frames that the windows start from, K, or None.
    half_step
        Whether the velocities are half a timestep behind the positions.
    memory
        What `propagate` keeps for the reverse sweep: {"bytes", "checkpoint_every"} (None where all is kept), or None.

    Raises
    ------
    ValueError
        If shapes disagree, times are not evenly spaced or lack 0, or a value is NaN or infinite.

    Examples
    --------
    A free atom, for two windows of three times:

    >>> v = torch.ones(2, 3, 1, 3, dtype=torch.float64, requires_grad=True)
    >>> path = Path(v.cumsum(1) * 0.5, v, times=[0.0, 0.5, 1.0], timestep=0.5, masses=[40.0])
    >>> len(path), path.n_atoms, path[:1].positions.shape
    (2, 1, torch.Size([1, 3, 1, 3]))

    Any function of the path is an observable; here, the mean squared velocity of each window:

    >>> from openmmgrad.estimate import expectation
    >>> from openmmgrad.weights import Weights
    >>> def squared(positions, velocities):
    ...     return (velocities**2).sum(-1).mean((1, 2))
    >>> average = expectation(squared(path.positions, path.velocities), Weights.uniform(2)).mean
    >>> average.backward()
    >>> round(average.item(), 9), round(v.grad.sum().item(), 9)
    (3.0, 6.0)
    """

    positions: Tensor | None
    velocities: Tensor | None
    times: np.ndarray
    timestep: float
    stride: int = 1
    masses: np.ndarray | None = None
    boxes: np.ndarray | None = None
    observed: Tensor | None = None
    topology: Any = None
    temperature: float | None = None
    half_step: bool = True
    memory: dict[str, int | None] | None = None

    def __post_init__(self) -> None:
        self.times = np.asarray(plain(self.times, "ps"), dtype=float)
        self.timestep, self.stride = float(plain(self.timestep, "ps")), int(self.stride)
        self._check_times()
        for name in ("positions", "velocities", "observed"):
            if getattr(self, name) is not None:
                setattr(self, name, torch.as_tensor(getattr(self, name)).to(torch.float64))
        given = self._first_array()
        require(given is not None and given.ndim >= 2 and given.shape[1] == len(self.times), "Path",
                f"expected positions [S, T, N, 3] or observed [S, T, ...] with T = {len(self.times)} times, "
                f"found {None if given is None else list(given.shape)}", "Stack the times of each window")
        require(self.masses is not None, "Path", "expected masses, found none", "Pass masses=, amu, one per atom")
        self.masses = np.array(plain(self.masses, "amu"), dtype=float).reshape(-1)
        require(bool((np.isfinite(self.masses) & (self.masses >= 0)).all()), "Path",
                "masses must be finite and not negative", "Give them in amu; 0 for virtual sites")
        if self.boxes is not None:
            boxes = np.asarray(plain(self.boxes, "nm"), dtype=float)
            self.boxes = np.broadcast_to(boxes, (len(given), 3, 3)) if boxes.shape == (3, 3) else boxes
        self._check_shapes(len(given))

    def _check_times(self) -> None:
        require(self.timestep > 0 and np.isfinite(self.timestep) and self.stride >= 1, "Path",
                f"timestep must be positive and stride at least 1, found {self.timestep} ps and {self.stride}",
                "Give the timestep in ps")
        require(self.times.ndim == 1 and len(self.times) > 0, "Path",
                f"times must have shape [T], found {list(self.times.shape)}", "Give one time per entry, ps")
        gaps = np.diff(self.times)
        uneven = gaps[np.abs(gaps / self.interval - 1) >= 1e-6]
        require(len(uneven) == 0, "Path",
                f"times must be stride * timestep = {self.interval:g} ps apart, found {len(uneven)} other gaps, "
                f"the first of {uneven[:1]} ps", "Store every time, or give the stride that was used")
        require(abs(self.times[self.origin]) < 1e-6 * self.interval, "Path",
                f"one of the times must be 0, found {self.times[0]:g} to {self.times[-1]:g} ps",
                "Count time from the frame that the window starts from")

    def _check_shapes(self, n_windows: int) -> None:
        atoms = (n_windows, len(self.times), len(self.masses), 3)
        for name, shape in {"positions": atoms, "velocities": atoms, "boxes": (n_windows, 3, 3)}.items():
            array = getattr(self, name)
            require(array is None or tuple(array.shape) == shape, "Path",
                    f"{name} must have shape {list(shape)}, found {None if array is None else list(array.shape)}",
                    "Give one entry per window, time and atom")
        for name in ("positions", "velocities", "observed", "boxes"):
            array = getattr(self, name)
            total = 0.0 if array is None else (array.detach() if isinstance(array, Tensor) else array).sum()
            require(np.isfinite(float(total)), "Path", f"{name} contain NaN or infinite values",
                    "Use a shorter timestep")
        require(self.observed is None or tuple(self.observed.shape[:2]) == atoms[:2], "Path",
                f"observed must have shape {list(atoms[:2])} and more, found "
                f"{None if self.observed is None else list(self.observed.shape)}", "Give one entry per window and time")
        require(self.topology is None or self.topology.n_atoms == len(self.masses), "Path",
                f"the topology must have {len(self.masses)} atoms", "Pass the topology of these positions")

    def _first_array(self) -> Tensor | None:
        return next((x for x in (self.positions, self.velocities, self.observed) if x is not None), None)

    def __len__(self) -> int:
        return len(self._first_array())

    @property
    def n_atoms(self) -> int:
        """N."""
        return len(self.masses)

    @property
    def interval(self) -> float:
        """Time from one stored entry to the next, ps."""
        return self.timestep * self.stride

    @property
    def origin(self) -> int:
        """Index of time 0: the frame that each window starts from."""
        return int(np.argmin(np.abs(self.times)))

    def __getitem__(self, index: Any) -> Path:
        if isinstance(index, int | np.integer):
            require(-len(self) <= index < len(self), "Path", f"window {index} of {len(self)} does not exist",
                    "Count from 0", IndexError)
            index = slice(index, index + 1 or None)
        chosen = {name: getattr(self, name)[index] for name in ("positions", "velocities", "observed", "boxes")
                  if getattr(self, name) is not None}
        return replace(self, **chosen)

    def select(self, selection: Any) -> np.ndarray:
        """Indices of None (all), an mdtraj selection, indices or a mask: see `Frames.select`."""
        return select_atoms(selection, self.n_atoms, self.topology, "Path.select")

    def detach(self) -> Path:
        """The same path without graph."""
        kept = {name: getattr(self, name).detach() for name in ("positions", "velocities", "observed")
                if getattr(self, name) is not None}
        return replace(self, **kept)

    def on_step_velocities(self) -> Tensor:
        """Velocities at the time of the positions, nm/ps, with graph.

        The mean of the half-step velocities before and after, [S, T-1, N, 3], at ``times[:-1]``: the last time has
        none after it. Velocities that are on-step already are returned as they are, [S, T, N, 3].

        Raises
        ------
        ValueError
            If there are no velocities, or half-step velocities are more than one timestep apart.
        """
        who = "Path.on_step_velocities"
        require(self.velocities is not None, who, "expected velocities, found none", "Propagate without observe=")
        if not self.half_step:
            return self.velocities
        require(self.stride == 1, who, f"neighbours must be one timestep apart, found stride = {self.stride}",
                "Propagate with stride=1")
        return 0.5 * (self.velocities[:, 1:] + self.velocities[:, :-1])

    def to_mdtraj(self, window: int = 0) -> Any:
        """An `mdtraj.Trajectory` of one window (single precision, as mdtraj has it).

        Raises
        ------
        ValueError
            If there are no positions or no topology.
        IndexError
            If there is no such window.
        """
        import mdtraj

        who = "Path.to_mdtraj"
        require(self.positions is not None, who, "expected positions, found none", "Propagate without observe=")
        require(self.topology is not None, who, "expected a topology, found none", "Pass topology= to the Model")
        one = self[int(window)]
        trajectory = mdtraj.Trajectory(one.positions[0].detach().numpy().astype(np.float32), self.topology,
                                       time=self.times)
        if self.boxes is not None:
            trajectory.unitcell_vectors = np.repeat(one.boxes.astype(np.float32), len(self.times), axis=0)
        return trajectory

    @classmethod
    def from_frames(cls, frames: Frames, timestep: float, stride: int = 1, n_times: int | None = None,
                    start_every: int | None = None, unwrap: bool = True) -> Path:
        """Windows of one stored trajectory, such as a long run at constant volume.

        Parameters
        ----------
        frames
            In time order, of one box; their velocities are on-step.
        timestep
            ps.
        stride
            Timesteps from one frame to the next.
        n_times
            T, frames per window; None makes one window of all frames.
        start_every
            Frames from the start of one window to that of the next; None is ``n_times``: no overlap. Overlapping
            windows share memory.
        unwrap
            Follow each atom through the boundary by the nearest image of its last position: right where no atom
            moves half the box from one frame to the next. False takes the positions as they are.

        Raises
        ------
        ValueError
            If there are too few frames, no masses, or the box changes.

        Examples
        --------
        >>> from openmmgrad.frames import State
        >>> x = np.array([0.7, 0.9, 0.1, 0.3, 0.5])[:, None, None] * np.ones((1, 3))
        >>> frames = Frames(x, State([], 300.0), boxes=np.eye(3), masses=[40.0])
        >>> path = Path.from_frames(frames, timestep=0.002, stride=10, n_times=3, start_every=2)
        >>> path.positions[:, :, 0, 0].numpy().round(12).tolist()
        [[0.7, 0.9, 1.1], [1.1, 1.3, 1.5]]
        """
        who = "Path.from_frames"
        require(isinstance(frames, Frames), who, f"expected Frames, found {type(frames).__name__}",
                "Pass what Ensemble.sample or Frames.from_mdtraj returns", TypeError)
        n_times = len(frames) if n_times is None else int(n_times)
        start_every = n_times if start_every is None else int(start_every)
        require(1 <= n_times <= len(frames) and start_every >= 1, who,
                f"expected windows of 1 to {len(frames)} frames and start_every from 1, "
                f"found n_times = {n_times} and start_every = {start_every}", "Use shorter windows or more frames")
        require(frames.masses is not None, who, "expected frames with masses, found none", "Pass masses= to Frames")
        box = None if frames.boxes is None else np.array(frames.boxes[0])
        require(box is None or bool(np.abs(frames.boxes - box).max() <= 1e-9 * np.abs(box).max()), who,
                "the box changes in time, and a path's is constant", "Use frames at constant volume")
        arrays = {"positions": np.array(frames.positions), "velocities": frames.velocities}
        if unwrap and box is not None:
            _unwrap(arrays["positions"], box)
        windows = {name: None if array is None else windows_of(array, n_times, start_every)
                   for name, array in arrays.items()}
        return cls(**windows, times=np.arange(n_times) * stride * timestep, timestep=timestep, stride=stride,
                   masses=frames.masses, boxes=box, topology=frames.topology, temperature=frames.temperature,
                   half_step=False)


def _unwrap(positions: np.ndarray, box: np.ndarray) -> None:
    """Take whole box vectors out of every step of positions [T, N, 3], in place."""
    inverse, shift = np.linalg.inv(box), np.zeros(positions.shape[1:])
    last = positions[0].copy()
    for t in range(1, len(positions)):
        shift -= np.rint((positions[t] - last) @ inverse)
        last = positions[t].copy()
        positions[t] += shift @ box


def windows_of(array: np.ndarray, n_times: int, start_every: int) -> Tensor:
    """Windows [S, T, ...] of a series [T', ...], float64: views of one copy."""
    return torch.as_tensor(np.array(array, dtype=float)).unfold(0, n_times, start_every).movedim(-1, 1)
