# SPDX-License-Identifier: MIT
"""Functions of one frame whose averages are compared with targets."""

from .base import Observable
from .rdf import RDF

__all__ = ["RDF", "Observable"]
