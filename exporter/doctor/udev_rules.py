"""Rules for udev, which decides on Linux who may open a device that is plugged in.

Made from the USB ids of boards and of the probes and boot loaders that flash them. A rule gives the
device to whoever sits at the computer (uaccess: systemd, 70-uaccess.rules, so that the file comes
before it), and keeps ModemManager from sending its commands to the serial port.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from exporter.board import Board, UsbId
from exporter.board.flashers import BossaSettings

PATH = "/etc/udev/rules.d/60-nanoexport.rules"
INSTALL = f"nanoexport doctor --udev-rules | sudo tee {PATH}"
"""udev reads it by itself, and applies it to what is plugged in from then on."""

PROBES_AND_LOADERS = {
    (0x0483, 0x3744): "ST-LINK/V1",
    (0x0483, 0x3748): "ST-LINK/V2",
    (0x0483, 0x374B): "ST-LINK/V2-1",
    (0x0483, 0x374E): "STLINK-V3",
    (0x0483, 0x374F): "STLINK-V3",
    (0x0483, 0x3753): "STLINK-V3",
    (0x0D28, 0x0204): "DAPLink",
    (0x1366, 0x0101): "J-Link",
    (0x1366, 0x0105): "J-Link",
    (0x1D50, 0x6018): "Black Magic Probe",
    (0x2E8A, 0x0003): "RP2040 boot loader",
    (0x2E8A, 0x000C): "Raspberry Pi Debug Probe",
    (0x2E8A, 0x000F): "RP2350 boot loader",
}
"""Ids that no board has for its link: pyOCD, OpenOCD (contrib/60-openocd.rules), Raspberry Pi's."""

_SETTINGS = 'MODE="0660", TAG+="uaccess", ENV{ID_MM_DEVICE_IGNORE}="1"'


def udev_rules(boards: Sequence[Board]) -> str:
    """The text of the file."""
    return "".join(f"{line}\n" for line in _lines(boards))


def _lines(boards: Sequence[Board]) -> Iterator[str]:
    yield "# USB devices of nanoexport's boards. Written by: nanoexport doctor --udev-rules"
    yield 'ACTION=="remove", GOTO="nanoexport_end"'
    yield 'SUBSYSTEM!="usb|tty|hidraw", GOTO="nanoexport_end"'
    for (vid, pid), names in sorted(_names(boards).items()):
        yield f"# {', '.join(names)}"
        yield f'ATTRS{{idVendor}}=="{vid:04x}", ATTRS{{idProduct}}=="{pid:04x}", {_SETTINGS}'
    yield 'LABEL="nanoexport_end"'


def _names(boards: Sequence[Board]) -> dict[tuple[int, int], list[str]]:
    """Whose id it is, by vendor and product."""
    names = {key: [name] for key, name in PROBES_AND_LOADERS.items()}
    for board in boards:
        for key in dict.fromkeys((usb.vid, usb.pid) for usb in usb_ids(board)):
            names.setdefault(key, []).append(board.name)
    return names


def usb_ids(board: Board) -> Iterator[UsbId]:
    """Those of the board's port, and of its boot loader."""
    if board.link is not None:
        yield from board.link.usb
    for settings in board.flashers:
        if isinstance(settings, BossaSettings):
            yield from settings.loader_usb
