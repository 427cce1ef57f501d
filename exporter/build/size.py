"""Sizes, read from the ELF files that were built: never from a guess.

The footprint ELF is the model alone, linked by `firmware_templates/project/footprint.ld.j2`, which
puts each figure into a section of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section, SymbolTableSection

from exporter.board import Board
from exporter.errors import CheckFailed, InternalError


@dataclass(frozen=True)
class Footprint:
    """What the model costs by itself, in bytes, without platform, link and application."""

    code_bytes: int
    """Inference code with its tables, initial values, and what it needs of libgcc and memcpy."""
    weights_bytes: int
    """Weights, biases and multipliers: the constants of the weights file."""
    static_ram_bytes: int
    """.data and .bss of model and kernels, without the arena."""
    arena_bytes: int
    """The static arena, guards included; 0 where the caller lends it."""

    @property
    def flash_bytes(self) -> int:
        """Code and weights."""
        return self.code_bytes + self.weights_bytes


@dataclass(frozen=True)
class ImageSize:
    """What the whole firmware takes, in bytes."""

    image_bytes: int
    """What is loaded: code, constants, initial values. What `platform_image_bytes` reports."""
    ram_bytes: int
    """Data, arena and the whole stack."""
    regions: Mapping[str, int] = field(default_factory=dict)
    """Bytes up to the last one used, by the name of the region; of a native process none."""
    image_crc32: int | None = None
    """Of the image as it is stored; None for a native process."""


def measure_footprint(elf: Path) -> Footprint:
    """The figures of the model in a footprint ELF. Raises InternalError where the ELF is none."""
    sizes = _section_sizes(elf)
    missing = {".code", ".entry"} - sizes.keys()
    if missing:
        raise InternalError(f"{elf.name} is no footprint: it lacks {', '.join(sorted(missing))}")
    data = sizes.get(".static_data", 0)
    return Footprint(
        code_bytes=sizes[".code"] + data,
        weights_bytes=sizes.get(".weights", 0),
        static_ram_bytes=data + sizes.get(".static_bss", 0),
        arena_bytes=sizes.get(".arena", 0),
    )


def measure_image(elf: Path, board: Board | None = None) -> ImageSize:
    """Sizes of a firmware ELF, for a board also by region.

    Raises InternalError where the file is no ELF file.
    """
    with open_elf(elf) as file:
        image = _image_bytes(file)
        ram = sum(section["sh_size"] for section in file.iter_sections() if _in_ram(section))
        regions = _used(file, board) if board is not None and board.freestanding else {}
        crc32 = _image_crc32(file)
    return ImageSize(image_bytes=image, ram_bytes=ram, regions=regions, image_crc32=crc32)


def _used(file: ELFFile, board: Board) -> dict[str, int]:
    """In flash what is stored there, in RAM what lives there, initial values being in both."""
    stored = [
        (segment["p_paddr"], segment["p_paddr"] + segment["p_filesz"])
        for segment in file.iter_segments()
        if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]
    ]
    living = [
        (section["sh_addr"], section["sh_addr"] + section["sh_size"])
        for section in file.iter_sections()
        if section["sh_flags"] & SH_FLAGS.SHF_ALLOC and section["sh_size"]
    ]
    return {
        region.name: max(
            (
                end - region.origin
                for start, end in (stored if region.kind == "flash" else living)
                if region.origin <= start < region.end
            ),
            default=0,
        )
        for region in board.memory
    }


def _image_bytes(file: ELFFile) -> int:
    """From the first to the last byte that is stored: the same symbols that the device reads.

    A host program has none: there it is what the loader copies, as platform/host counts it.
    """
    ends = image_ends(file)
    if ends is not None:
        return ends[1] - ends[0]
    return sum(
        segment["p_filesz"] for segment in file.iter_segments() if segment["p_type"] == "PT_LOAD"
    )


def image_ends(file: ELFFile) -> tuple[int, int] | None:
    """Where the stored image begins and ends; None for a host program."""
    symbols = file.get_section_by_name(".symtab")
    if isinstance(symbols, SymbolTableSection):
        start = symbols.get_symbol_by_name("linker_image_start")
        end = symbols.get_symbol_by_name("linker_image_end")
        if start and end:
            return int(start[0]["st_value"]), int(end[0]["st_value"])
    return None


def _image_crc32(file: ELFFile) -> int | None:
    """CRC-32 of the stored image, zeros between its segments; None for a host program."""
    ends = image_ends(file)
    if ends is None:
        return None
    image = bytearray(ends[1] - ends[0])
    for segment in file.iter_segments():
        offset = segment["p_paddr"] - ends[0]
        if segment["p_type"] == "PT_LOAD" and 0 <= offset < len(image):
            data = segment.data()[: len(image) - offset]
            image[offset : offset + len(data)] = data
    return zlib.crc32(image)


def _in_ram(section: Section) -> bool:
    """Written to, or reserved without contents (some linkers flag such a stack read-only)."""
    flags = section["sh_flags"]
    written = flags & SH_FLAGS.SHF_WRITE or section["sh_type"] == "SHT_NOBITS"
    return bool(flags & SH_FLAGS.SHF_ALLOC and written)


def check_fits(size: ImageSize, board: Board) -> None:
    """Raise CheckFailed where the image is larger than the board, saying by how many bytes."""
    figures = [
        ("flash", size.image_bytes, board.flash_bytes),
        ("RAM", size.ram_bytes, board.ram_bytes),
    ]
    if size.regions:
        figures = [
            (f"{'RAM' if r.kind == 'ram' else r.kind} in {r.name}", size.regions[r.name], r.bytes)
            for r in board.memory
        ]
    for kind, used, available in figures:
        if used > available:
            raise CheckFailed(
                f"the firmware does not fit {board.name}: {used - available} bytes too much {kind}",
                value=f"{used} bytes",
                allowed=f"{available} bytes of {kind}",
                next_step="take a board with more memory, a smaller model, or --optimize size",
            )


def _section_sizes(elf: Path) -> dict[str, int]:
    with open_elf(elf) as file:
        return {section.name: section["sh_size"] for section in file.iter_sections()}


@contextmanager
def open_elf(elf: Path) -> Iterator[ELFFile]:
    """The parsed file. Raises InternalError where it is no ELF file."""
    with elf.open("rb") as stream:
        try:
            yield ELFFile(stream)
        except ELFError as error:
            raise InternalError(f"{elf.name} is no ELF file: {error}") from error
