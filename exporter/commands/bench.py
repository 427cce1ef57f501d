"""`nanoexport bench`: what a model costs on a board, and whether that is within its budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from exporter import reports
from exporter.board import load_board
from exporter.build import firmware as firmwares
from exporter.build.firmware import Settings
from exporter.commands.latency_options import LatencyOptions, latency_options
from exporter.console import Output
from exporter.hil import compare as comparison
from exporter.hil.bench import as_dict as bench_document
from exporter.hil.bench import bench_on_board
from exporter.hil.cycles import with_cycles
from exporter.options import MODEL, board_option, common_options, port_option, settings_options


@click.command()
@click.argument("model", type=MODEL)
@board_option()
@port_option
@click.option(
    "--compare", type=MODEL, metavar="OLD.json",
    help="Fail where a figure is over 1% worse than in this file, written by bench --json.",
)  # fmt: skip
@click.option(
    "--cycles/--no-cycles", default=True, show_default=True,
    help="Model cycles, where the board's core has a model; this needs a host compiler.",
)  # fmt: skip
@latency_options
@settings_options
@common_options
@click.pass_obj
def bench(
    output: Output, /, model: Path, board: str, port: str | None, compare: Path | None,
    cycles: bool, **chosen: Any,
) -> None:  # fmt: skip
    r"""Count the instructions of MODEL on a board, layer by layer, and its bytes.

    Emulated Cortex-M3, M4 and M0+ boards also show modelled cycles, at zero wait states. The
    latency is a distribution over several inferences, to be held against a budget.

    \b
    Examples:
      nanoexport bench model.tflite --board mps2-an386
      nanoexport bench model.tflite --board mps2-an386 --json > before.json
      nanoexport bench model.tflite --board mps2-an386 --compare before.json
      nanoexport bench model.tflite --board mps2-an386 --runs 100 --interrupt-load 100 20000
      nanoexport bench model.tflite --board mps2-an386 --write-budget budget.yaml --margin 10%
      nanoexport bench model.tflite --board mps2-an386 --budget budget.yaml
    """
    before = comparison.read_document(compare) if compare else None
    target = load_board(board)
    latency = LatencyOptions.chosen(target, chosen)
    with output.progress() as progress:
        progress("build", 0, 0)
        firmware = firmwares.firmware_for(model, target, Settings(**chosen))
        if before:
            comparison.check_comparable(before, firmware)
        progress("bench", 0, 0)
        result = bench_on_board(firmware, port=port, budget=latency.budget)
        result = with_cycles(firmware, result) if cycles else result
    left_out = () if cycles else ("modelled_cycles",)
    now = bench_document(firmware, result)
    compared = comparison.compare(before, now, left_out=left_out) if before else None
    reports.show_benchmark(output, firmware, result, compared)
    latency.write(output, result)
    if result.budget:
        result.budget.require()
    if compared:
        compared.check()
