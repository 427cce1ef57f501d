"""Getting an image onto a board. `start` is the whole interface; one file per flasher."""

from __future__ import annotations

from pathlib import Path

from exporter.board import Board
from exporter.errors import BadInput, InternalError
from exporter.flash.base import Flasher, FlashOptions, Launcher, RunningBoard, Writer
from exporter.flash.emulator import Emulator, EmulatorFlasher
from exporter.flash.native import NativeFlasher, NativeProcess

__all__ = [
    "FLASHERS",
    "Emulator",
    "FlashOptions",
    "Flasher",
    "Launcher",
    "NativeProcess",
    "RunningBoard",
    "Writer",
    "flasher_for",
    "start",
]

# Every flasher; boards name theirs.
FLASHERS: dict[str, Flasher] = {
    flasher.name: flasher for flasher in (EmulatorFlasher(), NativeFlasher())
}


def flasher_for(board: Board, name: str | None = None) -> Flasher:
    """The flasher of that name, or the board's default. Raises BadInput where it has no such."""
    names = [settings.name for settings in board.flashers]
    wanted = name or board.default_flasher.name
    if wanted not in names:
        raise BadInput(f"the board {board.name} has no such flasher", value=wanted, allowed=names)
    if wanted not in FLASHERS:
        raise InternalError("a board names a flasher that does not exist", value=wanted)
    return FLASHERS[wanted]


def start(board: Board, elf: Path, options: FlashOptions | None = None) -> RunningBoard:
    """Start `elf` on a board that is a program. A context manager, or call `stop`.

    Raises BadInput, MissingTool or LinkFailed; see `Launcher.start` of the board's flasher.
    """
    flasher = flasher_for(board)
    if not isinstance(flasher, Launcher):
        raise InternalError("a real board is written to, not started", value=board.name)
    return flasher.start(board, elf, options or FlashOptions())
