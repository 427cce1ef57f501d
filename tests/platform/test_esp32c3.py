"""ESP32-C3: an image that the ROM starts where it is stored, without atomic instructions."""

from __future__ import annotations

import itertools
import re
import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from exporter import process
from exporter.board import load_board
from exporter.build import measure_image
from exporter.toolchain import ToolchainName
from tests.platform.probe import build_probe, need_tool

pytestmark = pytest.mark.toolchain

BOARD = "esp32-c3-devkitm-1"
MAGIC = struct.pack("<II", 0xAEDB041D, 0xAEDB041D)
"""What the ROM looks for: espressif/esp32c3-direct-boot-example, README."""
ATOMIC = re.compile(r"\s(amo\w+|lr|sc)\.w")


@pytest.mark.parametrize("toolchain", ["gcc", pytest.param("clang", marks=pytest.mark.long)])
def test_the_image_starts_where_it_is_stored(tmp_path: Path, toolchain: ToolchainName) -> None:
    board = load_board(BOARD)
    flash = board.region("flash")
    firmware = build_probe(board, tmp_path, toolchain=toolchain)
    assert firmware.bin is not None and firmware.bin.read_bytes().startswith(MAGIC)
    assert firmware.bin.stat().st_size == measure_image(firmware.elf).image_bytes
    with firmware.elf.open("rb") as stream:
        file = ELFFile(stream)
        assert file.header["e_entry"] == flash.origin + len(MAGIC)
        stored = [s.header for s in file.iter_segments("PT_LOAD") if s["p_filesz"]]
    code, constants, data = stored
    assert code["p_vaddr"] == code["p_paddr"] == flash.origin
    assert flash.data_origin is not None
    assert constants["p_vaddr"] - flash.data_origin == constants["p_paddr"] - flash.origin
    assert board.region("ram").has(data["p_vaddr"], data["p_memsz"])
    for lower, upper in itertools.pairwise(stored):
        assert lower["p_paddr"] + lower["p_filesz"] == upper["p_paddr"], "no gap in the image"
    assert not ATOMIC.search(_disassembled(firmware.elf))


def test_the_same_flash_is_found_at_both_addresses() -> None:
    flash = load_board(BOARD).region("flash")
    assert flash.has(0x42000000, 8) and flash.has(0x3C3FFFF8, 8)
    assert not flash.has(0x3C3FFFF9, 8) and not flash.has(0x3BFFFFFF, 1)


def _disassembled(elf: Path) -> str:
    need_tool("riscv64-unknown-elf-objdump")
    argv = ("riscv64-unknown-elf-objdump", "-d", "--no-show-raw-insn", str(elf))
    return process.run(argv, timeout_seconds=60.0).stdout
