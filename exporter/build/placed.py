"""Whether the linker put arena and weights where the plan says: read from the ELF file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from exporter.board import Board, MemoryRegion
from exporter.errors import CheckFailed, InternalError
from exporter.plan.placement import Placement
from exporter.plan.program import Program


def check_placed(
    elf: Path, program: Program, placement: Placement, board: Board, prefix: str = "model"
) -> None:
    """Every array of the model lies inside its region, and is stored in the flash that it is for.

    Raises CheckFailed, naming array and region. Nothing is checked of a native process.
    """
    if not board.freestanding:
        return
    with elf.open("rb") as stream:
        file = ELFFile(stream)
        symbols = _symbols(file)
        stored = _stored(file)
        for name, region, source in _wanted(program, placement, prefix):
            if name not in symbols:
                raise InternalError(f"{elf.name} has no symbol {name}")
            start, size = symbols[name]
            _check_inside(name, start, size, region)
            if source is not None:
                load = next(load + start - low for low, high, load in stored if low <= start < high)
                _check_inside(f"the contents of {name}", load, size, source)


def _wanted(
    program: Program, placement: Placement, prefix: str
) -> Iterator[tuple[str, MemoryRegion, MemoryRegion | None]]:
    """(C name, region, flash that has the contents) of each array of the model."""
    if program.arena_bytes:
        yield f"{prefix}_arena", placement.arena, None
    for part in placement.weights:
        for name in part.names:
            yield f"{prefix}_{name}", part.region, part.source or part.region


def _check_inside(what: str, start: int, size: int, region: MemoryRegion) -> None:
    if not region.has(start, size):
        raise CheckFailed(
            f"{what} is not in {region.name}, where it was placed",
            value=f"0x{start:08X}, {size} bytes",
            allowed=f"0x{region.origin:08X} to 0x{region.end:08X}",
            next_step="the linker script does not do what the plan says: report it",
        )


def _symbols(file: ELFFile) -> dict[str, tuple[int, int]]:
    """Address and bytes of each object, by name."""
    table = file.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        return {}
    return {
        symbol.name: (symbol["st_value"], symbol["st_size"])
        for symbol in table.iter_symbols()
        if symbol["st_info"]["type"] == "STT_OBJECT"
    }


def _stored(file: ELFFile) -> list[tuple[int, int, int]]:
    """(first address, end, address where a loader writes it) of what is stored."""
    return [
        (s["p_vaddr"], s["p_vaddr"] + s["p_filesz"], s["p_paddr"])
        for s in file.iter_segments()
        if s["p_type"] == "PT_LOAD"
    ]
