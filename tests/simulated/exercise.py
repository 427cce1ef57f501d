"""The firmware of exercise.c on a simulated board, and its client."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporter.board import Board
from exporter.build import build
from exporter.link.faults import Reason
from exporter.render.platform import render_platform
from tests.platform.probe import need_tool, write_project
from tests.simulated.board import SimulatedBoard
from tests.simulated.machine import Machine
from tests.simulated.machines import MACHINES

SOURCE = Path(__file__).with_name("exercise.c")
REPLY_SECONDS = 60.0
PERIODS_SECONDS = 0.005
_NO_FAULT = 0xFF


def exercise_project(board: Board, folder: Path) -> Path:
    """The project, written into `folder` and not built."""
    need_tool("cmake", "ninja", board.compilers["gcc"].program)
    # The application that has a use for the timer, so that its driver is there; without its link.
    files = render_platform(board, app="hil", toolchain="gcc", optimize="size", model_sources=[])
    files["app/main.c"] = SOURCE.read_text(encoding="utf-8")
    files["nanoexport.json"] = json.dumps({"board": board.name, "toolchain": "gcc"})
    return write_project(folder, files)


def build_exercise(board: Board, folder: Path) -> Path:
    """Its ELF file."""
    return build(exercise_project(board, folder)).elf


@dataclass
class Exercise:
    """The client."""

    running: SimulatedBoard

    @property
    def machine(self) -> Machine:
        return self.running.machine

    def receive(self, size: int) -> bytes:
        """Exactly `size` bytes; fewer where the machine stopped before."""
        self.running.connection.settimeout(REPLY_SECONDS)
        data = b""
        while len(data) < size:
            chunk = self.running.connection.recv(size - len(data))
            if not chunk:
                break
            data += chunk
        return data

    def send(self, letter: str) -> None:
        """A request."""
        self.running.connection.sendall(letter.encode())

    def word(self) -> int:
        """A word of a reply."""
        return int(struct.unpack("<I", self.receive(4))[0])

    def boot(self) -> Reason | None:
        """Wait for it; why the boot before ended."""
        letter, reason = self.receive(2)
        assert letter == ord("B")
        return None if reason == _NO_FAULT else Reason(reason)

    def chip_id(self, letter: str = "I") -> bytes:
        """The chip's number; behind the answer to X comes a reset."""
        self.send(letter)
        return self.receive(self.word())

    def timer_seconds(self) -> float | None:
        """How long five periods of a millisecond last by the ticks; None without a timer."""
        self.send("T")
        hz, ticks = self.word(), self.word()
        return ticks / hz if ticks else None


@contextmanager
def exercise(board: Board, elf: Path, *, ready: bool = True) -> Iterator[Exercise]:
    """The board running `elf`; unless `ready`, no crystal and no PLL gets ready."""
    assert board.uart is not None
    running = SimulatedBoard(
        lambda line: MACHINES[board.name](board, line, elf), board.uart.baud, ready=ready
    )
    with running:
        yield Exercise(running)
