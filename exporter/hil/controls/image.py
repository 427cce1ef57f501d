"""Copies of a firmware's ELF file in which a few bytes are others: images that lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from exporter.errors import InternalError

EXECUTABLE = 0o755


class Image:
    """The ELF file at `elf`, and where in the file things are."""

    def __init__(self, elf: Path) -> None:
        self._bytes = elf.read_bytes()
        with elf.open("rb") as stream:
            file = ELFFile(stream)
            self._symbols = _symbols(file)
            self._loaded = [
                range(s["p_offset"], s["p_offset"] + s["p_filesz"])
                for s in file.iter_segments()
                if s["p_type"] == "PT_LOAD"
            ]

    def place(self, symbol: str, contents: bytes) -> int:
        """Where in the file the object `symbol` is stored, which must hold `contents`."""
        offset = self._symbols.get(symbol)
        if offset is None or self._bytes[offset : offset + len(contents)] != contents:
            raise InternalError(f"the image does not hold what was planned for {symbol}")
        return offset

    def find(self, contents: bytes) -> list[int]:
        """Where in the file `contents` are, among what is loaded."""
        places, start = [], self._bytes.find(contents)
        while start >= 0:
            if any(start in part for part in self._loaded):
                places.append(start)
            start = self._bytes.find(contents, start + 1)
        return places

    def write_copy(self, path: Path, patches: Mapping[int, bytes]) -> Path:
        """A copy at `path` with other bytes at the places of `patches`."""
        image = bytearray(self._bytes)
        for place, contents in patches.items():
            image[place : place + len(contents)] = contents
        path.write_bytes(image)
        path.chmod(EXECUTABLE)
        return path


def _symbols(file: ELFFile) -> dict[str, int]:
    """Where in the file each object with contents is stored, by name."""
    table = file.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        return {}
    found = {}
    for symbol in table.iter_symbols():
        index = symbol["st_shndx"]
        if symbol["st_info"]["type"] == "STT_OBJECT" and isinstance(index, int):
            section = file.get_section(index)
            if section["sh_type"] != "SHT_NOBITS":
                found[symbol.name] = symbol["st_value"] - section["sh_addr"] + section["sh_offset"]
    return found
