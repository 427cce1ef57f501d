"""The emulator rp2040js: a Raspberry Pi Pico whose flash is given its image when it starts.

`rp2040js_bridge` runs it under Node.js. As with QEMU the serial port is one end of a socket pair
that the program inherits; a second pair brings it the content of the flash, and tells that the
machine is complete.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from exporter.board import Board
from exporter.build.image import Image, flash_regions
from exporter.build.image_files import read_image
from exporter.errors import MissingTool
from exporter.flash.base import (
    START_SECONDS,
    FlashOptions,
    Launcher,
    ProgramBoard,
    require_image,
)

PACKAGE = "rp2040js"
VERSION = "1.4.1"

_BRIDGE = Path(__file__).parent / "rp2040js_bridge"
_READY = b"ready\n"


def module_folders() -> Iterator[Path]:
    """Where npm may have put the emulator, as its prefixes are: the first that has it counts."""
    yield _BRIDGE / "node_modules"  # a checkout's, of `make setup`
    yield Path(sys.prefix) / "lib" / "node_modules"
    yield from (Path(folder) for folder in os.environ.get("NODE_PATH", "").split(os.pathsep))
    node = shutil.which("node")
    if node is not None:
        yield Path(node).resolve().parent.parent / "lib" / "node_modules"
    yield Path("/usr/local/lib/node_modules")  # npm of Debian installs there


def find_modules() -> Path:
    """The folder that has the emulator. Raises MissingTool."""
    for folder in module_folders():
        if (folder / PACKAGE / "package.json").is_file():
            return folder
    raise MissingTool(
        "the emulator of the Raspberry Pi Pico is not installed",
        value=f"{PACKAGE}, a package of Node.js",
        allowed=f"{PACKAGE} {VERSION}",
        next_step=f"npm install --global --prefix {sys.prefix} {PACKAGE}@{VERSION}, "
        "or in a checkout: make setup",
    )


def bridge_argv(modules: Path, *, serial_descriptor: int, control_descriptor: int) -> list[str]:
    """The command that runs the emulator, its UART0 and the control on inherited sockets."""
    return [
        "node",
        str(_BRIDGE / "bridge.mjs"),
        str(modules),
        str(serial_descriptor),
        str(control_descriptor),
    ]


class EmulatedPico(ProgramBoard):
    """A Pico running one image. Raises MissingTool; LinkFailed where it ends at once."""

    def __init__(self, image: Image, origin: int) -> None:
        modules = find_modules()
        flash = image.filled(origin)
        self._launch(
            lambda serial, control: bridge_argv(
                modules, serial_descriptor=serial, control_descriptor=control
            ),
            lambda control: _is_taken(control, flash),
            "check Node.js: version 18 or later is needed",
        )


def _is_taken(control: socket.socket, flash: bytes) -> bool:
    """Whether it says so; not, where the stream ends first. Raises TimeoutError."""
    control.settimeout(START_SECONDS)
    received = b""
    with contextlib.suppress(ConnectionError):
        control.sendall(struct.pack("<I", len(flash)) + flash)
        while not received.endswith(_READY):
            chunk = control.recv(64)
            if not chunk:
                return False
            received += chunk
        return True
    return False


class Rp2040jsFlasher(Launcher):
    """Flashing the emulated Pico is starting it with the image."""

    name = "rp2040js"

    def start(self, board: Board, elf: Path, options: FlashOptions) -> EmulatedPico:
        """Start the emulator with `elf`, or with a file of any other form that an image has."""
        require_image(elf)
        image = read_image(elf, board)
        flash_regions(image, board)
        return EmulatedPico(image, board.region("flash").origin)
