"""QEMU as a board whose flash is empty: halted at reset, with a GDB server and a serial port."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exporter import process
from exporter.board import Board
from exporter.flash.emulator import emulator_argv


@dataclass(frozen=True)
class EmptyMachine:
    """`gdb`: HOST:PORT of its server. `serial`: the board's UART; or `tcp`, where it is served."""

    gdb: str
    serial: socket.socket
    tcp: str | None = None


@contextlib.contextmanager
def empty_machine(board: Board, *, serve: bool = False) -> Iterator[EmptyMachine]:
    """The emulated `board` without an image. With `serve` its UART is on a TCP port."""
    port, tcp = _free_port(), f"127.0.0.1:{_free_port()}"
    ours, serial = socket.socketpair()
    control, qmp = socket.socketpair()
    argv = emulator_argv(
        board,
        Path("none"),
        serial_descriptor=serial.fileno(),
        control_descriptor=qmp.fileno(),
        arguments=["-S", "-gdb", f"tcp:127.0.0.1:{port}"],
    )
    argv = argv[: argv.index("-kernel")]
    if serve:
        host, _, number = tcp.partition(":")
        at = argv.index(f"socket,id=link,fd={serial.fileno()}")
        argv[at] = f"socket,id=link,host={host},port={number},server=on,wait=off,nodelay=on"
    with contextlib.ExitStack() as stack:
        for end in (ours, serial, control, qmp):
            stack.enter_context(end)
        stack.enter_context(process.spawn(argv, pass_fds=(serial.fileno(), qmp.fileno())))
        control.settimeout(60)
        assert b"QMP" in control.recv(4096), "the machine is complete, and GDB's port open"
        yield EmptyMachine(f"127.0.0.1:{port}", ours, tcp if serve else None)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
