"""What `bench` prints of latency: a line and a histogram for each distribution, then the budget."""

from __future__ import annotations

from exporter.console import Output, cell
from exporter.hil.bench import Benchmark
from exporter.hil.budget import BudgetReport
from exporter.hil.latency import QUANTILES, Latency

BAR_WIDTH = 40
LEAST_BINS = 3
"""Fewer say nothing that the line above does not."""


def show_latency(output: Output, result: Benchmark) -> None:
    """The distributions, quiet first, and the checks of a budget."""
    report = result.budget
    if report is not None:
        show_distribution(output, report.quiet)
        if report.loaded is not None:
            show_distribution(output, report.loaded)
        _show_checks(output, report)


def show_distribution(output: Output, latency: Latency) -> None:
    """One condition: its quantiles, its load, its histogram."""
    clock = latency.clock
    counted = clock.instructions_per_tick is not None
    unit = "instructions" if counted else "ticks"
    figures = {name: latency.quantile(part) for name, part in QUANTILES.items()}
    shown = [f"{name} {cell(_figure(latency, ticks))}" for name, ticks in figures.items()]
    jitter = clock.instructions_between(latency.jitter) if counted else latency.jitter
    output.text(
        f"latency       {latency.condition}, {len(latency.ticks):,} runs: {', '.join(shown)}, "
        f"jitter {cell(jitter)} {unit}; worst {clock.microseconds(latency.worst):,.1f} us"
    )
    if latency.load is not None:
        served = f"{latency.interrupts:,} interrupts served"
        output.text(f"              load of {latency.load.describe()}: {served}")
        if latency.interrupts == 0:
            output.text(
                "              warning: the model ended before the first one; shorten the period"
            )
    _show_histogram(output, latency)


def _figure(latency: Latency, ticks: int) -> int:
    """Instructions where they are counted, else ticks."""
    instructions = latency.clock.instructions(ticks)
    return ticks if instructions is None else instructions


def _show_histogram(output: Output, latency: Latency) -> None:
    bins = latency.histogram()
    if len(bins) < LEAST_BINS:
        return
    most = max(runs for _, _, runs in bins)
    for start, _, runs in bins:
        bar = "#" * round(BAR_WIDTH * runs / most)
        output.text(f"  from {_figure(latency, start):>13,}  {runs:>6,}  {bar}".rstrip())


def _show_checks(output: Output, report: BudgetReport) -> None:
    if report.checks:
        rows = [
            (c.limit, c.condition, c.measured, c.allowed, "yes" if c.holds else "NO")
            for c in report.checks
        ]
        output.table("budget", ("limit", "condition", "measured", "allowed", "holds"), rows)
