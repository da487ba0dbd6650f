# SPDX-License-Identifier: MIT
"""Averages over trajectories in chunks: equal to those over all frames at once, in the memory of one chunk."""

import subprocess
import sys

import mdtraj
import numpy as np
import pytest
import torch

from openmmgrad import RDF, AngleDistribution, Frames, State, Weights, expectation
from openmmgrad.observables.streaming import Blocks

STATE = State([], 300.0)


def trajectory(n_frames, n_atoms=40, length=2.0, seed=0):
    topology = mdtraj.Topology()
    residue = topology.add_residue("X", topology.add_chain())
    for k in range(n_atoms):
        topology.add_atom("A" if k % 3 else "B", mdtraj.element.argon, residue)
    x = np.random.default_rng(seed).random((n_frames, n_atoms, 3)) * length
    result = mdtraj.Trajectory(x.astype(np.float32), topology)
    result.unitcell_vectors = np.array([length * np.eye(3)] * n_frames, dtype=np.float32)
    return result


@pytest.mark.parametrize("make", [lambda: RDF("name A", "name B", r_max=0.9, bins=30),
                                  lambda: AngleDistribution.of_neighbors("name B", "name A", cutoff=0.5)],
                         ids=["RDF", "angles"])
def test_a_file_in_chunks_has_the_average_of_its_frames(tmp_path, make):
    whole = trajectory(200)
    whole.save(str(tmp_path / "run.dcd"))
    whole[0].save(str(tmp_path / "run.pdb"))
    observable = make()
    streamed = observable.stream(mdtraj.iterload(str(tmp_path / "run.dcd"), top=str(tmp_path / "run.pdb"), chunk=33))
    frames = Frames.from_mdtraj(mdtraj.load(str(tmp_path / "run.dcd"), top=whole.topology), 300.0)
    at_once = expectation(observable(frames), Weights.uniform(200), observable=observable)
    assert torch.allclose(streamed.mean, at_once.mean, rtol=1e-12)
    assert streamed.stderr == pytest.approx(at_once.stderr, rel=1e-9)
    assert streamed.one_count == pytest.approx(at_once.one_count)
    assert (streamed.name, streamed.unit) == (observable.name, observable.unit)


def test_g_of_a_streamed_ideal_gas_is_one():
    """1,500 frames in blocks of 8: the standard error is that of Poisson counts, and deviations are normal."""
    whole, rdf = trajectory(1500), RDF(None, None, r_max=0.95, bins=20)
    estimate = rdf.stream(whole[start:start + 90] for start in range(0, 1500, 90))
    expected = 1 / np.sqrt(40 * 39 / 2 * rdf.shell_volumes / 8.0 * 1500)
    assert np.abs((estimate.mean_values - 1) / expected).max() < 4
    assert np.median(estimate.stderr / expected) == pytest.approx(1.0, abs=0.15)


def test_frames_are_chunks_too():
    whole, rdf = Frames.from_mdtraj(trajectory(30), 300.0), RDF(None, None, r_max=0.9, bins=10)
    estimate = rdf.stream([whole[:7], whole[7:8], whole[8:]])
    assert torch.allclose(estimate.mean, rdf(whole).mean(0), rtol=1e-12)


@pytest.mark.parametrize("n", [1, 255, 256, 257, 512, 513, 5000])
def test_blocks_keep_the_mean_and_stay_few(n):
    values = np.random.default_rng(n).normal(size=(n, 3))
    blocks = Blocks()
    for start in range(0, n, 17):
        blocks.add(values[start:start + 17])
    means, weights = blocks.result()
    assert len(means) <= 256
    assert n <= 256 or len(means) > 128
    assert (weights.w @ means).numpy() == pytest.approx(values.mean(0), abs=1e-12)
    first = values[:blocks.length].mean(0)
    assert means[0].numpy() == pytest.approx(first, abs=1e-12)


def test_what_is_not_a_chunk_is_refused():
    rdf = RDF(None, None, r_max=0.9, bins=10)
    with pytest.raises(ValueError, match="RDF.stream: expected at least one frame, found none. Check the file"):
        rdf.stream([])
    with pytest.raises(TypeError, match="expected chunks that are Frames or mdtraj Trajectories, found ndarray"):
        rdf.stream([np.zeros((1, 2, 3))])
    small = trajectory(3, length=1.0)
    with pytest.raises(ValueError, match="must not exceed half the smallest box width"):
        rdf.stream([small])


MEASURE = """
import re, sys
import mdtraj, numpy as np
import openmmgrad as og

folder, n_frames = sys.argv[1], int(sys.argv[2])
rdf = og.RDF(None, None, r_max=0.3, bins=100)
chunks = mdtraj.iterload(folder + "/run.dcd", top=folder + "/run.pdb", chunk=20)
peaks = []

def watched():
    for chunk in chunks:
        yield chunk
        # not getrusage: its peak begins with that of the process that started this one
        peaks.append(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024)  # MiB

estimate = rdf.stream(watched())
assert len(peaks) == n_frames // 20
print(peaks[2], peaks[-1])
"""


def test_memory_does_not_grow_with_the_trajectory(tmp_path):
    """600 frames of 3,000 atoms are 22 MB as they lie in the file, and 43 MB in double precision."""
    part = trajectory(100, n_atoms=3000, length=6.0)
    part[0].save(str(tmp_path / "run.pdb"))
    with mdtraj.formats.DCDTrajectoryFile(str(tmp_path / "run.dcd"), "w") as file:
        for _ in range(6):
            file.write(part.xyz * 10, cell_lengths=part.unitcell_lengths * 10, cell_angles=part.unitcell_angles)
    run = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path), "600"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    early, late = map(float, run.stdout.split()[-2:])
    assert late - early < 12, f"peak memory grew from {early} to {late} MiB"
