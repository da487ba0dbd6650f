# SPDX-License-Identifier: MIT
"""Functions of one frame whose averages are compared with targets."""

from .base import Observable
from .pressure import Pressure
from .rdf import RDF
from .structure_factor import StructureFactor

__all__ = ["RDF", "Observable", "Pressure", "StructureFactor"]
