# SPDX-License-Identifier: MIT
"""Records fluxes, dipoles, velocities and pressure of a simulation: an OpenMM reporter, or steps and sums in C++."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openmm

from . import plugin
from .errors import require
from .recorder_setup import atoms_of, box_of, folded, is_half_step, require_same, temperature_of, weights_of
from .recording import STRESS, VELOCITIES, Pending, Recording
from .selection import topology_table
from .series import INDEX, Series, StoredSeries
from .stress import STRAIN, PressureTensor
from .units import plain

__all__ = ["Recorder", "folded"]

_BLOCK_BYTES = 2**26


class Recorder(Recording):
    r"""Records few numbers of many steps: fluxes :math:`\sum_i w_i \mathbf v_i`, dipoles, velocities, pressure.

    Two uses, with the same series: ``simulation.reporters.append(recorder)``, or ``recorder.run(context, n_steps)``,
    where steps and sums happen in C++ and Python sees one block of steps at a time.

    Parameters
    ----------
    interval
        Steps from one record to the next.
    fluxes
        {name: weights [N]}: charges (e) give the charge flux, e nm/ps; masses the momentum. Weights of virtual sites
        are given to their particles (`folded`), since OpenMM has no velocities of sites.
    dipoles
        {name: weights [N]}: :math:`\sum_i w_i \mathbf x_i` of unwrapped positions, e nm; virtual sites of any kind.
    velocities
        Atoms whose velocities are kept, in single precision: True (all), an mdtraj selection, indices or a mask.
    stress
        True, or steps from one sample to the next (a multiple of interval): the pressure tensor of `PressureTensor`,
        kJ/mol/nm^3, series "stress".
    diagonal
        Whether xx, yy, zz of the pressure are sampled, too: twice the cost.
    strain
        See `PressureTensor`.
    temperature
        K; None takes that of the integrator, where it has one.
    topology
        An `mdtraj.Topology`; selections by name take it, or that of a Simulation.
    half_step
        Whether velocities are half a step behind the positions; None knows it of OpenMM's leapfrog integrators (Verlet,
        LangevinMiddle, Langevin, NoseHoover, QTB) and of `NoseHooverChainIntegrator` (at their time).
    file
        A directory for the series, one .npy file each; None keeps them in memory.
    append
        Go on with the recording that ``file`` holds: of the same System and settings, from the step that follows its
        last one, or from an earlier one (such as a checkpoint's), from where on it is recorded anew.
    overwrite
        Replace what ``file`` holds.
    block
        Records that are handed over, and written, at a time: a crash loses at most those.

    Raises
    ------
    ValueError
        If settings do not fit together or to the System; if a flux gives weight to virtual sites that are not averages;
        if the System has an active barostat (boxes of paths are constant); if steps were left out between two runs.

    Notes
    -----
    Leapfrog velocities are recorded as they are (``path.half_step``). Of a VerletIntegrator, with constraints or
    without, a step's charge flux is exactly the difference of the dipoles after and before it, over the timestep. The
    pressure's kinetic part uses these velocities, too: that of a mode of angular frequency w is greater by the factor
    1 + (w timestep/2)^2.

    Of 64 and 216 waters with PME on the CPU platform, `run` with a flux at every step takes 0.99 and 1.01 times the CPU
    time of plain steps, a reporter 1.05 to 1.15; a sample of the pressure's three off-diagonals that of 10 and 9 steps
    (benchmarks/recorder.py, on a machine that was busy otherwise).

    Examples
    --------
    >>> system = openmm.System()
    >>> _ = [system.addParticle(10.0) for _ in range(2)]
    >>> spring = openmm.HarmonicBondForce()
    >>> _ = spring.addBond(0, 1, 0.1, 1000.0), system.addForce(spring)
    >>> context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    >>> context.setPositions([[0, 0, 0], [0.12, 0, 0]])
    >>> recorder = Recorder(fluxes={"charge": [1.0, -1.0]}, temperature=300.0)
    >>> recorder.run(context, 100)
    >>> recorder.path("charge", n_times=40, start_every=20).observed.shape
    torch.Size([4, 40, 3])
    """

    def __init__(self, interval: int = 1, fluxes: Mapping[str, Any] | None = None, velocities: Any = None,
                 stress: bool | int = False, file: Any = None, dipoles: Mapping[str, Any] | None = None,
                 diagonal: bool = False, strain: float = STRAIN, temperature: float | None = None,
                 topology: Any = None, half_step: bool | None = None, append: bool = False, overwrite: bool = False,
                 block: int = 1000) -> None:
        who = "Recorder"
        self.interval, self.block = int(interval), int(block)
        require(self.interval >= 1 and self.block >= 1, who,
                f"interval and block must be at least 1, found {interval} and {block}", "Give numbers of steps")
        self.fluxes, self.dipoles = dict(fluxes or {}), dict(dipoles or {})
        names = [*self.fluxes, *self.dipoles]
        require(len(set(names)) == len(names) and not {VELOCITIES, STRESS} & set(names), who,
                f"names must be distinct and other than {VELOCITIES!r} and {STRESS!r}, found {names}", "Rename one")
        require(all(isinstance(name, str) and name.replace("-", "_").isidentifier() for name in names), who,
                f"names of series must be plain words, found {names}", "Files are named after them")
        self._every = 1 if stress is True else int(stress) // self.interval  # records from one sample to the next
        require(stress is True or int(stress) == self._every * self.interval >= 0, who,
                f"stress must be a multiple of interval = {interval}, found {stress}", "Sample at recorded steps")
        require(names or velocities is not None or self._every, who, "expected something to record, found nothing",
                "Pass fluxes=, dipoles=, velocities= or stress=")
        require(not append or file is not None, who, "append=True needs a file, found none", "Pass file=")
        require(not (append and overwrite), who, "append and overwrite exclude each other", "Choose one")
        self.selection, self.diagonal, self.strain = velocities, diagonal, float(strain)
        self.temperature = None if temperature is None else float(plain(temperature, "K"))
        self.topology, self.half_step = topology, half_step
        self.file, self.append, self.overwrite = file, append, overwrite
        self._context: openmm.Context | None = None
        self._series, self._pending = None, None

    def run(self, simulation: Any, n_steps: int) -> None:
        """Run so many steps (a multiple of interval) of a Context or Simulation, and record them.

        Reporters of a Simulation are not called meanwhile. Interrupted (Ctrl-C), whole blocks are kept.
        """
        context = self._attach(simulation)
        n_records, left = divmod(int(n_steps), self.interval)
        require(left == 0 and n_records >= 1, "Recorder.run",
                f"n_steps must be a multiple of interval = {self.interval}, found {n_steps}", "Run whole intervals")
        self._continue_at(context.getStepCount() + self.interval)
        while n_records > 0:
            n = min(n_records, self._pending.size)
            block = self._new_block(n)
            self._steps.run(self._n, n, self.interval, *block)
            self._keep(n, block)
            n_records -= n
        self.flush()

    def describeNextReport(self, simulation: Any) -> dict:  # noqa: N802 - OpenMM's name
        """What OpenMM asks of a reporter: when the next record is, and of what."""
        self._attach(simulation)
        positions = ["positions"] if self.dipoles or self._is_sampled() else []
        return {"steps": self.interval - simulation.currentStep % self.interval, "periodic": False,
                "include": ["velocities", *positions]}

    def report(self, simulation: Any, state: openmm.State) -> None:
        """Record one state, for OpenMM."""
        self._continue_at(simulation.currentStep)
        v = state.getVelocities(asNumpy=True)._value
        sampled = self._is_sampled()
        x = state.getPositions(asNumpy=True)._value if self.dipoles or sampled else np.zeros((0, 3))
        values, velocities, pressures = block = self._new_block(1)
        self._steps.record(np.ascontiguousarray(x), np.ascontiguousarray(v), values, velocities)
        if sampled:
            self._pressure.calculator.setParameters(self._context)
            pressures[0] = self._pressure(x, v, state.getPeriodicBoxVectors(asNumpy=True)._value)
        self._keep(1, block)

    def _attach(self, simulation: Any) -> openmm.Context:
        """Make ready for the Context of the first record."""
        context = getattr(simulation, "context", simulation)
        if self._context is not None:
            require(context is self._context, "Recorder", "expected the Context of the first record, found another",
                    "Make a Recorder for each Context")
            return context
        require(isinstance(context, openmm.Context), "Recorder",
                f"expected an openmm.Context or Simulation, found {type(context).__name__}", "Pass one", TypeError)
        facts = self._describe(context, simulation)
        self._resumed = self.append and (Path(self.file) / INDEX).exists()
        if self._resumed:
            self._series = StoredSeries.load(self.file)
            require_same(self._series.facts, facts, self.file)
        else:
            self._series = Series(facts) if self.file is None else StoredSeries(self.file, facts, self.overwrite)
        self._n = self._series.n_records
        size = 8 * self._steps.getNumValues() + 12 * self._steps.getNumAtoms() + 1
        self._pending = Pending(self._series, min(self.block, max(_BLOCK_BYTES // size, 1)))
        weakref.finalize(self, self._pending.flush)
        self._context = context
        return context

    def _describe(self, context: openmm.Context, simulation: Any) -> dict:
        """Make what sums and samples; the facts of the recording."""
        system, integrator = context.getSystem(), context.getIntegrator()
        n = system.getNumParticles()
        box, half_step = box_of(context), is_half_step(integrator, self.half_step)
        atoms, topology = atoms_of(self.selection, n, self.topology, simulation)
        weights = {name: folded(system, w) for name, w in self.fluxes.items()}
        weights |= {name: weights_of(system, w, "Recorder") for name, w in self.dipoles.items()}
        self._steps = plugin.StepRecorder(context)
        for name, values in weights.items():
            (self._steps.addFlux if name in self.fluxes else self._steps.addDipole)(values)
        self._steps.setAtoms(atoms.astype(np.intc))
        kinds = dict.fromkeys(self.fluxes, "flux") | dict.fromkeys(self.dipoles, "dipole")
        kinds |= {VELOCITIES: VELOCITIES} if len(atoms) else {}
        self._pressure = None
        if self._every:
            kinds[STRESS] = STRESS
            self._pressure = PressureTensor.beside(context, self.strain, self.diagonal)
            self._steps.setPressure(self._pressure.calculator, self._every)
        return {"series": kinds, "interval": self.interval, "every": self._every, "half_step": half_step,
                "timestep": integrator.getStepSize()._value, "box": box,
                "temperature": temperature_of(integrator, self.temperature),
                "masses": [system.getParticleMass(i)._value for i in range(n)], "atoms": atoms.tolist(),
                "weights": {name: values.tolist() for name, values in weights.items()},
                "components": list(self._pressure.components) if self._pressure else [],
                "topology": topology_table(topology), "first_step": None}

    def _continue_at(self, step: int) -> None:
        """Refuse a gap before the record of a step; after a restart, drop records from that step on."""
        facts = self._series.facts
        if facts["first_step"] is None:
            facts["first_step"] = step
        n, left = divmod(step - facts["first_step"], self.interval)
        if self._resumed and left == 0 and 0 <= n < self._n:
            self._n = n
            self._series.truncate(n, {name: n // self._every if name == STRESS else n for name in facts["series"]})
        self._resumed = False
        require(left == 0 and n == self._n, "Recorder",
                f"the next record is of step {facts['first_step'] + self._n * self.interval}, found step {step}",
                "Run all steps with the Recorder, or make another one")

    def _is_sampled(self) -> bool:
        """Whether pressure belongs to the next record."""
        return self._every > 0 and (self._n + 1) % self._every == 0

    def _new_block(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        samples = (self._n + n) // self._every - self._n // self._every if self._every else 0
        components = len(self._pressure.components) if self._pressure else 0
        return (np.empty((n, self._steps.getNumValues() // 3, 3)),
                np.empty((n, self._steps.getNumAtoms(), 3), np.float32), np.empty((samples, components)))

    def _keep(self, n: int, block: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        values, velocities, pressures = block
        require(all(np.isfinite(part).all() for part in block), "Recorder",
                f"found NaN or infinite values within {n * self.interval} steps", "Use a shorter timestep")
        arrays = {name: values[:, k] for k, name in enumerate((*self.fluxes, *self.dipoles))}
        arrays |= {VELOCITIES: velocities} if velocities.shape[1] else {}
        arrays |= {STRESS: pressures} if len(pressures) else {}
        self._n += n
        self._pending.add(n, arrays)
