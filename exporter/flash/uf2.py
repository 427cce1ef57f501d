"""Drives that take UF2 files: the boot loader in ROM of RP2040 and RP2350, TinyUF2 and its kin.

The loader shows a drive whose INFO_UF2.TXT names the board. Only where that name and the file's
family id are the board's own is it copied; then the loader restarts the board, and the drive
disappears: it is taken. Such loaders cannot be read back. Where one stays and shows its flash as
CURRENT.UF2, that is compared; of all others the proof is the CRC-32 of the image that the device
itself computes and tells over the link, which `nanoexport flash` asks for afterwards.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import serial

from exporter.board import Board
from exporter.board.flashers import Uf2Settings
from exporter.build.image import Image, flash_regions
from exporter.build.uf2 import BLOCK_BYTES, read_uf2, uf2_of_image
from exporter.errors import BadInput, InternalError, LinkFailed, MissingTool
from exporter.flash import drives
from exporter.flash.base import FlashOptions, Writer

INFO_FILE = "INFO_UF2.TXT"
CURRENT_FILE = "CURRENT.UF2"
COPIED_FILE = "FIRMWARE.UF2"
TOUCH_BAUD = 1200
"""A USB port opened at this rate and closed asks many firmwares to restart in their boot loader."""

_TAKE_SECONDS = 30.0
_POLL_SECONDS = 0.1
_CHUNK_BYTES = 32 * BLOCK_BYTES


class Uf2Flasher(Writer):
    """Copies a UF2 file to the drive of the board's boot loader."""

    name = "uf2"

    def write(self, board: Board, image: Image, options: FlashOptions) -> None:
        """Write `image`. A copy that was interrupted is repaired by the next one: the loader is in
        ROM, or protects itself, and is entered by the board's button again.

        Raises BadInput for an image beside the flash and for the drive of another board,
        MissingTool where no drive appears, LinkFailed where it vanishes early or does not take it.
        """
        settings = settings_of(board)
        flash_regions(image, board)
        data = uf2_of_image(image, board, settings.family_id)
        flash_regions(read_uf2(data).require_family(settings.family_id).image, board)
        drive = _find(board, settings, options)
        _require_board(drive, settings)
        _copy(data, drive, options)
        _await_taken(data, drive)


def settings_of(board: Board) -> Uf2Settings:
    """What the board's file says of its UF2 loader."""
    for settings in board.flashers:
        if isinstance(settings, Uf2Settings):
            return settings
    raise InternalError("the board has no UF2 boot loader", value=board.name)


# --- the drive ------------------------------------------------------------------------------------


def _find(board: Board, settings: Uf2Settings, options: FlashOptions) -> Path:
    """The drive of the loader; the user is asked to enter it where there is none yet."""
    drive = _the_drive(settings, options)
    if drive is not None:
        return drive
    if board.link is not None and board.link.kind == "usb_cdc" and options.port is not None:
        touch(options.port)
    options.say(f"waiting for the drive {settings.volume} of {board.name}: {settings.entry}")
    deadline = time.monotonic() + options.wait_seconds
    told: set[str] = set()
    while time.monotonic() < deadline:
        drive = _the_drive(settings, options)
        if drive is not None:
            return drive
        _tell_unmounted(settings, options.say, told)
        time.sleep(_POLL_SECONDS)
    raise MissingTool(
        f"no drive of {board.name}'s boot loader appeared within {options.wait_seconds:g} s",
        value=str(options.volume) if options.volume else f"no drive with {INFO_FILE}",
        allowed=f"a drive {settings.volume}, Board-ID {settings.board_id}",
        next_step=f"{settings.entry}; where its drive is not found, name it with --volume",
    )


def _the_drive(settings: Uf2Settings, options: FlashOptions) -> Path | None:
    """The one drive of such a board. Raises BadInput where there are several."""
    if options.volume is not None:
        return options.volume if _board_id(options.volume) is not None else None
    found = [drive for drive in drives.mounted() if _is_of(drive, settings)]
    if len(found) > 1:
        raise BadInput(
            "several boards wait in their boot loaders",
            value=", ".join(str(drive) for drive in found),
            allowed="one",
            next_step="name the drive of the right one with --volume",
        )
    return found[0] if found else None


def _is_of(drive: Path, settings: Uf2Settings) -> bool:
    board_id = _board_id(drive)
    return board_id is not None and board_id.startswith(settings.board_id)


def _board_id(drive: Path) -> str | None:
    """What INFO_UF2.TXT says after `Board-ID:`; None where the drive is none of a UF2 loader."""
    try:
        text = (drive / INFO_FILE).read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() == "board-id":
            return value.strip()
    return ""


def _require_board(drive: Path, settings: Uf2Settings) -> None:
    if not _is_of(drive, settings):
        raise BadInput(
            "the drive is that of another board",
            value=f"{drive}: Board-ID {_board_id(drive) or 'missing'}",
            allowed=f"Board-ID {settings.board_id}",
            next_step="name the drive of the right board with --volume",
        )


def _tell_unmounted(settings: Uf2Settings, say: Callable[[str], None], told: set[str]) -> None:
    for drive in drives.unmounted(settings.volume):
        if drive.device not in told:
            told.add(drive.device)
            say(f"the drive is there but not mounted: {drive.mount_command}")


def touch(port: str) -> None:
    """Asks the firmware at a USB port of its own to restart in its boot loader.

    Raises MissingTool where the port cannot be opened.
    """
    line = serial.Serial()
    line.port, line.baudrate, line.dtr = port, TOUCH_BAUD, False
    try:
        line.open()
    except (OSError, serial.SerialException) as error:
        raise MissingTool(
            "the port of the board cannot be opened",
            value=f"{port}: {error}",
            next_step="check the cable, or enter the boot loader by the board's button",
        ) from error
    line.close()


# --- the copy -------------------------------------------------------------------------------------


def _copy(data: bytes, drive: Path, options: FlashOptions) -> None:
    """All of the file, to the medium. The last blocks may end the drive, unconfirmed."""
    written = 0
    try:
        with (drive / COPIED_FILE).open("wb", buffering=0) as target:
            for chunk in _chunks(data):
                target.write(chunk)
                os.fsync(target.fileno())
                written += len(chunk)
                options.progress("write", written, len(data))
    except OSError as error:
        if written + _CHUNK_BYTES < len(data) or _board_id(drive) is not None:
            raise _interrupted(written, len(data), str(error)) from error
        options.progress("write", len(data), len(data))


def _chunks(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), _CHUNK_BYTES):
        yield data[at : at + _CHUNK_BYTES]


def _interrupted(written: int, total: int, reason: str) -> LinkFailed:
    return LinkFailed(
        "the copy to the boot loader's drive broke off",
        value=f"{reason}; {written:,} of {total:,} bytes are written",
        next_step="the board holds an incomplete image, its boot loader is intact: enter it by the "
        "board's button and flash again",
    )


def _await_taken(data: bytes, drive: Path) -> None:
    """The drive disappears, or shows what it has taken."""
    deadline = time.monotonic() + _TAKE_SECONDS
    while time.monotonic() < deadline:
        if _board_id(drive) is None or _shows(drive, data):
            return
        time.sleep(_POLL_SECONDS)
    raise LinkFailed(
        f"the boot loader did not take the image within {_TAKE_SECONDS:g} s",
        value=f"its drive is still at {drive}",
        allowed="the drive disappears, or shows the image as CURRENT.UF2",
        next_step="eject the drive, enter the boot loader again and flash again",
    )


def _shows(drive: Path, data: bytes) -> bool:
    """Whether CURRENT.UF2, which has all of the flash, has the image."""
    try:
        current = read_uf2((drive / CURRENT_FILE).read_bytes()).image
    except (OSError, BadInput):
        return False
    return all(
        [piece.data for piece in current.within(segment.address, segment.end)] == [segment.data]
        for segment in read_uf2(data).image.segments
    )
