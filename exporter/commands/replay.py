"""The command that runs a failed test's inferences again."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.console import Output
from exporter.hil.bundle import read_bundle
from exporter.hil.replay import check_replayed
from exporter.hil.replay import replay as replay_bundle
from exporter.options import FOLDER, common_options, port_option


@click.command()
@click.argument("bundle", type=FOLDER)
@port_option
@common_options
@click.pass_obj
def replay(output: Output, /, bundle: Path, port: str | None) -> None:
    r"""Run the inferences of a failed test again, from the BUNDLE that it left.

    The bundle's image is started on its board, the recorded inputs are written, and the outputs are
    compared with the recorded ones and with the model's host reference. Exit code 1: the board
    differs from the reference, or nothing could be compared.

    \b
    Examples:
      nanoexport replay nano-bundles/test_mine.py-test_seven-mps2-an386-digits
      nanoexport replay nano-bundles/test_seven --port /dev/ttyACM0 --json
    """
    kept = read_bundle(bundle)
    with output.progress() as progress:
        progress("replay", 0, 0)
        replayed = replay_bundle(
            kept, port=port, progress=lambda done, total: progress("replay", done, total)
        )
    output.text(f"test          {kept.test}")
    output.text(f"board         {kept.board.name}; the test ran at {kept.place}")
    if kept.left_out:
        output.text(f"left out      the first {kept.left_out} inferences, which were not kept")
    rows = [[r.number, _told(r.as_recorded), _told(r.as_reference)] for r in replayed]
    output.table("", ["inference", "as recorded", "as the reference"], rows)
    for one in replayed:
        for difference in one.differences:
            output.text(difference)
    if replayed and all(one.as_reference for one in replayed):
        output.text("conclusion    the board computes what the model says:")
        output.text("              the test failed for another reason")
    output.document(
        {
            "bundle": str(bundle),
            "test": kept.test,
            "board": kept.board.name,
            "inferences_left_out": kept.left_out,
            "inferences": [
                {
                    "number": one.number,
                    "as_recorded": one.as_recorded,
                    "as_reference": one.as_reference,
                    "differences": list(one.differences),
                }
                for one in replayed
            ],
        }
    )
    check_replayed(replayed)


def _told(equal: bool | None) -> str:
    return "not compared" if equal is None else "equal" if equal else "DIFFERENT"
