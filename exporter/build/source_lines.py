"""Addresses of an image as functions and source lines: its symbols and its DWARF line programs."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.dwarf.lineprogram import LineProgram
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

_DIRECTORIES_FROM_0 = 5
"""From this version of DWARF on, line programs count directories and files from 0."""


@dataclass(frozen=True)
class Place:
    """Where an address is; `function`, `file` and `line` are None where the image does not say.

    `file` is relative to the project's folder where it is inside of it.
    """

    address: int
    function: str | None = None
    file: str | None = None
    line: int | None = None

    @property
    def known(self) -> bool:
        """Whether the image has code there."""
        return self.function is not None

    def describe(self) -> str:
        """`function, file:line`, or what is known of it."""
        line = f"{self.file}:{self.line}" if self.file is not None else None
        return ", ".join(part for part in (self.function, line) if part) or "not in the image"


@dataclass(frozen=True)
class _Function:
    start: int
    size: int
    name: str


@dataclass(frozen=True)
class _Row:
    """The code from `address` on is of this line; where `file` is None it is of none."""

    address: int
    file: str | None
    line: int


class SourceLines:
    """Looks addresses up in one ELF file. Raises OSError, ELFError, DWARFError."""

    def __init__(self, elf: Path) -> None:
        with elf.open("rb") as stream:
            file = ELFFile(stream)
            self._thumb_bit = 1 if file["e_machine"] == "EM_ARM" else 0
            functions = _functions(file, self._thumb_bit)
            self._functions = sorted(functions, key=lambda function: function.start)
            rows = _rows(file.get_dwarf_info()) if file.has_dwarf_info() else ()
            # Where one piece of code ends and the next begins, the beginning counts.
            self._rows = sorted(rows, key=lambda row: (row.address, row.file is not None))

    def place(self, address: int) -> Place:
        """The place of the instruction at `address`; of Thumb code, with its low bit or without."""
        address &= ~self._thumb_bit
        function = self._function(address)
        if function is None:
            return Place(address)
        index = bisect.bisect_right(self._rows, address, key=lambda row: row.address) - 1
        if index < 0 or self._rows[index].file is None:
            return Place(address, function.name)
        return Place(address, function.name, self._rows[index].file, self._rows[index].line)

    def place_of_call(self, return_address: int) -> Place:
        """The place of the call that returns to `return_address`."""
        return self.place((return_address & ~self._thumb_bit) - 1)

    def place_of_function(self, name: str) -> Place | None:
        """Where a function begins; None where the image has none of that name."""
        starts = (function.start for function in self._functions if function.name == name)
        start = next(starts, None)
        return None if start is None else self.place(start)

    def _function(self, address: int) -> _Function | None:
        index = bisect.bisect_right(self._functions, address, key=lambda entry: entry.start) - 1
        if index < 0:
            return None
        function = self._functions[index]
        return function if address < function.start + function.size else None


def _functions(file: ELFFile, thumb_bit: int) -> Iterator[_Function]:
    table = file.get_section_by_name(".symtab")
    if isinstance(table, SymbolTableSection):
        for symbol in table.iter_symbols():
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF":
                yield _Function(
                    symbol["st_value"] & ~thumb_bit, symbol["st_size"], str(symbol.name)
                )


def _rows(dwarf: DWARFInfo) -> Iterator[_Row]:
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is not None:
            yield from _rows_of(program)


def _rows_of(program: LineProgram) -> Iterator[_Row]:
    """Rows of one unit, piece by piece. What the linker dropped starts at 0, where no code is."""
    piece: list[_Row] = []
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if state.end_sequence:
            if piece and piece[0].address != 0:
                yield from piece
                yield _Row(state.address, None, 0)
            piece = []
        elif state.line != 0:
            piece.append(_Row(state.address, _file_name(program, state.file), state.line))


def _file_name(program: LineProgram, number: int) -> str:
    """The path of a line program's file, without the `./` of the project's folder."""
    header = program.header
    from_0 = header["version"] >= _DIRECTORIES_FROM_0
    entry = header["file_entry"][number if from_0 else number - 1]
    directory = entry.dir_index if from_0 else entry.dir_index - 1
    name = PurePosixPath(entry.name.decode("utf-8", "replace"))
    if directory < 0 or (from_0 and directory == 0):
        return name.as_posix()
    return (PurePosixPath(_text(header["include_directory"][directory])) / name).as_posix()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
