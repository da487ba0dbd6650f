# SPDX-License-Identifier: MIT
"""Mistakes with frames: each names what was expected, what was found, and a way out."""

import mdtraj
import numpy as np
import pytest
import torch

from openmmgrad.estimate import expectation
from openmmgrad.frames import Frames, FrameWriter, State, select_atoms
from openmmgrad.observables import RDF
from openmmgrad.weights import Weights

STATE = State([1.0], 300.0)
X = np.zeros((3, 4, 3))


@pytest.fixture
def saved(tmp_path):
    Frames(np.ones((3, 4, 3)), STATE, features=np.ones((3, 1))).save(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def topology():
    table = mdtraj.Topology()
    residue = table.add_residue("HOH", table.add_chain())
    for name in ("O", "H1", "H2", "M"):
        table.add_atom(name, None, residue)
    return table


ARRAYS = [
    ({"positions": np.zeros((4, 3))}, r"shape \[S, N, 3\], found \[4, 3\]"),
    ({"positions": np.full((3, 4, 3), np.nan)}, "positions contain NaN"),
    ({"velocities": np.zeros((3, 5, 3))}, r"velocities must have shape \[3, 4, 3\], found \[3, 5, 3\]"),
    ({"boxes": np.zeros((2, 3, 3))}, r"boxes must have shape \[3, 3, 3\]"),
    ({"features": np.zeros((3, 2))}, r"features must have shape \[3, 1\], found \[3, 2\]"),
    ({"energies": [0.0, np.inf, 0.0]}, "energies contain NaN or infinite"),
    ({"masses": np.ones(3)}, r"masses must have shape \[4\]"),
    ({"states": [STATE, STATE]}, r"2 states need a state_index of shape \[3\], found None"),
    ({"states": []}, "at least one State"),
    ({"state_index": [0, 0, 1]}, "state_index must be from 0 to 0"),
    ({"state_index": [0, 0]}, r"state_index of shape \[3\], found \[2\]"),
]


@pytest.mark.parametrize(("change", "message"), ARRAYS, ids=[next(iter(c)) + str(i) for i, (c, _) in enumerate(ARRAYS)])
def test_arrays_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        Frames(**({"positions": X, "states": STATE} | change))


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan])
def test_temperatures_that_are_not_positive(temperature):
    with pytest.raises(ValueError, match="temperature must be positive"):
        State([1.0], temperature)


def test_coefficients_that_are_not_finite():
    with pytest.raises(ValueError, match="coefficients contain NaN"):
        State([np.nan], 300.0)


def test_a_topology_of_another_system(topology):
    with pytest.raises(ValueError, match="topology must have 5 atoms"):
        Frames(np.zeros((1, 5, 3)), STATE, topology=topology)


def test_a_frame_that_does_not_exist():
    with pytest.raises(IndexError, match="frame 3 of 3"):
        Frames(X, STATE)[3]


def test_boxes_that_are_needed():
    with pytest.raises(ValueError, match="no boxes"):
        _ = Frames(X, STATE).volumes


SELECTIONS = [
    ("name N", ValueError, "found none of 4"),
    ("nmae O", ValueError, "mdtraj's language"),
    ([0, 4], ValueError, "from 0 to 3, found 0 to 4"),
    ([-1], ValueError, "from 0 to 3"),
    ([], ValueError, "found none"),
    ([1, 1], ValueError, "1 repeated"),
    ([True, False], ValueError, r"shape \[4\], found \[2\]"),
    ([0.5], TypeError, "integer"),
]


@pytest.mark.parametrize(("selection", "error", "message"), SELECTIONS, ids=str)
def test_selections(topology, selection, error, message):
    with pytest.raises(error, match=message):
        select_atoms(selection, 4, topology)
    with pytest.raises(error, match=message):
        RDF(selection, None, r_max=0.5, bins=5)(Frames(X, STATE, boxes=np.eye(3), topology=topology))


def test_names_without_a_topology():
    with pytest.raises(ValueError, match="needs a topology"):
        Frames(X, STATE).select("name O")


def test_concatenating_nothing_or_other_systems():
    with pytest.raises(ValueError, match="at least one"):
        Frames.concatenate([])
    with pytest.raises(ValueError, match=r"numbers of atoms differ: \[4, 5\]"):
        Frames.concatenate([Frames(X, STATE), Frames(np.zeros((1, 5, 3)), STATE)])
    with pytest.raises(ValueError, match="numbers of coefficients differ"):
        Frames.concatenate([Frames(X, STATE), Frames(X, State([1.0, 2.0], 300.0))])


def test_mixed_temperatures_have_no_common_one():
    mixed = Frames.concatenate([Frames(X, STATE), Frames(X, State([1.0], 310.0))])
    with pytest.raises(ValueError, match="300, 310 K"):
        _ = mixed.temperature


def test_a_directory_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        Frames.load(tmp_path / "nothing")


def test_a_directory_of_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("not frames")
    with pytest.raises(ValueError, match=r"holds no frames\.json"):
        Frames.load(tmp_path)


@pytest.mark.parametrize(("content", "message"), [("{}", "not an index of frames"), ('{"format', "truncated"),
                                                  ("[]", "not JSON")])
def test_an_index_that_is_damaged_or_foreign(saved, content, message):
    (saved / "frames.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        Frames.load(saved)


def test_a_newer_version(saved):
    text = (saved / "frames.json").read_text()
    (saved / "frames.json").write_text(text.replace('"version": 1', '"version": 2'))
    with pytest.raises(ValueError, match="version 2"):
        Frames.load(saved)


def test_a_truncated_array(saved):
    content = (saved / "positions.npy").read_bytes()
    (saved / "positions.npy").write_bytes(content[:-8])
    with pytest.raises(ValueError, match="truncated: expected 288 bytes for 3 frames, found 280"):
        Frames.load(saved)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00v"], ids=["empty", "text", "header"])
def test_an_array_that_is_none(saved, content):
    (saved / "features.npy").write_bytes(content)
    with pytest.raises(ValueError, match="not a .npy file or is truncated"):
        Frames.load(saved)


def test_an_array_that_is_missing(saved):
    (saved / "features.npy").unlink()
    with pytest.raises(FileNotFoundError, match="features.npy not found"):
        Frames.load(saved)


def test_a_run_that_wrote_no_frame(tmp_path):
    FrameWriter(tmp_path / "run", STATE)
    with pytest.raises(ValueError, match="no complete frame"):
        Frames.load(tmp_path / "run")


def test_frames_that_would_be_overwritten(saved):
    with pytest.raises(ValueError, match="already holds frames"):
        FrameWriter(saved, STATE)
    Frames(X, STATE).save(saved, overwrite=True)
    assert Frames.load(saved).features is None


def test_a_file_in_place_of_the_directory(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ValueError, match="found a file"):
        FrameWriter(tmp_path / "run", STATE)


def test_a_writer_keeps_what_it_had_when_a_frame_is_bad(tmp_path):
    writer = FrameWriter(tmp_path / "run", STATE)
    writer.append(positions=np.ones((4, 3)))
    with pytest.raises(ValueError, match="positions of frame 1 contain NaN"):
        writer.append(positions=np.full((4, 3), np.nan))
    with pytest.raises(ValueError, match="frame 1 has arrays"):
        writer.append(positions=np.ones((5, 3)))
    with pytest.raises(ValueError, match="frame 1 has arrays"):
        writer.append(positions=np.ones((4, 3)), box=np.eye(3))
    assert len(writer.close()) == 1


def test_closing_a_writer_without_frames():
    with pytest.raises(ValueError, match="at least one frame"):
        FrameWriter(None, STATE).close()


def test_a_topology_that_mdtraj_needs():
    with pytest.raises(ValueError, match="expected a topology"):
        Frames(X, STATE).to_mdtraj()


RDFS = [
    ({"r_max": 0.6}, r"distances up to 0.6 nm must not exceed half the smallest box width \(0.5 nm\). Use a smaller"),
    ({"smear": 0.02}, r"distances up to 0.62 nm must not exceed half"),
    ({"r_max": 0.0}, "0 <= r_min < r_max, found r_min = 0.0 nm and r_max = 0.0 nm"),
    ({"r_min": 0.7}, "0 <= r_min < r_max"),
    ({"r_max": np.inf}, "0 <= r_min < r_max"),
    ({"bins": 0}, "bins must be a whole number from 1, found 0"),
    ({"bins": 2.5}, "bins must be a whole number"),
    ({"normalization": "volume"}, "must be 'density' or 'window', found 'volume'"),
    ({"smear": 0.0}, "smear must be positive"),
    ({"selection_a": [2], "selection_b": [2]}, "must form at least one pair, found one atom"),
]


@pytest.mark.parametrize(("change", "message"), RDFS, ids=lambda x: str(x)[:30])
def test_rdfs_that_cannot_be(change, message):
    arguments = {"selection_a": None, "selection_b": None, "r_max": 0.5, "bins": 5} | change
    with pytest.raises(ValueError, match=message):
        RDF(**arguments)(Frames(X, STATE, boxes=np.eye(3)))


def test_a_density_without_a_volume():
    with pytest.raises(ValueError, match="the frames have no boxes. Use normalization='window'"):
        RDF(None, None, r_max=0.5, bins=5)(Frames(X, STATE))


def test_a_histogram_has_no_gradient_in_positions():
    frames = Frames(X, STATE, boxes=np.eye(3))
    x = torch.tensor(X, requires_grad=True)
    for arguments in ((frames, x), (x,)):
        with pytest.raises(ValueError, match=r"a histogram has no gradient in the positions.*Pass smear= \(nm\)"):
            RDF(None, None, r_max=0.4, bins=5)(*arguments)
    with pytest.raises(TypeError, match="expected Frames, found Tensor"):
        RDF(None, None, r_max=0.4, bins=5, smear=0.01)(x)
    with pytest.raises(ValueError, match=r"positions must have shape \[3, 4, 3\]"):
        RDF(None, None, r_max=0.4, bins=5, smear=0.01)(frames, x[:2])


def test_one_frame_has_no_standard_error():
    estimate = expectation(np.ones((1, 2)), Weights.uniform(1))
    assert np.all(np.isinf(estimate.stderr))


def test_values_and_weights_of_different_frames():
    with pytest.raises(ValueError, match=r"values of 3 frames, found shape \[2, 1\]"):
        expectation(np.ones((2, 1)), Weights.uniform(3))


def test_no_frames_have_no_weights():
    with pytest.raises(ValueError, match="at least 1 frame"):
        Weights.uniform(0)
