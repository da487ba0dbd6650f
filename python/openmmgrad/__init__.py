# SPDX-License-Identifier: MIT
"""OpenMM-Grad: force fields from measurements, by gradients through OpenMM.

Nouns: a `PairPotential` (torch) goes into a `Model` (one openmm.System); an `Ensemble` samples `Frames`;
an observable (`RDF`, `StructureFactor`, `Pressure`) of them, averaged by `expectation` with `weights`, is compared
with a `Target`. `fit` does all of it until the targets are met; `export` takes the result elsewhere.
"""

# ruff: noqa: E402
from ._load import load_plugins

load_plugins()  # before anything that needs our kernels

from .backends import NAMES as BACKENDS
from .dipole import PointCharges, TorchDipole
from .estimate import Estimate, chi2, expectation
from .export import export
from .features import compute_features
from .fitting import History, Influence, fit, start_from_rdf
from .fluids import bead_fluid
from .fourier import potential_from_structure_factor, rdf_from_structure_factor
from .frames import Frames, FrameWriter, State
from .integrators import NoseHooverChainIntegrator
from .measured_spectra import MeasuredSpectrum, read_spectrum
from .model import Model
from .observables import (
    MSD,
    RDF,
    VACF,
    AngleDistribution,
    Density,
    HeatOfVaporization,
    IRSpectrum,
    PotentialEnergy,
    Pressure,
    SelfDiffusion,
    StaticDielectric,
    StructureFactor,
    VibrationalDensityOfStates,
    Viscosity,
)
from .path import Path
from .plugin import LearnablePairForce
from .potentials import (
    Buckingham,
    EnergyEntropy,
    LennardJones,
    LennardJonesFamily,
    MLPPotential,
    ModulePotential,
    Morse,
    PairPotential,
    PerPair,
    SoftSphere,
    SplinePotential,
    SumPotential,
    Yukawa,
)
from .propagation import Propagator, diagnose_gradient, kinetic_control, propagate, time_origins
from .recorder import Recorder
from .sampling import Ensemble
from .spectrum_bands import bands, relative_l2
from .stress import PressureTensor
from .tables import read_table
from .targets import Target
from .units import ReducedUnits
from .waters import flexible_water
from .weights import Weights, weights

__version__ = "0.1.0"

__all__ = [
    "AngleDistribution", "BACKENDS", "Buckingham", "Density", "EnergyEntropy", "Ensemble", "Estimate", "FrameWriter",
    "Frames", "HeatOfVaporization", "History", "IRSpectrum", "Influence", "LearnablePairForce", "LennardJones",
    "LennardJonesFamily", "MLPPotential", "MSD", "MeasuredSpectrum", "Model", "ModulePotential", "Morse",
    "NoseHooverChainIntegrator", "PairPotential", "Path", "PerPair", "PointCharges", "PotentialEnergy", "Pressure",
    "PressureTensor", "Propagator", "RDF", "Recorder", "ReducedUnits", "SelfDiffusion", "SoftSphere",
    "SplinePotential", "State", "StaticDielectric", "StructureFactor", "SumPotential", "Target", "TorchDipole", "VACF",
    "VibrationalDensityOfStates", "Viscosity", "Weights", "Yukawa", "bands", "bead_fluid", "chi2", "compute_features",
    "diagnose_gradient", "expectation", "export", "fit", "flexible_water", "kinetic_control",
    "potential_from_structure_factor", "propagate", "rdf_from_structure_factor", "read_spectrum", "read_table",
    "relative_l2", "start_from_rdf", "time_origins", "weights",
]
