"""Arduino's boot loader of the Nano 33 BLE, which speaks SAM-BA over USB, by the program bossac.

The nRF52840 is known to Arduino's bossac alone (github.com/arduino/BOSSA, in the board package of
the Arduino IDE), not to the one of Debian or of its author: those say "Device unsupported". That
loader erases what it writes, page by page (command Y), and cannot be read, but for a CRC. bossac
writes only after --erase (command X), which this loader answers and does not obey; those of other
chips then erase everything behind an address. So bossac says first who is there, and any other is
refused.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import serial
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from exporter import process
from exporter.board import Board, UsbId
from exporter.board.flashers import BossaSettings
from exporter.build.image import ERASED, Image, flash_regions, pages_of
from exporter.errors import BadInput, LinkFailed, MissingTool, NanoexportError
from exporter.flash.base import FlashOptions, Writer
from exporter.link import ports

TOUCH_BAUD = 1200
"""A sketch whose port is opened at this rate and closed starts the boot loader: Arduino's way."""

_POLL_SECONDS = 0.1
_STEP_SECONDS = 60.0
_SECONDS_PER_BYTE = 1 / 4000
_ARDUINO = (
    "for the Nano 33 BLE take Arduino's bossac (1.9.1-arduino or later): put its folder first on "
    "PATH; or flash with a debug probe"
)
_CHIP = "nRF52840-QIAA"
_LOADER = "Arduino Bootloader (SAM-BA extended) 2.0"
"""What bossac calls them: the only ones of which it is known that --erase erases nothing."""
_PERCENT = re.compile(r"(\d+)% \(\d+/\d+ pages\)")


@dataclass(frozen=True)
class Plan:
    """The image in whole pages, at `offset` as bossac counts."""

    offset: int
    data: bytes


def bossac_argv(port: str, *arguments: str) -> list[str]:
    """`--usb-port`: the port is the chip's own USB, without an auto-baud sequence."""
    return ["bossac", f"--port={port}", "--usb-port", *arguments]


def info_argv(port: str) -> list[str]:
    """Which chip and which loader answer."""
    return bossac_argv(port, "--info")


def write_argv(port: str, plan: Plan, file: Path) -> list[str]:
    """Write, each page erased before; compare the CRC of each; start."""
    steps = ("--erase", "--write", "--verify", "--reset")
    return bossac_argv(port, *steps, f"--offset={plan.offset:#x}", str(file))


def plan_of(board: Board, settings: BossaSettings, image: Image) -> Plan:
    """Raises BadInput where the image is not at the start of the flash, or leaves it."""
    (region, *others) = flash_regions(image, board)
    if others or image.address != region.origin or settings.flash_origin != region.origin:
        raise BadInput(
            f"the boot loader of {board.name} starts what is at 0x{settings.flash_origin:08X}",
            value=f"the image is at 0x{image.address:08X}",
            allowed=f"all of it in {region.name}, from 0x{region.origin:08X} on",
            next_step="build it for this board: nanoexport render MODEL --board BOARD -o DIR",
        )
    last = pages_of(image, region)[-1]
    data = image.filled() + bytes([ERASED]) * (last.end - image.end)
    return Plan(settings.offset, data)


class BossaFlasher(Writer):
    """See the module."""

    name = "bossa"

    def write(self, board: Board, image: Image, options: FlashOptions) -> None:
        """See Writer."""
        settings = next(s for s in board.flashers if isinstance(s, BossaSettings))
        plan = plan_of(board, settings, image)
        _require_bossac()
        port = _loader_port(board, settings, options)
        ports.check_path(port)
        _require_loader(_run(info_argv(port), 0, lambda percent: None))
        size = len(plan.data)
        with tempfile.TemporaryDirectory(prefix="nanoexport-") as name:
            whole = Path(name) / "firmware.bin"
            whole.write_bytes(plan.data)
            _run(
                write_argv(port, plan, whole),
                2 * size,
                lambda percent: options.progress("write", size * percent // 100, size),
            )


def _require_loader(told: str) -> None:
    """Raises BadInput unless it is the loader that erases no more than it writes."""
    lines = dict(re.findall(r"^(Device|Version) *: *(.*?)\s*$", told, re.MULTILINE))
    if lines.get("Device") != _CHIP or not lines.get("Version", "").startswith(_LOADER):
        raise BadInput(
            "another boot loader answers: nothing was written",
            value=", ".join(lines.values()) or None,
            allowed=f"{_CHIP}, {_LOADER}",
            next_step="of others bossac erases more than the image's pages: use another flasher",
        )


# --- the port of the loader ----------------------------------------------------------------------


def _loader_port(board: Board, settings: BossaSettings, options: FlashOptions) -> str:
    """Where the loader is, once it is; the sketch, the firmware or a person starts it.

    Raises MissingTool where it does not appear, BadInput where there are several.
    """
    found = _the_loader(settings, options)
    if found is not None:
        return found
    if options.port is not None and _is_sketch(options.port, settings):
        _touch(options.port)
    elif not options.to_loader():
        options.say(f"waiting for the boot loader of {board.name}: {settings.entry}")
    deadline = time.monotonic() + options.wait_seconds
    while time.monotonic() < deadline:
        found = _the_loader(settings, options)
        if found is not None:
            return found
        time.sleep(_POLL_SECONDS)
    raise MissingTool(
        f"no boot loader of {board.name} appeared within {options.wait_seconds:g} s",
        value="no port with its USB id",
        allowed=[f"{usb.vid:04x}:{usb.pid:04x}" for usb in settings.loader_usb],
        next_step=settings.entry,
    )


def _the_loader(settings: BossaSettings, options: FlashOptions) -> str | None:
    found = [p for p in list_ports.comports() if _is_one_of(p, settings.loader_usb)]
    named = [p for p in found if p.device == options.port or p.serial_number == options.probe]
    if len(named or found) > 1:
        raise BadInput(
            "several boards wait in their boot loaders",
            value=", ".join(port.device for port in found),
            allowed="one",
            next_step="name the port of the right one with --port",
        )
    return next((port.device for port in named or found), None)


def _is_one_of(port: ListPortInfo, ids: tuple[UsbId, ...]) -> bool:
    return any(
        (port.vid, port.pid) == (usb.vid, usb.pid) and (usb.product or "") in (port.product or "")
        for usb in ids
    )


def _is_sketch(name: str, settings: BossaSettings) -> bool:
    """A USB port of the loader's vendor: that of a sketch, where it is not the loader's."""
    vendors = {usb.vid for usb in settings.loader_usb}
    return any(port.device == name and port.vid in vendors for port in list_ports.comports())


def _touch(name: str) -> None:
    ports.check_path(name)
    port = serial.Serial(baudrate=TOUCH_BAUD)
    port.port, port.dtr = name, False
    try:
        port.open()
        port.close()
    except (serial.SerialException, OSError) as error:
        raise ports.open_error(name, error) from error


# --- bossac --------------------------------------------------------------------------------------


def _require_bossac() -> None:
    try:
        process.find_tool("bossac")
    except MissingTool as error:
        error.next_step = _ARDUINO
        raise


def _run(argv: list[str], size: int, progress: Callable[[int], None]) -> str:
    """What bossac printed.

    Raises BadInput for another chip, LinkFailed for whatever else bossac complains of.
    """
    seconds = _STEP_SECONDS + size * _SECONDS_PER_BYTE
    deadline = time.monotonic() + seconds
    told: list[str] = []
    with process.spawn(argv) as child:
        while child.alive() and time.monotonic() < deadline:
            percents = _PERCENT.findall(child.log())
            if percents != told:
                progress(int(percents[-1]))
            told = percents
            child.wait(_POLL_SECONDS)
        if child.alive():
            raise LinkFailed(
                f"bossac did not finish within {seconds:g} s",
                value=child.log_tail() or None,
                next_step="enter the boot loader again, and flash it again",
            )
        if child.status() != "exit code 0":
            raise _failure(child)
        progress(100)
        return child.log()


def _failure(child: process.Child) -> NanoexportError:
    told = child.log_tail().strip()
    if "unsupported" in told.lower():
        return BadInput(
            "bossac does not know this chip: nothing was written",
            value=told,
            allowed="a chip that this bossac knows",
            next_step=_ARDUINO,
        )
    return LinkFailed(
        f"bossac failed ({child.status()})",
        value=told,
        next_step="enter the boot loader again, and flash it again",
    )
