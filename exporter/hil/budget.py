"""What an inference may cost on a board: a `budget.yaml`, checked on the device.

What each limit means is in docs/budgets.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.build.firmware import ModelFirmware
from exporter.errors import BadInput, CheckFailed
from exporter.hil.budget_file import BoardBudget, Budgets, read_budgets
from exporter.hil.latency import Clock, Latency, check_timer, measure_latency
from exporter.link.device import Device

Figure = int | float
SIZES = ("arena_bytes", "stack_bytes", "flash_bytes")
STATISTICS = {
    "instructions": "median",
    "ticks": "median",
    "worst": "worst",
    "jitter": "worst less best",
}
"""What is taken of the runs, by the first word of a limit."""
DEADLINES = {"deadline_us": 1.0, "deadline_ms": 1000.0}
"""Limits that hold under load, too, and microseconds in their units."""


@dataclass(frozen=True)
class BudgetCheck:
    """One limit and what was measured, in the unit of the limit's name."""

    limit: str
    condition: str
    """How it was measured; empty where that makes no difference."""
    measured: Figure
    allowed: Figure

    @property
    def holds(self) -> bool:
        return self.measured <= self.allowed

    def describe(self) -> str:
        """One line: which, measured, allowed."""
        where = f", {self.condition}" if self.condition else ""
        return (
            f"{self.limit}{where}: {_text(self.measured)} measured, {_text(self.allowed)} allowed"
        )


@dataclass(frozen=True)
class BudgetReport:
    """Every limit of a board's budget beside what its device measured."""

    board: str
    checks: tuple[BudgetCheck, ...]
    measured: Mapping[str, Figure | None]
    """By limit, all that can be limited but the deadlines; None where it cannot be counted."""
    quiet: Latency
    loaded: Latency | None

    @property
    def overruns(self) -> tuple[BudgetCheck, ...]:
        return tuple(check for check in self.checks if not check.holds)

    def require(self) -> None:
        """Raises CheckFailed with a line for each overrun."""
        if self.overruns:
            raise CheckFailed(
                f"{self.board} is over its budget: "
                f"{len(self.overruns)} of {len(self.checks)} limits do not hold",
                value="\n           ".join(check.describe() for check in self.overruns),
                next_step="make the model smaller or faster, or raise the budget knowingly",
            )

    def as_dict(self) -> dict[str, Any]:
        """The document of a report."""
        return {
            "board": self.board,
            "holds": not self.overruns,
            "checks": [{**vars(check), "holds": check.holds} for check in self.checks],
        }


def check_budget(
    firmware: ModelFirmware, device: Device, budget: str | Path | Budgets
) -> BudgetReport:
    """Measure `firmware` on its `device` against a budget file, or one that was read.

    Raises:
        CheckFailed: a limit does not hold; each that does not is named with both figures. Or the
            load that is asked for interrupted no run.
        BadInput: the file is none, says nothing of the board, or asks for what it cannot measure.
        LinkFailed: the board.
    """
    budgets = budget if isinstance(budget, Budgets) else read_budgets(Path(budget))
    report = measure_budget(firmware, device, budgets.of(firmware.board.name))
    report.require()
    return report


def check_measurable(firmware: ModelFirmware, budget: BoardBudget) -> None:
    """Raises BadInput where the board has no timer for the load that `budget` asks for."""
    if budget.interrupt_load is not None:
        check_timer(firmware.board)


def measure_budget(firmware: ModelFirmware, device: Device, budget: BoardBudget) -> BudgetReport:
    """As `check_budget`, but an overrun is only reported."""
    check_measurable(firmware, budget)
    clock = Clock.of(device, firmware.board)
    if clock.instructions_per_tick is None:
        _refuse_instructions(firmware.board.name, budget)
    quiet = measure_latency(device, firmware, clock, runs=budget.runs)
    load = budget.load
    loaded = measure_latency(device, firmware, clock, runs=budget.runs, load=load) if load else None
    if loaded is not None and load is not None and loaded.interrupts == 0:
        raise CheckFailed(
            "the load of the budget interrupted no run",
            value=f"{load.describe()}; the longest of {len(loaded.ticks)} runs took "
            f"{clock.microseconds(loaded.worst):.0f} us",
            allowed="a period shorter than a run",
            next_step="shorten period_us of interrupt_load",
        )
    measured = _measured(firmware, device, quiet)
    checks = tuple(_checks(budget, measured, quiet, loaded))
    return BudgetReport(firmware.board.name, checks, measured, quiet, loaded)


def _measured(firmware: ModelFirmware, device: Device, quiet: Latency) -> dict[str, Figure | None]:
    """What each limit but the deadlines is about; None where the board cannot count it."""
    clock, median = quiet.clock, quiet.quantile(0.5)
    return {
        "arena_bytes": device.memory().arena_bytes,
        "stack_bytes": quiet.stack_bytes,
        "flash_bytes": firmware.footprint.flash_bytes,
        "instructions": clock.instructions(median),
        "ticks": median,
        "worst_instructions": clock.instructions(quiet.worst),
        "worst_ticks": quiet.worst,
        "worst_us": clock.microseconds(quiet.worst),
        "jitter_instructions": clock.instructions_between(quiet.jitter),
        "jitter_ticks": quiet.jitter,
        "jitter_us": clock.microseconds(quiet.jitter),
    }


def _checks(
    budget: BoardBudget,
    measured: Mapping[str, Figure | None],
    quiet: Latency,
    loaded: Latency | None,
) -> Iterator[BudgetCheck]:
    runs = f"of {len(quiet.ticks)} runs"
    for name, allowed in budget.limits().items():
        figure = measured.get(name)
        if figure is not None:
            how = "" if name in SIZES else f"{STATISTICS[name.partition('_')[0]]} {runs}"
            yield BudgetCheck(name, how, figure, allowed)
        for latency in (quiet, loaded) if name in DEADLINES else ():
            if latency is not None:
                worst = latency.clock.microseconds(latency.worst) / DEADLINES[name]
                yield BudgetCheck(name, f"{latency.condition}, worst {runs}", worst, allowed)


def _refuse_instructions(board: str, budget: BoardBudget) -> None:
    limited = [name for name in budget.limits() if name.endswith("instructions")]
    if limited:
        raise BadInput(
            f"{board} cannot count instructions",
            value=", ".join(limited),
            allowed=[name.replace("instructions", "ticks") for name in limited],
            next_step="limit ticks or microseconds on this board",
        )


def limits_of(report: BudgetReport, margin_percent: float) -> dict[str, Any]:
    """The section of a board that allows `margin_percent` more than was measured.

    Times are allowed one tick more at least, by which two readings of the same thing may differ.
    """
    quiet, loaded, clock = report.quiet, report.loaded, report.quiet.clock
    unit = "ticks" if clock.instructions_per_tick is None else "instructions"
    tick = math.ceil(clock.instructions_per_tick or 1)
    section: dict[str, Any] = {}
    for name in (*SIZES, unit, f"worst_{unit}", f"jitter_{unit}"):
        figure = report.measured[name]
        if figure is not None:
            section[name] = _more(figure, margin_percent, at_least=0 if name in SIZES else tick)
    section["runs"] = len(quiet.ticks)
    if loaded is not None and loaded.load is not None:
        worst = max(clock.microseconds(latency.worst) for latency in (quiet, loaded))
        section["deadline_us"] = _more(worst, margin_percent, at_least=1)
        section["interrupt_load"] = dict(vars(loaded.load))
    return section


def _more(figure: Figure, percent: float, *, at_least: int) -> int:
    return math.ceil(max(figure * (1 + percent / 100), figure + at_least))


def _text(figure: Figure) -> str:
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:,.2f}"
