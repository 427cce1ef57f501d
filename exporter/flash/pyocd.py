"""pyOCD (extra `pyocd`): the chip is read first, then written, compared and reset, a run for each.

By itself pyOCD erases a locked chip to unlock it: the option `auto_unlock`, off in every run. No
run reads a configuration or a script of the user's, which could set it again: `--no-config`, and
its project is the folder with the image alone, whatever PYOCD_PROJECT_DIR says.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from exporter import process
from exporter.board import Board, ChipId
from exporter.board.flashers import PyocdSettings
from exporter.build.image import Image, flash_regions
from exporter.build.image_files import hex_of_image
from exporter.errors import LinkFailed
from exporter.flash.base import (
    FlashOptions,
    Writer,
    probe_argument,
    require_chip,
    required_chip_id,
)

IMAGE = "image.hex"
SAFE = ("--no-config", "--no-wait", "-O", "auto_unlock=false")
PROJECT_VARIABLE = "PYOCD_PROJECT_DIR"
"""pyOCD goes to this folder, rather than stay where it is started, and runs its pyocd_user.py."""

CONNECT_SECONDS = 60.0
BYTES_PER_SECOND = 1000.0
_WORD = re.compile(r"^([0-9a-f]{8}):  ([0-9a-f]{8})\b", re.MULTILINE)
_EQUAL = re.compile(r"^All (\d+) bytes match\.$", re.MULTILINE)


@dataclass(frozen=True)
class Commands:
    """The commands for one target and probe."""

    target: str
    probe: str | None

    def identify(self, chip_id: ChipId) -> list[str]:
        """Reads the chip's register without halting what runs."""
        return self._argv("cmd", "-M", "attach", "-c", f"read32 0x{chip_id.address:08x}")

    def load(self) -> list[str]:
        """Erases the sectors of `IMAGE` and writes it; sectors that hold it already are left."""
        return self._argv(
            *("load", "--erase", "sector", "-O", "smart_flash=true", "--no-reset", IMAGE)
        )

    def compare(self, image: Image) -> list[str]:
        """Reads everything back; `segment_name` says what it is compared with."""
        steps = (
            ("-c", f"compare 0x{segment.address:08x} {segment_name(number)}")
            for number, segment in enumerate(image.segments)
        )
        return self._argv("cmd", *(word for step in steps for word in step))

    def reset(self) -> list[str]:
        """Starts the image."""
        return self._argv("reset")

    def _argv(self, command: str, *arguments: str) -> list[str]:
        chosen = ("--uid", self.probe) if self.probe else ()
        return ["pyocd", command, *SAFE, "--target", self.target, *chosen, *arguments]


def segment_name(number: int) -> str:
    """The file with the bytes of a segment."""
    return f"segment-{number}.bin"


class PyocdFlasher(Writer):
    """Write and compare by pyOCD."""

    name = "pyocd"

    def write(self, board: Board, image: Image, options: FlashOptions) -> None:
        """See Writer. Raises MissingTool without pyOCD."""
        settings = next(s for s in board.flashers if isinstance(s, PyocdSettings))
        chip_id = required_chip_id(board, self.name, settings.chip_id)
        flash_regions(image, board)
        # J-Link's serial port pads the probe's number with zeros; pyOCD looks for a part of it.
        probe = (probe_argument(options) or "").lstrip("0") or None
        commands = Commands(settings.target, probe)
        with tempfile.TemporaryDirectory(prefix="nanoexport-pyocd-") as name:
            folder = Path(name)
            _write_files(image, folder)
            found = _register(_run(commands.identify(chip_id), folder), chip_id)
            require_chip(board, chip_id, found)
            options.progress("pyOCD writes", 0, 0)
            _run(commands.load(), folder, image.size)
            options.progress("pyOCD compares", 0, 0)
            _require_equal(_run(commands.compare(image), folder, image.size), image)
            _run(commands.reset(), folder)
        options.progress("pyOCD wrote", image.size, image.size)


def _write_files(image: Image, folder: Path) -> None:
    (folder / IMAGE).write_text(hex_of_image(image), encoding="ascii")
    for number, segment in enumerate(image.segments):
        (folder / segment_name(number)).write_bytes(segment.data)


def _run(argv: list[str], folder: Path, size: int = 0) -> str:
    """What it printed. Raises LinkFailed where it fails, as without a probe."""
    return process.run(
        argv,
        timeout_seconds=CONNECT_SECONDS + size / BYTES_PER_SECOND,
        cwd=folder,
        environment={PROJECT_VARIABLE: str(folder)},
        error=LinkFailed,
    ).stdout


def _register(output: str, chip_id: ChipId) -> int:
    for address, value in _WORD.findall(output):
        if int(address, 16) == chip_id.address:
            return int(value, 16)
    raise LinkFailed(
        "pyOCD does not give access to the chip",
        value=process.tail(output) or None,
        next_step="check the cable. A locked chip stays as it is: to unlock would erase all of it",
    )


def _require_equal(output: str, image: Image) -> None:
    found = [int(count) for count in _EQUAL.findall(output)]
    if found != [len(segment.data) for segment in image.segments]:
        raise LinkFailed(
            "the flash does not hold the image that was written",
            value=process.tail(output) or None,
            allowed=f"{image.size} equal bytes",
            next_step="run the same command again; nothing but the image's pages was erased",
        )
