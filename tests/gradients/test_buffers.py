# SPDX-License-Identifier: MIT
"""Memory of trajectories is used again, and never while something still needs it."""

import gc

import numpy as np
import openmm
import torch

import openmmgrad as og
from openmmgrad.propagation.buffers import Buffers


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_returns_when_the_last_view_is_gone():
    buffers = Buffers()
    first = buffers.empty((5, 4, 3))
    view, where = first[2:4, 1], address(first)
    del first
    other = buffers.empty((5, 4, 3))
    assert address(other) != where
    tensor = torch.from_numpy(view)
    del view
    assert address(buffers.empty((5, 4, 3))) != where
    del tensor
    assert address(buffers.empty((5, 4, 3))) == where
    assert buffers.empty((2, 3)).shape == (2, 3)


def test_arrays_can_be_written():
    array = Buffers().empty((3, 2))
    array[:] = 2.0
    assert array.flags.writeable and array.dtype == np.float64 and array.sum() == 12.0


def make_propagator(**keywords):
    system = openmm.System()
    for _ in range(3):
        system.addParticle(39.948)
    model = og.Model(system)
    model.add_pair_potential(og.LennardJones(0.34, 1.0, cutoff=0.85), periodic=False)
    return model, og.Propagator(model, 0.002, 40, 40, platform="Reference", **keywords)


def gradient(model, path, **keywords):
    loss = (path.positions[0, -1] ** 2).sum()
    return torch.autograd.grad(loss, list(model.parameters()), **keywords)


def test_a_retained_graph_keeps_its_positions():
    rng = np.random.default_rng(1)
    starts = [np.array([[0, 0, 0], [0.4, 0, 0], [0, 0.4, 0]]) + rng.normal(0, 0.01, (3, 3)) for _ in range(3)]
    still = np.zeros((3, 3))
    for keywords in ({}, {"checkpoint_every": 7}):
        fresh = []
        for x in starts:
            model, propagator = make_propagator(**keywords)
            fresh.append(gradient(model, propagator(initial=(x, still))))
        model, propagator = make_propagator(**keywords)
        first = propagator(initial=(starts[0], still))
        assert gradient(model, first, retain_graph=True) == fresh[0]
        second = propagator(initial=(starts[1], still))
        third = propagator(initial=(starts[2], still))
        assert gradient(model, second) == fresh[1]
        assert gradient(model, first) == fresh[0]
        assert gradient(model, third) == fresh[2]


def test_a_propagator_uses_its_memory_again():
    model, propagator = make_propagator()
    start = np.array([[0, 0, 0], [0.4, 0, 0], [0, 0.4, 0]]), np.zeros((3, 3))
    for _ in range(4):
        gradient(model, propagator(initial=start))
    gc.collect()
    assert {count: len(blocks) for count, blocks in propagator._buffers._free.items()} == {41 * 9: 1}
