# SPDX-License-Identifier: MIT
"""Fold a chain: learn the energy that takes 22 beads from a straight line to a helix, through its trajectories.

The control problem of W. Wang, S. Axelrod, R. Gomez-Bombarelli, arXiv 2003.00868 (2020), with their helix, excluded
volume, temperature, timestep and 33 steps of a Nose-Hoover chain, and harmonic bonds of their constant. Learnt are here
a spline u(r) between beads that are not bonded, an angle term and a Fourier series of the torsion. Windows of 33 steps
are shorter than the time in which trajectories diverge; they follow one another, each from where the one before ended,
and after 40 windows a chain starts again, straight and with new velocities. The loss compares last bonds, angles,
dihedrals and distances with the helix's. Reduced units of length, energy and mass are read as 1 nm, 1 kJ/mol and 1 amu;
time is then in ps.

    python examples/06_fold_a_chain.py --out out/fold
"""

import argparse
import json
from pathlib import Path

import numpy as np
import openmm
import torch

import openmmgrad as og

REDUCED = og.ReducedUnits(sigma=1.0, epsilon=1.0, mass=1.0)
N, KT, TIMESTEP = 22, 0.0272, 0.0296
TURN, RADIUS, RISE = 5 * np.pi / 21, 0.96985, 0.166475  # of the helix, from bead to bead
SCALES = {"bonds": 5.0, "angles": 10.0, "dihedrals": 3.0, "distances": 1.0}
WINDOW, LIFETIME = 33, 40  # steps of a window, windows of a chain
BEADS = torch.arange(N, dtype=torch.float64)
HELIX = torch.stack([RADIUS * torch.cos(TURN * BEADS), RADIUS * torch.sin(TURN * BEADS), RISE * BEADS], dim=1)  # nm
BOND = (HELIX[1] - HELIX[0]).norm().item()


def chain_model() -> og.Model:
    """Fixed: bonds and excluded volume. Learnt: u(r), angle and torsion; every term is smooth for straight chains."""
    system = openmm.System()
    for _ in range(N):
        system.addParticle(1.0)
    bonds = [(i, i + 1) for i in range(N - 1)]
    stretch = openmm.CustomBondForce(f"0.656*(r-{BOND})^2")
    volume = openmm.CustomNonbondedForce("4*0.141*(1.29/r)^10")
    for i, j in bonds:
        stretch.addBond(i, j, [])
    for _ in range(N):
        volume.addParticle([])
    volume.createExclusionsFromBonds(bonds, 1)
    angle = openmm.CustomAngleForce("0.5*k*(cos(theta)-cos0)^2")
    torsion = openmm.CustomCompoundBondForce(
        4, "s*(a1*cos(phi)+b1*sin(phi)) + s^2*(a2*cos(2*phi)+b2*sin(2*phi)); phi=dihedral(p1,p2,p3,p4);"
        "s=sin(angle(p1,p2,p3))*sin(angle(p2,p3,p4))")
    start = {"k": 1.0, "cos0": -0.95, "a1": 0.0, "b1": 0.0, "a2": 0.0, "b2": 0.0}
    for name, value in start.items():
        (angle if name in ("k", "cos0") else torsion).addGlobalParameter(name, value)
    for i in range(N - 2):
        angle.addAngle(i, i + 1, i + 2, [])
    for i in range(N - 3):
        torsion.addBond([i, i + 1, i + 2, i + 3], [])
    for force in (stretch, volume, angle, torsion):
        system.addForce(force)
    model = og.Model(system)
    model.add_pair_potential(og.SplinePotential(cutoff=3.0, n_coefficients=13), exclusions=bonds, periodic=False)
    model.add_parameters(start, scale=1.0)
    return model


def straight_chains(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions, 0.05 nm around a straight line, and Maxwellian velocities, [n, N, 3] each."""
    x = torch.zeros(n, N, 3, dtype=torch.float64)
    x[:, :, 0] = BOND * BEADS
    x = x + 0.05 * torch.randn(x.shape, dtype=x.dtype, generator=generator)
    return x, KT**0.5 * torch.randn(x.shape, dtype=x.dtype, generator=generator)


def propagator(model: og.Model, n_steps: int, stride: int, platform: str) -> og.Propagator:
    integrator = og.NoseHooverChainIntegrator(REDUCED.temperature(KT), TIMESTEP, 3 * N, relaxation_time=0.5)
    return og.Propagator(model, n_steps=n_steps, stride=stride, integrator=integrator, platform=platform, threads=1)


# -- geometry: positions [..., N, 3] --

def bonds_and_angles(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Bond lengths, and cosines between successive bonds."""
    b = torch.diff(x, dim=-2)
    length = b.norm(dim=-1)
    return length, (b[..., 1:, :] * b[..., :-1, :]).sum(-1) / (length[..., 1:] * length[..., :-1])


def dihedrals(x: torch.Tensor, step: int = 1) -> torch.Tensor:
    """sin(theta) sin(theta') (cos phi, sin phi) of beads i, i + step, i + 2 step, i + 3 step."""
    b = x[..., step:, :] - x[..., :-step, :]
    b = b / b.norm(dim=-1, keepdim=True)
    b1, b2, b3 = b[..., :-2 * step, :], b[..., step:-step, :], b[..., 2 * step:, :]
    n1, n2 = torch.linalg.cross(b1, b2), torch.linalg.cross(b2, b3)
    return torch.stack([(n1 * n2).sum(-1), (b1 * n2).sum(-1)], dim=-1)


def distances(x: torch.Tensor) -> torch.Tensor:
    """Of all pairs that are not bonded."""
    i, j = np.triu_indices(N, 2)
    return (x[..., i, :] - x[..., j, :]).norm(dim=-1)


def dihedral_error(x: torch.Tensor, step: int) -> torch.Tensor:
    """Mean 1 - cos(phi - phi of the helix), where a dihedral counts as far as the chain is bent there."""
    found, ideal = dihedrals(x, step), dihedrals(HELIX, step)
    size, ideal_size = found.norm(dim=-1), ideal.norm(dim=-1)
    return (size.detach() / ideal_size * (1 - (found * ideal).sum(-1) / (size * ideal_size))).mean()


def loss_terms(x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Weighted errors against the helix; far distances count linearly, so that folded chains still matter."""
    (bond, cosine), (ideal_bond, ideal_cosine) = bonds_and_angles(x), bonds_and_angles(HELIX)
    errors = {"bonds": (bond - ideal_bond).square().mean(), "angles": (cosine - ideal_cosine).square().mean(),
              "dihedrals": dihedral_error(x, 1) + dihedral_error(x, 2),
              "distances": ((1 + (distances(x) - distances(HELIX)).square()).sqrt() - 1).mean()}
    return {name: SCALES[name] * error for name, error in errors.items()}


def superpose(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions turned and moved onto the helix, and the rms distance from it, nm (no mirror images)."""
    x, ideal = x - x.mean(-2, keepdim=True), HELIX - HELIX.mean(0)
    u, _, vh = torch.linalg.svd(x.transpose(-1, -2) @ ideal)
    u = torch.cat([u[..., :2], u[..., 2:] * torch.det(u @ vh)[..., None, None]], dim=-1)
    turned = x @ u @ vh
    return turned, (turned - ideal).square().sum(-1).mean(-1).sqrt()


def dihedral_rmsd(x: torch.Tensor) -> torch.Tensor:
    """rms of phi - phi of the helix, degrees."""
    found, ideal = dihedrals(x), dihedrals(HELIX)
    difference = torch.atan2(found[..., 1], found[..., 0]) - torch.atan2(ideal[..., 1], ideal[..., 0])
    return torch.rad2deg(torch.remainder(difference + np.pi, 2 * np.pi) - np.pi).square().mean(-1).sqrt()


# -- training and judgement --

def train(model: og.Model, args) -> dict[str, list[float]]:
    """Losses and gradient norms of all updates."""
    run = propagator(model, WINDOW, WINDOW, args.platform)
    generator = torch.Generator().manual_seed(args.seed)
    optimizer = torch.optim.Adam([{"params": model.global_parameters.parameters(), "lr": 0.05},
                                  {"params": model.potentials.parameters(), "lr": 0.02}])
    slower = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    history = {"loss": [], "gradient norm": []}
    x, v = straight_chains(args.chains, generator)
    phase = torch.arange(args.chains) * LIFETIME // args.chains  # chains of all ages at any time
    for update in range(args.updates):
        new, again = straight_chains(args.chains, generator), ((update + phase) % LIFETIME == 0)[:, None, None]
        x, v = torch.where(again, new[0], x), torch.where(again, new[1], v)
        path = run(initial=(x, v))
        terms = loss_terms(path.positions[:, -1])
        optimizer.zero_grad()
        loss = sum(terms.values())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        slower.step()
        x, v = path.positions[:, -1].detach(), path.velocities[:, -1].detach()
        history["loss"].append(loss.item())
        history["gradient norm"].append(norm.item())
        if update % 20 == 0 or update == args.updates - 1:
            parts = ", ".join(f"{name} {value.item():.3f}" for name, value in terms.items())
            print(f"update {update}: loss {loss.item():.3f} ({parts}), gradient norm {norm:.2f}", flush=True)
    return history


def judge(model: og.Model, args) -> tuple[np.ndarray, torch.Tensor]:
    """Times [T], ps, and positions [S, T, N, 3] of chains whose starts no training has seen."""
    start = straight_chains(args.tests, torch.Generator().manual_seed(args.seed + 1000))
    with torch.no_grad():
        path = propagator(model, args.steps, args.steps // 20, args.platform)(initial=start)
    return path.times, path.positions


def run(args) -> dict:
    model = chain_model()
    times, before = judge(model, args)
    history = train(model, args)
    _, after = judge(model, args)
    clipped = sum(norm > 1.0 for norm in history["gradient norm"])
    result = {"updates": args.updates, "training windows (ps)": WINDOW * TIMESTEP, "test runs": args.tests,
              "test runs (ps)": times[-1], "updates with clipped gradient": clipped,
              "loss at first": history["loss"][0], "loss at last": float(np.mean(history["loss"][-10:]))}
    for name, x in (("before", before[:, -1]), ("after", after[:, -1])):
        result[f"rmsd {name} (nm)"] = mean_and_error(superpose(x)[1])
        result[f"dihedral rmsd {name} (degrees)"] = mean_and_error(dihedral_rmsd(x))
    result["largest rmsd after (nm)"] = superpose(after[:, -1])[1].max().item()
    result["parameters"] = dict(zip(model.parameter_names, model.parameter_values().tolist(), strict=True))
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        picture(args.out / "fold.png", history, times, before, after)
        og.export(model, args.out / "fold.xml", temperature=REDUCED.temperature(KT))
        (args.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def mean_and_error(values: torch.Tensor) -> list[float]:
    return [values.mean().item(), values.std().item() / len(values) ** 0.5]


def picture(path: Path, history: dict, times: np.ndarray, before: torch.Tensor, after: torch.Tensor) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = (figure.add_subplot(1, 3, k, projection="3d" if k == 3 else None) for k in (1, 2, 3))
    left.semilogy(history["loss"], color="k", label="loss")
    left.semilogy(history["gradient norm"], color="tab:orange", lw=0.8, label="gradient norm")
    left.set(xlabel="update")
    left.legend()
    for name, x, color in (("before", before, "0.5"), ("after", after, "tab:red")):
        rmsd = superpose(x)[1]
        middle.plot(times, rmsd.T, color=color, lw=0.5, alpha=0.5)
        middle.plot(times, rmsd.mean(0), color=color, lw=2, label=f"{name} training")
    middle.axvline(WINDOW * TIMESTEP, color="k", ls=":", lw=1, label="length of a training window")
    middle.set(xlabel="time (ps), from new velocities", ylabel="rmsd from the helix (nm)", ylim=(0, None))
    middle.legend()
    shown = (("before", superpose(before[0, -1])[0], "0.7"), ("after", superpose(after[0, -1])[0], "tab:red"),
             ("helix", HELIX - HELIX.mean(0), "k"))
    for name, x, color in shown:
        right.plot(*x.T, "o-", color=color, ms=3, label=name, lw=1)
    right.set_aspect("equal")
    right.set_axis_off()
    right.legend(loc="lower right")
    figure.savefig(path, dpi=150)


def main(argv=None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=160)
    parser.add_argument("--chains", type=int, default=12, help="trajectories of each update")
    parser.add_argument("--tests", type=int, default=16, help="trajectories that judge the result")
    parser.add_argument("--steps", type=int, default=2400, help="of each test")
    parser.add_argument("--platform", default="Reference")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args(argv)
    result = run(args)
    print(json.dumps(result, indent=1))
    return result


if __name__ == "__main__":
    main()
