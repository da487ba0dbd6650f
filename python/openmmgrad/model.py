# SPDX-License-Identifier: MIT
"""Model: one openmm.System and its learnable part."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations_with_replacement

import numpy as np
import openmm
import torch
from torch import Tensor, nn

from . import backends
from .errors import require
from .exact import module_energies
from .global_parameters import set_defaults
from .learnt_parameters import GlobalParameters, LearntParameters
from .pair_terms import PairTerm, read_exclusions, read_types
from .potentials import PairPotential
from .selection import select_atoms
from .system_energy import RememberedEnergies, SystemEnergies
from .torch_energy import EnergyTerm, TorchEnergies

REFERENCE_TEMPERATURE = 300.0  # K; where no Ensemble says otherwise


class Model(LearntParameters, TorchEnergies, SystemEnergies, nn.Module):
    r"""One `openmm.System` and what is learnt of it, as a torch module.

    .. math:: U_\theta(x) = U_\text{system}(x;\, \theta) + \sum_t \sum_{i<j} u_t(r_{ij};\, c_t(\theta))
        + \sum_m U_m(x;\, \theta)

    Its parameters are those of its pair potentials (`add_pair_potential`), of its torch energies (`add_energy`), and
    global parameters of the System's Forces (`add_parameters`); without any it is the System alone, to be sampled as
    it is. Give the same potential object to several Models
    (other compositions, other box sizes) and they share it.

    Parameters
    ----------
    system
        An `openmm.System`. The Model keeps a copy: later changes of the original have no effect.
    topology
        An `openmm.app.Topology` or `mdtraj.Topology` with the System's particles, for selections by name.
        Without it, selections are indices, masks or None.

    Raises
    ------
    ValueError
        If the topology and the System have different numbers of particles.

    Examples
    --------
    >>> import openmm, openmmgrad as og
    >>> system = openmm.System()
    >>> for _ in range(2):
    ...     _ = system.addParticle(39.948)
    >>> model = og.Model(system)
    >>> model.add_pair_potential(og.LennardJones(sigma=0.34, epsilon=1.0, cutoff=0.85), periodic=False)
    >>> len(list(model.parameters())), model.n_features
    (2, 64)
    """

    def __init__(self, system: openmm.System, topology=None) -> None:
        super().__init__()
        require(isinstance(system, openmm.System), "Model", f"expected an openmm.System, found {type(system).__name__}",
                "Build one, for example with ForceField.createSystem", error=TypeError)
        self.system = copy.deepcopy(system)
        self.topology = _as_mdtraj(topology)
        self._periodic = _is_periodic(topology)
        self.terms: list[PairTerm] = []
        self.potentials = nn.ModuleList()
        self.global_parameters = GlobalParameters()
        self.energy_terms: list[EnergyTerm] = []
        self.energy_modules = nn.ModuleList()
        self._remembered = RememberedEnergies()
        n = system.getNumParticles()
        if self.topology is not None:
            found = self.topology.n_atoms
            require(found == n, "Model", f"the System has {n} particles and the topology {found}",
                    "Pass the topology that the System was made from")

    @property
    def n_particles(self) -> int:
        """N, the number of particles of the System."""
        return self.system.getNumParticles()

    @property
    def masses(self) -> np.ndarray:
        """Particle masses, [N], amu; virtual sites and frozen particles have 0."""
        return np.array([self.system.getParticleMass(i)._value for i in range(self.n_particles)])

    @property
    def periodic(self) -> bool:
        """Whether the System or a learnable term uses periodic boundary conditions."""
        return self.system.usesPeriodicBoundaryConditions() or any(
            [*(term.spec.periodic for term in self.terms), *(term.periodic for term in self.energy_terms)])

    @property
    def n_features(self) -> int:
        """F, the number of coefficients of all terms: the sum of P*K."""
        return sum(p * k for p, k in (term.shape for term in self.terms))

    def add_pair_potential(
        self,
        potential: PairPotential,
        types: Sequence | Mapping | None = None,
        exclusions: Iterable | int | None = None,
        backend: str = "native",
        *,
        exact: bool = False,
        interaction_groups: Iterable | None = None,
        periodic: bool | None = None,
        force_group: int = 0,
        name: str = "LearnablePairForce",
    ) -> None:
        """Add a learnable pair potential u(r) between all particles, or between typed ones.

        Parameters
        ----------
        potential
            What is learnt: any `PairPotential`.
        types
            One label per particle, or {selection: label} (mdtraj selections or index arrays) that covers every
            particle once; None gives all particles one type.
        exclusions
            Pairs of particle indices to leave out, or a number of bonds: pairs that close in the topology
            are excluded.
        backend
            Who evaluates energy and forces: "native", "table", "pythonforce" or "torchforce". All evaluate the same
            projected spline.
        exact
            Evaluate the raw module instead of its spline (pythonforce and torchforce only).
        interaction_groups
            Pairs (selection, selection): only pairs across them interact; None is all.
        periodic
            Minimum-image convention. Default: True, but False where an openmm Topology has no box.
        force_group, name
            Given to the OpenMM force.

        Raises
        ------
        ValueError, TypeError
            For unknown backends, selections, labels, and exclusions out of range.
        """
        who = "add_pair_potential"
        require(isinstance(potential, PairPotential), who,
                f"expected a PairPotential, found {type(potential).__name__}",
                "Subclass openmmgrad.PairPotential and define energy(self, r, pair=None, temperature=None)",
                error=TypeError)
        require(backend in backends.NAMES, who,
                f"unknown backend {backend!r}; expected one of {', '.join(backends.NAMES)}", "Choose one of those")
        require(not exact or backend in ("torchforce", "pythonforce"), who,
                f"exact=True needs backend 'torchforce' or 'pythonforce', found {backend!r}",
                "A spline backend evaluates the projected potential only: change the backend or leave exact out")
        per_particle = read_types(types, self.n_particles, self.select)
        labels = sorted(set(per_particle))
        index = {label: k for k, label in enumerate(labels)}
        pairs = list(combinations_with_replacement(labels, 2))
        groups = [(self.select(a), self.select(b)) for a, b in interaction_groups or []]
        spec = backends.PairForceSpec(
            n_particles=self.n_particles,
            types=np.array([index[label] for label in per_particle], dtype=int),
            n_types=len(labels),
            cutoff=potential.cutoff,
            n_coefficients=potential.n_coefficients,
            periodic=self._periodic if periodic is None else periodic,
            exclusions=read_exclusions(exclusions, self.n_particles, self.topology),
            interaction_groups=groups,
            force_group=force_group,
            name=name,
            exact=exact,
            potential=potential,
            pairs=pairs,
        )
        start, (n_pairs, n_coefficients) = self.n_features, (len(pairs), potential.n_coefficients)
        columns = slice(start, start + n_pairs * n_coefficients)
        self.terms.append(PairTerm(potential, spec, backend, labels, pairs, columns))
        self.potentials.append(potential)

    def coefficients(self, temperature: float = REFERENCE_TEMPERATURE) -> Tensor:
        """Spline coefficients of all terms in order, [F], kJ/mol, with graph to the parameters."""
        parts = [term.potential.coefficients(term.pairs, temperature).reshape(-1) for term in self.terms]
        return torch.cat([torch.zeros(0, dtype=torch.float64), *parts])

    def projection_error(self, temperature: float = REFERENCE_TEMPERATURE) -> list:
        """For each term, the `ProjectionError` of its spline at a temperature (K)."""
        return [term.potential.projection_error(term.pairs, temperature) for term in self.terms]

    def create_system(self, temperature: float = REFERENCE_TEMPERATURE, backend: str | None = None) -> openmm.System:
        """A new System with the learnable forces and global parameters at their present values.

        Parameters
        ----------
        temperature
            K; where the potentials' coefficients are taken.
        backend
            Evaluate every pair potential by this backend instead of its own ("table" needs no plugin to run).
        """
        system = copy.deepcopy(self.system)
        set_defaults(system, self.global_parameters.as_dict())
        coefficients = self.coefficients(temperature).detach().numpy()
        for term in self.terms:
            built = backends.build(backend or term.backend, term.spec, temperature=temperature)
            built.set_coefficients(coefficients[term.columns].reshape(term.shape))
            system.addForce(built.force)
        for energy in self.energy_terms:
            system.addForce(energy.create_force())
        return system

    @property
    def reevaluates(self) -> bool:
        """Whether a term evaluates a module (exact=True, `add_energy`), so that frames need more than dot products."""
        return bool(self.energy_terms) or any(term.spec.exact for term in self.terms)

    def energies(self, frames) -> Tensor:
        """Energy of the pair potentials and torch energies on stored frames, [S], kJ/mol, with graph.

        At the present parameters; for learnt global parameters see `parameter_energies`.
        """
        temperature = frames.temperature
        coefficients = self.coefficients(temperature)
        total = torch.zeros(len(frames), dtype=torch.float64)
        linear = [term.columns for term in self.terms if not term.spec.exact]
        if linear:
            features = torch.tensor(np.asarray(frames.features))  # own memory: equal frames give equal bits
            for columns in linear:
                total = total + features[:, columns] @ coefficients[columns]
        for term in self.terms:
            if term.spec.exact:
                total = total + module_energies(term, frames, temperature)
        for energy in self.energy_terms:
            total = total + energy.energies(frames)
        return total

    def term_of(self, columns: np.ndarray) -> tuple[PairTerm, int, np.ndarray]:
        """The term that columns [M] of the features belong to, the row of its type pair, and which splines they are.

        Raises
        ------
        ValueError
            If the columns do not belong to one type pair.
        """
        columns, remedy = np.asarray(columns, dtype=int), "Use columns of the Model's features"
        outside = columns[(columns < 0) | (columns >= self.n_features)]
        require(len(outside) == 0, "Model.term_of",
                f"expected columns below {self.n_features}, found {next(iter(outside.tolist()), None)}", remedy)
        for term in self.terms:
            row, splines = np.divmod(columns - term.columns.start, term.potential.n_coefficients)
            if len(columns) and (row == row[0]).all() and 0 <= row[0] < len(term.pairs):
                return term, int(row[0]), splines
        found = f"{columns.min()} to {columns.max()}" if len(columns) else "none"
        raise ValueError(f"Model.term_of: expected columns of one type pair, found {found}. {remedy}.")

    def select(self, selection) -> np.ndarray:
        """Indices of a selection: None for all, an mdtraj selection string, indices or a boolean mask."""
        return select_atoms(selection, self.n_particles, self.topology)


def _is_periodic(topology) -> bool:
    from openmm.app import Topology

    return not isinstance(topology, Topology) or topology.getPeriodicBoxVectors() is not None


def _as_mdtraj(topology):
    if topology is None:
        return None
    import mdtraj
    from openmm.app import Topology

    if isinstance(topology, mdtraj.Topology):
        return topology
    require(isinstance(topology, Topology), "Model",
            f"topology must be an openmm.app.Topology or mdtraj.Topology, found {type(topology).__name__}",
            "Pass pdb.topology or traj.topology", error=TypeError)
    return mdtraj.Topology.from_openmm(topology)
