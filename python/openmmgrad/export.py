# SPDX-License-Identifier: MIT
"""export: a fitted potential as numbers, for OpenMM, LAMMPS, GROMACS or a spreadsheet."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openmm
import torch

from .errors import require
from .model import REFERENCE_TEMPERATURE, Model
from .potentials import PairPotential
from .spline import SplineGrid

SUFFIXES = (".xml", ".lammps", ".xvg", ".csv")
#: LAMMPS units: (length in nm, energy in kJ/mol, their names).
LAMMPS_UNITS = {
    "real": (0.1, 4.184, "Angstrom", "kcal/mol"),
    "metal": (0.1, 96.48533212331002, "Angstrom", "eV"),
    "nano": (1.0, 0.602214076, "nm", "attogram nm^2/ns^2"),
}
SPACING = 0.002  # nm, at most: GROMACS' own spacing in mixed precision
FINE_SPACING = 0.0005  # nm, at most: LAMMPS splines the force by itself, and f' has kinks at the knots
XVG_MARGIN = 1.0  # nm; GROMACS wants a table to reach its table-extension (1 nm) beyond the cutoff


@dataclass(frozen=True)
class PairTable:
    """A pair of types, its spline (coefficients [K], kJ/mol) and what a reader should know of it."""

    labels: tuple[str, str]
    grid: SplineGrid
    coefficients: torch.Tensor
    facts: str

    @property
    def keyword(self) -> str:
        """The labels as a word: "A-B"."""
        return "-".join(re.sub(r"[^\w.+]", "_", label) for label in self.labels)

    def spacing(self, most: float) -> float:
        """A whole fraction of the spline's interval, at most ``most``: knots are points of the table. nm."""
        return self.grid.width / np.ceil(self.grid.width / most)

    def evaluate(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Energy (kJ/mol) and force -du/dr (kJ/mol/nm) at r [R], nm."""
        x = torch.from_numpy(r)
        return tuple(s * self.grid.evaluate(self.coefficients, x, d).numpy() for s, d in ((1, 0), (-1, 1)))


def export(
    what: Model | PairPotential,
    path: str | os.PathLike,
    temperature: float = REFERENCE_TEMPERATURE,
    *,
    backend: str = "native",
    units: str = "real",
    pairs: Sequence[tuple[str, str]] = (("all", "all"),),
) -> list[Path]:
    """Write the projected spline of a Model's learnable potentials, in the format of the path's suffix.

    ``.xml``
        the `openmm.System` with the learnable forces, and learnt global parameters as defaults of their Forces.
        With ``backend="table"`` OpenMM alone reads and runs it.
    ``.lammps``
        ``pair_style table``, a section per pair of types; the first lines name the units and the commands.
    ``.xvg``
        GROMACS (2019 and before: group scheme), u in the repulsion columns: C6 = 0, C12 = 1. With several
        pairs of types, ``table.xvg`` becomes ``table_A_B.xvg`` for each.
    ``.csv``
        r, u and f in nm, kJ/mol, kJ/mol/nm; two more columns for each further pair of types.

    Every knot of the spline is a point of the table, so that cubic interpolation gives the spline itself.
    Tables begin at r = 0 (LAMMPS: one spacing further) and end at the cutoff. No dispersion correction is
    part of the potential: switch it off in the reading program, and keep the cutoff. Exclusions,
    interaction groups and the System's own Forces are in ``.xml`` only; comments of tables name the global
    parameters and torch energies that belong to the fit. Each file replaces an old one in one step.

    Parameters
    ----------
    what
        A Model, or a potential (not for ``.xml``).
    path
        Ends in one of SUFFIXES.
    temperature
        K; the projection, and a temperature-dependent potential, depend on it.
    backend
        "native" or "table"; only for ``.xml``.
    units
        LAMMPS units: "real", "metal" or "nano"; only for ``.lammps``.
    pairs
        Labels of a potential's pairs of types; a Model knows its own.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ValueError
        For another suffix, backend or units, where two terms of a Model give tables to one pair of types, for tables
        of a Model without pair potentials, and for ``.xml`` of one with torch energies, which are Python code.
    TypeError
        For anything but a Model or PairPotential, and a potential as ``.xml``.

    References
    ----------
    LAMMPS documentation, pair_style table. GROMACS reference manual 2019, "Tabulated interaction functions".
    """
    path = Path(path)
    require(
        path.suffix in SUFFIXES,
        "export",
        f"path must end in one of {', '.join(SUFFIXES)}, found {path.name!r}",
        "Choose the format by the suffix",
    )
    require(
        isinstance(what, Model | PairPotential),
        "export",
        f"expected a Model or a PairPotential, found {type(what).__name__}",
        "Pass the fitted Model",
        TypeError,
    )
    if path.suffix == ".xml":
        return [_write(path, system_xml(what, temperature, backend))]
    tables = pair_tables(what, temperature, pairs)
    if path.suffix == ".lammps":
        return [_write(path, lammps_text(tables, units))]
    if path.suffix == ".csv":
        return [_write(path, csv_text(tables))]
    if len(tables) == 1:
        return [_write(path, xvg_text(tables[0]))]
    named = [(table.keyword.replace("-", "_"), table) for table in tables]
    return [_write(path.with_stem(f"{path.stem}_{name}"), xvg_text(table)) for name, table in named]


def pair_tables(
    what: Model | PairPotential, temperature: float, pairs: Sequence[tuple[str, str]] = (("all", "all"),)
) -> list[PairTable]:
    """One table per pair of types."""
    terms = [(t.potential, t.pairs) for t in what.terms] if isinstance(what, Model) else [(what, list(pairs))]
    beside = _beside(what)
    remedy = "Call model.add_pair_potential first"
    if beside:
        remedy = "Write .xml: it holds global parameters as defaults of their Forces"
        remedy = "Use model.create_system(temperature) in Python" if what.energy_terms else remedy
    require(
        bool(terms),
        "export",
        "the Model has no learnable potential, which is what tables hold" + (f", but {beside}" if beside else ""),
        remedy,
    )
    tables = []
    for potential, labels in terms:
        facts = (
            f"{type(potential).__name__} at {temperature:g} K, cutoff {potential.cutoff:g} nm, truncation "
            f"{potential.truncation}, cubic spline of {potential.n_coefficients} coefficients, "
            "no dispersion correction" + (f"; not in this table: {beside}" if beside else "")
        )
        with torch.no_grad():
            c = potential.coefficients(labels, temperature).cpu()
        tables += [PairTable(pair, potential.grid, row, facts) for pair, row in zip(labels, c, strict=True)]
    keywords = [table.keyword for table in tables]
    twice = sorted({keyword for keyword in keywords if keywords.count(keyword) > 1})
    require(
        not twice,
        "export",
        f"expected one table per pair of types, found several of {', '.join(twice)}",
        "Export each potential by itself, or add them up with SumPotential",
    )
    return tables


def _beside(what: Model | PairPotential) -> str:
    """What a Model learns beside its pair potentials, in words; empty for nothing."""
    if not isinstance(what, Model):
        return ""
    values = [f"{name} = {value:.10g}" for name, value in what.global_parameters.as_dict().items()]
    found = [f"global parameters {', '.join(values)}"] if values else []
    names = ", ".join(term.name for term in what.energy_terms)
    return " and ".join(found + ([f"torch energies {names}"] if names else []))


def system_xml(model: Model, temperature: float, backend: str) -> str:
    """A Model's System with its learnable forces as OpenMM's XML."""
    require(
        isinstance(model, Model),
        "export",
        f".xml holds a System, found a {type(model).__name__}",
        "Pass the Model, or write a table",
        TypeError,
    )
    require(
        backend in ("native", "table"),
        "export",
        f"backend must be 'native' or 'table', found {backend!r}",
        "Python and torch code does not travel as numbers; 'table' needs OpenMM only",
    )
    names = ", ".join(term.name for term in model.energy_terms)
    require(
        not names,
        "export",
        f".xml holds numbers, with backend='table', too, and {names} is Python code (add_energy)",
        "Use model.create_system(temperature) in Python; XmlSerializer.serialize of that System holds a pickle of the "
        "module, for readers that have its class and trust its source",
    )
    return openmm.XmlSerializer.serialize(model.create_system(temperature, backend=backend))


def lammps_text(tables: Sequence[PairTable], units: str = "real") -> str:
    """A file for LAMMPS' pair_style table; r, e, f in the named units."""
    require(
        units in LAMMPS_UNITS,
        "export",
        f"units must be one of {', '.join(LAMMPS_UNITS)}, found {units!r}",
        "Use the units command of the LAMMPS script",
    )
    length, energy, length_name, energy_name = LAMMPS_UNITS[units]
    lines = [
        f"# UNITS: {units}",
        f"# r in {length_name}, e in {energy_name}, f in {energy_name}/{length_name}",
        "# pair_style table linear 20000; pair_coeff I J FILE SECTION; pair_modify shift no tail no",
    ]
    for table in tables:
        spacing = table.spacing(FINE_SPACING)
        n = round(table.grid.cutoff / spacing)
        r = spacing * np.arange(1, n + 1)
        u, f = table.evaluate(r)
        r, u, f = r / length, u / energy, f * length / energy
        lines += ["", f"# {table.facts}", table.keyword]
        lines += [f"N {n} R {r[0]:.12g} {r[-1]:.12g}", ""]
        lines += [
            f"{i} {a:.12g} {b:.12e} {c:.12e}" for i, (a, b, c) in enumerate(zip(r, u, f, strict=True), 1)
        ]
    return "\n".join(lines) + "\n"


def xvg_text(table: PairTable) -> str:
    """A table for GROMACS: r, f, -f', g, -g', h, -h' in nm and kJ/mol, with u in h and f = g = 0."""
    spacing = table.spacing(SPACING)
    r = spacing * np.arange(np.ceil((table.grid.cutoff + XVG_MARGIN) / spacing) + 1)
    u, f = table.evaluate(r)
    lines = [
        f"# {table.keyword}: {table.facts}",
        "# u is in the repulsion columns: C6 = 0 and C12 = 1 in the topology (V and W with comb-rule 1).",
        "# The Coulomb columns are zero: for particles without charge.",
        f"# For rvdw = {table.grid.cutoff:g}, vdwtype = user, DispCorr = no, GROMACS 2019 or older.",
    ]
    zero = f"{0.0:.12e}"
    lines += [
        f"{a:.12e} {zero} {zero} {zero} {zero} {b:.12e} {c:.12e}" for a, b, c in zip(r, u, f, strict=True)
    ]
    return "\n".join(lines) + "\n"


def csv_text(tables: Sequence[PairTable]) -> str:
    """Columns r, u, f of each pair of types, on the grid of the first; the facts are comments."""
    spacing = tables[0].spacing(SPACING)
    r = spacing * np.arange(round(max(table.grid.cutoff for table in tables) / spacing) + 1)
    lines = [f"# {table.keyword}: {table.facts}" for table in tables]
    names = ["r_nm"]
    columns = [r]
    for table in tables:
        tag = "" if len(tables) == 1 else f"_{table.keyword}"
        names += [f"u{tag}_kJ_per_mol", f"f{tag}_kJ_per_mol_per_nm"]
        columns += table.evaluate(r)
    lines += [",".join(names)]
    lines += [",".join(f"{value:.12g}" for value in row) for row in np.stack(columns, axis=1)]
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> Path:
    """Replace a file in one step."""
    temporary = path.with_name(path.name + ".new")
    with open(temporary, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return path
