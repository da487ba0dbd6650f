# SPDX-License-Identifier: MIT
"""Mistakes with measured spectra and bands: what was expected, what was found, and a remedy."""

import numpy as np
import openmm
import pytest

import openmmgrad as og
from openmmgrad.refractive_index import kramers_kronig

V = np.linspace(100.0, 4500.0, 45)
WINDOWS = dict(timestep=0.0005, n_steps=8000)


@pytest.fixture
def write(tmp_path):
    def written(y=None, x=V, header="wavenumber_cm1,alpha_cm1", name="t.csv"):
        y = np.ones_like(x) if y is None else y
        rows = "".join(f"{a:.12g},{b:.12g}\n" for a, b in zip(x, y, strict=True))
        (tmp_path / name).write_text(header + "\n" + rows)
        return tmp_path / name
    return written


@pytest.fixture(scope="module")
def ensemble():
    system = openmm.System()
    for _ in range(3):
        system.addParticle(16.0)
    return og.Ensemble(og.Model(system), np.zeros((3, 3)), temperature=298.15)


class TestQuantities:
    def test_an_unknown_quantity(self, write):
        with pytest.raises(ValueError, match="quantity must be one of n_alpha, .* absorbance, found 'epsilon'. Say"):
            og.read_spectrum(write(), "epsilon")

    def test_a_missing_refractive_index_and_the_way_out(self, write):
        with pytest.raises(ValueError, match="quantity='alpha' needs the refractive index, and none was given. Pass "
                                             "n_column=, refractive_index= .* or n_infinity="):
            og.read_spectrum(write(), "alpha")

    def test_two_refractive_indices(self, write):
        with pytest.raises(ValueError, match="found refractive_index= and n_infinity=. Give one of them"):
            og.read_spectrum(write(), "alpha", refractive_index=1.3, n_infinity=1.3)

    def test_an_index_that_is_not_needed(self, write):
        with pytest.raises(ValueError, match="quantity='n_alpha' needs no refractive_index=. Leave it out"):
            og.read_spectrum(write(), "n_alpha", refractive_index=1.3)
        with pytest.raises(ValueError, match="quantity='nk' needs no n_infinity="):
            og.read_spectrum(write(), "nk", n_infinity=1.3)

    @pytest.mark.parametrize(("options", "text"), [
        ({"thickness": 5.0}, "thickness= is of transmission, absorbance, found it with quantity='k'"),
        ({"real_column": "a"}, "real_column= is of eps, found it"),
        ({"y_unit": "1/cm"}, "y_unit= is of n_alpha, alpha, decadic_alpha, found it"),
        ({"k_column": "k"}, "k_column= is of nk, found it"),
    ])
    def test_keywords_of_other_quantities(self, write, options, text):
        with pytest.raises(ValueError, match=text):
            og.read_spectrum(write(), "k", refractive_index=1.3, **options)

    def test_k_named_as_column(self, write):
        with pytest.raises(ValueError, match="reads n_column and k_column, found column='kappa'. Pass k_column="):
            og.read_spectrum(write(), "nk", column="kappa")
        with pytest.raises(ValueError, match="has no column 'k'. The columns are 'wavenumber_cm1', 'alpha_cm1'"):
            og.read_spectrum(write(), "nk")

    @pytest.mark.parametrize("index", [-1.3, 0.0, float("nan")])
    def test_an_index_that_is_none(self, write, index):
        with pytest.raises(ValueError, match="the refractive index must be positive, found .* at 100 1/cm"):
            og.read_spectrum(write(), "alpha", refractive_index=index)

    def test_an_index_over_too_short_a_range(self, write):
        with pytest.raises(ValueError, match="refractive_index covers 200 to 5000 1/cm, and .* 100 to 4500 1/cm. Give"):
            og.read_spectrum(write(), "alpha", refractive_index=([200.0, 5000.0], [1.3, 1.4]))

    @pytest.mark.parametrize("index", [(V, V[1:]), (V, V, V), [1.3, 1.4], "1.3"])
    def test_an_index_of_another_shape(self, write, index):
        with pytest.raises(ValueError, match="must be a number or two arrays of one length"):
            og.read_spectrum(write(), "alpha", refractive_index=index)

    def test_an_index_out_of_order(self, write):
        with pytest.raises(ValueError, match="wavenumbers of refractive_index must increase"):
            og.read_spectrum(write(), "alpha", refractive_index=(V[::-1], V))

    def test_negative_absorption(self, write):
        with pytest.raises(ValueError, match=r"must not be negative, found .* at 4500 1/cm in .* turn its sign"):
            og.read_spectrum(write(-V), "eps")
        noise = og.read_spectrum(write(np.where(V < 2000, -0.04, 1.0)), "n_alpha")
        assert noise.n_alpha.min() == -0.04

    @pytest.mark.parametrize(("value", "found"), [(0.0, "0"), (-0.01, "-0.01"), (1.02, "1.02"), (85.0, "85")])
    def test_transmission_that_is_no_fraction(self, write, value, found):
        with pytest.raises(ValueError, match=f"must be above 0 and up to 1, found {found} at 400 1/cm and 1 such "
                                             "rows in .* Divide per cent by 100"):
            og.read_spectrum(write(np.where(V == 400, value, 0.5)), "transmission", thickness=6, refractive_index=1.3)

    @pytest.mark.parametrize("thickness", [None, 0.0, -5.0, float("inf")])
    def test_a_sample_without_a_thickness(self, write, thickness):
        for quantity in ("transmission", "absorbance"):
            with pytest.raises(ValueError, match=f"{quantity}' needs the thickness .* found {thickness} um"):
                og.read_spectrum(write(), quantity, thickness=thickness, refractive_index=1.3)

    def test_kramers_kronig_at_zero(self, write):
        with pytest.raises(ValueError, match="kramers_kronig: wavenumbers must be positive, found 0 1/cm. Leave out"):
            kramers_kronig(V - 100.0, V, 1.3)


class TestUnits:
    @pytest.mark.parametrize("header", ["wavenumber,alpha_cm1", "x,alpha_cm1", "v_cm,alpha_cm1", "time_ps,alpha_cm1"])
    def test_an_abscissa_that_does_not_tell(self, write, header):
        with pytest.raises(ValueError, match='does not tell its unit. Pass x_unit="1/cm" or x_unit="THz" or .*"meV"'):
            og.read_spectrum(write(header=header), "n_alpha")
        assert og.read_spectrum(write(header=header), "n_alpha", x_unit="1/cm").wavenumber[0] == 100

    def test_absorption_that_does_not_tell(self, write):
        with pytest.raises(ValueError, match="'alpha' of .* does not tell its unit. Pass y_unit=\"1/cm\" or"):
            og.read_spectrum(write(header="v_cm1,alpha"), "n_alpha")

    def test_unknown_units(self, write):
        with pytest.raises(ValueError, match="x_unit must be one of 1/cm, THz, .*, meV, found 'cm-1'"):
            og.read_spectrum(write(), "n_alpha", x_unit="cm-1")

    def test_abscissae_that_cannot_be(self, write):
        with pytest.raises(ValueError, match="must be positive, found 0 um. Remove those rows, or correct x_unit="):
            og.read_spectrum(write(x=V - 100), "n_alpha", x_unit="um")
        with pytest.raises(ValueError, match="must not be negative, found -100 1/cm"):
            og.read_spectrum(write(x=V - 200), "n_alpha")

    def test_an_unknown_abscissa(self, write):
        with pytest.raises(ValueError, match="has no column 'v'. The columns are 'wavenumber_cm1', 'alpha_cm1'"):
            og.read_spectrum(write(), "n_alpha", x_column="v")


class TestTargets:
    def read(self, path, ensemble, observable=None, **options):
        observable = observable or og.IRSpectrum(og.PointCharges([0.0] * 3), max_lag=1.0)
        return og.Target.from_file(path, observable, ensemble, propagate=WINDOWS,
                                   **{"spectrum": {"quantity": "n_alpha"}, **options})

    def test_a_spectrum_without_its_quantity(self, write, ensemble):
        with pytest.raises(ValueError, match="spectrum= goes with an IRSpectrum, found None for n alpha. Pass"):
            self.read(write(), ensemble, spectrum=None)
        with pytest.raises(ValueError, match="spectrum= goes with an IRSpectrum, found .* for D"):
            self.read(write(), ensemble, og.VibrationalDensityOfStates())

    def test_a_table_that_ends_within_the_resolution(self, write, ensemble):
        with pytest.raises(ValueError, match=r"covers 10 to 4000 1/cm, and n alpha needs 0 to 4033.4 1/cm: its "
                                             "wavenumbers, and its resolution of 33.4 1/cm on both sides. End the"):
            self.read(write(x=np.linspace(10.0, 4000.0, 400)), ensemble)
        assert self.read(write(x=np.linspace(10.0, 4050.0, 400)), ensemble).values.shape == (401,)

    def test_a_table_that_begins_too_late(self, write, ensemble):
        with pytest.raises(ValueError, match="covers 100 to 4500 1/cm, and n alpha needs 0 to"):
            self.read(write(), ensemble)
        ir = og.IRSpectrum(og.PointCharges([0.0] * 3), wavenumbers=np.arange(140.0, 4001.0, 20.0), max_lag=1.0)
        assert self.read(write(), ensemble, ir).values[10] == pytest.approx(1, abs=1e-3)

    def test_single_values_do_not_come_from_files(self, write, ensemble):
        with pytest.raises(ValueError, match=r"density is a single value. Make it Target\(observable, ensemble, value"):
            og.Target.from_file(write(), og.Density([16.0] * 3), ensemble)
        with pytest.raises(ValueError, match="density has 1 bins, found 2 values"):
            og.Target(og.Density([16.0] * 3), ensemble, [997.0, 998.0])

    def test_distributions_of_angles_in_another_unit(self, write, ensemble):
        adf, degrees = og.AngleDistribution([[0, 1, 2]]), np.arange(1.0, 180.0, 2.0)
        flat = np.full(90, 1 / 180)
        with pytest.raises(ValueError, match='does not tell its unit. Pass angle_unit="degree" or angle_unit="radian"'):
            og.Target.from_file(write(flat, degrees, "theta,p"), adf, ensemble)
        with pytest.raises(ValueError, match="has angles from 57.3 to 1.026e.04 degrees. Check angle_unit="):
            og.Target.from_file(write(flat, degrees, "theta,p"), adf, ensemble, angle_unit="radian")
        with pytest.raises(ValueError, match="covers 0 to 3.1.* degrees, and P.angle. needs 0 to 180. Give a longer"):
            og.Target.from_file(write(np.full(90, 1 / np.pi), np.radians(degrees), "theta,p"), adf, ensemble,
                                angle_unit="degree")
        with pytest.raises(ValueError, match="integrates to 180, expected 1 for one per angle, not divided"):
            og.Target.from_file(write(np.ones(90), degrees, "theta_deg,p"), adf, ensemble)
        with pytest.raises(ValueError, match="integrates to 0.005556, expected 1 for one relative to random"):
            og.Target.from_file(write(flat, degrees, "theta_deg,p"),
                                og.AngleDistribution([[0, 1, 2]], solid_angle=True), ensemble)

    def test_two_sources_of_errors(self, write, ensemble):
        with pytest.raises(ValueError, match="found both sigma= and sigma_column="):
            self.read(write(), ensemble, sigma=lambda values: values, sigma_column=1)


class TestBands:
    def test_a_shoulder_has_no_maximum(self):
        v = np.arange(0.0, 4001.0, 10.0)
        with pytest.raises(ValueError, match="no maximum of 'libration' between 300 and 900 1/cm: the spectrum is "
                                             "highest at the end, 900 1/cm. A shoulder has no maximum: move the range"):
            og.bands(v, v**2, {"libration": (300, 900)})

    def test_a_range_outside_the_spectrum(self):
        v = np.arange(0.0, 1001.0, 10.0)
        with pytest.raises(ValueError, match="'bend' is from 1500 to 1800 1/cm, and the spectrum from 0 to 1000 1/cm"):
            og.bands(v, np.sin(v / 100), {"bend": (1500, 1800)})
        with pytest.raises(ValueError, match="'x' is from 500 to 100 1/cm"):
            og.bands(v, np.sin(v / 100), {"x": (500, 100)})

    def test_curves_that_are_none(self):
        v = np.arange(10.0)
        with pytest.raises(ValueError, match=r"expected values of the shape of the grid, found .2, 10. and .10,.. "
                                             "Give one spectrum: the mean over windows"):
            og.bands(v, np.ones((2, 10)))
        with pytest.raises(ValueError, match="bands: expected finite values on an increasing grid"):
            og.bands(v[::-1], v)
        with pytest.raises(ValueError, match="relative_l2: expected finite values"):
            og.relative_l2(v, np.full(10, np.nan), v)
        with pytest.raises(ValueError, match="bands: expected at least 4 points, found 3"):
            og.bands(v[:3], v[:3])

    def test_distances_over_nothing(self):
        v = np.arange(10.0)
        with pytest.raises(ValueError, match="expected at least two points from 20 to 30 1/cm, found 0 of"):
            og.relative_l2(v, v, v, 20, 30)
        with pytest.raises(ValueError, match="the reference is 0 everywhere from 0 to 9 1/cm"):
            og.relative_l2(v, 0 * v, v)
