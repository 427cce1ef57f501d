"""What no command of any flasher of any board may ask for, and what each board must state.

Serial boot loaders have no argument lists: their tests judge the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from exporter.board import Board, FlasherSettings, all_boards
from exporter.board.flashers import GdbRemoteSettings, OpenocdSettings, PyocdSettings
from exporter.flash import FLASHERS, Launcher
from exporter.flash.gdb_remote import (
    SERVERS,
    load_commands,
    read_commands,
    server_of,
    start_commands,
)
from exporter.flash.openocd import openocd_argv
from exporter.flash.pyocd import SAFE, Commands
from tests.flash.images import random_image

FORBIDDEN = re.compile(
    r"unlock(?!=false)|mass.?erase|erase.?(all|chip|mass)|-e chip|--chip"
    r"|option|protect|recover|fuse|\brdp\b|--force"
    # And what writes or erases beside the image: loads are of files only.
    r"|erase_(sector|address)|fill[bhwd]|\bmw[bhwd]\b|write_memory|write(8|16|32|64)|\bset \*"
    r"|pyocd erase|flash.?erase|\brestore\b",
    re.IGNORECASE,
)
PROBES = (GdbRemoteSettings, OpenocdSettings, PyocdSettings)

WRITTEN = [
    (board, settings)
    for board in all_boards()
    for settings in board.flashers
    if not isinstance(FLASHERS.get(settings.name), Launcher)
]


def name_of(value: object) -> str | None:
    return str(getattr(value, "name", None))


def commands(board: Board, settings: FlasherSettings) -> Iterator[str]:
    """All that is ever run to flash the board so."""
    if isinstance(settings, GdbRemoteSettings):
        assert settings.chip_id is not None
        for server in (*SERVERS, server_of("", settings)):
            yield from read_commands(server, settings.chip_id)
            yield from load_commands(server)
            yield from start_commands(server)
    if isinstance(settings, OpenocdSettings):
        assert settings.chip_id is not None
        yield " ".join(openocd_argv(board, settings, settings.chip_id, "0669FF"))
    if isinstance(settings, PyocdSettings):
        assert settings.chip_id is not None
        run = Commands(settings.target, "0669FF")
        image = random_image(board.region("flash").origin, 64)
        steps = (run.identify(settings.chip_id), run.load(), run.compare(image), run.reset())
        yield from (" ".join(argv) for argv in steps)


@pytest.mark.parametrize(("board", "settings"), WRITTEN, ids=name_of)
def test_no_command_asks_for_it(board: Board, settings: FlasherSettings) -> None:
    made = [*commands(board, settings)]
    assert bool(made) == isinstance(settings, PROBES)
    for command in made:
        assert not FORBIDDEN.search(command), command
        if command.startswith("pyocd"):
            assert " ".join(SAFE) in command and "auto_unlock=false" in SAFE


@pytest.mark.parametrize(
    "command",
    [
        "stm32f4x unlock 0",
        "stm32l4x option_write 0 0x20 0 0",
        "nrf5 mass_erase 0",
        "nrf52_recover",
        "flash protect 0 0 last off",
        "flash write_image erase unlock image.hex",
        "pyocd load --erase chip image.hex",
        "pyocd load -e chip image.hex",
        "pyocd load -O auto_unlock=true image.hex",
        "pyocd erase --chip",
        "monitor erase_mass",
        "monitor option erase",
        "flash erase_sector 0 0 last",
        "flash erase_address 0x10001000 0x1000",
        "flash fillw 0x10001208 0 1",
        "mww 0x4001e504 2",
        "write_memory 0x40023c14 32 0x0ffffffe",
        "pyocd erase --sector 0x10001000",
        "pyocd cmd -c write32 0x4001e504 2",
        "set *(unsigned int *) 0x4001e504 = 2",
        "monitor flash_erase 0",
    ],
)
def test_the_pattern_knows_what_it_looks_for(command: str) -> None:
    assert FORBIDDEN.search(command)


@pytest.mark.parametrize(("board", "settings"), WRITTEN, ids=name_of)
def test_a_board_that_is_written_to_states_its_pages_and_its_link(
    board: Board, settings: FlasherSettings
) -> None:
    assert board.link is not None
    assert all(region.pages for region in board.memory if region.kind == "flash")
