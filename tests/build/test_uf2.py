"""UF2 files: the bytes of the format, what is refused, what a parser of others makes of them."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import pytest

from exporter import process
from exporter.board import Board, load_board
from exporter.build.image import Image, Segment
from exporter.build.image_files import read_image
from exporter.build.uf2 import BLOCK_BYTES, family_of, read_uf2, uf2_of_image
from exporter.errors import BadInput, MissingTool
from exporter.flash.rp2040js import find_modules

RP2040, RP2350_ARM_S = 0xE48BFF56, 0xE48BFF59  # microsoft/uf2, utils/uf2families.json
FLASH, SECTOR_BYTES = 0x10000000, 4096


@pytest.fixture(scope="module")
def pico() -> Board:
    """A board whose flash is erased by sectors of 4 KB."""
    return load_board("raspberry-pi-pico")


def scattered() -> Image:
    """Two pieces in three sectors; the second begins inside a payload."""
    generator = random.Random(4)
    return Image.of(
        [
            Segment(FLASH, generator.randbytes(SECTOR_BYTES + 100)),
            Segment(FLASH + 10 * SECTOR_BYTES + 300, generator.randbytes(700)),
        ]
    )


def test_the_families_are_those_of_the_register() -> None:
    assert family_of(load_board("raspberry-pi-pico")) == RP2040
    assert family_of(load_board("raspberry-pi-pico-2")) == RP2350_ARM_S
    assert family_of(load_board("mps2-an386")) is None


def test_a_block_has_the_bytes_of_the_specification(pico: Board) -> None:
    """https://github.com/microsoft/uf2, "File format"."""
    image = Image.of([Segment(FLASH + 2 * SECTOR_BYTES, bytes(range(256)) * 16)])
    data = uf2_of_image(image, pico, RP2040)
    assert len(data) == 16 * BLOCK_BYTES
    block = data[3 * BLOCK_BYTES : 4 * BLOCK_BYTES]
    assert block[:32] == b"".join(
        word.to_bytes(4, "little")
        for word in (0x0A324655, 0x9E5D5157, 0x2000, FLASH + 0x2300, 256, 3, 16, RP2040)
    )
    assert block[32:288] == bytes(range(256))
    assert block[288:508] == bytes(220)
    assert block[508:] == (0x0AB16F30).to_bytes(4, "little")


def test_touched_pages_are_written_whole_and_no_others(pico: Board) -> None:
    """The rest of them is erased with them: RP2040-E14."""
    image = scattered()
    found = read_uf2(uf2_of_image(image, pico, RP2040))
    spans = [(segment.address, segment.end) for segment in found.image.segments]
    assert spans == [
        (FLASH, FLASH + 2 * SECTOR_BYTES),
        (FLASH + 10 * SECTOR_BYTES, FLASH + 11 * SECTOR_BYTES),
    ]
    assert found.blocks == 3 * SECTOR_BYTES // 256
    for piece in image.segments:
        (kept,) = found.image.within(piece.address, piece.end)
        assert kept.data == piece.data
    assert found.image.filled().count(0xFF) >= 3 * SECTOR_BYTES - image.size


def test_without_stated_pages_payloads_are_what_is_filled(pico: Board) -> None:
    flash, ram = pico.memory
    board = pico.model_copy(update={"memory": (flash.model_copy(update={"pages": ()}), ram)})
    image = Image.of([Segment(FLASH + 300, b"abc"), Segment(FLASH + 500, bytes(40))])
    found = read_uf2(uf2_of_image(image, board, RP2040))
    assert [(s.address, s.end) for s in found.image.segments] == [(FLASH + 256, FLASH + 768)]
    assert found.image.filled()[44:47] == b"abc"


def test_an_image_beside_the_flash_is_refused(pico: Board) -> None:
    image = Image.of([Segment(FLASH + pico.flash_bytes - 4, bytes(8))])
    with pytest.raises(BadInput, match="behind the end of QSPI flash"):
        uf2_of_image(image, pico, RP2040)


def _changed(data: bytes, block: int, at: int, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into("<I", changed, block * BLOCK_BYTES + at, value)
    return bytes(changed)


@pytest.mark.parametrize(
    ("at", "value", "found"),
    [
        (0, 0, "without its magic numbers"),
        (4, 0, "without its magic numbers"),
        (508, 0, "without its magic numbers"),
        (8, 0x2001, "flags 0x2001"),
        (8, 0, "flags 0x0"),
        (16, 477, "477 bytes"),
        (16, 0, "0 bytes"),
        (20, 4, "calls itself 4 of 16"),
        (24, 17, "calls itself 5 of 17"),
        (28, RP2350_ARM_S, "families 0xE48BFF56, 0xE48BFF59"),
    ],
)
def test_a_broken_block_is_refused(pico: Board, at: int, value: int, found: str) -> None:
    data = uf2_of_image(Image.of([Segment(FLASH, b"x")]), pico, RP2040)
    with pytest.raises(BadInput, match="UF2 file is broken") as refused:
        read_uf2(_changed(data, 5, at, value))
    assert found in str(refused.value.value)


@pytest.mark.parametrize("keep", [0, 511, 512, 15 * 512])
def test_a_file_that_is_cut_off_is_refused(pico: Board, keep: int) -> None:
    data = uf2_of_image(Image.of([Segment(FLASH, b"x")]), pico, RP2040)
    with pytest.raises(BadInput, match="UF2 file is broken"):
        read_uf2(data[:keep])


def test_a_file_for_another_chip_is_not_read(pico: Board, tmp_path: Path) -> None:
    path = tmp_path / "firmware.uf2"
    path.write_bytes(uf2_of_image(scattered(), pico, RP2040))
    assert read_image(path, pico).within(FLASH, FLASH + 8) == scattered().within(FLASH, FLASH + 8)
    with pytest.raises(BadInput, match="for another chip"):
        read_image(path, load_board("raspberry-pi-pico-2"))


PARSE = """
const { createRequire } = require('node:module');
const { readFileSync } = require('node:fs');
const [modules, path] = process.argv.slice(1);
const { decodeBlock, isUF2Block } = createRequire(modules + '/index.js')('uf2');
const data = readFileSync(path);
const blocks = [];
for (let at = 0; at < data.length; at += 512) {
  const bytes = new Uint8Array(data.subarray(at, at + 512));
  if (!isUF2Block(bytes)) throw new Error('no UF2 block at ' + at);
  const block = decodeBlock(bytes);
  blocks.push({ ...block, payload: Buffer.from(block.payload).toString('hex') });
}
console.log(JSON.stringify(blocks));
"""


def test_a_parser_of_others_reads_the_same(pico: Board, tmp_path: Path) -> None:
    """The npm package uf2, from the makers of the emulator of the Pico."""
    try:
        process.find_tool("node")
        modules = find_modules()
    except MissingTool as error:
        pytest.skip(f"{error.what}: {error.next_step}")
    if not (modules / "uf2").is_dir():
        pytest.skip("the npm package uf2 is not installed: make setup")
    image = scattered()
    path = tmp_path / "firmware.uf2"
    path.write_bytes(uf2_of_image(image, pico, RP2040))
    printed = process.run(["node", "-e", PARSE, str(modules), str(path)], timeout_seconds=60)
    blocks = json.loads(printed.stdout)
    assert [block["blockNumber"] for block in blocks] == list(range(48))
    assert {block["totalBlocks"] for block in blocks} == {48}
    assert {block["boardFamily"] for block in blocks} == {RP2040}
    assert {block["flags"] for block in blocks} == {0x2000}
    memory = {block["flashAddress"]: bytes.fromhex(block["payload"]) for block in blocks}
    joined = Image.of([Segment(address, data) for address, data in memory.items()])
    for piece in image.segments:
        (kept,) = joined.within(piece.address, piece.end)
        assert kept.data == piece.data
