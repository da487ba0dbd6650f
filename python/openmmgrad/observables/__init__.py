# SPDX-License-Identifier: MIT
"""Functions of one frame or of one path whose averages are compared with targets."""

from .angles import AngleDistribution
from .base import Observable
from .dielectric import StaticDielectric
from .diffusion import MSD, SelfDiffusion, finite_size_correction
from .pressure import Pressure
from .rdf import RDF
from .spectra import IRSpectrum, VibrationalDensityOfStates
from .structure_factor import StructureFactor
from .thermodynamics import Density, HeatOfVaporization, PotentialEnergy
from .velocity import VACF
from .viscosity import Viscosity

__all__ = ["IRSpectrum", "MSD", "RDF", "VACF", "AngleDistribution", "Density", "HeatOfVaporization", "Observable",
           "PotentialEnergy", "Pressure", "SelfDiffusion", "StaticDielectric", "StructureFactor",
           "VibrationalDensityOfStates", "Viscosity", "finite_size_correction"]
