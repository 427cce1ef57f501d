"""A board with a firmware on it, reachable over the link, and proven to be the right one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from exporter import flash
from exporter.board import Board
from exporter.build.firmware import ModelFirmware
from exporter.errors import LinkFailed
from exporter.flash import FlashOptions, RunningBoard
from exporter.link.device import Device, require_identity
from exporter.link.messages import ExpectedIdentity, LogLine
from exporter.link.transport import ConnectionBroken, SocketTransport, Transport, open_port

EMULATOR = "emulator"
ENDING_SECONDS = 0.1
"""From the end of a program's connection to the end of the program."""


@contextmanager
def open_device(
    firmware: ModelFirmware,
    *,
    port: str | None = None,
    on_log: Callable[[LogLine], None] | None = None,
    arguments: Sequence[str] = (),
) -> Iterator[Device]:
    """The device that runs `firmware`.

    Without `port` (or with `emulator`) the image is put on the board and started first; with a port
    the board must already carry it. `arguments` are added to the emulator's command.

    Raises:
        MissingTool: no such port, or it is busy. LinkFailed: silence, or another image.
    """
    with (
        open_transport(firmware, port, arguments) as transport,
        Device(transport, on_log=on_log) as device,
    ):
        require_identity(device.identity, expected_identity(firmware))
        yield device


def expected_identity(firmware: ModelFirmware) -> ExpectedIdentity:
    """What a device with this firmware says of itself."""
    return ExpectedIdentity(
        model_sha256=firmware.program.model_sha256,
        build_id=firmware.build_id,
        dialect=firmware.settings.dialect,
        board=firmware.board.name,
    )


@contextmanager
def open_transport(
    firmware: ModelFirmware, port: str | None, arguments: Sequence[str] = ()
) -> Iterator[Transport]:
    """The serial line to the board, which is flashed and started first unless `port` names one."""
    uart = firmware.board.uart
    if port is not None and port != EMULATOR:
        yield open_port(port, uart.baud) if uart else open_port(port)
        return
    options = FlashOptions(arguments=tuple(arguments))
    with flash.start(firmware.board, firmware.firmware.elf, options) as running:
        try:
            if running.connection is not None:
                yield SocketTransport(running.connection, f"the emulated {firmware.board.name}")
            else:
                assert running.port is not None
                yield open_port(running.port)
        except ConnectionBroken as failure:
            time.sleep(ENDING_SECONDS)
            if running.alive():
                raise
            raise _ended(firmware.board, running) from failure


def _ended(board: Board, running: RunningBoard) -> LinkFailed:
    """It is not the cable: the program that is the board has gone."""
    program = board.emulator.program if board.emulator else "the native process"
    return LinkFailed(
        f"{program}, which runs {board.name}, ended",
        value=running.log_tail() or "it printed nothing",
        next_step="run again; if it ends each time, report this defect with the model",
    )
