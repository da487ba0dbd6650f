# SPDX-License-Identifier: MIT
"""Exported files, read again as the other programs read them, give the same u(r) and force."""

import subprocess
import sys

import numpy as np
import openmm
import pytest
from scipy.interpolate import CubicHermiteSpline, CubicSpline

from openmmgrad.export import XVG_MARGIN, export
from openmmgrad.model import Model
from openmmgrad.potentials import LennardJones, PerPair

T, CUTOFF = 120.0, 0.85
RADII = np.random.default_rng(3).uniform(0.2, CUTOFF, 2000)  # nm; 0.2 is deep in the core


@pytest.fixture
def argon():
    return LennardJones(sigma=0.34, epsilon=0.997, cutoff=CUTOFF)


@pytest.fixture
def mixture():
    """27 particles of two types on a lattice, and (positions, model)."""
    rng = np.random.default_rng(1)
    lattice = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    positions = 0.6 * lattice + rng.normal(scale=0.06, size=(27, 3))
    system = openmm.System()
    for _ in positions:
        system.addParticle(39.948)
    system.setDefaultPeriodicBoxVectors([1.8, 0, 0], [0, 1.8, 0], [0, 0, 1.8])
    model = Model(system)
    depths = {("A", "A"): 1.0, ("A", "B"): 0.7, ("B", "B"): 1.4}
    potential = PerPair({k: LennardJones(sigma=0.34, epsilon=e, cutoff=CUTOFF) for k, e in depths.items()})
    model.add_pair_potential(potential, types=["A", "B"] * 13 + ["A"], exclusions=[(0, 1), (4, 13)])
    return positions, model


def compare(u, f, potential, pair=None, tolerance=1e-9, radii=RADII):
    """u and f against the projected spline, relative to their largest values where particles go."""
    expected_u, expected_f = potential.tabulate(radii, pair, T)
    assert np.abs(u - expected_u).max() < tolerance * np.abs(expected_u).max()
    assert np.abs(f - expected_f).max() < tolerance * np.abs(expected_f).max()


def sections(path):
    """{keyword: (parameters, rows)} of a LAMMPS table: comments and blank lines end nothing."""
    found, lines = {}, [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    while lines:
        keyword, parameters = lines[0].split()[0], lines[1].split()
        assert parameters[::2][:2] == ["N", "R"]
        n = int(parameters[1])
        found[keyword] = (
            (float(parameters[3]), float(parameters[4])),
            np.array([line.split() for line in lines[2 : 2 + n]], dtype=float),
        )
        lines = lines[2 + n :]
    return found


@pytest.mark.parametrize(
    ("units", "length", "energy"),
    [("real", 10, 1 / 4.184), ("metal", 10, 0.010364269574711572), ("nano", 1, 1.6605390671738466)],
)
def test_lammps_reads_the_potential(tmp_path, argon, units, length, energy):
    (path,) = export(argon, tmp_path / "argon.lammps", T, units=units)
    ((keyword, ((low, high), rows)),) = sections(path).items()
    assert keyword == "all-all"
    index, r, e, f = rows.T
    np.testing.assert_array_equal(index, np.arange(1, len(rows) + 1))
    np.testing.assert_allclose(
        r, np.linspace(low, high, len(rows)), rtol=1e-10
    )  # "R": LAMMPS ignores column 2
    assert high == pytest.approx(CUTOFF * length)
    # LAMMPS splines e (end slopes -f) and f (end slopes by differences) in r ...
    energy_spline = CubicSpline(r, e, bc_type=((1, -f[0]), (1, -f[-1])))
    force_spline = CubicSpline(
        r, f, bc_type=((1, (f[1] - f[0]) / (r[1] - r[0])), (1, (f[-1] - f[-2]) / (r[1] - r[0])))
    )
    compare(
        energy_spline(RADII * length) / energy,
        force_spline(RADII * length) / energy * length,
        argon,
        tolerance=1e-5,
    )
    # ... and interpolates 20000 values of e and f/r linearly in r^2
    squares = np.linspace(low**2, high**2, 20000)
    x = (RADII * length) ** 2
    u = np.interp(x, squares, energy_spline(np.sqrt(squares)))
    f_over_r = np.interp(x, squares, force_spline(np.sqrt(squares)) / np.sqrt(squares))
    compare(u / energy, f_over_r * np.sqrt(x) / energy * length, argon, tolerance=1e-5)


def test_lammps_file_says_what_it_holds(tmp_path, mixture):
    _, model = mixture
    (path,) = export(model, tmp_path / "mix.lammps", T)
    text = path.read_text()
    assert text.startswith("# UNITS: real\n# r in Angstrom, e in kcal/mol, f in kcal/mol/Angstrom\n")
    assert "PerPair at 120 K, cutoff 0.85 nm, truncation" in text
    assert "no dispersion correction" in text
    found = sections(path)
    assert list(found) == ["A-A", "A-B", "B-B"]
    (low, _), rows = found["A-B"]
    ratio = rows[-900:-300, 2] / found["A-A"][1][-900:-300, 2]
    np.testing.assert_allclose(ratio, 0.7, rtol=5e-3)


def test_gromacs_reads_the_potential(tmp_path, argon):
    (path,) = export(argon, tmp_path / "table.xvg", T)
    r, *coulomb, u, f = np.loadtxt(path).T
    np.testing.assert_allclose(np.diff(r), r[1], rtol=1e-9)
    assert r[0] == 0
    assert r[1] <= 0.002
    assert r[-1] >= CUTOFF + XVG_MARGIN
    assert not np.any(coulomb)
    assert not np.any(u[r > CUTOFF])
    spline = CubicHermiteSpline(r, u, -f)  # what GROMACS does
    compare(spline(RADII), -spline(RADII, 1), argon)


def test_gromacs_gets_a_file_per_pair_of_types(tmp_path, mixture):
    _, model = mixture
    paths = export(model, tmp_path / "table.xvg", T)
    assert [path.name for path in paths] == ["table_A_A.xvg", "table_A_B.xvg", "table_B_B.xvg"]
    potential = model.terms[0].potential
    for path, pair in zip(paths, model.terms[0].pairs, strict=True):
        r, *_, u, f = np.loadtxt(path).T
        compare(np.interp(r, r, u), f, potential, pair, radii=r)


def test_csv_holds_the_potential(tmp_path, argon, mixture):
    (path,) = export(argon, tmp_path / "argon.csv", T)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "r_nm,u_kJ_per_mol,f_kJ_per_mol_per_nm"
    r, u, f = np.loadtxt(lines[1:], delimiter=",").T
    compare(u, f, argon, radii=r)
    (path,) = export(mixture[1], tmp_path / "mix.csv", T)
    header, *lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert header.split(",")[:3] == ["r_nm", "u_A-A_kJ_per_mol", "f_A-A_kJ_per_mol_per_nm"]
    r, *_, u, f = np.loadtxt(lines, delimiter=",").T
    compare(u, f, mixture[1].terms[0].potential, ("B", "B"), radii=r)


READER = """
import sys
import numpy as np, openmm
with open(sys.argv[1]) as file:
    system = openmm.XmlSerializer.deserialize(file.read())
platform = openmm.Platform.getPlatformByName("Reference")
context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
context.setPositions(np.load(sys.argv[2]))
state = context.getState(energy=True, forces=True)
energy = [state.getPotentialEnergy()._value] * 3
np.save(sys.argv[3], np.vstack([state.getForces(asNumpy=True)._value, energy]))
assert not [name for name in sys.modules if "openmmgrad" in name or name == "torch"]
"""


@pytest.mark.parametrize("backend", ["table", "native"])
def test_xml_runs_in_a_process_that_imports_only_openmm(tmp_path, mixture, backend):
    positions, model = mixture
    (path,) = export(model, tmp_path / "system.xml", T, backend=backend)
    assert ('type="CustomNonbondedForce"' in path.read_text()) == (backend == "table")
    np.save(tmp_path / "x.npy", positions)
    environment = [str(path), str(tmp_path / "x.npy"), str(tmp_path / "f.npy")]
    subprocess.run([sys.executable, "-I", "-c", READER, *environment], check=True)
    *forces, energy = np.load(tmp_path / "f.npy")
    system = model.create_system(T, backend="native")
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(positions)
    state = context.getState(energy=True, forces=True)
    expected = state.getForces(asNumpy=True)._value
    assert energy[0] == pytest.approx(state.getPotentialEnergy()._value, rel=1e-12)
    np.testing.assert_allclose(forces, expected, atol=1e-12 * np.abs(expected).max())


def test_an_export_replaces_a_file_in_one_step(tmp_path, argon):
    path = tmp_path / "argon.csv"
    path.write_text("old")
    export(argon, path, T)
    assert path.read_text().startswith("# all-all: LennardJones at 120 K")
    assert [p.name for p in tmp_path.iterdir()] == ["argon.csv"]
    with pytest.raises(FileNotFoundError):
        export(argon, tmp_path / "missing" / "argon.csv", T)


def test_mistakes_are_named(tmp_path, argon, mixture):
    _, model = mixture
    for arguments, keywords, error, message in [
        (
            (argon, "a.txt"),
            {},
            ValueError,
            r"path must end in one of .xml, .lammps, .xvg, .csv, found 'a.txt'",
        ),
        ((argon, "a.xml"), {}, TypeError, ".xml holds a System, found a LennardJones"),
        (("argon", "a.csv"), {}, TypeError, "expected a Model or a PairPotential, found str"),
        ((model, "a.xml"), {"backend": "torchforce"}, ValueError, "backend must be 'native' or 'table'"),
        (
            (argon, "a.lammps"),
            {"units": "lj"},
            ValueError,
            "units must be one of real, metal, nano, found 'lj'",
        ),
        ((Model(model.system), "a.csv"), {}, ValueError, "the Model has no learnable potential"),
    ]:
        with pytest.raises(error, match=message):
            export(*arguments[:1], tmp_path / arguments[1], T, **keywords)
    model.add_pair_potential(argon, types=["A"] * 27)
    with pytest.raises(ValueError, match="found several of A-A"):
        export(model, tmp_path / "a.csv", T)
