# SPDX-License-Identifier: MIT
"""backend="torchforce": OpenMM-Torch with the spline, or the raw module, in torch; forces by autograd."""

from __future__ import annotations

import copy
import warnings
from functools import cached_property
from types import ModuleType

import numpy as np
import openmm
import torch
from openmm.unit import nanometer
from torch import Tensor, nn

from ..errors import require
from .neighbors import SKIN
from .spec import PairForceSpec, refuse_update


class TorchPairForce:
    """OpenMM-Torch's force built from a spec; see `openmmgrad.backends` for the interface.

    OpenMM-Torch freezes the module in a Context, and `set_coefficients` starts a new force. Its
    neighbour list looks at all pairs of particles: for N up to about a thousand.

    With ``exact=True`` the potential is recorded by ``torch.jit.trace``: its energy may not branch in Python
    on values or on the number of distances. The recording is compared with the module and refused where it
    differs.

    Do not copy or deserialize a System that holds a TorchForce: acellera-openmmtorch-cpu 1.10 writes XML, and
    kills the process when it reads it.

    Raises
    ------
    ImportError
        If OpenMM-Torch is not installed, or does not load beside this torch.
    ValueError
        If the module cannot be recorded.
    """

    updates_in_place = False

    def __init__(self, spec: PairForceSpec, temperature: float | None = None) -> None:
        self._openmmtorch = _import_openmmtorch()
        self._spec, self._temperature = spec, temperature
        self._coefficients = np.zeros((spec.n_pairs, spec.n_coefficients))

    def set_coefficients(self, coefficients: np.ndarray) -> None:
        """Stage coefficients [P, K], kJ/mol; with ``exact=True``, the module's present parameters."""
        self._coefficients = self._spec.check_coefficients(coefficients)
        self.__dict__.pop("force", None)

    @cached_property
    def force(self) -> openmm.Force:
        """The force with what is staged."""
        spec = self._spec
        radial = (
            TracedRadial(spec, self._temperature)
            if spec.exact
            else TorchSplineRadial(spec, self._coefficients)
        )
        force = self._wrap(PairEnergy(spec, radial))
        force.setUsesPeriodicBoundaryConditions(spec.periodic)
        return spec.label(force)

    def _wrap(self, module: PairEnergy) -> openmm.Force:
        """PythonTorchForce where OpenMM-Torch has it, TorchForce elsewhere."""
        try:
            from openmmtorch import PythonTorchForce
        except ImportError:
            with warnings.catch_warnings():  # TorchScript is deprecated, and what TorchForce takes
                warnings.simplefilter("ignore", DeprecationWarning)
                return self._openmmtorch.TorchForce(torch.jit.script(module))
        return PythonTorchForce(TorchEvaluation(module, self._spec.periodic))

    def update(self, context: openmm.Context) -> None:
        """Refuse: see the class."""
        refuse_update("torchforce")


def _import_openmmtorch() -> ModuleType:
    try:
        import openmmtorch
    except ImportError as error:
        raise ImportError(
            f"backend='torchforce': expected OpenMM-Torch, found none that loads beside torch "
            f"{torch.__version__} ({error}). Run: pip install openmm-grad[torchforce]"
        ) from error
    return openmmtorch


class PairEnergy(nn.Module):
    """Energy of positions [N, 3] and box vectors [3, 3] (nm, reduced; only where periodic): a scalar, kJ/mol.

    ``radial(r, pair) -> u`` is called with the M distances below the cutoff; in TorchScript, too. The
    pairs come from a Verlet list, renewed when a particle has moved by SKIN/2 of the cutoff, or the box has.
    """

    def __init__(self, spec: PairForceSpec, radial: nn.Module) -> None:
        super().__init__()
        i, j = np.triu_indices(spec.n_particles, 1)
        keep = spec.interact(i, j)
        i, j = i[keep], j[keep]
        self.cutoff, self.skin = spec.cutoff, SKIN * spec.cutoff
        self.radial = radial
        self.register_buffer("i", torch.from_numpy(i))
        self.register_buffer("j", torch.from_numpy(j))
        self.register_buffer("pair", torch.from_numpy(spec.pair_index[spec.types[i], spec.types[j]]))
        self.register_buffer("listed", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("listed_at", torch.zeros(0, 3, dtype=torch.float64))
        self.register_buffer("listed_in", torch.zeros(3, 3, dtype=torch.float64))

    def forward(self, positions: Tensor, boxvectors: Tensor | None = None) -> Tensor:
        """See the class."""
        x = positions.to(torch.float64)
        box = torch.zeros(3, 3, dtype=x.dtype, device=x.device)
        if boxvectors is not None:
            box = boxvectors.to(x)
        with torch.no_grad():  # which pairs, and which images: constants of the derivative
            if self._stale(x, box):
                d = _difference(x, self.i.to(x.device), self.j.to(x.device))
                d = d + _image(d, box)
                self.listed = torch.nonzero((d * d).sum(1) < (self.cutoff + self.skin) ** 2).squeeze(1)
                self.listed_at, self.listed_in = x.detach().clone(), box.clone()
            i, j = self.i.to(x.device)[self.listed], self.j.to(x.device)[self.listed]
            d = _difference(x, i, j)
            shift = _image(d, box)
            d = d + shift
            within = torch.nonzero((d * d).sum(1) < self.cutoff**2).squeeze(1)
            i, j, shift = i[within], j[within], shift[within]
            pair = self.pair.to(x.device)[self.listed[within]]
        d = _difference(x, i, j) + shift
        r = torch.sqrt((d * d).sum(1).clamp(min=1e-300))  # two particles at one point: no force, but not NaN
        return self.radial(r, pair).sum()

    def _stale(self, x: Tensor, box: Tensor) -> bool:
        if self.listed_at.shape[0] != x.shape[0] or not torch.equal(box, self.listed_in.to(x.device)):
            return True
        moved = x - self.listed_at.to(x.device)
        moved = moved + _image(moved, box)
        return not bool((moved * moved).sum(1).max() <= (0.5 * self.skin) ** 2)  # "not <=": also on NaN


def _difference(x: Tensor, i: Tensor, j: Tensor) -> Tensor:
    return x.index_select(0, i) - x.index_select(0, j)


def _image(d: Tensor, box: Tensor) -> Tensor:
    """What to add to displacements [M, 3] for the minimum image; zero where the box is (not periodic)."""
    shift = torch.zeros_like(d)
    if bool(box[0, 0] > 0):
        for k in (2, 1, 0):
            shift = shift - torch.round((d[:, k] + shift[:, k]) / box[k, k]).unsqueeze(1) * box[k]
    return shift


class TorchSplineRadial(nn.Module):
    """u(r) of the spline from the four coefficients of each interval, by gather."""

    def __init__(self, spec: PairForceSpec, coefficients: np.ndarray) -> None:
        super().__init__()
        self.n_coefficients = spec.n_coefficients
        self.width = spec.grid.width
        self.register_buffer("coefficients", torch.from_numpy(coefficients.reshape(-1)))

    def forward(self, r: Tensor, pair: Tensor) -> Tensor:
        """[M] nm, [M] -> [M] kJ/mol."""
        c = self.coefficients.to(r.device)
        x = r / self.width
        k = x.detach().floor().clamp(max=float(self.n_coefficients - 4))
        t = x - k
        start = pair * self.n_coefficients + k.to(torch.int64)
        c0, c1 = c.index_select(0, start), c.index_select(0, start + 1)
        c2, c3 = c.index_select(0, start + 2), c.index_select(0, start + 3)
        cubic = (c0 - 2 * c1 + c2) / 2 + t * (c3 - 3 * c2 + 3 * c1 - c0) / 6
        return (c0 + 4 * c1 + c2) / 6 + t * ((c2 - c0) / 2 + t * cubic)


class TracedRadial(nn.Module):
    """u(r) of a spec's raw module: one recording by torch.jit.trace per pair of types."""

    def __init__(self, spec: PairForceSpec, temperature: float | None) -> None:
        super().__init__()
        frozen = copy.deepcopy(spec.potential).requires_grad_(False)
        self.recordings = nn.ModuleList([_record(frozen, pair, temperature) for pair in spec.pairs])

    def forward(self, r: Tensor, pair: Tensor) -> Tensor:
        """[M] nm, [M] -> [M] kJ/mol."""
        u = torch.zeros_like(r)
        for p, recording in enumerate(self.recordings):
            here = torch.nonzero(pair == p).squeeze(1)
            if here.numel() > 0:
                u = u.index_add(0, here, recording(r.index_select(0, here)))
        return u


class _PairOf(nn.Module):
    """A potential for one pair of types at one temperature: r -> u."""

    def __init__(self, potential: nn.Module, pair: tuple[str, str], temperature: float | None) -> None:
        super().__init__()
        self.potential, self.pair, self.temperature = potential, pair, temperature

    def forward(self, r: Tensor) -> Tensor:
        return self.potential.truncated_energy(r, self.pair, self.temperature)


def _record(potential: nn.Module, pair: tuple[str, str], temperature: float | None) -> torch.jit.ScriptModule:
    """Trace one pair's energy, and compare energies and slopes elsewhere with the module's."""
    who, cutoff = f"torchforce(exact=True): {type(potential).__name__}", potential.cutoff
    module = _PairOf(potential, pair, temperature)
    seen, unseen = (torch.linspace(0.3, 0.99, n, dtype=torch.float64) * cutoff for n in (5, 64))
    remedy = "Write energy() with torch operations on r only, without Python branches on its values or length"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and warns of checks that leave no trace
        try:
            recording = torch.jit.trace(module, (seen,), check_trace=False)
        except RuntimeError as error:
            raise ValueError(f"{who}: torch.jit.trace failed with {error}. {remedy}.") from error
    values = []
    for function in (module, recording):
        x = unseen.clone().requires_grad_()
        u = function(x)
        values.append((u.detach(), torch.autograd.grad(u.sum(), x)[0]))
    (u, slope), (recorded, recorded_slope) = values
    same = torch.allclose(u, recorded, rtol=1e-9) and torch.allclose(slope, recorded_slope, rtol=1e-7)
    require(
        same,
        who,
        f"its recording differs from it by up to {(u - recorded).abs().max().item():.3g} kJ/mol",
        remedy,
    )
    return recording


class TorchEvaluation:
    """What PythonTorchForce calls: (State, positions) -> (energy, forces [N, 3]), kJ/mol and kJ/mol/nm."""

    def __init__(self, module: PairEnergy, periodic: bool) -> None:
        self._module, self._periodic = module, periodic

    def __call__(self, state: openmm.State, positions: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        with torch.enable_grad():
            x = positions.detach().requires_grad_()
            box = None
            if self._periodic:
                vectors = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(nanometer)
                box = torch.as_tensor(vectors, dtype=x.dtype, device=x.device)
            energy = self._module(x, box)
            (gradient,) = torch.autograd.grad(energy, x)
        return energy.detach(), -gradient
