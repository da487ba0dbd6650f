# SPDX-License-Identifier: MIT
"""Dipoles: fixed charges, charges of a force field, and any torch function of positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .errors import require
from .units import plain


class PointCharges(nn.Module):
    r"""The dipole of point charges, and the flux of charge.

    .. math:: \mathbf M = \sum_i q_i \mathbf r_i, \qquad \mathbf J = \dot{\mathbf M} = \sum_i q_i \mathbf v_i

    Called with (positions, velocities) it is the flux: pass it as ``observe=`` to `propagate` to keep [S, T, 3] in
    place of all velocities.

    Parameters
    ----------
    charges
        [N], e.
    learn
        Make every charge a torch parameter.

    Raises
    ------
    ValueError
        If a charge is not finite, or positions have another number of particles.

    Notes
    -----
    The dipole of a system with a net charge depends on the origin, and that of a molecule across a boundary on where
    the boundary is: positions must be unwrapped, as those of Ensembles and Paths are. The flux has neither problem.

    Examples
    --------
    >>> charges = PointCharges([0.5, -0.5])
    >>> x = torch.tensor([[0.1, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    >>> charges.dipole(x), charges(x, 2 * x)
    (tensor([0.0500, 0.0000, 0.0000], dtype=torch.float64), tensor([0.1000, 0.0000, 0.0000], dtype=torch.float64))
    """

    def __init__(self, charges: Any, learn: bool = False) -> None:
        super().__init__()
        values = torch.as_tensor(np.array(plain(charges, "e"), dtype=float)).reshape(-1)
        require(len(values) > 0 and bool(torch.isfinite(values).all()), "PointCharges",
                f"expected finite charges, found {values.tolist()[:5]}", "Give one per particle, e")
        if learn:
            self.own = nn.Parameter(values)
        else:
            self.register_buffer("own", values)
        self._names: list[str] = []
        self.offsets = nn.ParameterList()
        self.register_buffer("shifts", torch.zeros(len(values), 0, dtype=torch.float64))

    @classmethod
    def of(cls, model: Any) -> PointCharges:
        """The charges in a Model's NonbondedForce.

        Global parameters that offset charges count with their present values: learnt ones with graph (they stay the
        Model's own parameters), others with their defaults.

        Raises
        ------
        ValueError
            If the System has no or several NonbondedForces.

        Examples
        --------
        >>> import openmm, openmmgrad as og
        >>> system = openmm.System()
        >>> force = openmm.NonbondedForce()
        >>> for q in (0.4, -0.4):
        ...     _ = system.addParticle(1.0), force.addParticle(q, 0.3, 0.0)
        >>> _ = force.addGlobalParameter("dq", 0.0), force.addParticleParameterOffset("dq", 1, -1.0, 0.0, 0.0)
        >>> _ = system.addForce(force)
        >>> model = og.Model(system)
        >>> model.add_parameters({"dq": 0.1})
        >>> PointCharges.of(model).charges()
        tensor([ 0.4000, -0.5000], dtype=torch.float64, grad_fn=<AddBackward0>)
        """
        forces = [force for force in model.system.getForces() if type(force).__name__ == "NonbondedForce"]
        require(len(forces) == 1, "PointCharges.of", f"expected one NonbondedForce, found {len(forces)}",
                "Pass the charges themselves: PointCharges([...])")
        force = forces[0]
        values = np.array([force.getParticleParameters(i)[0]._value for i in range(force.getNumParticles())])
        defaults = {force.getGlobalParameterName(k): force.getGlobalParameterDefaultValue(k)
                    for k in range(force.getNumGlobalParameters())}
        shifts = {name: np.zeros(len(values)) for name in defaults if name in model.parameter_names}
        for k in range(force.getNumParticleParameterOffsets()):
            name, i, charge = force.getParticleParameterOffset(k)[:3]
            if name in shifts:
                shifts[name][i] += charge
            else:
                values[i] += defaults[name] * charge
        dipole = cls(values)
        dipole._names = [name for name, shift in shifts.items() if shift.any()]
        dipole.offsets = nn.ParameterList(model.global_parameters[name] for name in dipole._names)
        dipole.shifts = torch.as_tensor(np.stack([np.zeros(len(values)), *[shifts[n] for n in dipole._names]])[1:].T)
        return dipole

    def charges(self) -> Tensor:
        """Present charges, [N], e, with graph."""
        if not self._names:
            return self.own
        return self.own + self.shifts @ torch.stack(list(self.offsets))

    def dipole(self, positions: Tensor) -> Tensor:
        """M of positions [..., N, 3] (nm, unwrapped), [..., 3], e nm."""
        return self._sum(positions)

    def flux(self, positions: Tensor | None, velocities: Tensor) -> Tensor:
        """J of velocities [..., N, 3] (nm/ps), [..., 3], e nm/ps; positions are not needed."""
        return self._sum(velocities)

    def forward(self, positions: Tensor, velocities: Tensor) -> Tensor:
        """The flux."""
        return self._sum(velocities)

    def _sum(self, vectors: Tensor) -> Tensor:
        charges = self.charges()
        require(vectors.shape[-2:] == (len(charges), 3), "PointCharges",
                f"expected vectors of {len(charges)} particles, found shape {list(vectors.shape)}",
                "Give one charge per particle, 0 for those that have none")
        return (vectors.transpose(-1, -2) @ charges[:, None])[..., 0]


class TorchDipole(nn.Module):
    r"""The dipole as any torch function of positions: polarisable, flexible or neural charge distributions.

    .. math:: \mathbf J = \frac{\partial \mathbf M}{\partial \mathbf r} \cdot \mathbf v

    Parameters
    ----------
    function
        Positions [T, N, 3] (nm) -> M [T, 3] (e nm), an `nn.Module` where it has parameters to learn. Each of the T is
        on its own.

    Notes
    -----
    The flux is a Jacobian-vector product, by differentiating backwards twice, and costs several evaluations.
    `IRSpectrum` takes differences of M in time instead, unless it is told otherwise: they are as good and cost one.

    References
    ----------
    B. Han, K. Yu, Nat. Commun. 16 (2025), arXiv 2406.18269: IR spectra with a neural dipole surface.

    Examples
    --------
    >>> dipole = TorchDipole(lambda x: (x[..., 0, :] - x[..., 1, :]) ** 2)
    >>> x = torch.tensor([[[0.3, 0.0, 0.0], [0.1, 0.0, 0.0]]], dtype=torch.float64)
    >>> dipole.dipole(x)[0, 0].item(), round(dipole.flux(x, 2 * x)[0, 0].item(), 12)
    (0.039999999999999994, 0.16)
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        require(callable(function), "TorchDipole", f"expected a function, found {type(function).__name__}",
                "Pass positions [T, N, 3] -> [T, 3]", TypeError)
        self.function = function

    def dipole(self, positions: Tensor) -> Tensor:
        """M of positions [..., N, 3] (nm), [..., 3], e nm."""
        rows = positions.reshape(-1, *positions.shape[-2:])
        found = self.function(rows)
        require(tuple(found.shape) == (len(rows), 3), "TorchDipole",
                f"expected dipoles [{len(rows)}, 3] of positions {list(rows.shape)}, found {list(found.shape)}",
                "Return one vector for each of the T")
        return found.reshape(*positions.shape[:-2], 3)

    def flux(self, positions: Tensor, velocities: Tensor) -> Tensor:
        """J of positions and velocities [..., N, 3] at one time, [..., 3], e nm/ps."""
        one = self.dipole(positions.detach().reshape(-1, *positions.shape[-2:])[:1])  # has a graph if something learns
        graph = torch.is_grad_enabled() and any(x.requires_grad for x in (positions, velocities, one))
        with torch.enable_grad():
            at = positions if positions.requires_grad else positions.detach().requires_grad_()
            found = self.dipole(at)
            probe = torch.zeros_like(found, requires_grad=True)
            (pulled,) = torch.autograd.grad(found, at, probe, create_graph=True, allow_unused=True) \
                if found.requires_grad else (None,)  # linear in the probe
            require(pulled is not None, "TorchDipole", "the function does not depend on positions by torch operations",
                    "Compute the dipole from the tensor that it is given")
            (pushed,) = torch.autograd.grad(pulled, probe, velocities, create_graph=graph)
        return pushed

    def forward(self, positions: Tensor, velocities: Tensor) -> Tensor:
        """The flux."""
        return self.flux(positions, velocities)


class OnlyDipole(nn.Module):
    """``observe=`` of a propagation that keeps the dipole M [S, T, 3] of every time."""

    def __init__(self, dipole: PointCharges | TorchDipole) -> None:
        super().__init__()
        self.of = dipole

    def forward(self, positions: Tensor, velocities: Tensor) -> Tensor:
        """M; velocities are not needed."""
        return self.of.dipole(positions)
