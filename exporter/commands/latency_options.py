"""Options of `bench` about latency: how often, under which load, within which budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from exporter.arrays import check_writable
from exporter.board import Board
from exporter.console import Output
from exporter.errors import BadInput
from exporter.hil.bench import Benchmark
from exporter.hil.budget import limits_of
from exporter.hil.budget_file import MOST_RUNS, BoardBudget, dump_budgets, read_budgets
from exporter.hil.latency import Load, check_timer
from exporter.options import MODEL, Command, percentage

DEFAULT_RUNS = 5
_WORD = 2**32 - 1


def latency_options(command: Command) -> Command:
    """What `LatencyOptions.chosen` reads."""
    for option in (
        click.option("--force", is_flag=True, help="Replace the board's limits in that file."),
        click.option(
            "--margin", default="5%", callback=percentage, show_default=True, metavar="PERCENT",
            help="What --write-budget allows beyond what was measured.",
        ),
        click.option(
            "--write-budget", type=MODEL, metavar="FILE",
            help="Write what was measured as the board's limits.",
        ),
        click.option(
            "--budget", type=MODEL, metavar="FILE",
            help="Fail where a limit of this budget.yaml does not hold.",
        ),
        click.option(
            "--interrupt-load", type=(click.IntRange(1, _WORD), click.IntRange(0, _WORD)),
            metavar="US N", help="Also the latency while an interrupt executes N instructions "
            "every US microseconds; needs a board with a timer.",
        ),
        click.option(
            "--runs", type=click.IntRange(1, MOST_RUNS), metavar="N",
            help="Inferences, on inputs of all kinds, that make the distribution of the latency. "
            f"By default {DEFAULT_RUNS}, or what the budget says.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@dataclass(frozen=True)
class LatencyOptions:
    """What was chosen, checked before anything is built."""

    board: str
    budget: BoardBudget
    """Its limits, where a file has some; else how often and under which load alone."""
    margin: float
    write_to: Path | None
    kept: dict[str, Any]
    """What the file to write already has for other boards."""

    @classmethod
    def chosen(cls, board: Board, options: dict[str, Any]) -> LatencyOptions:
        """Takes its own out of `options`. Raises BadInput where they do not go together."""
        runs, load = options.pop("runs"), options.pop("interrupt_load")
        budget, write_to = options.pop("budget"), options.pop("write_budget")
        margin, force = options.pop("margin"), options.pop("force")
        wanted = _budget(board.name, runs, Load(*load) if load else None, budget)
        if wanted.load is not None:
            check_timer(board)
        if write_to:
            check_writable(write_to)  # before an hour of measuring
        kept = _other_sections(write_to, board.name, force) if write_to else {}
        return cls(board.name, wanted, margin, write_to, kept)

    def write(self, output: Output, result: Benchmark) -> None:
        """Write the budget file, where one was asked for."""
        if self.write_to is not None and result.budget is not None:
            section = limits_of(result.budget, self.margin)
            over = f"{self.margin:g}% over what was measured"
            dump_budgets(
                self.write_to,
                {**self.kept, self.board: section},
                f"Limits {over}; to check them: nanoexport bench MODEL --board BOARD --budget FILE",
            )
            output.text(f"budget        {self.write_to}: {self.board}, {over}")


def _budget(board: str, runs: int | None, load: Load | None, budget: Path | None) -> BoardBudget:
    if budget is None:
        return BoardBudget.unlimited(runs or DEFAULT_RUNS, load)
    if runs is not None or load is not None:
        raise BadInput(
            "a budget says itself how it is measured",
            value="--budget together with --runs or --interrupt-load",
            next_step=f"write runs and interrupt_load into '{budget}'",
        )
    return read_budgets(budget).of(board)


def _other_sections(path: Path, board: str, force: bool) -> dict[str, Any]:
    """What a file has for other boards. Raises BadInput where the file is not to be changed."""
    if not path.exists():
        return {}
    if not force:
        raise BadInput(
            f"the budget '{path}' is there already",
            next_step=f"add --force to replace its limits of {board}; its comments are lost",
        )
    sections = read_budgets(path).sections
    return {name: dict(section) for name, section in sections.items() if name != board}
