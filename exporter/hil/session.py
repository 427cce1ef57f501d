"""A board with a firmware on it, reachable over the link, and proven to be the right one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypedDict

from exporter import flash
from exporter.board import Board, board_names, load_board
from exporter.build.firmware import ModelFirmware
from exporter.errors import LinkFailed
from exporter.flash import FlashOptions, RunningBoard
from exporter.hil import farm
from exporter.hil.crash import explain_with
from exporter.hil.locks import port_lock
from exporter.hil.passport import expected_of_project
from exporter.hil.real_board import carrying, is_written
from exporter.link.device import Device, WrongIdentity, require_identity
from exporter.link.messages import ExpectedIdentity, LogLine
from exporter.link.pacing import Timing
from exporter.link.session import DeviceRestarted, Explain
from exporter.link.transport import (
    DEFAULT_BAUD,
    ConnectionBroken,
    SocketTransport,
    Transport,
    open_port,
)

EMULATOR = "emulator"
ENDING_SECONDS = 0.1
"""From the end of a program's connection to the end of the program."""

Opener = Callable[[], Transport]


class Line(NamedTuple):
    """The serial line to a board, and how to open it again when a cable is back.

    `reopen` is None where nothing can come back: the line to a program ends with the program.
    """

    transport: Transport
    reopen: Opener | None


class BoardEnded(LinkFailed):
    """The program that runs the board, or is it, has ended."""


@contextmanager
def open_device(
    firmware: ModelFirmware,
    *,
    port: str | None = None,
    on_log: Callable[[LogLine], None] | None = None,
    arguments: Sequence[str] = (),
    elf: Path | None = None,
    wrap: Callable[[Transport], Transport] | None = None,
    timing: Timing | None = None,
    chip_id: str | None = None,
) -> Iterator[Device]:
    """The device that runs `firmware`.

    `port` is as in `open_image`. `arguments` are added to the emulator's command. `elf` is
    started in place of the image, and must identify itself as it; `wrap` puts something between
    host and board, which no reconnection goes around. `chip_id`, in hexadecimal, names the one unit
    that will do.

    Raises:
        MissingTool: no such port, or it is busy. LinkFailed: silence, or another image.
    """
    image = elf or firmware.firmware.elf
    with (
        open_image(firmware.board, image, port, arguments, chip_id=chip_id) as line,
        Device(
            wrap(line.transport) if wrap else line.transport,
            timing=timing,
            on_log=on_log,
            reopen=None if wrap else line.reopen,
            **conduct(firmware.board, image, port),
        ) as device,
    ):
        expected = expected_identity(firmware, chip_id=chip_id)
        require_identity(device.identity, expected)
        try:
            yield device
        except DeviceRestarted as restart:
            _require_same_image(device, expected, restart)
            raise


def _require_same_image(
    device: Device, expected: ExpectedIdentity, restart: DeviceRestarted
) -> None:
    """What answers after a restart may carry another image, put there meanwhile."""
    try:
        require_identity(device.identify(), expected)
    except WrongIdentity as wrong:
        raise wrong from restart
    except LinkFailed:
        return  # the restart is what there is to tell


class Conduct(TypedDict):
    """How a Device runs models and words crashes: its arguments of these names."""

    watchdog_share: float
    guarded: bool
    explain: Explain


def conduct(board: Board, elf: Path, port: str | None) -> Conduct:
    """What suits `board`, which runs `elf` and was opened by `port`.

    The watchdog: a second of an emulator (10^9 instructions) lasts 5 to 10 seconds, one of a
    process is of its processor time, and a machine may be busy: the report has to come before the
    deadline. The guards of the arena make an emulator slow.
    """
    return Conduct(
        watchdog_share=_watchdog_share(board, port),
        guarded=is_real(board, port),
        explain=explain_with(elf),
    )


def suit(device: Device, port: str) -> None:
    """Let `device`, met at `port`, run models as suits the board that it says it is; an unknown one
    is real.
    """
    name = device.identity.board
    board = load_board(name) if name in board_names() else None
    device.watchdog_share = _watchdog_share(board, port)
    device.guarded = board is None or is_real(board, port)


def is_real(board: Board, port: str | None) -> bool:
    """Whether this is a chip. Of a board that is emulated as well, what is at a port is one; a
    board without a `link` of its own exists on computers only.
    """
    if port in (None, EMULATOR):
        return is_written(board)
    return board.link is not None or is_written(board)


def _watchdog_share(board: Board | None, port: str | None) -> float:
    """Of the deadline of a run; see `conduct`."""
    if board is None or is_real(board, port):
        return 0.5
    return 1 / 10 if board.evidence == "native" else 1 / 40


def expected_identity(firmware: ModelFirmware, *, chip_id: str | None = None) -> ExpectedIdentity:
    """What a device with this firmware says of itself."""
    return expected_of_project(firmware.firmware, chip_id=chip_id)


def open_line(
    firmware: ModelFirmware,
    port: str | None,
    arguments: Sequence[str] = (),
    on_start: Callable[[RunningBoard], None] | None = None,
    chip_id: str | None = None,
) -> AbstractContextManager[Line]:
    """The line to the board of `firmware`, as `open_image` opens it."""
    return open_image(
        firmware.board, firmware.firmware.elf, port, arguments, on_start, chip_id=chip_id
    )


@contextmanager
def open_image(
    board: Board,
    elf: Path,
    port: str | None,
    arguments: Sequence[str] = (),
    on_start: Callable[[RunningBoard], None] | None = None,
    *,
    chip_id: str | None = None,
) -> Iterator[Line]:
    """The serial line to `board`, which runs `elf`.

    A board that is a program of this computer is started; with a `port` it runs there, and must
    carry `elf`. A real one carries it already, or it is written by the board's default flasher:
    see `exporter.hil.real_board`. `on_start` is told what was started. A port is locked against all
    other runs of this machine, a place of a farm is acquired, and must carry `elf`.
    """
    baud = board.uart.baud if board.uart else None
    if port is not None and farm.is_place(port):
        with farm.LabgridPlace(port) as place:
            yield Line(place.open_answering(baud), partial(place.open, baud))
    elif is_written(board):
        with carrying(board, elf, None if port == EMULATOR else port, chip_id) as open_again:
            yield Line(open_again(), open_again)
    elif port is not None and port != EMULATOR:
        with port_opener(port, baud) as open_again:
            yield Line(open_again(), open_again)
    else:
        with _started(board, elf, arguments, on_start) as line:
            yield line


@contextmanager
def _started(
    board: Board,
    elf: Path,
    arguments: Sequence[str],
    on_start: Callable[[RunningBoard], None] | None,
) -> Iterator[Line]:
    with flash.start(board, elf, FlashOptions(arguments=tuple(arguments))) as running:
        if on_start is not None:
            on_start(running)
        kind = "emulated" if board.emulator else "process"
        try:
            yield Line(SocketTransport(running.connection, f"the {kind} {board.name}"), None)
        except ConnectionBroken as failure:
            time.sleep(ENDING_SECONDS)
            if running.alive():
                raise
            raise _ended(board, running) from failure


@contextmanager
def port_opener(port: str, baud: int | None = None) -> Iterator[Opener]:
    """What opens `port`, again and again; it is locked, or as a place of a farm held, meanwhile."""
    if farm.is_place(port):
        with farm.LabgridPlace(port) as place:
            yield partial(place.open, baud)
        return
    with port_lock(port):
        yield partial(open_port, port, baud or DEFAULT_BAUD)


def _ended(board: Board, running: RunningBoard) -> BoardEnded:
    """It is not the cable: the program that is the board has gone."""
    program = board.emulator.program if board.emulator else "the native process"
    return BoardEnded(
        f"{program}, which runs {board.name}, ended",
        value=running.log_tail() or "it printed nothing",
        next_step="run again; if it ends each time, report this defect with the model",
    )
