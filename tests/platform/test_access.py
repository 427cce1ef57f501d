"""The address that an instruction of Armv6-M accesses: platform/access.c, on a Cortex-M0."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.build import build
from exporter.flash import Emulator
from exporter.render.platform import render_platform
from tests.platform.probe import REPLY_SECONDS, need_tool, write_project

pytestmark = [pytest.mark.toolchain, pytest.mark.emulator]

SOURCE = Path(__file__).with_name("access.c")
R0, R1, R2, R3, R4, R5, R6, R7, SP = (
    *(0x1000, 0x2100, 0x4200, 0x8300, 0x10400, 0x20500, 0x40600, 0x80700),
    0x20000400,
)
ADDRESSES = [
    *(R2 + R3, R6 + R5, R4 + R1),
    *(R5 + 124, R7 + 4, R1 + 31, R3 + 1, R0 + 62, R2 + 2),
    *(SP + 1020, SP + 8),
    *(R6, R4),
    *(SP - 12, SP),
    *(0, 0, 0),  # of no load or store
    0,  # of no instruction
]
"""Of the instructions in access.c, in their order."""


def test_the_address_is_that_of_the_instruction(tmp_path: Path) -> None:
    board = load_board("microbit-v1")
    need_tool("cmake", "ninja", board.compilers["gcc"].program, "qemu-system-arm")
    app = {"main.c": SOURCE.read_text(encoding="utf-8")}
    files = render_platform(board, app=app, toolchain="gcc", optimize="speed", model_sources=[])
    files["nanoexport.json"] = json.dumps({"board": board.name, "toolchain": "gcc"})
    firmware = build(write_project(tmp_path, files))
    size = 4 * len(ADDRESSES)
    with Emulator(board, firmware.elf) as emulator:
        emulator.connection.settimeout(REPLY_SECONDS)
        data = b""
        while len(data) < size:
            chunk = emulator.connection.recv(size - len(data))
            assert chunk, "the emulator ended"
            data += chunk
    assert list(struct.unpack(f"<{len(ADDRESSES)}I", data)) == ADDRESSES
