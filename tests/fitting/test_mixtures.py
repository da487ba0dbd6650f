# SPDX-License-Identifier: MIT
"""Mixtures: one RDF for each pair of types, and potentials that share parts."""

import numpy as np
import pytest
import torch
from fitting import fluids

import openmmgrad as og

PAIRS = [("A", "A"), ("A", "B"), ("B", "B")]
SIGMAS, EPSILONS = (1.0, 0.95, 0.9), (1.0, 1.3, 0.8)


def truth() -> og.PerPair:
    return og.PerPair({pair: fluids.lennard_jones(s, e) for pair, s, e in zip(PAIRS, SIGMAS, EPSILONS, strict=True)})


def mixture(potential, n_frames, seed, name, stride=40) -> og.Ensemble:
    system, topology, positions = og.bead_fluid(128, fluids.REDUCED.number_density(0.6), {"A": 39.948, "B": 30.0},
                                                {"A": 0.5, "B": 0.5}, seed=4)
    model = og.Model(system, topology)
    model.add_pair_potential(potential, types={"name A": "A", "name B": "B"})
    time = fluids.REDUCED.time(1.0)
    return og.Ensemble(model, positions, fluids.REDUCED.temperature(1.5), timestep=0.005 * time, friction=1 / time,
                       n_frames=n_frames, stride=stride, seed=seed, name=name, threads=1, equilibration=400)


def targets_for(sampler):
    frames = og.compute_features(sampler.model, mixture(truth(), 500, 77, "truth").sample())
    return [og.Target.from_frames(frames, og.RDF(f"name {a}", f"name {b}", r_max=fluids.CUTOFF, bins=50), sampler,
                                  name=f"{a}-{b}") for a, b in PAIRS]


@pytest.mark.parametrize("kind", ["per pair", "spline"])
def test_every_pair_potential_of_a_mixture_is_recovered(kind):
    wrong = og.PerPair({pair: fluids.lennard_jones(s, e) for pair, s, e in
                        zip(PAIRS, (1.02, 0.96, 0.88), (0.9, 1.1, 1.0), strict=True)})
    if kind == "per pair":
        potential = wrong
    else:
        temperature = fluids.REDUCED.temperature(1.5)
        potential = og.SplinePotential.from_potential(wrong, temperature, pairs=[("B", "B"), ("A", "B"), ("A", "A")])
    # 135 coefficients need more frames than six parameters: their covariance is estimated
    n_frames, stride = (300, 40) if kind == "per pair" else (1000, 20)
    sampler = mixture(potential, n_frames, 1, "mixture", stride)
    history = og.fit(targets_for(sampler), max_iterations=4, progress=False)
    r = np.linspace(0.97, 2.3, 150) * fluids.REDUCED.sigma
    exact = truth()
    for pair in PAIRS:
        u, _ = potential.tabulate(r, pair, sampler.temperature)
        wanted, _ = exact.tabulate(r, pair, sampler.temperature)
        assert np.sqrt(np.mean((u - wanted) ** 2)) / fluids.kT() < 0.07, pair
    for name in ("A-A", "A-B", "B-B"):
        chi2 = history.column(f"chi2 {name}")
        assert chi2[-1] < 2.5 and chi2[-1] < chi2[0]


def test_lorentz_berthelot_shares_its_parts():
    """Three pairs from four parameters: the union, by identity, is fitted."""
    class Mixed(og.PairPotential):
        def __init__(self, a, b):
            super().__init__(fluids.CUTOFF, n_coefficients=48)
            self.parts = torch.nn.ModuleDict({"A": a, "B": b})

        def energy(self, r, pair=None, temperature=None):
            a, b = (self.parts[label] for label in pair)
            x = ((a.sigma + b.sigma) / 2 / r) ** 6
            return 4 * (a.epsilon * b.epsilon).sqrt() * (x * x - x)

    potential = Mixed(fluids.lennard_jones(), fluids.lennard_jones(0.9, 0.8))
    sampler = mixture(potential, 10, 1, "mixture")
    assert len(list(sampler.model.parameters())) == 4
    c = sampler.model.coefficients(sampler.temperature).reshape(3, 48)
    c[1].sum().backward()
    assert all(p.grad is not None and p.grad != 0 for p in sampler.model.parameters())
