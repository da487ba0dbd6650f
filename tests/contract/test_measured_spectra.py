# SPDX-License-Identifier: MIT
"""Measured spectra: conversions, what becomes Targets, and what is reported of them."""

import numpy as np
import openmm
import pytest
import torch
from reference_data import data_file
from scipy.interpolate import PchipInterpolator

import openmmgrad as og
from openmmgrad.refractive_index import kramers_kronig
from openmmgrad.spectrum_bands import WATER_BANDS

WATER = "water_nk_segelstein_1981.csv"
WINDOWS = dict(timestep=0.0005, n_steps=8000)


@pytest.fixture(scope="module")
def water():
    return og.read_spectrum(data_file(WATER), "nk")


@pytest.fixture(scope="module")
def ensemble():
    system = openmm.System()
    for _ in range(3):
        system.addParticle(16.0)
    return og.Ensemble(og.Model(system), np.zeros((3, 3)), temperature=298.15)


def write(path, names, *columns):
    rows = "\n".join(",".join(f"{entry:.15g}" for entry in row) for row in zip(*columns, strict=True))
    path.write_text(f"{names}\n{rows}\n")
    return path


def infrared(**changes):
    return og.IRSpectrum(og.PointCharges([0.0] * 3), **{"max_lag": 1.0, **changes})


class TestConversions:
    def test_n_and_k_of_water_give_its_n_alpha(self, water):
        tabulated = og.read_spectrum(data_file(WATER), "n_alpha", column="n_alpha_cm1")
        assert water.n_alpha == pytest.approx(tabulated.n_alpha, rel=1e-9)
        assert len(water.wavenumber) == 841 and (np.diff(water.wavenumber) > 0).all()
        assert tabulated.n is None and water.n[0] == 5.879378 and water.path == data_file(WATER)

    @pytest.mark.parametrize(("quantity", "columns"), [
        ("k", {"column": "k", "n_column": "n"}),
        ("alpha", {"column": "alpha_cm1", "n_column": "n"}),
        ("eps", {"column": "eps_imag", "real_column": "eps_real"}),
        ("nk", {"x_column": "wavelength_um"}),
    ])
    def test_every_column_of_water_gives_the_same(self, water, quantity, columns):
        # columns have 10 digits
        spectrum = og.read_spectrum(data_file(WATER), quantity, **columns)
        assert spectrum.wavenumber == pytest.approx(water.wavenumber, rel=1e-9)
        assert spectrum.n_alpha == pytest.approx(water.n_alpha, rel=2e-9)
        assert spectrum.n == pytest.approx(water.n, rel=1e-9)

    @pytest.mark.parametrize(("name", "of"), [
        ("wavenumber_cm1", lambda v: v),
        ("frequency (THz)", lambda v: v * 0.0299792458),
        ("f_GHz", lambda v: v * 29.9792458),
        ("omega_rad_ps", lambda v: v * 2 * np.pi * 0.0299792458),
        ("omega [rad/ps]", lambda v: v * 2 * np.pi * 0.0299792458),
        ("wavelength_um", lambda v: 1e4 / v),
        ("lambda (nm)", lambda v: 1e7 / v),
        ("E_meV", lambda v: v * 0.1239841984332003),
        ("E (eV)", lambda v: v * 1.239841984332003e-4),
    ])
    def test_units_of_the_abscissa(self, tmp_path, name, of):
        v = np.linspace(100.0, 4000.0, 40)
        table = write(tmp_path / "t.csv", f"{name},k", of(v), 1e-3 * v)
        spectrum = og.read_spectrum(table, "k", refractive_index=1.0)
        assert spectrum.wavenumber == pytest.approx(v, rel=1e-12)
        assert spectrum.n_alpha == pytest.approx(4e-3 * np.pi * v**2, rel=1e-12)

    def test_the_unit_given_counts_more_than_the_name(self, tmp_path):
        v = np.linspace(1.0, 5.0, 5)
        table = write(tmp_path / "t.csv", "x_um,k", v, v)
        assert og.read_spectrum(table, "k", x_unit="THz", refractive_index=1).wavenumber[0] == pytest.approx(33.356410)

    @pytest.mark.parametrize(("name", "factor"),
                             [("alpha_cm1", 1), ("alpha (1/mm)", 10), ("alpha_m1", 0.01), ("alpha_um-1", 1e4)])
    def test_units_of_absorption(self, tmp_path, name, factor):
        v = np.linspace(100.0, 500.0, 9)
        table = write(tmp_path / "t.csv", f"v_cm1,{name}", v, v)
        assert og.read_spectrum(table, "n_alpha").n_alpha == pytest.approx(factor * v)
        assert og.read_spectrum(table, "alpha", refractive_index=1.5).n_alpha == pytest.approx(1.5 * factor * v)
        decadic = og.read_spectrum(table, "decadic_alpha", refractive_index=1.0)
        assert decadic.n_alpha == pytest.approx(2.302585092994046 * factor * v)

    def test_one_debye_process(self, tmp_path):
        # eps = 5 + 73/(1 - i w tau): n alpha = 2 pi v eps'' exactly, and n from |eps|
        f = np.geomspace(1.0, 3000.0, 300)
        eps = 5 + 73 / (1 - 2j * np.pi * f * 8.3e-3)
        table = write(tmp_path / "eps.csv", "f_GHz,eps1,eps2", f, eps.real, eps.imag)
        spectrum = og.read_spectrum(table, "eps", column="eps2", real_column="eps1")
        index = np.sqrt(eps)
        assert spectrum.n == pytest.approx(index.real, rel=1e-12)
        alpha = 4 * np.pi * index.imag * spectrum.wavenumber
        assert spectrum.n_alpha == pytest.approx(index.real * alpha, rel=1e-12)

    def test_transmission_and_absorbance_of_water_round_trip(self, water, tmp_path):
        used = (water.wavenumber > 1000) & (water.wavenumber < 4000)
        v, alpha = water.wavenumber[used], (water.n_alpha / water.n)[used]
        transmitted = np.exp(-alpha * 6e-4)                                        # 6 um
        table = write(tmp_path / "t.csv", "wavenumber_cm1,T,A", v, transmitted, -np.log10(transmitted))
        of_n = {"thickness": 6.0, "refractive_index": (water.wavenumber, water.n)}
        for quantity, column in (("transmission", "T"), ("absorbance", "A")):
            spectrum = og.read_spectrum(table, quantity, column=column, **of_n)
            assert spectrum.n_alpha == pytest.approx(water.n_alpha[used], rel=1e-9), quantity
            assert spectrum.n == pytest.approx(water.n[used], rel=1e-12)

    def test_errors_follow_by_the_derivative(self, tmp_path):
        v, rng = np.linspace(1000.0, 2000.0, 21), np.random.default_rng(1)
        for quantity, more in (("transmission", {"thickness": 10.0}), ("absorbance", {"thickness": 10.0}), ("k", {}),
                               ("decadic_alpha", {"y_unit": "1/mm"})):
            y = rng.uniform(0.3, 0.9, len(v))
            table = write(tmp_path / "t.csv", "v_cm1,y,up,down,err", v, y, y + 1e-6, y - 1e-6, np.full(len(v), 1e-6))
            options = {"quantity": quantity, "refractive_index": 1.3, **more}
            found = og.read_spectrum(table, column="y", sigma_column="err", **options)
            up, down = (og.read_spectrum(table, column=name, **options).n_alpha for name in ("up", "down"))
            assert found.sigma == pytest.approx(np.abs(up - down) / 2, rel=1e-6), quantity

    def test_a_table_in_any_order(self, tmp_path, water):
        v = np.linspace(1000.0, 2000.0, 11)
        falling = write(tmp_path / "a.csv", "v_cm1,alpha_cm1,n", v[::-1], v[::-1] ** 2, 1 + 1e-3 * v[::-1])
        mixed = np.random.default_rng(2).permutation(v)
        shuffled = write(tmp_path / "b.csv", "v_cm1,alpha_cm1,n", mixed, mixed**2, 1 + 1e-3 * mixed)
        for table, more in ((falling, {}), (shuffled, {"sort": True})):
            spectrum = og.read_spectrum(table, "alpha", column="alpha_cm1", n_column="n", **more)
            assert spectrum.wavenumber.tolist() == v.tolist()
            assert spectrum.n_alpha == pytest.approx(v**2 * (1 + 1e-3 * v))


class TestKramersKronig:
    @staticmethod
    def error(n_points):
        v = np.geomspace(1.0, 1e6, n_points)
        index = np.sqrt(1.7 + 0.5 * 600**2 / (600**2 - v**2 - 100j * v) + 0.1 * 3400**2 / (3400**2 - v**2 - 300j * v))
        return np.abs(kramers_kronig(v, 4 * np.pi * v * index.imag, np.sqrt(1.7)) - index.real).max()

    def test_lorentz_oscillators_are_met_with_the_square_of_the_spacing(self):
        # measured: 5.5e-3, next to the narrower
        errors = [self.error(n) for n in (1000, 2000)]
        assert errors[0] < 6e-3 and 3.5 < errors[0] / errors[1] < 4.8

    def test_a_triangle_is_exact(self):
        # alpha = 1 - |v - 2|, of 1 to 3: by quadrature of its own at v = 5
        found = kramers_kronig(np.array([1.0, 2.0, 3.0, 5.0]), np.array([0.0, 1.0, 0.0, 0.0]), 1.0)
        x, w = np.polynomial.legendre.leggauss(40)
        halves = [(w / 2 * (0.5 + s * x / 2) / ((b + x / 2) ** 2 - 25)).sum() for b, s in ((1.5, 1), (2.5, -1))]
        assert found[3] == pytest.approx(1 + sum(halves) / (2 * np.pi**2), abs=1e-14)

    def test_water(self, water, tmp_path):
        # measured: within 2.3 %, with n between infrared and ultraviolet; a constant n = 1.33 is off by up to 30 %
        found = og.read_spectrum(data_file(WATER), "alpha", column="alpha_cm1", n_infinity=1.32)
        used = (water.wavenumber > 100) & (water.wavenumber < 4000)
        assert np.abs(found.n_alpha / water.n_alpha - 1)[used].max() < 0.03


class TestTargets:
    def test_an_infrared_target_has_the_resolution_of_its_observable(self, water, ensemble):
        ir = infrared(wavenumbers=np.arange(0.0, 4001.0, 20.0))
        target = og.Target.from_file(data_file(WATER), ir, ensemble, spectrum={"quantity": "nk"}, propagate=WINDOWS,
                                     sigma=lambda values: 0.05 * values + 1.0)
        plain = np.interp(ir.grid, water.wavenumber, water.n_alpha)
        assert og.relative_l2(target.values, plain, ir.grid, 20, 4000) < 1.0           # %; measured 0.8
        assert target.sigma == pytest.approx(0.05 * target.values + 1.0)
        fine = np.arange(0.0, 4600.0, 0.5)
        between = PchipInterpolator(np.append(0, water.wavenumber), np.append(0, water.n_alpha))(fine)
        assert target.values == pytest.approx(ir.seen(fine, between), rel=2e-3)

    def test_a_sharp_line_becomes_as_wide_as_the_resolution(self, ensemble, tmp_path):
        v = np.arange(0.0, 3001.0, 0.5)
        line = 1 / (1 + ((v - 1500) / 0.5) ** 2)
        ir = infrared(wavenumbers=np.arange(1300.0, 1701.0, 2.0), max_lag=0.5)
        target = og.Target.from_file(write(tmp_path / "t.csv", "v_cm1,n_alpha_cm1", v, line), ir, ensemble,
                                     spectrum={"quantity": "n_alpha"}, propagate=WINDOWS)
        band = og.bands(ir.grid, target.values, {"line": (1350, 1650)})["line"]
        assert band.position == pytest.approx(1500, abs=0.01)
        assert band.width == pytest.approx(ir.resolution, rel=0.02)
        assert band.area == pytest.approx(np.pi * 0.5, rel=0.02)

    def test_rows_coarser_than_the_resolution_do_not_alias(self, ensemble, tmp_path):
        v = np.linspace(0.0, 4600.0, 47)                        # 100 1/cm apart, resolution 11 1/cm
        y = 1000 * np.exp(-(((v - 2000) / 600) ** 2))
        ir = infrared(wavenumbers=np.arange(0.0, 4001.0, 50.0), max_lag=3.0)
        target = og.Target.from_file(write(tmp_path / "t.csv", "v_cm1,n_alpha_cm1", v, y), ir, ensemble,
                                     spectrum={"quantity": "n_alpha"}, propagate=WINDOWS)
        assert target.values == pytest.approx(1000 * np.exp(-(((ir.grid - 2000) / 600) ** 2)), abs=3)

    def test_errors_of_a_spectrum_are_seen_alike(self, ensemble, tmp_path):
        v = np.linspace(1.0, 4600.0, 1000)
        table = write(tmp_path / "t.csv", "v_cm1,n_alpha_cm1,err", v, v, 0.05 * v)
        target = og.Target.from_file(table, infrared(), ensemble, column=1, sigma_column="err",
                                     spectrum={"quantity": "n_alpha"}, propagate=WINDOWS)
        assert target.sigma == pytest.approx(0.05 * target.values, rel=1e-9)
        assert target.values[20] == pytest.approx(200, rel=1e-3)                # linear in v: the same seen

    def test_a_distribution_of_angles(self, ensemble):
        # theta in rad, points of a curve that integrates to 1 per rad
        adf = og.AngleDistribution.of_neighbors([0], [1, 2], 0.318, bins=90)
        target = og.Target.from_file(data_file("water_OOO_adf_soper_benmore_2008.csv"), adf, ensemble, sigma=1e-4)
        table = og.read_table(data_file("water_OOO_adf_soper_benmore_2008.csv"))
        assert target.values.sum() * 2.0 == pytest.approx(1, abs=1e-3)
        at_points = np.interp(adf.grid, np.degrees(table.x), table.y * np.pi / 180)
        assert target.values == pytest.approx(at_points, abs=1e-4)
        assert adf.grid[target.values.argmax()] == pytest.approx(np.degrees(table.x[table.y.argmax()]), abs=2)

    @pytest.mark.parametrize("solid_angle", [False, True])
    def test_a_histogram_of_angles_written_and_read(self, ensemble, tmp_path, solid_angle):
        adf = og.AngleDistribution([[0, 1, 2]], bins=60, solid_angle=solid_angle)
        ends = np.radians(adf.edges)
        values = (np.diff(ends - np.sin(2 * ends) / 2) / np.pi * 60 / 180 if not solid_angle      # sin^2
                  else 1 - np.diff(np.cos(ends) ** 2) / np.diff(np.cos(ends)) / 2)                # 1 - cos
        table = write(tmp_path / "t.csv", "theta_degrees,p,err", adf.grid, values, 0.1 * values)
        target = og.Target.from_file(table, adf, ensemble, column="p", sigma_column="err")
        assert target.values == pytest.approx(values, rel=1e-9)
        assert target.sigma == pytest.approx(0.1 * values, rel=1e-9)
        points = write(tmp_path / "p.csv", "theta_rad,p", np.linspace(0, np.pi, 2001),
                       2 / np.pi * np.sin(np.linspace(0, np.pi, 2001)) ** 2 if not solid_angle
                       else 1 - np.cos(np.linspace(0, np.pi, 2001)))
        assert og.Target.from_file(points, adf, ensemble).values == pytest.approx(values, rel=1e-4, abs=1e-7)

    def test_single_values(self, ensemble):
        # water at 298.15 K: Holz et al. 2000; IAPWS
        diffusion = og.Target(og.SelfDiffusion(t_max=1.0), ensemble, 2.299e-9, 0.02e-9, propagate=WINDOWS)
        density = og.Target(og.Density(ensemble.model), ensemble, 997.05, sigma=1.0)
        dielectric = og.Target(og.StaticDielectric(og.PointCharges([0.0] * 3)), ensemble, torch.tensor(78.4), [0.5])
        vaporization = og.Target(og.HeatOfVaporization(ensemble.model), ensemble, np.float64(43.99), sigma=0.2)
        for target, value, sigma in ((diffusion, 2.299e-9, 0.02e-9), (density, 997.05, 1.0), (dielectric, 78.4, 0.5),
                                     (vaporization, 43.99, 0.2)):
            assert (target.values.tolist(), target.sigma.tolist()) == ([pytest.approx(value)], [sigma]), target.name


class TestBands:
    def test_bands_of_water(self, water):
        found = og.bands(water.wavenumber, water.n_alpha)
        places = {"hydrogen-bond stretch": 185, "libration": 617, "bend": 1641, "combination": 2128, "stretch": 3381}
        spacing = {"hydrogen-bond stretch": 7, "libration": 2, "bend": 12, "combination": 24, "stretch": 8}
        heights = {"hydrogen-bond stretch": 1886, "libration": 4328, "bend": 3494, "combination": 550, "stretch": 15531}
        assert list(found) == list(WATER_BANDS)
        for name, band in found.items():
            assert band.position == pytest.approx(places[name], abs=spacing[name]), name
            assert band.height == pytest.approx(heights[name], rel=0.005), name
        assert found["stretch"].width == pytest.approx(364.5, abs=1) and found["bend"].width == pytest.approx(95, abs=1)
        assert np.isnan(found["hydrogen-bond stretch"].width)                          # on the side of the libration

    @pytest.mark.parametrize("centre", [1640.0, 1641.3, 1645.0])
    @pytest.mark.parametrize("shape", ["lorentzian", "gaussian"])
    def test_analytic_lines(self, shape, centre):
        v, width = np.arange(1000.0, 2301.0, 2.0), 60.0
        if shape == "lorentzian":
            y = 7 / (1 + ((v - centre) / (width / 2)) ** 2)
            area = 7 * width / 2 * (np.arctan((2000 - centre) / (width / 2)) - np.arctan((1200 - centre) / (width / 2)))
        else:
            y, area = 7 * np.exp(-4 * np.log(2) * ((v - centre) / width) ** 2), 7 * width * np.sqrt(np.pi / np.log(16))
        band = og.bands(v, torch.as_tensor(y), {"line": (1200, 2000)})["line"]
        assert band.position == pytest.approx(centre, abs=1e-4 * width)
        assert band.height == pytest.approx(7, rel=1.2e-5)           # midway, a Lorentzian's x^4: 9/30^4
        assert band.width == pytest.approx(width, rel=2e-5)
        assert band.area == pytest.approx(area, rel=1e-6)

    def test_a_parabola_is_exact_on_any_grid(self):
        v = np.array([0.0, 1.0, 2.5, 3.0, 4.5, 5.0])
        band = og.bands(v, 4 - (v - 2.2) ** 2, {"x": (1, 4)})["x"]
        assert (band.position, band.height) == pytest.approx((2.2, 4.0), rel=1e-12)

    def test_a_flat_top_and_a_neighbour_that_is_higher(self):
        v = np.arange(9.0)
        y = np.array([0.0, 2, 2, 2, 1.5, 9, 9, 0, 0])
        found = og.bands(v, y, {"low": (0.5, 4.5), "high": (4.5, 8)})
        assert (found["low"].position, found["low"].height) == (2.0, 2.0) and np.isnan(found["low"].width)
        assert found["high"].position == 5.5

    def test_relative_l2(self, water):
        v, y = water.wavenumber, water.n_alpha
        assert og.relative_l2(1.03 * y, y, v, 10, 4000) == pytest.approx(3.0)
        assert og.relative_l2(y, y, v) == 0
        wrong = np.where(v > 1000, 2.0 * y, y)
        assert og.relative_l2(wrong, y, v, 10, 1000) == 0 and og.relative_l2(wrong, y, v, 1001, 4000) == 100
        # int sin^2 = pi and int (sin - (1 + sin))^2 = 2 pi
        x = np.linspace(0, 2 * np.pi, 2001)
        assert og.relative_l2(1 + torch.sin(torch.as_tensor(x)), np.sin(x), x) == pytest.approx(100 * np.sqrt(2))
