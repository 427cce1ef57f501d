"""The generated table of boards in the README: `python -m exporter.board.table README.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from exporter.board.files import all_boards
from exporter.board.model import Board
from exporter.board.parts import Link
from exporter.errors import BadInput

BEGIN = "<!-- boards: written by `make docs` from boards/*.yaml, do not edit -->"
END = "<!-- end of boards -->"
COLUMNS = ("board", "chip", "core", "flash", "RAM", "link", "flashers", "evidence")


def size_text(count: int) -> str:
    """Bytes, in the largest of MB, KB and B that they are a whole number of."""
    for unit, name in ((1 << 20, "MB"), (1 << 10, "KB")):
        if count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} B"


def link_text(link: Link | None) -> str:
    """Which cable it takes, and on which pins; nothing where there is no real board."""
    if link is None:
        return ""
    return f"{link.kind}: {link.tx}, {link.rx}" if link.tx else link.kind


def table_of(boards: Sequence[Board]) -> str:
    """The table in Markdown."""
    return "".join(f"| {' | '.join(row)} |\n" for row in _rows(boards))


def _rows(boards: Sequence[Board]) -> Iterator[Sequence[str]]:
    yield COLUMNS
    yield ["---"] * len(COLUMNS)
    for board in boards:
        native = not board.freestanding
        yield (
            f"`{board.name}`",
            board.mcu,
            board.core,
            "" if native else size_text(board.flash_bytes),
            "" if native else size_text(board.ram_bytes),
            link_text(board.link),
            ", ".join(settings.name for settings in board.flashers),
            board.evidence,
        )


def with_table(document: str, boards: Sequence[Board]) -> str:
    """`document` with the table between its two marks. Raises BadInput where it has not both."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BadInput("the document has no place for the table", allowed=f"{BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{table_of(boards)}{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text("utf-8"), all_boards()), encoding="utf-8")
