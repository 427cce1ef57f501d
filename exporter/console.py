"""What people see: tables, progress and errors. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from exporter.errors import NanoexportError


@dataclass
class Output:
    """How this run talks. `as_json`: one document on stdout, people's text on stderr."""

    as_json: bool = False
    verbosity: int = 0

    def text(self, line: str = "") -> None:
        """A line for people."""
        print(line, file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def document(self, document: Mapping[str, Any]) -> None:
        """The result for programs; silent unless JSON was asked for."""
        if self.as_json:
            print(json.dumps({"schema_version": 1, **document}, indent=2), flush=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table for people; numbers are right-aligned and grouped by thousands."""
        table = Table(
            title=title, title_justify="left", box=None, pad_edge=False, header_style="bold"
        )
        numeric = [
            all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(columns))
        ]
        for column, is_number in zip(columns, numeric, strict=True):
            table.add_column(column, justify="right" if is_number else "left", overflow="fold")
        for row in rows:
            table.add_row(*(cell(value) for value in row))
        stream = sys.stderr if self.as_json else sys.stdout
        Console(file=stream, width=None if stream.isatty() else 140, highlight=False).print(table)

    def error(self, error: NanoexportError) -> None:
        """The one place where an error is shown."""
        if self.as_json:
            print(json.dumps({"schema_version": 1, "error": error.as_dict()}, indent=2), flush=True)
        print(f"error: {error}", file=sys.stderr, flush=True)

    @contextmanager
    def progress(self) -> Iterator[Callable[[str, int, int], None]]:
        """A function (stage, done, total) that keeps a progress bar; total 0 shows a spinner."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=None)

            def update(stage: str, done: int, total: int) -> None:
                bar.update(task, description=stage, completed=done, total=total or None)

            yield update


def cell(value: object) -> str:
    """A value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.2f}"
    return str(value)
