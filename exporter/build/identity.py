"""The GNU build id of an ELF file: a hash over the whole of it that the linker leaves in a note.

The firmware carries it and says it over the link; `readelf -n firmware.elf` shows the same.
"""

from __future__ import annotations

from pathlib import Path

from elftools.elf.sections import NoteSection

from exporter.build.size import open_elf

NO_BUILD_ID = "00" * 20


def elf_build_id(elf: Path) -> str:
    """40 hex digits; `NO_BUILD_ID` where the linker left none.

    Raises InternalError where the file is no ELF file.
    """
    with open_elf(elf) as file:
        for section in file.iter_sections():
            if isinstance(section, NoteSection):
                for note in section.iter_notes():
                    if note["n_type"] == "NT_GNU_BUILD_ID":
                        return str(note["n_desc"])
    return NO_BUILD_ID
