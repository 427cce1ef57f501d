"""The boot loader in ROM of Espressif's chips, by their own program esptool.

esptool is under the GPL, which nanoexport is not, and runs as a program. It puts the chip into its
loader by DTR and RTS. The first sector, which says that there is an image, is erased first and
written last: what an interruption leaves does not start.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporter import process
from exporter.board import Board
from exporter.board.flashers import EspRomSettings
from exporter.build import esp_image
from exporter.build.image import Image, flash_regions, pages
from exporter.errors import BadInput, LinkFailed, NanoexportError
from exporter.flash.base import FlashOptions, Writer, require_port

BAUD = 460800
"""What every USB-to-UART bridge on Espressif's own boards can do; the chip is told of it."""

SECTOR_BYTES = 4096
"""What the flash erases at once: ESP32-C3 Technical Reference Manual, SPI controller."""

CHIP_IDS = {"esp32c3": 5, "esp32s3": 9, "esp32c2": 12, "esp32c6": 13, "esp32h2": 16}
"""What the chip says to GET_SECURITY_INFO: ESP-IDF, esp_app_format.h, esp_chip_id_t.

esptool goes on with a chip that it has never heard of; we do not. Older chips do not say it.
"""

_STEP_SECONDS = 60.0
_SECONDS_PER_BYTE = 1 / 2000
_POLL_SECONDS = 0.05
_FATAL = re.compile(r"A fatal error occurred: (.+)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")
_RETRY = "flash it again; where it does not connect, hold BOOT, press RESET, and release BOOT"

Step = tuple[str, ...]


def esptool_argv(settings: EspRomSettings, port: str, step: Step, *, last: bool) -> list[str]:
    """One step of esptool. Each begins with a reset into the loader, the last ends with a start."""
    return [
        "esptool",
        *("--chip", settings.chip, "--port", port, "--baud", str(BAUD)),
        *("--before", "default-reset", "--after", "hard-reset" if last else "no-reset"),
        *step,
    ]


@dataclass(frozen=True)
class Plan:
    """What is in the flash afterwards, from `offset` on; the rest of its last sector is erased."""

    offset: int
    data: bytes

    def steps(self, folder: Path) -> list[tuple[str, Step, int]]:
        """(stage, step, bytes) after the chip was asked who it is."""
        whole, rest, first = folder / "firmware.bin", folder / "rest.bin", folder / "first.bin"
        whole.write_bytes(self.data)
        rest.write_bytes(self.data[SECTOR_BYTES:])
        first.write_bytes(self.data[:SECTOR_BYTES])
        start, second = f"0x{self.offset:x}", f"0x{self.offset + SECTOR_BYTES:x}"
        keep = ("--flash-mode", "keep", "--flash-freq", "keep", "--flash-size", "keep")
        size = len(self.data)
        found: list[tuple[str, Step, int]] = [
            ("erase", ("erase-region", start, f"0x{SECTOR_BYTES:x}"), SECTOR_BYTES)
        ]
        if size > SECTOR_BYTES:
            found.append(("write", ("write-flash", *keep, second, str(rest)), size - SECTOR_BYTES))
        found.append(("write", ("write-flash", *keep, start, str(first)), SECTOR_BYTES))
        found.append(("verify", ("verify-flash", *keep, start, str(whole)), size))
        return found


def plan_of(board: Board, settings: EspRomSettings, image: Image) -> Plan:
    """Raises BadInput where the image does not fit into the flash."""
    region = board.region("flash")
    if settings.image == "bin":
        flash_regions(image, board)
        data = image.filled(region.origin)
    else:
        data = esp_image.written(image, CHIP_IDS[settings.chip], region.bytes)
    if len(data) > region.bytes - settings.offset:
        raise BadInput(
            f"the image has {settings.offset + len(data) - region.bytes} bytes behind the end of "
            f"{region.name}",
            value=f"{len(data)} bytes from 0x{settings.offset:x}",
            allowed=f"{region.bytes} bytes",
        )
    if any(page.bytes != SECTOR_BYTES for page in pages(region)) or settings.offset % SECTOR_BYTES:
        raise BadInput(
            f"the pages of {region.name} are not those that esptool erases",
            allowed=f"pages of {SECTOR_BYTES} bytes, and an offset between two",
            next_step="correct the board's file",
        )
    return Plan(settings.offset, data)


class EspRomFlasher(Writer):
    """See the module."""

    name = "esp_rom"
    port_kind = "serial"

    def is_on_link(self, board: Board) -> bool:
        """The loader in ROM is on UART0 alone, and so is the link."""
        return True

    def write(self, board: Board, image: Image, options: FlashOptions) -> None:
        """See Writer."""
        settings = next(s for s in board.flashers if isinstance(s, EspRomSettings))
        plan = plan_of(board, settings, image)
        port = require_port(options, board)
        with tempfile.TemporaryDirectory(prefix="nanoexport-") as name:
            folder = Path(name)

            def run(step: Step, size: int, progress: Callable[[int], None], last: bool) -> str:
                argv = esptool_argv(settings, port, step, last=last)
                return _run(argv, folder, board, _STEP_SECONDS + size * _SECONDS_PER_BYTE, progress)

            told = run(("get-security-info",), 0, lambda percent: None, last=True)
            _require_open(told, board, settings)
            _require_revision(told, board, settings)
            steps = plan.steps(folder)
            for stage, step, size in steps:
                options.progress(stage, 0, size)
                advance = _progress(options, stage, size)
                run(step, size, advance, last=step is steps[-1][1])
                options.progress(stage, size, size)


def _progress(options: FlashOptions, stage: str, size: int) -> Callable[[int], None]:
    return lambda percent: options.progress(stage, size * percent // 100, size)


def _run(
    argv: list[str],
    folder: Path,
    board: Board,
    seconds: float,
    progress: Callable[[int], None],
) -> str:
    """What it printed. Raises LinkFailed, BadInput."""
    deadline = time.monotonic() + seconds
    told: list[str] = []
    with process.spawn(argv, cwd=folder) as child:
        while child.alive() and time.monotonic() < deadline:
            percents = _PERCENT.findall(child.log())
            if percents != told:
                progress(int(float(percents[-1])))
            told = percents
            child.wait(_POLL_SECONDS)
        if child.alive():
            raise LinkFailed(
                f"esptool did not finish within {seconds:g} s",
                value=child.log_tail() or None,
                next_step=_RETRY,
            )
        if child.status() != "exit code 0":
            raise _failure(child, board)
        return child.log()


def _failure(child: process.Child, board: Board) -> NanoexportError:
    fatal = _FATAL.search(child.log())
    why = fatal[1].strip() if fatal else child.log_tail()
    if "Wrong chip argument" in why:
        return BadInput(
            f"this is no {board.name}: its chip is another one; nothing was written",
            value=why,
            next_step="name the board that it is, or the right port",
        )
    if "will not fit" in why:
        return BadInput(
            "the flash of this board is smaller than its file says",
            value=why,
            allowed=f"{board.flash_bytes} bytes",
        )
    return LinkFailed(
        f"esptool failed at {child.argv[11]} ({child.status()})", value=why, next_step=_RETRY
    )


def _require_open(told: str, board: Board, settings: EspRomSettings) -> None:
    """Raises BadInput for another chip, LinkFailed for one that protects its flash."""
    chip_id = re.search(r"^Chip ID: (\d+)", told, re.M)
    if chip_id is None or int(chip_id[1]) != CHIP_IDS[settings.chip]:
        raise BadInput(
            f"this is no {board.name}: its chip is another one; nothing was written",
            value=f"chip id {chip_id[1]}" if chip_id else "a chip that does not say its id",
            allowed=f"{CHIP_IDS[settings.chip]} ({settings.chip})",
            next_step="name the board that it is, or the right port",
        )
    for lock in ("Secure Boot", "Flash Encryption"):
        if f"{lock}: Disabled" not in told:
            raise LinkFailed(
                f"the chip has {lock} on, and would never start our image: it is left as it is",
                value=process.tail(told),
                allowed=f"{lock}: Disabled",
                next_step="take a board without; fuses cannot be changed back",
            )


def _require_revision(told: str, board: Board, settings: EspRomSettings) -> None:
    """Raises BadInput for a chip whose ROM would not start the image."""
    found = re.search(r"\(revision v(\d+)\.(\d+)\)", told)
    revision = (int(found[1]), int(found[2])) if found else (0, 0)
    if revision < tuple(int(number) for number in settings.least_revision.split(".")):
        raise BadInput(
            f"the ROM of this chip does not start an image of {board.name}; nothing was written",
            value=found[0] if found else process.tail(told),
            allowed=f"revision v{settings.least_revision} or later",
            next_step="use a board with a later chip",
        )
