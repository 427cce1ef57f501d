"""The flasher uf2 against a folder that behaves as the drive of a boot loader does."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter import process
from exporter.board import Board, Link, UsbId, load_board
from exporter.build.image import Image, Segment
from exporter.build.uf2 import read_uf2, uf2_of_image
from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.flash import FlashOptions, drives, uf2
from tests.flash.images import random_image

FAMILY = 0xE48BFF56
FLASH = 0x10000000
DEADLINE_SECONDS = 20.0
INFO = "UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: {}\r\n"


@pytest.fixture
def board() -> Board:
    """The Pico, whose ROM shows the drive RPI-RP2."""
    return load_board("raspberry-pi-pico")


@pytest.fixture
def image() -> Image:
    """Three chunks of a copy, and a half."""
    return random_image(FLASH, 28_000)


@pytest.fixture(autouse=True)
def drives_of_the_test(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is mounted; nothing of this computer's."""
    found: list[Path] = []
    monkeypatch.setattr(drives, "mounted", lambda: [path for path in found if path.exists()])
    monkeypatch.setattr(drives, "unmounted", lambda label: [])
    return found


class Loader:
    """A boot loader: takes all blocks of the file on its drive, then the drive is gone."""

    def __init__(self, drive: Path, board_id: str = "RPI-RP2") -> None:
        self.drive = drive
        self.taken: bytes | None = None
        drive.mkdir()
        (drive / uf2.INFO_FILE).write_text(INFO.format(board_id))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline and self.drive.exists():
            try:
                data = (self.drive / uf2.COPIED_FILE).read_bytes()
                if len(data) // 512 == read_uf2(data).blocks:
                    self.taken = data
                    (self.drive / uf2.INFO_FILE).unlink()
                    return
            except (OSError, BadInput):
                time.sleep(0.002)

    def wait(self) -> bytes:
        """What it has taken."""
        self._thread.join(DEADLINE_SECONDS)
        assert self.taken is not None
        return self.taken


def options_with(wait_seconds: float, port: str | None = None) -> tuple[FlashOptions, list[str]]:
    """Options, and what is said to the person."""
    said: list[str] = []
    return FlashOptions(say=said.append, wait_seconds=wait_seconds, port=port), said


def test_the_file_is_copied_and_taken(
    board: Board, image: Image, tmp_path: Path, drives_of_the_test: list[Path]
) -> None:
    loader = Loader(tmp_path / "RPI-RP2")
    drives_of_the_test.append(loader.drive)
    steps: list[tuple[str, int, int]] = []
    options = FlashOptions(progress=lambda *step: steps.append(step))
    uf2.Uf2Flasher().write(board, image, options)
    data = uf2_of_image(image, board, FAMILY)
    assert loader.wait() == data
    assert steps[-1] == ("write", len(data), len(data))
    assert [done for _, done, _ in steps] == sorted({done for _, done, _ in steps})
    assert len(steps) == 4


def test_a_person_is_asked_for_the_button_and_waited_for(
    board: Board, image: Image, tmp_path: Path, drives_of_the_test: list[Path]
) -> None:
    loaders: list[Loader] = []

    def press(text: str) -> None:
        assert text.endswith("hold BOOTSEL while you plug the board in")
        loaders.append(Loader(tmp_path / "RPI-RP2"))
        drives_of_the_test.append(tmp_path / "RPI-RP2")

    uf2.Uf2Flasher().write(board, image, FlashOptions(say=press))
    assert loaders[0].wait() == uf2_of_image(image, board, FAMILY)


def test_the_wait_has_an_end_and_names_the_mount_command(
    board: Board, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    unmounted = drives.Unmounted("/dev/sdz1", "RPI-RP2")
    monkeypatch.setattr(drives, "unmounted", lambda label: [unmounted])
    options, said = options_with(wait_seconds=0.3)
    with pytest.raises(MissingTool, match=r"no drive of raspberry-pi-pico.* within 0.3 s"):
        uf2.Uf2Flasher().write(board, image, options)
    assert [text for text in said if "udisksctl mount -b /dev/sdz1" in text] == said[1:]
    assert len(said) == 2


def test_the_drive_of_another_board_is_left_alone(
    board: Board, image: Image, tmp_path: Path, drives_of_the_test: list[Path]
) -> None:
    other = tmp_path / "RP2350"
    other.mkdir()
    (other / uf2.INFO_FILE).write_text(INFO.format("RP2350"))
    with pytest.raises(BadInput, match="that of another board") as refused:
        uf2.Uf2Flasher().write(board, image, FlashOptions(volume=other))
    assert "Board-ID RP2350" in str(refused.value)
    drives_of_the_test.append(other)
    with pytest.raises(MissingTool):
        uf2.Uf2Flasher().write(board, image, FlashOptions(wait_seconds=0.05))
    assert [path.name for path in other.iterdir()] == [uf2.INFO_FILE]


def test_of_several_boards_the_user_names_one(
    board: Board, image: Image, tmp_path: Path, drives_of_the_test: list[Path]
) -> None:
    loaders = [Loader(tmp_path / name) for name in ("one", "two")]
    drives_of_the_test.extend(loader.drive for loader in loaders)
    with pytest.raises(BadInput, match="several boards wait"):
        uf2.Uf2Flasher().write(board, image, FlashOptions())
    uf2.Uf2Flasher().write(board, image, FlashOptions(volume=loaders[1].drive))
    loaders[1].wait()
    assert not (loaders[0].drive / uf2.COPIED_FILE).exists()


def test_an_image_beside_the_flash_is_refused_before_a_drive_is_looked_for(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drives, "mounted", lambda: pytest.fail("it looks for drives"))
    for address in (0x00000000, 0x0FFFFFF0, FLASH + board.flash_bytes - 16, 0x20000000):
        with pytest.raises(BadInput, match="the image has"):
            uf2.Uf2Flasher().write(board, random_image(address, 64), FlashOptions())


def _fails_at(monkeypatch: pytest.MonkeyPatch, call: int, then: Callable[[], None]) -> None:
    """The call of that number to fsync finds the drive gone."""
    calls: Iterator[int] = iter(range(1, 1000))
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if next(calls) == call:
            then()
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)


def test_unplugged_in_mid_copy_says_so_and_the_retry_works(
    board: Board,
    image: Image,
    tmp_path: Path,
    drives_of_the_test: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drive = tmp_path / "RPI-RP2"
    drive.mkdir()
    info = drive / uf2.INFO_FILE
    info.write_text(INFO.format("RPI-RP2"))
    drives_of_the_test.append(drive)
    with monkeypatch.context() as patch:
        _fails_at(patch, 2, info.unlink)
        with pytest.raises(LinkFailed, match="broke off") as failure:
            uf2.Uf2Flasher().write(board, image, FlashOptions())
    assert "16,384 of 57,344 bytes are written" in str(failure.value)
    assert "boot loader is intact" in str(failure.value)
    drives_of_the_test[:] = [tmp_path / "again"]
    loader = Loader(tmp_path / "again")
    uf2.Uf2Flasher().write(board, image, FlashOptions())
    assert loader.wait() == uf2_of_image(image, board, FAMILY)


def test_a_drive_that_ends_with_the_last_block_has_taken_all(
    board: Board,
    image: Image,
    tmp_path: Path,
    drives_of_the_test: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loader restarts the board before it confirms the last write."""
    drive = tmp_path / "RPI-RP2"
    drive.mkdir()
    info = drive / uf2.INFO_FILE
    info.write_text(INFO.format("RPI-RP2"))
    drives_of_the_test.append(drive)
    _fails_at(monkeypatch, 4, info.unlink)
    uf2.Uf2Flasher().write(board, image, FlashOptions())


def test_a_full_drive_is_an_error(
    board: Board,
    image: Image,
    tmp_path: Path,
    drives_of_the_test: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the last block, too: the drive is still there."""
    drive = tmp_path / "RPI-RP2"
    drive.mkdir()
    (drive / uf2.INFO_FILE).write_text(INFO.format("RPI-RP2"))
    drives_of_the_test.append(drive)
    _fails_at(monkeypatch, 4, lambda: None)
    with pytest.raises(LinkFailed, match="broke off"):
        uf2.Uf2Flasher().write(board, image, FlashOptions())


@pytest.mark.parametrize("holds_image", [True, False])
def test_a_loader_that_stays_shows_what_it_has(
    board: Board,
    image: Image,
    tmp_path: Path,
    drives_of_the_test: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    holds_image: bool,
) -> None:
    """CURRENT.UF2 has the whole flash, of which the image is a part."""
    monkeypatch.setattr(uf2, "_TAKE_SECONDS", 0.3)
    drive = tmp_path / "RPI-RP2"
    drive.mkdir()
    (drive / uf2.INFO_FILE).write_text(INFO.format("RPI-RP2"))
    drives_of_the_test.append(drive)
    behind = Segment(image.end + 8192, b"other bytes")
    shown = Image.of([*(image.segments if holds_image else ()), behind])
    (drive / uf2.CURRENT_FILE).write_bytes(uf2_of_image(shown, board, FAMILY))
    if holds_image:
        uf2.Uf2Flasher().write(board, image, FlashOptions())
    else:
        with pytest.raises(LinkFailed, match="did not take the image"):
            uf2.Uf2Flasher().write(board, image, FlashOptions())


class Line:
    """A serial port that remembers how it was opened."""

    opened: tuple[str, int, bool] | None = None

    def __init__(self) -> None:
        self.port, self.baudrate, self.dtr = "", 0, True

    def open(self) -> None:
        """The touch."""
        Line.opened = (self.port, self.baudrate, self.dtr)

    def close(self) -> None:
        """Its end."""


def test_firmware_on_usb_is_asked_by_1200_baud(
    board: Board, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serial.Serial", Line)
    linked = Link(kind="usb_cdc", usb=(UsbId(vid=0x2E8A, pid=0x000A),))
    on_usb = board.model_copy(update={"link": linked})
    options, _ = options_with(wait_seconds=0.05, port="/dev/ttyACM7")
    with pytest.raises(MissingTool):
        uf2.Uf2Flasher().write(board, image, options)
    assert Line.opened is None  # the link is on pins: another machine's port
    with pytest.raises(MissingTool):
        uf2.Uf2Flasher().write(on_usb, image, options)
    assert Line.opened == ("/dev/ttyACM7", 1200, False)


# --- drives ---------------------------------------------------------------------------------------

MOUNTS = r"""sysfs /sys sysfs rw 0 0
/dev/sda2 / ext4 rw 0 0
/dev/sdb1 /media/anna/RPI-RP2 vfat rw,nosuid 0 0
/dev/sdc1 /run/media/anna/My\040Drive vfat rw 0 0
"""

LSBLK = """{"blockdevices": [
  {"name": "/dev/sda", "label": null, "mountpoint": null, "children": [
     {"name": "/dev/sda1", "label": "RPI-RP2", "mountpoint": "/media/anna/RPI-RP2"}]},
  {"name": "/dev/sdb", "label": null, "mountpoint": null, "children": [
     {"name": "/dev/sdb1", "label": "RPI-RP2", "mountpoint": null}]}]}"""


def test_fat_drives_are_found_in_the_mounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    monkeypatch.setattr(drives, "_MOUNTS", mounts)
    assert drives.mounted() == [
        Path("/media/anna/RPI-RP2"),
        Path("/run/media/anna/My Drive"),
    ]


def test_drives_that_nobody_mounted_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    asked: list[list[str]] = []

    def run(argv: list[str], *, timeout_seconds: float) -> process.Completed:
        asked.append(argv)
        return process.Completed(tuple(argv), 0, LSBLK, "")

    monkeypatch.setattr(process, "run", run)
    assert drives.unmounted("RPI-RP2") == [drives.Unmounted("/dev/sdb1", "RPI-RP2")]
    assert asked == [["lsblk", "--json", "--paths", "--output", "NAME,LABEL,MOUNTPOINT"]]
