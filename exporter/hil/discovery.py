"""Which ports could be of which boards, by their USB ids, and what answers there.

Bytes sent to an unknown port may move a machine: unasked, only ports are opened whose ids a file in
`boards/` names, and names as the board's alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from serial.tools import list_ports

from exporter.board import Board, UsbId
from exporter.errors import NanoexportError
from exporter.hil.locks import port_lock
from exporter.link.device import read_identity
from exporter.link.messages import Identity
from exporter.link.pacing import Timing
from exporter.link.session import Session
from exporter.link.transport import DEFAULT_BAUD, open_port

QUICK = Timing(handshake_seconds=2.0, transfer_seconds=2.0, retry_seconds=0.5)
"""A board that runs firmware of ours answers in milliseconds."""


@dataclass(frozen=True)
class UsbPort:
    """A serial port on USB, as the system lists it without a byte to the device."""

    device: str
    vid: int
    pid: int
    serial_number: str | None = None
    product: str | None = None

    def is_one_of(self, ids: Iterable[UsbId]) -> bool:
        """Whether its ids are among `ids`."""
        return any(
            (self.vid, self.pid) == (known.vid, known.pid)
            and (known.product is None or known.product in (self.product or ""))
            for known in ids
        )

    def describe(self) -> str:
        """For people: where it is and what it calls itself."""
        named = f" {self.product}" if self.product else ""
        number = f", serial number {self.serial_number}" if self.serial_number else ""
        return f"{self.device} ({self.vid:04x}:{self.pid:04x}{named}{number})"


def usb_ports() -> list[UsbPort]:
    """All serial ports on USB, by name."""
    found = [
        UsbPort(port.device, port.vid, port.pid, port.serial_number, port.product)
        for port in list_ports.comports()
        if port.vid is not None and port.pid is not None
    ]
    return sorted(found, key=lambda port: port.device)


def ports_of(board: Board) -> list[UsbPort]:
    """The connected ports that may be the link of `board`, and may be asked."""
    return [port for port in usb_ports() if port.is_one_of(_ids(board, shared=False))]


def shared_ports_of(board: Board) -> list[UsbPort]:
    """The connected ports that may be its link, and may as well be another device's."""
    return [port for port in usb_ports() if port.is_one_of(_ids(board, shared=True))]


def boards_at(port: UsbPort, boards: Sequence[Board], *, shared: bool = False) -> list[Board]:
    """The boards whose link the port may be; with `shared` by ids that other devices have, too."""
    return [board for board in boards if port.is_one_of(_ids(board, shared=shared))]


def _ids(board: Board, *, shared: bool) -> list[UsbId]:
    return [usb for usb in (board.link.usb if board.link else ()) if usb.shared == shared]


def ask(port: str, baud: int | None = None, timing: Timing = QUICK) -> Identity:
    """What the firmware at `port` says of itself; nothing but HELLO and IDENTIFY is sent.

    Raises MissingTool where the port is absent, or held, by whom; LinkFailed for silence.
    """
    with port_lock(port), closing(open_port(port, baud or DEFAULT_BAUD)) as transport:
        session = Session(transport, timing)
        session.handshake()
        return read_identity(session)


@dataclass(frozen=True)
class Connected:
    """A connected port: the boards that it may be, and what was learnt by asking.

    Neither `identity` nor `problem`: nobody asked, since the port's ids are of no board.
    """

    port: UsbPort
    boards: tuple[str, ...]
    identity: Identity | None = None
    problem: str | None = None


def survey(boards: Sequence[Board]) -> list[Connected]:
    """All ports on USB. Only those are opened whose ids are of a board among `boards` alone."""
    return [
        _met(port, boards_at(port, boards), boards_at(port, boards, shared=True))
        for port in usb_ports()
    ]


def _met(port: UsbPort, candidates: Sequence[Board], possible: Sequence[Board]) -> Connected:
    """What a port says; its answer is worth more than its ids. `possible` is nobody asked for."""
    names = tuple(board.name for board in (*candidates, *possible))
    problem = f"not asked, many devices have this bridge: --probe {port.device}" if names else None
    for baud in dict.fromkeys(board.uart.baud for board in candidates if board.uart):
        try:
            identity = ask(port.device, baud)
        except NanoexportError as error:
            problem = f"{error.what}: {error.value}" if error.value else error.what
        else:
            return Connected(port, (identity.board,), identity)
    return Connected(port, names, problem=problem)
