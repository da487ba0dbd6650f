# SPDX-License-Identifier: MIT
"""Energies that any torch module computes from all positions: as OpenMM forces, on stored frames, and for adjoints."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass

import numpy as np
import openmm
import torch
from openmm.unit import nanometer
from torch import Tensor, nn

from .backends.torchforce import TorchEvaluation, _import_openmmtorch
from .errors import require
from .exact import recomputed
from .frames import Frames

BACKENDS = ("pythonforce", "torchforce")


@dataclass
class EnergyTerm:
    """One torch energy of a Model: ``module.energy(positions [N, 3], box [3, 3] or None)``, nm -> kJ/mol."""

    module: nn.Module
    name: str
    force_group: int
    periodic: bool
    backend: str
    n_particles: int

    def create_force(self) -> openmm.Force:
        """A force with a frozen copy of the module as it is now."""
        frozen = copy.deepcopy(self.module).requires_grad_(False)
        force = openmm.PythonForce(Evaluation(frozen, self.periodic)) if self.backend == "pythonforce" \
            else _torch_force(_Forward(frozen), self.periodic, self.n_particles)
        force.setUsesPeriodicBoundaryConditions(self.periodic)
        force.setForceGroup(self.force_group)
        force.setName(self.name)
        return force

    def energies(self, frames: Frames) -> Tensor:
        """Energy of every frame, [S], kJ/mol, with graph to the module's parameters.

        With gradients, activations are computed again in the backward pass: memory holds those of one frame.
        """
        require(frames.boxes is not None or not self.periodic, self.name,
                "the energy is periodic and the frames have no boxes", "Pass boxes= where the frames are made")
        total = [torch.zeros(0, dtype=torch.float64)]
        for s in range(len(frames)):
            x = torch.tensor(np.asarray(frames.positions[s]))
            box = torch.tensor(np.asarray(frames.boxes[s])) if self.periodic else None
            total.append(recomputed(_scalar, self.module, x, box).reshape(1))
        return torch.cat(total)


class TorchEnergies:
    """The methods of a `Model` that concern torch energies."""

    energy_terms: list[EnergyTerm]
    energy_modules: nn.ModuleList
    n_particles: int
    _periodic: bool

    def add_energy(self, module: nn.Module, *, periodic: bool | None = None, force_group: int = 0,
                   name: str = "TorchEnergy", backend: str = "pythonforce") -> None:
        """Add an energy of all positions that a torch module computes: many-body, of any form.

        Parameters
        ----------
        module
            Defines ``energy(positions, box)``: positions [N, 3], nm, float64; box [3, 3], nm, rows a, b, c, or None
            where it is not periodic; returns a scalar tensor, kJ/mol. Its parameters are learnt; they must be float64.
            Positions are not wrapped into the box. `propagate` differentiates the energy twice.
        periodic
            Whether the energy is given a box. Default: True, but False where an openmm Topology has no box.
        force_group, name
            Given to the OpenMM force.
        backend
            "pythonforce" (OpenMM's own PythonForce) or "torchforce" (OpenMM-Torch, where installed, recorded by
            ``torch.jit.trace`` where it has no PythonTorchForce). Both hold a frozen copy of the module.

        Raises
        ------
        ValueError, TypeError
            For unknown backends, parameters that are not float64, and modules without ``energy``.

        Examples
        --------
        >>> import openmm, openmmgrad as og
        >>> class Tether(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.k = torch.nn.Parameter(torch.tensor(10.0, dtype=torch.float64))
        ...     def energy(self, positions, box):
        ...         return 0.5 * self.k * (positions**2).sum()
        >>> system = openmm.System()
        >>> _ = system.addParticle(40.0)
        >>> model = og.Model(system)
        >>> model.add_energy(Tether(), periodic=False)
        >>> model.energies(og.Frames([[[1.0, 0.0, 0.0]]], og.State([], 300.0))).tolist()
        [5.0]
        """
        who = "add_energy"
        require(isinstance(module, nn.Module) and callable(getattr(module, "energy", None)), who,
                f"expected a torch module with energy(positions, box), found {type(module).__name__}",
                "Subclass torch.nn.Module and define energy(self, positions, box)", error=TypeError)
        require(backend in BACKENDS, who, f"unknown backend {backend!r}; expected one of {', '.join(BACKENDS)}",
                "Choose one of those")
        single = [label for label, p in module.named_parameters() if p.dtype != torch.float64]
        require(not single, who, f"parameters must be float64, found {', '.join(single)} in other precision",
                "Call module.double() first")
        if backend == "torchforce":
            _import_openmmtorch()
        periodic = self._periodic if periodic is None else periodic
        self.energy_terms.append(EnergyTerm(module, name, force_group, periodic, backend, self.n_particles))
        self.energy_modules.append(module)


class Evaluation:
    """What PythonForce calls: State -> (energy, forces [N, 3]), kJ/mol and kJ/mol/nm."""

    def __init__(self, module: nn.Module, periodic: bool) -> None:
        self._module, self._periodic = module, periodic

    def __call__(self, state: openmm.State) -> tuple[float, np.ndarray]:
        """See the class."""
        x = torch.tensor(state.getPositions(asNumpy=True).value_in_unit(nanometer), requires_grad=True)
        box = None
        if self._periodic:
            box = torch.tensor(state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(nanometer))
        with torch.enable_grad():
            energy = _scalar(self._module, x, box)
            gradient = _gradient(energy, x)
        return energy.item(), -gradient.detach().numpy()


class AutogradProduct:
    r"""Products of a torch energy's force Jacobians with a vector, by differentiating twice.

    .. math:: \lambda \cdot F = -\lambda \cdot \nabla_x U_\theta(x), \qquad
        \text{product} = \nabla_x (\lambda \cdot F), \quad \nabla_\theta (\lambda \cdot F)

    Parameters
    ----------
    module
        Defines ``energy(positions, box)``: see `Model.add_energy`. Its present parameters count.

    Examples
    --------
    >>> class Tether(nn.Module):
    ...     def energy(self, positions, box):
    ...         return 5.0 * (positions**2).sum()
    >>> AutogradProduct(Tether())(np.zeros((1, 3)), None, np.array([[1.0, 2.0, 0.0]]))
    (array([[-10., -20.,  -0.]]), [])
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def __call__(self, positions: np.ndarray, box: np.ndarray | None,
                 lam: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """d(lam.F)/dx [N, 3], and d(lam.F)/dtheta for each module parameter that requires grad, in its shape.

        Positions and box [3, 3] (None where not periodic) in nm, lam [N, 3]; zeros where lam.F does not depend.
        """
        parameters = [p for p in self._module.parameters() if p.requires_grad]
        x = torch.tensor(positions, dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            energy = _scalar(self._module, x, None if box is None else torch.tensor(box, dtype=torch.float64))
            product = -(_gradient(energy, x, create_graph=True) * torch.tensor(lam, dtype=torch.float64)).sum()
            inputs = [x, *parameters]
            if product.requires_grad:
                found = torch.autograd.grad(product, inputs, allow_unused=True, materialize_grads=True)
            else:  # the energy is linear in x, with constant factors
                found = [torch.zeros_like(each) for each in inputs]
        on_x, *on_parameters = (each.detach().numpy() for each in found)
        return on_x, on_parameters


def _scalar(module: nn.Module, x: Tensor, box: Tensor | None) -> Tensor:
    energy = module.energy(x, box)
    require(isinstance(energy, Tensor) and energy.numel() == 1, type(module).__name__,
            f"energy(positions, box) must return a scalar tensor, found "
            f"{list(energy.shape) if isinstance(energy, Tensor) else type(energy).__name__}", "Sum over particles")
    return energy.reshape(()).double()


def _gradient(energy: Tensor, x: Tensor, create_graph: bool = False) -> Tensor:
    """dE/dx [N, 3]; zeros where the energy does not depend on x."""
    if not energy.requires_grad:
        return torch.zeros_like(x)
    return torch.autograd.grad(energy, x, create_graph=create_graph, allow_unused=True, materialize_grads=True)[0]


class _Forward(nn.Module):
    """A module's energy as OpenMM-Torch calls it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, positions: Tensor, boxvectors: Tensor | None = None) -> Tensor:
        return self.module.energy(positions.double(), None if boxvectors is None else boxvectors.double())


def _torch_force(module: _Forward, periodic: bool, n_particles: int) -> openmm.Force:
    """PythonTorchForce where OpenMM-Torch has it, TorchForce with a recording elsewhere."""
    openmmtorch = _import_openmmtorch()
    if hasattr(openmmtorch, "PythonTorchForce"):
        return openmmtorch.PythonTorchForce(TorchEvaluation(module, periodic))
    generator = torch.Generator().manual_seed(1)
    edge = 0.3 * n_particles ** (1 / 3) + 1.0
    box = (edge * torch.eye(3, dtype=torch.float64),) if periodic else ()
    seen, *unseen = [(edge * torch.rand(n_particles, 3, generator=generator, dtype=torch.float64), *box)
                     for _ in range(9)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and warns of checks that leave no trace
        recording = torch.jit.trace(module, seen, check_trace=False)
    expected, found = (torch.stack([f(*each).reshape(()) for each in unseen]) for f in (module, recording))
    require(torch.allclose(expected, found, rtol=1e-9), f"torchforce: {type(module.module).__name__}",
            f"its recording differs from it by up to {(expected - found).abs().max().item():.3g} kJ/mol",
            "Write energy() without Python branches on values or shapes, or use backend='pythonforce'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # one that is made an error ends the process here
        return openmmtorch.TorchForce(recording)
