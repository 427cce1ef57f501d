"""`nanoexport flash`: what it refuses before anything is written, and files without a project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from exporter import flash
from exporter.board import Board, load_board
from exporter.build.image import Image
from exporter.build.image_files import hex_of_image
from exporter.flash import FlashOptions, Writer
from tests.flash.images import random_image
from tests.hil.support import nanoexport, refused

pytest_plugins = ["tests.hil.fixtures"]

BOARD = "microbit-v2"


class Recorder(Writer):
    """Takes everything."""

    name = "daplink"

    def __init__(self) -> None:
        self.written: list[tuple[str, Image, FlashOptions]] = []

    def write(self, board: Board, image: Image, options: FlashOptions) -> None:
        """See Writer."""
        options.say("hold the button")
        options.progress("write", image.size, image.size)
        self.written.append((board.name, image, options))


@pytest.fixture(name="recorder")
def fixture_recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setitem(flash.FLASHERS, "daplink", recorder)
    monkeypatch.setattr("serial.tools.list_ports.comports", list)
    return recorder


@pytest.fixture(name="image")
def fixture_image() -> Image:
    return random_image(load_board(BOARD).region("flash").origin, 1000)


@pytest.fixture(name="file")
def fixture_file(image: Image, tmp_path: Path) -> Path:
    path = tmp_path / "image.hex"
    path.write_text(hex_of_image(image))
    return path


def test_a_file_is_written_and_nobody_is_asked(
    recorder: Recorder, file: Path, image: Image
) -> None:
    run = nanoexport("flash", file, "--board", BOARD, "--probe", "9904", "--wait", "2", "--json")
    assert run.code == 0, run.err
    assert run.document["flasher"] == "daplink" and run.document["board"] == BOARD
    assert "hold the button" in run.err and "1,000 bytes by daplink" in run.err
    ((name, written, options),) = recorder.written
    assert (name, written.segments) == (BOARD, image.segments)
    assert (options.probe, options.wait_seconds, options.port) == ("9904", 2.0, None)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), ["--board"]),
        (("--board", BOARD, "--flasher", "magic"), ["magic", "daplink", "pyocd"]),
        (("--board", BOARD, "--serve", "5555"), ["--serve 5555"]),
        (("--board", "mps2-an386"), ["ELF file", "3a"]),
        (("--board", "mps2-an386", "--port", "/dev/ttyACM0"), ["started on this computer"]),
        (("--board", "microbit-v1", "--probe", "99"), ["--flasher daplink or pyocd or openocd"]),
    ],
)
def test_options_that_do_not_fit(
    arguments: Sequence[str], told: Sequence[str], recorder: Recorder, file: Path
) -> None:
    refused(nanoexport("flash", file, *arguments, "--json"), 2, *told)
    assert not recorder.written


@pytest.mark.parametrize(
    "text", ["", "nonsense", ":100000000102030405060708090A0B0C0D0E0F1068\n"], ids=str
)
def test_a_broken_file(text: str, recorder: Recorder, file: Path) -> None:
    file.write_text(text)
    refused(nanoexport("flash", file, "--board", BOARD, "--json"), 2)
    assert not recorder.written


def test_the_ports_of_this_computer(recorder: Recorder) -> None:
    run = nanoexport("boards", "--connected", "--json")
    assert run.code == 0 and run.document["ports"] == []
    assert "no serial port on USB is connected" in run.err


def test_a_port_that_is_not_there() -> None:
    refused(nanoexport("boards", "--probe", "/dev/ttyNONE", "--json"), 3, "/dev/ttyNONE")
