"""Boards and images of the tests of flashers."""

from __future__ import annotations

import random
from typing import Any

from exporter.board import Board, load_board
from exporter.build.image import Image, Segment


def flash_board(settings: dict[str, Any], *regions: dict[str, Any], name: str = "bench") -> Board:
    """A real board with one flasher; `regions` are its flash, beside a RAM."""
    base = load_board("mps2-an386").model_dump()
    ram = {"name": "SRAM", "kind": "ram", "origin": 0x20000000, "bytes": 0x18000}
    flash = [{"name": "flash", "kind": "flash", **region} for region in regions]
    changes = {
        "name": name,
        "evidence": "built",
        "emulator": None,
        "flashers": [settings],
        "memory": [*flash, ram],
    }
    return Board.model_validate(base | changes)


def random_image(address: int, size: int, *, seed: int = 1) -> Image:
    """Bytes of which hardly any is the erased one."""
    return Image.of([Segment(address, random.Random(seed).randbytes(size))])
