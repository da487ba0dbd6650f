# SPDX-License-Identifier: MIT
"""Boltzmann weights of stored frames under other parameters."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from .errors import require
from .frames import Frames
from .units import KB


@runtime_checkable
class Reweightable(Protocol):
    """What `weights` asks of a model.

    A model that also has ``reevaluates = True`` is not linear in its coefficients: then ``energies(frames)``
    is its learnable energy of stored frames, [S], kJ/mol, with graph. A model with ``parameter_names`` learns global
    parameters of Forces: ``parameter_energies(frames, values, platform, threads)`` is the energy of these Forces,
    [S], kJ/mol, with graph to values [G]; None takes the present ones.
    """

    def coefficients(self, temperature: float) -> Tensor:
        """All learnable coefficients at a temperature (K), [F], kJ/mol, with graph."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Normalised weights of S frames.

    Parameters
    ----------
    w
        [S], sums to 1, with graph to the model's parameters.
    segments
        [S] of int: frames with equal numbers come from one state, in time order; None is one segment.
    """

    w: Tensor
    segments: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.w)

    @cached_property
    def n_eff(self) -> float:
        """Kish's effective sample size 1/sum(w^2), between 1 and S (not differentiated)."""
        return float(1.0 / (self.w.detach() ** 2).sum())

    @classmethod
    def uniform(cls, n_frames: int) -> Weights:
        """Equal weights of S frames.

        Examples
        --------
        >>> Weights.uniform(4).n_eff
        4.0
        """
        require(n_frames >= 1, "Weights.uniform", f"expected at least 1 frame, found {n_frames}",
                "Sample first")
        return cls(torch.full((n_frames,), 1.0 / n_frames, dtype=torch.float64))


def weights(model: Reweightable | Tensor, frames: Frames, pressure: float | None = None, *, platform: str = "CPU",
            threads: int | None = 1) -> Weights:
    r"""Boltzmann weights of stored frames under the model's present parameters, at the frames' temperature.

    .. math:: w_s \propto e^{-\beta\,[U_\theta(x_s) - U_0(x_s)]},\qquad
        U_\theta(x_s) = \mathbf{c}\cdot\Phi_s + U_\text{par}(x_s) + U_\text{torch}(x_s)

    for frames of one state, and for frames of M states the mixture (MBAR) weights

    .. math:: w_s \propto \frac{e^{-\beta\,(U_\theta(x_s) + P V_s)}}
                               {\sum_{k=1}^M N_k\, e^{f_k - \beta\,(U_k(x_s) + P_k V_s)}}

    Symbol -> code: c -> ``model.coefficients(T)``, those of the states -> ``frames.states[k].coefficients``;
    Phi_s -> ``frames.features[s]``; U_par: the Forces with learnt parameters, evaluated at
    ``model.parameter_values()`` and at ``frames.states[k].parameters`` in one Context; U_torch: torch energies, and
    pair potentials without their spline, evaluated by torch and compared with ``frames.learnable_energies``; f_k: the
    states' free energies in kT, from pymbar.

    Parameters
    ----------
    model
        A `Reweightable`, or its coefficients as a tensor [F], kJ/mol.
    frames
        S frames with features, all at one temperature; their states may differ in coefficients, parameters and
        pressure. Torch energies need frames of one state.
    pressure
        kJ/mol/nm^3 of the state that is wanted; needed only where the frames' pressures differ.
    platform, threads
        Where learnt global parameters are evaluated: see `Model.parameter_energies` for the noise. Not used otherwise.

    Returns
    -------
    Weights
        With graph to the parameters; d<O>/dc = -beta Cov(O, Phi), d<O>/dtheta = -beta Cov(O, dU/dtheta).

    Raises
    ------
    ValueError
        If the frames have no features, the numbers of coefficients, names of parameters or temperatures differ, or
        a coefficient is not finite; further as `Model.parameter_energies`.

    Notes
    -----
    The estimate degrades silently when few frames represent the new parameters: check ``n_eff``. Weights
    of frames at constant volume say nothing about other volumes.

    References
    ----------
    [1] R. W. Zwanzig, J. Chem. Phys. 22, 1420 (1954), eq. (12). doi:10.1063/1.1740409
    [2] M. R. Shirts, J. D. Chodera, J. Chem. Phys. 129, 124105 (2008), eqs. (9), (11), (14).
        doi:10.1063/1.2978177

    Examples
    --------
    >>> from openmmgrad.frames import State
    >>> frames = Frames(np.zeros((2, 1, 3)), State([1.0], 300.0), features=np.array([[0.0], [1.0]]))
    >>> c = torch.tensor([1.0 + KB * 300.0 * np.log(3.0)], dtype=torch.float64)
    >>> weights(c, frames).w
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """
    who = "weights"
    require(len(frames) > 0, who, "expected at least one frame, found none", "Sample first")
    beta = 1.0 / (KB * frames.temperature)
    volume_work = _volume_work(frames, pressure)
    present, in_states = _parameter_energies(model, frames, platform, threads)
    if not isinstance(model, Tensor) and getattr(model, "reevaluates", False):
        difference = _reevaluated_difference(model, frames) + present - in_states[0]
        return _normalised(-beta * (difference + torch.as_tensor(volume_work[0])), frames)
    features = _features(frames)
    coefficients = model if isinstance(model, Tensor) else model.coefficients(frames.temperature)
    require(coefficients.shape == (features.shape[1],), who,
            f"the frames have {features.shape[1]} coefficients, and the model {list(coefficients.shape)}",
            "Use the Model that sampled the frames, or sample again")
    require(bool(torch.isfinite(coefficients).all()), who, "coefficients contain NaN or infinite values",
            "Restore the last good parameters")
    if len(frames.states) == 1:
        start = torch.as_tensor(frames.states[0].coefficients).to(coefficients)
        difference = features @ (coefficients - start) + present - in_states[0]
        return _normalised(-beta * (difference + torch.as_tensor(volume_work[0])), frames)
    log_mixture = _log_mixture(beta, features.numpy(), in_states.numpy() - volume_work, frames)
    exponent = -beta * (features @ coefficients + present) - torch.as_tensor(log_mixture)
    return _normalised(exponent, frames)


def _parameter_energies(model: Reweightable | Tensor, frames: Frames, platform: str,
                        threads: int | None) -> tuple[Tensor, Tensor]:
    """U_par(x_s) at the model's global parameters, [S], with graph, and at those of every state, [M, S]; kJ/mol."""
    states = [state.parameters for state in frames.states]
    if isinstance(model, Tensor):
        require(all(state == states[0] for state in states), "weights",
                "the frames' states differ in global parameters, and coefficients say nothing of them",
                "Pass the Model")
        names = []
    else:
        names = list(getattr(model, "parameter_names", []))
        for state in states:
            require(set(state) == set(names), "weights",
                    f"the frames' states have the global parameters {sorted(state)}, and the model {sorted(names)}",
                    "Use the Model that sampled the frames, or say what made them with State(parameters=...)")
    if not names:
        return torch.zeros(len(frames), dtype=torch.float64), torch.zeros(len(states), len(frames), dtype=torch.float64)
    points = [torch.tensor([state[name] for name in names], dtype=torch.float64) for state in states]
    in_states = torch.stack([model.parameter_energies(frames, point, platform, threads) for point in points])
    return model.parameter_energies(frames, None, platform, threads), in_states


def _features(frames: Frames) -> Tensor:
    if frames.features is None and len(frames.states[0].coefficients) == 0:
        return torch.zeros(len(frames), 0, dtype=torch.float64)
    require(frames.features is not None, "weights", "the frames have no features (dU/dc)",
            "Sample them with an Ensemble, or compute features for them")
    features = frames.features  # torch shares memory with arrays that may be written to, and warns of others
    return torch.as_tensor(features if features.flags.writeable else np.array(features))


def _volume_work(frames: Frames, pressure: float | None) -> np.ndarray:
    """(P - P_k) V_s, [M, S], kJ/mol: what the wanted pressure adds to the energy difference from state k."""
    given = {state.pressure for state in frames.states}
    if given == {pressure} or (pressure is None and len(given) == 1):
        return np.zeros((len(frames.states), len(frames)))
    require(None not in given, "weights",
            "frames at constant volume and at constant pressure cannot be weighted into each other",
            "Keep them in separate Frames")
    require(pressure is not None, "weights", f"the frames have pressures {sorted(given)} kJ/mol/nm^3",
            "Say which is wanted with pressure=")
    return np.array([(pressure - state.pressure) * frames.volumes for state in frames.states])


def _reevaluated_difference(model: Reweightable, frames: Frames) -> Tensor:
    """U_theta(x_s) - U_ref(x_s), [S], of torch energies and potentials that are evaluated without their spline."""
    require(len(frames.states) == 1, "weights",
            f"frames of {len(frames.states)} states cannot be mixed for energies that torch evaluates (add_energy, "
            "exact=True)", "Use the frames of one state, or exact=False")
    if frames.learnable_energies is not None:
        reference = torch.as_tensor(np.array(frames.learnable_energies))
    else:
        require(not getattr(model, "energy_terms", None), "weights",
                "the frames do not say what the torch energies were when they were sampled",
                "Give learnable_energies=, what model.energies(frames) is at the parameters that sampled them")
        reference = _features(frames) @ torch.as_tensor(frames.states[0].coefficients)
    return model.energies(frames) - reference


def _log_mixture(beta: float, features: np.ndarray, further: np.ndarray, frames: Frames) -> np.ndarray:
    """Logarithm of sum_k N_k exp(f_k - u_ks), [S]; further [M, S], kJ/mol, is what is not linear in coefficients.

    u_ks is relative to the wanted pressure's P V.
    """
    coefficients = np.stack([state.coefficients for state in frames.states])
    u_kn = beta * (coefficients @ features.T + further)
    n_k = np.bincount(frames.state_index, minlength=len(frames.states))
    f_k = free_energies(u_kn, n_k)
    terms = np.log(n_k)[:, None] + f_k[:, None] - u_kn
    return np.logaddexp.reduce(terms, axis=0)


def free_energies(u_kn: np.ndarray, n_k: np.ndarray) -> np.ndarray:
    """Free energies of M states in kT relative to the first, [M], by MBAR.

    Parameters
    ----------
    u_kn
        Reduced energies of all S samples in every state, [M, S].
    n_k
        Samples from each state, [M]; samples need not be grouped, MBAR does not use their origin.
    """
    pymbar_log = logging.getLogger("pymbar")
    level = pymbar_log.level
    pymbar_log.setLevel(logging.CRITICAL)  # it announces at import that JAX is missing
    try:
        from pymbar import MBAR

        shifted = u_kn - u_kn.min(axis=0)  # a constant per sample changes nothing and keeps exp in range
        mbar = MBAR(shifted, n_k, solver_protocol="robust", relative_tolerance=1e-10, verbose=False)
        return np.asarray(mbar.f_k)
    finally:
        pymbar_log.setLevel(level)


def _normalised(exponent: Tensor, frames: Frames) -> Weights:
    require(bool(torch.isfinite(exponent).all()), "weights",
            "energy differences contain NaN or infinite values", "Restore the last good parameters")
    segments = frames.state_index if len(frames.states) > 1 else None
    return Weights(torch.softmax(exponent, 0), segments)


