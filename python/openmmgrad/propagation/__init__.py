# SPDX-License-Identifier: MIT
"""Trajectories that gradients flow through."""

from .path import Path

__all__ = ["Path"]
