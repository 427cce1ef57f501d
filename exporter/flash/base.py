"""What a flasher is: the way an image gets onto a board and starts there."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from exporter.board import Board


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
