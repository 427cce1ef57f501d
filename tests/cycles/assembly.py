"""Assembling Thumb code for the tests of the cycle model."""

from __future__ import annotations

from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from exporter import process
from tests.platform.probe import need_tool

COMPILER = "arm-none-eabi-gcc"
FLAGS = {
    "cortex-m3": ["-mcpu=cortex-m3"],
    "cortex-m4": ["-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"],
    "cortex-m0plus": ["-mcpu=cortex-m0plus"],
}


def assemble(folder: Path, core: str, source: str, *options: str) -> Path:
    """An ELF file with the code of `source` for `core`."""
    need_tool(COMPILER)
    text, elf = folder / "code.s", folder / "code.elf"
    header = ".syntax unified\n.thumb\n"
    text.write_text(header + source + "\n", encoding="ascii")
    command = [COMPILER, *FLAGS[core], "-mthumb", "-nostdlib", *options, str(text), "-o", str(elf)]
    process.run(command, timeout_seconds=60)
    return elf


def code_of(elf: Path) -> bytes:
    """The section .text."""
    with elf.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".text")
        assert section is not None
        return bytes(section.data())


def addresses(elf: Path) -> dict[str, int]:
    """Where each symbol is, without the bit that says Thumb."""
    with elf.open("rb") as stream:
        symbols = ELFFile(stream).get_section_by_name(".symtab")
        assert isinstance(symbols, SymbolTableSection)
        return {symbol.name: symbol["st_value"] & ~1 for symbol in symbols.iter_symbols()}
