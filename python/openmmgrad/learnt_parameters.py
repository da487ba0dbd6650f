# SPDX-License-Identifier: MIT
"""Global parameters of a System's Forces as torch parameters of a Model."""

from __future__ import annotations

from collections.abc import Mapping

import openmm
import torch
from torch import Tensor, nn

from .errors import require
from .frames import Frames
from .global_parameters import available
from .parameter_energy import EnergyOfParameters, ParameterEnergy


class LearntParameters:
    """The methods of a `Model` that concern global parameters."""

    system: openmm.System
    global_parameters: GlobalParameters

    def add_parameters(self, values: Mapping[str, float], scale: float | Mapping[str, float] | None = None) -> None:
        """Learn global parameters of the System's Forces.

        Parameters
        ----------
        values
            {name: first value}, plain numbers in the units of the Force's expression. Several Forces may share a
            parameter. Each becomes a torch parameter ``global_parameters.<name>`` (a float64 scalar). A torch parameter
            in place of a number is taken as it is: ``{"kb": other.global_parameters["kb"]}`` shares it with another
            Model, and an optimiser sees one parameter.
        scale
            The size of a natural change, a number or {name: number}: the unit of difference steps. Default: the
            value's magnitude, or 1 where it is 0.

        Raises
        ------
        ValueError, TypeError
            For names that no Force has, values and scales that are not finite numbers, scales <= 0, and torch
            parameters that are no float64 scalars.

        Examples
        --------
        >>> import openmmgrad as og
        >>> system = openmm.System()
        >>> bond = openmm.CustomBondForce("0.5*kb*(r-0.1)^2")
        >>> _ = bond.addGlobalParameter("kb", 0.0), system.addForce(bond)
        >>> model = og.Model(system)
        >>> model.add_parameters({"kb": 4.0e5})
        >>> model.parameter_values(), model.parameter_scales
        (tensor([400000.], dtype=torch.float64, grad_fn=<StackBackward0>), {'kb': 400000.0})
        >>> gas = og.Model(system)
        >>> gas.add_parameters({"kb": model.global_parameters["kb"]})
        >>> gas.global_parameters["kb"] is model.global_parameters["kb"]
        True
        """
        self.global_parameters.add(self.system, values, scale)

    @property
    def parameter_names(self) -> list[str]:
        """Names of the learnt global parameters, [G]."""
        return self.global_parameters.names

    @property
    def parameter_scales(self) -> dict[str, float]:
        """{name: size of a natural change} of the learnt global parameters."""
        return dict(self.global_parameters.scales)

    def parameter_values(self) -> Tensor:
        """Values of the learnt global parameters, [G], with graph."""
        return self.global_parameters.values()

    def parameter_energies(self, frames: Frames, values: Tensor | None = None, platform: str = "CPU",
                           threads: int | None = 1) -> Tensor:
        """Energy of the Forces that have learnt parameters on stored frames, [S], kJ/mol, with graph.

        Forces that have none are left out, so only differences between parameters have a meaning.

        Parameters
        ----------
        frames
            S frames of the Model's particles.
        values
            [G] in the order of ``parameter_names``; None takes the present ones.
        platform, threads
            Where the energies are evaluated, and threads of the CPU platform (None: OpenMM's choice). The CPU platform
            computes nonbonded forces in single precision: for 216 TIP3P molecules with PME (U = -8700 kJ/mol) its
            energies scatter by 0.001 kJ/mol, and a charge's derivative, taken by differences, by 2e-4 of its spread
            over frames. "Reference" is exact to rounding, and five times slower there.

        Raises
        ------
        ValueError
            If particles or boxes do not fit, or an energy is not finite.
        """
        values = self.parameter_values() if values is None else values
        return self.global_parameters.energies(self.system, frames, values, platform, threads)


class GlobalParameters(nn.Module):
    """Named scalars: a torch parameter for each learnt global parameter, and the size of its natural change.

    Its torch parameters are called as the global parameters are; characters that torch does not allow become "_".
    """

    def __init__(self) -> None:
        super().__init__()
        self._attributes: dict[str, str] = {}  # name -> name of the torch parameter
        self.scales: dict[str, float] = {}
        self._evaluators: dict[tuple, ParameterEnergy] = {}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_evaluators": {}}  # a Context is not copied

    @property
    def names(self) -> list[str]:
        """In the order of their addition."""
        return list(self._attributes)

    def add(self, system: openmm.System, values: Mapping[str, float], scale=None) -> None:
        """See `Model.add_parameters`."""
        who = "add_parameters"
        require(isinstance(values, Mapping) and len(values) > 0, who, f"expected {{name: value}}, found {values!r}",
                "Name the global parameters to learn, with their first values", error=TypeError)
        known = available(system)
        for name, value in values.items():
            require(name in known, who,
                    f"no Force has a global parameter {name!r}; found {', '.join(known) or 'none'}",
                    "Choose one of those, or use addGlobalParameter on a Force before making the Model")
            require(name not in self._attributes, who, f"{name!r} is learnt already", "Add each parameter once")
            _require_number(value, f"the value of {name!r}")
        if scale is not None and not isinstance(scale, Mapping):
            scale = dict.fromkeys(values, scale)
        scale = {} if scale is None else scale
        unknown = [name for name in scale if name not in values]
        require(not unknown, who, f"scale has {', '.join(map(repr, unknown))}, which is not among the values",
                "Give scales of the parameters that are added")
        for name, size in scale.items():
            _require_number(size, f"the scale of {name!r}")
            require(size > 0, who, f"the scale of {name!r} must be positive, found {size}",
                    "Give the size of a natural change, in the parameter's unit")
        for name, value in values.items():
            self._attributes[name] = attribute = self._free_attribute(name)
            number = _number(value)
            own = value if isinstance(value, nn.Parameter) else nn.Parameter(torch.tensor(number, dtype=torch.float64))
            self.register_parameter(attribute, own)
            self.scales[name] = float(scale.get(name, abs(number) or 1.0))
        self._evaluators = {}

    def _free_attribute(self, name: str) -> str:
        attribute = name.replace(".", "_") or "_"
        while hasattr(self, attribute):
            attribute += "_"
        return attribute

    def __getitem__(self, name: str) -> nn.Parameter:
        return getattr(self, self._attributes[name])

    def values(self) -> Tensor:
        """All values in order, [G], with graph."""
        parts = [self[name] for name in self.names]
        return torch.stack(parts) if parts else torch.zeros(0, dtype=torch.float64)

    def energies(self, system: openmm.System, frames: Frames, values: Tensor, platform: str,
                 threads: int | None) -> Tensor:
        """See `Model.parameter_energies`."""
        if not self.names:
            return torch.zeros(len(frames), dtype=torch.float64)
        key = (platform, threads)
        if key not in self._evaluators:
            self._evaluators[key] = ParameterEnergy(system, self.scales, platform, threads)
        return EnergyOfParameters.apply(values, self._evaluators[key], frames)

    def as_dict(self) -> dict[str, float]:
        """The present values, as plain numbers.

        Raises
        ------
        ValueError
            If one of them is not finite.
        """
        values = {name: self[name].item() for name in self.names}
        bad = [name for name, value in values.items() if not abs(value) < float("inf")]
        require(not bad, "Model", f"parameters {', '.join(bad)} are NaN or infinite",
                "Restore the last good parameters")
        return values


def _number(value) -> float:
    return float(value.detach() if isinstance(value, Tensor) else value)


def _require_number(value, what: str) -> None:
    if isinstance(value, nn.Parameter):
        require(value.shape == () and value.dtype == torch.float64, "add_parameters",
                f"{what} must be a float64 scalar, found {str(value.dtype)[6:]} of shape {list(value.shape)}",
                "Share one of another Model's global_parameters")
    number = isinstance(value, int | float) or (hasattr(value, "__float__") and not openmm.unit.is_quantity(value))
    require(number, "add_parameters", f"{what} must be a plain number, found {value!r}",
            "Give it in the unit that the Force's expression uses", error=TypeError)
    require(abs(_number(value)) < float("inf"), "add_parameters", f"{what} must be finite, found {value}",
            "Give a finite number")
