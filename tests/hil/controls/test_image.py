"""Copies of an ELF file with other bytes in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from exporter.errors import InternalError
from exporter.hil.controls.image import Image

SOURCE = """
const volatile unsigned char weights[4] = {1, 2, 3, 42};
char cleared[4];
int main(void) { return weights[3] + cleared[0]; }
"""


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that ends with the last of four bytes."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "main.c").write_text(SOURCE)
    command = ["gcc", "-O0", "-o", "program", "main.c"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    return folder / "program"


def status(program: Path) -> int:
    return subprocess.run([program], check=False, timeout=60).returncode


def test_a_copy_runs_with_other_contents(elf: Path, tmp_path: Path) -> None:
    image = Image(elf)
    place = image.place("weights", bytes([1, 2, 3, 42]))
    assert place in image.find(bytes([1, 2, 3, 42]))
    copy = image.write_copy(tmp_path / "copy", {place: bytes([1, 2, 3, 43])})
    assert (status(elf), status(copy)) == (42, 43)


def test_contents_that_were_not_planned_are_refused(elf: Path) -> None:
    image = Image(elf)
    for symbol, contents in (("weights", b"\1\2\3\4"), ("biases", b""), ("cleared", bytes(4))):
        with pytest.raises(InternalError, match=symbol):
            image.place(symbol, contents)


def test_only_what_is_loaded_is_found(elf: Path) -> None:
    """The names of sections are in the file, and not in memory."""
    assert b".symtab" in elf.read_bytes()
    assert Image(elf).find(b".symtab") == []
