"""OpenOCD: the exact command, what its output means, and the real program on a dummy adapter."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from exporter.board import Board, ChipId, all_boards
from exporter.board.flashers import OpenocdSettings
from exporter.build.image import Image, Segment
from exporter.build.image_files import image_of_hex
from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.flash import FlashOptions
from exporter.flash.openocd import OpenocdFlasher, openocd_argv
from tests.flash.images import flash_board, random_image
from tests.flash.recorded_runs import RecordedRuns
from tests.platform.probe import need_tool

CHIP = {"address": 0xE0042000, "mask": 0xFFF, "value": 0x413}
FLASH = {"origin": 0x08000000, "bytes": 0x10000, "pages": [{"count": 4, "bytes": 0x4000}]}
IMAGE = random_image(0x08000000, 5000)

DUMMY = """
# The dummy adapter of OpenOCD, with a chip and a flash that say what they are asked to do.
adapter driver dummy
transport select jtag
adapter speed 100
proc read_memory {address width count} { echo "did read_memory $address $width $count"; return %s }
proc reset {args} { echo "did reset $args" }
proc flash {args} { if {$args != "init"} { echo "did flash $args" } }
proc verify_image {args} { echo "did verify_image $args"; echo "verified %s bytes in 0.1s" }
"""


def board(*config: str, chip_id: dict[str, int] | None = CHIP) -> Board:
    settings = {"name": "openocd", "config": config or ("interface/stlink.cfg",)}
    return flash_board(settings | {"chip_id": chip_id}, FLASH)


def test_argv() -> None:
    settings = OpenocdSettings(
        name="openocd", config=("interface/stlink.cfg", "target/stm32f4x.cfg")
    )
    argv = openocd_argv(board(), settings, ChipId(**CHIP), "066CFF303430484257255318")
    assert argv == [
        *("openocd", "-c", "adapter serial 066CFF303430484257255318"),
        *("-f", "interface/stlink.cfg", "-f", "target/stm32f4x.cfg"),
        *("-c", "gdb_port disabled", "-c", "tcl_port disabled", "-c", "telnet_port disabled"),
        *("-c", "init"),
        "-c",
        "set found [lindex [read_memory 0xe0042000 32 1] 0]; "
        "if {($found & 0x00000fff) != 0x00000413} "
        '{error "another chip: [format 0x%08x $found]"}',
        *("-c", "reset init", "-c", "flash write_image erase image.hex"),
        *("-c", "verify_image image.hex", "-c", "reset run", "-c", "shutdown"),
    ]


def test_the_image_is_written_and_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = RecordedRuns(lambda argv: (0, "verified 5000 bytes in 0.1s (48 KiB/s)\n"))
    runs.replace(monkeypatch)
    OpenocdFlasher().write(board(), IMAGE, FlashOptions())
    (argv,), (files,) = runs.argvs, runs.files
    assert "adapter serial" not in " ".join(argv)
    assert image_of_hex(files["image.hex"]).segments == IMAGE.segments


@pytest.mark.parametrize(
    ("code", "output", "error", "told"),
    [
        (1, "another chip: 0x10016433\n", BadInput, "0x10016433"),
        (1, "Error: open failed\n", LinkFailed, "open failed"),
        (0, "", LinkFailed, "verified 5000 bytes"),
        (0, "verified 4999 bytes in 0.1s\n", LinkFailed, "verified 5000 bytes"),
        (1, "verified 5000 bytes in 0.1s\n", LinkFailed, "did not put"),
    ],
)
def test_failures(
    code: int, output: str, error: type[Exception], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    RecordedRuns(lambda argv: (code, output)).replace(monkeypatch)
    with pytest.raises(error) as raised:
        OpenocdFlasher().write(board(), IMAGE, FlashOptions())
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "image", "probe", "told"),
    [
        ({"chip_id": None}, IMAGE, None, "knows its chip"),
        ({}, random_image(0x08000000 - 4, 64), None, "outside"),
        ({}, random_image(0x0800FFF0, 64), None, "behind the end"),
        ({}, IMAGE, "1; flash erase_sector 0 0 last", "no serial number"),
    ],
)
def test_what_is_refused_before_openocd_runs(
    changes: dict[str, Any], image: Image, probe: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = RecordedRuns(lambda argv: (0, "")).replace(monkeypatch)
    with pytest.raises(BadInput, match=told):
        OpenocdFlasher().write(board(**changes), image, FlashOptions(probe=probe))
    assert not runs.argvs


def test_without_openocd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match="openocd"):
        OpenocdFlasher().write(board(), IMAGE, FlashOptions())


# --- the real program -----------------------------------------------------------------------------


def dummy_board(folder: Path, *, chip: int, verified: int = IMAGE.size) -> Board:
    script = folder / "dummy.cfg"
    script.write_text(DUMMY % (chip, verified))
    return board(str(script))


def did(output: str) -> list[str]:
    return re.findall(r"^did (.*)$", output, re.MULTILINE)


@pytest.mark.emulator
def test_openocd_takes_the_command(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    need_tool("openocd")
    caplog.set_level("DEBUG", logger="exporter.process")
    there = dummy_board(tmp_path, chip=0x10016413)
    OpenocdFlasher().write(there, IMAGE, FlashOptions(probe="0669FF"))
    assert did(caplog.text) == [
        "read_memory 0xe0042000 32 1",
        "reset init",
        "flash write_image erase image.hex",
        "verify_image image.hex",
        "reset run",
    ]


@pytest.mark.emulator
def test_openocd_stops_at_another_chip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is not even reset: what runs on it runs on."""
    need_tool("openocd")
    caplog.set_level("DEBUG", logger="exporter.process")
    with pytest.raises(BadInput, match="not the chip") as refused:
        OpenocdFlasher().write(dummy_board(tmp_path, chip=0x10016433), IMAGE, FlashOptions())
    assert "0x10016433" in str(refused.value.value)
    assert did(caplog.text) == ["read_memory 0xe0042000 32 1"]


@pytest.mark.emulator
def test_openocd_that_verifies_less_than_all(tmp_path: Path) -> None:
    need_tool("openocd")
    there = dummy_board(tmp_path, chip=0x413, verified=IMAGE.size - 1)
    with pytest.raises(LinkFailed, match="did not put"):
        OpenocdFlasher().write(there, IMAGE, FlashOptions())


@pytest.mark.emulator
def test_openocd_has_the_scripts_of_all_boards() -> None:
    """And none of them touches protection; but for those that a later OpenOCD than 0.12 has."""
    need_tool("openocd")
    scripts = {
        script
        for board in all_boards()
        for settings in board.flashers
        if isinstance(settings, OpenocdSettings)
        for script in settings.config
    } - {"target/rp2350.cfg"}
    for path in with_sources(scripts):
        text = re.sub(r"^\s*#.*", "", path.read_text(), flags=re.M)
        assert not re.search(r"^\s*(flash protect|\w+ (unlock|mass_erase))", text, re.M), path
        calls = re.findall(r"^\s*(?:nrf52_recover|\S+ (?:option_write|options_write))", text, re.M)
        assert not calls, path


def with_sources(scripts: set[str]) -> list[Path]:
    """Where OpenOCD finds these, and what they and their own take in by `source`."""
    steps = [word for script in sorted(scripts) for word in ("-c", f"echo [find {script}]")]
    found = subprocess.run(
        ["openocd", *steps, "-c", "shutdown"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    paths = [Path(line) for line in found.stderr.splitlines() if line.endswith((".cfg", ".tcl"))]
    assert len(paths) == len(scripts)
    source = re.compile(r"^\s*source \[find ([\w/.-]+)\]", re.MULTILINE)
    more = {name for path in paths for name in source.findall(path.read_text())} - scripts
    return [*paths, *(with_sources(more) if more else ())]


def test_segments_far_apart_are_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.of([Segment(0x08000000, b"one"), Segment(0x0800C000, b"two")])
    runs = RecordedRuns(lambda argv: (0, "verified 3 bytes in 1s\nverified 3 bytes in 1s\n"))
    runs.replace(monkeypatch)
    OpenocdFlasher().write(board(), image, FlashOptions())
    assert image_of_hex(runs.files[0]["image.hex"]).segments == image.segments
