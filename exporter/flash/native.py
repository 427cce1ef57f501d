"""The native process: a board whose image is a program of this machine.

Flashed, its serial port is one end of a socket pair that it inherits, as an emulator's is. Started
with a port of its own, that is a pseudo terminal, or TCP on the loopback interface: names that
another process may have once this one has ended.
"""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

from exporter import process
from exporter.board import Board
from exporter.errors import LinkFailed
from exporter.flash.base import FlashOptions, Launcher, ProgramBoard, require_image

_START_SECONDS = 10.0
_POLL_SECONDS = 0.005
_USE_TCP = not sys.platform.startswith("linux")

_SERIAL_VARIABLE = "NANO_HOST_SERIAL"
"""Descriptor of the serial port, hexadecimal: firmware_templates/platform/host/host.h."""


def native_argv(elf: Path, *, tcp: bool) -> list[str]:
    """The command that runs the image; port 0 is any free one."""
    return [str(elf.resolve()), *(("--tcp", "0") if tcp else ())]


class NativeProcess(ProgramBoard):
    """The running image. `port`, to be opened by its name, is a pty or `socket://127.0.0.1:PORT`;
    whoever has opened it may set `connection`. Raises LinkFailed.
    """

    def __init__(self, elf: Path, *, tcp: bool = _USE_TCP) -> None:
        require_image(elf)
        self._child = process.spawn(native_argv(elf, tcp=tcp))
        try:
            self.port = self._announced_port()
        except BaseException:
            self.stop()
            raise

    def _announced_port(self) -> str:
        """The process says first where its port is: `pty: /dev/pts/3` or `tcp: 54321`."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._child.alive():
            first = self._child.log_tail().partition("\n")[0]
            kind, _, place = first.partition(": ")
            if kind in ("pty", "tcp") and place:
                return place if kind == "pty" else f"socket://127.0.0.1:{place}"
            time.sleep(_POLL_SECONDS)
        raise LinkFailed(
            f"the native process did not say where its port is ({self._child.status()})",
            value=self._child.log_tail() or None,
            allowed="a first line with pty: or tcp:",
            next_step="run it by hand, and build it anew if it is not of this version",
        )

    def stop(self) -> None:
        """End it."""
        self._child.stop()


class ConnectedProcess(ProgramBoard):
    """The running image at the other end of `connection`."""

    def __init__(self, elf: Path) -> None:
        require_image(elf)
        self.connection, serial = socket.socketpair()
        try:
            self._child = process.spawn(
                native_argv(elf, tcp=False),
                environment={_SERIAL_VARIABLE: f"{serial.fileno():08x}"},
                pass_fds=(serial.fileno(),),
            )
        except BaseException:
            self.connection.close()
            raise
        finally:
            serial.close()  # now the end of the process is the end of the stream


class NativeFlasher(Launcher):
    """Flashing the host is starting the program."""

    name = "native"

    def start(self, board: Board, elf: Path, options: FlashOptions) -> ConnectedProcess:
        """Start `elf`."""
        return ConnectedProcess(elf)
