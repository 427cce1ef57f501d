"""`nanoexport audit`: whether a flatbuffer is strictly int8, and what is wrong where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from exporter.board import load_board
from exporter.build.firmware import Settings, target_for
from exporter.console import Output
from exporter.convert.audit import Audit, Edges, Mode, examine
from exporter.graph.tflite_reader import read_bytes
from exporter.options import MODEL, board_option, common_options


@click.command()
@click.argument("model", type=MODEL)
@board_option(required=False)
@click.option(
    "--mode", type=click.Choice(get_args(Mode)), default="int8", show_default=True,
    help="What the model is to compute with; int16x8: activations of 16 bits.",
)  # fmt: skip
@click.option(
    "--edges", type=click.Choice(get_args(Edges)),
    help="Type of the model's inputs and outputs; by default that of its activations.",
)  # fmt: skip
@common_options
@click.pass_obj
def audit(
    output: Output, /, model: Path, board: str | None, mode: Mode, edges: Edges | None
) -> None:
    r"""Look at MODEL operator by operator: is it strictly int8, and every scale of use?

    With --board also: can every operator be compiled for it? Exit code 2 where it finds something.

    \b
    Examples:
      nanoexport audit model.tflite
      nanoexport audit model.tflite --board mps2-an386 --json
    """
    target = target_for(load_board(board), Settings()) if board else None
    audited = examine(read_bytes(model), str(model), mode=mode, edges=edges, target=target)
    output.document(_document(audited, mode))
    for warning in audited.warnings:
        output.text(f"warning: {audited.name} {warning}")
    audited.check()
    graph = audited.graph
    output.text(
        f"{audited.name}: strictly {mode}: {len(graph.ops)} operators, "
        f"{len(graph.tensors)} tensors" + (f", all of them for {board}" if board else "")
    )


def _document(audited: Audit, mode: Mode) -> dict[str, object]:
    return {
        "model": audited.name,
        "model_sha256": audited.graph.sha256,
        "mode": mode,
        "operators": len(audited.graph.ops),
        "tensors": len(audited.graph.tensors),
        "passed": not audited.errors,
        "findings": [finding.as_dict() for finding in audited.errors],
        "warnings": [finding.as_dict() for finding in audited.warnings],
    }
