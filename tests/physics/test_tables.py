# SPDX-License-Identifier: MIT
"""Tables, and what the splines count in a g(r): against quadrature of the same g(r)."""

import numpy as np
import pytest
import torch
from reference_data import data_file

from openmmgrad.counts import (
    bin_edges,
    integrate_rdf,
    rdf_counts_matrix,
    shell_volumes,
    spline_counts_matrix,
)
from openmmgrad.spline import SplineGrid
from openmmgrad.tables import read_table

SIGMA = 0.34
GRID = SplineGrid(cutoff=2.5 * SIGMA, n_coefficients=64)


def liquid(r):
    """Steep as exp(-u_LJ/kT) at T* = 1, with shells like a liquid's."""
    x = np.maximum(r / SIGMA, 0.3)
    shells = 1 + 0.6 * np.cos(2 * np.pi * (x - 1.1) / 0.95) * np.exp(-(x - 1) / 0.8) * np.tanh(20 * (x - 0.7).clip(0))
    return np.exp(-4 * (x**-12 - x**-6)) * shells


def quadrature(breaks, order=12):
    x, w = np.polynomial.legendre.leggauss(order)
    half = np.diff(breaks)[:, None] / 2
    return breaks[:-1, None] + half * (1 + x), half * w


def exact_counts(g, r_max):
    r, w = (a.ravel() for a in quadrature(np.linspace(0, r_max, 6001)))
    return (w * 4 * np.pi * r**2 * g(r)) @ GRID.basis(torch.as_tensor(r)).numpy()


def exact_histogram(g, edges):
    fine = [np.linspace(a, b, 40)[:-1] for a, b in zip(edges[:-1], edges[1:], strict=True)]
    fine = np.concatenate([*fine, edges[-1:]])
    r, w = quadrature(fine)
    return (w * 4 * np.pi * r**2 * g(r)).sum(1).reshape(len(edges) - 1, -1).sum(1)


def covered(r_max):
    """Splines that end within r_max, where g averages more than 0.01."""
    ends = np.flatnonzero(GRID.support_ends.numpy() <= r_max + 1e-9)
    weight = exact_counts(np.ones_like, r_max)
    return ends, ends[exact_counts(liquid, r_max)[ends] > 0.01 * weight[ends]]


def relative(counts, exact, columns):
    return np.abs(counts[columns] / exact[columns] - 1).max()


@pytest.mark.parametrize(("bins_per_sigma", "worst"), [(40, 5e-4), (80, 1e-5)])
def test_histogram_counts_become_spline_counts(bins_per_sigma, worst):
    # measured: 1.8e-4 of the count at the foot of the rise, where g = 0.013, and 2.5e-6 at half the bin width
    r_max = 2.5 * SIGMA
    edges = np.linspace(0, r_max, int(2.5 * bins_per_sigma) + 1)
    counts = spline_counts_matrix(edges, GRID) @ exact_histogram(liquid, edges)
    exact = exact_counts(liquid, r_max)
    every, sampled = covered(r_max)
    assert relative(counts, exact, sampled) < worst
    assert np.abs(counts - exact)[every].max() < 5e-6 * exact[every].max()


def test_a_histogram_that_ends_before_the_cutoff_serves_the_splines_within():
    edges = np.linspace(0, 2.0 * SIGMA, 81)
    counts = spline_counts_matrix(edges, GRID) @ exact_histogram(liquid, edges)
    every, sampled = covered(edges[-1])
    assert len(every) < 55
    assert relative(counts, exact_counts(liquid, edges[-1]), sampled) < 5e-4


def test_a_histogram_beyond_the_cutoff_counts_up_to_it():
    edges = np.linspace(0, 3.0 * SIGMA, 121)
    counts = spline_counts_matrix(edges, GRID) @ exact_histogram(np.ones_like, edges)
    assert counts == pytest.approx(exact_counts(np.ones_like, GRID.cutoff), rel=1e-9)
    assert counts.sum() == pytest.approx(4 * np.pi / 3 * GRID.cutoff**3, rel=1e-12)  # partition of unity


def test_points_of_a_dense_table_become_spline_counts():
    r = np.arange(0, 2.6 * SIGMA, 0.01 * SIGMA)
    counts = rdf_counts_matrix(r, GRID, binned=False) @ liquid(r)
    assert relative(counts, exact_counts(liquid, GRID.cutoff), covered(GRID.cutoff)[1]) < 5e-4


def test_binned_rdf_and_its_counts_agree():
    edges = np.linspace(0, GRID.cutoff, 121)
    centres = (edges[1:] + edges[:-1]) / 2
    histogram = exact_histogram(liquid, edges)
    from_g = rdf_counts_matrix(centres, GRID) @ (histogram / shell_volumes(edges))
    assert from_g == pytest.approx(spline_counts_matrix(edges, GRID) @ histogram, rel=1e-9, abs=1e-12)


def test_reading_points_as_bin_averages_costs_what_their_curvature_says():
    # the two readings differ by h^2 g''/24: at the foot of the rise bins of 0.025 sigma change counts by percents
    edges = np.linspace(0, GRID.cutoff, 101)
    centres = (edges[1:] + edges[:-1]) / 2
    wrong = rdf_counts_matrix(centres, GRID, binned=True) @ liquid(centres)
    right = rdf_counts_matrix(centres, GRID, binned=False) @ liquid(centres)
    exact = exact_counts(liquid, GRID.cutoff)
    sampled = covered(GRID.cutoff - GRID.width)[1]
    assert relative(right, exact, sampled) < 0.01 < relative(wrong, exact, sampled)


def test_integral_of_binned_g_is_exact_at_the_edges_and_smooth_between():
    edges = np.linspace(0, 0.9, 181)
    centres = (edges[1:] + edges[:-1]) / 2
    g = exact_histogram(liquid, edges) / shell_volumes(edges)
    whole = np.concatenate([[0.0], np.cumsum(exact_histogram(liquid, edges))])
    assert integrate_rdf(centres, g, edges) == pytest.approx(whole, rel=1e-12, abs=1e-15)
    other = np.linspace(0, 0.9, 271)
    average = np.diff(integrate_rdf(centres, g, other)) / shell_volumes(other)
    assert average == pytest.approx(exact_histogram(liquid, other) / shell_volumes(other), abs=5e-5)


def test_integral_of_points_follows_them():
    r, upper = np.linspace(0, 0.9, 361), np.array([0.35, 0.352, 0.6, 0.9])
    exact = [exact_histogram(liquid, np.linspace(0, u, 200)).sum() for u in upper]
    assert integrate_rdf(r, liquid(r), upper, binned=False) == pytest.approx(exact, rel=1e-3)


def test_bin_edges_of_a_table_that_begins_at_zero():
    assert bin_edges(np.array([0.0, 0.1, 0.2, 0.3])) == pytest.approx([0.0, 0.05, 0.15, 0.25, 0.35])


def test_the_same_numbers_in_any_dress(tmp_path):
    rows = [(0.1, 0.0), (0.2, 0.5), (0.3, 1.5), (0.4, 1.0)]
    dresses = {
        "a.csv": "# made by hand\nr_nm,g\n" + "".join(f"{r},{g}\n" for r, g in rows),
        "b.csv": "r_nm;g\r\n" + "".join(f"{r} ; {g}\r\n" for r, g in rows),
        "c.dat": "# a comment\n# r_nm g\n" + "".join(f"  {r}   {g:e}\n" for r, g in rows),
        "d.xvg": '# gmx rdf\n@    title "RDF"\n@    xaxis  label "r_nm"\n@TYPE xy\n@ s0 legend "g"\n'
                 + "".join(f"{r:10.4f} {g:10.4f}\n" for r, g in rows) + "&\n",
    }
    for name, text in dresses.items():
        (tmp_path / name).write_text(text)
        table = read_table(tmp_path / name)
        assert (table.x_name, table.y_name) == ("r_nm", "g"), name
        assert (table.x.tolist(), table.y.tolist()) == tuple(map(list, zip(*rows, strict=True))), name


def test_columns_by_name_index_and_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("pair,r,g,err\n" + "".join(f"{p},{r},{k + r},0.1\n" for k, p in enumerate("AB") for r in range(5)))
    assert read_table(path, "g", rows={"pair": "B"}).y.tolist() == [1, 2, 3, 4, 5]
    assert read_table(path, 2, rows={"pair": "A"}, sigma_column="err").sigma.tolist() == [0.1] * 5
    assert read_table(path, sigma_column="err", rows={0: "A"}).y_name == "g"


@pytest.mark.parametrize(("name", "options", "n_rows", "peak"), [
    ("argon_Sq_yarnell_1973.csv", {}, 400, (2.0, 2.75)),
    ("argon_gr_yarnell_1973_digitised.csv", {"sort": True}, 422, (3.68, 3.05)),
    ("votca_spce_cg_rdf.csv", {}, 101, (0.28, 2.91597)),
    ("votca_lj_binary_rdf.csv", {"rows": {"pair": "LJ1-LJ2"}}, 1065, (0.345, 2.86)),
    ("water_gOO_skinner_benmore_2014.csv", {"column": "gOO_295.1K"}, 2500, (2.81, 2.573)),
])
def test_reference_tables(name, options, n_rows, peak):
    table = read_table(data_file(name), **options)
    highest = int(table.y.argmax())
    assert len(table.x) == n_rows
    assert (table.x[highest], table.y[highest]) == pytest.approx(peak, rel=0.02)
