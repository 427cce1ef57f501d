"""`nanoexport identify`: the passport of a unit that is running."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from exporter.board import load_board
from exporter.build.compile import Firmware
from exporter.console import Output
from exporter.errors import BadInput
from exporter.hil import passport
from exporter.hil.session import port_opener
from exporter.link.device import Device
from exporter.link.messages import ExpectedIdentity
from exporter.options import (
    FOLDER,
    MODEL,
    board_option,
    check_running_port,
    common_options,
    running_port_option,
)


@click.command()
@running_port_option
@board_option(required=False)
@click.option(
    "--firmware", "folder", type=FOLDER, metavar="DIR",
    help="A built project: is it the one that the unit carries?",
)  # fmt: skip
@click.option("--model", type=MODEL, metavar="MODEL", help="A flatbuffer: is it the unit's model?")
@common_options
@click.pass_obj
def identify(
    output: Output, port: str | None, board: str | None, folder: Path | None, model: Path | None
) -> None:
    r"""Ask a running unit who it is: chip, model, build, compiler, dialect, memory.

    With --firmware or --model, exit code 1 where the unit is not that one. Nothing on it changes: a
    fault that it remembers stays.

    \b
    Examples:
      nanoexport identify --port /dev/ttyACM0
      nanoexport identify --port /dev/ttyACM0 --firmware firmware
      nanoexport identify --port /dev/ttyACM0 --board mps2-an386 --model model.tflite --json
      nanoexport flash firmware --serve 5555
      nanoexport identify --port socket://127.0.0.1:5555     # in another terminal
    """
    port = check_running_port(port)
    expected = _expected(board, folder, model)
    uart = load_board(expected.board).uart if expected.board else None
    with (
        port_opener(port, uart.baud if uart else None) as open_again,
        Device(open_again(), reopen=open_again) as device,
    ):
        identity, document = device.identity, passport.read_passport(device)
    differing = passport.differences(identity, expected)
    passport.show_passport(output.text, document, expected, differing)
    output.document(document | {"differs": list(differing)})
    passport.check_passport(identity, expected)


def _expected(board: str | None, folder: Path | None, model: Path | None) -> ExpectedIdentity:
    """What the unit should be, as far as it was named. Raises BadInput where names disagree."""
    if folder is not None:
        expected = passport.expected_of_project(Firmware.of(folder))
    else:
        expected = ExpectedIdentity()
    named = {"board": load_board(board).name if board else None, "model_sha256": _sha256(model)}
    for name, value in named.items():
        stated = getattr(expected, name)
        if None not in (value, stated) and value != stated:
            raise BadInput(
                f"the firmware in '{folder}' is of another {name.partition('_')[0]}",
                value=stated,
                allowed=str(value),
                next_step="leave one of the options out",
            )
    return ExpectedIdentity(
        **{**vars(expected), **{name: value for name, value in named.items() if value is not None}}
    )


def _sha256(model: Path | None) -> str | None:
    try:
        return None if model is None else hashlib.sha256(model.read_bytes()).hexdigest()
    except OSError as error:
        raise BadInput(
            "the model cannot be read", value=f"{model}: {error.strerror}", allowed="a .tflite file"
        ) from error
