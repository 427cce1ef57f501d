"""What a loader writes: the bytes of an image, by address.

`exporter.build.image_files` reads and writes its files.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from exporter.board import Board, MemoryRegion
from exporter.errors import BadInput, InternalError

ERASED = 0xFF
"""What a byte of flash reads once it is erased, and what is between the segments of a BIN file."""

_MAX_BIN_BYTES = 64 << 20
_ADDRESS_END = 1 << 32


@dataclass(frozen=True)
class Segment:
    """Bytes that lie together. `address` is where they are stored, not where they run."""

    address: int
    data: bytes

    @property
    def end(self) -> int:
        """One past the last address."""
        return self.address + len(self.data)


@dataclass(frozen=True)
class Image:
    """Segments in ascending order, apart from each other, none of them empty."""

    segments: tuple[Segment, ...]
    entry: int | None = None
    """Where it starts, if its file says so."""

    def __post_init__(self) -> None:
        if not self.segments or any(not segment.data for segment in self.segments):
            raise InternalError("an image has no bytes, or an empty segment")
        for lower, upper in itertools.pairwise(self.segments):
            if lower.end >= upper.address:
                raise InternalError(
                    "the segments of an image are not in ascending order and apart",
                    value=f"0x{lower.end:08X}, then 0x{upper.address:08X}",
                )

    @classmethod
    def of(cls, pieces: Iterable[Segment], entry: int | None = None) -> Self:
        """The image of pieces in any order; what touches becomes one segment.

        Raises BadInput where there are no bytes, pieces overlap, or leave the 32-bit addresses.
        """
        merged: list[Segment] = []
        for piece in sorted((p for p in pieces if p.data), key=lambda piece: piece.address):
            _check_piece(piece, merged)
            touches = merged and merged[-1].end == piece.address
            lower = merged.pop() if touches else Segment(piece.address, b"")
            merged.append(Segment(lower.address, lower.data + piece.data))
        if not merged:
            raise BadInput("the image is empty", next_step="build it anew: nanoexport build DIR")
        return cls(tuple(merged), entry)

    @property
    def address(self) -> int:
        """The first address."""
        return self.segments[0].address

    @property
    def end(self) -> int:
        """One past the last address."""
        return self.segments[-1].end

    @property
    def size(self) -> int:
        """How many bytes are to be written."""
        return sum(len(segment.data) for segment in self.segments)

    def filled(self, origin: int | None = None, fill: int = ERASED) -> bytes:
        """The bytes of a BIN file from `origin` (the first address), `fill` in the gaps.

        Raises BadInput where the image begins before `origin`, or is scattered too far for one.
        """
        start = self.address if origin is None else origin
        if start > self.address:
            raise BadInput(
                "the image begins before the flash",
                value=f"0x{self.address:08X}, {start - self.address} bytes before",
                allowed=f"0x{start:08X} on",
            )
        if self.end - start > _MAX_BIN_BYTES:
            raise BadInput(
                "the image is scattered too far for one BIN file",
                value=f"0x{start:08X} to 0x{self.end:08X}",
                allowed=f"{_MAX_BIN_BYTES} bytes",
                next_step="use its ELF or HEX file",
            )
        data = bytearray([fill]) * (self.end - start)
        for segment in self.segments:
            data[segment.address - start : segment.end - start] = segment.data
        return bytes(data)

    def crc32(self, fill: int = ERASED) -> int:
        """CRC-32 (zlib's) from the first byte to the last, `fill` in the gaps."""
        return zlib.crc32(self.filled(fill=fill))

    def within(self, start: int, end: int) -> tuple[Segment, ...]:
        """What of the image lies in these addresses."""
        return tuple(
            Segment(low, segment.data[low - segment.address : high - segment.address])
            for segment in self.segments
            if (low := max(segment.address, start)) < (high := min(segment.end, end))
        )


def _check_piece(piece: Segment, before: list[Segment]) -> None:
    if before and before[-1].end > piece.address:
        raise BadInput(
            "the image gives two contents to one address",
            value=f"0x{piece.address:08X}",
            next_step="build it anew: nanoexport build DIR",
        )
    if piece.address < 0 or piece.end > _ADDRESS_END:
        raise BadInput(
            "the image leaves the 32-bit addresses",
            value=f"0x{piece.address:08X}, {len(piece.data)} bytes",
            allowed="0x00000000 to 0xFFFFFFFF",
        )


@dataclass(frozen=True)
class Page:
    """What the flash erases at once. `number` counts from the first page of its region."""

    number: int
    address: int
    bytes: int

    @property
    def end(self) -> int:
        """One past the last address."""
        return self.address + self.bytes


def pages(region: MemoryRegion) -> tuple[Page, ...]:
    """All pages of a region of flash. Raises BadInput where its board does not state them."""
    if not region.pages:
        raise BadInput(
            f"the board does not say what pages {region.name} has",
            allowed="pages: [{count: N, bytes: N}, ...]",
            next_step="add `pages` to the region in the board's file, from the reference manual",
        )
    sizes = itertools.chain.from_iterable(itertools.repeat(p.bytes, p.count) for p in region.pages)
    found, address = [], region.origin
    for number, size in enumerate(sizes):
        found.append(Page(number, address, size))
        address += size
    return tuple(found)


def pages_of(image: Image, region: MemoryRegion) -> tuple[Page, ...]:
    """The pages of `region` that have a byte of the image: all that may be erased for it."""
    return tuple(page for page in pages(region) if image.within(page.address, page.end))


def flash_regions(image: Image, board: Board) -> tuple[MemoryRegion, ...]:
    """The board's flash regions that have bytes of the image, in the board's order.

    Raises BadInput, with region and bytes, where one byte of the image is in none.
    """
    for segment in image.segments:
        _check_inside(segment, board)
    return tuple(
        region
        for region in board.memory
        if region.kind == "flash" and image.within(region.origin, region.end)
    )


def _check_inside(segment: Segment, board: Board) -> None:
    """Regions may touch: a segment may go on in the next one."""
    flash = sorted((r for r in board.memory if r.kind == "flash"), key=lambda r: r.origin)
    reached, before = segment.address, None
    while reached < segment.end:
        region = next((r for r in flash if r.origin <= reached < r.end), None)
        if region is None:
            raise _outside(reached, segment, before, flash)
        reached, before = min(segment.end, region.end), region


def _outside(
    reached: int, segment: Segment, before: MemoryRegion | None, flash: list[MemoryRegion]
) -> BadInput:
    ahead = [region.origin for region in flash if reached < region.origin < segment.end]
    surplus = min([segment.end, *ahead]) - reached
    where = f"behind the end of {before.name}" if before else "outside of the board's flash"
    return BadInput(
        f"the image has {surplus} bytes {where}",
        value=f"0x{reached:08X} to 0x{reached + surplus:08X}",
        allowed=[f"{r.name}: 0x{r.origin:08X} to 0x{r.end:08X}" for r in flash],
        next_step="build it for this board: nanoexport render MODEL --board BOARD -o DIR",
    )
