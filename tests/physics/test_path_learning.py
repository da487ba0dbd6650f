# SPDX-License-Identifier: MIT
"""What g(r) and C(t) of a liquid teach through its trajectories: derivatives, both terms, and a potential found."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import openmmgrad as og

REDUCED = og.ReducedUnits(sigma=0.34, epsilon=0.996, mass=39.948)
N, RHO, T = 64, 0.7, 1.0  # a box of 4.5 sigma
TEMPERATURE, CUTOFF, TIME = REDUCED.temperature(T), 2.0 * REDUCED.sigma, REDUCED.time(1.0)
BETA = 1 / (og.units.KB * TEMPERATURE)


def liquid(potential):
    system, topology, positions = og.bead_fluid(N, REDUCED.number_density(RHO), REDUCED.mass)
    model = og.Model(system, topology)
    model.add_pair_potential(potential)
    return model, positions


def lennard_jones(sigma=1.0, epsilon=1.0):
    return og.LennardJones(sigma * REDUCED.sigma, epsilon * REDUCED.epsilon, CUTOFF, n_coefficients=96)


def ensemble(model, positions, n_frames, seed=1, stride=60):
    return og.Ensemble(model, positions, TEMPERATURE, timestep=0.005 * TIME, friction=1 / TIME, n_frames=n_frames,
                       stride=stride, seed=seed, equilibration=1000, threads=1)


@pytest.fixture(scope="module")
def sampled():
    """A Lennard-Jones liquid as free splines, which need no projection for each window, and 400 of its frames."""
    model, positions = liquid(og.SplinePotential.from_potential(lennard_jones(), TEMPERATURE))
    return model, ensemble(model, positions, 400).sample()


@pytest.fixture(scope="module")
def towards():
    """Derivatives of the free coefficients with respect to ln sigma and ln epsilon, [K - 3, 2]."""
    potential = lennard_jones()
    return gradients(potential.coefficients([("all", "all")], TEMPERATURE)[0, :-3], potential)


def gradients(values, module):
    """Derivatives of values [M] with respect to ln theta of scalars, or to all entries of an array, [M, n]."""
    theta = [p for p in module.parameters() if p.requires_grad]
    rows = [torch.autograd.grad(value, theta, retain_graph=True) for value in values]
    return np.array([np.concatenate([(g * p if p.ndim == 0 else g).detach().reshape(-1).numpy()
                                     for g, p in zip(row, theta, strict=True)]) for row in rows])


def bend(frames, coefficients):
    """tr H/(3 N m) of every frame, from the second derivatives of u: pairs twice, as both atoms feel them."""
    grid, found = lennard_jones().grid, []
    for x, box in zip(frames.positions, frames.boxes, strict=True):
        i, j = np.triu_indices(N, 1)
        d = x[i] - x[j]
        r = torch.as_tensor(np.linalg.norm(d - np.rint(d / box[0, 0]) * box[0, 0], axis=1))
        r = r[r < CUTOFF].requires_grad_()
        u = grid.evaluate(coefficients, r)
        (slope,) = torch.autograd.grad(u.sum(), r, create_graph=True)
        (curve,) = torch.autograd.grad(slope.sum(), r, create_graph=True)
        found.append(2 * (curve + 2 * slope / r).sum() / (3 * N * REDUCED.mass))
    return torch.stack(found)


def test_the_bend_of_the_correlation_is_the_einstein_frequency(sampled, towards):
    """C(t) = 3 kT/m (1 - Omega^2 t^2/2 + ..), Omega^2 = tr H/3Nm, derivatives at fixed frames; t = 0.008 t*."""
    model, frames = sampled[0], sampled[1][::3]
    vacf, lag = og.VACF(remove_com=False), 8
    trace = bend(frames, model.coefficients(TEMPERATURE))
    size = 3 / (BETA * REDUCED.mass) * 0.5 * (lag * 0.001 * TIME) ** 2
    run = og.Propagator(model, 0.001 * TIME, lag, two_sided=True, threads=1, workers=1)
    found = np.array([gradients(vacf(run(frames[s]))[0, -1:], model)[0] for s in range(len(frames))]) @ towards
    wanted = -size * gradients(trace, model) @ towards
    mean, off = wanted.mean(axis=0), found - wanted
    stderr = off.std(axis=0, ddof=1) / np.sqrt(len(off))
    assert (stderr < 0.03 * np.abs(mean)).all()
    assert (np.abs(off.mean(axis=0)) < 4 * stderr).all()


def test_weights_and_path_of_g_add_up_at_any_time(sampled, towards):
    """d<g>/dsigma is that of the equilibrium average whenever g is taken; neither the weights nor the path alone is.

    g on [0.9, 1] sigma, 0.04 t* after the frames.
    """
    model, frames = sampled
    rdf = og.RDF(None, None, r_max=REDUCED.sigma, bins=1, r_min=0.9 * REDUCED.sigma, smear=0.03 * REDUCED.sigma)
    energy = torch.as_tensor(np.array(frames.features)) @ model.coefficients(TEMPERATURE)
    towards_sigma = towards[:, 0]
    slope = gradients(energy, model) @ towards_sigma
    run = og.Propagator(model, 0.005 * TIME, 8, 8, threads=1, workers=1)
    later, along = [], []
    for s in range(len(frames)):
        path = run(frames[s])
        g = rdf(replace(path, positions=path.positions[:, 1:], velocities=None, times=[0.0]))[0]
        later.append(g.item())
        along.append(gradients(g, model)[0] @ towards_sigma)
    static, weights = (-BETA * (g - np.mean(g)) * (slope - slope.mean()) for g in (rdf(frames)[:, 0].numpy(), later))

    def z(terms):
        off = terms - static
        return abs(off.mean()) / (off.std(ddof=1) / np.sqrt(len(off)))

    assert z(weights + along) < 4
    assert z(weights) > 5
    assert z(np.array(along)) > 5


def test_two_parameters_are_found_where_one_curve_leaves_them_open(sampled):
    """From 4 % and 25 % off, in 5 Gauss-Newton steps whose Jacobian has both terms, to within their errors."""
    rdf = og.RDF(None, None, r_max=1.6 * REDUCED.sigma, bins=12, r_min=0.9 * REDUCED.sigma)
    vacf = og.VACF(normalize=True)

    def averages(model, frames):
        """C and g; their errors count as independent of each other's."""
        path, w = og.propagate(model, frames, 0.005 * TIME, 50, 10, threads=1, workers=1), og.weights(model, frames)
        return og.expectation(vacf(path)[:, 1:], w), og.expectation(rdf(frames), w)

    with torch.no_grad():
        wanted = averages(*sampled)
    model, positions = liquid(lennard_jones(0.96, 1.25))
    sampler = ensemble(model, positions, 120, seed=3, stride=40)
    for _ in range(5):
        rows, off = [], []
        for found, target in zip(averages(model, sampler.sample()), wanted, strict=True):
            root = np.linalg.cholesky(np.linalg.inv(found.covariance() + target.covariance())).T
            rows.append(root @ gradients(found.mean, model))
            off.append(root @ (target.mean_values - found.mean_values))
        step = np.linalg.lstsq(np.concatenate(rows), np.concatenate(off), rcond=None)[0]
        with torch.no_grad():
            for p, change in zip(model.parameters(), step * min(1.0, 0.15 / np.abs(step).max()), strict=True):
                p *= np.exp(change)
    error = np.log([p.item() for p in model.parameters()]) - np.log([REDUCED.sigma, REDUCED.epsilon])
    stderr, of_motion = (np.sqrt(np.diag(np.linalg.inv(j.T @ j))) for j in (np.concatenate(rows), rows[0]))
    assert (stderr < [0.004, 0.08]).all()
    assert (np.abs(error) < 4 * stderr).all()
    assert (of_motion > 1.5 * stderr).all()  # a larger sigma and a smaller epsilon: nearly the same C(t)
