# SPDX-License-Identifier: MIT
"""A harmonic dipole: two opposite charges on a spring, moving along x; its canonical frames and its leapfrog."""

import numpy as np
import openmm

import openmmgrad as og
from openmmgrad.units import KB

SPEED = 0.0299792458  # cm/ps
COULOMB = 138.93545764  # kJ/mol nm/e^2: 1/(4 pi eps0)
MASSES = np.array([1.008, 15.999])
MU = MASSES.prod() / MASSES.sum()
CHARGE, R0, TEMPERATURE, VOLUME = 0.5, 0.1, 300.0, 1.0
KT = KB * TEMPERATURE
#: Area under n alpha of one vibration, 1/cm^2: q^2/mu/(12 c^2 eps0 V), a third of the sum rule for an atom.
AREA = 4 * np.pi * COULOMB * CHARGE**2 / MU / (12 * SPEED**2 * VOLUME)


def constant_of(wavenumber: float) -> float:
    """Force constant, kJ/mol/nm^2."""
    return MU * (2 * np.pi * SPEED * wavenumber) ** 2


def harmonic_dipole(k: float, learn: tuple[str, ...] = ()) -> og.Model:
    """Force constant `k`; `dq` adds to the positive charge and takes from the negative one, which no force sees."""
    system = openmm.System()
    spring = openmm.CustomBondForce(f"0.5*k*(r-{R0})^2")
    spring.addGlobalParameter("k", k)
    spring.addEnergyParameterDerivative("k")
    spring.addBond(0, 1)
    charges = openmm.NonbondedForce()
    charges.addGlobalParameter("dq", 0.0)
    for i, sign in enumerate((1, -1)):
        system.addParticle(MASSES[i])
        charges.addParticle(sign * CHARGE, 0.3, 0.0)
        charges.addParticleParameterOffset("dq", i, sign, 0.0, 0.0)
    charges.addException(0, 1, 0.0, 1.0, 0.0)
    system.addForce(spring)
    system.addForce(charges)
    model = og.Model(system)
    if learn:
        model.add_parameters({name: {"k": k, "dq": 0.0}[name] for name in learn},
                             scale={name: {"k": k, "dq": CHARGE}[name] for name in learn})
    return model


def frames_of(k: float, stretch, speed, names: tuple[str, ...] = ()) -> og.Frames:
    """Bonds [S] longer than R0 by `stretch`, changing by `speed`, about a centre of mass at rest."""
    share = np.array([MASSES[1], -MASSES[0]]) / MASSES.sum()
    x, v = np.zeros((2, len(stretch), 2, 3))
    x[:, :, 0], v[:, :, 0] = (R0 + np.asarray(stretch))[:, None] * share, np.asarray(speed)[:, None] * share
    parameters = {name: {"k": k, "dq": 0.0}[name] for name in names}
    return og.Frames(x, og.State([], TEMPERATURE, parameters=parameters), velocities=v, masses=MASSES)


def two_frames(k: float, on_step: float = 1.0) -> og.Frames:
    """Two frames with the canonical second moments; `on_step` multiplies <v^2>."""
    return frames_of(k, [np.sqrt(2 * KT / k), 0.0], [0.0, np.sqrt(2 * on_step * KT / MU)])


def quadrature_frames(k: float, names: tuple[str, ...] = ("k",)) -> og.Frames:
    """9 frames at Gauss-Hermite nodes: with `NODE_WEIGHTS` their moments to fifth order are exactly canonical."""
    nodes = np.sqrt(3.0) * np.array([-1, 0, 1])
    stretch, speed = np.meshgrid(nodes * np.sqrt(KT / k), nodes * np.sqrt(KT / MU), indexing="ij")
    return frames_of(k, stretch.ravel(), speed.ravel(), names)


NODE_WEIGHTS = np.outer([1, 4, 1], [1, 4, 1]).ravel() / 36


def phase(k: float, timestep: float) -> float:
    """Angle by which leapfrog turns in a step."""
    return 2 * np.arcsin(0.5 * timestep * np.sqrt(k / MU))


def flux_correlation(k: float, timestep: float, n_lags: int, n_times: int) -> np.ndarray:
    """<J(0).J(t)> [L] of leapfrog's half-step velocities from canonical frames, averaged over all origins."""
    theta = phase(k, timestep)
    cos2 = np.cos(theta / 2) ** 2
    lags = np.arange(n_lags)
    drift = np.array([np.cos((2 * np.arange(n_times - n) + n - 1) * theta).mean() for n in lags])
    return CHARGE**2 * KT / MU / 2 * ((1 + 1 / cos2) * np.cos(lags * theta) - (1 - 1 / cos2) * drift)


def spectrum(k: float, timestep: float, n_lags: int, n_times: int, grid: np.ndarray) -> np.ndarray:
    """The closed form of what IRSpectrum shows with a Hann window, [B], 1/cm: the sums written out."""
    c = flux_correlation(k, timestep, n_lags, n_times)
    t = timestep * np.arange(n_lags)
    hann = 0.5 * (1 + np.cos(np.pi * t / t[-1]))
    shown = 2 / timestep * np.arcsin(np.pi * SPEED * grid * timestep)
    both_signs = timestep * (c[0] + 2 * (hann * c)[1:] @ np.cos(np.outer(t[1:], shown)))
    return both_signs * 4 * np.pi * COULOMB / (6 * SPEED * KT * VOLUME)
