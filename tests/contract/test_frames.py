# SPDX-License-Identifier: MIT
"""Frames: slices, mixtures, selections, and what the disk gives back."""

import json

import mdtraj
import numpy as np
import pytest
import torch

from openmmgrad.frames import Frames, FrameWriter, State

PER_FRAME = ("positions", "velocities", "boxes", "features", "virial_features", "energies",
             "learnable_energies")


def water_topology():
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for k in range(2):
        residue = topology.add_residue("HOH", chain, resSeq=7 + k)
        atoms = [topology.add_atom(name, mdtraj.element.get_by_symbol(name[0]), residue)
                 for name in ("O", "H1", "H2")]
        topology.add_bond(atoms[0], atoms[1])
        topology.add_bond(atoms[0], atoms[2])
    return topology


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    states = [State([1.0, 2.0], 300.0, 0.06), State([1.5, 2.0], 300.0, 0.06)]
    return Frames(
        rng.normal(size=(7, 6, 3)), states, state_index=[0, 0, 0, 1, 1, 1, 1],
        velocities=rng.normal(size=(7, 6, 3)), boxes=rng.normal(size=(7, 3, 3)) + 5 * np.eye(3),
        features=rng.normal(size=(7, 2)), virial_features=rng.normal(size=(7, 2)),
        energies=rng.normal(size=7), learnable_energies=rng.normal(size=7), masses=np.arange(1.0, 7.0),
        topology=water_topology())


def assert_same(a, b):
    for name in PER_FRAME:
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert a.states == b.states
    assert a.state_index.tolist() == b.state_index.tolist()
    assert np.array_equal(a.masses, b.masses)


@pytest.mark.parametrize("index", [slice(1, 5, 2), [4, 0], np.arange(7) % 2 == 0, 3, -1], ids=str)
def test_slices_take_the_same_rows_of_every_array(frames, index):
    part = frames[index]
    rows = np.atleast_1d(np.arange(7)[index])
    for name in PER_FRAME:
        assert np.array_equal(getattr(part, name), getattr(frames, name)[rows]), name
    made_by = [part.states[k] for k in part.state_index]
    assert made_by == [frames.states[k] for k in frames.state_index[rows]]
    assert len(part.states) == len(set(frames.state_index[rows].tolist()))


def test_concatenated_slices_are_the_whole(frames):
    assert_same(Frames.concatenate([frames[:2], frames[2:5], frames[5:]]), frames)


def test_equal_states_become_one(frames):
    joined = Frames.concatenate([frames, frames])
    assert len(joined.states) == 2
    assert joined.state_index.tolist() == [0, 0, 0, 1, 1, 1, 1] * 2


def test_arrays_that_a_part_lacks_are_left_out(frames):
    bare = Frames(frames.positions, frames.states, frames.state_index)
    assert Frames.concatenate([frames, bare]).features is None


def test_save_and_load_give_the_same_bits_and_map_them(frames, tmp_path):
    frames.save(tmp_path / "run")
    loaded = Frames.load(tmp_path / "run")
    assert_same(loaded, frames)
    assert isinstance(loaded.positions, np.memmap)
    assert loaded.topology == frames.topology
    assert [r.resSeq for r in loaded.topology.residues] == [7, 8]
    assert [(a.index, b.index) for a, b in loaded.topology.bonds] == [(0, 1), (0, 2), (3, 4), (3, 5)]
    assert np.array_equal(np.load(tmp_path / "run" / "positions.npy"), frames.positions)  # plain .npy files


def test_loaded_frames_slice_and_save_again(frames, tmp_path):
    frames.save(tmp_path / "a")
    Frames.load(tmp_path / "a")[2:].save(tmp_path / "b")
    assert_same(Frames.load(tmp_path / "b"), frames[2:])


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_writer_collects_what_was_appended(frames, tmp_path, on_disk):
    path = tmp_path / "run" if on_disk else None
    writer = FrameWriter(path, frames.states[0], frames.masses, buffer_frames=2)
    for s in range(3):
        writer.append(positions=frames.positions[s], box=frames.boxes[s], features=frames.features[s])
    collected = writer.close()
    assert np.array_equal(collected.positions, frames.positions[:3])
    assert np.array_equal(collected.features, frames.features[:3])
    assert collected.velocities is None
    assert collected.states == [frames.states[0]]


def test_loaded_frames_survive_being_overwritten(frames, tmp_path):
    """Their file stays for those who map it, also when they are what is written."""
    frames.save(tmp_path / "run")
    loaded = Frames.load(tmp_path / "run")
    loaded[2:].save(tmp_path / "run", overwrite=True)
    assert_same(Frames.load(tmp_path / "run"), frames[2:])
    assert_same(loaded, frames)


def test_an_interrupted_run_keeps_the_frames_that_were_flushed(frames, tmp_path):
    writer = FrameWriter(tmp_path / "run", frames.states[0], buffer_frames=2)
    for s in range(5):
        writer.append(positions=frames.positions[s], features=frames.features[s])
    assert np.array_equal(Frames.load(tmp_path / "run").positions, frames.positions[:4])  # never closed


def test_rows_beyond_the_index_do_not_count(frames, tmp_path):
    """As after a crash between writing rows and counting them."""
    frames.save(tmp_path / "run")
    index = json.loads((tmp_path / "run" / "frames.json").read_text())
    index["n_frames"] = 5
    (tmp_path / "run" / "frames.json").write_text(json.dumps(index))
    assert_same(Frames.load(tmp_path / "run"), frames[:5])


def test_an_exception_keeps_complete_frames(frames, tmp_path):
    with pytest.raises(KeyError), FrameWriter(tmp_path / "run", frames.states[0]) as writer:
        writer.append(positions=frames.positions[0])
        raise KeyError
    assert len(Frames.load(tmp_path / "run")) == 1


def test_mdtraj_round_trip_keeps_positions_boxes_and_names(frames):
    boxes = np.array([np.diag([1.0, 2.0, 3.0])] * 7)
    boxes[:, 2, 0] = 0.5
    periodic = Frames(frames.positions, State([], 300.0), boxes=boxes, topology=frames.topology)
    back = Frames.from_mdtraj(periodic.to_mdtraj(), temperature=300.0)
    assert np.allclose(back.positions, frames.positions, rtol=1e-6)
    assert np.allclose(back.boxes, boxes, atol=1e-6)
    assert back.masses[:3] == pytest.approx([15.999, 1.008, 1.008], abs=1e-3)
    assert back.temperature == 300.0


def test_selections_are_names_indices_masks_or_all(frames):
    assert frames.select("name O").tolist() == [0, 3]
    assert frames.select([3, 1]).tolist() == [3, 1]
    assert frames.select(np.arange(6) > 3).tolist() == [4, 5]
    assert frames.select(None).tolist() == list(range(6))


def test_volumes_are_determinants(frames):
    assert frames.volumes == pytest.approx(np.abs(np.linalg.det(frames.boxes)))


def test_one_box_serves_all_frames():
    frames = Frames(np.zeros((3, 1, 3)), State([], 1.0), boxes=2 * np.eye(3))
    assert frames.volumes.tolist() == pytest.approx([8.0] * 3)


class Counting:
    def __init__(self, explicit):
        self.calls, self.explicit = 0, explicit

    def __call__(self, frames):
        self.calls += 1
        return torch.zeros(len(frames), 1)


@pytest.mark.parametrize(("explicit", "calls"), [(False, 1), (True, 2)])
def test_observed_values_are_kept_unless_they_depend_on_parameters(frames, explicit, calls):
    observable = Counting(explicit)
    frames.observed(observable)
    frames.observed(observable)
    assert observable.calls == calls
