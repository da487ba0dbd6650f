# SPDX-License-Identifier: MIT
"""Gradients of propagate for periodic boxes of water with PME, against differences of whole simulations: minutes.

At a tolerance of 1e-5 the forces still jump at the cutoff, and that alone limits gradients and differences to some
1e-3. With alpha 20 % larger at the same cutoff (and the grid with it) both agree a hundred times better.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import molecules
import pytest
import simulate
from molecules import PME
from propagated import losses_of, propagated

TIMESTEP = 0.0005  # ps


@dataclass(frozen=True)
class Setting:
    """A case, the length of its window, and on Reference the tolerances for parameters and for the initial state.

    The step of differences is long where they must average jumps.
    """

    case: Callable[[], molecules.Case]
    n_steps: int
    parameters: float
    state: float
    step: float = 3e-4


SETTINGS = {
    "64 SPC/Fw, tolerance 1e-5": Setting(lambda: molecules.water("spcfw", 4, PME, 0.6), 200, 2e-3, 1e-2, 1e-3),
    "64 SPC/Fw": Setting(lambda: molecules.water("spcfw", 4, PME, 0.6, False, 0, 1.2), 200, 2e-4, 2e-4),
    "27 TIP4P/F": Setting(lambda: molecules.water("tip4pf", 3, PME, 0.44, False, 0, 1.2), 100, 2e-4, 2e-4),
    "64 SPC/Fw, triclinic": Setting(lambda: molecules.water("spcfw", 4, PME, 0.4, True, 0, 1.2), 50, 2e-4, 2e-4),
}


@cache
def expected(name):
    setting = SETTINGS[name]
    case, run = setting.case(), dict(timestep=TIMESTEP, n_steps=setting.n_steps)
    losses = losses_of(case, TIMESTEP)
    return (simulate.parameter_differences(case, losses, run, setting.step),
            simulate.state_differences(case, losses, run, setting.step))


@cache
def found(name, platform):
    return propagated(SETTINGS[name].case(), TIMESTEP, SETTINGS[name].n_steps, platform)


@pytest.mark.parametrize("loss", ["low band", "high band", "probe"])
@pytest.mark.parametrize("platform", ["Reference", "CPU"])
@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_with_pme(name, platform, loss):
    setting, (of_parameters, of_state) = SETTINGS[name], expected(name)
    _, parameters, state = found(name, platform)
    least = 0 if platform == "Reference" else 5e-3
    largest = max(abs(value) for value, _ in of_parameters[loss].values())
    table = {part: ((parameters[loss][part] - value) / largest, u / largest, max(setting.parameters, least))
             for part, (value, u) in of_parameters[loss].items()}
    for part, (value, uncertainty) in of_state[loss].items():
        derivative, usual = state[loss][part]
        table[part] = (derivative - value) / usual, uncertainty / usual, max(setting.state, least)
    print(f"\n{name}, {platform}, {loss}: "
          + ", ".join(f"{part} {error:.1e} ({u:.0e})" for part, (error, u, _) in table.items()))
    for part, (error, uncertainty, tolerance) in table.items():
        assert uncertainty <= 0.6 * tolerance, part
        assert abs(error) <= tolerance, part
