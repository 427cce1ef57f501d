"""The emulator: a board whose image is given to QEMU when it starts.

The serial port is one end of a socket pair that QEMU inherits: no port number to race for, no
delay, nothing to clean up, and the end of QEMU is the end of the stream.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from pathlib import Path

from exporter import process
from exporter.board import Board
from exporter.errors import BadInput, InternalError, LinkFailed
from exporter.flash.base import Flasher, FlashOptions, RunningBoard

# One instruction takes 1 ns of virtual time, so that ticks count instructions, on any machine.
INSTRUCTION_COUNTING = ("-icount", "shift=0")
_START_SECONDS = 0.05


def emulator_argv(
    board: Board,
    elf: Path,
    *,
    serial_descriptor: int,
    instruction_counting: bool = True,
    arguments: Sequence[str] = (),
) -> list[str]:
    """The command that runs `elf` on the emulated `board`, its UART on an inherited socket."""
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
        "-monitor",
        "none",
        "-nic",
        "none",
        "-chardev",
        f"socket,id=link,fd={serial_descriptor}",
        "-serial",
        "chardev:link",
        *arguments,
        "-kernel",
        str(elf),
    ]


class Emulator(RunningBoard):
    """QEMU running one image. Raises MissingTool without QEMU, LinkFailed where it ends at once."""

    connection: socket.socket

    def __init__(
        self,
        board: Board,
        elf: Path,
        *,
        instruction_counting: bool = True,
        arguments: Sequence[str] = (),
    ) -> None:
        if not elf.is_file():
            raise BadInput("there is no image to run", value=elf, next_step="nanoexport build DIR")
        ours, theirs = socket.socketpair()
        argv = emulator_argv(
            board,
            elf,
            serial_descriptor=theirs.fileno(),
            instruction_counting=instruction_counting,
            arguments=arguments,
        )
        self.connection = ours
        try:
            self._child = process.spawn(argv, pass_fds=(theirs.fileno(),))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._check_started()

    def _check_started(self) -> None:
        """A wrong option or machine ends QEMU within milliseconds: say so now, not at a timeout."""
        time.sleep(_START_SECONDS)
        if not self._child.alive():
            status, log = self._child.status(), self._child.log_tail()
            self.stop()
            raise LinkFailed(
                f"the emulator ended at once with {status}",
                value=log or None,
                next_step="check its version: QEMU 7.2 or later is needed",
            )

    @property
    def pid(self) -> int:
        """Process id of QEMU."""
        return self._child.pid

    def alive(self) -> bool:
        """Whether QEMU still runs."""
        return self._child.alive()

    def log_tail(self) -> str:
        """The last lines that QEMU printed."""
        return self._child.log_tail()

    def stop(self) -> None:
        """End QEMU and close the connection."""
        self.connection.close()
        self._child.stop()


class EmulatorFlasher(Flasher):
    """Flashing an emulated board is starting it with the image."""

    name = "emulator"

    def start(self, board: Board, elf: Path, options: FlashOptions) -> Emulator:
        """Start QEMU with `elf`; a port other than `emulator` is refused."""
        if options.port not in (None, "emulator"):
            raise BadInput(
                f"{board.name} is emulated: it has no port", value=options.port, allowed="emulator"
            )
        return Emulator(
            board,
            elf,
            instruction_counting=options.instruction_counting,
            arguments=options.arguments,
        )
