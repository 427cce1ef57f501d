"""The command `evaluate`: a whole test set through boards, with figures that can be trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from exporter.arrays import check_kept, check_writable, write_atomically
from exporter.board import Board, load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.commands.sample_options import chosen_samples, test_set_options
from exporter.console import Output, duration
from exporter.errors import BadInput
from exporter.graph.tflite_reader import read_file
from exporter.hil.evaluation import data as test_data
from exporter.hil.evaluation import devices
from exporter.hil.evaluation.devices import Seat
from exporter.hil.evaluation.document import as_document
from exporter.hil.evaluation.evaluate import (
    RESAMPLES,
    Evaluation,
    Request,
    default_record,
    evaluate_on_boards,
    identity,
)
from exporter.hil.evaluation.figures import check_labels
from exporter.hil.evaluation.intervals import Interval
from exporter.hil.evaluation.record import Record
from exporter.metrics import FORM, METRICS, Metric, find_metric
from exporter.options import MODEL, board_option, common_options, settings_options
from exporter.samples import SampleOptions, check_data

Command = TypeVar("Command", bound=Callable[..., Any])

MOST_DEVICES = 64
SHOWN_MISMATCHES = 10
OF_CLASSES = ("top1", "auc")
"""Metrics whose labels are classes."""

_DEVICE = re.compile(r"(?:([\w.-]+)=)?(.+)")


def _device_options(command: Command) -> Command:
    for option in (
        click.option(
            "--pool", type=MODEL, metavar="FILE", help="Run on all places of the board in a pool."
        ),
        click.option(
            "--device", "named", metavar="[NAME=]PORT", multiple=True,
            help="Run on the board at this port, which already carries the image. Repeatable.",
        ),
        click.option(
            "--devices", type=click.IntRange(1, MOST_DEVICES), metavar="N",
            help="Run on so many emulators of the board. [1]",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def _record_options(command: Command) -> Command:
    for option in (
        click.option(
            "-o", "--output", "report", type=MODEL, metavar="REPORT.json",
            help="Also write the document of --json to this file.",
        ),
        click.option("--fresh", is_flag=True, help="Drop what the record holds, and begin anew."),
        click.option(
            "--results", type=MODEL, metavar="FILE",
            help="The record of all outputs, from which a run that stopped goes on. [a file in the "
            "cache for each model, build and data]",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.argument("model", type=MODEL)
@board_option()
@click.option(
    "--data", metavar="DATA", required=True,
    help="Labelled test set: .npz with x and y, a folder for each class, CSV, module:function.",
)  # fmt: skip
@click.option(
    "--metric", "metric_name", metavar="NAME", default="top1", show_default=True, help=f"{FORM}."
)
@_device_options
@_record_options
@click.option(
    "--oracle/--no-oracle", default=True, show_default=True,
    help="Run every sample on the host reference, too: each bit must be equal.",
)  # fmt: skip
@click.option(
    "--resamples", type=click.IntRange(0), default=RESAMPLES, show_default=True, metavar="N",
    help="Of the bootstrap, for metrics that need it; 0 leaves their interval out.",
)  # fmt: skip
@test_set_options
@settings_options
@common_options
@click.pass_obj
def evaluate(output: Output, /, model: Path, board: str, data: str, **chosen: Any) -> None:
    r"""Run a whole test set on boards: accuracy, its confidence interval, agreement bit by bit.

    Every output is kept in a record as it comes. A run that was killed, or lost its boards, goes on
    where it stopped when the same command is given again.

    \b
    Examples:
      nanoexport evaluate digits.tflite --board mps2-an386 --data test.npz
      nanoexport evaluate digits.tflite --board mps2-an386 --data test/ --devices 4 -o report.json
      nanoexport evaluate model.tflite --board mps2-an386 --data test.npz --pool lab.yaml
      nanoexport evaluate model.tflite --board mps2-an386 --data test.npz --metric mine:f1
    """
    wanted = _wanted(data, chosen)
    found = load_board(board)
    seats = _seats(found, wanted)
    if wanted.report is not None:
        check_kept(wanted.report, [model, data, wanted.results])
        check_writable(wanted.report)
    metric = find_metric(wanted.metric)
    settings = Settings(**chosen)
    with output.long_progress("samples") as progress:
        progress("build", 0, 0)
        test_set = _test_set(model, data, wanted)
        firmware = firmware_for(model, found, settings)
        request = _request(model, firmware, test_set, metric, seats, wanted)
        for warning in request.test_set.warnings:
            output.text(f"warning: {warning}")
        evaluation = _evaluated(
            output, request, lambda done, total: progress("evaluate", done, total)
        )
    _show(output, evaluation)
    document = as_document(evaluation)
    output.document(document)
    if wanted.report is not None:
        text = json.dumps({"schema_version": 1, **document}, indent=2) + "\n"
        write_atomically(wanted.report, text.encode())
    evaluation.check()


@dataclass(frozen=True)
class _Wanted:
    """The command's own options."""

    metric: str
    pool: Path | None
    named: tuple[str, ...]
    devices: int | None
    report: Path | None
    fresh: bool
    results: Path | None
    oracle: bool
    resamples: int
    samples: SampleOptions


def _wanted(data: str, chosen: dict[str, Any]) -> _Wanted:
    """Takes them out of a command's arguments; what remains is Settings. Raises BadInput."""
    check_data(data)
    names = ("pool", "named", "devices", "report", "fresh", "results", "oracle", "resamples")
    return _Wanted(
        metric=chosen.pop("metric_name"),
        **{name: chosen.pop(name) for name in names},
        samples=chosen_samples(chosen),
    )


def _seats(board: Board, wanted: _Wanted) -> list[Seat]:
    given = {
        "--devices": wanted.devices is not None,
        "--device": bool(wanted.named),
        "--pool": wanted.pool is not None,
    }
    if sum(given.values()) > 1:
        raise BadInput(
            "the devices are given in several ways",
            value=" and ".join(option for option, is_given in given.items() if is_given),
            allowed="one of --device (repeatable), --devices and --pool",
        )
    if wanted.pool is not None:
        return devices.of_pool(board.name, wanted.pool)
    if wanted.named:
        return devices.ports(board.name, [_named(text) for text in wanted.named])
    return devices.emulators(board.name, wanted.devices or 1)


def _named(text: str) -> tuple[str, str]:
    """The name and the port of `NAME=PORT`, or of `PORT` alone."""
    match = _DEVICE.fullmatch(text)
    if match is None:
        raise BadInput("this is no device", value=repr(text), allowed="PORT or NAME=PORT")
    name, port = match.groups()
    return name or port, port


def _test_set(model: Path, data: str, wanted: _Wanted) -> test_data.TestSet:
    """Read before anything is built, so that wrong data is told at once."""
    graph, _ = read_file(model)
    inputs = test_data.real_inputs([graph[t] for t in graph.inputs])
    classes = wanted.metric in OF_CLASSES
    return test_data.load_test_set(data, inputs, wanted.samples, classes=classes)


def _request(
    model: Path,
    firmware: ModelFirmware,
    test_set: test_data.TestSet,
    metric: Metric,
    seats: list[Seat],
    wanted: _Wanted,
) -> Request:
    program = firmware.program
    test_set = test_data.for_model(test_set, program, classes=wanted.metric in OF_CLASSES)
    check_labels(metric, program.outputs[0].tensor, test_set.y)
    vectors = test_data.vectors_of(test_set, [port.tensor for port in program.inputs])
    return Request(
        firmware=firmware,
        test_set=test_set,
        vectors=vectors,
        metric=metric,
        seats=seats,
        record=wanted.results or default_record(identity(firmware, vectors), model),
        fresh=wanted.fresh,
        oracle=wanted.oracle,
        resamples=wanted.resamples,
    )


def _evaluated(
    output: Output, request: Request, progress: Callable[[int, int], None]
) -> Evaluation:
    """The evaluation; one that is cut short says what is kept and how to go on."""
    held: list[Record] = []

    def opened(record: Record) -> None:
        held.append(record)
        _show_record(output, record, len(request.test_set))

    try:
        return evaluate_on_boards(request, progress=progress, told=output.text, opened=opened)
    except BaseException:  # Ctrl-C included
        if held:
            kept, samples = len(held[0].kept.board), len(request.test_set)
            output.document({"record": str(request.record), "kept": kept, "samples": samples})
            if kept:
                output.text(
                    f"{kept} of {samples} samples are kept in {request.record}: the same command "
                    "goes on from there"
                )
        raise


def _show_record(output: Output, record: Record, samples: int) -> None:
    kept = len(record.kept.board)
    known = f": {kept} of {samples} samples are known, --fresh runs them anew" if kept else ""
    output.text(f"record {record.path}{known}")
    if record.kept.damaged:
        output.text(f"warning: {record.kept.damaged} damaged lines of it are run again")


def _show(output: Output, evaluation: Evaluation) -> None:
    request, tally = evaluation.request, evaluation.tally
    output.text(
        f"board         {request.firmware.board.name}, dialect {request.firmware.settings.dialect}"
    )
    output.text(f"data          {request.test_set.how}")
    output.text(f"run           {_run(evaluation)}")
    for name, samples in sorted(tally.by_device.items()) if len(tally.by_device) > 1 else ():
        output.text(f"              {samples:,} on {name}")
    for line in _metric_lines(evaluation):
        output.text(line)
    _show_classes(output, evaluation)
    for line in _agreement_lines(evaluation):
        output.text(line)


def _run(evaluation: Evaluation) -> str:
    tally = evaluation.tally
    if not tally.run:
        return f"nothing: all {tally.reused:,} samples were known"
    rate = f", {tally.run / tally.seconds:.3g}/s" if tally.seconds else ""
    known = f"; {tally.reused:,} were known" if tally.reused else ""
    return f"{tally.run:,} samples in {duration(tally.seconds)}{rate}{known}"


def _metric_lines(evaluation: Evaluation) -> list[str]:
    metric, score = evaluation.request.metric, evaluation.score
    lines = [
        f"{metric.name:<13} {metric.text(score.value)} on the board, of "
        f"{len(evaluation.request.test_set):,} samples",
        f"              {_interval(metric, score.interval, score.no_interval)}",
    ]
    if score.oracle is not None:
        lines.append(f"              {metric.text(score.oracle)} on the host reference")
    return lines


def _interval(metric: Metric, interval: Interval | None, why: str | None) -> str:
    if interval is None:
        return f"no confidence interval: {why}"
    ends = f"{metric.text(interval.low)} to {metric.text(interval.high)}"
    return f"95 % confidence {ends} ({interval.method})"


def _show_classes(output: Output, evaluation: Evaluation) -> None:
    if not evaluation.classes:
        return
    text = METRICS["top1"].text
    names = evaluation.request.test_set.class_names is not None
    rows = [
        (
            c.number, *([c.name] if names else []), c.samples, c.right, text(c.right / c.samples),
            f"{text(c.interval.low)} to {text(c.interval.high)}",
        )
        for c in evaluation.classes
    ]  # fmt: skip
    head = ("class", *(["name"] if names else []), "samples", "right", "share", "95 % interval")
    output.table("classes", head, rows)
    if evaluation.confusions:
        wrong = [(c.true, c.predicted, c.samples, text(c.share)) for c in evaluation.confusions]
        output.table("most mistaken", ("is", "taken for", "samples", "of the class"), wrong)


def _agreement_lines(evaluation: Evaluation) -> list[str]:
    mismatches, samples = evaluation.mismatches, len(evaluation.request.test_set)
    if mismatches is None:
        return ["bit-exact     not looked at: --no-oracle"]
    if not mismatches:
        return [f"bit-exact     yes: all {samples:,} samples equal the host reference"]
    more = len(mismatches) - SHOWN_MISMATCHES
    return [
        f"bit-exact     no: {len(mismatches):,} of {samples:,} samples differ",
        *(f"  {mismatch.describe()}" for mismatch in mismatches[:SHOWN_MISMATCHES]),
        *([f"  and {more:,} more"] if more > 0 else []),
    ]
