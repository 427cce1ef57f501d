"""Options by which a conversion is judged, and what the command shows of the judgement."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from exporter.console import Output
from exporter.convert.finish import ConvertOptions
from exporter.convert.judged import Judged, Wanted, as_document, convert_judged
from exporter.convert.search import Found, described
from exporter.convert.settings import ConvertSettings
from exporter.metrics import FORM
from exporter.options import FOLDER, percentage
from exporter.reports import show_conversion

Command = TypeVar("Command", bound=Callable[..., Any])


def report_options(command: Command) -> Command:
    """--report, --eval, --metric, --max-drop and --keep-best: the arguments of `wanted`."""
    for option in (
        click.option(
            "--keep-best", is_flag=True,
            help="With --max-drop: write the best result even if it loses more. The exit code "
            "stays 1.",
        ),
        click.option(
            "--max-drop", callback=percentage, metavar="PERCENT",
            help="Search for settings that lose at most so much: points of top1, auc and "
            "agreement, percent of other metrics. Exit code 1, and nothing written, without any.",
        ),
        click.option(
            "--metric", metavar="NAME",
            help=f"What the loss is measured by: {FORM}. By default top1; without labels, the "
            "agreement with the float model's predictions.",
        ),
        click.option(
            "--eval", "evaluation", metavar="DATA",
            help="Samples to judge by, of any kind that --data takes, with labels where there are "
            "any; by default those of --data, without labels.",
        ),
        click.option(
            "--report", type=FOLDER, metavar="DIR",
            help="Write report.json and report.html there: what was lost, and where.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def wanted(options: dict[str, Any], *, int16: bool) -> Wanted:
    """Takes the values of `report_options` out of a command's arguments.

    `int16`: neither a mode nor a board was asked for, so that int16x8 may be tried last.
    """
    names = ("report", "evaluation", "metric", "max_drop", "keep_best")
    return Wanted(**{name: options.pop(name) for name in names}, int16=int16)


def is_default(option: str) -> bool:
    """Whether an option of the running command was left at its default."""
    source = click.get_current_context().get_parameter_source(option)
    return source is ParameterSource.DEFAULT


def run_judged(
    output: Output,
    model: Path,
    data: str,
    target: Path,
    settings: ConvertSettings,
    judging: Wanted,
    options: ConvertOptions,
) -> Judged:
    """The judged conversion; each line of its progress is shown as it comes."""
    with output.progress() as progress:
        return convert_judged(
            model, data, target, settings, judging, options,
            progress=lambda text: progress(f"convert: {text}", 0, 0),
        )  # fmt: skip


def show_judged(output: Output, judged: Judged) -> None:
    """The conversion and its judgement; of a search that failed, what was tried."""
    found = judged.judgement.found
    if judged.written:
        show_conversion(output, judged.conversion)
    if found is not None:
        _show_search(output, judged, found)
    for line in _lines(judged):
        output.text(line)
    for path in judged.files:
        output.text(f"report {path}")
    output.document(as_document(judged))


def _show_search(output: Output, judged: Judged, found: Found) -> None:
    stick = judged.judgement.yardstick
    columns = ("try", "candidate", stick.name, "loss %", "output dB", "bytes", "s", "verdict")
    rows = [
        (
            number,
            t.label,
            stick.text(t.score.value) if t.score else "-",
            t.score.drop if t.score else None,
            t.score.sqnr_db if t.score else None,
            t.bytes or None,
            t.seconds,
            ("enough" if t.passed else "too much") if t.score else t.note,
        )
        for number, t in enumerate(found.tries, 1)
    ]
    output.table(f"search for a loss of at most {found.limit:g}%", columns, rows)
    output.text(f"best: {described(found.candidate)}")


def _lines(judged: Judged) -> list[str]:
    judgement = judged.judgement
    stick, values, drop = judgement.yardstick, judgement.values, judgement.drop
    lines = [f"judged on {len(judgement.evaluation):,} samples of {judgement.evaluation.data}"]
    if values is not None and drop is not None and stick.metric is not None:
        before, after = map(stick.text, values)
        unit = " points" if stick.metric.is_share else "%"
        lines.append(f"  {stick.name} {after}, float {before}: a loss of {drop:.2f}{unit}")
    if judgement.agreement is not None:
        lines.append(f"  same prediction as the float model: {100 * judgement.agreement:.2f}%")
    if judgement.output_sqnr_db is not None:
        lines.append(f"  output: {judgement.output_sqnr_db:.1f} dB of signal over noise")
    return lines
