"""Real boards: the port of the link found, the image written, the answer awaited."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from exporter.board import Board
from exporter.build.identity import NO_BUILD_ID, elf_build_id
from exporter.build.image import Image
from exporter.build.image_files import read_image
from exporter.build.size import measure_image
from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.flash import FlashOptions, Writer, flasher_for
from exporter.hil.discovery import QUICK, UsbPort, ports_of, shared_ports_of, usb_ports
from exporter.hil.into_loader import ask_for_loader
from exporter.hil.locks import port_key, port_lock
from exporter.link.device import Device, require_identity
from exporter.link.messages import ExpectedIdentity, Identity
from exporter.link.ports import check_url, is_there
from exporter.link.transport import DEFAULT_BAUD, Transport, open_port

POLL_SECONDS = 0.1
_log = logging.getLogger(__name__)

Opener = Callable[[], Transport]
Progress = Callable[[str, int, int], None]


def is_written(board: Board) -> bool:
    """Whether `board` is a real one: its default flasher writes an image into a flash."""
    return isinstance(flasher_for(board), Writer)


@dataclass(frozen=True)
class Target:
    """What is written to, and where its link is.

    `link_port` is None where it is only found once the board runs, or where nobody asks for it.
    """

    board: Board
    writer: Writer
    options: FlashOptions
    link_port: str | None = None

    @property
    def baud(self) -> int:
        """Of the link."""
        return self.board.uart.baud if self.board.uart else DEFAULT_BAUD

    def write(self, image: Image, progress: Progress | None = None) -> None:
        """Have the flasher write; its port is locked meanwhile. Whoever interrupts it is told what
        that leaves.
        """
        options = self.options
        if progress is not None:
            options = replace(options, progress=progress)
        with locked(self._port_of_its_own):
            try:
                self.writer.write(self.board, image, options)
            except KeyboardInterrupt:
                options.say(
                    f"interrupted: {self.board.name} may hold an incomplete image; "
                    "the same command again writes all of it"
                )
                raise

    @property
    def _port_of_its_own(self) -> str | None:
        """The serial port that is spoken to for it, where it is not that of the link."""
        port = self.options.port if self.writer.port_kind != "server" else None
        if port is None or self.link_port is None:
            return port
        return None if port_key(port) == port_key(self.link_port) else port


# --- which board, and where it is -----------------------------------------------------------------


def aim(
    board: Board,
    writer: Writer,
    options: FlashOptions,
    link_port: str | None = None,
    *,
    linked: bool = True,
) -> Target:
    """The one board that is meant. With `linked`, its link must be known or be found by USB ids.

    The port of a board's own probe and the probe are one USB device: either names the other.
    Raises BadInput where several boards may be meant or a port must be named.
    """
    if link_port is None and (writer.port_kind is None or writer.is_on_link(board)):
        link_port = options.port
    connected = _the_one(board, options, link_port)
    options = _through(board, writer, options, link_port, connected)
    if link_port is None and connected is not None and not _comes_anew(board):
        link_port = connected.device
    if link_port is None and linked:
        if writer.port_kind == "serial":
            link_port = options.port
        elif board.link is None or board.link.kind == "uart_pins":
            raise _unnamed_link(board)
    ask = partial(ask_for_loader, board, link_port or options.port)
    return Target(board, writer, replace(options, to_loader=ask), link_port)


def _has_own_port(board: Board) -> bool:
    """Whether its USB-to-UART is there whatever the chip runs."""
    return board.link is not None and board.link.kind == "vcp"


def _comes_anew(board: Board) -> bool:
    """Whether the port of the link belongs to the chip, and goes with its firmware."""
    return board.link is not None and board.link.kind == "usb_cdc"


def _through(
    board: Board,
    writer: Writer,
    options: FlashOptions,
    link_port: str | None,
    connected: UsbPort | None,
) -> FlashOptions:
    """The options with the port, and the probe, that the flasher is to use."""
    if writer.port_kind is None:
        known = link_port or (connected.device if connected else None)
        options = replace(options, port=options.port or known)
    elif options.port is None:
        options = replace(options, port=_port_to_write_through(board, writer, connected))
    of_probe = board.link is not None and board.link.kind == "vcp"
    if (
        of_probe
        and options.probe is None
        and connected is not None
        and connected in ports_of(board)
    ):
        options = replace(options, probe=connected.serial_number)
    return options


def _the_one(board: Board, options: FlashOptions, link_port: str | None) -> UsbPort | None:
    """The connected port of `board`'s link that is meant; None where none is connected."""
    if link_port is not None:
        return next((p for p in usb_ports() if _same_port(p.device, link_port)), None)
    found = [
        port
        for port in ports_of(board)
        if options.probe is None or board.link is None or board.link.kind != "vcp"
        or _same_serial(port.serial_number, options.probe)
    ]  # fmt: skip
    if len(found) <= 1:
        return found[0] if found else None
    by_port = [port for port in found if options.port and _same_port(port.device, options.port)]
    if by_port:
        return by_port[0]
    raise BadInput(
        f"several connected boards may be the {board.name} that is meant",
        value="; ".join(port.describe() for port in found),
        allowed="one",
        next_step="name the port of the right one, or disconnect the others",
    )


def _same_port(one: str, other: str) -> bool:
    """udev's links, as those of /dev/serial/by-id, are names of ports, too."""
    return os.path.realpath(one) == os.path.realpath(other)


def _same_serial(one: str | None, other: str) -> bool:
    """J-Link's port pads its serial number with zeros."""
    return (one or "").lstrip("0").lower() == other.lstrip("0").lower()


def _port_to_write_through(board: Board, writer: Writer, connected: UsbPort | None) -> str:
    if writer.port_kind == "serial" and connected is not None:
        return connected.device
    is_server = writer.port_kind == "server"
    raise BadInput(
        f"the flasher {writer.name} needs to know the port to write to {board.name} through",
        value="no --port",
        allowed="HOST:PORT of the server" if is_server else "a serial port",
        next_step="start the server and name it: OpenOCD is --port localhost:3333"
        if is_server
        else "name it with --port; 'nanoexport boards --connected' lists what is connected",
    )


def _unnamed_link(board: Board) -> BadInput:
    pins = f"TX {board.link.tx}, RX {board.link.rx}" if board.link else "unknown"
    return BadInput(
        f"the link of {board.name} is on pins: which adapter is on them cannot be told",
        value=f"pins: {pins}",
        allowed="the port of a USB-to-UART adapter on these pins",
        next_step="name it with --port; for flash with --link-port, or flash the file of the "
        "image, DIR/build/firmware.hex with --board, after which nobody is asked",
    )


def _not_connected(board: Board) -> MissingTool:
    shared = shared_ports_of(board)
    if shared:
        return MissingTool(
            f"which port {board.name} is at cannot be told: many devices have its USB ids",
            value="; ".join(port.describe() for port in shared),
            next_step="name it with --port, if it is the board",
        )
    return MissingTool(
        f"no {board.name} is connected",
        value="no serial port with its USB ids",
        allowed=", ".join(_known_ids(board)) or None,
        next_step="connect it, or name its port with --port; "
        "'nanoexport boards --connected' lists what is there",
    )


def _known_ids(board: Board) -> list[str]:
    return [f"{usb.vid:04x}:{usb.pid:04x}" for usb in (board.link.usb if board.link else ())]


# --- its link -------------------------------------------------------------------------------------


@contextmanager
def locked(port: str | None) -> Iterator[None]:
    """No other run of this machine uses `port` meanwhile. Raises MissingTool where one does."""
    with port_lock(port) if port is not None else nullcontext():
        yield


@contextmanager
def link_after(target: Target, write: Callable[[], None]) -> Iterator[Opener]:
    """Write, then what opens the link once the image runs; known ports are locked all the time.

    Raises MissingTool where no port of the board appears in time, or another process holds it.
    """
    with locked(target.link_port):
        write()
        port = _awaited(target)
        with locked(port if target.link_port is None else None):
            yield partial(open_port, port, target.baud)


def _awaited(target: Target) -> str:
    """The port of the link; where the chip itself is on USB it comes once the firmware runs."""
    deadline = time.monotonic() + target.options.wait_seconds
    while True:
        port = target.link_port
        if port is None:
            connected = _the_one(target.board, target.options, None)
            port = connected.device if connected else None
        if port is not None and is_there(port):
            return port
        if time.monotonic() >= deadline:
            raise _no_link(target)
        time.sleep(POLL_SECONDS)


def _no_link(target: Target) -> MissingTool:
    board = target.board
    return MissingTool(
        f"the image is written, but no port of {board.name} appeared to ask it who it is",
        value=target.link_port or "nothing with its USB ids",
        allowed=", ".join(_known_ids(board)) or None,
        next_step="check the cable, or name the port with --link-port",
    )


# --- what it carries ------------------------------------------------------------------------------


def carries(device: Device, board: Board, elf: Path) -> bool:
    """Whether the device runs exactly `elf`: by what it says, and by the CRC-32 of its flash."""
    wanted = elf_build_id(elf)
    identity = device.identity
    if wanted == NO_BUILD_ID or (identity.board, identity.elf_build_id) != (board.name, wanted):
        return False
    expected = measure_image(elf, board).image_crc32
    return expected is None or device.memory().image_crc32 == expected


def require_image(device: Device, board: Board, elf: Path) -> None:
    """Raises LinkFailed where the stored image is not `elf`, by the CRC-32 that the board makes."""
    expected = measure_image(elf, board).image_crc32
    found = device.memory().image_crc32
    if expected is not None and found != expected:
        raise LinkFailed(
            f"the flash of {board.name} does not hold the image that was written",
            value=f"CRC-32 {found:08x}, as the board computes it",
            allowed=f"CRC-32 {expected:08x}",
            next_step="flash it again; if it stays so, the flash is worn or the supply too weak",
        )


def _require_stored(opener: Opener, board: Board, elf: Path) -> None:
    """Flashers that copy to a drive do not read back: the board does. Another build's answer is for
    whoever opens the link, and knows all that it should be.
    """
    with Device(opener()) as device:
        if device.identity.elf_build_id == elf_build_id(elf):
            require_image(device, board, elf)


@contextmanager
def carrying(
    board: Board,
    elf: Path,
    port: str | None,
    chip_id: str | None = None,
) -> Iterator[Opener]:
    """What opens the link of a real board that carries `elf`: written unless it is there already.

    `port` is that of the link; without one the board is found by its USB ids. `chip_id` names the
    one unit that will do. Raises BadInput where it is not clear which board is meant, MissingTool
    where none is connected, LinkFailed where what answers is another board: that is left as it is.
    """
    if port is None and _has_own_port(board) and not ports_of(board):
        raise _not_connected(board)
    writer = flasher_for(board)
    assert isinstance(writer, Writer)
    target = aim(board, writer, FlashOptions(port=port, say=_log.warning), port)
    seen = target.link_port or (target.options.port if writer.port_kind is None else None)
    with locked(seen):
        runs, identity = _met(target, seen, elf)
        if runs and seen is not None:
            yield partial(open_port, seen, target.baud)
            return
    _require_writable(target, identity, chip_id)
    image = read_image(elf, board)
    with link_after(target, lambda: target.write(image)) as opener:
        _require_stored(opener, board, elf)
        yield opener


def _met(target: Target, port: str | None, elf: Path) -> tuple[bool, Identity | None]:
    """Whether the board runs `elf` already, and who answers before anything is written."""
    if port is None or not is_there(port):
        return False, None
    transport = open_port(port, target.baud)  # a port in use, or not permitted, is told
    try:
        with Device(transport, timing=QUICK) as device:
            return carries(device, target.board, elf), device.identity
    except LinkFailed:
        return False, None  # empty, hung, or a firmware of somebody else


def _require_writable(target: Target, identity: Identity | None, chip_id: str | None) -> None:
    """Raises LinkFailed where another unit or board would be written to, or none can be."""
    if identity is not None:
        require_identity(identity, ExpectedIdentity(board=target.board.name, chip_id=chip_id))
    elif chip_id is not None:
        raise LinkFailed(
            "nothing says which unit this is: it is not written to",
            value=f"{target.link_port or 'no port'} is silent",
            allowed=f"unit {chip_id}",
            next_step="check that it is the right one, then put the firmware on it with: "
            "nanoexport flash",
        )
    remote = target.link_port is not None and check_url(target.link_port).scheme
    by_server = target.writer.port_kind == "server"  # of which a port of the link says nothing
    if by_server or (remote and target.writer.port_kind is None):
        server = " --port HOST:PORT --link-port PORT" if by_server else ""
        raise LinkFailed(
            f"the board at {target.link_port} does not carry the firmware",
            value=f"build {identity.build_id[:16]}" if identity else "silence",
            allowed="the firmware, flashed where the board's probe is connected",
            next_step=f"there, run: nanoexport flash DIR --flasher {target.writer.name}{server}",
        )
