"""DAPLink's drive, which takes HEX files: micro:bit and its kin.

DETAILS.TXT says which board it is (the unique id begins with the board's number) and counts the
remounts of the drive; one follows when a file is taken, and FAIL.TXT is there when it was not.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from exporter.board import Board
from exporter.board.flashers import DaplinkSettings
from exporter.build.image import Image, flash_regions
from exporter.build.image_files import hex_of_image
from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.flash import drives
from exporter.flash.base import FlashOptions, Writer
from exporter.flash.hid_probe import erase_pages_only

DETAILS_FILE = "DETAILS.TXT"
FAIL_FILE = "FAIL.TXT"
COPIED_FILE = "FIRMWARE.HEX"
TAKE_SECONDS = 30.0
BACK_SECONDS = 5.0
_POLL_SECONDS = 0.1
_CHUNK_BYTES = 16384


@dataclass(frozen=True)
class Drive:
    """A drive of DAPLink, as its DETAILS.TXT describes it."""

    root: Path
    unique_id: str
    mode: str
    remounts: str

    @classmethod
    def at(cls, root: Path) -> Drive | None:
        """None where the drive is none of DAPLink."""
        try:
            text = (root / DETAILS_FILE).read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        pairs = (line.partition(":") for line in text.splitlines())
        found = {key.strip(): value.strip() for key, _, value in pairs}
        if "Unique ID" not in found:
            return None
        mode, remounts = found.get("Daplink Mode", "Interface"), found.get("Remount count", "")
        return cls(root, found["Unique ID"], mode, remounts)

    def is_of(self, settings: DaplinkSettings) -> bool:
        """Whether it is such a board's."""
        return self.unique_id.startswith(settings.unique_id_prefixes)


class DaplinkFlasher(Writer):
    """Copies a HEX file to the drive of the board's probe."""

    name = "daplink"

    def write(self, board: Board, image: Image, options: FlashOptions) -> None:
        """See Writer. The probe compares what it writes; the board is asked over its link."""
        settings = next(s for s in board.flashers if isinstance(s, DaplinkSettings))
        flash_regions(image, board)
        drive = _find(board, settings, options)
        _require_board(drive, board, settings)
        erase_pages_only(drive.unique_id)
        _copy(hex_of_image(image).encode("ascii"), drive.root, options)
        _require_taken(drive, options)


# --- the drive ------------------------------------------------------------------------------------


def _find(board: Board, settings: DaplinkSettings, options: FlashOptions) -> Drive:
    deadline, told = time.monotonic() + options.wait_seconds, False
    while True:
        drive = _the_drive(board, settings, options)
        if drive is not None:
            return drive
        if time.monotonic() >= deadline:
            raise MissingTool(
                f"no drive of {board.name} is there",
                value=str(options.volume or f"no drive {settings.volume} with {DETAILS_FILE}"),
                allowed=f"a unique ID that begins with {' or '.join(settings.unique_id_prefixes)}",
                next_step="connect the board and mount its drive, or name the drive with --volume",
            )
        if not told:
            told = True
            options.say(f"waiting for the drive {settings.volume} of {board.name}: connect it")
            for unmounted in drives.unmounted(settings.volume):
                options.say(f"it is there but not mounted: {unmounted.mount_command}")
        time.sleep(_POLL_SECONDS)


def _the_drive(board: Board, settings: DaplinkSettings, options: FlashOptions) -> Drive | None:
    """Raises BadInput where there are several."""
    if options.volume is not None:
        return Drive.at(options.volume)
    known = (Drive.at(root) for root in drives.mounted())
    found = [
        drive
        for drive in known
        if drive is not None and drive.is_of(settings) and options.probe in (None, drive.unique_id)
    ]
    if len(found) > 1:
        raise BadInput(
            f"several boards may be the {board.name} that is meant",
            value="; ".join(f"{drive.root} (serial number {drive.unique_id})" for drive in found),
            allowed="one",
            next_step="name the right one with --probe, --port or --volume",
        )
    return found[0] if found else None


def _require_board(drive: Drive, board: Board, settings: DaplinkSettings) -> None:
    if not drive.is_of(settings):
        raise BadInput(
            f"this is not the drive of a {board.name}: nothing was written",
            value=f"{drive.root}: unique ID {drive.unique_id}",
            allowed=f"one that begins with {' or '.join(settings.unique_id_prefixes)}",
            next_step="name the right board with --board, or its drive with --volume",
        )
    if drive.mode != "Interface":
        raise BadInput(
            "the probe waits for a firmware of its own, which the image is not",
            value=f"Daplink Mode: {drive.mode}",
            allowed="Daplink Mode: Interface",
            next_step="unplug the board and plug it in without its reset button held",
        )


# --- the copy -------------------------------------------------------------------------------------


def _copy(data: bytes, root: Path, options: FlashOptions) -> None:
    """All of the file, to the medium. The drive may go as soon as it has the last block."""
    written = 0
    try:
        with (root / COPIED_FILE).open("wb", buffering=0) as target:
            for start in range(0, len(data), _CHUNK_BYTES):
                written += target.write(data[start : start + _CHUNK_BYTES])
                os.fsync(target.fileno())
                options.progress("write", written, len(data))
    except OSError as error:
        if written == len(data):
            return
        reason = _failure(root) or error.strerror
        raise LinkFailed(
            "the copy to the board's drive broke off",
            value=f"{reason}; {written:,} of {len(data):,} bytes are written",
            next_step="the board holds an incomplete image, its probe is intact: plug it in anew "
            "and run the same command again",
        ) from error


def _failure(root: Path) -> str | None:
    try:
        text = (root / FAIL_FILE).read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return " ".join(text.split()) or "FAIL.TXT, which is empty"


def _require_taken(before: Drive, options: FlashOptions) -> None:
    """The drive goes and comes back; who mounts drives by hand sees it go only."""
    gone_at: float | None = None
    deadline = time.monotonic() + TAKE_SECONDS
    while time.monotonic() < deadline:
        now = _again(before, options)
        if now is not None and now.remounts != before.remounts:
            _require_no_failure(now.root)
            return
        if now is None and gone_at is None:
            gone_at = time.monotonic()
        if gone_at is not None and now is not None:
            _require_no_failure(now.root)
            return
        if gone_at is not None and time.monotonic() - gone_at >= BACK_SECONDS:
            options.say("the drive is not mounted again; what it would say is asked of the board")
            return
        time.sleep(_POLL_SECONDS)
    _require_no_failure(before.root)
    raise LinkFailed(
        f"the probe did not take the image within {TAKE_SECONDS:g} s",
        value=f"its drive is still at {before.root}",
        allowed="a drive that goes and comes back",
        next_step="plug the board in anew and run the same command again",
    )


def _again(before: Drive, options: FlashOptions) -> Drive | None:
    """The drive of that probe now, wherever it is mounted."""
    roots = [before.root, *([] if options.volume else drives.mounted())]
    found = (Drive.at(root) for root in roots)
    return next((d for d in found if d is not None and d.unique_id == before.unique_id), None)


def _require_no_failure(root: Path) -> None:
    text = _failure(root)
    if text is not None:
        raise LinkFailed(
            "the probe did not write the image",
            value=text,
            next_step="run the same command again; if it fails each time, use another flasher "
            "with --flasher",
        )
