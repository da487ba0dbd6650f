# SPDX-License-Identifier: MIT
"""Ensemble: equilibrium frames of a Model at one temperature, density or pressure."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import openmm
from openmm import unit

from .contexts import find_platform
from .errors import require
from .features import FeatureEvaluator
from .frames import Frames, FrameWriter, State
from .model import Model
from .planar import IN_PLANE, planar_integrator, require_planar, start_in_plane
from .platforms import properties
from .units import BAR, KB, plain


class Ensemble:
    r"""Equilibrium frames of a Model: NVT by Langevin dynamics, or NPT with a Monte Carlo barostat.

    .. math:: p(x) \propto e^{-\beta\,(U_\theta(x) + P V)}

    Every call of `sample` runs one segment: a fresh Context from the saved positions, with a seed made from the
    Ensemble's seed and the number of the segment, so that a run can be resumed. With one CPU thread equal runs are
    equal bit by bit; with several they agree within standard errors.

    Parameters
    ----------
    model
        The Model; its System is never changed.
    positions
        [N, 3], nm, or a Quantity. The start of the first segment.
    temperature
        K.
    pressure
        bar; None is constant volume.
    timestep
        ps, of the LangevinMiddleIntegrator.
    n_frames, stride
        Frames of one segment, and steps between two of them.
    platform, threads
        An OpenMM platform by name; threads of the CPU platform (None: OpenMM's choice; one is fastest for pair forces
        of up to some 2,000 particles). OpenCL and CUDA may be given a precision and a device: "CUDA:double",
        "CUDA:mixed:1"; without them "mixed" and the fastest.
    seed
        Of velocities, noise and barostat.
    box
        Three lengths or three box vectors, nm; None takes the System's own.
    friction
        1/ps.
    dimensions
        3, or 2: particles stay at the z they start from, to the bit, and have no velocity in z. Densities, such as
        that of an `RDF`, then remain per volume of the box: a g(r) of the plane is the user's to normalise.
    equilibration
        Steps before the first frame of a segment; None: 10*stride at first, 2*stride after that.

    Raises
    ------
    ValueError, TypeError
        For NaN or misshapen positions, T <= 0, and numbers that are not positive; in 2 dimensions for pressures,
        barostats, and constraints out of the plane.

    References
    ----------
    [1] Z. Zhang, X. Liu, K. Yan, M. E. Tuckerman, J. Liu, J. Phys. Chem. A 123, 6056 (2019): the integrator.
    """

    def __init__(self, model: Model, positions, temperature: float, pressure: float | None = None,
                 timestep: float = 0.002, n_frames: int = 500, stride: int = 100, platform: str = "CPU",
                 seed: int = 1, *, box=None, friction: float = 1.0, equilibration: int | None = None,
                 threads: int | None = None, name: str | None = None, dimensions: int = 3) -> None:
        require(isinstance(model, Model), "Ensemble", f"expected a Model, found {type(model).__name__}",
                "Pass openmmgrad.Model(system)", error=TypeError)
        self.model = model
        self.temperature = float(plain(temperature, "K"))
        self.pressure = None if pressure is None else float(plain(pressure, "bar"))
        self.timestep = float(plain(timestep, "ps"))
        self.friction = float(plain(friction, "1/ps"))
        self.n_frames, self.stride, self.seed = n_frames, stride, seed
        self.platform, self.threads, self.equilibration = platform, threads, equilibration
        self.dimensions = dimensions
        self.positions = np.array(plain(positions, "nm"), dtype=float)
        self.velocities: np.ndarray | None = None
        self.box = box_vectors(box, model.system)
        self.segment = 0
        self.md_steps = 0
        self.name = name or f"{self.temperature:g} K"
        self._validate()

    @property
    def kT(self) -> float:
        """kJ/mol."""
        return KB * self.temperature

    @property
    def volume(self) -> float:
        """nm^3, of the present box."""
        return float(abs(np.linalg.det(self.box)))

    def sample(self, n_frames: int | None = None, path: str | Path | None = None, progress=None) -> Frames:
        """Run one segment and return its frames.

        Parameters
        ----------
        n_frames
            S; None takes the Ensemble's own number.
        path
            A directory to stream the frames to: memory stays bounded and the Frames are memory-mapped.
        progress
            Called with the number of frames done after each.

        Raises
        ------
        ValueError
            If the energy or a position stops being finite: nothing sampled before is lost.
        """
        n_frames = self.n_frames if n_frames is None else n_frames
        require(n_frames >= 1, "Ensemble.sample", f"expected at least 1 frame, found {n_frames}", "Ask for more")
        context = self._context()
        evaluator = FeatureEvaluator(self.model, self.threads)
        integrator = context.getIntegrator()
        integrator.step(self._equilibration_steps())
        inverse_mass = _inverse(self.model.masses)[:, None] * (1.0 if self.dimensions == 3 else IN_PLANE)
        with FrameWriter(path, self._state(), self.model.masses, self.model.topology) as writer:
            for s in range(n_frames):
                integrator.step(self.stride)
                state = context.getState(positions=True, velocities=True, forces=True, energy=True)
                x = state.getPositions(asNumpy=True)._value
                energy = state.getPotentialEnergy()._value
                require(np.isfinite(energy) and bool(np.isfinite(x).all()), "Ensemble.sample",
                        f"the energy at frame {s} of segment {self.segment} is {energy} kJ/mol",
                        "Use a shorter timestep, or equilibrate from positions without overlaps")
                v = self._on_step_velocities(context, state, inverse_mass)
                box = state.getPeriodicBoxVectors(asNumpy=True)._value
                (features,), (virial,) = evaluator(x[None], box[None])
                writer.append(positions=x, velocities=v, box=box if self.model.periodic else None, features=features,
                              virial_features=virial, energy=energy)
                if progress is not None:
                    progress(s + 1)
            frames = writer.close(self._learnable_energies if self.model.reevaluates else None)
        self.positions, self.velocities, self.box = x, state.getVelocities(asNumpy=True)._value, box
        self.md_steps += self._equilibration_steps() + n_frames * self.stride
        self.segment += 1
        return frames

    def state(self) -> dict[str, np.ndarray]:
        """What a resumed run needs, as plain arrays; give it to `restore`."""
        saved = {"positions": self.positions, "box": self.box,
                 "counters": np.array([self.segment, self.md_steps])}
        if self.velocities is not None:
            saved["velocities"] = self.velocities
        return saved

    def restore(self, saved) -> None:
        """Continue from what `state` returned."""
        self.positions, self.box = np.array(saved["positions"]), np.array(saved["box"])
        self.velocities = np.array(saved["velocities"]) if "velocities" in saved else None
        self.segment, self.md_steps = (int(k) for k in saved["counters"])

    def _validate(self) -> None:
        who, n = "Ensemble", self.model.n_particles
        require(self.positions.shape == (n, 3), who,
                f"expected positions of shape [{n}, 3] for {n} particles, found {list(self.positions.shape)}",
                "Pass the positions of the same System")
        require(bool(np.isfinite(self.positions).all()), who, "positions contain NaN or infinite values",
                "Pass finite positions in nm")
        for label, value, what in (("temperature", self.temperature, "K"), ("timestep", self.timestep, "ps"),
                                   ("friction", self.friction, "1/ps"), ("n_frames", self.n_frames, "frames"),
                                   ("stride", self.stride, "steps")):
            require(value > 0 and np.isfinite(value), who, f"{label} must be positive, found {value} {what}",
                    f"Give a positive {label} in {what}")
        require(self.pressure is None or np.isfinite(self.pressure), who,
                f"pressure must be finite, found {self.pressure} bar", "Give bar, or None for constant volume")
        require(self.equilibration is None or self.equilibration >= 0, who,
                f"equilibration must not be negative, found {self.equilibration} steps", "Give steps, or None")
        require(self.threads is None or self.threads >= 1, who,
                f"threads must be at least 1, found {self.threads}", "Give a number of threads, or None")
        find_platform(self.platform, who)
        require(self.timestep <= 0.1, who, f"timestep is {self.timestep} ps, more than 0.1 ps",
                "Timesteps are in ps: 2 fs is 0.002")

        require(self.dimensions in (2, 3), who, f"dimensions must be 2 or 3, found {self.dimensions}", "Give 2 or 3")
        if self.dimensions == 2:
            require_planar(self.model.system, self.positions, self.pressure)

    def _segment_seed(self) -> int:
        digest = hashlib.sha256(f"{self.seed}/{self.name}/{self.segment}".encode()).digest()
        return int.from_bytes(digest[:4], "little") % (2**31 - 2) + 1

    def _equilibration_steps(self) -> int:
        if self.equilibration is not None:
            return self.equilibration
        return (10 if self.segment == 0 else 2) * self.stride

    def _context(self) -> openmm.Context:
        system = self.model.create_system(self.temperature)
        system.setDefaultPeriodicBoxVectors(*self.box)
        seed = self._segment_seed()
        if self.pressure is not None:
            barostat = openmm.MonteCarloBarostat(self.pressure * unit.bar, self.temperature)
            barostat.setRandomNumberSeed(seed)
            system.addForce(barostat)
        kind = openmm.LangevinMiddleIntegrator if self.dimensions == 3 else planar_integrator
        integrator = kind(self.temperature, self.friction, self.timestep)
        integrator.setRandomNumberSeed(seed)
        platform = find_platform(self.platform, "Ensemble")
        given = properties(self.platform, self.threads)
        context = openmm.Context(system, integrator, platform, given)
        context.setPositions(self.positions)
        context.computeVirtualSites()
        if self.velocities is None:
            openmm.LocalEnergyMinimizer.minimize(context, 10.0, 200)
            context.setVelocitiesToTemperature(self.temperature, seed)
        else:
            context.setVelocities(self.velocities)
        if self.dimensions == 2:
            start_in_plane(context, self.positions)
        return context

    def _on_step_velocities(self, context: openmm.Context, state: openmm.State, inverse_mass: np.ndarray) -> np.ndarray:
        """[N, 3], nm/ps, at the time of the positions: half a kick later, and along no constraint."""
        behind = state.getVelocities(asNumpy=True)._value
        v = behind + 0.5 * self.timestep * state.getForces(asNumpy=True)._value * inverse_mass
        if self.model.system.getNumConstraints() == 0:
            return v
        context.setVelocities(v)
        context.applyVelocityConstraints(1e-8)
        v = context.getState(velocities=True).getVelocities(asNumpy=True)._value
        context.setVelocities(behind)
        return v

    def _learnable_energies(self, frames: Frames) -> np.ndarray:
        return self.model.energies(frames).detach().numpy()

    def _state(self) -> State:
        coefficients = self.model.coefficients(self.temperature).detach().numpy().copy()
        pressure = None if self.pressure is None else self.pressure * BAR
        return State(coefficients, self.temperature, pressure, self.model.global_parameters.as_dict())


def _inverse(masses: np.ndarray) -> np.ndarray:
    return np.divide(1.0, masses, out=np.zeros_like(masses), where=masses > 0)


def box_vectors(box, system: openmm.System) -> np.ndarray:
    """Box vectors [3, 3], nm, of three lengths or vectors; None is the System's own."""
    if box is None:
        vectors = [v.value_in_unit(unit.nanometer) for v in system.getDefaultPeriodicBoxVectors()]
        return np.array([[v.x, v.y, v.z] for v in vectors])
    box = np.asarray(plain(box, "nm"), dtype=float)
    require(box.shape in ((3,), (3, 3)), "Ensemble",
            f"box must be 3 lengths or 3 vectors, found shape {list(box.shape)}",
            "Give nm, as [a, b, c] or a 3x3 array of rows")
    box = np.diag(box) if box.ndim == 1 else box
    require(bool(np.isfinite(box).all()) and bool((np.diag(box) > 0).all()), "Ensemble",
            f"box must be finite with positive lengths, found {box.tolist()} nm", "Give nm, in OpenMM's reduced form")
    return box
