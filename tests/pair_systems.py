# SPDX-License-Identifier: MIT
"""Small systems of typed particles, with an independent answer: scipy's B-splines over all images."""

from itertools import combinations_with_replacement, product

import numpy as np
import openmm
from scipy.interpolate import BSpline

from openmmgrad.backends import PairForceSpec, build

CUTOFF, K = 0.9, 24  # nm
TRICLINIC = np.array([[2.2, 0.0, 0.0], [0.9, 2.1, 0.0], [-0.8, 0.7, 2.0]])
CASES = {
    "one type": dict(n_types=1),
    "three types": dict(n_types=3),
    "exclusions": dict(n_types=2, exclusions=[(i, i + 1) for i in range(0, 59, 2)] + [(7, 3), (0, 59)]),
    "interaction groups": dict(
        n_types=2,
        interaction_groups=[(range(0, 20), range(10, 40)), (range(30, 60), range(15, 35))],
        exclusions=[(12, 14), (31, 30)],
    ),
    "triclinic": dict(n_types=2, box=TRICLINIC),
    "non-periodic": dict(n_types=2, box=None),
    "all at once": dict(
        n_types=2,
        box=TRICLINIC,
        exclusions=[(i, i + 1) for i in range(0, 59, 2)] + [(7, 3), (0, 59)],
        interaction_groups=[(range(0, 40), range(10, 60)), (range(30, 60), range(15, 35))],
    ),
}


class PairSystem:
    """A case: 60 particles, random coefficients that nothing makes smooth, so that every interval counts."""

    def __init__(self, case: str, seed: int = 5, n: int = 60) -> None:
        options = dict(CASES[case])
        self.box = options.pop("box", np.diag([1.9, 2.0, 2.1]))
        rng = np.random.default_rng(seed)
        cell = np.diag([2.0, 2.0, 2.0]) if self.box is None else self.box
        # some lie outside the cell: images must be found
        self.positions = (rng.random((n, 3)) + (rng.random((n, 3)) < 0.1)) @ cell
        self.spec = PairForceSpec(
            n_particles=n,
            types=np.arange(n) % options["n_types"],
            cutoff=CUTOFF,
            n_coefficients=K,
            periodic=self.box is not None,
            force_group=3,
            name="learnt",
            **options,
        )
        self.rng = rng

    def coefficients(self) -> np.ndarray:
        """New coefficients [P, K], kJ/mol."""
        c = self.rng.normal(size=(self.spec.n_pairs, K))
        c[:, -3:] = 0
        return c

    def context(self, backend, platform: str) -> openmm.Context:
        system = openmm.System()
        for _ in self.positions:
            system.addParticle(39.948)
        if self.box is not None:
            system.setDefaultPeriodicBoxVectors(*self.box)
        system.addForce(backend.force)
        properties = {"Threads": "1"} if platform == "CPU" else {}
        context = openmm.Context(
            system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName(platform), properties
        )
        context.setPositions(self.positions)
        context.system = system  # the force lives as long as its System
        return context

    def built(self, name: str, coefficients: np.ndarray):
        backend = build(name, self.spec, temperature=300.0)
        backend.set_coefficients(coefficients)
        return backend

    def pairs(self):
        """(i, j, r, displacement) of the interacting pairs below the cutoff, by brute force over images."""
        n, spec = len(self.positions), self.spec
        i, j = np.triu_indices(n, 1)
        excluded = {frozenset(pair) for pair in spec.exclusions}
        keep = np.array(
            [frozenset(pair) not in excluded for pair in zip(i.tolist(), j.tolist(), strict=True)]
        )
        if spec.interaction_groups:
            held = np.zeros((n, n), dtype=bool)
            for a, b in spec.interaction_groups:
                held[np.ix_(a, b)] = held[np.ix_(b, a)] = True
            keep &= held[i, j]
        i, j = i[keep], j[keep]
        d = self.positions[i] - self.positions[j]
        if self.box is not None:
            images = d[:, None] + np.array(list(product(range(-3, 4), repeat=3))) @ self.box
            nearest = (images**2).sum(-1).argmin(1)
            d = images[np.arange(len(d)), nearest]
        r = np.sqrt((d**2).sum(1))
        near = r < CUTOFF
        return i[near], j[near], r[near], d[near]

    def answer(self, coefficients: np.ndarray):
        """(energy, forces [N, 3], sum of |u| over pairs): kJ/mol, kJ/mol/nm."""
        i, j, r, d = self.pairs()
        labels = list(combinations_with_replacement(range(self.spec.n_types), 2))
        kind = np.sort(np.stack([self.spec.types[i], self.spec.types[j]], 1), axis=1)
        knots = (np.arange(K + 4) - 3) * CUTOFF / (K - 3)
        u, slope = np.zeros(len(r)), np.zeros(len(r))
        for label, c in zip(labels, coefficients, strict=True):
            here = (kind == label).all(1)
            spline = BSpline(knots, c, 3)
            u[here], slope[here] = spline(r[here]), spline.derivative()(r[here])
        forces = np.zeros_like(self.positions)
        pull = -(slope / r)[:, None] * d
        np.add.at(forces, i, pull)
        np.add.at(forces, j, -pull)
        return u.sum(), forces, np.abs(u).sum()


def evaluate(context: openmm.Context):
    """Energy and forces [N, 3] of group 3 only: kJ/mol, kJ/mol/nm."""
    state = context.getState(energy=True, forces=True, groups={3})
    return state.getPotentialEnergy()._value, state.getForces(asNumpy=True)._value.copy()
