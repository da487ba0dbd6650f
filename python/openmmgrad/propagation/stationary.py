# SPDX-License-Identifier: MIT
"""More from stationary dynamics: every time of a run as the start of a window, and noise that is known to be zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import require
from ..features import compute_features
from ..frames import Frames, State
from ..model import Model
from ..path import Path
from ..units import KB


def time_origins(observable: Callable[[Path], Tensor], runs: Path, model: Model, length: float, every: float,
                 stride: int = 1) -> tuple[Tensor, Frames]:
    r"""An observable from every time of long runs, and the frames at these times.

    Constant-energy dynamics of the model from canonical frames stays canonical, so that each time of a run is a frame
    as good as the first, and what follows it a window that costs nothing more. With `weights` of these frames,

    .. math:: \left. \frac{d\langle O \rangle}{d\theta} \right|_\text{weights} =
        -\beta\, \mathrm{Cov}\big(O[x(t), v(t)],\ dU_\theta/d\theta\,(x(t))\big)

    is averaged over all times t. For self-diffusion of argon this takes a third of the time that separate windows take.

    Parameters
    ----------
    observable
        Of a `Path`: [S, ...].
    runs
        R runs of the model's present parameters, without noise, longer than ``length``: propagated from canonical
        frames, best under ``torch.no_grad()``. Half-step velocities need stride = 1; those of the windows are on-step.
    model
        The Model that made them.
    length
        Of each window, ps.
    every
        From the start of a window to that of the next, ps.
    stride
        Keep every so manieth time of each window.

    Returns
    -------
    values
        [R W, ...], run by run in the order of time, W windows of each run.
    frames
        The R W frames that the windows start from, with the features that `weights` needs.

    Raises
    ------
    ValueError
        If the runs are shorter than a window, or made with noise; further as `Path.on_step_velocities`.

    Notes
    -----
    A run of constant energy visits one energy: take many runs of a few windows' length, not a few long ones.
    Neighbouring windows are correlated, and `expectation` finds how much.

    How a gradient divides into what the weights and what the paths contribute depends on where in its window the frame
    is; their sum does not. Take both parts from windows of this function, with graph for the second: those of half-step
    velocities begin half a timestep earlier, and for argon with steps of 10 fs their parts differ by 5 % of the sum.

    Examples
    --------
    One atom in free flight, which moves 0.5 nm in every window:

    >>> import openmm
    >>> system = openmm.System()
    >>> _ = system.addParticle(40.0)
    >>> model = Model(system)
    >>> t = np.arange(5) * 0.5
    >>> runs = Path(t[None, :, None, None] * np.ones(3), np.ones((1, 5, 1, 3)), t, timestep=0.5, masses=[40.0],
    ...             temperature=300.0, half_step=False)
    >>> moved, frames = time_origins(lambda path: path.positions[:, -1, 0] - path.positions[:, 0, 0], runs, model,
    ...                              length=0.5, every=1.0)
    >>> moved[:, 0].tolist(), frames.positions[:, 0, 0].tolist()
    ([0.5, 0.5], [0.0, 1.0])
    """
    who = "time_origins"
    require(runs.positions is not None and runs.velocities is not None, who,
            "expected runs with positions and velocities, found observed values only", "Propagate without observe=")
    require(runs.origin == 0, who, f"expected runs that start at time 0, found {runs.times[0]:g} ps",
            "Propagate with two_sided=False")
    velocities = runs.on_step_velocities()
    positions = runs.positions[:, :velocities.shape[1]]
    n, step = _whole(length, runs.interval, "length"), _whole(every, runs.interval, "every")
    available = velocities.shape[1] - 1
    require(stride >= 1 and n % stride == 0 and n <= available, who,
            f"expected windows of up to {available} times and a whole number of strides, found {n} and stride {stride}",
            "Propagate longer runs, or change length or stride")
    facts = {"timestep": runs.timestep, "stride": stride * runs.stride, "masses": runs.masses,
             "topology": runs.topology, "temperature": runs.temperature, "half_step": False}
    times = np.arange(0, n + 1, stride) * runs.interval
    values = [observable(Path(_windows(x, n, step, stride), _windows(v, n, step, stride), times=times,
                              boxes=None if runs.boxes is None else runs.boxes[r], **facts))
              for r, (x, v) in enumerate(zip(positions.unbind(0), velocities.unbind(0), strict=True))]
    return torch.cat(values), _frames(positions, velocities, slice(0, available - n + 1, step), runs, model)


def kinetic_control(values: Tensor, frames: Frames) -> Tensor:
    r"""Values without the part that goes with the kinetic energy of their frames.

    .. math:: O_s - a\,(K_s - \langle K \rangle), \qquad \langle K \rangle = \tfrac 32 (N-1)\, k_B T

    with K in the frame of the centre of mass, and a from least squares. Positions know nothing of momenta in the
    canonical ensemble: K has a mean that is known and does not change with the potential, and no covariance with any
    energy of positions. So neither <O> nor its gradient changes, only the noise of <O> and of the gradient through
    `weights`. The slope is a constant of the graph.

    Parameters
    ----------
    values
        [S, ...], of windows that start from the frames.
    frames
        S canonical frames with velocities and masses, without constraints.

    Raises
    ------
    ValueError
        If there are fewer than 3 frames, or no velocities or masses.

    Notes
    -----
    The slope is fitted to the same frames: with few of them, the mean is off by the order of 1/S of its noise.

    References
    ----------
    A. B. Owen, Monte Carlo theory, methods and examples (2013), chapter 8.9: control variates by regression.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> v = rng.normal(size=(50, 4, 3)) * np.sqrt(KB * 300.0 / 40.0)
    >>> v -= v.mean(1, keepdims=True)                                       # equal masses: no motion of the centre
    >>> frames = Frames(np.zeros(v.shape), State([], 300.0), velocities=v, masses=[40.0] * 4)
    >>> energy = torch.as_tensor(20.0 * (v**2).sum((1, 2)))                 # its mean is 4.5 kT = 11.22 kJ/mol
    >>> kinetic_control(energy, frames).numpy().round(2).tolist()[:3]
    [11.22, 11.22, 11.22]
    """
    who = "kinetic_control"
    require(frames.velocities is not None and frames.masses is not None, who,
            "expected frames with velocities and masses, found none", "Sample them with an Ensemble")
    require(len(values) == len(frames) >= 3, who,
            f"expected values of at least 3 frames, found {len(values)} values and {len(frames)} frames",
            "Use the frames that the windows start from")
    m = frames.masses
    v = np.asarray(frames.velocities)
    v = v - (np.einsum("n,sni->si", m, v) / m.sum())[:, None]
    kinetic = torch.as_tensor(0.5 * np.einsum("n,sni,sni->s", m, v, v))
    expected = 1.5 * (np.count_nonzero(m) - 1) * KB * frames.temperature
    about = kinetic - kinetic.mean()
    flat = values.reshape(len(values), -1)
    slope = about @ flat.detach() / (about @ about)
    return (flat - (kinetic - expected)[:, None] * slope).reshape(values.shape)


def _whole(duration: float, interval: float, name: str) -> int:
    n = round(duration / interval)
    require(n >= 1 and abs(n * interval - duration) < 1e-6 * interval, "time_origins",
            f"{name} must be a multiple of {interval:g} ps, found {duration:g} ps",
            "Give whole intervals between the times of the runs")
    return n


def _windows(array: Tensor, n: int, step: int, stride: int) -> Tensor:
    """Windows [W, n/stride + 1, N, 3] of one run [T, N, 3]; a view."""
    return array.unfold(0, n + 1, step)[..., ::stride].movedim(-1, 1)


def _frames(positions: Tensor, velocities: Tensor, starts: slice, runs: Path, model: Model) -> Frames:
    arrays: dict[str, Any] = {name: array[:, starts].detach().flatten(0, 1).numpy()
                              for name, array in (("positions", positions), ("velocities", velocities))}
    boxes = None if runs.boxes is None else np.repeat(runs.boxes, len(arrays["positions"]) // len(runs), axis=0)
    return compute_features(model, Frames(**arrays, states=State([], runs.temperature), boxes=boxes,
                                          masses=runs.masses, topology=runs.topology))
