"""The table of boards in the README is what `nanoexport boards` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.board import all_boards, load_board
from exporter.board.table import BEGIN, END, size_text, table_of, with_table
from exporter.errors import BadInput
from tests.hil.support import nanoexport

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_readme_is_current() -> None:
    """Update: make docs."""
    text = README.read_text(encoding="utf-8")
    assert text == with_table(text, all_boards())


def test_the_table_says_what_the_command_says() -> None:
    entries = nanoexport("boards", "--json").document["boards"]
    rows = [line.strip("| \n").split(" | ") for line in table_of(all_boards()).splitlines()[2:]]
    assert len(rows) == len(entries)
    for row, entry in zip(rows, entries, strict=True):
        board = load_board(entry["name"])
        assert row[0] == f"`{entry['name']}`" and row[1:3] == [entry["mcu"], entry["core"]]
        assert row[-2:] == [", ".join(entry["flashers"]), entry["evidence"]]
        if board.freestanding:
            sizes = [size_text(entry["flash_bytes"]), size_text(entry["ram_bytes"])]
            assert row[3:5] == sizes
        assert (entry["link"] or {}).get("kind", "") in row[5]


def test_the_list_fits_a_terminal() -> None:
    run = nanoexport("boards")
    assert max(len(line) for line in run.out.splitlines()) <= 120
    for board in all_boards():
        (line,) = [line for line in run.out.splitlines() if line.startswith(f"{board.name} ")]
        assert line.split()[-2:] == [board.default_flasher.name, board.evidence]
        assert (board.link.kind if board.link else "") in line


@pytest.mark.parametrize(
    ("count", "text"), [(4194304, "4 MB"), (4128768, "4032 KB"), (8192, "8 KB"), (1000, "1000 B")]
)
def test_sizes_are_whole(count: int, text: str) -> None:
    assert size_text(count) == text


def test_only_what_is_between_the_marks_is_written() -> None:
    board = [load_board("host")]
    written = with_table(f"before\n{BEGIN}\nold\n{END}\nafter\n", board)
    assert written == f"before\n{BEGIN}\n{table_of(board)}{END}\nafter\n"
    assert with_table(written, board) == written
    with pytest.raises(BadInput, match="no place for the table"):
        with_table(f"before\n{BEGIN}\n", board)
