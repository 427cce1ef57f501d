"""UF2 files: an image in blocks of 512 bytes that each say where its bytes go, and for what chip.

The format: https://github.com/microsoft/uf2. Boot loaders that show a drive take such files block
by block, in any order. Those of RP2040 and RP2350 erase a sector with the first of its blocks, and
need all of them then (erratum RP2040-E14): a page of the board that the image touches is written
whole. The absolute block of RP2350-E10 is for flash with a partition table, which ours has not.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from exporter.board import Board
from exporter.build.image import ERASED, Image, Segment, flash_regions, pages_of
from exporter.errors import BadInput

BLOCK_BYTES = 512
PAYLOAD_BYTES = 256
"""What all boot loaders take; the format has room for 476."""

MAGIC = b"UF2\n"
_SECOND_MAGIC, _LAST_MAGIC = 0x9E5D5157, 0x0AB16F30
_HEADER = struct.Struct("<4s7I")
_MOST_PAYLOAD = BLOCK_BYTES - _HEADER.size - 4
_NOT_MAIN_FLASH, _FILE_CONTAINER, _FAMILY_ID = 0x1, 0x1000, 0x2000


@dataclass(frozen=True)
class Uf2:
    """What a UF2 file says: the chip family, and the bytes by address. `blocks` of it are there."""

    family_id: int
    image: Image
    blocks: int

    def require_family(self, family_id: int) -> Self:
        """Itself. Raises BadInput where it is for another family of chips."""
        if self.family_id != family_id:
            raise BadInput(
                "the UF2 file is for another chip",
                value=f"family 0x{self.family_id:08X}",
                allowed=f"family 0x{family_id:08X}",
                next_step="build it for this board: nanoexport render MODEL --board BOARD -o DIR",
            )
        return self


def family_of(board: Board) -> int | None:
    """The family id of the board's UF2 boot loader; None where it has none."""
    return next((s.family_id for s in board.flashers if s.name == "uf2"), None)


def uf2_of_image(image: Image, board: Board, family_id: int) -> bytes:
    """The UF2 file: whole pages of the board's flash, as far as its file states them.

    Raises BadInput where a byte of the image is outside of the board's flash.
    """
    payloads = [
        (start + at, data[at : at + PAYLOAD_BYTES])
        for start, data in _whole_pages(image, board)
        for at in range(0, len(data), PAYLOAD_BYTES)
    ]
    return b"".join(
        _block(address, payload, number, len(payloads), family_id)
        for number, (address, payload) in enumerate(payloads)
    )


def _whole_pages(image: Image, board: Board) -> list[tuple[int, bytes]]:
    """Addresses and content of what is written, each a multiple of the payload."""
    found: dict[int, bytes] = {}
    for region in flash_regions(image, board):
        if region.pages:
            spans = [(page.address, page.end) for page in pages_of(image, region)]
        else:
            spans = _aligned(image.within(region.origin, region.end))
        for low, high in spans:
            found[low] = _content(image, low, high)
    return sorted(found.items())


def _aligned(segments: Sequence[Segment]) -> list[tuple[int, int]]:
    blocks = {
        address
        for segment in segments
        for address in range(segment.address & -PAYLOAD_BYTES, segment.end, PAYLOAD_BYTES)
    }
    return [(address, address + PAYLOAD_BYTES) for address in sorted(blocks)]


def _content(image: Image, low: int, high: int) -> bytes:
    data = bytearray([ERASED]) * (high - low)
    for piece in image.within(low, high):
        data[piece.address - low : piece.end - low] = piece.data
    return bytes(data)


def _block(address: int, payload: bytes, number: int, total: int, family_id: int) -> bytes:
    header = _HEADER.pack(
        MAGIC, _SECOND_MAGIC, _FAMILY_ID, address, len(payload), number, total, family_id
    )
    return header + payload.ljust(_MOST_PAYLOAD, b"\0") + struct.pack("<I", _LAST_MAGIC)


def read_uf2(data: bytes) -> Uf2:
    """A whole UF2 file for one family. Raises BadInput where a block is broken or missing."""
    if not data or len(data) % BLOCK_BYTES:
        raise _broken(f"{len(data)} bytes", f"a multiple of {BLOCK_BYTES} bytes")
    pieces: list[Segment] = []
    families: set[int] = set()
    total = len(data) // BLOCK_BYTES
    for number in range(total):
        block = data[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES]
        family_id, piece = _read_block(block, number, total)
        families.add(family_id)
        pieces.append(piece)
    if len(families) > 1:
        raise _broken(
            "families " + ", ".join(f"0x{family:08X}" for family in sorted(families)), "one family"
        )
    return Uf2(families.pop(), Image.of(pieces), total)


def _read_block(block: bytes, number: int, total: int) -> tuple[int, Segment]:
    magic, second, flags, address, size, own, of, family_id = _HEADER.unpack_from(block)
    last = struct.unpack_from("<I", block, BLOCK_BYTES - 4)[0]
    where = f"block {number}"
    if (magic, second, last) != (MAGIC, _SECOND_MAGIC, _LAST_MAGIC):
        raise _broken(f"{where} without its magic numbers", "UF2 blocks only")
    if (own, of) != (number, total):
        raise _broken(f"{where} calls itself {own} of {of}", f"{number} of {total}")
    if not flags & _FAMILY_ID or flags & (_NOT_MAIN_FLASH | _FILE_CONTAINER):
        raise _broken(
            f"{where} with flags 0x{flags:X}", f"flash with a family id, 0x{_FAMILY_ID:X}"
        )
    if not 0 < size <= _MOST_PAYLOAD:
        raise _broken(f"{where} with {size} bytes", f"1 to {_MOST_PAYLOAD}")
    return family_id, Segment(address, block[_HEADER.size : _HEADER.size + size])


def _broken(value: str, allowed: str) -> BadInput:
    return BadInput(
        "the UF2 file is broken",
        value=value,
        allowed=allowed,
        next_step="build it anew: nanoexport build DIR",
    )
