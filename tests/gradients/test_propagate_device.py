# SPDX-License-Identifier: MIT
"""propagate on a device: the adjoint that stays there equals the host's, autograd's, and differences."""

import os

import molecules
import numpy as np
import openmm
import pytest
import simulate
import torch
from device_sweeps import Sweep, relative
from molecules import NONE, PME
from pair_systems import CASES
from propagated import model_of
from torch_dynamics import force_of, langevin_middle, spline_energy, verlet

import openmmgrad as og

PLATFORM = os.environ.get("OPENMMGRAD_TEST_PLATFORM", "OpenCL")
N, MASS, DT, STEPS, CUTOFF, LENGTH = 32, 39.948, 0.004, 60, 0.65, 1.4
# Products in single precision: measured 1e-6 to 6e-6 against double, of sums over 30 steps. In double 1e-15.
NEAR = {"double": 1e-12, "mixed": 3e-5, "single": 3e-5}


def on_device(run: og.Propagator, enabled: bool = True, memory: float = 2.0**30) -> None:
    """Whether the engines of a Propagator that has run use the device."""
    for sweep in (engine._sweep for engines in run._engines.values() for engine in engines):
        sweep._setDevice(enabled, memory)
        assert sweep._usesDevice() == enabled


def renew(run: og.Propagator, memory: float) -> None:
    """The device's part is made anew, with so much memory."""
    for engine in run._engines[next(iter(run._engines))]:
        engine.context.reinitialize()
        engine._box = None
    on_device(run, memory=memory)


@pytest.mark.parametrize("precision", ["double", "mixed", "single"])
def test_pairs_equal_reference(precision):
    """Two types, a triclinic box, exclusions and interaction groups at once, with states kept and states given."""
    device = Sweep("all at once", PLATFORM, precision)
    x, v, history = device.run(30)
    assert device.sweep._usesDevice() and history >= 0
    expected = Sweep("all at once", "Reference").reverse(x, v).gradients
    assert relative(device.reverse(x, v, history).gradients, expected) < NEAR[precision]
    # states that have been to the host and back are the same to the rounding of the device
    assert relative(device.reverse(x, v).gradients, expected) < NEAR[precision]
    again = device.reverse(x, v, history).gradients
    assert all(np.array_equal(a, b) for a, b in zip(again, device.reverse(x, v, history).gradients, strict=True))


def test_pairs_without_a_box_equal_reference():
    device = Sweep("non-periodic", PLATFORM, "double")
    x, v, history = device.run(10)
    expected = Sweep("non-periodic", "Reference").reverse(x, v).gradients
    assert relative(device.reverse(x, v, history).gradients, expected) < NEAR["double"]


def test_more_coefficients_than_fit_into_local_memory_equal_reference(monkeypatch):
    monkeypatch.setitem(CASES, "many types", dict(n_types=14))  # 105 pairs of types, 2520 coefficients
    device = Sweep("many types", PLATFORM, "double")
    x, v, history = device.run(5)
    expected = Sweep("many types", "Reference").reverse(x, v).gradients
    assert relative(device.reverse(x, v, history).gradients, expected) < NEAR["double"]


def test_many_blocks_equal_the_product_over_openmms_list():
    """4200 particles: 132 blocks, more than a group looks at in one go, and the last of them is not full.

    Sums over 50,000 pairs of integers that are rounded by 2e-12 (ours) and 4e-12 (of a product over the list).
    """
    device, host = (Sweep("one type", PLATFORM, "double", n=4200, spread=4.0, on_device=used) for used in (True, False))
    x, v, history = device.run(2)
    assert host.sweep._usesDevice() is False
    assert relative(device.reverse(x, v, history).gradients, host.reverse(x, v).gradients) < 1e-10


class Case:
    """A Lennard-Jones drop in a periodic box; with a second potential, bonds and a moving trap where asked for."""

    def __init__(self, others: bool = False, n_windows: int = 1) -> None:
        rng = np.random.default_rng(0)
        system, self.others = openmm.System(), others
        for _ in range(N):
            system.addParticle(MASS)
        system.setDefaultPeriodicBoxVectors(*(np.eye(3) * LENGTH))
        if others:
            bonds = openmm.CustomBondForce("0.5*kb*(r-0.36)^2")
            bonds.addGlobalParameter("kb", 0.0)
            trap = openmm.CustomExternalForce("0.5*kt*((x-c)^2 + 2*(y-0.4)^2)")
            trap.addGlobalParameter("kt", 0.0)
            trap.addGlobalParameter("c", 0.0)
            for i in range(N):
                trap.addParticle(i)
                if i % 2 == 0:
                    bonds.addBond(i, i + 1)
            system.addForce(bonds)
            system.addForce(trap)
        self.model = og.Model(system)
        self.potential = og.LennardJones(sigma=0.34, epsilon=1.0, cutoff=CUTOFF)
        self.model.add_pair_potential(self.potential)
        if others:
            self.model.add_pair_potential(og.LennardJones(sigma=0.3, epsilon=0.3, cutoff=CUTOFF))
            self.model.add_parameters({"kb": 2000.0, "kt": 30.0})
        lattice = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)[:N] * 0.35
        lattice += 0.15  # none leaves the box: a trap has no images
        self.x0 = torch.tensor(lattice + rng.normal(size=(n_windows, N, 3)) * 0.01, requires_grad=True)
        self.v0 = torch.tensor(rng.normal(size=(n_windows, N, 3)) * 0.15, requires_grad=True)
        self.control = torch.tensor(0.5 + 0.2 * np.sin(np.arange(STEPS) / 30), requires_grad=True)
        self.weights = torch.tensor(rng.normal(size=(4, N, 3)))

    @property
    def inputs(self):
        """All that gradients flow to."""
        return [self.x0, self.v0, *self.model.parameters(), *([self.control] if self.others else [])]

    def loss(self, x, v):
        """Of positions and velocities [.., T, N, 3]."""
        a, b, c, d = self.weights
        x, v = x.movedim(-3, 0), v.movedim(-3, 0)
        return ((x[-1] * a).sum() + (v[-1] * b).sum() + ((x[len(x) // 3] - x[0]) * c).pow(2).sum() + (v[0] * d).sum()
                + (v[len(v) // 2] * v[0]).sum() / N)

    def energy(self, x, step):
        """The same energy in torch, of one window."""
        c = self.model.coefficients(100.0)
        u = sum(spline_energy(x, part, CUTOFF, torch.full((3,), LENGTH, dtype=torch.float64))
                for part in c.chunk(len(self.model.terms)))
        if self.others:
            kb, kt = self.model.parameter_values()
            r = torch.linalg.vector_norm(x[0::2] - x[1::2], dim=1)
            u = u + 0.5 * kb * ((r - 0.36) ** 2).sum()
            u = u + 0.5 * kt * ((x[:, 0] - self.control[step]) ** 2 + 2 * (x[:, 1] - 0.4) ** 2).sum()
        return u

    def oracle(self, friction, shown):
        def force(x, step):
            return force_of(lambda y: self.energy(y, step), x)

        arguments = force, self.x0[0], self.v0[0], MASS, DT, STEPS
        return verlet(*arguments) if friction is None else langevin_middle(*arguments, friction, shown)

    def propagator(self, integrator=None, n_steps=STEPS, stride=1, **options):
        return og.Propagator(self.model, DT, n_steps, stride, integrator=integrator, platform=f"{PLATFORM}:double",
                             temperature=100.0, **options)

    def path(self, run):
        return run(initial=(self.x0, self.v0), controls={"c": self.control} if self.others else None)

    def gradients(self, run):
        path = self.path(run)
        return torch.autograd.grad(self.loss(path.positions, path.velocities), self.inputs)


# Pairs alone: the closed forms, 1e-10 as on Reference. With differences: their own error, 1e-6 as on Reference.
@pytest.mark.parametrize(("others", "near"), [(False, 1e-10), (True, 1e-6)])
@pytest.mark.parametrize("friction", [None, 5.0])
def test_gradients_equal_autograd_through_every_step(friction, others, near):
    case = Case(others)
    run = case.propagator(None if friction is None else openmm.LangevinMiddleIntegrator(100.0, friction, DT))
    path = case.path(run)
    x, v = path.positions[0], path.velocities[0]
    on_device(run)
    adjoint = torch.autograd.grad(case.loss(x, v), case.inputs)
    oracle_x, oracle_v = case.oracle(friction, v.detach())
    expected = torch.autograd.grad(case.loss(oracle_x, oracle_v), case.inputs)
    # forces are added up in steps of 2^-32 kJ/mol/nm: 1e-10 after 60 steps
    assert relative([x.detach(), v.detach()], [oracle_x.detach(), oracle_v.detach()]) < 1e-8
    assert relative(adjoint, expected) < max(near, 1e-8)


def test_gradients_equal_differences_of_the_trajectory():
    case = Case()
    run = case.propagator()
    gradients = case.gradients(run)
    rng = np.random.default_rng(1)
    for tensor, gradient in zip(case.inputs, gradients, strict=True):
        direction, sides = torch.tensor(rng.normal(size=tuple(tensor.shape))), []
        for sign in (1, -1):
            with torch.no_grad():
                tensor += sign * 1e-5 * direction
                path = case.path(run)
                sides.append(float(case.loss(path.positions, path.velocities)))
                tensor -= sign * 1e-5 * direction
        # 1e-5: the fixed point of forces, 1e-10 of the loss, over the step; kinks of u'''
        assert float((gradient * direction).sum()) == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("options", [dict(stride=7), dict(checkpoint_every=9), dict(n_steps=300), dict(two_sided=True),
                                     dict(max_reverse_steps=20)], ids=str)
def test_windows_of_all_kinds_equal_those_of_the_host(options):
    """300 steps are more than are run at a time, and more than OpenMM lets pass before it sorts and wraps particles."""
    case = Case()
    run = case.propagator(**options)
    found, path = case.gradients(run), case.path(run)
    on_device(run)
    on_device(run, False)
    expected, on_host = case.gradients(run), case.path(run)
    assert relative(found, expected) < 1e-9
    assert "n_steps" not in options or path.positions.min() < 0  # particles that have left the box
    # sums of forces depend on the order of particles, and rounding grows along the trajectory
    assert relative([path.positions.detach()], [on_host.positions.detach()]) < 1e-10


def test_observed_windows_and_little_memory_change_nothing():
    case = Case()
    run = case.propagator(observe=lambda x, v: torch.cat([x, v], dim=1))
    path = case.path(run)
    usual = torch.autograd.grad(case.loss(path.observed[0, :, :N], path.observed[0, :, N:]), case.inputs)
    renew(run, 10 * 24 * N)  # five states
    path = case.path(run)
    pieces = torch.autograd.grad(case.loss(path.observed[0, :, :N], path.observed[0, :, N:]), case.inputs)
    assert relative(pieces, usual) < 1e-9


def test_states_stay_on_the_device_where_there_is_room():
    """Every fourth is shown; there is room for one window of three, and then for none."""
    case = Case(n_windows=3)
    run = case.propagator(stride=4)
    usual = case.gradients(run)
    for windows in (1.5, 0.5):
        renew(run, 2 * windows * (STEPS + 1) * 24 * N)
        assert relative(case.gradients(run), usual) < 1e-9
    renew(run, 2.0**30)
    path = case.path(run)
    run._engines[next(iter(run._engines))][0].context.reinitialize()
    with pytest.raises(openmm.OpenMMException, match="are there no more, because the Context has been reinitialized"):
        path.positions.sum().backward()


@pytest.mark.parametrize("workers", [1, 2])
def test_windows_together_equal_windows_alone(workers):
    case = Case(n_windows=5)
    run = case.propagator(workers=workers)
    together, path = case.gradients(run), case.path(run)
    assert run._engines[next(iter(run._engines))][0].together >= 5
    alone = [torch.zeros_like(tensor) for tensor in case.inputs]
    for s in range(5):
        one = run(initial=(case.x0[s], case.v0[s]))
        assert relative([one.positions[0].detach()], [path.positions[s].detach()]) < 1e-9
        for total, part in zip(alone, torch.autograd.grad(case.loss(one.positions[0], one.velocities[0]), case.inputs),
                               strict=True):
            total += part
    assert relative(together, alone) < 1e-9


# The displacement leaves less of the fourth digit in double precision, noise of forces in single.
@pytest.mark.parametrize(("kind", "options"), [("spcfw", dict(remove_motion=5)), ("tip4pf", {}),
                                               ("spcfw", dict(n_side=3, method=PME, cutoff=0.4))], ids=str)
def test_molecules_equal_those_of_the_host(kind, options):
    """Energy derivatives, differenced charges and sigmas; a CMMotionRemover, virtual sites, and PME."""
    case = molecules.water(kind, **{"n_side": 2, "method": NONE, **options})
    model, probe = model_of(case), simulate.Probe()
    x0, v0 = (torch.tensor(part, requires_grad=True) for part in (case.positions, case.velocities))
    run = og.Propagator(model, 0.0005, 12, platform=f"{PLATFORM}:double")

    def gradients(run):
        path = run(initial=(x0, v0))
        return torch.autograd.grad(probe(path.positions[0], path.velocities[0]), [*model.parameters(), x0, v0])

    found = gradients(run)
    on_device(run)
    on_device(run, False)
    host = gradients(run)
    assert relative(found, host) < 1e-8
    assert relative(host, gradients(og.Propagator(model, 0.0005, 12, platform="Reference"))) < 1e-3


def test_noise_on_the_device_is_that_of_a_new_context():
    """A seed gives the same noise whichever windows ran before, and when a piece runs again from a checkpoint."""
    case = Case(n_windows=2)
    with torch.no_grad():
        case.v0[1] *= 2.0
    run = case.propagator(openmm.LangevinMiddleIntegrator(100.0, 5.0, DT), checkpoint_every=25)
    on_host = case.propagator(openmm.LangevinMiddleIntegrator(100.0, 5.0, DT), checkpoint_every=25)
    found = []
    for one in (run, on_host):
        case.path(one)
        on_device(one, one is run)
        path = case.path(one)
        found.append([path.positions, *torch.autograd.grad(case.loss(path.positions, path.velocities), case.inputs)])
    engine = run._engines[next(iter(run._engines))][0]
    assert engine._sweep._getNumDownloads() > 6 * 3  # the Context, and what is on the device, has not been made anew
    assert relative([part.detach() for part in found[0]], [part.detach() for part in found[1]]) < 1e-8


def test_what_is_out_of_reach_is_left_to_the_host():
    system = openmm.System()
    for mass in (16.0, 1.0, 1.0):
        system.addParticle(mass)
    system.addConstraint(0, 1, 0.1)
    force = openmm.CustomBondForce("0.5*k*(r-0.15)^2")
    force.addGlobalParameter("k", 100.0)
    force.addBond(1, 2)
    system.addForce(force)
    model = og.Model(system)
    model.add_parameters({"k": 100.0})
    x0 = torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.1, 0.2, 0.0]], dtype=torch.float64)
    found = []
    for platform in (PLATFORM, "Reference"):
        run = og.Propagator(model, 0.001, 20, platform=platform)
        path = run(initial=(x0, torch.zeros(3, 3)))
        found.append(torch.autograd.grad(path.positions[0, -1, 2, 1], [*model.parameters()]))
        assert not run._engines[next(iter(run._engines))][0].on_device
    assert relative(*found) < 1e-3


def test_downloads_do_not_grow_with_steps():
    device, counts = Sweep("all at once", PLATFORM, "single"), []
    for n_steps in (10, 80):
        before = device.sweep._getNumDownloads() if counts else 0
        x, v, history = device.run(n_steps)
        device.reverse(x, v, history)
        counts.append(device.sweep._getNumDownloads() - before)
    assert counts[0] == counts[1] == 6  # positions, velocities; gx, gv, coefficients, parameters
