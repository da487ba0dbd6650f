# SPDX-License-Identifier: MIT
"""Trajectories that gradients flow through."""

from .diagnose import diagnose_gradient
from .gradient_report import GradientReport
from .path import Path
from .propagate import Propagator, propagate

__all__ = ["GradientReport", "Path", "Propagator", "diagnose_gradient", "propagate"]
