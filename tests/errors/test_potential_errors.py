# SPDX-License-Identifier: MIT
"""Mistakes with potentials, splines and units: messages name what was expected, what was found, a remedy."""

import numpy as np
import pytest
import torch
from openmm import unit

from openmmgrad.errors import require
from openmmgrad.potentials import (
    Buckingham,
    EnergyEntropy,
    LennardJones,
    LennardJonesFamily,
    MLPPotential,
    ModulePotential,
    PairPotential,
    PerPair,
    SoftSphere,
    SplinePotential,
    SumPotential,
    Yukawa,
)
from openmmgrad.spline import SplineGrid
from openmmgrad.units import ReducedUnits, plain

NAN = float("nan")
PAIR = [("A", "A")]
R = np.linspace(0.01, 1.0, 100)


def lj(**changes):
    keywords = {"sigma": 0.34, "epsilon": 1.0, "cutoff": 0.9, **changes}
    return LennardJones(keywords.pop("sigma"), keywords.pop("epsilon"), keywords.pop("cutoff"), **keywords)


def user(function, **keywords):
    """A user's potential with this energy."""

    class Mine(PairPotential):
        def energy(self, r, pair=None, temperature=None):
            return function(r)

    return Mine(0.9, **keywords)


def spoiled(value):
    potential = lj()
    with torch.no_grad():
        potential.sigma.fill_(value)
    return potential


def spoiled_network():
    potential = MLPPotential(0.9)
    with torch.no_grad():
        potential.network[0].bias[3] = NAN
    return potential


def table(u, r=R, **keywords):
    return SplinePotential.from_energy(r, u, keywords.pop("cutoff", 0.9), **keywords)


def rdf(g, r=R, **keywords):
    return SplinePotential.from_rdf(r, g, 300.0, keywords.pop("cutoff", 0.9), **keywords)


MISTAKES = {
    "cutoff of zero": (lambda: lj(cutoff=0), r"SplineGrid: cutoff must be finite and positive, found 0.0 nm"),
    "negative cutoff": (lambda: lj(cutoff=-1.0), r"cutoff must be finite and positive, found -1.0 nm"),
    "cutoff that is NaN": (lambda: lj(cutoff=NAN), r"cutoff must be finite and positive, found nan nm"),
    "too few coefficients": (lambda: lj(n_coefficients=6), r"n_coefficients must be .* at least 7, found 6"),
    "a fraction of a coefficient": (lambda: lj(n_coefficients=8.5), r"integer of at least 7, found 8.5"),
    "unknown truncation": (lambda: lj(truncation="cut"), r"shift, shift-force, switch, none, found 'cut'"),
    "switch without a distance": (lambda: lj(truncation="switch"), r"switch_distance goes with"),
    "a switch distance without switch": (lambda: lj(switch_distance=0.7), r"switch_distance goes with"),
    "switching beyond the cutoff": (
        lambda: lj(truncation="switch", switch_distance=1.0),
        r"below the cutoff of 0.9 nm, found 1.0 nm",
    ),
    "core of zero": (lambda: lj(core=0.0), r"core must be a positive number of kT, found 0"),
    "NaN sigma": (lambda: lj(sigma=NAN), r"LennardJones: sigma must be positive, found nan nm"),
    "negative epsilon": (lambda: lj(epsilon=-1), r"epsilon must be positive, found -1 kJ/mol"),
    "infinite strength": (lambda: Yukawa(np.inf, 1.0, 0.9), r"strength must be finite, found inf kJ/mol\*nm"),
    "two sigmas": (
        lambda: lj(sigma=[0.3, 0.34]),
        r"sigma must be one number in nm, found shape \[2\].*PerPair",
    ),
    "exponents the wrong way": (lambda: LennardJonesFamily(0.3, 1.0, 0.9, 6, 12), r"found 6 and 12"),
    "power of zero": (lambda: SoftSphere(1.0, 0.3, 0.9, power=0), r"power must be positive, found 0"),
    "sigma in kelvin": (lambda: lj(sigma=3 * unit.kelvin), r"convertible to nm, found one in kelvin"),
    "energy per particle": (
        lambda: lj(epsilon=1 * unit.kilojoule),
        r"convertible to kJ/mol, found one in kilo",
    ),
    "cutoff in ps": (lambda: lj(cutoff=1 * unit.picosecond), r"convertible to nm, found one in picosecond"),
    "negative temperature": (
        lambda: lj().coefficients(PAIR, -1.0),
        r"temperature must be positive, found -1.0 K",
    ),
    "temperature of zero": (
        lambda: spline().coefficients(PAIR, 0),
        r"temperature must be positive, found 0.0 K",
    ),
    "temperature in nm": (
        lambda: lj().coefficients(PAIR, 3 * unit.nanometer),
        r"convertible to K, found one in",
    ),
    "a parameter that became NaN": (
        lambda: spoiled(NAN).coefficients(PAIR, 300.0),
        r"sigma must be positive, found nan",
    ),
    "a parameter that became negative": (
        lambda: spoiled(-0.1).coefficients(PAIR, 300.0),
        r"sigma must be positive, found -0.1 nm.*lower the learning rate",
    ),
    "a bad parameter inside a sum": (
        lambda: (spoiled(-0.1) + Yukawa(1.0, 1.0, 0.9)).coefficients(PAIR, 300.0),
        r"LennardJones: sigma must be positive, found -0.1 nm",
    ),
    "a network with NaN": (
        lambda: spoiled_network().coefficients(PAIR, 300.0),
        r"parameter network.0.bias must be finite, found",
    ),
    "no pairs": (
        lambda: lj().coefficients([], 300.0),
        r"pairs must be a list of two labels each, found 'none'",
    ),
    "labels instead of pairs": (lambda: lj().coefficients(["AA"], 300.0), r"two labels each, found 'AA'"),
    "unknown pair of a mixture": (
        lambda: PerPair({("A", "A"): lj()}).coefficients([("A", "B")], 300.0),
        r"PerPair: no potential for pair \('A', 'B'\); known are \('A', 'A'\)",
    ),
    "unknown pair of a spline": (
        lambda: spline(pairs=PAIR).coefficients([("A", "B")], 300.0),
        r"SplinePotential: no spline for pair \('A', 'B'\); known are \('A', 'A'\)",
    ),
    "a pair given twice": (
        lambda: PerPair({("A", "B"): lj(), ("B", "A"): lj()}),
        r"\('A', 'B'\) is given twice",
    ),
    "a spline's pair given twice": (
        lambda: spline(pairs=[("A", "B"), ("B", "A")]),
        r"must be different pairs",
    ),
    "energy that is NaN": (
        lambda: user(lambda r: torch.sqrt(0.5 - r)).coefficients(PAIR, 300.0),
        r"Mine: energy must be finite from 0 nm to the cutoff, found nan at 0\.\d+ nm for pair \('A', 'A'\)",
    ),
    "energy that is infinite": (
        lambda: user(lambda r: torch.where(r > 0.4, torch.inf, 0.0), truncation="none").coefficients(
            PAIR, 300.0
        ),
        r"fall below core = 50 kT well before .* found inf kT at 0.8852 nm",
    ),
    "one energy for all distances": (
        lambda: user(lambda r: r.sum()).coefficients(PAIR, 300.0),
        r"Mine.energy: expected one energy per distance, shape \[\d+\], found \[\]",
    ),
    "a network's trailing axis": (
        lambda: user(lambda r: r.unsqueeze(-1)).coefficients(PAIR, 300.0),
        r"found \[\d+, 1\].*squeeze",
    ),
    "a cutoff inside the core": (
        lambda: lj(sigma=3.4).coefficients(PAIR, 300.0),
        r"core = 50 kT well before the cut",
    ),
    "collapse of bare attraction": (
        lambda: Yukawa(-50.0, 1.0, 0.9).coefficients(PAIR, 300.0),
        r"u must reach core = 50 kT somewhere or stay bounded at small r",
    ),
    "a barrier below the core": (
        lambda: Buckingham(2e3, 20.0, 6e-4, 0.9).coefficients(PAIR, 300.0),
        r"found a barrier of \d+\.?\d* kT at 0\.\d+ nm .*lower core= below the barrier",
    ),
    "energy and entropy without a temperature": (
        lambda: EnergyEntropy(lj(), lj())(torch.tensor([0.4])),
        r"EnergyEntropy.energy: expected a temperature in K, found None",
    ),
    "a sum cut before its parts": (
        lambda: SumPotential(lj(), cutoff=0.5),
        r"at least that of the parts, 0.9 nm",
    ),
    "an unknown prior": (lambda: MLPPotential(0.9, prior="soft"), r"unknown prior 'soft'"),
    "a prior beyond the cutoff": (lambda: MLPPotential(0.8, prior=lj()), r"at most 0.8 nm, found 0.9 nm"),
    "a network without layers": (lambda: MLPPotential(0.9, layers=0), r"found 128, 0 and 25"),
    "a scale of zero": (lambda: MLPPotential(0.9, scale=0.0), r"scale must be positive, found 0.0 kJ/mol"),
    "core outside the cutoff": (
        lambda: spline().set_core(0.9),
        r"expected r from 0 to 0.841 nm, found 0.9 nm",
    ),
    "a table with NaN": (lambda: table(np.where(R > 0.5, R, NAN)), r"from_energy: found NaN in \d+ rows"),
    "a table in Angstrom": (
        lambda: table(R, r=10 * R + 2),
        r"found no finite u within 0.9 nm. Check the table's units: nm",
    ),
    "a table that ends early": (
        lambda: table(R, cutoff=1.2),
        r"reach the cutoff of 1.2 nm, found it ending at 1 nm",
    ),
    "an unsorted table": (lambda: table(R, r=R[::-1]), r"r must be finite, not negative and increasing"),
    "columns of different length": (
        lambda: table(R[:50], r=R),
        r"expected u \[R\] or \[P, R\] with R = 100 and P = 1, found shape \[50\]",
    ),
    "a negative g": (lambda: rdf(R - 0.5), r"from_rdf: g must be finite and >= 0, found -0.49"),
    "a g that is zero": (
        lambda: rdf(0 * R),
        r"g must exceed g_min = 0.001 somewhere, its largest value is 0",
    ),
    "an rdf that ends early": (lambda: rdf(R, cutoff=1.5), r"must reach the cutoff of 1.5 nm"),
    "coefficients of another grid": (
        lambda: SplineGrid(0.9, 64).evaluate(torch.zeros(32), torch.zeros(3)),
        r"c must have 64 coefficients on its last axis, found shape \[32\]",
    ),
    "third derivative": (lambda: SplineGrid(0.9, 64).basis(torch.zeros(3), 3), r"must be 0, 1 or 2, found 3"),
    "core beyond the last knot": (
        lambda: SplineGrid(0.9, 64).extend_core(torch.zeros(64), 61),
        r"i_core must be from 0 to 60, found 61",
    ),
    "mass of zero": (lambda: ReducedUnits(0.3, 1.0, 0.0), r"mass must be finite and positive, found 0.0 amu"),
    "a unit that does not exist": (
        lambda: plain(1 * unit.meter, "nm/fs"),
        r"unit 'nm/fs' must be made of .* found 'fs'",
    ),
}


def spline(**keywords):
    return SplinePotential(0.9, **keywords)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_refused_with_values_and_a_remedy(mistake):
    do, message = MISTAKES[mistake]
    with pytest.raises(ValueError, match=message):
        do()


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda: lj(sigma=None), r"expected a number, array or Quantity in nm, found None"),
        (lambda: lj(sigma="0.34"), r"found '0.34'"),
        (lambda: lj().coefficients(PAIR, None), r"in K, found None"),
        (lambda: PairPotential(0.9), r"abstract"),
        (lambda: lj(swich_distance=0.8), r"swich_distance"),
        (
            lambda: user(lambda r: r.tolist()).coefficients(PAIR, 300.0),
            r"expected a real torch tensor, found list",
        ),
        (lambda: user(lambda r: r.long()).coefficients(PAIR, 300.0), r"found torch.int64"),
        (
            lambda: ModulePotential(torch.exp, 0.9),
            r"expected a torch.nn.Module, found builtin_function_or_method",
        ),
        (lambda: SumPotential(), r"expected PairPotentials, found none"),
        (
            lambda: PerPair({("A", "A"): torch.nn.Identity()}),
            r"found Identity. Wrap a torch module in ModulePot",
        ),
        (lambda: MLPPotential(0.9, prior=torch.nn.Identity()), r"prior must be a PairPotential or None"),
    ],
)
def test_wrong_type_is_a_type_error(do, message):
    with pytest.raises(TypeError, match=message):
        do()


def test_core_that_turns_attractive_warns():
    """A barrier of 51 kT with its edge near the top: concave, so its continuation falls again."""
    kT = 0.00831446261815324 * 300
    potential = user(lambda r: 51 * kT * torch.exp(-(((r - 0.3) / 0.1) ** 2)))
    with pytest.warns(
        UserWarning, match=r"Mine: the core of pair \('A', 'A'\) turns attractive: u falls from 5"
    ):
        potential.coefficients(PAIR, 300.0)


def test_require_adds_the_full_stop_once():
    for remedy in ("Do this", "Do this."):
        with pytest.raises(KeyError, match=r"me: a, found b\. Do this\.'$"):
            require(False, "me", "a, found b", remedy, error=KeyError)
    require(True, "me", "", "")
