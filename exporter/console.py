"""What people see: tables, progress and errors. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.console import Console
from rich.measure import Measurement
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

LINE_SECONDS = 10.0
"""Between two lines of progress in a log."""


@dataclass
class Output:
    """How this run talks. `as_json`: one document on stdout, people's text on stderr."""

    as_json: bool = False
    verbosity: int = 0
    _document: dict[str, Any] = field(default_factory=dict)
    _printed: bool = False

    def text(self, line: str = "") -> None:
        """A line for people."""
        _print(line, sys.stderr if self.as_json else sys.stdout)

    def document(self, document: Mapping[str, Any]) -> None:
        """The result for programs; printed by `finish`, or with the error that follows it."""
        self._document = dict(document)

    def document_now(self, document: Mapping[str, Any]) -> None:
        """The result of a command that goes on running."""
        self.document(document)
        self.finish()

    def finish(self) -> None:
        """Print the one document, where JSON was asked for."""
        if self.as_json and not self._printed:
            _print(json.dumps({"schema_version": 1, **self._document}, indent=2), sys.stdout)
            self._printed = True

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        spare: Sequence[str] = (),
    ) -> None:
        """A table for people; numbers are right-aligned and grouped by thousands.

        Where the terminal is too narrow for its words, the columns `spare` are left out, one after
        the other.
        """
        stream = sys.stderr if self.as_json else sys.stdout
        console = Console(file=stream, width=None if stream.isatty() else 140, highlight=False)
        table = _table(title, columns, rows)
        for count in range(1, len(spare) + 1):
            if _is_wide_enough(console, table):
                break
            kept = [i for i, name in enumerate(columns) if name not in spare[:count]]
            table = _table(
                title, [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]
            )
        if not _is_wide_enough(console, table):
            for column in table.columns:
                column.no_wrap = False  # which folds: nothing is cut off
        with console.capture() as captured:
            console.print(table)
        _print("\n".join(line.rstrip() for line in captured.get().splitlines()), stream)

    def error(self, error: NanoexportError) -> None:
        """The one place where an error is shown."""
        self.document({**self._document, "error": error.as_dict()})
        self.finish()
        _print(f"error: {error}", sys.stderr)

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
        console = Console(stderr=True)
        disabled = not console.is_terminal  # a log has no use for a bar, nor for its empty lines
        with Progress(*columns, console=console, transient=True, disable=disabled) as bar:
            task = bar.add_task("", total=None)

            def update(stage: str, done: int, total: int) -> None:
                bar.update(task, description=stage, completed=done, total=total or None)

            yield update

    @contextmanager
    def long_progress(self, things: str) -> Iterator[Callable[[str, int, int], None]]:
        """As `progress`, with the rate; where there is no terminal, a line now and then."""
        pace = Pace()
        with self.progress() as bar:

            def update(stage: str, done: int, total: int) -> None:
                rate = pace.rate(done) if total else None
                told = "" if rate is None else f", {rate:.3g} {things}/s"
                bar(stage + told, done, total)
                if total and not sys.stderr.isatty() and pace.is_due():
                    left = "" if not rate else f", {duration((total - done) / rate)} left"
                    _print(f"{stage}: {done:,} of {total:,} {things}{told}{left}", sys.stderr)

            yield update


@dataclass
class Pace:
    """How fast something goes, from what is done at which time, and when to say so next."""

    now: Callable[[], float] = time.monotonic
    _start: tuple[float, int] | None = None
    _told: float | None = None

    def rate(self, done: int) -> float | None:
        """Per second since the first call: what was done before that took no time of this run."""
        if self._start is None:
            self._start = (self.now(), done)
        seconds = self.now() - self._start[0]
        return (done - self._start[1]) / seconds if seconds > 0 and done > self._start[1] else None

    def is_due(self) -> bool:
        """Whether the last line is `LINE_SECONDS` old."""
        if self._told is not None and self.now() - self._told < LINE_SECONDS:
            return False
        self._told = self.now()
        return True


def duration(seconds: float) -> str:
    """A duration for people: 42 s, 3:20 min, 1:05 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"


def _print(text: str, stream: TextIO) -> None:
    """Print, even where the reader has gone (`| head -1`): the exit code stays that of the work."""
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Columns of single words (names, sizes) stay as wide as they are; text is wrapped."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for i, column in enumerate(columns):
        is_number = all(isinstance(row[i], int | float | None) for row in rows)
        is_text = any(" " in cell(row[i]) for row in rows)
        table.add_column(
            column,
            justify="right" if is_number else "left",
            overflow="fold",
            no_wrap=not is_text,
        )
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    return table


def _is_wide_enough(console: Console, table: Table) -> bool:
    """Whether no word of the table has to be broken."""
    unlimited = console.options.update(width=10_000)
    return Measurement.get(console, unlimited, table).minimum <= console.width


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
