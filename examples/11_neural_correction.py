# SPDX-License-Identifier: MIT
"""A neural correction of a classical water model, trained on the infrared spectrum and the density of water.

SPC/Fw gets a pair term between oxygens (a spline) and a many-body term (a network of the neighbours of every O-H bond),
both zero at first, and a dipole in which bonds carry more charge when they stretch. All are trained by Adam through
trajectories and weights, on the measured spectrum and density alone, as B. Han, K. Yu, Nat. Commun. 16 (2025) refined a
neural potential. Before and after are compared on independent runs.

    python examples/11_neural_correction.py --data DIRECTORY --out out/neural --stability 100
    python examples/11_neural_correction.py --data DIRECTORY --short    # it holds water_nk_segelstein_1981.csv
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openmm
import torch
from torch import nn

import openmmgrad as og

TEMPERATURE, PRESSURE, DENSITY = 298.15, 1.01325, 997.05  # K, bar, kg/m^3
TIMESTEP = 0.0005  # ps, of every window
R_OH, COS_HOH = og.waters.SPC_FW["r_OH"], np.cos(og.waters.SPC_FW["theta_HOH"])
BANDS = {"libration": (300.0, 900.0), "bend": (1300.0, 1900.0), "stretch": (2800.0, 4000.0)}


class BondsAmongNeighbours(nn.Module):
    """Stretch, bend and hydrogen-bond energy of every O-H bond by a network of its distances to other molecules.

    Hydrogen bonds soften and lengthen the bond that donates them, which shifts the stretch of the liquid to the red: no
    pair term between oxygens and no constant for all bonds can tell one bond from another.

    U = sum_h sum_m c_m(rho_h) p_m, with p = (1, s, s^2, t, t^2) of the stretch s = (r - r_OH)/0.01 nm and the bend
    t = (cos - cos_HOH)/0.2; rho_hk = sum_O' phi_k(r_hO') over other molecules, with phi_k Gaussians that end smoothly,
    and the same of the bond's oxygen with their hydrogens.
    """

    def __init__(self, n_channels: int = 5, width: int = 10, cutoff: float = 0.4):
        super().__init__()
        self.cutoff = cutoff  # nm
        generator = torch.Generator().manual_seed(1)
        self.inner = nn.Parameter(torch.randn(2 * n_channels + 1, width, generator=generator, dtype=torch.float64)
                                  / n_channels**0.5)
        self.outer = nn.Parameter(torch.zeros(width + 1, 5, dtype=torch.float64))
        self.register_buffer("units", torch.tensor([0.3, 1.0, 4.0, 0.5, 2.0], dtype=torch.float64))  # kJ/mol
        self.register_buffer("centres", torch.linspace(0.16, 0.36, n_channels, dtype=torch.float64))
        r = torch.linspace(0.0, cutoff, 400, dtype=torch.float64)
        shells = 4 * np.pi * r**2 * DENSITY / 29.915  # molecules per nm
        self.register_buffer("ideal", torch.trapezoid(self.channels(r) * shells[:, None], r, dim=0))

    def channels(self, r: torch.Tensor) -> torch.Tensor:
        return torch.exp(-0.5 * ((r[:, None] - self.centres) / 0.03) ** 2) * (1 - (r[:, None] / self.cutoff) ** 2) ** 3

    def neighbours(self, x: torch.Tensor, box: torch.Tensor | None) -> torch.Tensor:
        """rho of every bond, [M, 2, 2K], in units of that of a gas: of its hydrogen, then of its oxygen."""
        n, (oxygens, hydrogens) = len(x), (x[:, 0], x[:, 1:].reshape(-1, 3))
        with torch.no_grad():
            apart = hydrogens[:, None] - oxygens
            image = torch.zeros_like(apart) if box is None else torch.round(apart / box.diagonal()) * box.diagonal()
            close = ((apart - image) ** 2).sum(-1) < self.cutoff**2
            close.view(n, 2, n).diagonal(dim1=0, dim2=2).fill_(False)  # its own oxygen
            h, o = torch.nonzero(close, as_tuple=True)
            image = image[h, o]
        r = torch.linalg.vector_norm(hydrogens.index_select(0, h) - oxygens.index_select(0, o) - image, dim=1)
        phi = self.channels(r) / self.ideal
        given = phi.new_zeros(2 * n, phi.shape[1]).index_add(0, h, phi).reshape(n, 2, -1)
        taken = phi.new_zeros(n, phi.shape[1]).index_add(0, o, phi)
        return torch.cat([given, taken[:, None].expand_as(given)], dim=-1)

    def energy(self, positions: torch.Tensor, box: torch.Tensor | None) -> torch.Tensor:
        """kJ/mol of positions [N, 3], in the order O, H, H, and a rectangular box [3, 3] or None, nm."""
        x = positions.reshape(-1, 3, 3)
        bonds = x[:, 1:] - x[:, :1]
        r = torch.linalg.vector_norm(bonds, dim=-1)
        s = (r - R_OH) / 0.01
        t = (((bonds[:, 0] * bonds[:, 1]).sum(-1) / (r[:, 0] * r[:, 1]) - COS_HOH) / 0.2)[:, None].expand_as(s)
        hidden = torch.tanh(self.neighbours(x, box) @ self.inner[:-1] + self.inner[-1])
        c = (hidden @ self.outer[:-1] + self.outer[-1]) * self.units
        return (c * torch.stack([torch.ones_like(s), s, s * s, t, t * t], dim=-1)).sum()


class StretchedCharges(nn.Module):
    """The dipole of point charges, and more of it along bonds that stretch and angles that open: two numbers to learn.

    SPC/Fw's charges alone cannot show the spectrum: its area is a sum over q^2/m, 6.1e6 where water has 9.7e6 1/cm^2.
    """

    def __init__(self, charges: torch.Tensor):
        super().__init__()
        self.register_buffer("charges", charges.detach().clone())
        self.more = nn.Parameter(torch.zeros(2, dtype=torch.float64))  # e

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        """[T, 3], e nm, of unwrapped positions [T, N, 3]."""
        x = positions.reshape(len(positions), -1, 3, 3)
        bonds = x[:, :, 1:] - x[:, :, :1]
        r = torch.linalg.vector_norm(bonds, dim=-1, keepdim=True)
        along = bonds / r
        opening = (along[:, :, :1] * along[:, :, 1:]).sum(-1, keepdim=True) - COS_HOH
        fixed = (positions * self.charges[:, None]).sum(-2)
        return fixed + ((self.more[0] * (r - R_OH) + 0.1 * self.more[1] * opening) * along).sum((1, 2))


def water(args, corrected: bool = True):
    """A Model of SPC/Fw with its corrections, positions, and its dipoles: that of the charges, and the learnt one."""
    system, topology, positions = og.flexible_water(args.molecules, density=DENSITY, cutoff=args.cutoff)
    model = og.Model(system, topology)
    dipoles = {"charges": og.PointCharges.of(model)}
    if corrected:
        model.add_pair_potential(og.SplinePotential(args.cutoff - 0.01, 10), interaction_groups=[("name O", "name O")])
        correction = BondsAmongNeighbours()
        correction.dipole = StretchedCharges(dipoles["charges"].charges())
        model.add_energy(correction)
        dipoles["learnt dipole"] = og.TorchDipole(correction.dipole)
    return model, positions, dipoles


def ensembles(model, positions, args, seed: int, n_liquid: int, n_pressure: int, equilibration: int):
    common = dict(timestep=0.001, friction=2.0, seed=seed, stride=args.stride, equilibration=equilibration, threads=1)
    return (og.Ensemble(model, positions, TEMPERATURE, n_frames=n_liquid, name="NVT", **common),
            og.Ensemble(model, positions, TEMPERATURE, PRESSURE, n_frames=n_pressure, name="NPT", **common))


def goals(dipole, liquid, npt, args) -> list:
    """The spectrum, ten times as important below 1000 1/cm (as in the paper), and the density."""
    ir = og.IRSpectrum(dipole, np.arange(0.0, 4001.0, 20.0), args.max_lag, route="dipole")
    sigma = np.where(ir.grid < 1000.0, 1000.0 / np.sqrt(10.0), 1000.0)
    windows = {"timestep": TIMESTEP, "n_steps": args.steps, "observe": ir.observe, "threads": 1, "workers": 2}
    return [og.Target.from_file(args.data / "water_nk_segelstein_1981.csv", ir, liquid, spectrum={"quantity": "nk"},
                                sigma=sigma, name="IR", propagate=windows),
            og.Target(og.Density(npt.model), npt, DENSITY, 10.0, name="density")]


def report(model, positions, dipoles: dict, measured, args, seed: int) -> tuple[dict, dict, og.Frames]:
    """{property: [value, standard error, measured]} on a run that no fit has seen, and its spectra."""
    liquid, npt = ensembles(model, positions, args, seed, args.check_frames, 16 * args.check_frames, 2 * args.relax)
    with ThreadPoolExecutor(2) as pool:
        starts, at_pressure = pool.map(lambda each: each.sample(), (liquid, npt))
    density = og.expectation(og.Density(model)(at_pressure), og.Weights.uniform(len(at_pressure)))
    rows = {"density (kg/m^3)": [float(density.mean[0]), float(density.stderr[0]), DENSITY]}
    run = og.Propagator(model, TIMESTEP, args.check_steps, threads=1)
    parts, (ir, wanted) = {name: [] for name in dipoles}, (measured.observable, measured.values)
    for k in range(0, len(starts), 4):  # a few long windows in memory at a time
        with torch.no_grad():
            path = run(starts[k:k + 4])
            for name, dipole in dipoles.items():
                parts[name].append(og.IRSpectrum(dipole, ir.grid, ir.max_lag, route="dipole")(path))
    spectra = {name: torch.cat(each).numpy() for name, each in parts.items()}
    for name, values in spectra.items():
        for end in (4000.0, 1000.0):
            rows[f"IR by {name}: relative L2, 0-{end:g} 1/cm (%)"] = [
                *jackknife(lambda v, end=end: og.relative_l2(v, wanted, ir.grid, 0.0, end), values), 0.0]
    for band, place in BANDS.items():
        rows[f"{band} (1/cm)"] = [*jackknife(lambda v, b=band, p=place: position(ir.grid, v, b, p), values),
                                  position(ir.grid, wanted, band, place)]
    return rows, {name: values.mean(0) for name, values in spectra.items()}, starts


def position(grid, values, band, place) -> float:
    try:
        return og.bands(grid, values, {band: place})[band].position
    except ValueError:
        return float("nan")  # a shoulder


def jackknife(function, rows: np.ndarray, groups: int = 8) -> list[float]:
    labels = np.arange(len(rows)) % min(groups, len(rows))
    left = np.array([function(rows[labels != k].mean(0)) for k in np.unique(labels)])
    return [float(function(rows.mean(0))), float(np.sqrt((len(left) - 1) * left.var()))]


def stability(model, frames, length: float) -> dict:
    """A run of constant energy at 0.5 fs: its drift and temperature."""
    context = openmm.Context(model.create_system(TEMPERATURE), openmm.VerletIntegrator(TIMESTEP),
                             openmm.Platform.getPlatformByName("CPU"), {"Threads": "1"})
    context.setPeriodicBoxVectors(*frames.boxes[-1])
    context.setPositions(frames.positions[-1])
    context.setVelocities(frames.velocities[-1])
    unit, rows, times = model.n_particles * 3 * og.units.KB, [], np.linspace(0, length, 200)
    for _ in times:
        context.getIntegrator().step(round(length / TIMESTEP / 200))
        state = context.getState(energy=True)
        kinetic, potential = state.getKineticEnergy()._value, state.getPotentialEnergy()._value
        rows.append(((kinetic + potential) / (unit * TEMPERATURE), 2 * kinetic / unit))
    energy, temperature = np.array(rows).T
    return {"drift (kT per degree of freedom and ns)": float(1e3 * np.polyfit(times, energy, 1)[0]),
            "temperature, first and second half (K)": [float(half.mean()) for half in np.split(temperature, 2)]}


def main(argv=None) -> dict:
    args = arguments(argv)
    (model, positions, dipoles), (classical, _, charges) = water(args), water(args, corrected=False)
    relaxed, _ = ensembles(classical, positions, args, 1, 1, 1, args.relax)
    relaxed.sample()
    liquid, npt = ensembles(model, relaxed.positions, args, 1, args.frames, 5 * args.frames // 2, 2 * args.stride)
    targets = goals(dipoles["learnt dipole"], liquid, npt, args)
    measured, result, spectra = targets[0], {}, {}
    result["before"], spectra["before"], _ = report(classical, relaxed.positions, charges, measured, args, 101)
    show(result["before"], "before")
    with ThreadPoolExecutor(2) as pool:
        history = og.fit(targets, torch.optim.Adam, args.updates, args.out and args.out / "fit", lr=args.lr,
                         max_steps_per_sample=1, tolerance=1e-9, progress=not args.short, executor=pool)
    result["fit seconds"] = float(sum(row["seconds_sampling"] + row["seconds_fit"] for row in history.rows))
    result |= {f"{name} by update": history.column(name).round(3).tolist() for name in ("chi2 IR", "chi2 density")}
    result["charges of the dipole (e)"] = dipoles["learnt dipole"].function.more.tolist()
    result["after"], spectra["after"], frames = report(model, liquid.positions, dipoles, measured, args, 201)
    show(result["after"], "after")
    result["stability"] = stability(model, frames, args.stability) if args.stability else None
    print(json.dumps({name: value for name, value in result.items() if name not in ("before", "after")}, indent=1))
    if args.out is not None:
        (args.out / "result.json").write_text(json.dumps(result, indent=1))
        axes = measured.observable.plot(spectra["after"]["learnt dipole"], measured.values)
        axes.plot(measured.observable.grid, spectra["before"]["charges"], color="tab:blue", linewidth=1, label="before")
        axes.legend(frameon=False)
        axes.figure.savefig(args.out / "spectrum.png", dpi=150)
    return result


def show(rows: dict, title: str) -> None:
    print(f"{title:60s} {'found':>10s} {'+-':>8s} {'measured':>10s}")
    for name, (value, error, measured) in rows.items():
        print(f"{name:60s} {value:10.5g} {error:8.2g} {measured:10.5g}", flush=True)


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory of the measured spectrum")
    parser.add_argument("--frames", type=int, default=12, help="windows of an update; density: 2.5 times as many")
    parser.add_argument("--updates", type=int, default=4, help="more want a smaller lr")
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--check-frames", type=int, default=16, help="long windows of a report; density: 16 times")
    parser.add_argument("--stability", type=float, metavar="PS", help="run that long at constant energy afterwards")
    parser.add_argument("--out", type=Path, help="directory of the fit and its figures; run again to resume")
    parser.add_argument("--short", action="store_true", help="less than a minute, to see that it runs")
    # nm; ps, of the spectrum; steps of a window, of a long one, from the lattice, and between frames
    parser.set_defaults(molecules=64, cutoff=0.56, max_lag=0.15, steps=480, check_steps=2000, relax=5000,
                        stride=200)
    args = parser.parse_args(argv)
    if args.short:
        args.updates, args.molecules, args.cutoff, args.frames, args.max_lag = 1, 27, 0.42, 2, 0.02
        args.steps, args.relax, args.check_frames, args.check_steps, args.stride = 60, 300, 2, 60, 20
    return args


if __name__ == "__main__":
    main()
