"""Nordic's serial DFU: the tool's exact arguments, its packets, and what is in the flash."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from exporter.board import Board
from exporter.build.image import Image, Segment
from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.flash import FlashOptions
from exporter.flash.nrf_dfu import NrfDfuFlasher, package_argv, send_argv
from tests.flash.images import flash_board, random_image
from tests.flash.nrf_dfu_model import DATA, INIT, START, STOP, NrfLoader, crc16

ORIGIN, END = 0x26000, 0x40000
SETTINGS = {
    "name": "nrf_dfu",
    "application_origin": ORIGIN,
    "softdevice_ids": [0xB6, 0x123],
    "entry": "press RESET twice",
}
IMAGE = random_image(ORIGIN, 0x1235)


def board(**settings: Any) -> Board:
    region = {"origin": ORIGIN, "bytes": END - ORIGIN, "pages": [{"count": 26, "bytes": 4096}]}
    return flash_board(SETTINGS | settings, region)


@pytest.fixture(autouse=True)
def a_pty_has_no_dtr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool toggles it, and takes it for an error where that cannot be done."""
    patch = "import serial\nserial.Serial._update_dtr_state = lambda port: None\n"
    (tmp_path / "sitecustomize.py").write_text(patch)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def write(chip: NrfLoader, of: Board | None = None, **options: Any) -> None:
    NrfDfuFlasher().write(of or board(), IMAGE, FlashOptions(port=chip.path, **options))


def require_written(chip: NrfLoader) -> None:
    size = len(IMAGE.filled())
    assert chip.flash[ORIGIN : ORIGIN + size] == IMAGE.filled()
    assert chip.flash[ORIGIN + size : ORIGIN + 0x2000] == b"\xff" * (0x2000 - size)
    assert chip.flash[:ORIGIN] == b"\xa5" * ORIGIN
    assert chip.flash[ORIGIN + 0x2000 :] == b"\xa5" * (END - ORIGIN - 0x2000)
    assert chip.activated


def test_the_arguments() -> None:
    settings = board().flashers[0]
    assert settings.name == "nrf_dfu"
    assert " ".join(package_argv(settings, Path("firmware.bin"), Path("firmware.zip"))) == (
        "adafruit-nrfutil dfu genpkg --dev-type 0x0052 --sd-req 0x00B6,0x0123"
        " --application firmware.bin firmware.zip"
    )
    assert " ".join(send_argv("/dev/ttyACM0", Path("firmware.zip"))) == (
        "adafruit-nrfutil dfu serial --package firmware.zip --port /dev/ttyACM0"
        " --baudrate 115200 --singlebank"
    )


def test_the_packets_and_the_flash() -> None:
    seen: list[tuple[str, int, int]] = []
    with NrfLoader(END, ORIGIN) as chip:
        write(chip, progress=lambda *step: seen.append(step))
    require_written(chip)
    data = IMAGE.filled() + b"\xff" * 3  # whole words
    packets = [(packet.kind, packet.payload) for packet in chip.packets]
    # An application alone (4): sizes of SoftDevice, boot loader and application.
    assert packets[0] == (START, struct.pack("<IIII", 4, 0, 0, len(data)))
    # Device type, any revision, any version, two SoftDevices, CRC-16; two bytes that pad.
    init = struct.pack("<HHIHHHH", 0x52, 0xFFFF, 0xFFFFFFFF, 2, 0xB6, 0x123, crc16(data))
    assert packets[1] == (INIT, init + bytes(2))
    assert [kind for kind, _ in packets[2:]] == [DATA] * 10 + [STOP]
    assert b"".join(payload for kind, payload in packets if kind == DATA) == data
    assert [packet.sequence for packet in chip.packets] == [i % 8 for i in range(1, 14)]
    assert seen[-1] == ("write", len(data), len(data))


@pytest.mark.parametrize(
    ("chip", "settings"),
    [({"device_type": 0x51}, {}), ({"softdevice": 0x100}, {})],
    ids=["device", "SoftDevice"],
)
def test_another_chip_takes_nothing(chip: dict[str, Any], settings: dict[str, Any]) -> None:
    with NrfLoader(END, ORIGIN, **chip) as model, pytest.raises(LinkFailed) as caught:
        write(model, board(**settings), wait_seconds=0.1)
    assert "press RESET twice" in str(caught.value.next_step)
    assert not model.activated and DATA not in {packet.kind for packet in model.packets}


def test_a_person_enters_the_loader() -> None:
    said: list[str] = []
    with NrfLoader(END, ORIGIN, answers=False) as chip:

        def press(text: str) -> None:
            said.append(text)
            chip.answers = True

        write(chip, say=press)
    assert said == ["the boot loader does not answer yet: press RESET twice"]
    require_written(chip)


def test_after_a_power_cut_the_same_command_repairs() -> None:
    with NrfLoader(END, ORIGIN, cut_at_byte=0x900) as chip:
        with pytest.raises(LinkFailed):
            write(chip, wait_seconds=0.1)
        assert not chip.activated, "the loader starts nothing without its CRC"
        chip.power_on()
        write(chip)
    require_written(chip)


def test_an_image_for_elsewhere_is_refused() -> None:
    for image, what in [
        (random_image(ORIGIN + 4096, 10), "puts an image to 0x00026000"),
        (random_image(ORIGIN - 1, 10), "1 bytes outside"),
        (Image.of([Segment(ORIGIN, bytes(END - ORIGIN + 1))]), "1 bytes behind the end"),
    ]:
        with pytest.raises(BadInput, match=what):
            NrfDfuFlasher().write(board(), image, FlashOptions())


def test_without_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with NrfLoader(END, ORIGIN) as chip, pytest.raises(MissingTool) as caught:
        write(chip)
    assert "Python package adafruit-nrfutil" in str(caught.value.next_step)
