"""Getting an image onto a board. `start` is the whole interface; one file per flasher."""

from __future__ import annotations

from pathlib import Path

from exporter.board import Board
from exporter.errors import BadInput, InternalError
from exporter.flash.base import Flasher, FlashOptions, Launcher, RunningBoard, Writer
from exporter.flash.bossa import BossaFlasher
from exporter.flash.daplink import DaplinkFlasher
from exporter.flash.emulator import Emulator, EmulatorFlasher
from exporter.flash.esp_rom import EspRomFlasher
from exporter.flash.gdb_remote import GdbRemoteFlasher
from exporter.flash.native import NativeFlasher, NativeProcess
from exporter.flash.nrf_dfu import NrfDfuFlasher
from exporter.flash.openocd import OpenocdFlasher
from exporter.flash.pyocd import PyocdFlasher
from exporter.flash.rp2040js import Rp2040jsFlasher
from exporter.flash.stm32_rom import Stm32RomFlasher
from exporter.flash.uf2 import Uf2Flasher

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
    "real_flashers",
    "start",
]

# Every flasher; boards name theirs.
FLASHERS: dict[str, Flasher] = {
    flasher.name: flasher
    for flasher in (
        DaplinkFlasher(),
        BossaFlasher(),
        EmulatorFlasher(),
        EspRomFlasher(),
        GdbRemoteFlasher(),
        NativeFlasher(),
        NrfDfuFlasher(),
        OpenocdFlasher(),
        PyocdFlasher(),
        Rp2040jsFlasher(),
        Stm32RomFlasher(),
        Uf2Flasher(),
    )
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


def real_flashers(board: Board) -> list[str]:
    """The names of those that write to the real board, in the order of its file."""
    return [s.name for s in board.flashers if isinstance(FLASHERS[s.name], Writer)]


def start(board: Board, elf: Path, options: FlashOptions | None = None) -> RunningBoard:
    """Start `elf` on a board that is a program. A context manager, or call `stop`.

    Raises BadInput, MissingTool or LinkFailed; see `Launcher.start` of the board's flasher.
    """
    flasher = flasher_for(board)
    if not isinstance(flasher, Launcher):
        raise InternalError("a real board is written to, not started", value=board.name)
    return flasher.start(board, elf, options or FlashOptions())
