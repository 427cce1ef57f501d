"""Boards are data: what a board is, read from its file."""

from exporter.board.files import (
    all_boards,
    board_folder,
    board_names,
    load_board,
    read_board,
    schema_json,
)
from exporter.board.flashers import FlasherSettings
from exporter.board.model import Board, Evidence, InstructionSet
from exporter.board.parts import (
    ChipId,
    Compiler,
    Device,
    Emulator,
    Link,
    MemoryRegion,
    Pages,
    Placeable,
    Ticks,
    Timer,
    Uart,
    UsbId,
)

__all__ = [
    "Board",
    "ChipId",
    "Compiler",
    "Device",
    "Emulator",
    "Evidence",
    "FlasherSettings",
    "InstructionSet",
    "Link",
    "MemoryRegion",
    "Pages",
    "Placeable",
    "Ticks",
    "Timer",
    "Uart",
    "UsbId",
    "all_boards",
    "board_folder",
    "board_names",
    "load_board",
    "read_board",
    "schema_json",
]
