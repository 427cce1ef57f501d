"""Images: from every kind of file the same bytes, and none outside of a board's flash."""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from pathlib import Path

import pytest

from exporter import process
from exporter.board import Board, MemoryRegion
from exporter.build.image import ERASED, Image, Segment, flash_regions, pages_of
from exporter.build.image_files import hex_of_image, image_of_elf, image_of_hex, read_image
from exporter.errors import BadInput, InternalError
from tests.flash.images import flash_board
from tests.platform.probe import need_tool

F401 = {"origin": 0x08000000, "bytes": 0x20000}
F401_PAGES = [{"count": 4, "bytes": 0x4000}, {"count": 1, "bytes": 0x10000}]
QSPI = {"name": "QSPI", "origin": 0x90000000, "bytes": 0x1000}
STM32 = {"name": "stm32_rom", "family": "F4", "product_id": 0x433, "entry": "BOOT0"}
ESP = {"name": "esp_rom", "chip": "esp32c3", "image": "esp", "offset": 0}


def board() -> Board:
    return flash_board(STM32, {**F401, "pages": F401_PAGES}, QSPI)


def image(*pieces: tuple[int, bytes]) -> Image:
    return Image.of(Segment(address, data) for address, data in pieces)


# --- bytes by address -----------------------------------------------------------------------------


def test_pieces_in_any_order_become_one_image() -> None:
    found = image((0x14, b"cd"), (0x10, b"ab"), (0x12, b"xy"), (0x11F, b""), (0x20, b"z"))
    assert found.segments == (Segment(0x10, b"abxycd"), Segment(0x20, b"z"))
    assert (found.address, found.end, found.size) == (0x10, 0x21, 7)
    assert found.filled() == b"abxycd" + bytes([ERASED]) * 10 + b"z"
    assert found.filled(origin=0xE, fill=0) == bytes(2) + b"abxycd" + bytes(10) + b"z"
    assert found.crc32() == zlib.crc32(found.filled())
    assert found.within(0x12, 0x21) == (Segment(0x12, b"xycd"), Segment(0x20, b"z"))
    assert found.within(0x16, 0x20) == ()


@pytest.mark.parametrize(
    "segments",
    [
        (),
        (Segment(0, b""),),
        (Segment(4, b"a"), Segment(0, b"b")),
        (Segment(0, b"ab"), Segment(2, b"c")),
        (Segment(0, b"abc"), Segment(2, b"c")),
    ],
)
def test_an_image_is_ascending_and_apart(segments: tuple[Segment, ...]) -> None:
    with pytest.raises(InternalError):
        Image(segments)


def test_what_cannot_be_one_image_is_refused() -> None:
    with pytest.raises(BadInput, match="two contents") as caught:
        image((0, b"abcd"), (3, b"d"))
    assert caught.value.value == "0x00000003"
    with pytest.raises(BadInput, match="empty"):
        image((0, b""))
    with pytest.raises(BadInput, match="32-bit"):
        image((0xFFFFFFFF, b"ab"))
    with pytest.raises(BadInput, match="begins before") as caught:
        image((0x10, b"a")).filled(origin=0x18)
    assert "8 bytes before" in str(caught.value)
    with pytest.raises(BadInput, match="scattered too far"):
        image((0x08000000, b"a"), (0x90000000, b"b")).filled()


# --- regions and pages ----------------------------------------------------------------------------


def touched(found: Image, region: MemoryRegion) -> list[tuple[int, int, int]]:
    return [(page.number, page.address, page.bytes) for page in pages_of(found, region)]


def test_pages_are_those_with_a_byte_of_the_image() -> None:
    region = board().region("flash")
    assert touched(image((0x08003FFF, b"a")), region) == [(0, 0x08000000, 0x4000)]
    assert touched(image((0x08003FFF, b"ab")), region) == [
        (0, 0x08000000, 0x4000),
        (1, 0x08004000, 0x4000),
    ]
    scattered = image((0x08008000, b"a"), (0x0801FFFF, b"b"), (0x90000000, b"c"))
    assert touched(scattered, region) == [(2, 0x08008000, 0x4000), (4, 0x08010000, 0x10000)]
    assert [r.name for r in flash_regions(scattered, board())] == ["flash", "QSPI"]
    with pytest.raises(BadInput, match="what pages QSPI has"):
        pages_of(scattered, board().memory[1])


@pytest.mark.parametrize(
    ("address", "size", "what", "where"),
    [
        (0x0801FFF0, 0x21, "17 bytes behind the end of flash", "0x08020000 to 0x08020011"),
        (0x07FFFFFF, 2, "1 bytes outside", "0x07FFFFFF to 0x08000000"),
        (0x1FFFC000, 16, "16 bytes outside", "0x1FFFC000 to 0x1FFFC010"),
        (0x20000000, 8, "8 bytes outside", "0x20000000 to 0x20000008"),
    ],
    ids=["behind", "before", "option bytes", "RAM"],
)
def test_bytes_outside_of_the_flash_are_refused(
    address: int, size: int, what: str, where: str
) -> None:
    inside = (0x08000004, b"vectors")
    with pytest.raises(BadInput, match=what) as caught:
        flash_regions(image(inside, (address, bytes(size))), board())
    assert caught.value.value == where
    assert "flash: 0x08000000 to 0x08020000" in str(caught.value.allowed)


def test_a_segment_may_go_on_in_the_next_region() -> None:
    halves = flash_board(STM32, F401, {"name": "bank 2", "origin": 0x08020000, "bytes": 0x1000})
    over = image((0x0801FFFF, b"abc"))
    assert [r.name for r in flash_regions(over, halves)] == ["flash", "bank 2"]
    with pytest.raises(BadInput, match="behind the end of bank 2"):
        flash_regions(image((0x0801FFFF, bytes(0x1002))), halves)


# --- files ----------------------------------------------------------------------------------------

SOURCE = """
.section .text, "ax"
.globl _start
_start: .word 0x11223344, 0x55667788
.section .rodata, "a"
.ascii "seven b"
.section .data, "aw"
.word 0xAABBCCDD
.section .bss, "aw", %nobits
.space 64
.section .noinit, "aw", %nobits
.space 32
.section .notes, "", %progbits
.ascii "not loaded"
"""
SCRIPT = """
MEMORY { F : ORIGIN = 0x08000000, LENGTH = 64K  R : ORIGIN = 0x20000000, LENGTH = 64K }
ENTRY(_start)
SECTIONS {
  %s
  .text : { *(.text) } > F
  .rodata : ALIGN(4) { *(.rodata) } > F
  .data : ALIGN(32) { *(.data) } > R AT> F
  %s
  .bss (NOLOAD) : { *(.bss) } > R
  .noinit (NOLOAD) : { *(.noinit) } > R
}
"""
START = "linker_image_start = ORIGIN(F);"
END = "linker_image_end = LOADADDR(.data) + SIZEOF(.data);"


def linked(folder: Path, start: str, end: str, *options: str) -> Path:
    need_tool("arm-none-eabi-gcc")
    (folder / "a.s").write_text(SOURCE)
    (folder / "a.ld").write_text(SCRIPT % (start, end))
    argv = ["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", "-nostdlib", "-T", "a.ld", *options]
    process.run([*argv, "a.s", "-o", "a.elf"], cwd=folder, timeout_seconds=60)
    return folder / "a.elf"


def copied(elf: Path, form: str) -> Path:
    made = elf.with_name(f"copy.{'bin' if form == 'binary' else 'hex'}")
    argv = ["arm-none-eabi-objcopy", "-O", form, str(elf), str(made)]
    process.run(argv, timeout_seconds=60)
    return made


@pytest.mark.toolchain
@pytest.mark.parametrize("options", [(), ("-Wl,-z,max-page-size=0x10000",)])
def test_elf_files_give_what_objcopy_gives(tmp_path: Path, options: tuple[str, ...]) -> None:
    elf = linked(tmp_path, "", "", *options)
    found = read_image(elf, board())
    assert found.address == 0x08000000 and found.entry == 0x08000000
    assert found.segments[-1].data.endswith(bytes.fromhex("DDCCBBAA"))
    assert found.filled(fill=0) == copied(elf, "binary").read_bytes()
    assert read_image(copied(elf, "ihex"), board()).filled(fill=0) == found.filled(fill=0)
    assert read_image(copied(elf, "binary"), board()).address == 0x08000000


@pytest.mark.toolchain
def test_an_elf_file_without_its_sections_or_its_end(tmp_path: Path) -> None:
    elf = linked(tmp_path, "", "")
    whole = elf.read_bytes()
    without = bytearray(whole)
    without[0x20:0x24], without[0x30:0x34] = bytes(4), bytes(4)  # e_shoff, e_shnum and e_shstrndx
    assert image_of_elf(bytes(without)).filled(fill=0) == image_of_elf(whole).filled(fill=0)
    (offset, filesz) = struct.unpack_from("<I", whole, 0x34 + 4) + struct.unpack_from(
        "<I", whole, 0x34 + 16
    )  # Elf32_Phdr, p_offset and p_filesz of the first segment
    with pytest.raises(BadInput, match="ELF file is broken"):
        image_of_elf(bytes(without[: offset + filesz - 1]))


@pytest.mark.toolchain
def test_gaps_of_our_own_images_are_zeros(tmp_path: Path) -> None:
    """The firmware computes its CRC over them: erased bytes there would be another image."""
    scattered = read_image(linked(tmp_path, "", ""), board())
    own = read_image(linked(tmp_path, START, END), board())
    assert len(own.segments) == 1
    assert own.filled() == scattered.filled(fill=0)


def test_hex_files_come_back_as_they_were() -> None:
    pieces = [(0x0800FFF9, random.Random(2).randbytes(50)), (0x90000003, b"far")]
    written = image(*pieces)
    assert image_of_hex(hex_of_image(written).encode()) == written
    with_entry = Image(written.segments, 0x08000100)
    assert image_of_hex(hex_of_image(with_entry).encode()) == with_entry
    lines = hex_of_image(written).splitlines()
    assert lines[0] == ":020000040800F2" and lines[-1] == ":00000001FF"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (":0100000041BE\n", "cut off"),
        (":0100000041BF\n:00000001FF\n", "broken"),
        (":01000000\n:00000001FF\n", "broken"),
        (":0100000041BE\n:0100000042BD\n:00000001FF\n", "twice"),
        (":00000001FF\n", "empty"),
        (":é", "broken"),
    ],
)
def test_broken_hex_files(text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        image_of_hex(text.encode())


def esp_image(*segments: tuple[int, bytes], hashed: bool) -> bytes:
    """Built from the table of the document, by other means than the reader."""
    data = bytes([0xE9, len(segments), 2, 0x2F]) + struct.pack("<I", 0x40380000)
    data += bytes.fromhex("EE000000 0500 00 0000 6300 00000000") + bytes([hashed])
    checksum = 0xEF
    for address, body in segments:
        data += struct.pack("<II", address, len(body)) + body
        for byte in body:
            checksum ^= byte
    data += bytes(15 - len(data) % 16) + bytes([checksum])
    return data + (hashlib.sha256(data).digest() if hashed else b"")


@pytest.mark.parametrize("hashed", [True, False])
def test_esp_images(tmp_path: Path, hashed: bool) -> None:
    esp = flash_board(ESP, {"origin": 0x42000000, "bytes": 0x400000})
    path = tmp_path / "firmware.bin"
    data = esp_image((0x40380000, b"code" * 3), (0x3FC80000, b"data"), hashed=hashed)
    path.write_bytes(data)
    assert read_image(path, esp).segments == (
        Segment(0x3FC80000, b"data"),
        Segment(0x40380000, b"code" * 3),
    )
    assert read_image(path, esp).entry == 0x40380000
    assert read_image(path, board()).segments == (Segment(0x08000000, data),)
    for position in (32, len(data) - 1):
        path.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
        with pytest.raises(BadInput, match="ESP image is broken"):
            read_image(path, esp)
    for length in (1, 23, 30, 45, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(BadInput, match="ESP image is broken"):
            read_image(path, esp)


def test_files_that_are_no_images(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_image(tmp_path / "absent.elf", board())
    for name, data in [("notes.txt", b"hello"), ("a.elf", b""), ("a.bin", b"")]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInput, match="empty" if name == "a.bin" else "is no image"):
            read_image(tmp_path / name, board())
    (tmp_path / "a.elf").write_bytes(b"\x7fELF\x01\x01\x01" + bytes(30))
    with pytest.raises(BadInput, match="ELF file is broken"):
        read_image(tmp_path / "a.elf", board())
