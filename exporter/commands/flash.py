"""`nanoexport flash`: an image onto its board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from exporter.console import Output
from exporter.flash import FlashOptions
from exporter.hil.flashing import Wish, flash_product, product_of
from exporter.options import FOLDER, board_option, common_options

WAIT_SECONDS = FlashOptions().wait_seconds


@click.command()
@click.argument("what", type=FOLDER, metavar="FOLDER|FILE")
@board_option(required=False)
@click.option(
    "--flasher", metavar="NAME",
    help="One of those that the board's file lists; the first of them is the default.",
)  # fmt: skip
@click.option(
    "--port", metavar="PORT",
    help="Serial port of the boot loader, HOST:PORT of a GDB server; for a probe or a drive, the "
    "port of the board that is meant.",
)  # fmt: skip
@click.option(
    "--link-port", metavar="PORT",
    help="Serial port on which the firmware answers, where it is another one and is not found.",
)  # fmt: skip
@click.option("--probe", metavar="SERIAL", help="Serial number of the debug probe.")
@click.option("--volume", type=FOLDER, metavar="PATH", help="Where the drive is mounted.")
@click.option(
    "--wait", "wait_seconds", type=click.FloatRange(0), default=WAIT_SECONDS, show_default=True,
    metavar="SECONDS", help="For a person to press a button, a drive or a port to appear.",
)  # fmt: skip
@click.option(
    "--serve", type=click.IntRange(1, 65535), metavar="TCP_PORT",
    help="Keep an emulated board running, its serial port on 127.0.0.1:TCP_PORT, until Ctrl-C.",
)  # fmt: skip
@common_options
@click.pass_obj
def flash(
    output: Output, /, what: Path, board: str | None, flasher: str | None, link_port: str | None,
    serve: int | None, **chosen: Any,
) -> None:  # fmt: skip
    r"""Put a built firmware on its board, start it, and ask it who it is.

    FOLDER is a built project. FILE is an image as ELF, BIN, HEX, UF2 or for an ESP, with --board;
    what was written is compared by the flasher, and nobody is asked.

    Where the board's first flasher is an emulator, the image runs there; --flasher NAME is for the
    real board.

    Only the pages of the image are erased. Option bytes, fuses and protection are never touched,
    and another chip than the board's is left as it is. After an interruption the same command
    repairs the board.

    \b
    Examples:
      nanoexport flash firmware
      nanoexport flash firmware --port /dev/ttyACM0
      nanoexport flash firmware --flasher gdb_remote --port localhost:3333
      nanoexport flash firmware --flasher openocd --probe 066CFF303430484257255318
      nanoexport flash firmware --flasher stm32_rom --port /dev/ttyUSB0 --link-port /dev/ttyACM0
      nanoexport flash firmware.hex --board microbit-v2
      nanoexport flash firmware.uf2 --board raspberry-pi-pico --flasher uf2
      nanoexport flash firmware --serve 5555
      nanoexport monitor --port socket://127.0.0.1:5555      # in another terminal
    """
    product = product_of(what, board)
    options = FlashOptions(say=output.text, **chosen)
    wish = Wish(options, output.progress, flasher, link_port, serve)
    flash_product(product, wish, output.text, output.document_now)
