"""The command `convert`, with the settings of a conversion as options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from exporter import convert as conversion
from exporter import reports
from exporter.arrays import check_kept
from exporter.board import load_board
from exporter.build.firmware import Settings, target_for
from exporter.commands.convert_options import chosen_options, convert_options
from exporter.commands.report_options import (
    is_default,
    report_options,
    run_judged,
    show_judged,
    wanted,
)
from exporter.console import Output
from exporter.convert.audit import Edges, Mode
from exporter.convert.settings import ConvertSettings, RangeMethod, Weights
from exporter.options import MODEL, board_option, common_options

Command = TypeVar("Command", bound=Callable[..., Any])


def quantisation_options(command: Command) -> Command:
    """One option for each field of ConvertSettings, with its name and its default."""
    defaults = ConvertSettings()
    for option in (
        click.option(
            "--bias-correction", is_flag=True,
            help="Shift biases by the mean error that quantisation causes, where it helps.",
        ),
        click.option(
            "--percentile", type=float, default=defaults.percentile, show_default=True,
            metavar="PERCENT", help="Share of a tensor's values that --ranges percentile keeps.",
        ),
        click.option(
            "--ranges", type=click.Choice(get_args(RangeMethod)), default=defaults.ranges,
            show_default=True, help="A tensor's range: all that was seen, most of it, or the range "
            "with the least squared error.",
        ),
        click.option(
            "--edges", type=click.Choice(get_args(Edges)),
            help="Type of inputs and outputs; by default that of the mode. The engine takes int8.",
        ),
        click.option(
            "--per-tensor", is_flag=True,
            help="One scale for all weights of a layer: less accurate, for old runtimes.",
        ),
        click.option(
            "--weights", type=click.Choice(get_args(Weights)), default=defaults.weights,
            show_default=True, help="int4 halves the weights in the file; in a firmware's flash "
            "they are int8 still.",
        ),
        click.option(
            "--mode", type=click.Choice(get_args(Mode)), default=defaults.mode, show_default=True,
            help="int16x8: int16 activations over int8 weights, for TFLite; the engine takes int8.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.argument("model", type=MODEL)
@click.option(
    "--data", required=True, metavar="DATA",
    help="Calibration samples: .npz, .npy, a folder of images or WAV files, .csv, or "
    "module:function. See docs/samples.md.",
)  # fmt: skip
@click.option(
    "-o", "--output", "target", type=MODEL, required=True, help="The flatbuffer to write."
)
@board_option(required=False)
@quantisation_options
@report_options
@convert_options
@common_options
@click.pass_obj
def convert(output: Output, /, model: Path, data: str, target: Path, **chosen: Any) -> None:
    r"""Turn a trained MODEL into a strictly int8 flatbuffer.

    MODEL: .keras, .h5, a SavedModel folder, a float .tflite, .onnx, a PyTorch .pt2, or
    module:function. With --board, every operator must be one that runs there.

    \b
    Examples:
      nanoexport convert model.keras --data calib.npz -o model.tflite
      nanoexport convert model.onnx --data photos/ --pixels 0..1 -o model.tflite
      nanoexport convert model.h5 --data calib.npz -o model.tflite --ranges mse
      nanoexport convert float.tflite --data calib.npz -o model.tflite --weights int4
      nanoexport convert model.keras --data calib.npz -o model.tflite --eval test.npz --report out
      nanoexport convert model.keras --data calib.npz -o model.tflite --eval test.npz --max-drop 1%
    """
    check_kept(target, [chosen["metadata"]])
    board = chosen.pop("board")
    options = chosen_options(chosen, target_for(load_board(board), Settings()) if board else None)
    int16 = is_default("mode") and options.target is None
    judging = wanted(chosen, int16=int16)
    settings = ConvertSettings(**chosen)
    if judging.anything:
        judged = run_judged(output, model, data, target, settings, judging, options)
        show_judged(output, judged)
        judged.check()
        return
    with output.progress() as progress:
        report = conversion.convert(
            model, data, target, settings, options,
            progress=lambda text: progress(f"convert: {text}", 0, 0),
        )  # fmt: skip
    reports.show_conversion(output, report)
