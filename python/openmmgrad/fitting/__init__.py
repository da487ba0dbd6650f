# SPDX-License-Identifier: MIT
"""Fitting: sample, compare, step."""

from .boltzmann import BoltzmannInversion
from .gauss_newton import GaussNewton
from .history import History
from .influence import Influence
from .loop import fit
from .optimizer import Gradient
from .start import start_from_rdf

__all__ = ["BoltzmannInversion", "GaussNewton", "Gradient", "History", "Influence", "fit", "start_from_rdf"]
