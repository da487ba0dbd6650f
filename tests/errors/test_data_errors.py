# SPDX-License-Identifier: MIT
"""Mistakes with data: messages name what was expected, what was found, and a remedy."""

import numpy as np
import openmm
import pytest

import openmmgrad as og
from openmmgrad.counts import integrate_rdf, spline_counts_matrix
from openmmgrad.observables.pressure import Pressure
from openmmgrad.observables.scattering import scattering_factors
from openmmgrad.observables.structure_factor import StructureFactor
from openmmgrad.tables import read_table

BOX = 2.2 * np.eye(3)
NAN = float("nan")


def a_model(n=20, potential=True):
    system = openmm.System()
    for _ in range(n):
        system.addParticle(40.0)
    model = og.Model(system)
    if potential:
        model.add_pair_potential(og.LennardJones(0.3, 1.0, 0.9))
    return model


def an_ensemble(temperature=300.0):
    return og.Ensemble(a_model(), np.zeros((20, 3)), temperature, box=[2.2] * 3)


def rdf(**changes):
    return og.RDF(**{"selection_a": None, "selection_b": None, "r_max": 1.0, "bins": 50, **changes})


def some_frames(n_frames=4, n=20, temperature=300.0, box=BOX):
    positions = np.random.default_rng(0).uniform(0, 2.2, (n_frames, n, 3))
    return og.Frames(positions, og.State([], temperature), boxes=box)


R = np.arange(0.005, 1.2, 0.01)
G = 1 / (1 + np.exp(-(R - 0.3) / 0.01))


def a_file(tmp_path, r=R, g=G, header="r_nm,g", name="g.csv"):
    path = tmp_path / name
    path.write_text(header + "\n" + "".join(f"{a:.6g},{b:.6g}\n" for a, b in zip(r, g, strict=True)))
    return path


def read(path, **options):
    return og.Target.from_file(path, rdf(), an_ensemble(), **options)


class TestNumbers:
    @pytest.mark.parametrize("bad", [NAN, np.inf])
    def test_values_that_are_not_finite(self, bad):
        with pytest.raises(ValueError, match=r"Target: values must be finite, found .* in bin \[7\]. Remove NaN"):
            og.Target(rdf(), an_ensemble(), np.where(np.arange(50) == 7, bad, 1.0))

    def test_negative_g(self):
        with pytest.raises(ValueError, match=r"g\(r\) must not be negative, found -0.2 at 0.15 nm.*core="):
            og.Target(rdf(), an_ensemble(), np.where(np.arange(50) == 7, -0.2, 1.0))

    def test_negative_g_in_a_file(self, tmp_path):
        with pytest.raises(ValueError, match=r"must not be negative, found -0.06 at 0.105 nm"):
            read(a_file(tmp_path, g=np.where(np.isclose(R, 0.105), -0.06, G)))
        assert read(a_file(tmp_path, g=np.where(np.isclose(R, 0.105), -0.06, G)), core=0.2).values.min() == 0

    def test_other_than_an_rdf_may_be_negative(self):
        s = StructureFactor(None, 8.0, BOX)
        assert og.Target(s, an_ensemble(), np.full(len(s.grid), -1.0)).values.max() == -1

    @pytest.mark.parametrize("sigma", [-0.1, NAN])
    def test_bad_standard_errors(self, sigma):
        with pytest.raises(ValueError, match="standard errors must be finite and not negative"):
            og.Target(rdf(), an_ensemble(), np.ones(50), sigma=sigma)

    def test_standard_errors_of_another_length(self):
        with pytest.raises(ValueError, match="expected 50 standard errors, found 3"):
            og.Target(rdf(), an_ensemble(), np.ones(50), sigma=[0.1] * 3)

    @pytest.mark.parametrize("weight", [0.0, -1.0, NAN])
    def test_weights_that_are_not_positive(self, weight):
        with pytest.raises(ValueError, match="weight must be positive"):
            og.Target(rdf(), an_ensemble(), np.ones(50), weight=weight)

    @pytest.mark.parametrize("temperature", [0.0, -10.0, NAN])
    def test_temperatures_that_are_not_positive(self, temperature):
        ensemble = an_ensemble()
        ensemble.temperature = temperature
        with pytest.raises(ValueError, match=r"Target: the temperature must be positive, found \S+ K"):
            og.Target(rdf(), ensemble, np.ones(50))

    def test_frames_of_another_temperature(self):
        with pytest.raises(ValueError, match="the frames have 310 K and the Ensemble 300 K"):
            og.Target.from_frames(some_frames(temperature=310.0), rdf(), an_ensemble())

    def test_frames_of_several_states(self):
        parts = [og.Frames(np.zeros((1, 20, 3)), og.State([c], 300.0), boxes=BOX) for c in (1.0, 2.0)]
        with pytest.raises(ValueError, match="expected frames of one state, found 2 states"):
            og.Target.from_frames(og.Frames.concatenate(parts), rdf(), an_ensemble())


class TestUnits:
    def test_angstrom_read_as_nm(self, tmp_path):
        path = a_file(tmp_path, r=10 * R, header="r,g")
        with pytest.raises(ValueError, match=r'0.5 at 3.0\d nm, more than 1.0 nm. Pass r_unit="angstrom"'):
            read(path, r_unit="nm")
        assert read(path, r_unit="angstrom").values == pytest.approx(read(a_file(tmp_path)).values, abs=1e-4)

    def test_nm_read_as_angstrom(self, tmp_path):
        with pytest.raises(ValueError, match=r'less than 0.1 nm. Pass r_unit="nm"'):
            read(a_file(tmp_path), r_unit="angstrom")

    @pytest.mark.parametrize(("header", "scale"),
                             [("r_nm,g", 1), ("r (nm),g", 1), ("r [A],g", 10), ("r_angstrom,g", 10)])
    def test_a_column_name_that_tells_its_unit(self, tmp_path, header, scale):
        assert read(a_file(tmp_path, r=scale * R, header=header)).values[-1] == pytest.approx(1, abs=1e-6)

    @pytest.mark.parametrize("header", ["r,g", "distance,g", "1 A nm,g"])
    def test_a_column_name_that_does_not(self, tmp_path, header):
        with pytest.raises(ValueError, match='does not tell its unit. Pass r_unit="nm" or r_unit="angstrom"'):
            read(a_file(tmp_path, header=header))

    def test_unknown_units(self, tmp_path):
        with pytest.raises(ValueError, match="r_unit must be one of nm, angstrom, found 'bohr'"):
            read(a_file(tmp_path), r_unit="bohr")

    def test_wave_vectors_without_a_unit(self, tmp_path):
        s = StructureFactor(None, 30.0, BOX)
        path = a_file(tmp_path, r=np.linspace(0.05, 5, 100), g=np.ones(100), header="Q,S")
        with pytest.raises(ValueError, match='Pass q_unit="1/nm" or q_unit="1/angstrom"'):
            og.Target.from_file(path, s, an_ensemble())
        with pytest.raises(ValueError, match=r"covers 0.05 to 5, and S\(Q\) needs 2.856 to"):
            og.Target.from_file(path, s, an_ensemble(), q_unit="1/nm")
        assert og.Target.from_file(path, s, an_ensemble(), q_unit="1/angstrom").values.tolist() == [1.0] * len(s.grid)

    def test_a_column_that_is_no_rdf(self, tmp_path):
        with pytest.raises(ValueError, match=r"never exceeds 0.5 \(largest 0.1\)"):
            read(a_file(tmp_path, g=0.1 * G))


class TestGrids:
    def test_a_target_of_another_length(self):
        with pytest.raises(ValueError, match=r"Target: g\(r\) has 50 bins, found 49 values"):
            og.Target(rdf(), an_ensemble(), np.ones(49))

    def test_rows_out_of_order(self, tmp_path):
        r = R.copy()
        r[[10, 11]] = r[[11, 10]]
        with pytest.raises(ValueError, match=r"'r_nm' of .* must increase, found 0.115 then 0.105 \(out of order\)"):
            read(a_file(tmp_path, r=r))
        assert read(a_file(tmp_path, r=r), sort=True).values[-1] == pytest.approx(1, abs=1e-4)

    def test_repeated_rows(self, tmp_path):
        with pytest.raises(ValueError, match=r"found 0.105 then 0.105 \(repeated\). Keep one row of each"):
            read(a_file(tmp_path, r=np.where(np.isclose(R, 0.115), 0.105, R)), sort=True)

    def test_a_table_that_ends_too_early(self, tmp_path):
        with pytest.raises(ValueError, match=r"covers 0 to 0.8 nm, and the RDF reaches 1 nm. Use RDF.*r_max=0.8\)"):
            read(a_file(tmp_path, r=R[:80], g=G[:80]))

    def test_a_table_that_begins_outside_the_core(self, tmp_path):
        with pytest.raises(ValueError, match=r"covers 0.32 to 1.2 nm and begins with g = 0.924, and .* at 0 nm"):
            read(a_file(tmp_path, r=R[32:], g=G[32:]))

    def test_an_rdf_beyond_half_the_box(self):
        with pytest.raises(ValueError, match=r"reaches 1.2 nm, more than half the smallest width .* \(1.1 nm\)"):
            og.Target(rdf(r_max=1.2), an_ensemble(), np.ones(50))

    def test_structure_factors_of_another_box(self):
        with pytest.raises(ValueError, match="the box of 4 of 4 frames differs .* Pass box=ensemble.box"):
            StructureFactor(None, 9.0, [2.3] * 3)(some_frames())
        with pytest.raises(ValueError, match="expected periodic frames"):
            StructureFactor(None, 9.0, BOX)(some_frames(box=None))

    def test_a_box_too_small_for_any_wave_vector(self):
        with pytest.raises(ValueError, match="allows no wave vector up to q_max = 2 1/nm"):
            StructureFactor(None, 2.0, BOX)

    @pytest.mark.parametrize("box", [[2.0, 2.0], np.zeros((3, 3)), [NAN, 1, 1]])
    def test_boxes_that_are_none(self, box):
        with pytest.raises(ValueError, match="StructureFactor: (box must be|the box has no volume)"):
            StructureFactor(None, 9.0, box)

    def test_too_few_bins_for_splines(self):
        with pytest.raises(ValueError, match="expected at least 6 bins, found 3"):
            spline_counts_matrix(np.linspace(0, 1, 4), an_ensemble().model.terms[0].potential.grid)
        with pytest.raises(ValueError, match="expected at least 6 rows, found 4"):
            integrate_rdf(R[:4], G[:4], R[:1])

    def test_counts_of_a_window(self):
        target = og.Target(rdf(normalization="window"), an_ensemble(), np.ones(50))
        with pytest.raises(ValueError, match="expected an RDF normalised by density"):
            target.spline_counts(np.arange(3))

    def test_columns_that_the_model_does_not_have(self):
        with pytest.raises(ValueError, match="expected columns below 64, found 99"):
            og.Target(rdf(), an_ensemble(), np.ones(50)).spline_counts(np.array([99]))


class TestSelections:
    def test_unknown_words(self):
        with pytest.raises(ValueError, match="selection 'name O' is a text and needs a topology"):
            og.Target.from_frames(some_frames(), rdf(selection_a="name O"), an_ensemble())

    def test_empty_selections(self):
        with pytest.raises(ValueError, match="must contain atoms, found none of 20"):
            StructureFactor([], 9.0, BOX)(some_frames())

    def test_elements_that_do_not_exist(self):
        with pytest.raises(ValueError, match="'Xx' is no chemical element"):
            StructureFactor(None, 9.0, BOX, "neutron", elements="Xx")(some_frames())

    def test_elements_that_nobody_told(self):
        with pytest.raises(ValueError, match="radiation='xray' needs elements, and there is no topology"):
            StructureFactor(None, 9.0, BOX, "xray")(some_frames())

    def test_elements_of_other_atoms(self):
        with pytest.raises(ValueError, match="expected elements of 20 selected atoms, found 2"):
            StructureFactor(None, 9.0, BOX, "xray", elements=["O", "H"])(some_frames())

    def test_unknown_radiation(self):
        with pytest.raises(ValueError, match="radiation must be None, neutron or xray, found 'light'"):
            StructureFactor(None, 9.0, BOX, "light")

    def test_elements_without_a_scattering_length_and_q_beyond_the_table(self):
        with pytest.raises(ValueError, match="no neutron scattering length is tabulated for Po"):
            scattering_factors(["Po"], np.ones(1), "neutron")
        with pytest.raises(ValueError, match="no form factor of O is tabulated up to 900 1/nm"):
            scattering_factors(["O"], np.array([900.0]), "xray")


class TestFiles:
    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="expected a file, found none at .*nowhere.csv. Check the path"):
            read(tmp_path / "nowhere.csv")

    @pytest.mark.parametrize("text", ["", "# only a comment\n", "r_nm,g\n"])
    def test_empty(self, tmp_path, text):
        (tmp_path / "g.csv").write_text(text)
        with pytest.raises(ValueError, match="holds no rows of numbers"):
            read(tmp_path / "g.csv")

    def test_truncated_in_its_last_line(self, tmp_path):
        path = a_file(tmp_path)
        path.write_text(path.read_text().rsplit(",", 1)[0])
        with pytest.raises(ValueError, match="expected 2 columns in .*, found 1 in line 121. The file is truncated"):
            read(path)

    def test_damaged_elsewhere(self, tmp_path):
        path = a_file(tmp_path)
        lines = path.read_text().splitlines()
        lines[50] += ",5"
        path.write_text("\n".join(lines))
        with pytest.raises(ValueError, match="expected 2 columns in .*, found 3 in line 51. Repair that line"):
            read(path)

    @pytest.mark.parametrize("entry", ["n/a", "1.0.0", ""])
    def test_entries_that_are_no_numbers(self, tmp_path, entry):
        path = a_file(tmp_path)
        lines = path.read_text().splitlines()
        lines[50] = f"0.495,{entry}"
        path.write_text("\n".join(lines))
        with pytest.raises(ValueError, match=f"expected numbers in column 'g' of .*, found '{entry}' in data row 50"):
            read(path)

    def test_nan_in_a_file(self, tmp_path):
        with pytest.raises(ValueError, match=r"expected finite numbers in column 'g' of .*, found \[nan\] in 1 rows"):
            read(a_file(tmp_path, g=np.where(np.isclose(R, 0.105), NAN, G)))

    def test_columns_to_choose_from(self, tmp_path):
        path = tmp_path / "g.csv"
        path.write_text("r_nm,g_OO,g_OH\n" + "".join(f"{r},1,1\n" for r in R))
        with pytest.raises(ValueError, match="has 2 columns of values: 'g_OO', 'g_OH'. Choose one with column="):
            read(path)
        with pytest.raises(ValueError, match="has no column 'g'. The columns are 'r_nm', 'g_OO', 'g_OH'"):
            read(path, column="g")
        with pytest.raises(ValueError, match="expected a column from 0 to 2 in .*, found 3"):
            read(path, column=3)

    def test_rows_that_do_not_exist(self, tmp_path):
        path = tmp_path / "g.csv"
        path.write_text("pair,r_nm,g\n" + "".join(f"A-A,{r},1\nA-B,{r},1\n" for r in R))
        with pytest.raises(ValueError, match="expected 'B-B' in column 'pair' of .*, found 'A-A', 'A-B'"):
            read(path, rows={"pair": "B-B"})
        with pytest.raises(ValueError, match=r"\(repeated\)"):
            read(path)

    def test_a_single_column(self, tmp_path):
        (tmp_path / "g.dat").write_text("1\n2\n3\n")
        with pytest.raises(ValueError, match=r"expected at least two columns of numbers in .*, found the row \['1'\]"):
            read_table(tmp_path / "g.dat")

    def test_two_sources_of_errors(self, tmp_path):
        path = tmp_path / "g.csv"
        path.write_text("r_nm,g,err\n" + "".join(f"{r},1,0.1\n" for r in R))
        with pytest.raises(ValueError, match="found both sigma= and sigma_column="):
            read(path, sigma=0.1, sigma_column="err")


class TestPressure:
    def test_a_system_with_other_forces(self):
        model = a_model()
        model.system.addForce(openmm.CMMotionRemover())
        Pressure(model)
        model.system.addForce(openmm.HarmonicBondForce())
        with pytest.raises(ValueError, match="learnable pair potentials only, found HarmonicBondForce.*route='strain'"):
            Pressure(model, route="virial")

    def test_a_system_with_constraints(self):
        model = a_model()
        model.system.addConstraint(0, 1, 0.1)
        with pytest.raises(ValueError, match="expected no constraints, found 1"):
            Pressure(model, route="virial")

    def test_a_module_without_its_spline(self):
        model = a_model(potential=False)
        model.add_pair_potential(og.LennardJones(0.3, 1.0, 0.9), backend="pythonforce", exact=True)
        with pytest.raises(ValueError, match=r"without its spline \(exact=True\)"):
            Pressure(model, route="virial")

    def test_frames_without_a_virial_or_of_another_model(self):
        model = a_model()
        with pytest.raises(ValueError, match="the frames have no virial_features. Sample them with an Ensemble"):
            Pressure(model)(some_frames())
        with pytest.raises(ValueError, match="expected frames of 20 particles, found 10"):
            Pressure(model)(og.compute_features(a_model(10), some_frames(n=10)))
        with pytest.raises(ValueError, match="the frames have 0 coefficients, and the model 64"):
            Pressure(model)(og.compute_features(a_model(potential=False), some_frames()))
