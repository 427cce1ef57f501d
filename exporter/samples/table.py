"""A text file of numbers in rows and columns: delimiter and header are found, cells checked."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporter.arrays import Array
from exporter.errors import BadInput


@dataclass(frozen=True, eq=False)
class Table:
    """`values` float64 [rows, columns], all finite; `labels` as text, one for each row."""

    path: Path
    names: tuple[str, ...]
    values: Array
    labels: list[str] | None


@dataclass(frozen=True)
class Rows:
    """The cells of a file, all rows of one length, with the number of the line each began in."""

    path: Path
    header: tuple[str, ...] | None
    cells: list[list[str]]
    lines: list[int]
    decimal_comma: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names; `column 1` and so on without a header."""
        return self.header or tuple(f"column {k + 1}" for k in range(len(self.cells[0])))


def read_table(path: Path, label: str | None = None, columns: Sequence[str] = ()) -> Table:
    """The columns called `columns`, or all but that of the label, as numbers. Raises BadInput."""
    rows = rows_of(path, header=label is not None or bool(columns))
    names = rows.names
    label_index = None if label is None else _index(rows, label)
    wanted = [_index(rows, c) for c in columns] or [
        k for k in range(len(names)) if k != label_index
    ]
    if not wanted or label_index in wanted:
        raise BadInput(
            f"the label of '{path}' is its only column, or one of those that are data",
            value=f"label {label}, data {', '.join(columns) or '(none)'}",
            allowed="a column of its own for the label",
        )
    labels = None if label_index is None else _labels(rows, label_index)
    return Table(path, tuple(names[k] for k in wanted), _numbers(rows, wanted), labels)


def rows_of(path: Path, *, header: bool | None = None) -> Rows:
    """The file's cells. `header` of True says that there is one; otherwise it is found out.

    Raises BadInput for a file that is no text, has no rows, or rows of different lengths.
    """
    cells, lines, delimiter = _cells(path)
    if not cells:
        raise _bad(path, "has no rows", "an empty file", "rows of numbers, with or without names")
    for row, line in zip(cells, lines, strict=True):
        if len(row) != len(cells[0]):
            raise _bad(
                path,
                "has rows of different lengths",
                f"{len(row)} cells in line {line}, {len(cells[0])} in line {lines[0]}",
                f"the same number of cells, separated by {_spoken(delimiter)}, in every row",
            )
    comma = delimiter == ";"
    names = tuple(cell.strip() for cell in cells[0]) if header or _is_header(cells, comma) else None
    first = 1 if names else 0
    if len(cells) == first:
        raise _bad(path, "has no rows", f"only names: {', '.join(cells[0][:8])}", "rows of numbers")
    return Rows(path, names, cells[first:], lines[first:], comma)


def _cells(path: Path) -> tuple[list[list[str]], list[int], str]:
    """Rows that are not blank, the lines that they end in, and the delimiter."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if line.strip()), "")
            delimiter = next((d for d in ";\t" if d in first), ",")
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            found = [(row, reader.line_num) for row in reader if any(c.strip() for c in row)]
    except OSError as error:
        raise BadInput(
            f"cannot read the data file '{path}'", value=error.strerror, next_step="check the path"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise _bad(
            path, "is no CSV file", str(error), "text in UTF-8, one row in each line"
        ) from None
    return [row for row, _ in found], [line for _, line in found], delimiter


def _is_header(cells: list[list[str]], comma: bool) -> bool:
    """Whether the first row names columns: text where the second has a number, or text only."""
    first = [_number(cell, comma) is None for cell in cells[0]]
    if len(cells) == 1:
        return all(first)
    second = [_number(cell, comma) is None for cell in cells[1]]
    return any(text and not below for text, below in zip(first, second, strict=True))


def _number(cell: str, comma: bool) -> float | None:
    """The cell as a number, NaN and infinity included; with `comma`, 1,5 is one and a half."""
    try:
        return float(cell.replace(",", ".") if comma else cell)
    except ValueError:
        return None


def _index(rows: Rows, name: str) -> int:
    names = [n.lower() for n in rows.names]
    if rows.names.count(name) == 1:
        return rows.names.index(name)
    if names.count(name.lower()) == 1:
        return names.index(name.lower())
    raise _bad(
        rows.path,
        "has no such column, or several" if name in rows.names else "has no such column",
        name,
        ", ".join(rows.names),
    )


def _labels(rows: Rows, column: int) -> list[str]:
    """The cells of a column as text. Raises BadInput for an empty one: it would be a class."""
    cells = [row[column].strip() for row in rows.cells]
    if "" in cells:
        raise _bad(
            rows.path,
            "has a row without a label",
            f"an empty cell in line {rows.lines[cells.index('')]}, {rows.names[column]!r}",
            "a label in every row",
            "drop the rows that have none",
        )
    return cells


def _numbers(rows: Rows, columns: Sequence[int]) -> Array:
    """float64 [rows, columns]. Raises BadInput that names the first cell that is no number."""
    values = np.empty((len(rows.cells), len(columns)))
    for k, (row, line) in enumerate(zip(rows.cells, rows.lines, strict=True)):
        for j, column in enumerate(columns):
            number = _number(row[column], rows.decimal_comma)
            if number is None or not math.isfinite(number):
                raise _no_number(rows, row[column], line, column)
            values[k, j] = number
    return values


def _no_number(rows: Rows, cell: str, line: int, column: int) -> BadInput:
    return _bad(
        rows.path,
        "has a cell that is no number",
        f"{cell.strip()[:40]!r} in line {line}, {rows.names[column]!r}",
        "finite numbers in every column but that of the label",
        "name the column of the label (--csv-label), or the columns that are data (--csv-columns); "
        "drop rows with gaps",
    )


def _spoken(delimiter: str) -> str:
    return {",": "commas", ";": "semicolons", "\t": "tabs"}[delimiter]


def _bad(path: Path, what: str, value: str, allowed: str, next_step: str | None = None) -> BadInput:
    return BadInput(f"'{path}' {what}", value=value, allowed=allowed, next_step=next_step)
