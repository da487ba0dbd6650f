# SPDX-License-Identifier: MIT
"""What every observable promises: discovered among the subclasses, so that a new one cannot be left out."""

import inspect

import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og
from openmmgrad import observables
from openmmgrad.estimate import expectation
from openmmgrad.observables import Observable
from openmmgrad.weights import Weights

S, N = 5, 12
BOXES = {"cubic": np.eye(3) * 2.0, "triclinic": np.array([[2.0, 0, 0], [0.6, 2.1, 0], [-0.5, 0.7, 2.2]])}


def a_model():
    system = openmm.System()
    for _ in range(N):
        system.addParticle(40.0)
    system.setDefaultPeriodicBoxVectors(*BOXES["cubic"])
    model = og.Model(system)
    model.add_pair_potential(og.LennardJones(sigma=0.3, epsilon=1.0, cutoff=0.8), periodic=True)
    return model


def pair_dipole(box):
    """Of three ions about the fourth, by nearest images."""
    h = torch.as_tensor(box)

    def dipole(positions):
        fractional = (positions[:, :3] - positions[:, 3:4]) @ torch.linalg.inv(h)
        return ((fractional - fractional.round()) @ h).sum(1)

    return og.TorchDipole(dipole)


MAKERS = {
    "RDF": lambda box: og.RDF(None, None, r_max=0.9, bins=18),
    "RDF between selections": lambda box: og.RDF([0, 1, 2, 3], list(range(3, N)), r_max=0.9, bins=18),
    "RDF in a window": lambda box: og.RDF(None, None, r_max=0.9, bins=18, normalization="window"),
    "RDF smeared": lambda box: og.RDF(None, None, r_max=0.7, bins=14, smear=0.02),
    "StructureFactor": lambda box: og.StructureFactor(None, q_max=15.0, box=box),
    "StructureFactor of neutrons": lambda box: og.StructureFactor(
        None, q_max=15.0, box=box, radiation="neutron", elements=["O"] * 4 + ["D"] * 8),
    "Pressure": lambda box: og.Pressure(a_model()),
    "Pressure by strain": lambda box: og.Pressure(a_model(), route="strain"),
    "Density": lambda box: og.Density(a_model()),
    "PotentialEnergy": lambda box: og.PotentialEnergy(a_model()),
    "HeatOfVaporization": lambda box: og.HeatOfVaporization(a_model()),
    "StaticDielectric": lambda box: og.StaticDielectric(pair_dipole(box)),
    "AngleDistribution": lambda box: og.AngleDistribution.of_neighbors([0, 1, 2, 3], None, cutoff=0.9, bins=30),
    "AngleDistribution smeared": lambda box: og.AngleDistribution.of_neighbors(
        [0, 1, 2, 3], None, cutoff=0.75, bins=30, smear=5.0, cutoff_smear=0.02, solid_angle=True),
}
# see test_path.py, tests/physics/test_spectra.py, test_vibrational_density.py, test_viscosity.py
OF_PATHS = {og.VACF, og.MSD, og.SelfDiffusion, og.IRSpectrum, og.VibrationalDensityOfStates, og.Viscosity}


@pytest.fixture(params=BOXES, ids=str)
def box(request):
    return BOXES[request.param]


@pytest.fixture(params=MAKERS, ids=str)
def observable(request, box):
    return MAKERS[request.param](box)


def frames_of(positions, box):
    frames = og.Frames(positions, og.State([], 300.0), boxes=box)
    return og.compute_features(a_model(), frames)


@pytest.fixture
def positions(box):
    """Points of a lattice, moved a little: no two are closer than 0.3 nm."""
    rng = np.random.default_rng(0)
    lattice = np.stack(np.meshgrid(range(3), range(2), range(2), indexing="ij"), -1).reshape(-1, 3) / [3, 2, 2]
    return (lattice + 0.03 * rng.normal(size=(S, N, 3))) @ box


def leaves(kind) -> set:
    """Subclasses without subclasses."""
    below = kind.__subclasses__()
    return set().union(*map(leaves, below)) if below else {kind}


def test_every_observable_is_here():
    made = {type(make(BOXES["cubic"])) for make in MAKERS.values()}
    exported = {c for c in vars(observables).values() if inspect.isclass(c) and issubclass(c, Observable)}
    assert exported - {Observable} == made | OF_PATHS
    assert {c for c in leaves(Observable) if c.__module__.startswith("openmmgrad.")} == made | OF_PATHS


def test_values_are_one_row_per_frame_on_the_grid(observable, positions, box):
    values = observable(frames_of(positions, box))
    assert values.dtype == torch.float64
    assert values.shape == (S, len(observable.grid))
    assert bool(torch.isfinite(values).all())
    assert float(values.detach().std(0).max()) > 0 or isinstance(observable, og.Density)  # frames differ, boxes do not


def test_grid_unit_and_names_are_given(observable):
    assert isinstance(observable.grid, np.ndarray)
    assert observable.grid.dtype == np.float64
    assert np.all(np.diff(observable.grid) > 0)
    assert observable.unit in ("1", "bar", "1/degree", "kg/m^3", "kJ/mol")
    assert observable.name
    assert len(observable.grid) == 1 or "nm" in observable.axis or "degrees" in observable.axis


def moved(change, positions, box):
    rng = np.random.default_rng(1)
    if change == "translated":
        return positions + [0.3, -5.1, 0.77]
    if change == "re-imaged":
        return positions + rng.integers(-2, 3, size=(S, N, 3)) @ box
    if change == "inverted":
        return -positions
    order = np.concatenate([rng.permutation(3), [3], 4 + rng.permutation(N - 4)])  # keeps every selection
    return positions[:, order]


@pytest.mark.parametrize("change", ["translated", "re-imaged", "inverted", "permuted"])
def test_values_do_not_change_when_frames_are(observable, positions, box, change):
    before, after = (observable(frames_of(x, box)).detach() for x in (positions, moved(change, positions, box)))
    assert torch.allclose(before, after, rtol=1e-5, atol=1e-6 * float(before.abs().max()))


def test_a_frame_does_not_depend_on_the_others(observable, positions, box):
    frames = frames_of(positions, box)
    alone = torch.cat([observable(frames[s]) for s in range(S)])
    assert torch.allclose(observable(frames), alone, rtol=1e-12)


def test_frames_are_not_changed(observable, positions, box):
    frames = frames_of(positions, box)
    before = np.array(frames.positions), np.array(frames.boxes)
    observable(frames)
    assert np.array_equal(before[0], frames.positions)
    assert np.array_equal(before[1], frames.boxes)


def test_memory_mapped_frames_give_the_same_values(observable, positions, box, tmp_path):
    frames = frames_of(positions, box)
    frames.save(tmp_path / "frames")
    assert torch.equal(observable(og.Frames.load(tmp_path / "frames")), observable(frames))


def test_explicit_values_carry_a_graph_and_others_none(observable, positions, box):
    values = observable(frames_of(positions, box))
    assert values.requires_grad == observable.explicit
    if observable.explicit:
        gradients = torch.autograd.grad(values.sum(), list(observable.model.parameters()))
        assert all(bool(torch.isfinite(g).all()) for g in gradients)


def test_averages_know_their_observable_and_are_drawn(observable, positions, box, tmp_path):
    estimate = expectation(observable(frames_of(positions, box)), Weights.uniform(S), observable=observable)
    assert (estimate.name, estimate.unit) == (observable.name, observable.unit)
    assert np.array_equal(estimate.grid, observable.grid)
    axes = observable.plot(estimate, reference=estimate.mean_values)
    assert observable.name in axes.get_ylabel()
    axes.figure.savefig(tmp_path / "figure.png")


def test_docstrings_have_a_formula_units_a_source_and_an_example():
    for cls in leaves(Observable):
        if cls.__module__.startswith("openmmgrad."):
            for part in (".. math::", "Parameters", "Raises", "References", ">>>"):
                assert part in cls.__doc__, f"{cls.__name__} lacks {part}"
