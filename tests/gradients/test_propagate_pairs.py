# SPDX-License-Identifier: MIT
"""propagate: the adjoint equals autograd through every step, and differences of the whole trajectory."""

import numpy as np
import openmm
import pytest
import torch
from torch_dynamics import force_of, langevin_middle, nose_hoover, spline_energy, verlet

import openmmgrad as og
from openmmgrad.units import KB

N, MASS, DT, STEPS, CUTOFF, LENGTH = 32, 39.948, 0.004, 200, 0.65, 1.4
INTEGRATORS = {
    "verlet": lambda: openmm.VerletIntegrator(DT),
    "langevin": lambda: openmm.LangevinMiddleIntegrator(100.0, 5.0, DT),
    "nose-hoover": lambda: og.NoseHooverChainIntegrator(100.0, DT, 3 * N),
}


class Case:
    """A Lennard-Jones liquid drop in a periodic box, with bonds and a trap beside it where asked for."""

    def __init__(self, others: bool = False) -> None:
        rng = np.random.default_rng(0)
        system = openmm.System()
        for _ in range(N):
            system.addParticle(MASS)
        system.setDefaultPeriodicBoxVectors(*(np.eye(3) * LENGTH))
        if others:
            bonds = openmm.CustomBondForce("0.5*kb*(r-0.36)^2")
            bonds.addGlobalParameter("kb", 0.0)
            for i in range(0, N, 2):
                bonds.addBond(i, i + 1)
            trap = openmm.CustomExternalForce("0.5*kt*((x-c)^2 + 2*(y-0.4)^2)")
            trap.addGlobalParameter("kt", 0.0)
            trap.addGlobalParameter("c", 0.0)
            for i in range(N):
                trap.addParticle(i)
            system.addForce(bonds)
            system.addForce(trap)
        self.model = og.Model(system)
        self.potential = og.LennardJones(sigma=0.34, epsilon=1.0, cutoff=CUTOFF)
        self.model.add_pair_potential(self.potential)
        self.others = others
        if others:
            self.model.add_parameters({"kb": 2000.0, "kt": 30.0})
        lattice = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)[:N] * 0.35
        self.x0 = torch.tensor(lattice + rng.normal(size=(N, 3)) * 0.01, requires_grad=True)
        self.v0 = torch.tensor(rng.normal(size=(N, 3)) * 0.15, requires_grad=True)
        self.control = torch.tensor(0.5 + 0.2 * np.sin(np.arange(STEPS) / 30), requires_grad=True)
        self.weights = torch.tensor(rng.normal(size=(4, N, 3)))

    @property
    def inputs(self):
        """All that gradients flow to."""
        return [self.x0, self.v0, *self.model.parameters(), *([self.control] if self.others else [])]

    def loss(self, x, v):
        """Of positions and velocities [T, N, 3]: early, late and first states."""
        a, b, c, d = self.weights
        return ((x[-1] * a).sum() + (v[-1] * b).sum() + ((x[70] - x[0]) * c).pow(2).sum() + (v[0] * d).sum()
                + (v[30] * v[0]).sum() / N)

    def energy(self, x, step):
        """The same energy in torch."""
        c = self.model.coefficients(100.0)
        u = spline_energy(x, c, CUTOFF, torch.full((3,), LENGTH, dtype=torch.float64))
        if self.others:
            kb, kt = self.model.parameter_values()
            r = torch.linalg.vector_norm(x[0::2] - x[1::2], dim=1)
            u = u + 0.5 * kb * ((r - 0.36) ** 2).sum()
            u = u + 0.5 * kt * ((x[:, 0] - self.control[step]) ** 2 + 2 * (x[:, 1] - 0.4) ** 2).sum()
        return u

    def propagate(self, integrator, **options):
        controls = {"c": self.control} if self.others else None
        return og.propagate(self.model, None, None, STEPS, integrator=integrator, initial=(self.x0, self.v0),
                            controls=controls, platform="Reference", temperature=100.0, **options)

    def oracle(self, name, shown):
        def force(x, step):
            return force_of(lambda y: self.energy(y, step), x)

        arguments = force, self.x0, self.v0, MASS, DT, STEPS
        if name == "verlet":
            return verlet(*arguments)
        if name == "langevin":
            return langevin_middle(*arguments, 5.0, shown)
        integrator = INTEGRATORS[name]()
        return nose_hoover(*arguments, KB * 100.0, 3 * N, integrator.chain_masses)


def relative(found, expected):
    """Largest deviation over the largest value, of each tensor."""
    return max(float(((f - e).abs().max() / e.abs().max()).detach()) for f, e in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", INTEGRATORS)
def test_pairs_equal_autograd_through_every_step(name):
    case = Case()
    path = case.propagate(INTEGRATORS[name]())
    x, v = path.positions[0], path.velocities[0]
    adjoint = torch.autograd.grad(case.loss(x, v), case.inputs)
    oracle_x, oracle_v = case.oracle(name, v.detach())
    assert relative([x, v], [oracle_x, oracle_v]) < 1e-10
    assert relative(adjoint, torch.autograd.grad(case.loss(oracle_x, oracle_v), case.inputs)) < 1e-10


@pytest.mark.parametrize("name", ["verlet", "langevin"])
def test_every_parameter_kind_equals_autograd(name):
    """An analytic parameter, one by differences, and a control, beside the closed forms."""
    case = Case(others=True)
    path = case.propagate(INTEGRATORS[name]())
    x, v = path.positions[0], path.velocities[0]
    adjoint = torch.autograd.grad(case.loss(x, v), case.inputs)
    expected = torch.autograd.grad(case.loss(*case.oracle(name, v.detach())), case.inputs)
    assert relative(adjoint, expected) < 1e-6


@pytest.mark.parametrize("name", INTEGRATORS)
def test_pairs_equal_differences_of_the_trajectory(name):
    case = Case()
    gradients = torch.autograd.grad(_loss(case, name), case.inputs)
    rng = np.random.default_rng(1)
    for tensor, gradient in zip(case.inputs, gradients, strict=True):
        direction = torch.tensor(rng.normal(size=tuple(tensor.shape)))
        step = 1e-6 if tensor is case.potential.epsilon else 1e-7  # forces have kinks in u'''
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                tensor += sign * step * direction
                sides.append(float(_loss(case, name)))
                tensor -= sign * step * direction
        difference = (sides[0] - sides[1]) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(difference, rel=1e-6)


def _loss(case, name, **options):
    path = case.propagate(INTEGRATORS[name](), **options)
    return case.loss(path.positions[0], path.velocities[0])


@pytest.mark.parametrize("name", ["verlet", "nose-hoover"])
def test_checkpoints_and_observation_change_nothing(name):
    case = Case()
    plain = torch.autograd.grad(_loss(case, name), case.inputs)
    assert relative(torch.autograd.grad(_loss(case, name, checkpoint_every=23), case.inputs), plain) < 1e-9
    kept = case.propagate(INTEGRATORS[name](), observe=lambda x, v: torch.cat([x, v], dim=1), checkpoint_every=31)
    x, v = kept.observed[0, :, :N], kept.observed[0, :, N:]
    assert kept.positions is None
    assert relative(torch.autograd.grad(case.loss(x, v), case.inputs), plain) < 1e-9


@pytest.mark.parametrize("name", ["verlet", "nose-hoover"])
def test_two_sided_windows_run_back_in_time(name):
    case = Case()
    path = case.propagate(INTEGRATORS[name](), two_sided=True, stride=5)
    one = case.propagate(INTEGRATORS[name](), stride=5)
    back = og.propagate(case.model, None, None, STEPS + 1, integrator=INTEGRATORS[name](), platform="Reference",
                        initial=(case.x0.detach(), -case.v0.detach()), temperature=100.0)
    assert path.positions.shape[1] == 2 * (STEPS // 5) + 1 and path.origin == STEPS // 5
    assert torch.equal(path.positions[:, path.origin:], one.positions)
    assert torch.equal(path.velocities[:, path.origin:], one.velocities)
    lag = 1 if path.half_step else 0
    assert torch.equal(path.positions[0, 0], back.positions[0, STEPS])
    assert torch.equal(path.velocities[0, 0], -back.velocities[0, STEPS + lag])
    torch.manual_seed(0)
    a, b = torch.randn(2, *path.positions.shape, dtype=torch.float64)

    def loss(**options):
        path = case.propagate(INTEGRATORS[name](), two_sided=True, stride=5, **options)
        return (path.positions * a + path.velocities * b).sum()

    gradients = torch.autograd.grad(loss(), case.inputs)
    assert relative(torch.autograd.grad(loss(checkpoint_every=17), case.inputs), gradients) < 1e-9
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            case.potential.sigma += sign * 1e-7
            sides.append(float(loss()))
            case.potential.sigma -= sign * 1e-7
    assert float(gradients[2]) == pytest.approx((sides[0] - sides[1]) / 2e-7, rel=1e-6)


def test_truncation_takes_the_state_before_as_constant():
    case = Case()
    whole = case.propagate(INTEGRATORS["verlet"]())
    cut = 150
    parameters = list(case.model.parameters())
    a, b = case.weights[:2]
    found = torch.autograd.grad(
        (case.propagate(INTEGRATORS["verlet"](), max_reverse_steps=STEPS - cut).positions[0, -1] * a).sum(),
        [case.x0, *parameters])
    assert float(found[0].abs().max()) == 0.0
    # the same 50 steps from the stored state, where the first half kick is undone: v(-1/2) is what is kept
    x, v = whole.positions[0, cut].detach(), whole.velocities[0, cut].detach()

    def force(x, step):
        return force_of(lambda y: case.energy(y, step), x)

    for _ in range(STEPS - cut):
        v = v + DT * force(x, 0) / MASS
        x = x + DT * v
    expected = torch.autograd.grad((x * a).sum(), parameters)
    assert relative(found[1:], expected) < 1e-9


def test_windows_in_threads_equal_windows_alone():
    case = Case()
    rng = np.random.default_rng(3)
    x0 = case.x0.detach() + torch.tensor(rng.normal(size=(5, N, 3)) * 0.005)
    v0 = case.v0.detach() + torch.tensor(rng.normal(size=(5, N, 3)) * 0.1)
    run = og.Propagator(case.model, DT, 40, platform="Reference", workers=3, temperature=100.0)
    parameters = list(case.model.parameters())
    together = run(initial=(x0, v0))
    gradient = torch.autograd.grad(together.positions[:, -1].pow(2).sum(), parameters)
    alone = [run(initial=(x0[s], v0[s])) for s in range(5)]
    assert all(torch.equal(path.positions[0], together.positions[s]) for s, path in enumerate(alone))
    summed = sum(path.positions[:, -1].pow(2).sum() for path in alone)
    assert relative(gradient, torch.autograd.grad(summed, parameters)) < 1e-12
