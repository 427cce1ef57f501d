"""The header that our boot loader looks for, filled in behind the linker: docs/boot_loader.md."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from elftools.elf.elffile import ELFFile

from exporter.board import Board
from exporter.board.behind_loader import HEADER_BYTES
from exporter.build.image_files import hex_of_image, image_of_elf
from exporter.errors import InternalError

MAGIC = 0x4F4E414E
SECTION = ".loader_header"
_HEADER = struct.Struct("<III")  # magic, bytes and CRC-32 of the image


def header_of(image: bytes) -> bytes:
    """The header of an image whose bytes begin with its vector table and are whole words."""
    if len(image) % 4:
        raise InternalError("the image does not end with a word", value=f"{len(image)} bytes")
    return _HEADER.pack(MAGIC, len(image), zlib.crc32(image)).ljust(HEADER_BYTES, b"\xff")


def fill_loader_header(elf: Path, board: Board) -> None:
    """Write the header into `elf`, and both into the BIN and HEX file beside it."""
    origin = board.region("flash").origin
    stored = image_of_elf(elf.read_bytes())
    header = header_of(stored.filled(origin)[HEADER_BYTES:])
    with elf.open("r+b") as stream:
        stream.seek(_offset_of_header(ELFFile(stream), origin))
        stream.write(header)
    image = image_of_elf(elf.read_bytes())
    elf.with_suffix(".bin").write_bytes(image.filled(origin))
    elf.with_suffix(".hex").write_text(hex_of_image(image), encoding="ascii")


def _offset_of_header(file: ELFFile, origin: int) -> int:
    """Where in the file the linker left the room for it."""
    section = file.get_section_by_name(SECTION)
    if section is not None:
        found = (section["sh_type"], section["sh_addr"], section["sh_size"])
        if found == ("SHT_PROGBITS", origin, HEADER_BYTES):
            return int(section["sh_offset"])
    raise InternalError("the image has no room for the boot loader's header", value=SECTION)
