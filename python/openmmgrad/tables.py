# SPDX-License-Identifier: MIT
"""Tables of numbers made by others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import require


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of a file: x [R], y [R], sigma [R] or None, and the names of x and y as the file has them."""

    path: Path
    x: np.ndarray
    y: np.ndarray
    sigma: np.ndarray | None
    x_name: str
    y_name: str


def read_table(path: str | Path, column: str | int | None = None, *, sigma_column: str | int | None = None,
               x_column: str | int | None = None, rows: Mapping[str | int, str] | None = None,
               sort: bool = False) -> Table:
    """A table of numbers: CSV, XVG (GROMACS) or columns between blanks.

    Lines that begin with # or @ are comments; names come from a header line, a last comment line with as many words
    as there are columns, or XVG's axis label and legends. Rows of a falling abscissa are turned round.

    Parameters
    ----------
    path
        The file.
    column
        Name or index (from 0) of the ordinate; None where the table has only one.
    sigma_column
        Name or index of its standard errors.
    x_column
        Name or index of the abscissa; None: the first column that begins with a number.
    rows
        Keep only rows with these entries: ``{"pair": "LJ1-LJ1"}``.
    sort
        Sort rows by abscissa (digitised curves); otherwise rows out of order are an error.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is empty or truncated, a column is unknown, an entry is no number or not finite, or the abscissa is out
        of order or repeats.
    """
    who, path = "read_table", Path(path)
    require(path.is_file(), who, f"expected a file, found none at {path}", "Check the path", FileNotFoundError)
    names, entries = _parse(path)
    if rows is not None:
        for key, wanted in rows.items():
            k = _column(key, names, path)
            found = sorted({entry[k] for entry in entries})
            entries = [entry for entry in entries if entry[k] == str(wanted)]
            require(bool(entries), who, f"expected {wanted!r} in column {names[k]!r} of {path}, found {_list(found)}",
                    "Choose one of those")
    numeric = [k for k, entry in enumerate(entries[0]) if _is_number(entry)]
    require(len(numeric) >= 2, who, f"expected at least two columns of numbers in {path}, found the row {entries[0]}",
            "Give an abscissa and an ordinate")
    k_x = numeric[0] if x_column is None else _column(x_column, names, path)
    if column is None:
        taken = [k_x] + ([] if sigma_column is None else [_column(sigma_column, names, path)])
        others = [names[k] for k in numeric if k not in taken]
        require(len(others) == 1, who, f"{path} has {len(others)} columns of values: {_list(others)}",
                "Choose one with column=")
        column = others[0]
    x, y = (_numbers(entries, k, names, path) for k in (k_x, _column(column, names, path)))
    sigma = None if sigma_column is None else _numbers(entries, _column(sigma_column, names, path), names, path)
    if sort or (np.diff(x) < 0).all():
        order = np.argsort(x, kind="stable")
        x, y, sigma = x[order], y[order], None if sigma is None else sigma[order]
    _check_order(x, names[k_x], path)
    return Table(path, x, y, sigma, names[k_x], names[_column(column, names, path)])


def unit_of(name: str, unit: str | None, known: Mapping[str, set[str]], keyword: str, table: Table, who: str) -> str:
    """The unit of a table's column, one of those known with the words by which a name tells; given, or told by name."""
    options = " or ".join(f'{keyword}="{k}"' for k in known)
    if unit is None:
        ends = r"[\s_()\[\],]"
        units = [k for k, words in known.items()
                 if any(re.search(f"(?:^|{ends}){re.escape(word)}(?:$|{ends})", name) for word in words)]
        require(len(units) == 1, who, f"the column {name!r} of {table.path} does not tell its unit", f"Pass {options}")
        unit = units[0]
    require(unit in known, who, f"{keyword} must be one of {', '.join(known)}, found {unit!r}", f"Pass {options}")
    return unit


def _parse(path: Path) -> tuple[list[str], list[list[str]]]:
    """Names and rows of entries, all of equal length."""
    who, comments, lines = "read_table", [], []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        line = line.strip()
        if line[:1] in ("#", "@"):
            comments.append(line)
        elif line and line != "&":
            separated = line.split(",") if "," in line else line.split(";") if ";" in line else line.split()
            lines.append((number, [entry.strip().strip('"') for entry in separated]))
    names = None
    if lines and not any(_is_number(entry) for entry in lines[0][1]):
        names = lines.pop(0)[1]
    require(bool(lines), who, f"{path} holds no rows of numbers", "Check that the file was written to its end")
    width = len(lines[0][1]) if names is None else len(names)
    for number, entries in lines:
        require(len(entries) == width, who,
                f"expected {width} columns in {path}, found {len(entries)} in line {number}",
                "The file is truncated or damaged there: fetch it again" if number == lines[-1][0]
                else "Repair that line")
    return names or _names_from_comments(comments, width), [entries for _, entries in lines]


def _names_from_comments(comments: list[str], width: int) -> list[str]:
    names = [str(k) for k in range(width)]
    plain = [line[1:].split() for line in comments if line.startswith("#")]
    if plain and len(plain[-1]) == width and not any(_is_number(entry) for entry in plain[-1]):
        names = plain[-1]
    for line in comments:
        label = re.match(r'@\s*(?:s(\d+)\s+legend|(xaxis)\s+label)\s+"(.*)"', line)
        if label is not None:
            k = 0 if label[2] else int(label[1]) + 1
            if k < width:
                names[k] = label[3]
    return names


def _column(key: str | int, names: list[str], path: Path) -> int:
    if isinstance(key, int | np.integer):
        require(0 <= key < len(names), "read_table",
                f"expected a column from 0 to {len(names) - 1} in {path}, found {key}",
                f"The columns are {_list(names)}")
        return int(key)
    require(key in names, "read_table", f"{path} has no column {key!r}", f"The columns are {_list(names)}")
    return names.index(key)


def _numbers(entries: list[list[str]], k: int, names: list[str], path: Path) -> np.ndarray:
    for number, entry in enumerate(entries, start=1):
        require(_is_number(entry[k]), "read_table",
                f"expected numbers in column {names[k]!r} of {path}, found {entry[k]!r} in data row {number}",
                "Repair or remove that row")
    values = np.array([float(entry[k]) for entry in entries])
    bad = np.flatnonzero(~np.isfinite(values))
    require(len(bad) == 0, "read_table",
            f"expected finite numbers in column {names[k]!r} of {path}, found {values[bad[:1]]} in {len(bad)} rows",
            "Remove those rows")
    return values


def _check_order(x: np.ndarray, name: str, path: Path) -> None:
    require(len(x) >= 4, "read_table", f"expected at least 4 rows in {path}, found {len(x)}",
            "Check that the file was written to its end")
    bad = np.flatnonzero(np.diff(x) <= 0)
    if len(bad) > 0:
        k = bad[0]
        what = "repeated" if x[k + 1] == x[k] else "out of order"
        remedy = "Keep one row of each" if x[k + 1] == x[k] else "Sort the rows, or pass sort=True"
        require(False, "read_table",
                f"{name!r} of {path} must increase, found {x[k]:g} then {x[k + 1]:g} ({what})", remedy)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _list(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:20]) + (", ..." if len(names) > 20 else "")
