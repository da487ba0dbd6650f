# SPDX-License-Identifier: MIT
"""Fitting: sample, compare, step."""

from .boltzmann import BoltzmannInversion
from .gauss_newton import GaussNewton
from .history import History
from .loop import fit
from .optimizer import Gradient

__all__ = ["BoltzmannInversion", "GaussNewton", "Gradient", "History", "fit"]
