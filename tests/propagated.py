# SPDX-License-Identifier: MIT
"""The same losses as simulate's, and their gradients, through openmmgrad.propagate."""

import numpy as np
import simulate
import torch

import openmmgrad as og


def losses_of(case, timestep: float) -> dict:
    """Bands of water's librations (below 900 cm^-1) and stretches (above 3200), and a probe of everything."""
    return {
        "low band": simulate.Band(case.charges, timestep, 200, 900),
        "high band": simulate.Band(case.charges, timestep, 3200, 3900),
        "probe": simulate.Probe(),
    }


def model_of(case) -> og.Model:
    """A Model that learns the case's global parameters."""
    model = og.Model(case.system)
    model.add_parameters(case.values, scale=case.sizes)
    return model


def gradients(loss, model, case, x0, v0):
    """Size times gradient of each parameter; for x0 and v0 (derivative along the case's direction, its usual size).

    The usual size is the standard deviation were the signs of the direction's components random.
    """
    tensors = [model.global_parameters[name] for name in case.sizes]
    *parts, g_x, g_v = torch.autograd.grad(loss, [*tensors, x0, v0], retain_graph=True)
    state = {}
    for (name, direction), g in zip(simulate.directions(case).items(), (g_x, g_v), strict=True):
        terms = g.numpy() * direction
        state[name] = terms.sum(), np.sqrt((terms**2).sum())
    return {name: size * g.item() for (name, size), g in zip(case.sizes.items(), parts, strict=True)}, state


def propagated(case, timestep: float, n_steps: int, platform: str, losses: dict | None = None, **options):
    """Path, and of each loss the `gradients` for the parameters and for the initial state."""
    model = model_of(case)
    x0, v0 = (torch.tensor(part, requires_grad=True) for part in (case.positions, case.velocities))
    path = og.propagate(model, timestep=timestep, n_steps=n_steps, initial=(x0, v0), platform=platform, threads=1,
                        **options)
    every = {name: gradients(loss(path.positions[0], path.velocities[0]), model, case, x0, v0)
             for name, loss in (losses or losses_of(case, timestep)).items()}
    return path, {name: parts[0] for name, parts in every.items()}, {name: parts[1] for name, parts in every.items()}
