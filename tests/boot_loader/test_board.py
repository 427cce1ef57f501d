"""A board behind the loader, the projects of both, and the header of an image."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from exporter.board import LoaderLayout, all_boards, behind_loader, load_board
from exporter.board.flashers import Stm32RomSettings
from exporter.build.image import pages
from exporter.build.loader_header import MAGIC, header_of
from exporter.errors import BadInput, InternalError
from exporter.render.boot_loader import render_boot_loader
from exporter.render.environment import template_folder
from tests.boot_loader.flashes import BOARDS
from tests.hil.support import nanoexport

LOADER_BYTES, HEADER_BYTES, KEPT_BYTES = 4096, 256, 16


def test_these_boards_have_it() -> None:
    assert {board.name for board in all_boards() if board.boot_loader is not None} == set(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_what_is_behind_the_loader(name: str) -> None:
    board, behind = load_board(name), load_board(f"{name}+loader")
    flash, ram = behind.region("flash"), behind.region("ram")
    assert behind == behind_loader(board)
    assert (flash.origin, flash.end) == (LOADER_BYTES, board.region("flash").end)
    assert pages(flash)[0].address == LOADER_BYTES and pages(flash)[-1].end == flash.end
    assert ram.end == board.region("ram").end - KEPT_BYTES == behind.loader_request
    (flasher,) = behind.flashers
    assert isinstance(flasher, Stm32RomSettings) and board.boot_loader is not None
    assert flasher.first_page * pages(flash)[0].bytes == LOADER_BYTES
    assert flasher.product_id == board.boot_loader.product_id > 0xFFF


def test_product_ids_differ() -> None:
    loaders = [board.boot_loader for board in all_boards() if board.boot_loader is not None]
    assert len({loader.product_id for loader in loaders}) == len(loaders)


@pytest.mark.parametrize("name", ["mps2-an385+loader", "host+loader", "nothing+loader", "+loader"])
def test_other_boards_are_refused(name: str) -> None:
    with pytest.raises(BadInput):
        load_board(name)


def test_twice_is_no_board() -> None:
    with pytest.raises(BadInput, match="unknown board"):
        load_board("mps2-an386+loader+loader")


def test_the_parts_do_not_meet() -> None:
    for name in BOARDS:
        layout = LoaderLayout.of(load_board(name))
        assert layout.application_origin == layout.flash_origin + LOADER_BYTES
        assert layout.image_origin % 256 == 0
        assert layout.ram_origin + layout.stack_bytes < layout.request_address == layout.ram_end


@pytest.mark.parametrize("name", BOARDS)
def test_the_project_is_the_same_each_time(name: str) -> None:
    first, second = (render_boot_loader(load_board(name), "gcc") for _ in range(2))
    assert first == second and first.build_id
    drivers = {path.name for path in (template_folder() / "boot_loader" / "drivers").iterdir()}
    rendered = {path.removeprefix("loader/") for path in first.files}
    assert len(drivers & rendered) == 3  # flash, UART, timer


def test_every_driver_is_some_boards() -> None:
    loaders = [board.boot_loader for board in all_boards() if board.boot_loader is not None]
    used = {d for x in loaders for d in (x.flash_driver, x.uart_driver, x.timer_driver)}
    folder = template_folder() / "boot_loader" / "drivers"
    assert used == {path.stem for path in folder.iterdir()}


def test_the_header() -> None:
    image = bytes(range(200))
    header = header_of(image)
    assert header[:4] == b"NANO" and len(header) == HEADER_BYTES
    assert struct.unpack("<III", header[:12]) == (MAGIC, 200, zlib.crc32(image))
    assert header[12:] == b"\xff" * (HEADER_BYTES - 12)


def test_an_image_of_half_words_is_a_defect() -> None:
    with pytest.raises(InternalError, match="end with a word"):
        header_of(bytes(6))


def test_the_command_writes_a_project(tmp_path: Path) -> None:
    run = nanoexport("boot-loader", "--board", "microbit-v1", "-o", str(tmp_path / "x"), "--json")
    assert run.code == 0 and run.document["board"] == "microbit-v1"
    assert "4096" in (tmp_path / "x" / "loader" / "linker.ld").read_text()


def test_the_command_says_which_boards_have_none() -> None:
    run = nanoexport("boot-loader", "--board", "host", "-o", "nowhere", "--json")
    assert run.code == 2 and "no boot loader of ours" in str(run.error["what"])


def test_no_boot_loader_is_put_behind_one(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    run = nanoexport("boot-loader", "--board", "microbit-v1+loader", "-o", str(folder), "--json")
    assert run.code == 2 and run.error["allowed"] == "microbit-v1"
    assert not folder.exists()
