# SPDX-License-Identifier: MIT
"""What Path promises, and what every observable of paths does."""

import mdtraj
import numpy as np
import pytest
import torch

import openmmgrad as og
from openmmgrad.estimate import expectation
from openmmgrad.weights import Weights

S, T, N, DT = 4, 6, 5, 0.1
TRICLINIC = np.array([[2.0, 0.0, 0.0], [0.7, 1.9, 0.0], [-0.6, 0.5, 1.8]])

MAKERS = {
    "VACF": lambda: og.VACF(max_lag=0.3),
    "VACF by mass": lambda: og.VACF([0, 1], per="mass", origins="all", normalize=True),
    "MSD": lambda: og.MSD(),
    "MSD of all origins": lambda: og.MSD([1, 2], origins="all", remove_com=False),
    "SelfDiffusion": lambda: og.SelfDiffusion(t_max=0.4),
    "SelfDiffusion by Einstein": lambda: og.SelfDiffusion(route="einstein", t_min=0.1, viscosity=1e-3),
    "RDF": lambda: og.RDF(None, None, r_max=0.8, bins=8),
    "RDF smeared": lambda: og.RDF([0, 1], None, r_max=0.7, bins=8, smear=0.02, every=2),
    "AngleDistribution": lambda: og.AngleDistribution([[0, 1, 2], [2, 3, 4]], bins=10, smear=5.0),
}


def a_path(seed=0, **more):
    rng = np.random.default_rng(seed)
    x, v = rng.normal(size=(2, S, T, N, 3)) * 0.3
    topology = mdtraj.Topology()
    residue = topology.add_residue("X", topology.add_chain())
    for k in range(N):
        topology.add_atom("AB"[k % 2], mdtraj.element.argon, residue)
    more = {"boxes": 2.0 * np.eye(3), "topology": topology, "temperature": 300.0} | more
    return og.Path(torch.as_tensor(x), torch.as_tensor(v), times=DT * np.arange(T), timestep=DT,
                   masses=rng.uniform(1, 40, N), **more)


@pytest.fixture(params=MAKERS, ids=str)
def observable(request):
    return MAKERS[request.param]()


def test_values_are_one_row_per_window_on_the_grid(observable):
    path = a_path()
    values = observable(path)
    assert values.dtype == torch.float64
    assert values.shape == (S, len(observable.grid))
    assert bool(torch.isfinite(values).all())
    assert not values.requires_grad
    estimate = expectation(values, Weights.uniform(S), observable=observable)
    assert observable.plot(estimate).get_ylabel().startswith(observable.name)


def test_a_window_does_not_depend_on_the_others(observable):
    path = a_path()
    alone = torch.cat([observable(path[s]) for s in range(S)])
    assert torch.allclose(observable(path), alone, rtol=1e-12)
    assert torch.allclose(observable(path)[[2, 0]], observable(path[[2, 0]]), rtol=1e-12)


def test_the_path_is_not_changed(observable):
    path = a_path()
    before = path.positions.clone(), path.velocities.clone()
    observable(path)
    assert torch.equal(path.positions, before[0])
    assert torch.equal(path.velocities, before[1])


def test_the_observables_of_paths_are_those_tested():
    assert {og.VACF, og.MSD, og.SelfDiffusion} <= {type(make()) for make in MAKERS.values()}


def test_a_grid_that_is_known_before_any_path():
    for kind in (og.VACF, og.MSD):
        early, late = kind(max_lag=0.3, interval=DT), kind(max_lag=0.3)
        assert len(late.grid) == 0
        assert torch.equal(early(a_path()), late(a_path()))
        assert early.grid == pytest.approx(late.grid)


@pytest.mark.parametrize("index", [slice(1, 3), [0, 2], np.array([True, False, True, True]), -1], ids=str)
def test_windows_slice_like_arrays(index):
    path = a_path()
    part = path[index]
    rows = [index] if isinstance(index, int) else index
    for name in ("positions", "velocities"):
        assert torch.equal(getattr(part, name), getattr(path, name)[rows])
    assert np.array_equal(part.boxes, path.boxes[rows])
    assert (part.timestep, part.temperature, part.n_atoms) == (DT, 300.0, N)
    assert part.select("name A").tolist() == [0, 2, 4]


def test_slices_keep_the_graph_and_detach_ends_it():
    path = a_path()
    path.velocities.requires_grad_()
    path[1:2].velocities.sum().backward()
    assert path.velocities.grad.sum((1, 2, 3)).tolist() == [0.0, T * N * 3, 0.0, 0.0]
    assert not path.detach().velocities.requires_grad
    assert torch.equal(path.detach().velocities, path.velocities)


def test_velocities_on_the_step():
    path = a_path()
    on_step = path.on_step_velocities()
    assert on_step.shape == (S, T - 1, N, 3)
    assert torch.equal(on_step[:, 2], (path.velocities[:, 2] + path.velocities[:, 3]) / 2)
    path = a_path(half_step=False)
    assert path.on_step_velocities() is path.velocities


def test_mdtraj_gets_one_window():
    path = a_path()
    trajectory = path.to_mdtraj(2)
    assert trajectory.xyz == pytest.approx(path.positions[2].numpy(), abs=1e-6)
    assert trajectory.time == pytest.approx(path.times)
    assert trajectory.unitcell_vectors == pytest.approx(path.boxes[2][None].repeat(T, 0))
    assert path[1:].to_mdtraj().xyz == pytest.approx(path.positions[1].numpy(), abs=1e-6)


def test_observed_alone_is_a_path():
    path = og.Path(None, None, times=[0.0, 0.2], timestep=0.1, stride=2, masses=[1.0, 2.0],
                   observed=torch.ones(3, 2, 7))
    assert (len(path), path.n_atoms, path[1:].observed.shape) == (3, 2, (2, 2, 7))
    assert path.observed.dtype == torch.float64


@pytest.mark.parametrize("box", [2.0 * np.eye(3), TRICLINIC], ids=["cubic", "triclinic"])
@pytest.mark.parametrize(("n_times", "start_every", "starts"), [
    (None, None, [0]), (5, None, [0, 5]), (5, 2, [0, 2, 4, 6]), (5, 7, [0])])
def test_a_stored_trajectory_becomes_windows(box, n_times, start_every, starts):
    rng = np.random.default_rng(1)
    whole = (0.2 * rng.normal(size=(11, 30, 3))).cumsum(0)
    v = rng.normal(size=whole.shape)
    wrapped = whole - np.floor(whole @ np.linalg.inv(box)) @ box
    frames = og.Frames(wrapped, og.State([], 300.0), boxes=box, velocities=v, masses=np.ones(30))
    path = og.Path.from_frames(frames, timestep=0.002, stride=5, n_times=n_times, start_every=start_every)
    n = n_times or 11
    assert path.positions.shape == (len(starts), n, 30, 3)
    assert path.times == pytest.approx(0.01 * np.arange(n))
    assert not path.half_step
    for s, start in enumerate(starts):
        moved = path.positions[s] - path.positions[s, :1]
        assert moved.numpy() == pytest.approx(whole[start:start + n] - whole[start], abs=1e-12)
        assert np.array_equal(path.velocities[s], v[start:start + n])
    assert np.array_equal(og.Path.from_frames(frames, 0.01, unwrap=False).positions[0], wrapped)


def test_a_stored_trajectory_may_be_on_disk(tmp_path):
    rng = np.random.default_rng(2)
    x, v = rng.normal(size=(2, 4, 3, 3))
    og.Frames(x, og.State([], 300.0), velocities=v, masses=np.ones(3)).save(tmp_path / "run")
    path = og.Path.from_frames(og.Frames.load(tmp_path / "run"), timestep=0.1)
    assert np.array_equal(path.positions[0], x)
    assert torch.isfinite(og.VACF()(path)).all()
