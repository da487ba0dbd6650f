# SPDX-License-Identifier: MIT
"""Trajectories that gradients flow through."""

from .diagnose import diagnose_gradient
from .gradient_report import GradientReport
from .propagate import Propagator, propagate
from .stationary import kinetic_control, time_origins

__all__ = ["GradientReport", "Propagator", "diagnose_gradient", "kinetic_control", "propagate",
           "time_origins"]
