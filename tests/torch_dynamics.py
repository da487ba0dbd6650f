# SPDX-License-Identifier: MIT
"""The oracle of `propagate` for particles in a rectangular box: every step in torch, differentiated by autograd."""

import torch


def spline_energy(x, c, cutoff, lengths):
    """Sum over pairs of uniform cubic B-splines with coefficients c [K], minimum image in a box of lengths [3]."""
    i, j = torch.triu_indices(len(x), len(x), 1)
    d = x[i] - x[j]
    d = d - lengths * torch.round(d.detach() / lengths)
    r = torch.linalg.vector_norm(d, dim=1)
    r = r[r.detach() < cutoff]
    position = r / (cutoff / (len(c) - 3))
    k = position.detach().floor().long()
    t = position - k
    weights = torch.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    return (weights * c[k + torch.arange(4)[:, None]]).sum()


def force_of(energy, x):
    """-dU/dx with graph."""
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        return -torch.autograd.grad(energy(x), x, create_graph=True)[0]


def verlet(force, x, v, mass, dt, n):
    """Leapfrog from x, v at one time: positions [n + 1, N, 3] and half-step velocities. force(x, step)."""
    v = v - dt / 2 * force(x, 0) / mass
    xs, vs = [x], [v]
    for step in range(n):
        v = v + dt * force(x, step) / mass
        x = x + dt * v
        xs.append(x)
        vs.append(v)
    return torch.stack(xs), torch.stack(vs)


def langevin_middle(force, x, v, mass, dt, n, friction, shown):
    """The same with friction; the noise is what takes the shown path [n + 1, N, 3] from one velocity to the next."""
    damping = torch.exp(torch.tensor(-friction * dt, dtype=torch.float64))
    v = v - dt / 2 * force(x, 0) / mass
    xs, vs = [x], [v]
    for step in range(n):
        kicked = v + dt * force(x, step) / mass
        noise = (shown[step + 1] - damping * kicked).detach()
        v = damping * kicked + noise
        x = x + dt / 2 * (kicked + v)
        xs.append(x)
        vs.append(v)
    return torch.stack(xs), torch.stack(vs)


def nose_hoover(force, x, v, mass, dt, n, kT, freedom, masses):
    """Velocity Verlet between half steps of a chain, operator by operator (Martyna et al. 1996)."""
    p = [torch.zeros((), dtype=torch.float64) for _ in masses]
    last = len(masses) - 1

    def half_chain(v):
        def push(k):
            twice = (mass * v**2).sum()
            drive = twice - freedom * kT if k == 0 else p[k - 1] ** 2 / masses[k - 1] - kT
            p[k] = p[k] + dt / 4 * drive

        def damp(k):
            p[k] = p[k] * torch.exp(-dt / 8 * p[k + 1] / masses[k + 1])

        push(last)
        for k in range(last - 1, -1, -1):
            damp(k), push(k), damp(k)
        v = v * torch.exp(-dt / 2 * p[0] / masses[0])
        for k in range(last):
            damp(k), push(k), damp(k)
        push(last)
        return v

    xs, vs = [x], [v]
    for _ in range(n):
        v = half_chain(v) + dt / 2 * force(x, 0) / mass
        x = x + dt * v
        v = half_chain(v + dt / 2 * force(x, 0) / mass)
        xs.append(x)
        vs.append(v)
    return torch.stack(xs), torch.stack(vs)
