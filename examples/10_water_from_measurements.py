# SPDX-License-Identifier: MIT
"""Flexible water against measurements at 298 K: infrared spectrum, structure, density, motion, polarity, energy.

SPC/Fw's charges, Lennard-Jones and force constants are refined jointly against several kinds of measurement in two
ensembles: the spectrum, g_OO(r), D and the dielectric constant at the measured density, and the density and heat of
vaporisation at constant pressure. Then against the spectrum and the density alone, to see what carries over to the
rest. Both force fields are compared with all measurements on long runs that no fit has seen.

    python examples/10_water_from_measurements.py --data DIRECTORY --out out/water
    python examples/10_water_from_measurements.py --data DIRECTORY --targets ir density --out out/water-ir
    python examples/10_water_from_measurements.py --data DIRECTORY --short

The directory holds water_nk_segelstein_1981.csv, water_gOO_skinner_benmore_2014.csv, water_iapws_properties_1atm.csv
and water_self_diffusion_holz_2000.csv.
"""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

import openmmgrad as og

TEMPERATURE, PRESSURE, DENSITY = 298.15, 1.01325, 997.05  # K, bar, kg/m^3
TIMESTEP = 0.0005  # ps, of every window
LEARNT = ("q_H", "sigma", "epsilon", "k_OH", "k_HOH")
GAS = 1.5 * og.units.KB * TEMPERATURE  # <U> of one molecule: three harmonic modes
BANDS = {"libration": (300.0, 900.0), "bend": (1300.0, 1900.0), "stretch": (2800.0, 4000.0)}
KINDS = ("ir", "rdf", "density", "hvap", "dielectric", "D")


def water(args, learnt=LEARNT):
    system, topology, positions = og.flexible_water(args.molecules, density=DENSITY, cutoff=args.cutoff)
    model = og.Model(system, topology)
    values = {name: og.waters.SPC_FW[name] for name in learnt}
    small = {"sigma": 0.03, "q_H": 0.05}  # what a step may change at most, beside a fifth
    model.add_parameters(values, scale={name: small.get(name, 0.2) * value for name, value in values.items()})
    return model, positions


class Measured:
    """The observables of a Model, and the tables they are compared with."""

    def __init__(self, model, args) -> None:
        self.model, self.data, charges = model, args.data, og.PointCharges.of(model)
        self.ir = og.IRSpectrum(charges, np.arange(0.0, 4001.0, 20.0), max_lag=args.max_lag)
        self.rdf = og.RDF("name O", "name O", r_max=args.cutoff, bins=args.bins)
        self.dielectric = og.StaticDielectric(charges, model)
        self.density = og.Density(model)
        self.hvap = og.HeatOfVaporization(model, gas=GAS)
        self.D = og.SelfDiffusion("name O", t_max=args.D_lag)

    def value(self, file: str, column: str) -> float:
        table = og.read_table(self.data / file, column)
        return float(np.interp(TEMPERATURE, table.x, table.y))

    def targets(self, liquid, npt, kinds, args) -> list:
        """Errors are those of the model class, not of the measurements: what fixed charges may reasonably miss."""
        windows = {"timestep": TIMESTEP, "n_steps": args.steps, "observe": self.ir.observe,
                   "n_differentiated": args.differentiated}
        longer = {"timestep": TIMESTEP, "n_steps": round(args.D_lag / TIMESTEP), "stride": 4,
                  "n_windows": args.D_windows}
        iapws = "water_iapws_properties_1atm.csv"
        made = {
            "ir": lambda: og.Target.from_file(
                self.data / "water_nk_segelstein_1981.csv", self.ir, liquid, spectrum={"quantity": "nk"},
                sigma=lambda values: 0.2 * values + 200.0, name="IR", propagate=windows, weight=0.2),
            "rdf": lambda: og.Target.from_file(
                self.data / "water_gOO_skinner_benmore_2014.csv", self.rdf, liquid, column="gOO_295.1K", sigma=0.1,
                name="g_OO", core=0.2),
            "dielectric": lambda: og.Target(self.dielectric, liquid, self.value(iapws, "eps_static"), 8.0,
                                            name="dielectric constant"),
            "density": lambda: og.Target(self.density, npt, self.value(iapws, "rho_kg_m3"), 5.0, name="density"),
            "hvap": lambda: og.Target(self.hvap, npt, self.value(iapws, "dHvap_kJ_mol"), 0.5,
                                      name="heat of vaporisation"),
            "D": lambda: og.Target(self.D, liquid, self.value("water_self_diffusion_holz_2000.csv", "D_table_m2_s"),
                                   2e-10, name="D", propagate=longer),
        }
        return [made[kind]() for kind in kinds]


def ensembles(model, positions, args, n_frames: int, seed: int, kinds=KINDS):
    common = dict(timestep=0.001, friction=2.0, stride=200, equilibration=args.equilibration, threads=1)
    liquid = og.Ensemble(model, positions, TEMPERATURE, n_frames=n_frames, seed=seed, name="NVT", **common)
    npt = og.Ensemble(model, positions, TEMPERATURE, PRESSURE, n_frames=2 * n_frames, seed=seed, name="NPT", **common)
    return liquid, npt


def report(model, positions, args, seed: int) -> tuple[dict, og.Estimate]:
    """{property: (value, standard error)} on independent long runs, and the spectrum."""
    measured = Measured(model, args)
    liquid, npt = ensembles(model, positions, args, args.check_frames, seed)
    starts, at_pressure = liquid.sample(), npt.sample()
    parts = {"ir": [], "D": [], "rdf": [], "dielectric": []}
    D = og.SelfDiffusion("name O", route="einstein", t_min=0.25 * args.check_length, t_max=0.75 * args.check_length,
                         origins="all")
    run = og.Propagator(model, TIMESTEP, round(args.check_length / TIMESTEP), 2, threads=1)
    for k in range(0, len(starts), 2):  # a few long windows in memory at a time
        with torch.no_grad():
            path = run(starts[k:k + 2])
            parts["ir"].append(measured.ir(path))
            parts["D"].append(D(path))
            for one in range(len(path)):
                seen = og.Frames(path.positions[one, ::100].numpy(), og.State([], TEMPERATURE), masses=path.masses,
                                 boxes=np.array(path.boxes[one]), topology=path.topology)
                parts["rdf"].append(measured.rdf(seen).mean(0, keepdim=True))
                parts["dielectric"].append(measured.dielectric(seen).detach().mean(0, keepdim=True))
    values = {name: torch.cat(rows) for name, rows in parts.items()}
    equal = og.Weights.uniform(len(starts))
    found = {name: og.expectation(rows, equal) for name, rows in values.items()}
    at = og.Weights.uniform(len(at_pressure))
    with torch.no_grad():
        found |= {"density": og.expectation(measured.density(at_pressure), at),
                  "hvap": og.expectation(measured.hvap(at_pressure), at)}
    return summary(measured, found, values, args), found["ir"]


def summary(measured, found, values, args) -> dict:
    """Rows of the table: value, standard error and what was measured."""
    kinds = ("density", "hvap", "dielectric", "D")
    targets = measured.targets(*_places(measured.model, args), (*kinds, "ir", "rdf"), args)
    wanted = {t.observable.name: t for t in targets}
    rows = {}
    for kind, name in zip(kinds, ("density", "heat of vaporization", "dielectric constant", "D"), strict=True):
        rows[name] = [float(found[kind].mean[0]), float(found[kind].stderr[0]), float(wanted[name].values[0])]
    grid, ir, g = measured.ir.grid, wanted["n alpha"].values, wanted["g(r)"].values
    rows["g_OO rms"] = [float(np.sqrt(np.mean((found["rdf"].mean_values - g) ** 2))),
                        float(np.sqrt(np.mean(found["rdf"].stderr**2))), 0.0]
    for low, high in ((0.0, 4000.0), (0.0, 1000.0)):
        rows[f"IR relative L2, {low:g}-{high:g} 1/cm (%)"] = [
            *_jackknife(lambda v, a=low, b=high: og.relative_l2(v, ir, grid, a, b), values["ir"]), 0.0]
    for band, place in BANDS.items():
        rows[f"{band} (1/cm)"] = [*_jackknife(lambda v, b=band, p=place: _position(grid, v, b, p), values["ir"]),
                                  _position(grid, ir, band, place)]
    return rows


def _position(grid, values, band, place) -> float:
    try:
        return og.bands(grid, values, {band: place})[band].position
    except ValueError:
        return float("nan")  # a shoulder


def _jackknife(function, rows: torch.Tensor, groups: int = 8) -> list[float]:
    """A function of the mean over windows [S, B], and its standard error by leaving groups of windows out."""
    rows = rows.numpy()
    labels = np.arange(len(rows)) % min(groups, len(rows))
    left = np.array([function(rows[labels != k].mean(0)) for k in np.unique(labels)])
    return [float(function(rows.mean(0))), float(np.sqrt((len(left) - 1) * left.var()))]


def _places(model, args):
    positions = np.zeros((model.n_particles, 3))
    return ensembles(model, positions, args, 2, 0)


def main(argv=None) -> dict:
    args = arguments(argv)
    model, positions = water(args)
    result, spectra, start = {"targets": list(args.targets)}, {}, time.perf_counter()
    if not args.after_only:
        result["before"], spectra["before"] = report(model, positions, args, args.seed + 100)
        result["report seconds"] = time.perf_counter() - start
        show(result["before"], "before")
    liquid, npt = ensembles(model, positions, args, args.frames, args.seed)
    targets = Measured(model, args).targets(liquid, npt, args.targets, args)
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as executor:  # both ensembles at a time
        history = og.fit(targets, max_iterations=args.iterations, tolerance=args.tolerance, progress=not args.short,
                         directory=None if args.out is None else args.out / "fit", executor=executor)
    print(history.influence)
    result["fit seconds"] = time.perf_counter() - start
    for name in LEARNT:
        result[name] = [og.waters.SPC_FW[name], history.rows[-1][f"parameter {name}"],
                        history.rows[-1].get(f"error {name}", float("nan"))]
    result["chi2 by iteration"] = {t.name: history.column(f"chi2 {t.name}").round(2).tolist() for t in targets}
    result["after"], spectra["after"] = report(model, liquid.positions, args, args.seed + 200)
    show(result["after"], "after")
    for name in LEARNT:
        print(f"{name:10s} {result[name][0]:12.6g} -> {result[name][1]:12.6g} +- {result[name][2]:.2g}")
    if args.out is not None:
        draw(args, spectra, targets)
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=1))
    return result


def show(rows: dict, title: str) -> None:
    print(f"{title:38s} {'found':>12s} {'+-':>10s} {'measured':>12s}")
    for name, (value, error, wanted) in rows.items():
        print(f"{name:38s} {value:12.5g} {error:10.2g} {wanted:12.5g}", flush=True)


def draw(args, spectra: dict, targets: list) -> None:
    wanted = next((t for t in targets if t.name == "IR"), None)
    if wanted is None:
        return
    axes = wanted.observable.plot(spectra["after"], wanted.values)
    if "before" in spectra:
        axes.plot(wanted.observable.grid, spectra["before"].mean_values, color="tab:blue", linewidth=1, label="before")
        axes.legend(frameon=False)
    axes.figure.savefig(args.out / "spectrum.png", dpi=150)


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory of the measured tables")
    parser.add_argument("--targets", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--molecules", type=int, default=64)
    parser.add_argument("--cutoff", type=float, default=0.56, help="nm; also the end of g_OO")
    parser.add_argument("--bins", type=int, default=40, help="of g_OO")
    parser.add_argument("--frames", type=int, default=128, help="of an iteration, a window each; twice in NPT")
    parser.add_argument("--differentiated", type=int, default=24, help="windows, for the paths' part of the Jacobian")
    parser.add_argument("--steps", type=int, default=400, help="of a window, 0.5 fs each")
    parser.add_argument("--max-lag", type=float, default=0.15, help="ps, of the spectrum")
    parser.add_argument("--D-lag", type=float, default=1.5, help="ps, upper limit of the integral")
    parser.add_argument("--D-windows", type=int, default=16)
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--tolerance", type=float, default=0.05)
    parser.add_argument("--check-frames", type=int, default=24, help="long windows of a report")
    parser.add_argument("--check-length", type=float, default=6.0, help="ps")
    parser.add_argument("--equilibration", type=int, default=10000)
    parser.add_argument("--after-only", action="store_true", help="no report of the start")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="directory of the fit and its figures; run again to resume")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--short", action="store_true", help="a minute, to see that it runs")
    args = parser.parse_args(argv)
    if args.short:
        args.molecules, args.cutoff, args.bins, args.frames, args.differentiated, args.steps = 27, 0.38, 15, 16, 4, 200
        args.max_lag, args.D_lag, args.D_windows, args.iterations, args.equilibration = 0.08, 0.1, 4, 1, 500
        args.check_frames, args.check_length = 4, 0.3
    return args


if __name__ == "__main__":
    main()
