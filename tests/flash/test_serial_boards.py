"""`nanoexport flash FILE` through a serial boot loader, on the boards that have one."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.board import all_boards, load_board
from exporter.board.flashers import Stm32RomSettings
from exporter.build.image import Image, Segment, pages
from exporter.build.image_files import hex_of_image
from exporter.flash.stm32_rom import plan_of
from tests.flash.an3155 import Stm32Rom, judge
from tests.flash.esp_rom_model import EspRom
from tests.flash.esp_rom_model import judge as judge_esp
from tests.flash.images import random_image
from tests.hil.support import nanoexport

STM32 = {
    board.name: settings
    for board in all_boards()
    for settings in board.flashers
    if isinstance(settings, Stm32RomSettings)
}


@pytest.mark.parametrize("name", STM32)
def test_every_page_of_a_board_can_be_erased_alone(name: str) -> None:
    """No page takes longer than one command may, and each has a number of its own."""
    board, settings = load_board(name), STM32[name]
    first, *_, last = found = pages(board.region("flash"))
    for page in (first, found[len(found) // 2], last):
        plan = plan_of(board, settings, random_image(page.end - 1, 1))
        assert plan.erased == ((settings.first_page + page.number,),)
    both = Image.of([Segment(page.end - 1, b"x") for page in (first, last)])
    plan = plan_of(board, settings, both)
    assert [block.end for block in plan.written] == [last.end, first.end], "the first comes last"


def test_a_nucleo(tmp_path: Path) -> None:
    board = load_board("nucleo-f401re")
    image = random_image(board.region("flash").origin, 0x5000)
    (tmp_path / "firmware.hex").write_text(hex_of_image(image))
    arguments = ["--board", board.name, "--flasher", "stm32_rom"]
    with Stm32Rom(board, product_id=STM32[board.name].product_id) as chip:
        file = str(tmp_path / "firmware.hex")
        told = nanoexport("flash", file, *arguments, "--port", chip.fresh_port(), "--json")
    found = told.document
    assert (found["board"], found["flasher"]) == ("nucleo-f401re", "stm32_rom")
    assert chip.flash[:0x5000] == image.filled() and chip.flash[0x8000:] == b"\xa5" * 0x78000
    assert judge(chip.frames, board, image) == []
    assert chip.started_at == image.address


def test_an_esp32_c3(tmp_path: Path) -> None:
    board = load_board("esp32-c3-devkitm-1")
    image = random_image(board.region("flash").origin, 0x1800)
    (tmp_path / "firmware.bin").write_bytes(image.filled())
    with EspRom() as chip:
        file = str(tmp_path / "firmware.bin")
        nanoexport("flash", file, "--board", board.name, "--port", chip.fresh_port())
    assert chip.flash[:0x1800] == image.filled()
    assert judge_esp(chip.packets, 0, 0x2000) == []
