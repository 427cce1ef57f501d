"""DAPLink's drive: a folder that acts as one, and the byte that has pages erased only."""

from __future__ import annotations

import contextlib
import os
import pty
import threading
import tty
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.board import Board
from exporter.build.image import Image, Segment
from exporter.build.image_files import image_of_hex
from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.flash import FlashOptions, daplink, drives, hid_probe
from exporter.flash.daplink import DaplinkFlasher
from tests.flash.images import flash_board, random_image

UNIQUE_ID = "9904360258824e45003800150000004b000000009796990b"
FLASH = {"origin": 0, "bytes": 0x10000, "pages": [{"count": 16, "bytes": 0x1000}]}
IMAGE = random_image(0, 30000)
DETAILS = """# DAPLink Firmware - see https://daplink.io
Unique ID: {unique_id}
Daplink Mode: {mode}
Interface Version: 0257
Remount count: {remounts}
"""


def board() -> Board:
    prefixes = ("9903", "9904")
    return flash_board(
        {"name": "daplink", "volume": "MICROBIT", "unique_id_prefixes": prefixes}, FLASH
    )


class Volume:
    """A folder as a drive of DAPLink. `takes`: what it does with a file, once it is complete."""

    def __init__(self, root: Path, takes: Callable[[Volume], None]) -> None:
        self.root = root
        self.takes = takes
        self.copied: list[bytes] = []
        root.mkdir()
        self.details()

    def details(
        self, remounts: int = 0, unique_id: str = UNIQUE_ID, mode: str = "Interface"
    ) -> None:
        text = DETAILS.format(unique_id=unique_id, mode=mode, remounts=remounts)
        (self.root / "DETAILS.TXT").write_text(text)

    def looked_at(self, stage: str, done: int, total: int) -> None:
        """Called with the progress of the copy."""
        if done == total:
            self.copied.append((self.root / "FIRMWARE.HEX").read_bytes())
            (self.root / "FIRMWARE.HEX").unlink()
            self.takes(self)


class Probe:
    """The HID side of the probe: a terminal in place of its hidraw device."""

    def __init__(self, folder: Path, answer: bytes) -> None:
        self.answer = answer
        self.received = b""
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        system, devices = folder / "sys", folder / "dev"
        (system / "hidraw7" / "device").mkdir(parents=True)
        (system / "hidraw7" / "device" / "uevent").write_text(
            f"DRIVER=hid-generic\nHID_ID=0003:00000D28:00000204\nHID_UNIQ={UNIQUE_ID}\n"
        )
        devices.mkdir()
        (devices / "hidraw7").symlink_to(os.ttyname(self.slave))
        self.system, self.devices = system, devices
        self.serve_again()

    def serve_again(self) -> None:
        """Answer one command more."""
        self.received = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # nobody asks in this test
            while len(self.received) < 65:
                self.received += os.read(self.master, 65 - len(self.received))
            os.write(self.master, self.answer.ljust(64, b"\0"))


@pytest.fixture(name="probe")
def fixture_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Probe]:
    probe = Probe(tmp_path, bytes([0x8D, 0]))
    monkeypatch.setattr(hid_probe, "SYSTEM", probe.system)
    monkeypatch.setattr(hid_probe, "DEVICES", probe.devices)
    yield probe
    os.close(probe.master)
    os.close(probe.slave)


def taken(volume: Volume) -> None:
    volume.details(remounts=1)


def refused(volume: Volume) -> None:
    (volume.root / "FAIL.TXT").write_text("error: The hex file cannot be decoded.\ntype: user\n")
    volume.details(remounts=1)


def taken_this_time(volume: Volume) -> None:
    (volume.root / "FAIL.TXT").unlink()
    volume.details(remounts=2)


def gone(volume: Volume) -> None:
    (volume.root / "DETAILS.TXT").unlink()


def ignored(volume: Volume) -> None:
    """Nothing happens."""


def flash(volume: Volume, options: FlashOptions | None = None) -> None:
    """Flash, by default to the folder of the volume."""
    chosen = options or FlashOptions(volume=volume.root, wait_seconds=0.0)
    DaplinkFlasher().write(board(), IMAGE, replace(chosen, progress=volume.looked_at))


def test_the_image_is_copied_after_pages_are_chosen(probe: Probe, tmp_path: Path) -> None:
    volume = Volume(tmp_path / "MICROBIT", taken)
    flash(volume)
    assert probe.received == b"\x00\x8d\x01" + bytes(62)
    assert [image_of_hex(data).segments for data in volume.copied] == [IMAGE.segments]


@pytest.mark.parametrize("answer", [b"\x8d\xff", b"\xff\xff"])
def test_a_probe_that_would_erase_the_chip(probe: Probe, answer: bytes, tmp_path: Path) -> None:
    probe.answer = answer
    volume = Volume(tmp_path / "MICROBIT", taken)
    with pytest.raises(LinkFailed, match="would erase the whole chip"):
        flash(volume)
    assert not volume.copied


def test_a_probe_that_cannot_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hid_probe, "SYSTEM", tmp_path / "nothing")
    volume = Volume(tmp_path / "MICROBIT", taken)
    with pytest.raises(MissingTool, match="would erase the whole chip"):
        flash(volume)
    assert not volume.copied


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ({"unique_id": "9900" + UNIQUE_ID[4:]}, "not the drive of a bench"),
        ({"mode": "Bootloader"}, "a firmware of its own"),
    ],
)
def test_another_drive(details: dict[str, Any], told: str, probe: Probe, tmp_path: Path) -> None:
    volume = Volume(tmp_path / "MICROBIT", taken)
    volume.details(**details)
    with pytest.raises(BadInput, match=told):
        flash(volume)
    assert not volume.copied and not probe.received


def test_what_fail_txt_says_is_told_and_the_retry_works(probe: Probe, tmp_path: Path) -> None:
    volume = Volume(tmp_path / "MICROBIT", refused)
    with pytest.raises(LinkFailed, match="did not write") as failure:
        flash(volume)
    assert "The hex file cannot be decoded. type: user" in str(failure.value.value)
    probe.serve_again()
    volume.takes = taken_this_time
    flash(volume)
    assert len(volume.copied) == 2


def test_an_image_beside_the_flash_is_refused_before_the_probe_is_told(
    probe: Probe, tmp_path: Path
) -> None:
    """As a HEX file with words for UICR, which DAPLink would write."""
    volume = Volume(tmp_path / "MICROBIT", taken)
    options = FlashOptions(volume=volume.root, progress=volume.looked_at)
    image = Image.of([*IMAGE.segments, Segment(0x10001000, b"UICR")])
    with pytest.raises(BadInput, match="outside"):
        DaplinkFlasher().write(board(), image, options)
    assert not volume.copied and not probe.received


def test_a_drive_that_nobody_mounts_again(
    probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daplink, "BACK_SECONDS", 0.2)
    volume, said = Volume(tmp_path / "MICROBIT", gone), list[str]()
    flash(volume, FlashOptions(volume=volume.root, say=said.append))
    assert "asked of the board" in said[-1]


def test_a_drive_that_takes_nothing(
    probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daplink, "TAKE_SECONDS", 0.3)
    with pytest.raises(LinkFailed, match="did not take"):
        flash(Volume(tmp_path / "MICROBIT", ignored))


def test_an_unplugged_drive(probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In mid-copy; the state is told, and what to do."""
    volume = Volume(tmp_path / "MICROBIT", taken)
    calls: list[int] = []

    def unplugged(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", unplugged)
    with pytest.raises(LinkFailed, match="broke off") as failure:
        flash(volume)
    assert "32,768 of" in str(failure.value.value)
    assert "run the same command again" in str(failure.value.next_step)


def test_a_drive_that_goes_with_the_last_block(
    probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody confirms it; what comes back counts."""
    volume = Volume(tmp_path / "MICROBIT", taken)
    blocks: list[int] = []

    def gone_at_last(handle: int) -> None:
        blocks.append(handle)
        if os.fstat(handle).st_size > 5 * 16384:
            volume.looked_at("write", 1, 1)
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", gone_at_last)
    flash(volume)
    assert len(blocks) == 6
    assert [image_of_hex(data).segments for data in volume.copied] == [IMAGE.segments]


def test_drives_are_found_by_their_number(
    probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by their label; and where two boards are there, neither is taken."""
    right, other = Volume(tmp_path / "DAPLINK", taken), Volume(tmp_path / "MICROBIT", taken)
    other.details(unique_id="1101" + UNIQUE_ID[4:])
    monkeypatch.setattr(drives, "mounted", lambda: [tmp_path, other.root, right.root])
    flash(right, FlashOptions(wait_seconds=0.0))
    assert right.copied and not other.copied
    other.details(unique_id="9904" + "0" * 44)
    with pytest.raises(BadInput, match="several boards"):
        flash(right, FlashOptions(wait_seconds=0.0))


def test_no_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drives, "mounted", list)
    monkeypatch.setattr(drives, "unmounted", lambda label: [drives.Unmounted("/dev/sdz", label)])
    volume, said = Volume(tmp_path / "MICROBIT", taken), list[str]()
    with pytest.raises(MissingTool, match="no drive of bench"):
        flash(volume, FlashOptions(wait_seconds=0.2, say=said.append))
    assert any("udisksctl mount -b /dev/sdz" in line for line in said)
