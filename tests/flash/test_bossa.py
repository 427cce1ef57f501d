"""SAM-BA loaders: bossac's exact arguments, the way into the loader, and what is left alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import serial

from exporter import process
from exporter.board import Board
from exporter.build.image import Image, Segment
from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.flash import FlashOptions, bossa
from exporter.flash.bossa import BossaFlasher, Plan, info_argv, write_argv
from tests.flash.images import flash_board, random_image
from tests.flash.samba_model import SambaLoader

ORIGIN, BYTES = 0x10000, 0x10000
SETTINGS = {
    "name": "bossa",
    "offset": 0,
    "flash_origin": ORIGIN,
    "loader_usb": [{"vid": 0x2341, "pid": 0x005A}],
    "entry": "press RESET twice",
}
IMAGE = random_image(ORIGIN, 0x2100)
LOADER, SKETCH, ADAPTER = (0x2341, 0x005A), (0x2341, 0x805A), (0x0403, 0x6001)


def board() -> Board:
    pages = [{"count": 16, "bytes": 4096}]
    return flash_board(SETTINGS, {"origin": ORIGIN, "bytes": BYTES, "pages": pages})


def test_the_arguments() -> None:
    plan = Plan(0x2000, bytes(0x3000))
    assert info_argv("/dev/ttyACM0") == ["bossac", "--port=/dev/ttyACM0", "--usb-port", "--info"]
    assert write_argv("/dev/ttyACM0", plan, Path("firmware.bin")) == [
        "bossac", "--port=/dev/ttyACM0", "--usb-port", "--erase", "--write", "--verify", "--reset",
        "--offset=0x2000", "firmware.bin",
    ]  # fmt: skip


# --- with a loader -------------------------------------------------------------------------------


class Ports:
    """What is on USB: (device, (vid, pid))."""

    def __init__(self, *present: tuple[str, tuple[int, int]]) -> None:
        self.present = list(present)

    def comports(self) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(device=device, vid=vid, pid=pid, product="", serial_number=device)
            for device, (vid, pid) in self.present
        ]


@pytest.fixture
def usb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ports:
    """Nothing is connected; bossac is the stand-in."""
    script = tmp_path / "bossac"
    stand_in = Path(__file__).with_name("bossac_stand_in.py")
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{stand_in}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    ports = Ports()
    monkeypatch.setattr(bossa, "list_ports", ports)
    return ports


def require_written(loader: SambaLoader, image: Image = IMAGE) -> None:
    size = len(image.filled())
    end = -(-size // 4096) * 4096
    assert loader.flash[:size] == image.filled()
    assert loader.flash[size:end] == b"\xff" * (end - size)
    assert loader.flash[end:] == b"\xa5" * (BYTES - end) and loader.reset


def test_only_the_image_s_pages_change(usb: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    spawn = process.spawn

    def recorded(argv: Sequence[str], **options: Any) -> process.Child:
        ran.append([*argv])
        return spawn(argv, **options)

    monkeypatch.setattr(process, "spawn", recorded)
    seen: list[tuple[str, int, int]] = []
    with SambaLoader(BYTES) as loader:
        usb.present.append((loader.path, LOADER))
        BossaFlasher().write(board(), IMAGE, FlashOptions(progress=lambda *step: seen.append(step)))
    require_written(loader)
    assert [argv[3:] for argv in ran] == [
        ["--info"],
        ["--erase", "--write", "--verify", "--reset", "--offset=0x0", ran[1][-1]],
    ]
    written = [command for command in loader.commands if command[0] == "Y" and command[-2:] != ",0"]
    assert written == [f"Y{page:08X},00001000" for page in (0, 0x1000, 0x2000)]
    assert seen[-1] == ("write", 0x3000, 0x3000)


def test_an_image_that_fills_the_flash(usb: Ports) -> None:
    whole = random_image(ORIGIN, BYTES)
    with SambaLoader(BYTES) as loader:
        usb.present.append((loader.path, LOADER))
        BossaFlasher().write(board(), whole, FlashOptions())
    require_written(loader, whole)


def test_flash_that_does_not_hold_it_is_noticed(usb: Ports) -> None:
    with SambaLoader(BYTES) as loader:
        usb.present.append((loader.path, LOADER))
        loader.spoilt = 0x1234
        with pytest.raises(LinkFailed, match="exit code 1") as caught:
            BossaFlasher().write(board(), IMAGE, FlashOptions())
    assert "SAM-BA operation failed" in str(caught.value.value) and not loader.reset


def test_a_bossac_that_does_not_know_the_chip(usb: Ports) -> None:
    with SambaLoader(BYTES, version="Arduino Bootloader 2.0 [Arduino:XY]") as loader:
        usb.present.append((loader.path, LOADER))
        with pytest.raises(BadInput, match="nothing was written") as caught:
            BossaFlasher().write(board(), IMAGE, FlashOptions())
    assert "Arduino's bossac" in str(caught.value.next_step)
    assert loader.flash == b"\xa5" * BYTES


def test_a_loader_that_may_erase_more(usb: Ports) -> None:
    """Those of other chips obey X, which --erase sends: everything behind an address."""
    with SambaLoader(BYTES, version="Arduino Bootloader 3.0 [Arduino:IKXYZ]") as loader:
        usb.present.append((loader.path, LOADER))
        with pytest.raises(BadInput, match="nothing was written") as caught:
            BossaFlasher().write(board(), IMAGE, FlashOptions())
    assert "Arduino Bootloader 3.0" in str(caught.value.value)
    assert loader.flash == b"\xa5" * BYTES and {text[0] for text in loader.commands} == set("NVI")


def test_without_bossac(usb: Ports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bossac").unlink()
    usb_path = tmp_path / "empty"
    usb_path.mkdir()
    monkeypatch.setenv("PATH", str(usb_path))
    with pytest.raises(MissingTool) as caught:
        BossaFlasher().write(board(), IMAGE, FlashOptions())
    assert "Arduino's bossac" in str(caught.value.next_step)


# --- into the loader -----------------------------------------------------------------------------


def test_the_firmware_or_a_person_starts_the_loader(usb: Ports) -> None:
    for asked in (True, False):
        said: list[str] = []
        with SambaLoader(BYTES) as loader:

            def appear(found: SambaLoader = loader) -> None:
                usb.present[:] = [(found.path, LOADER)]

            def to_loader(answer: bool = asked, show: Any = appear) -> bool:
                if answer:
                    show()
                return answer

            def press(text: str, show: Any = appear, heard: list[str] = said) -> None:
                heard.append(text)
                show()

            usb.present[:] = [("/dev/ttyUSB0", ADAPTER)]
            options = FlashOptions(port="/dev/ttyUSB0", to_loader=to_loader, say=press)
            BossaFlasher().write(board(), IMAGE, options)
        require_written(loader)
        assert said == (
            [] if asked else [f"waiting for the boot loader of bench: {SETTINGS['entry']}"]
        )


def test_a_sketch_is_touched_at_1200_baud(usb: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    with SambaLoader(BYTES) as loader, SambaLoader(BYTES) as sketch:
        usb.present.append((sketch.path, SKETCH))
        touched: list[tuple[int, bool]] = []

        class Port(SimpleNamespace):
            def open(self) -> None:
                touched.append((self.baudrate, self.dtr))

            def close(self) -> None:
                usb.present[:] = [(loader.path, LOADER)]

        monkeypatch.setattr(serial, "Serial", Port)
        BossaFlasher().write(board(), IMAGE, FlashOptions(port=sketch.path))
        assert sketch.received == b""
    assert touched == [(1200, False)]
    require_written(loader)


def test_nobody_comes(usb: Ports) -> None:
    with pytest.raises(MissingTool, match="no boot loader of bench") as caught:
        BossaFlasher().write(board(), IMAGE, FlashOptions(wait_seconds=0.2))
    assert (caught.value.allowed, caught.value.next_step) == ("2341:005a", SETTINGS["entry"])


def test_several_loaders_need_a_name(usb: Ports) -> None:
    with SambaLoader(BYTES) as one, SambaLoader(BYTES) as other:
        usb.present += [(one.path, LOADER), (other.path, LOADER)]
        with pytest.raises(BadInput, match="several boards"):
            BossaFlasher().write(board(), IMAGE, FlashOptions())
        BossaFlasher().write(board(), IMAGE, FlashOptions(port=other.path))
    require_written(other)
    assert one.commands == []


@pytest.mark.parametrize(
    ("image", "what"),
    [
        (random_image(ORIGIN + 4096, 10), "starts what is at 0x00010000"),
        (random_image(ORIGIN - 1, 10), "1 bytes outside"),
        (Image.of([Segment(ORIGIN, bytes(BYTES + 1))]), "1 bytes behind the end"),
    ],
)
def test_an_image_for_elsewhere_is_refused(usb: Ports, image: Image, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        BossaFlasher().write(board(), image, FlashOptions())
