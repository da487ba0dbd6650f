# SPDX-License-Identifier: MIT
"""propagate with rigid constraints: against autograd through SHAKE, and differences of the trajectory."""

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og

BOND, ANGLE, DT = 0.1, np.deg2rad(109.47), 0.001
CHARGES, MASSES = (-0.82, 0.41, 0.41), (15.999, 1.008, 1.008)
COULOMB = 138.93545764438198  # kJ/mol nm/e^2


def build(n_waters, removal=0):
    """Waters without cutoffs: even ones rigid (SETTLE), odd ones with rigid bonds and a flexible angle (CCMA)."""
    system, charges, bends = openmm.System(), openmm.NonbondedForce(), openmm.HarmonicAngleForce()
    charges.addGlobalParameter("dq", 0.0)
    for first in range(0, 3 * n_waters, 3):
        for k in range(3):
            system.addParticle(MASSES[k])
            charges.addParticle(CHARGES[k], 0.3166 if k == 0 else 0.1, 0.65 if k == 0 else 0.0)
            charges.addParticleParameterOffset("dq", first + k, -2.0 if k == 0 else 1.0, 0.0, 0.0)
        for i, j in ((0, 1), (0, 2), (1, 2)):
            charges.addException(first + i, first + j, 0.0, 1.0, 0.0)
        system.addConstraint(first, first + 1, BOND)
        system.addConstraint(first, first + 2, BOND)
        if first % 2 == 0:
            system.addConstraint(first + 1, first + 2, 2 * BOND * np.sin(ANGLE / 2))
        else:
            bends.addAngle(first + 1, first, first + 2, ANGLE, 300.0)
    for force in (charges, bends):
        system.addForce(force)
    if removal:
        system.addForce(openmm.CMMotionRemover(removal))
    model = og.Model(system)
    model.add_parameters({"dq": 0.0}, scale=0.41)
    return model


def start(model, n_waters, seed=0):
    """Positions and velocities that meet the constraints, after a short run."""
    rng = np.random.default_rng(seed)
    shape = BOND * np.array([[0, 0, 0], [1, 0, 0], [np.cos(ANGLE), np.sin(ANGLE), 0]])
    turned = [shape @ np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(n_waters)]
    sites = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3)[:n_waters] * 0.31
    context = openmm.Context(model.create_system(), openmm.LangevinMiddleIntegrator(200.0, 5.0, DT),
                             openmm.Platform.getPlatformByName("Reference"))
    context.getIntegrator().setConstraintTolerance(1e-10)
    context.getIntegrator().setRandomNumberSeed(3)
    context.reinitialize()
    context.setPositions((np.array(turned) + sites[:, None]).reshape(-1, 3))
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 50)
    context.setVelocitiesToTemperature(200.0, 1)
    context.getIntegrator().step(50)
    context.applyConstraints(1e-13)
    context.applyVelocityConstraints(1e-13)
    state = context.getState(positions=True, velocities=True)
    return (torch.tensor(np.array(part._value)) for part in (state.getPositions(asNumpy=True),
                                                              state.getVelocities(asNumpy=True)))


def energy(x, dq):
    """Of two waters, in torch."""
    q = torch.stack([-0.82 - 2 * dq, 0.41 + dq, 0.41 + dq])
    i, j = torch.meshgrid(torch.arange(3), torch.arange(3, 6), indexing="ij")
    r = torch.linalg.vector_norm(x[i] - x[j], dim=-1)
    sixth = (0.3166 / r[0, 0]) ** 6
    a, b = x[4] - x[3], x[5] - x[3]
    angle = torch.acos((a @ b) / torch.sqrt((a @ a) * (b @ b)))
    return (COULOMB * q[:, None] * q[None] / r).sum() + 4 * 0.65 * (sixth**2 - sixth) + 150.0 * (angle - ANGLE) ** 2


def shake(x, free, pairs, lengths, inverse_mass):
    """x' = free + M^-1 A(x)^T mu with every constraint met: Newton's method in torch, so that autograd sees it."""
    i, j = pairs.T
    bond, mu = x[i] - x[j], torch.zeros(len(pairs), dtype=torch.float64)
    rows = torch.zeros(len(pairs), len(x), dtype=torch.float64)
    rows[torch.arange(len(pairs)), i], rows[torch.arange(len(pairs)), j] = 1.0, -1.0
    for _ in range(8):
        after = free + torch.einsum("cn,c,ck->nk", rows * inverse_mass, mu, bond)
        new = after[i] - after[j]
        couple = ((rows * inverse_mass) @ rows.T) * (new @ bond.T)
        mu = mu - torch.linalg.solve(2 * couple, (new**2).sum(1) - lengths**2)
    return free + torch.einsum("cn,c,ck->nk", rows * inverse_mass, mu, bond)


def loss(x, v, a, b):
    return (x[-1] * a).sum() + (v[-1] * b).sum() + (v[0] * a).sum() + (v[0] * v[8]).sum()


def test_equals_autograd_through_shake():
    model = build(2)
    x0, v0 = start(model, 2)
    v0.requires_grad_()
    (dq,) = model.parameters()
    a, b = torch.tensor(np.random.default_rng(1).normal(size=(2, 6, 3)))
    path = og.propagate(model, None, DT, 40, initial=(x0, v0), platform="Reference")
    pairs = torch.tensor([[0, 1], [0, 2], [1, 2], [3, 4], [3, 5]])
    settle = np.float32([BOND, BOND, 2 * BOND * np.sin(ANGLE / 2)])  # as OpenMM's SETTLE holds its distances
    lengths = torch.tensor([*settle.astype(float), BOND, BOND])
    mass = torch.tensor(MASSES * 2, dtype=torch.float64)[:, None]

    def force(x):
        x = x if x.requires_grad else x.detach().requires_grad_()
        return -torch.autograd.grad(energy(x, dq), x, create_graph=True)[0]

    x, v = x0, v0 - DT / 2 * force(x0) / mass
    xs, vs = [x], [v]
    for _ in range(40):
        after = shake(x, x + DT * (v + DT * force(x) / mass), pairs, lengths, 1 / mass[:, 0])
        v, x = (after - x) / DT, after
        xs.append(x)
        vs.append(v)
    vs[0] = 2 * v0 - vs[1]
    xs, vs = torch.stack(xs), torch.stack(vs)
    assert float((path.positions[0] - xs).detach().abs().max()) < 1e-11
    found = torch.autograd.grad(loss(path.positions[0], path.velocities[0], a, b), [dq, v0])
    expected = torch.autograd.grad(loss(xs, vs, a, b), [dq, v0])
    for f, e in zip(found, expected, strict=True):
        assert float((f - e).abs().max() / e.abs().max()) < 1e-8


@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 7}, {"stride": 4}, {"two_sided": True, "stride": 2}])
def test_equals_differences_of_the_trajectory(options):
    model = build(8, removal=3)
    x0, v0 = start(model, 8)
    (dq,) = model.parameters()
    a, b = torch.tensor(np.random.default_rng(1).normal(size=(2, 24, 3)))
    run = og.Propagator(model, DT, 60, platform="Reference", **options)

    def value(velocities):
        path = run(initial=(x0, velocities))
        return loss(path.positions[0], path.velocities[0], a, b)

    v0.requires_grad_()
    on_dq, on_v0 = torch.autograd.grad(value(v0), [dq, v0])
    sides = {"dq": [], "v0": []}
    for sign in (1, -1):
        with torch.no_grad():
            dq += sign * 1e-5
            sides["dq"].append(float(value(v0)))
            dq -= sign * 1e-5
            sides["v0"].append(float(value(v0 * (1 + sign * 1e-5))))  # along v0, which meets the constraints
    dq_difference, v0_difference = ((plus - minus) / 2e-5 for plus, minus in sides.values())
    assert float(on_dq) == pytest.approx(dq_difference, rel=1e-6)
    assert float((on_v0 * v0.detach()).sum()) == pytest.approx(v0_difference, rel=1e-6)


def test_frames_of_an_ensemble_have_velocities_that_meet_the_constraints():
    model = build(8)
    x0, v0 = start(model, 8)
    frames = og.Ensemble(model, x0.numpy(), 200.0, timestep=DT, n_frames=3, stride=5, equilibration=5, friction=5.0,
                         platform="Reference").sample()
    i, j = np.array([model.system.getConstraintParameters(k)[:2] for k in range(model.system.getNumConstraints())]).T
    x, v = np.array(frames.positions), np.array(frames.velocities)
    along = ((x[:, i] - x[:, j]) * (v[:, i] - v[:, j])).sum(-1)
    assert np.abs(along).max() < 1e-6 * np.abs(v).max() * BOND
    path = og.propagate(model, frames, DT, 10, platform="Reference")
    on_step = path.on_step_velocities()[:, 0].detach().numpy()
    assert np.abs(on_step - v).max() < 1e-12


def test_cpu_agrees():
    model = build(8)
    x0, v0 = start(model, 8)
    a, b = torch.tensor(np.random.default_rng(1).normal(size=(2, 24, 3)))
    gradients = []
    for platform in ("Reference", "CPU"):
        path = og.propagate(model, None, DT, 60, initial=(x0, v0), platform=platform, threads=1)
        gradients.append(torch.autograd.grad(loss(path.positions[0], path.velocities[0], a, b), model.parameters())[0])
    assert float(gradients[1]) == pytest.approx(float(gradients[0]), rel=5e-3)  # single precision forces


@pytest.mark.parametrize("integrator", [openmm.LangevinMiddleIntegrator(300.0, 1.0, DT),
                                        og.NoseHooverChainIntegrator(300.0, DT, 10)])
def test_constraints_with_a_thermostat_are_refused(integrator):
    model = build(2)
    with pytest.raises(ValueError, match="constraints=None, rigidWater=False"):
        og.propagate(model, None, None, 10, integrator=integrator, initial=tuple(start(model, 2)), platform="Reference")


def test_alternating_differences_start_from_the_force_of_the_constraints_adjoint():
    n_steps, found = 60, {}
    model = build(8, removal=5)
    for platform, differences in (("Reference", "central"), ("CPU", "alternating")):
        state = [part.clone().requires_grad_() for part in start(model, 8)]
        path = og.propagate(model, timestep=DT, n_steps=n_steps, initial=tuple(state), platform=platform, threads=1,
                            differences=differences)
        loss = (path.positions[0, -1] * torch.cos(torch.arange(72.0).reshape(24, 3))).sum()
        found[platform] = torch.autograd.grad(loss, [*model.parameters(), *state])
    for value, exact in zip(found["CPU"], found["Reference"], strict=True):
        assert (value - exact).norm() <= 1.5e-3 * exact.norm()
