"""Serial DFU of nRF52 boot loaders of the kind of Nordic's SDK 11, by adafruit-nrfutil.

Adafruit's boot loader has it, on its own boards and many others, and can be put on Nordic's kits.
Nordic's own tool of today, nrfutil with nrf5sdk-tools, speaks the protocol of later SDKs, which is
another one, and is in no package registry. The package says what device and SoftDevice it is for,
and the loader refuses others; it erases the application's pages, and starts it where its CRC-16,
read back from the flash, is the package's. Cut off before, it stays in the loader.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from exporter import process
from exporter.board import Board
from exporter.board.flashers import NrfDfuSettings
from exporter.build.image import ERASED, Image, flash_regions
from exporter.errors import BadInput, LinkFailed
from exporter.flash.base import FlashOptions, Writer, require_port

TOOL = "adafruit-nrfutil"
BAUD = 115200
"""What the loader is built for; its USB port takes any."""

_PACKET_BYTES = 512
"""The tool prints a # for each of them."""
_WORD_BYTES = 4
_STEP_SECONDS = 60.0
_SECONDS_PER_BYTE = 1 / 1000
_POLL_SECONDS = 0.05
_NOBODY = "No data received on serial port"
_DONE = "Device programmed."


def package_argv(settings: NrfDfuSettings, binary: Path, package: Path) -> list[str]:
    """The image, with what it is for and its CRC-16, in one file."""
    ids = ",".join(f"0x{number:04X}" for number in settings.softdevice_ids)
    required = ("--dev-type", f"0x{settings.device_type:04X}", "--sd-req", ids)
    return [TOOL, "dfu", "genpkg", *required, "--application", str(binary), str(package)]


def send_argv(port: str, package: Path) -> list[str]:
    """Single bank: the loader writes to where the application runs, and copies nothing."""
    line = ("--port", port, "--baudrate", str(BAUD))
    return [TOOL, "dfu", "serial", "--package", str(package), *line, "--singlebank"]


def binary_of(board: Board, settings: NrfDfuSettings, image: Image) -> bytes:
    """Raises BadInput where the image is not where the loader puts it, or leaves the flash."""
    (region, *others) = flash_regions(image, board)
    if others or image.address != settings.application_origin:
        raise BadInput(
            f"the boot loader of {board.name} puts an image to 0x{settings.application_origin:08X}",
            value=f"the image is at 0x{image.address:08X}",
            allowed=f"all of it in {region.name}, from 0x{settings.application_origin:08X} on",
            next_step="give the board's flash that origin, and build the image anew",
        )
    data = image.filled()
    return data + bytes([ERASED]) * (-len(data) % _WORD_BYTES)


class NrfDfuFlasher(Writer):
    """See the module."""

    name = "nrf_dfu"
    port_kind = "serial"

    def write(self, board: Board, image: Image, options: FlashOptions) -> None:
        """See Writer."""
        settings = next(s for s in board.flashers if isinstance(s, NrfDfuSettings))
        data = binary_of(board, settings, image)
        port = require_port(options, board)
        with tempfile.TemporaryDirectory(prefix="nanoexport-") as name:
            binary, package = Path(name) / "firmware.bin", Path(name) / "firmware.zip"
            binary.write_bytes(data)
            argv = package_argv(settings, binary, package)
            process.run(argv, timeout_seconds=_STEP_SECONDS, error=LinkFailed)
            _send(send_argv(port, package), len(data), settings, options)


def _send(argv: list[str], size: int, settings: NrfDfuSettings, options: FlashOptions) -> None:
    """Raises LinkFailed where the loader does not answer in time, or does not take the image."""
    deadline = time.monotonic() + options.wait_seconds
    told = _sent(argv, size, options)
    if _NOBODY in told and not options.to_loader():
        options.say(f"the boot loader does not answer yet: {settings.entry}")
    while _NOBODY in told and time.monotonic() < deadline:
        told = _sent(argv, size, options)
    if _DONE in told:
        options.progress("write", size, size)
        return
    raise LinkFailed(
        f"no boot loader answered within {options.wait_seconds:g} s, or it took no more"
        if _NOBODY in told
        else "the boot loader did not take the image",
        value=process.tail(told, lines=5),
        next_step=f"{settings.entry}, and flash it again",
    )


def _sent(argv: list[str], size: int, options: FlashOptions) -> str:
    """What the tool printed: it ends with 0 whatever happens."""
    seconds = _STEP_SECONDS + size * _SECONDS_PER_BYTE
    deadline = time.monotonic() + seconds
    done = 0
    with process.spawn(argv) as child:
        while child.alive() and time.monotonic() < deadline:
            sent = min(size, child.log().count("#") * _PACKET_BYTES)
            if sent != done:
                options.progress("write", sent, size)
            done = sent
            child.wait(_POLL_SECONDS)
        if child.alive():
            raise LinkFailed(
                f"{TOOL} did not finish within {seconds:g} s",
                value=child.log_tail() or None,
                next_step="enter the boot loader again, and flash it again",
            )
        return child.log()
