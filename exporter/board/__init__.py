"""Boards are data: what a board is, read from its file."""

from exporter.board.behind_loader import LoaderLayout, behind_loader
from exporter.board.files import (
    all_boards,
    board_file_text,
    board_folder,
    board_names,
    load_board,
    own_board_file,
    read_board,
    schema_json,
)
from exporter.board.flashers import FlasherSettings
from exporter.board.model import Board, Evidence, InstructionSet
from exporter.board.parts import (
    BootLoader,
    ChipId,
    Compiler,
    CoreId,
    Device,
    Emulator,
    InterruptController,
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
    "BootLoader",
    "ChipId",
    "Compiler",
    "CoreId",
    "Device",
    "Emulator",
    "Evidence",
    "FlasherSettings",
    "InstructionSet",
    "InterruptController",
    "Link",
    "LoaderLayout",
    "MemoryRegion",
    "Pages",
    "Placeable",
    "Ticks",
    "Timer",
    "Uart",
    "UsbId",
    "all_boards",
    "behind_loader",
    "board_file_text",
    "board_folder",
    "board_names",
    "load_board",
    "own_board_file",
    "read_board",
    "schema_json",
]
