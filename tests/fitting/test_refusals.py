# SPDX-License-Identifier: MIT
"""What a fit cannot do is said, with what was expected, what was found and what to do."""

import numpy as np
import pytest
from fitting import fluids

import openmmgrad as og


def test_too_few_frames_for_the_covariance():
    potential = og.SplinePotential.from_potential(fluids.lennard_jones(), fluids.REDUCED.temperature(1.5))
    sampler = fluids.ensemble(potential, n_frames=30, n=64, rho=0.3)
    target = og.Target(fluids.rdf(), sampler, fluids.step_g(), sigma=0.1)
    with pytest.raises(ValueError, match=r"30 frames of 'liquid' cannot tell.*at least 90 are needed.*n_frames=90"):
        og.fit([target], max_iterations=1, progress=False)


def test_core_that_hides_the_pairs_of_the_target():
    sampler = fluids.ensemble(fluids.lennard_jones(sigma=1.4), n_frames=20, n=64, rho=0.2)
    g = np.where(fluids.rdf().grid > 0.9 * fluids.REDUCED.sigma, 1.0, 0.0)
    target = og.Target(fluids.rdf(), sampler, g, name="g(r)")
    message = r"% of the pairs of target 'g\(r\)'.*no frame of 'liquid' reached.*start_from_rdf"
    with pytest.raises(ValueError, match=message):
        og.fit([target], max_iterations=1, progress=False)


def test_targets_and_ensembles_need_names_of_their_own():
    sampler = fluids.ensemble(fluids.lennard_jones(), n_frames=5, n=64, rho=0.2)
    target = og.Target(fluids.rdf(), sampler, fluids.step_g())
    with pytest.raises(ValueError, match="Targets must have different names.*Pass name="):
        og.fit([target, og.Target(fluids.rdf(30), sampler, fluids.step_g(30))], progress=False)
    twin = fluids.ensemble(fluids.lennard_jones(), n_frames=5, n=64, rho=0.2)
    other = og.Target(fluids.rdf(), twin, fluids.step_g(), name="b")
    with pytest.raises(ValueError, match="Ensembles must have different names"):
        og.fit([target, other], progress=False)


def test_optimiser_that_diverges_is_stopped_with_a_message():
    import torch

    sampler = fluids.ensemble(fluids.lennard_jones(), n_frames=20, n=64, rho=0.2)
    target = og.Target(fluids.rdf(), sampler, fluids.step_g(), sigma=0.1)
    with pytest.raises(ValueError, match="(must be positive|must fall below core|must be finite).*"):
        og.fit([target], method=torch.optim.SGD, lr=1e6, max_iterations=2, progress=False)
