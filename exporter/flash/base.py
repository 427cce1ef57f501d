"""What a flasher is: the way an image gets onto a board and starts there."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from exporter.board import Board
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


@dataclass(frozen=True)
class FlashOptions:
    """What the user may choose. Each flasher reads what concerns it."""

    arguments: tuple[str, ...] = field(default=())
    instruction_counting: bool = True


class Flasher(ABC):
    """One way to get an image onto a board. To add one:

    1. Create `exporter/flash/<name>.py` with one subclass, `class <Name>Flasher(Flasher)`.
    2. Set `name` to the file's name; boards refer to it by `flasher: <name>`.
    3. Implement `start`: write the image, verify what was written, start it, and return a
       `RunningBoard`. Programs are run by `exporter.process` only; every wait has a deadline.
       Raise MissingTool for an absent program or port, LinkFailed where the board does not answer.
    4. Never write outside the board's flash region; leave option bytes, fuses and protection alone.
    5. Add a line to `FLASHERS` in `exporter/flash/__init__.py`.
    6. Add `tests/flash/test_<name>.py`: the exact argument list of each program it runs.
    """

    name: str

    @abstractmethod
    def start(self, board: Board, elf: Path, options: FlashOptions) -> RunningBoard:
        """Put the image on the board and start it."""
