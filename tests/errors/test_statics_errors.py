# SPDX-License-Identifier: MIT
"""Mistakes with pressure, energies, heat of vaporisation and dielectric constant: what was found, and what to do."""

import mdtraj
import numpy as np
import openmm
import pytest
import torch

import openmmgrad as og
from openmmgrad.observables.molecules import Molecules, strained

T = 300.0
BOX = 2.0 * np.eye(3)


def dimers(n=3, exclude=False):
    system, bonds, pairs = openmm.System(), openmm.HarmonicBondForce(), openmm.NonbondedForce()
    system.setDefaultPeriodicBoxVectors(*BOX)
    pairs.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    pairs.setCutoffDistance(0.9)
    for i in range(2 * n):
        system.addParticle(12.0)
        pairs.addParticle(0.1 - 0.2 * (i % 2), 0.3, 0.5)
        if i % 2:
            bonds.addBond(i - 1, i, 0.1, 1000.0)
            if exclude:
                pairs.addException(i - 1, i, 0.0, 1.0, 0.0)
    system.addForce(bonds)
    system.addForce(pairs)
    return og.Model(system)


def frames_of(n=6, boxes=BOX, shift=0.0, **options):
    x = np.arange(n)[:, None] * [0.3, 0.05, 0.0]
    x[1] += [shift, 0.0, 0.0]
    return og.Frames(x[None], og.State([], T), boxes=boxes, **options)


class TestPressure:
    def test_a_route_that_does_not_exist(self):
        with pytest.raises(ValueError, match="route must be 'auto', 'virial' or 'strain', found 'atomic'"):
            og.Pressure(dimers(), route="atomic")

    def test_frames_of_another_system_or_without_boxes(self):
        with pytest.raises(ValueError, match="expected frames of 6 particles, found 5"):
            og.Pressure(dimers())(frames_of(5))
        with pytest.raises(ValueError, match="expected periodic frames, found no boxes"):
            og.Pressure(dimers())(frames_of(boxes=None))

    def test_molecules_in_two_pieces(self):
        with pytest.raises(ValueError, match=r"strained: frame 0 has .* broken across the box: the bonded atoms "
                                             r"\[0, 1\] are 1\.7 nm apart\. Make molecules whole"):
            og.Pressure(dimers())(frames_of(shift=-2.0))

    def test_a_system_that_something_holds_in_its_place(self):
        model = dimers()
        wall = openmm.CustomExternalForce("1000*x^2")
        wall.addParticle(0)
        model.system.addForce(wall)
        with pytest.raises(ValueError, match=r"free to move, found one whose energy changes by \S+ kJ/mol when it is "
                                             "displaced.*restraints or fields"):
            og.Pressure(model)(frames_of())

    def test_a_field_on_neutral_molecules_holds_nothing(self):
        model = dimers()
        field = openmm.CustomExternalForce("100*q*x")
        field.addPerParticleParameter("q")
        for i in range(6):
            field.addParticle(i, [0.1 - 0.2 * (i % 2)])
        plain = og.Pressure(dimers(), platform="Reference")(frames_of())
        model.system.addForce(field)
        assert og.Pressure(model, platform="Reference")(frames_of()).item() == pytest.approx(plain.item(), rel=1e-6)


class TestStrain:
    @pytest.mark.parametrize("strain", [np.ones((3, 3)), np.eye(2), np.full((3, 3), np.nan)])
    def test_forms_that_boxes_cannot_follow(self, strain):
        with pytest.raises(ValueError, match=r"strained: expected a strain \[3, 3\] with zeros above the diagonal"):
            dimers().strained(frames_of(), strain)

    def test_molecules_of_another_system(self):
        with pytest.raises(ValueError, match="expected frames of 2 particles, found 6"):
            strained(frames_of(), np.zeros((3, 3)), Molecules.of_bonds([], [1.0, 1.0]))


class TestEnergies:
    def test_frames_that_do_not_fit(self):
        energy = og.PotentialEnergy(dimers())
        with pytest.raises(ValueError, match="potential_energies: expected frames of 6 particles, found 5"):
            energy(frames_of(5))
        with pytest.raises(ValueError, match="the System is periodic and the frames have no boxes"):
            energy(frames_of(boxes=None))

    def test_broken_molecules_whose_pairs_are_excluded_as_they_are(self):
        with pytest.raises(ValueError, match=r"potential_energies: frame 0 has a molecule that is broken"):
            og.PotentialEnergy(dimers(exclude=True))(frames_of(shift=-2.0))

    def test_energies_that_are_not_finite(self):
        frames = frames_of()
        frames.positions[0, 2:] = frames.positions[0, :4]
        with pytest.raises(ValueError, match="the energy of frame .0. is not finite. Remove frames with overlaps"):
            og.PotentialEnergy(dimers(), platform="Reference")(frames)

    def test_per_what(self):
        with pytest.raises(ValueError, match="per must be 'system' or 'molecule', found 'atom'"):
            og.PotentialEnergy(dimers(), per="atom")

    @pytest.mark.parametrize("masses", [[0.0, 0.0], [1.0, -1.0], [np.nan], []])
    def test_masses(self, masses):
        with pytest.raises(ValueError, match="Density: expected masses that are finite and not negative"):
            og.Density(masses)

    def test_density_of_other_frames(self):
        with pytest.raises(ValueError, match="Density: expected frames of 2 particles, found 6"):
            og.Density([1.0, 2.0])(frames_of())
        with pytest.raises(ValueError, match="expected periodic frames"):
            og.Density(np.ones(6))(frames_of(boxes=None))


class TestHeatOfVaporization:
    @pytest.mark.parametrize(("options", "message"), [
        (dict(n_molecules=0), "n_molecules must be a whole number from 1, found 0"),
        (dict(gas=(1.0,)), r"gas must be \(Model, Frames\), found \['float'\]"),
        (dict(gas=np.nan), "expected finite energies, found nan kJ/mol"),
    ])
    def test_arguments(self, options, message):
        with pytest.raises(ValueError, match=message):
            og.HeatOfVaporization(dimers(), **options)

    def test_a_gas_at_another_temperature(self):
        gas = og.Frames(np.zeros((1, 6, 3)), og.State([], 310.0), boxes=BOX)
        heat = og.HeatOfVaporization(dimers(), gas=(dimers(), gas))
        with pytest.raises(ValueError, match="the gas has 310 K and the liquid 300 K. Sample both at one temperature"):
            heat(frames_of())

    def test_pair_potentials_of_the_gas_in_gauss_newton(self):
        gas = dimers()
        gas.add_pair_potential(og.LennardJones(0.3, 1.0, 0.9))
        heat = og.HeatOfVaporization(dimers(), gas=(gas, frames_of()))
        with pytest.raises(ValueError, match="which Gauss-Newton does not see. Use a torch optimiser"):
            heat.coefficient_derivatives(frames_of())


class TestStaticDielectric:
    def test_what_is_no_dipole(self):
        with pytest.raises(TypeError, match="expected a dipole, found list. Pass PointCharges"):
            og.StaticDielectric([0.1, -0.1])

    def test_frames_without_boxes(self):
        with pytest.raises(ValueError, match="expected periodic frames, found no boxes"):
            og.StaticDielectric(og.PointCharges([0.1, -0.1] * 3))(frames_of(boxes=None))

    def test_charged_systems_and_molecules(self):
        with pytest.raises(ValueError, match=r"the system has a charge of 0\.2 e"):
            og.StaticDielectric(og.PointCharges([0.1, 0.1] + [0.1, -0.1] * 2))(frames_of())
        ions = og.PointCharges([0.5, 0.5, -0.5, -0.5, 0.1, -0.1])
        with pytest.raises(ValueError, match=r"expected neutral molecules, found 1 e on the molecule of atom 0\. Ions"):
            og.StaticDielectric(ions, dimers())(frames_of())
        og.StaticDielectric(ions)(frames_of())  # nothing tells the molecules

    def test_charged_molecules_are_named_by_the_topology(self):
        topology = mdtraj.Topology()
        for name in ("SOD", "CLA"):
            topology.add_atom(name, None, topology.add_residue(name, topology.add_chain()))
        salt = og.Frames(np.zeros((1, 2, 3)), og.State([], T), boxes=BOX, topology=topology)
        with pytest.raises(ValueError, match=r"found 1 e on the molecule of atom 0 \(SOD0-SOD\)\."):
            og.StaticDielectric(og.PointCharges([1.0, -1.0]))(salt)

    def test_molecules_in_two_pieces(self):
        with pytest.raises(ValueError, match="StaticDielectric: frame 0 has a molecule that is broken"):
            og.StaticDielectric(og.PointCharges([0.1, -0.1] * 3), dimers())(frames_of(shift=-2.0))


class TestSharedParameters:
    @pytest.mark.parametrize(("value", "found"), [
        (torch.nn.Parameter(torch.ones(2, dtype=torch.float64)), r"float64 of shape \[2\]"),
        (torch.nn.Parameter(torch.tensor(1.0)), r"float32 of shape \[\]"),
    ])
    def test_torch_parameters_of_another_kind(self, value, found):
        system, bond = openmm.System(), openmm.CustomBondForce("k*r")
        bond.addGlobalParameter("k", 1.0)
        system.addForce(bond)
        with pytest.raises(ValueError, match=f"the value of 'k' must be a float64 scalar, found {found}. Share one of"):
            og.Model(system).add_parameters({"k": value})
