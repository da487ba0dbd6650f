# SPDX-License-Identifier: MIT
"""Mistakes with paths and their observables: each names what was expected, what was found, and a way out."""

import numpy as np
import pytest
import torch

import openmmgrad as og

S, T, N = 2, 4, 3
X = torch.as_tensor(np.random.default_rng(0).random((S, T, N, 3)))
STATE = og.State([], 300.0)


def path_of(**change):
    arguments = {"positions": X, "velocities": X, "times": 0.1 * np.arange(T), "timestep": 0.1, "masses": np.ones(N),
                 "boxes": 3.0 * np.eye(3), "temperature": 300.0} | change
    return og.Path(**arguments)


PATHS = [
    ({"positions": None, "velocities": None}, r"expected positions \[S, T, N, 3\] or observed .* found None"),
    ({"positions": X[:, :3]}, r"with T = 4 times, found \[2, 3, 3, 3\]"),
    ({"positions": X[..., 0]}, r"positions must have shape \[2, 4, 3, 3\], found \[2, 4, 3\]"),
    ({"velocities": X[:1]}, r"velocities must have shape \[2, 4, 3, 3\], found \[1, 4, 3, 3\]"),
    ({"positions": X * torch.nan}, "positions contain NaN.*shorter timestep"),
    ({"velocities": X / 0}, "velocities contain NaN or infinite"),
    ({"boxes": np.ones((3, 3, 3))}, r"boxes must have shape \[2, 3, 3\], found \[3, 3, 3\]"),
    ({"masses": None}, "expected masses, found none. Pass masses="),
    ({"masses": np.ones(2)}, r"positions must have shape \[2, 4, 2, 3\]"),
    ({"masses": -np.ones(N)}, "masses must be finite and not negative"),
    ({"times": 0.2 * np.arange(T)}, r"stride \* timestep = 0.1 ps apart, found 3 other gaps, the first of \[0.2\] ps"),
    ({"times": [0.0, 0.1, 0.3, 0.4]}, "found 1 other gaps.*give the stride"),
    ({"times": 0.1 + 0.1 * np.arange(T)}, "one of the times must be 0, found 0.1 to 0.4 ps"),
    ({"times": np.zeros((T, 1))}, r"times must have shape \[T\]"),
    ({"timestep": 0.0}, "timestep must be positive and stride at least 1, found 0.0 ps"),
    ({"stride": 0}, "stride at least 1, found 0.1 ps and 0"),
    ({"observed": torch.zeros(S, 3)}, r"observed must have shape \[2, 4\] and more, found \[2, 3\]"),
]


@pytest.mark.parametrize(("change", "message"), PATHS, ids=[f"{next(iter(c))}-{k}" for k, (c, _) in enumerate(PATHS)])
def test_arrays_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        path_of(**change)


def test_windows_and_atoms_that_do_not_exist():
    with pytest.raises(IndexError, match="window 2 of 2 does not exist"):
        path_of()[2]
    with pytest.raises(ValueError, match="Path.select: .* needs a topology"):
        path_of().select("name O")
    with pytest.raises(ValueError, match=r"Path.select: selection array.* must contain atoms, found none"):
        og.VACF(np.zeros(0, dtype=int))(path_of())
    with pytest.raises(ValueError, match="the selected atoms must have mass"):
        og.VACF([0], per="mass")(path_of(masses=[0.0, 1.0, 1.0]))


def test_what_a_path_lacks():
    with pytest.raises(ValueError, match="on_step_velocities: expected velocities, found none"):
        path_of(velocities=None).on_step_velocities()
    with pytest.raises(ValueError, match="one timestep apart, found stride = 2. Propagate with stride=1"):
        path_of(timestep=0.05, stride=2).on_step_velocities()
    with pytest.raises(ValueError, match="expected positions, found none. Propagate without observe="):
        path_of(positions=None).to_mdtraj(0)
    with pytest.raises(ValueError, match="expected a topology"):
        path_of().to_mdtraj(0)


def frames_of(**change):
    arguments = {"positions": X[0].numpy(), "states": STATE, "masses": np.ones(N), "boxes": 3.0 * np.eye(3)} | change
    return og.Frames(**arguments)


FRAMES = [
    ({}, {"n_times": 5}, "windows of 1 to 4 frames and start_every from 1, found n_times = 5"),
    ({}, {"start_every": 0}, "start_every = 0"),
    ({"masses": None}, {}, "expected frames with masses"),
    ({"boxes": np.eye(3) * np.arange(3, 7)[:, None, None]}, {}, "the box changes in time.*constant volume"),
]


@pytest.mark.parametrize(("change", "arguments", "message"), FRAMES, ids=["long", "start", "masses", "box"])
def test_stored_trajectories_that_cannot_be_windows(change, arguments, message):
    with pytest.raises(ValueError, match=message):
        og.Path.from_frames(frames_of(**change), 0.1, **arguments)


def test_something_else_than_frames_or_a_path():
    with pytest.raises(TypeError, match="Path.from_frames: expected Frames, found Tensor"):
        og.Path.from_frames(X, 0.1)
    for observable in (og.VACF(), og.MSD(), og.SelfDiffusion()):
        with pytest.raises(TypeError, match=r"expected a Path, found Frames. .*Path.from_frames\(frames, timestep\)"):
            observable(frames_of())
    for observable in (og.RDF(None, None, 0.5, 5), og.AngleDistribution([[0, 1, 2]])):
        with pytest.raises(TypeError, match="expected Frames, found ndarray.*the Path of propagate"):
            observable(X.numpy())


SHORT = [(og.VACF(max_lag=0.5), "max_lag = 0.5 ps needs longer windows: found 0.3 ps"),
         (og.MSD(max_lag=1.0, origins="all"), "max_lag = 1 ps needs longer windows"),
         (og.SelfDiffusion(t_max=0.4), "t_max = 0.4 ps needs longer windows: found 0.3 ps"),
         (og.SelfDiffusion(t_max=0.25), "t_max = 0.25 ps is between the stored times 0.2 and 0.3 ps"),
         (og.SelfDiffusion(route="einstein", t_min=0.3), "a line needs two stored times from t_min = 0.3 ps on"),
         (og.VACF(max_lag=0.2, interval=0.05), "expected times 0.05 ps apart, found 0.1 ps")]


@pytest.mark.parametrize(("observable", "message"), SHORT, ids=range(len(SHORT)))
def test_windows_that_are_too_short_or_too_coarse(observable, message):
    with pytest.raises(ValueError, match=message):
        observable(path_of())


def test_half_of_a_two_sided_window_counts():
    path = path_of(times=0.1 * (np.arange(T) - 1))  # one interval before the frame
    with pytest.raises(ValueError, match="found 0.1 ps from the frame on"):
        og.VACF(max_lag=0.2)(path)
    assert len(og.VACF(max_lag=0.1)(path)[0]) == 2


@pytest.mark.parametrize("observable", [og.VACF(), og.SelfDiffusion()], ids=["VACF", "D"])
def test_missing_velocities(observable):
    with pytest.raises(ValueError, match="expected a path with velocities, found none. Propagate without observe="):
        observable(path_of(velocities=None))


def test_missing_positions():
    for observable in (og.MSD(), og.SelfDiffusion(route="einstein", t_min=0.1), og.RDF(None, None, 0.5, 5),
                       og.AngleDistribution([[0, 1, 2]])):
        with pytest.raises(ValueError, match="expected a path with positions, found none"):
            observable(path_of(positions=None))


BAD = [
    (lambda: og.VACF(per="molecule"), "per must be 'atom' or 'mass', found 'molecule'"),
    (lambda: og.VACF(origins="some"), "VACF: origins must be 'first' or 'all'"),
    (lambda: og.MSD(max_lag=-1.0), "MSD: max_lag must not be negative, found -1.0 ps"),
    (lambda: og.MSD(interval=0.1), "interval must be positive and needs max_lag"),
    (lambda: og.SelfDiffusion(route="kubo"), "route must be 'green-kubo' or 'einstein'"),
    (lambda: og.SelfDiffusion(t_min=0.1), "t_min belongs to route='einstein', found t_min = 0.1 for 'green-kubo'"),
    (lambda: og.SelfDiffusion(route="einstein"), "t_min belongs to route='einstein', found t_min = None"),
    (lambda: og.SelfDiffusion(route="einstein", t_min=1.0, t_max=0.5), "expected 0 <= t_min < t_max"),
    (lambda: og.SelfDiffusion(viscosity=-1.0), "viscosity must be positive, found -1.0 Pa s"),
    (lambda: og.RDF(None, None, 0.5, 5, every=0), "every must be a whole number from 1, found 0"),
    (lambda: og.AngleDistribution([[0, 1]]), r"triples must be whole numbers of shape \[M, 3\], found shape \[1, 2\]"),
    (lambda: og.AngleDistribution([[0.0, 1, 2]]), "whole numbers of shape .* of float64"),
    (lambda: og.AngleDistribution([[0, 1, 0]]), "the three atoms of a triple must differ"),
    (lambda: og.AngleDistribution([[0, 1, 2]], bins=0), "bins must be a whole number from 1"),
    (lambda: og.AngleDistribution([[0, 1, 2]], smear=20.0), "smear must be from 0 to 15 degrees, found 20.0"),
    (lambda: og.AngleDistribution([[0, 1, 2]], every=0), "every must be a whole number from 1, found 0"),
    (lambda: og.AngleDistribution.of_neighbors(None, None, -0.1), "cutoff must be positive, found -0.1 nm"),
    (lambda: og.AngleDistribution.of_neighbors(None, None, 0.3, cutoff_smear=0.5), "cutoff_smear must be from 0"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=range(len(BAD)))
def test_arguments_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_finite_size_needs_a_cubic_box_and_a_temperature():
    d = og.SelfDiffusion(viscosity=1e-3)
    with pytest.raises(ValueError, match="needs a box, found none"):
        d(path_of(boxes=None))
    for box in (np.diag([3.0, 3.0, 4.0]), np.array([[3.0, 0, 0], [1.0, 3.0, 0], [0, 0, 3.0]])):
        with pytest.raises(ValueError, match="for cubic boxes, found one that differs by 1 nm"):
            d(path_of(boxes=box))
    with pytest.raises(ValueError, match="expected a temperature, found None"):
        d(path_of(temperature=None))


def test_histograms_have_no_gradient_in_the_path():
    path = path_of(positions=X.clone().requires_grad_())
    with pytest.raises(ValueError, match=r"RDF: a histogram has no gradient .* Pass smear= \(nm\)"):
        og.RDF(None, None, 0.5, 5)(path)
    with pytest.raises(ValueError, match=r"a histogram has no gradient .* Pass smear= \(degrees\)"):
        og.AngleDistribution([[0, 1, 2]])(path)
    with pytest.raises(ValueError, match=r"cross a sharp cutoff are missing in a gradient.*Pass cutoff_smear= \(nm\)"):
        og.AngleDistribution.of_neighbors(None, None, 0.5, smear=2.0)(path)
    for observable in (og.RDF(None, None, 0.5, 5), og.AngleDistribution([[0, 1, 2]])):
        assert torch.isfinite(observable(path.detach())).all()


def test_angles_that_do_not_fit_the_frames():
    with pytest.raises(ValueError, match="triples must name atoms 0 to 2, found 0 to 3"):
        og.AngleDistribution([[0, 1, 3]])(frames_of())
    with pytest.raises(ValueError, match=r"up to 1.6 nm must not exceed half the smallest box width \(1.5 nm\)"):
        og.AngleDistribution.of_neighbors(None, None, 1.6)(frames_of())
    with pytest.raises(ValueError, match=r"distances up to 1.6 nm must not exceed half"):
        og.AngleDistribution.of_neighbors(None, None, 1.0, smear=1.0, cutoff_smear=0.1)(path_of())
    for observable in (og.RDF(None, None, 0.5, 5, smear=0.01), og.AngleDistribution([[0, 1, 2]], smear=2.0)):
        with pytest.raises(ValueError, match="Path has its own"):
            observable(path_of(), X[0])
