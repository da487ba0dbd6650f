# SPDX-License-Identifier: MIT
# SWIG copies this file into the module, before the class.
import numpy as _numpy
import openmm as _openmm
from openmm import unit as _unit


def _plain(value, expected_unit):
    """A C-contiguous array of float64 (a scalar for a scalar), of a plain value or a Quantity."""
    if _unit.is_quantity(value):
        if not value.unit.is_compatible(expected_unit):
            raise ValueError(
                f"LearnablePairForce: a quantity in {expected_unit} was expected, found {value.unit}. "
                f"Convert it, or give a plain number in {expected_unit}."
            )
        value = value.value_in_unit(expected_unit)
    return _numpy.asarray(value, dtype=_numpy.float64, order="C")[()]


def _integers(values, what):
    """A contiguous array of int32; floats and booleans are refused."""
    array = _numpy.asarray(list(values) if isinstance(values, (set, frozenset)) else values)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(
            f"LearnablePairForce: {what} must be integers, found {array.dtype}. "
            f"Use indices, not masks or floats."
        )
    if array.size and (array.min() < -(2**31) or array.max() >= 2**31):
        raise ValueError(
            f"LearnablePairForce: {what} must fit into 32 bits, found {array.max()}. Check the indices."
        )
    return _numpy.ascontiguousarray(array, dtype=_numpy.intc)
