# SPDX-License-Identifier: MIT
"""Exports of Models that learn more than pair potentials say what they hold, and refuse what numbers cannot hold."""

import openmm
import pytest
from fitting import springs

import openmmgrad as og


def droplet(module=False, pairs=True):
    model = springs.droplet(40.0, 1.0).model if pairs else springs.wells(40.0, n=2)
    if module:
        model.add_energy(springs.Tether(1.0), periodic=False, name="Net")
    return model


def test_xml_holds_global_parameters_at_their_fitted_values(tmp_path):
    model = droplet()
    model.global_parameters["k"].data.fill_(37.25)
    (path,) = og.export(model, tmp_path / "system.xml", backend="table")
    system = openmm.XmlSerializer.deserialize(path.read_text())
    (well,) = [f for f in system.getForces() if isinstance(f, openmm.CustomExternalForce)]
    assert well.getGlobalParameterDefaultValue(0) == 37.25


@pytest.mark.parametrize("backend", ["native", "table"])
def test_xml_refuses_torch_energies(tmp_path, backend):
    message = r"\.xml holds numbers, with backend='table', too, and Net is Python code.*create_system.*pickle"
    with pytest.raises(ValueError, match=message):
        og.export(droplet(module=True), tmp_path / "system.xml", backend=backend)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["lammps", "xvg", "csv"])
def test_tables_name_what_they_do_not_hold(tmp_path, suffix):
    (path,) = og.export(droplet(module=True), tmp_path / f"pair.{suffix}")
    comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any("not in this table: global parameters k = 40 and torch energies Net" in line for line in comments)


def test_tables_need_pair_potentials(tmp_path):
    message = r"no learnable potential, which is what tables hold, but global parameters k = 40\. Write \.xml: it holds"
    with pytest.raises(ValueError, match=message):
        og.export(droplet(pairs=False), tmp_path / "pair.lammps")
    message = "tables hold, but global parameters k = 40 and torch energies Net. Use model.create_system"
    with pytest.raises(ValueError, match=message):
        og.export(droplet(module=True, pairs=False), tmp_path / "pair.lammps")
    with pytest.raises(ValueError, match=r"no learnable potential, which is what tables hold\. Call model\.add_pair"):
        og.export(og.Model(openmm.System()), tmp_path / "pair.csv")
