"""The command `deploy`: every stage, with a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from exporter import pipeline, reports
from exporter.arrays import check_kept
from exporter.board import load_board
from exporter.build.firmware import Settings, target_for
from exporter.commands.convert_options import chosen_options, convert_options
from exporter.console import Output
from exporter.convert.convert import default_output
from exporter.convert.sources.tflite import is_converted
from exporter.errors import BadInput
from exporter.options import (
    MODEL,
    MOST_VECTORS,
    board_option,
    chosen_controls,
    common_options,
    controls_options,
    port_option,
    settings_options,
)


@click.command()
@click.argument("model", type=MODEL)
@click.option(
    "--data", metavar="DATA",
    help="Calibration samples, as convert takes them; not needed for an int8 .tflite MODEL.",
)  # fmt: skip
@click.option(
    "--test", "test_set", metavar="DATA",
    help="Labelled test set, of any kind that --data takes, run whole on the board.",
)  # fmt: skip
@board_option()
@port_option
@click.option(
    "-o",
    "--output",
    "target",
    type=MODEL,
    help="The flatbuffer to write. [MODEL.tflite; MODEL_int8.tflite for a float .tflite]",
)
@click.option(
    "--vectors", type=click.IntRange(1, MOST_VECTORS), default=20, show_default=True,
    help="Synthetic vectors.",
)  # fmt: skip
@controls_options
@convert_options
@settings_options
@common_options
@click.pass_obj
def deploy(
    output: Output, /, model: Path, data: str | None, test_set: str | None, board: str,
    port: str | None, target: Path | None, vectors: int, **chosen: Any,
) -> None:  # fmt: skip
    r"""All of it: convert, compile, build, flash, verify, measure. With a report.

    \b
    Examples:
      nanoexport deploy digits.keras --data calib.npz --test test.npz --board mps2-an386
      nanoexport deploy model.onnx --data photos/ --pixels 0..1 --test holdout/ --board mps2-an386
    """
    if is_converted(model):
        _check_nothing_to_convert(target, chosen["metadata"])
    flatbuffer = target or default_output(model)
    check_kept(flatbuffer, [chosen["metadata"]])
    found = load_board(board)
    options = chosen_options(chosen, None)
    controls = chosen_controls(chosen)
    settings = Settings(**chosen)
    request = pipeline.DeployRequest(
        model=model,
        board=found,
        flatbuffer=flatbuffer,
        settings=settings,
        options=replace(options, target=target_for(found, settings)),
        calibration=data,
        test_set=test_set,
        vectors=vectors,
        controls=controls,
        port=port,
    )
    with output.progress() as progress:
        deployment = pipeline.deploy(request, progress)
    reports.show_deployment(output, request, deployment)


def _check_nothing_to_convert(target: Path | None, metadata: Path | None) -> None:
    """A flatbuffer is deployed as it is: raises BadInput for options that would change it."""
    for option, value in (("-o", target), ("--metadata", metadata)):
        if value is not None:
            raise BadInput(
                "there is nothing to convert, so nothing to write",
                value=f"{option} {value}",
                next_step=f"leave {option} out, or give the trained model instead of the "
                "flatbuffer",
            )
