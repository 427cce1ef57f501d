"""pyOCD: the exact commands, in order, and what their output means.

The commands were tried with pyOCD 0.46, whose parser takes them; its output is as its commands
`read32` and `compare` print it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.board import Board
from exporter.build.image import Image, Segment
from exporter.build.image_files import image_of_hex
from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.flash import FlashOptions
from exporter.flash.pyocd import PyocdFlasher
from tests.flash.images import flash_board, random_image
from tests.flash.recorded_runs import RecordedRuns

CHIP = {"address": 0x10000100, "value": 0x52840}
FLASH = {"origin": 0, "bytes": 0x10000, "pages": [{"count": 16, "bytes": 0x1000}]}
IMAGE = Image.of([Segment(0, bytes(range(200))), Segment(0x2000, b"elsewhere")])
RIGHT_CHIP = "10000100:  00052840                               |..(@|\n"
OTHER_CHIP = "10000100:  00052833                               |..(3|\n"
EQUAL = "Comparing 200 bytes @ 0x00000000\nAll 200 bytes match.\nAll 9 bytes match.\n"
DIFFERENT = "Mismatched byte at 0x00000007 (offset 0x7): 0xff (memory) != 0x07 (file)\n"


def board(chip_id: dict[str, int] | None = CHIP) -> Board:
    return flash_board({"name": "pyocd", "target": "nrf52840", "chip_id": chip_id}, FLASH)


def stand_in(chip: str = RIGHT_CHIP, compared: str = EQUAL, failing: str = "") -> RecordedRuns:
    """pyOCD at a chip that answers so; the subcommand `failing` fails."""

    def answer(argv: list[str]) -> tuple[int, str]:
        if argv[1] == failing:
            return 1, "No connected debug probe"
        return 0, chip if "read32" in argv[-1] else compared if "compare" in argv[-1] else ""

    return RecordedRuns(answer)


def test_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = stand_in().replace(monkeypatch)
    PyocdFlasher().write(board(), IMAGE, FlashOptions(probe="000683123456"))
    safe = ["--no-config", "--no-wait", "-O", "auto_unlock=false"]
    there = ["--target", "nrf52840", "--uid", "683123456"]
    assert runs.argvs == [
        ["pyocd", "cmd", *safe, *there, "-M", "attach", "-c", "read32 0x10000100"],
        [
            *("pyocd", "load", *safe, *there, "--erase", "sector", "-O", "smart_flash=true"),
            *("--no-reset", "image.hex"),
        ],
        [
            *("pyocd", "cmd", *safe, *there, "-c", "compare 0x00000000 segment-0.bin"),
            *("-c", "compare 0x00002000 segment-1.bin"),
        ],
        ["pyocd", "reset", *safe, *there],
    ]
    for files in runs.files:
        assert set(files) == {"image.hex", "segment-0.bin", "segment-1.bin"}, "no script of a user"
    assert image_of_hex(files["image.hex"]).segments == IMAGE.segments
    assert [files[f"segment-{n}.bin"] for n in (0, 1)] == [s.data for s in IMAGE.segments]


def test_a_project_of_the_users_is_not_pyocds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its pyocd_user.py may switch on what is off, and its image.hex is another one."""
    monkeypatch.setenv("PYOCD_PROJECT_DIR", str(tmp_path))
    runs = stand_in().replace(monkeypatch)
    PyocdFlasher().write(board(), IMAGE, FlashOptions())
    projects = [environment["PYOCD_PROJECT_DIR"] for environment in runs.environments]
    assert projects == [str(folder) for folder in runs.folders] and len(projects) == 4


def test_without_a_probe_named_pyocd_takes_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = stand_in().replace(monkeypatch)
    PyocdFlasher().write(board(), IMAGE, FlashOptions())
    assert len(runs.argvs) == 4 and not any("--uid" in argv for argv in runs.argvs)


@pytest.mark.parametrize(
    ("chip", "error", "told"),
    [
        (OTHER_CHIP, BadInput, "0x00052833"),
        ("", LinkFailed, "does not give access"),
        ("Error: memory transfer failed\n", LinkFailed, "A locked chip stays as it is"),
    ],
)
def test_a_chip_that_is_not_known_to_be_the_right_one(
    chip: str, error: type[Exception], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = stand_in(chip).replace(monkeypatch)
    with pytest.raises(error) as raised:
        PyocdFlasher().write(board(), IMAGE, FlashOptions())
    assert told in str(raised.value)
    assert len(runs.argvs) == 1, "nothing was written"


@pytest.mark.parametrize(
    "compared", ["", DIFFERENT, "All 200 bytes match.\n", "All 200 bytes match.\n" + DIFFERENT]
)
def test_a_flash_that_differs(compared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = stand_in(compared=compared).replace(monkeypatch)
    with pytest.raises(LinkFailed, match="does not hold"):
        PyocdFlasher().write(board(), IMAGE, FlashOptions())
    assert runs.argvs[-1][1] == "cmd", "it is not started"


def test_a_probe_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(failing="load").replace(monkeypatch)
    with pytest.raises(LinkFailed, match="pyocd failed"):
        PyocdFlasher().write(board(), IMAGE, FlashOptions())


@pytest.mark.parametrize(
    ("chip_id", "image", "probe", "told"),
    [
        (None, IMAGE, None, "knows its chip"),
        (CHIP, random_image(0xFFF0, 64), None, "behind the end"),
        (CHIP, IMAGE, "-O auto_unlock=true", "no serial number"),
    ],
)
def test_what_is_refused_before_pyocd_runs(
    chip_id: Any, image: Image, probe: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = stand_in().replace(monkeypatch)
    with pytest.raises(BadInput, match=told):
        PyocdFlasher().write(board(chip_id), image, FlashOptions(probe=probe))
    assert not runs.argvs


def test_without_pyocd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match="pyocd"):
        PyocdFlasher().write(board(), IMAGE, FlashOptions())
