# SPDX-License-Identifier: MIT
"""Trajectories that gradients flow through."""

from .path import Path
from .propagate import Propagator, propagate

__all__ = ["Path", "Propagator", "propagate"]
