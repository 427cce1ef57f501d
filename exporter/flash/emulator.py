"""The emulator: a board whose image is given to QEMU when it starts.

The serial port is one end of a socket pair that QEMU inherits: no port number to race for, no
delay, nothing to clean up, and the end of QEMU is the end of the stream. A second pair carries
QEMU's machine protocol (QMP), only to learn that the machine is complete: until then a wrong
option, or an image that cannot be loaded, ends QEMU, however long a busy computer takes for it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from exporter.board import Board
from exporter.errors import InternalError
from exporter.flash.base import (
    START_SECONDS,
    FlashOptions,
    Launcher,
    ProgramBoard,
    require_image,
)

# One instruction takes 1 ns of virtual time, so that ticks count instructions, on any machine.
INSTRUCTION_COUNTING = ("-icount", "shift=0")
_QMP_HELLO = json.dumps({"execute": "qmp_capabilities"}).encode()


def emulator_argv(
    board: Board,
    elf: Path,
    *,
    serial_descriptor: int,
    control_descriptor: int,
    instruction_counting: bool = True,
    arguments: Sequence[str] = (),
) -> list[str]:
    """The command that runs `elf` on `board`, its UART and QMP on inherited sockets."""
    if board.emulator is None:
        raise InternalError("the board has no emulator", value=board.name)
    return [
        board.emulator.program,
        "-machine",
        board.emulator.machine,
        *board.emulator.arguments,
        *(INSTRUCTION_COUNTING if instruction_counting else ()),
        "-display",
        "none",
        "-nodefaults",
        "-nic",
        "none",
        "-chardev",
        f"socket,id=control,fd={control_descriptor}",
        "-mon",
        "chardev=control,mode=control",
        "-chardev",
        f"socket,id=link,fd={serial_descriptor}",
        "-serial",
        "chardev:link",
        *arguments,
        "-kernel",
        str(elf),
    ]


def _answers(control: socket.socket) -> bool:
    """Whether QEMU carries out a command; not, where the stream ends first. Raises TimeoutError."""
    deadline = time.monotonic() + START_SECONDS
    received = b""
    with contextlib.suppress(ConnectionError):
        control.sendall(_QMP_HELLO)
        while b'"return"' not in received:
            control.settimeout(max(deadline - time.monotonic(), 0.001))
            chunk = control.recv(4096)
            if not chunk:
                return False
            received += chunk
        return True
    return False


class Emulator(ProgramBoard):
    """QEMU running one image. Raises MissingTool without QEMU, LinkFailed where it ends at once."""

    def __init__(
        self,
        board: Board,
        elf: Path,
        *,
        instruction_counting: bool = True,
        arguments: Sequence[str] = (),
    ) -> None:
        require_image(elf)

        def command(serial: int, control: int) -> list[str]:
            return emulator_argv(
                board,
                elf,
                serial_descriptor=serial,
                control_descriptor=control,
                instruction_counting=instruction_counting,
                arguments=arguments,
            )

        self._launch(command, _answers, "check its version: QEMU 7.2 or later is needed")


class EmulatorFlasher(Launcher):
    """Flashing an emulated board is starting it with the image."""

    name = "emulator"

    def start(self, board: Board, elf: Path, options: FlashOptions) -> Emulator:
        """Start QEMU with `elf`."""
        return Emulator(
            board,
            elf,
            instruction_counting=options.instruction_counting,
            arguments=options.arguments,
        )
