# SPDX-License-Identifier: MIT
"""Workers of benchmarks/gradient.py: jax-md, torch autograd and TorchForce on the same Lennard-Jones window.

Each worker runs in a Python that has what it needs (`jax-md`, `torch`, or OpenMM-Torch) and imports nothing of this
project, but for OpenMM-Torch: it has no gradients of trajectories of its own, and runs as the backend "torchforce" does
with exact=True, dynamics by TorchForce and the reverse sweep by torch's double backward of the same module. A worker
reads a case (positions, velocities, box and constants), warms up, prints a line of JSON with its loss and gradient,
and then times one run for every line on its standard input ("gradient" or "md").

    python benchmarks/gradient_peers.py jaxmd --case case.npz --precision double

The case is an .npz with positions [N, 3] nm, velocities [N, 3] nm/ps (on step), length nm, sigma nm, epsilon kJ/mol,
cutoff nm, mass amu, timestep ps, n_steps, threads. The potential is cut off with its force shifted to zero: where a
force jumps at the cutoff, autograd leaves out the pairs that cross it, and the gradient is wrong. The loss is
mean |x(T) - x(0)|^2 + mean v(T - dt/2) . v(0), means over particles; the gradient is with respect to sigma and epsilon.
"""

import argparse
import json
import os
import sys
from functools import partial
from time import perf_counter, process_time

import numpy as np


def answer(**values) -> None:
    """One line of JSON to the benchmark."""
    print(json.dumps(values), flush=True)


def serve(gradient, md, **facts) -> None:
    """Warm up, report, then time one run for every line read."""
    begin = perf_counter()
    loss, d_sigma, d_epsilon = gradient()
    first = perf_counter() - begin
    md()
    answer(loss=float(loss), gradient={"sigma": float(d_sigma), "epsilon": float(d_epsilon)}, first_s=first, **facts)
    for line in sys.stdin:
        run = {"gradient": gradient, "md": md}[line.strip()]
        begin, cpu = perf_counter(), process_time()
        run()
        answer(seconds=perf_counter() - begin, cpu=process_time() - cpu)


def jaxmd(case, options) -> None:
    """jax-md: velocity Verlet under lax.scan, gradient by jax.checkpoint over segments of about sqrt(T) steps."""
    import jax
    import jax_md
    from jax import lax
    from jax_md import partition, simulate, smap, space

    jax.config.update("jax_enable_x64", options.precision == "double")
    import jax.numpy as jnp

    dtype = jnp.float64 if options.precision == "double" else jnp.float32
    x0, v0 = (jnp.asarray(case[name], dtype) for name in ("positions", "velocities"))
    cutoff, mass, dt = float(case["cutoff"]), float(case["mass"]), float(case["timestep"])
    n_steps = int(case["n_steps"])
    segment = options.segment or max(k for k in range(1, int(n_steps**0.5) + 1) if n_steps % k == 0)
    displacement, shift = space.periodic(float(case["length"]), wrapped=False)
    style = {"dense": partition.Dense, "sparse": partition.Sparse, "ordered": partition.OrderedSparse}[options.format]

    def pair_energy(d, sigma, epsilon):
        def lj(r):
            x = (sigma / r) ** 2
            x = x * x * x
            return 4 * epsilon * (x * x - x)

        r2 = jnp.sum(d * d, axis=-1)
        inside = (r2 < cutoff**2) & (r2 > 0)  # 0: the padding of the list
        r = jnp.sqrt(jnp.where(inside, r2, cutoff**2))
        at_cutoff, slope = jax.value_and_grad(lj)(cutoff)
        return jnp.where(inside, lj(r) - at_cutoff - (r - cutoff) * slope, 0)

    guard = 0.5 * options.skin if options.refresh == "segment" else 0.0  # for the moves within a segment
    length = float(case["length"])
    neighbours = partition.neighbor_list(displacement, length, cutoff + guard, dr_threshold=options.skin - guard,
                                         capacity_multiplier=options.capacity, format=style)  # fmt: skip
    first_list = neighbours.allocate(jnp.mod(x0, length))

    def refresh(near, x):
        """The list of a later time; its cells want positions inside the box."""
        return near.update(jnp.mod(lax.stop_gradient(x), length))

    def energy(x, neighbor, sigma, epsilon):
        return smap.pair_neighbor_list(pair_energy, displacement, sigma=sigma, epsilon=epsilon)(x, neighbor=neighbor)

    def window(parameters, x, v):
        """The last state, and whether a list overflowed."""
        sigma, epsilon = parameters
        init, step = simulate.nve(partial(energy, sigma=sigma, epsilon=epsilon), shift, dt)
        state = init(jax.random.PRNGKey(0), x, kT=1.0, mass=mass, momenta=mass * v, neighbor=first_list)

        def steps(carry, _):
            state, near, far = carry
            if options.refresh == "segment":
                near = refresh(near, state.position)

            def one(state_near_far, _):
                state, near, far = state_near_far
                if options.refresh == "step":
                    near = refresh(near, state.position)
                return (step(state, neighbor=near), near, far), None

            if options.refresh == "segment":
                state, _ = lax.scan(lambda s, _: (step(s, neighbor=near), None), state, None, length=segment)
                moved = jax.vmap(displacement)(lax.stop_gradient(state.position), near.reference_position)
                far = jnp.maximum(far, jnp.max(jnp.sum(moved**2, axis=1)))
            else:
                (state, near, far), _ = lax.scan(one, (state, near, far), None, length=segment)
            return (state, near, far), None

        body = jax.checkpoint(steps) if options.checkpoint else steps
        carry = (state, first_list, jnp.zeros((), dtype))
        (state, near, far), _ = lax.scan(body, carry, None, length=n_steps // segment)
        return state, near.did_buffer_overflow, far

    def loss(parameters, x, v):
        state, overflow, far = window(parameters, x, v)
        half = (state.momentum - 0.5 * dt * state.force) / state.mass  # what leapfrog calls v(T - dt/2)
        moved = jnp.sum((state.position - x) ** 2, axis=1)
        return jnp.mean(moved) + jnp.mean(jnp.sum(half * v, axis=1)), (overflow, far)

    value_and_gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    forward = jax.jit(lambda *arguments: window(*arguments)[0].position)
    parameters = jnp.asarray([float(case["sigma"]), float(case["epsilon"])], dtype)

    def gradient():
        (value, (overflow, far)), slope = jax.block_until_ready(value_and_gradient(parameters, x0, v0))
        if bool(overflow) or float(far) > (options.skin / 2) ** 2:
            raise RuntimeError(f"the neighbour list overflowed ({overflow}) or a particle left it ({far} nm^2):"
                               " raise --capacity or --skin")
        return value, *slope

    serve(gradient, lambda: jax.block_until_ready(forward(parameters, x0, v0)), peer="jax-md",
          version=jax_md.__version__ if hasattr(jax_md, "__version__") else package_version("jax-md"),
          jax=jax.__version__, precision=options.precision, format=options.format, skin=options.skin,
          refresh=options.refresh, segment=segment, checkpoint=options.checkpoint)  # fmt: skip


def torch_autograd(case, options) -> None:
    """Torch through every step, with the pairs that lie within the cutoff and a skin at the start."""
    import torch

    torch.set_num_threads(int(case["threads"]))
    dtype = torch.float64 if options.precision == "double" else torch.float32
    x0, v0 = (torch.as_tensor(case[name], dtype=dtype) for name in ("positions", "velocities"))
    length, cutoff, mass, dt = (float(case[name]) for name in ("length", "cutoff", "mass", "timestep"))
    first, second = pairs(case["positions"], length, cutoff + options.skin)
    first, second = torch.as_tensor(first), torch.as_tensor(second)
    sigma, epsilon = (torch.tensor(float(case[name]), dtype=dtype, requires_grad=True) for name in ("sigma", "epsilon"))

    def force(x):
        """[N, 3], kJ/mol/nm, in closed form."""
        d = x[first] - x[second]
        d = d - length * torch.round(d.detach() / length)
        r2 = (d * d).sum(1)
        x6, c6 = (sigma * sigma / r2) ** 3, (sigma / cutoff) ** 6
        at_cutoff = 24 * epsilon * (2 * c6 * c6 - c6) / cutoff
        size = 24 * epsilon * (2 * x6 * x6 - x6) / r2 - at_cutoff * r2.rsqrt()
        size = torch.where(r2 < cutoff * cutoff, size, 0.0)
        f = d * size[:, None]
        return torch.zeros_like(x).index_add(0, first, f).index_add(0, second, -f)

    def window():
        """x(T) and v(T - dt/2)."""
        v = v0 - 0.5 * dt / mass * force(x0)
        x = x0
        for _ in range(int(case["n_steps"])):
            v = v + dt / mass * force(x)
            x = x + dt * v
        return x, v

    def gradient():
        x, v = window()
        loss = ((x - x0) ** 2).sum(1).mean() + (v * v0).sum(1).mean()
        return loss.detach(), *torch.autograd.grad(loss, (sigma, epsilon))

    serve(gradient, torch.no_grad()(window), peer="torch autograd", version=torch.__version__,
          precision=options.precision, skin=options.skin, pairs=len(first))  # fmt: skip


def torchforce(case, options) -> None:
    """OpenMM-Torch's TorchForce of the potential itself, on the CPU platform."""
    from importlib import metadata

    import openmm
    import torch

    import openmmgrad as og

    threads, n_steps, dt = int(case["threads"]), int(case["n_steps"]), float(case["timestep"])
    torch.set_num_threads(threads)
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*(np.eye(3) * float(case["length"])))
    for _ in case["positions"]:
        system.addParticle(float(case["mass"]))
    model = og.Model(system)
    sigma, epsilon, cutoff = (float(case[name]) for name in ("sigma", "epsilon", "cutoff"))
    potential = og.LennardJones(sigma, epsilon, cutoff, truncation="shift-force")
    model.add_pair_potential(potential, backend="torchforce", exact=True)
    run = og.Propagator(model, dt, n_steps, n_steps, platform="CPU", threads=threads, temperature=300.0)
    x0, v0 = case["positions"], torch.from_numpy(case["velocities"])

    def gradient():
        model.zero_grad()
        path = run(initial=(x0, v0))
        x, v = path.positions[0], path.velocities[0, -1]
        loss = ((x[-1] - x[0]) ** 2).sum(1).mean() + (v * v0).sum(1).mean()
        loss.backward()
        return loss.detach(), potential.sigma.grad, potential.epsilon.grad

    context = openmm.Context(model.create_system(300.0), openmm.VerletIntegrator(dt),
                             openmm.Platform.getPlatformByName("CPU"), {"Threads": str(threads)})  # fmt: skip

    def md():
        context.setPositions(x0)
        context.setVelocities(case["velocities"])
        context.getIntegrator().step(n_steps)

    serve(gradient, md, peer="TorchForce", version=metadata.version("acellera-openmmtorch-cpu"),
          torch=torch.__version__)  # fmt: skip


def pairs(x: np.ndarray, length: float, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices of all pairs within cutoff, nm, in a cube, by rows."""
    first, second = [], []
    for i in range(len(x) - 1):
        d = x[i + 1 :] - x[i]
        d -= length * np.round(d / length)
        near = np.flatnonzero((d * d).sum(1) < cutoff * cutoff)
        first.append(np.full(len(near), i))
        second.append(near + i + 1)
    return np.concatenate(first), np.concatenate(second)


def package_version(name: str) -> str:
    """As installed."""
    from importlib import metadata

    return metadata.version(name)


def main() -> None:
    """Read the case and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=["jaxmd", "torch", "torchforce"])
    parser.add_argument("--case", required=True)
    parser.add_argument("--precision", choices=["single", "double"], default="double")
    parser.add_argument("--skin", type=float, default=0.1, help="nm")
    parser.add_argument("--capacity", type=float, default=1.1, help="of jax-md's lists, times what is needed at first")
    parser.add_argument("--format", choices=["dense", "sparse", "ordered"], default="ordered", help="of jax-md's list")
    parser.add_argument("--refresh", choices=["step", "segment"], default="segment",
                        help="when jax-md looks whether its list is still good")  # fmt: skip
    parser.add_argument("--segment", type=int, default=0, help="steps between checkpoints; 0: about sqrt(T)")
    parser.add_argument("--no-checkpoint", dest="checkpoint", action="store_false")
    options = parser.parse_args()
    case = dict(np.load(options.case))
    if hasattr(os, "sched_setaffinity"):  # jax takes all cores it may use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(case["threads"])])
    {"jaxmd": jaxmd, "torch": torch_autograd, "torchforce": torchforce}[options.peer](case, options)


if __name__ == "__main__":
    main()
