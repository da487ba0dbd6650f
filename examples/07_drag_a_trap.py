# SPDX-License-Identifier: MIT
"""Drag a particle with the least work: a protocol learnt through the noise of its dynamics, and the exact one.

A harmonic trap U = k/2 |x - c(t)|^2 moves from 0 to a distance L in a time tau. The positions c of all steps are
learnt: the mean work of the particles that it drags is the loss, and `propagate` gives its gradient. Known answers:

- continuous time: W* = k L^2 / (2 + tau k/zeta), friction zeta = mass * gamma, by a trap that jumps at both ends and
  moves steadily in between (T. Schmiedl, U. Seifert, Phys. Rev. Lett. 98, 108301 (2007)); inertia adds a pulse at each
  end, which starts and stops the particle (A. Gomez-Marin, T. Schmiedl, U. Seifert, J. Chem. Phys. 129, 024114 (2008));
- discrete steps: mean positions are linear in c and the mean work is quadratic, so the optimum is a linear solve, on
  average ("exact") and for the very noise that the fit has seen.

    python examples/07_drag_a_trap.py --out out/trap
"""

import argparse
import json
from pathlib import Path

import numpy as np
import openmm
import torch

import openmmgrad as og

TEMPERATURE = 300.0  # K
SPRING = 250.0  # k, kJ/mol/nm^2: a thermal width of 0.1 nm
DISTANCE = 0.5  # L, nm
TIMESTEP = 0.005  # ps
RELAXATION = 1.0  # zeta/k, ps


class Drag:
    """Independent particles in one trap that moves along x; work in kJ/mol per particle."""

    def __init__(self, n_particles: int, duration: float, friction: float, platform: str) -> None:
        self.n_steps, self.friction, self.platform = round(duration / TIMESTEP), friction, platform
        self.mass = SPRING * RELAXATION / friction
        self.exact_work = SPRING * DISTANCE**2 / (2 + duration / RELAXATION)
        system = openmm.System()
        trap = openmm.CustomExternalForce(f"0.5*{SPRING}*((x-c)^2+y^2+z^2)")
        trap.addGlobalParameter("c", 0.0)
        for i in range(n_particles):
            system.addParticle(self.mass)
            trap.addParticle(i, [])
        system.addForce(trap)
        self.model = og.Model(system)

    def sample(self, seed: int):
        """A function of the protocol c [n_steps] that gives positions along x, [n_steps + 1, N], from equilibrium."""
        generator, kT = np.random.default_rng(seed), og.units.KB * TEMPERATURE
        shape = (self.model.n_particles, 3)
        initial = (generator.normal(scale=np.sqrt(kT / SPRING), size=shape),
                   generator.normal(scale=np.sqrt(kT / self.mass), size=shape))
        integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, self.friction, TIMESTEP)
        run = og.Propagator(self.model, n_steps=self.n_steps, integrator=integrator, platform=self.platform, seed=seed,
                            threads=1)
        return lambda c: run(initial=initial, controls={"c": c}).positions[0, :, :, 0]

    def moves(self, c: torch.Tensor) -> torch.Tensor:
        """How far the trap jumps before each step and at the end, [n_steps + 1]."""
        return torch.diff(c, prepend=torch.zeros(1, dtype=c.dtype), append=torch.full((1,), DISTANCE, dtype=c.dtype))

    def work(self, c: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Sum of U(x; c after) - U(x; c before) over the jumps, [N]."""
        return SPRING * (DISTANCE**2 / 2 - self.moves(c) @ x)

    def linear(self) -> torch.Tensor:
        """The protocol that moves steadily from 0 to L."""
        return DISTANCE * (torch.arange(self.n_steps, dtype=torch.float64) + 0.5) / self.n_steps


def response(n_steps: int, mass: float, friction: float) -> np.ndarray:
    """Mean positions of LangevinMiddle steps for unit c at each step, [n_steps + 1, n_steps]; from rest at 0."""
    damping, kick = np.exp(-friction * TIMESTEP), TIMESTEP * SPRING / mass
    unit = np.eye(n_steps)
    x = np.zeros((n_steps + 1, n_steps))
    v = -0.5 * kick * unit[0]  # half a step before the start
    for k in range(n_steps):
        v = v + kick * (unit[k] - x[k])
        x[k + 1] = x[k] + 0.5 * TIMESTEP * (1 + damping) * v
        v = damping * v
    return x


def exact_protocol(drag: Drag, free: np.ndarray | None = None) -> torch.Tensor:
    """The c of least mean work, [n_steps], where x = free + response c; free [n_steps + 1] is 0 on average."""
    n = drag.n_steps
    a, d = response(n, drag.mass, drag.friction), np.diff(np.eye(n), axis=0, prepend=0.0, append=0.0)
    last = np.append(np.zeros(n), DISTANCE)  # moves = d c + last
    return torch.as_tensor(np.linalg.solve(d.T @ a + a.T @ d, -a.T @ last - (0.0 if free is None else d.T @ free)))


def learn(drag: Drag, positions, max_iterations: int) -> tuple[torch.Tensor, list[float]]:
    """The protocol of least mean work for one sample of noise, and the work at each evaluation of L-BFGS."""
    c, history = drag.linear().requires_grad_(), []
    optimizer = torch.optim.LBFGS([c], max_iter=max_iterations, tolerance_grad=1e-6, tolerance_change=1e-12,
                                  history_size=max_iterations, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        work = drag.work(c, positions(c)).mean()
        work.backward()
        history.append(work.item())
        return work

    optimizer.step(closure)
    return c.detach(), history


def run(args) -> dict:
    drag = Drag(args.particles, args.duration, args.friction, args.platform)
    positions, fresh = drag.sample(args.seed), drag.sample(args.seed + 1000)
    learnt, history = learn(drag, positions, args.iterations)
    with torch.no_grad():
        free = positions(torch.zeros(drag.n_steps, dtype=torch.float64)).mean(1).numpy()
        protocols = {"linear": drag.linear(), "learnt": learnt, "exact": exact_protocol(drag)}
        best = exact_protocol(drag, free)  # for the noise that the fit has seen
        best_work = drag.work(best, positions(best)).mean().item()
        unseen = {name: drag.work(c, fresh(c)) for name, c in protocols.items()}
    mean = torch.as_tensor(response(drag.n_steps, drag.mass, drag.friction))
    result = {
        "evaluations": len(history),
        "W* in continuous time (kJ/mol)": drag.exact_work,
        "mean work (kJ/mol)": {name: drag.work(c, mean @ c).item() for name, c in protocols.items()},
        "on unseen noise (mean, stderr)": {name: mean_and_error(work) for name, work in unseen.items()},
        "saved on unseen noise (mean, stderr)": mean_and_error(unseen["linear"] - unseen["learnt"]),
        "learnt work above the optimum for its noise (kJ/mol)": history[-1] - best_work,
        "learnt protocol, rms from the optimum for its noise (nm)": rms(learnt - best),
        "learnt protocol, rms from the exact one (nm)": rms(learnt - protocols["exact"]),
    }
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        picture(args.out / "trap.png", drag, protocols, history, best_work)
        np.savetxt(args.out / "protocols.csv", torch.stack(list(protocols.values()), 1), delimiter=",",
                   header=", ".join(f"{name} (nm)" for name in protocols))
        (args.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def mean_and_error(values: torch.Tensor) -> list[float]:
    return [values.mean().item(), values.std().item() / len(values) ** 0.5]


def rms(values: torch.Tensor) -> float:
    return values.square().mean().sqrt().item()


def picture(path: Path, drag: Drag, protocols: dict, history: list[float], best_work: float) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    t, tau = TIMESTEP * np.arange(drag.n_steps), TIMESTEP * drag.n_steps
    styles = {"linear": ("0.6", "-"), "learnt": ("tab:red", "-"), "exact": ("k", "--")}
    for name, c in protocols.items():
        left.plot(t, c, color=styles[name][0], ls=styles[name][1], label=name)
    left.plot([0, tau], DISTANCE * np.array([RELAXATION, tau + RELAXATION]) / (tau + 2 * RELAXATION), ":", lw=3,
              color="tab:blue", label="without inertia", zorder=0)
    left.axhline(0, color="0.9", zorder=0)
    left.axhline(DISTANCE, color="0.9", zorder=0)
    left.set(xlabel="time (ps)", ylabel="trap c (nm)", ylim=(-0.6 * DISTANCE, 1.6 * DISTANCE))
    left.legend()
    right.semilogy(np.maximum(np.array(history) - best_work, 1e-12), "o-", color="tab:red")
    right.set(xlabel="evaluation", ylabel="work above the optimum for its noise (kJ/mol)")
    figure.savefig(path, dpi=150)


def main(argv=None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, default=4000)
    parser.add_argument("--duration", type=float, default=1.0, help="tau, ps")
    parser.add_argument("--friction", type=float, default=100.0, help="gamma, 1/ps; zeta/k stays 1 ps")
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--platform", default="Reference")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args(argv)
    result = run(args)
    print(json.dumps(result, indent=1))
    return result


if __name__ == "__main__":
    main()
