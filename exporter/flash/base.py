"""What a flasher is: the way an image gets onto a board and starts there."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from exporter.board import Board
from exporter.build.image import Image
from exporter.errors import BadInput
from exporter.process import Child


class RunningBoard(ABC):
    """A board that runs an image. A context manager: leaving the block stops what was started.

    `connection`, a connected stream socket, is the board's serial port.
    """

    connection: socket.socket

    @abstractmethod
    def alive(self) -> bool:
        """Whether it can still answer; real boards cannot tell and say yes."""

    @abstractmethod
    def log_tail(self) -> str:
        """The last lines of what the program that runs or flashed it printed."""

    @abstractmethod
    def stop(self) -> None:
        """End it. Harmless when it has ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class ProgramBoard(RunningBoard):
    """A board that is a program of this machine: `_child`."""

    _child: Child

    @property
    def pid(self) -> int:
        """Its process id; that of a native process is the same after a reset of the board."""
        return self._child.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._child.alive()

    def log_tail(self) -> str:
        """The last lines that it printed."""
        return self._child.log_tail()

    def stop(self) -> None:
        """End it and close the connection."""
        self.connection.close()
        self._child.stop()


def require_image(elf: Path) -> None:
    """Raises BadInput where there is no image to start."""
    if not elf.is_file():
        raise BadInput("there is no image to run", value=elf, next_step="nanoexport build DIR")


def _say_nothing(text: str) -> None:
    """A message to the person at the board, where nobody listens."""


def _no_progress(stage: str, done: int, total: int) -> None:
    """Bytes done of all bytes of a stage, where nobody looks."""


@dataclass(frozen=True)
class FlashOptions:
    """What the user may choose. Each flasher reads what concerns it."""

    arguments: tuple[str, ...] = ()
    """Added to the emulator's command."""
    instruction_counting: bool = True
    port: str | None = None
    """Serial port of a boot loader; HOST:PORT of a GDB server."""
    probe: str | None = None
    """Serial number of the debug probe, where there are several."""
    volume: Path | None = None
    """Where the drive of a boot loader or probe is mounted, where it is not found."""
    wait_seconds: float = 60.0
    """How long a person has to press a button, or a drive to appear."""
    say: Callable[[str], None] = _say_nothing
    progress: Callable[[str, int, int], None] = _no_progress


class Flasher(ABC):
    """One way to get an image onto a board: a `Launcher` or a `Writer`. To add one:

    1. Add its settings to `exporter/board/flashers.py`; boards list them under `flashers`.
    2. Create `exporter/flash/<name>.py` with one subclass, `class <Name>Flasher(Writer)`, with
       `name` as in the settings, and a line for it in `FLASHERS` of `exporter/flash/__init__.py`.
    3. Implement `write`: see there. Programs are run by `exporter.process` only; every wait has a
       deadline. Raise MissingTool for an absent program, port or drive, LinkFailed where the board
       does not answer or does not take the image, BadInput where it is another chip.
    4. Never write outside the image's pages, nor erase more than them; leave option bytes, fuses
       and protection alone, whatever the user says.
    5. Add `tests/flash/test_<name>.py`: the exact argument list of each program it runs, or the
       bytes of its protocol.
    """

    name: str


class Launcher(Flasher):
    """The image is a program, or runs in one: flashing is starting it."""

    @abstractmethod
    def start(self, board: Board, elf: Path, options: FlashOptions) -> RunningBoard:
        """Start the board with the image."""


class Writer(Flasher):
    """The image is written into a real board's flash."""

    @abstractmethod
    def write(self, board: Board, image: Image, options: FlashOptions) -> None:
        """Check that it is this chip, write the image, compare what was written, start it.

        An interruption leaves a board that the same call repairs.
        """
