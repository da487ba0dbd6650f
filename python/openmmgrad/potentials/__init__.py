# SPDX-License-Identifier: MIT
"""Pair potentials: torch modules that map learnable parameters to spline coefficients."""

from openmmgrad.potentials.analytic import (
    Buckingham,
    LennardJones,
    LennardJonesFamily,
    Morse,
    SoftSphere,
    Yukawa,
)
from openmmgrad.potentials.base import Pair, PairPotential
from openmmgrad.potentials.composite import EnergyEntropy, ModulePotential, PerPair, SumPotential
from openmmgrad.potentials.mlp import MLPPotential
from openmmgrad.potentials.projection import ProjectionError
from openmmgrad.potentials.spline import SplinePotential

__all__ = [
    "Buckingham",
    "EnergyEntropy",
    "LennardJones",
    "LennardJonesFamily",
    "MLPPotential",
    "ModulePotential",
    "Morse",
    "Pair",
    "PairPotential",
    "PerPair",
    "ProjectionError",
    "SoftSphere",
    "SplinePotential",
    "SumPotential",
    "Yukawa",
]
