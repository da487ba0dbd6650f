# SPDX-License-Identifier: MIT
"""Small Lennard-Jones fluids for the tests of fitting: seconds, and equal bit by bit when run again."""

import numpy as np

import openmmgrad as og

REDUCED = og.ReducedUnits(sigma=0.34, epsilon=0.996, mass=39.948)
CUTOFF = 2.5 * REDUCED.sigma


def lennard_jones(sigma: float = 1.0, epsilon: float = 1.0) -> og.LennardJones:
    """In units of REDUCED."""
    return og.LennardJones(sigma * REDUCED.sigma, epsilon * REDUCED.epsilon, CUTOFF, n_coefficients=48)


def ensemble(potential, rho=0.6, T=1.5, n=125, n_frames=150, seed=1, name="liquid", stride=40) -> og.Ensemble:
    system, topology, positions = og.bead_fluid(n, REDUCED.number_density(rho), REDUCED.mass)
    model = og.Model(system, topology)
    model.add_pair_potential(potential)
    time = REDUCED.time(1.0)
    return og.Ensemble(model, positions, REDUCED.temperature(T), timestep=0.005 * time, friction=1 / time,
                       stride=stride, n_frames=n_frames, seed=seed, name=name, threads=1, equilibration=400)


def rdf(bins: int = 60) -> og.RDF:
    return og.RDF(None, None, r_max=CUTOFF, bins=bins)


def target_of(truth, sampler, n_frames=400, observable=None, **state) -> og.Target:
    """The RDF of another potential's run, with its features on the sampler's grid."""
    frames = ensemble(truth, n_frames=n_frames, seed=77, name="truth", **state).sample()
    frames = og.compute_features(sampler.model, frames)
    return og.Target.from_frames(frames, observable or rdf(), sampler, name="g(r)")


def kT(T: float = 1.5) -> float:
    return og.units.KB * REDUCED.temperature(T)


def error_kT(potential, truth, T: float = 1.5) -> float:
    """rms of u - u_truth on [0.95, 2.4] sigma, kT."""
    r = np.linspace(0.95, 2.4, 200) * REDUCED.sigma
    temperature = REDUCED.temperature(T)
    u, exact = (p.tabulate(r, ("all", "all"), temperature)[0] for p in (potential, truth))
    difference = u - exact
    return float(np.sqrt(np.mean((difference / kT(T)) ** 2)))


def step_g(bins: int = 60) -> np.ndarray:
    """g(r) of a made-up gas: nothing within sigma, 1 outside."""
    return np.where(rdf(bins).grid > 1.02 * REDUCED.sigma, 1.0, 0.0)
