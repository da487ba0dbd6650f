# SPDX-License-Identifier: MIT
"""Mistakes with Models, Ensembles, fits and XML: each message names who, what was found, and what to do."""

import re

import numpy as np
import openmm
import pytest
import torch
from openmm import unit

import openmmgrad as og

LENGTH, N = 2.0, 27  # nm


def a_system(n=N, length=LENGTH):
    system = openmm.System()
    for _ in range(n):
        system.addParticle(40.0)
    system.setDefaultPeriodicBoxVectors(*(length * np.eye(3)))
    return system


def lennard_jones(cutoff=0.9):
    return og.LennardJones(0.34, 1.0, cutoff, n_coefficients=24)


def a_model(length=LENGTH, **options):
    model = og.Model(a_system(length=length))
    model.add_pair_potential(lennard_jones(), **options)
    return model


POSITIONS = og.fluids.lattice(N, LENGTH)


def an_ensemble(model=None, positions=POSITIONS, temperature=120.0, **options):
    options = {"n_frames": 5, "stride": 2, "threads": 1} | options
    return og.Ensemble(a_model() if model is None else model, positions, temperature, **options)


# -- Model --

@pytest.mark.parametrize(("arguments", "error", "message"), [
    (("water.xml",), TypeError, r"Model: expected an openmm.System, found str\. Build one"),
    ((a_system(), "water.pdb"), TypeError, r"Model: topology must be .*, found str\. Pass pdb\.topology"),
    ((a_system(), og.bead_fluid(5, 1.0, 1.0)[1]), ValueError,
     r"Model: the System has 27 particles and the topology 5\. Pass the topology that the System was made from"),
])
def test_model_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        og.Model(*arguments)


@pytest.mark.parametrize(("options", "message"), [
    (dict(backend="cuda"), r"unknown backend 'cuda'; expected one of native, table, pythonforce, torchforce\. Choose"),
    (dict(exact=True), r"exact=True needs backend 'torchforce' or 'pythonforce', found 'native'\. .*leave exact out"),
    (dict(exact=True, backend="table"), r"exact=True needs .*found 'table'"),
    (dict(types=["A"] * 26), r"expected 27 particle types, found 26\. Give one label per particle"),
    (dict(types={(0, 1, 2): "A", tuple(range(2, N)): "B"}), r"particle 2 is selected as both 'A' and 'B'.*not overlap"),
    (dict(types={tuple(range(20)): "A"}), r"7 of 27 particles have no type, the first is particle 20\. .*cover every"),
    (dict(types={"name O": "A"}), r"selection 'name O' is a text and needs a topology, found none\. Pass topology="),
    (dict(types={(0, 99): "A"}), r"indices must be from 0 to 26, found 0 to 99"),
    (dict(exclusions=[(0, 1), (3, 27)]), r"exclusions must be pairs of different particles.*found \(3, 27\)\. Correct"),
    (dict(exclusions=[(4, 4)]), r"exclusions must be pairs of different particles.*found \(4, 4\)"),
    (dict(exclusions=[(0, 1, 2)]), r"add_pair_potential: exclusions must be pairs.*found \(0, 1, 2\)"),
    (dict(exclusions=2), r"exclusions by bonds need a topology, found none\. Pass topology= to Model"),
    (dict(interaction_groups=[([0, 1], [40])]), r"indices must be from 0 to 26, found 40 to 40"),
    (dict(interaction_groups=[([0, 1], [])]), r"selection \[\] must contain atoms, found none of 27"),
])
def test_add_pair_potential_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        a_model(**options)


def test_add_pair_potential_refuses_what_is_not_a_pair_potential():
    with pytest.raises(TypeError, match=r"expected a PairPotential, found Linear\. Subclass openmmgrad\.PairPotential"):
        og.Model(a_system()).add_pair_potential(torch.nn.Linear(1, 1))


def test_a_refused_potential_leaves_the_model_as_it_was():
    model = a_model()
    with pytest.raises(ValueError, match="expected 27 particle types"):
        model.add_pair_potential(lennard_jones(), types=["A"])
    assert len(model.terms) == len(model.potentials) == 1


# -- Ensemble --

NAN = np.where(np.arange(N)[:, None] == 3, np.nan, POSITIONS)


@pytest.mark.parametrize(("options", "message"), [
    (dict(positions=POSITIONS[:-1]), r"expected positions of shape \[27, 3\].*found \[26, 3\]\. Pass the positions"),
    (dict(positions=POSITIONS[None]), r"expected positions of shape \[27, 3\].*found \[1, 27, 3\]"),
    (dict(positions=NAN), r"positions contain NaN or infinite values\. Pass finite positions in nm"),
    (dict(positions=POSITIONS * unit.kelvin), r"expected a Quantity convertible to nm, found one in kelvin"),
    (dict(temperature=0.0), r"temperature must be positive, found 0\.0 K\. Give a positive temperature in K"),
    (dict(temperature=-300.0), r"temperature must be positive, found -300\.0 K"),
    (dict(temperature=np.nan), r"temperature must be positive, found nan K"),
    (dict(timestep=2.0), r"timestep is 2\.0 ps, more than 0\.1 ps\. Timesteps are in ps: 2 fs is 0\.002"),
    (dict(timestep=0.0), r"timestep must be positive, found 0\.0 ps"),
    (dict(friction=-1.0), r"friction must be positive, found -1\.0 1/ps"),
    (dict(n_frames=0), r"n_frames must be positive, found 0 frames"),
    (dict(stride=0), r"stride must be positive, found 0 steps"),
    (dict(pressure=np.nan), r"Ensemble: pressure must be finite, found nan bar\. Give bar, or None"),
    (dict(equilibration=-5), r"Ensemble: equilibration must not be negative, found -5 steps\. "),
    (dict(threads=-2), r"Ensemble: threads must be at least 1, found -2\. "),
    (dict(platform="GPU"), r"platform 'GPU' is not available; found Reference, CPU.*\. Choose one of those"),
    (dict(box=[2.0, 2.0]), r"box must be 3 lengths or 3 vectors, found shape \[2\]\. Give nm"),
    (dict(box=[2.0, np.nan, 2.0]), r"Ensemble: box must be finite with positive lengths.*found.*nan"),
    (dict(box=[2.0, -2.0, 2.0]), r"Ensemble: box must be finite with positive lengths.*found.*-2"),
])
def test_ensemble_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        an_ensemble(**options)


def test_ensemble_refuses_what_is_not_a_model():
    with pytest.raises(TypeError, match=r"Ensemble: expected a Model, found System\. "):
        og.Ensemble(a_system(), POSITIONS, 300.0)


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_a_cutoff_over_half_the_box_is_refused_by_the_force(platform):
    ensemble = an_ensemble(model=a_model(length=1.7), platform=platform, box=[1.7, 1.7, 1.7])
    with pytest.raises(openmm.OpenMMException,
                       match=r"the cutoff \(0\.9 nm\) must not exceed half the smallest box width \(1\.7 nm\)\. Use"):
        ensemble.sample()


def test_a_simulation_that_blows_up_says_so():
    ensemble = an_ensemble(timestep=0.1, temperature=3e6, n_frames=200, stride=20)
    with pytest.raises((ValueError, openmm.OpenMMException), match=r"(shorter|smaller) time ?step"):
        ensemble.sample()


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match=r"Ensemble\.sample: expected at least 1 frame, found 0"):
        an_ensemble().sample(0)


# -- features and fluids --

def test_compute_features_refuses_other_particles_and_missing_boxes():
    with pytest.raises(ValueError, match=r"expected frames of 27 particles, found 5\. Use frames of the same System"):
        og.compute_features(a_model(), og.Frames(np.zeros((1, 5, 3)), og.State([], 300.0), boxes=np.eye(3)))
    with pytest.raises(ValueError, match=r"the Model is periodic and the frames have no boxes\. Pass boxes="):
        og.compute_features(a_model(), og.Frames(POSITIONS[None], og.State([], 300.0)))


@pytest.mark.parametrize(("arguments", "options", "message"), [
    ((0, 10.0, 18.0), {}, r"expected particles and a positive density, found 0 and 10\.0 nm\^-3\. Give the number"),
    ((10, -1.0, 18.0), {}, r"found 10 and -1\.0 nm\^-3"),
    ((10, 1.0, {"A": 1.0, "B": 2.0}), dict(fractions={"A": 0.5, "B": 0.4}), r"must sum to 1, found .*0\.4"),
    ((10, 1.0, {"A": 1.0, "B": 2.0}), dict(fractions={"A": 1.0}), r"fractions of \['A', 'B'\] must sum to 1, found"),
    ((10, 1.0, {"A": 1.0, "B": 2.0}), dict(fractions={"A": 1.5, "B": -0.5}),
     r"bead_fluid: fractions must not be negative, found .*-0\.5"),
    ((10, 1.0, -18.0), {}, r"bead_fluid: masses must be positive, found .*-18\.0.*amu"),
])
def test_bead_fluid_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        og.bead_fluid(*arguments, **options)


# -- fit --

def a_target(ensemble, bins=20):
    return og.Target(og.RDF(None, None, r_max=0.9, bins=bins), ensemble, np.ones(bins), sigma=0.1)


def fit(targets, **options):
    return og.fit(targets, **({"max_iterations": 1, "progress": False} | options))


def test_fit_refuses_no_targets_unknown_methods_and_no_iterations():
    target = a_target(an_ensemble())
    with pytest.raises(ValueError, match=r"fit: expected at least one target, found none\. Pass \[Target"):
        fit([])
    with pytest.raises(ValueError, match=r"fit: unknown method 'newton'; expected gauss-newton, ibi or a torch\.optim"):
        fit([target], method="newton")
    with pytest.raises(ValueError, match=r"fit: max_iterations must be at least 1, found 0"):
        fit([target], max_iterations=0)


def test_fit_refuses_too_few_frames():
    model = og.Model(a_system())
    model.add_pair_potential(og.SplinePotential.from_potential(lennard_jones(), 120.0))
    rdf = og.RDF(None, None, r_max=0.9, bins=5)
    frames = an_ensemble(model, n_frames=30).sample()
    target = og.Target(rdf, an_ensemble(model, n_frames=30), rdf(frames).mean(0).numpy(), sigma=0.1)
    with pytest.raises(ValueError, match=r"fit: 30 frames of '120 K' cannot tell the covariance of 21 parameters: "
                                         r"at least 42 are needed\. Use Ensemble\(n_frames=42\)"):
        fit([target])


def test_fit_refuses_a_model_without_parameters_and_ensembles_of_one_name():
    model = a_model()
    model.requires_grad_(False)
    with pytest.raises(ValueError, match=r"fit: the Models have no parameter that requires grad\. Add a potential"):
        fit([a_target(an_ensemble(model))])
    with pytest.raises(ValueError, match=r"fit: Ensembles must have different names.*Pass name="):
        fit([a_target(an_ensemble()), a_target(an_ensemble())])


# -- XML --

def xml_of_a_force() -> str:
    force = og.LearnablePairForce(1, 0.9, 8)
    force.setCoefficients(0, 0, [3.0, 2.0, 1.0, 0.5, 0.25, 0, 0, 0])
    force.addParticles(np.zeros(4, dtype=int))
    return openmm.XmlSerializer.serialize(force)


def edited(pattern: str, replacement: str) -> str:
    text, n = re.subn(pattern, replacement, xml_of_a_force(), count=1)
    assert n == 1
    return text


@pytest.mark.parametrize(("pattern", "replacement", "message"), [
    (r' version="2"', ' version="7"', r"XML of version 1 to 2 was expected, found version 7\. Read it with the"),
    (r' version="2"', "", r"XML of version 1 to 2 was expected, found version 0\. Read it"),
    (r' cutoff="[^"]*"', "", r"the XML cannot be read: .*cutoff.*Write it again with XmlSerializer"),
    (r' cutoff="[^"]*"', ' cutoff="-1"', r"the XML cannot be read: .*cutoff.*Write it again"),
    (r'\s*<Coefficient c="[^"]*"/>', "", r"the XML cannot be read: .*8 .*7.*Write it again"),
    (r'(?s)<TypePair.*</TypePair>', "", r"coefficients of 1 pairs of types were expected, found 0\. Write one"),
    (r'<Particle type="0"/>', '<Particle type="3"/>', r"the XML cannot be read: .*type.*3.*Write it again"),
])
def test_xml_that_has_been_changed_is_refused(pattern, replacement, message):
    with pytest.raises(openmm.OpenMMException, match=message):
        openmm.XmlSerializer.deserialize(edited(pattern, replacement))


def test_xml_that_is_cut_off_is_refused():
    with pytest.raises(openmm.OpenMMException, match=r"(?i)pars|end tag|xml"):
        openmm.XmlSerializer.deserialize(xml_of_a_force()[:-60])


def test_xml_that_is_whole_is_read():
    again = og.LearnablePairForce.cast(openmm.XmlSerializer.deserialize(xml_of_a_force()))
    assert again.getCoefficients(0, 0)[0] == 3.0
