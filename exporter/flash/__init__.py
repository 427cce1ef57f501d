"""Getting an image onto a board. `start` is the whole interface; one file per flasher."""

from __future__ import annotations

from pathlib import Path

from exporter.board import Board
from exporter.errors import InternalError
from exporter.flash.base import Flasher, FlashOptions, RunningBoard
from exporter.flash.emulator import Emulator, EmulatorFlasher
from exporter.flash.native import NativeFlasher, NativeProcess

__all__ = [
    "FLASHERS",
    "Emulator",
    "FlashOptions",
    "Flasher",
    "NativeProcess",
    "RunningBoard",
    "flasher_for",
    "start",
]

# Every flasher; boards name theirs.
FLASHERS: dict[str, Flasher] = {
    flasher.name: flasher for flasher in (EmulatorFlasher(), NativeFlasher())
}


def flasher_for(board: Board) -> Flasher:
    """The flasher that the board's file names."""
    if board.flasher not in FLASHERS:
        raise InternalError(
            f"the board {board.name} names a flasher that does not exist",
            value=board.flasher,
            allowed=[*FLASHERS],
        )
    return FLASHERS[board.flasher]


def start(board: Board, elf: Path, options: FlashOptions | None = None) -> RunningBoard:
    """Put `elf` on the board and start it. Use as a context manager, or call `stop`.

    Raises BadInput, MissingTool or LinkFailed; see `Flasher.start` of the board's flasher.
    """
    return flasher_for(board).start(board, elf, options or FlashOptions())
