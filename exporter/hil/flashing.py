"""`nanoexport flash`: a built project onto its board, and the proof that the board took it."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from exporter import flash
from exporter.board import Board, load_board
from exporter.build.compile import Firmware
from exporter.errors import LinkFailed, MissingTool
from exporter.flash import NativeProcess, RunningBoard
from exporter.flash.native import NativeFlasher
from exporter.hil.passport import expected_of_project, read_passport, show_passport
from exporter.link.device import Device, require_identity
from exporter.link.transport import SocketTransport, Transport

Say = Callable[[str], None]
READ_BYTES = 4096
ALIVE_SECONDS = 0.5
FIRST_LINE_SECONDS = 5.0
POLL_SECONDS = 0.1


def flash_project(
    say: Say,
    document: Callable[[Mapping[str, Any]], None],
    folder: Path,
    *,
    serve: int | None,
) -> None:
    """Flash the project in `folder` and ask the board for its identity.

    With `serve`, the board then runs until Ctrl-C with its serial port on a TCP port of this host.

    Raises:
        BadInput: no built project. MissingTool: no emulator, or a TCP port that is taken.
        LinkFailed: the board does not answer or carries another image.
    """
    firmware = Firmware.of(folder)
    board = load_board(firmware.board)
    with _started(board, firmware, keep=serve is not None) as running:
        if firmware.manifest["app"] == "hil":
            passport = _identify(running, firmware, keep=serve is not None)
        else:
            passport = {"board": board.name, "build_id": firmware.manifest["build_id"]}
            if serve is None:
                passport["printed"] = _first_line(SocketTransport(running.connection))
        show_passport(say, passport)
        document(passport)
        if serve is not None:
            _serve(say, running, serve)


@contextmanager
def _started(board: Board, firmware: Firmware, *, keep: bool) -> Iterator[RunningBoard]:
    """The board with the firmware. With `keep` a native process outlives the clients of its port.

    By itself it ends with the first of them: hold one connection, over which all of them speak.
    """
    if not keep or board.default_flasher.name != NativeFlasher.name:
        with flash.start(board, firmware.elf) as running:
            yield running
        return
    with NativeProcess(firmware.elf, tcp=True) as process:
        tcp_port = int(str(process.port).rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", tcp_port)) as connection:
            process.connection = connection
            yield process


def _identify(running: RunningBoard, firmware: Firmware, *, keep: bool) -> dict[str, Any]:
    """The passport, checked. With `keep` the connection stays usable afterwards."""
    connection = running.connection.dup() if keep else running.connection
    with Device(SocketTransport(connection)) as device:
        require_identity(device.identity, expected_of_project(firmware))
        return read_passport(device)


def _first_line(transport: Transport) -> str:
    """What an application without the link prints when it is given a byte; empty for nothing."""
    text, deadline = b"", time.monotonic() + FIRST_LINE_SECONDS
    transport.write(b"\n")
    while b"\n" not in text and time.monotonic() < deadline:
        text += transport.read(READ_BYTES, POLL_SECONDS)
    return text.decode("ascii", "replace").strip()


def _serve(say: Say, running: RunningBoard, tcp_port: int) -> None:
    """Keep the board running; bridge its serial port to one TCP client after another."""
    try:
        listener = socket.create_server(("127.0.0.1", tcp_port))
    except OSError as error:
        raise MissingTool(
            f"cannot listen on TCP port {tcp_port}",
            value=error.strerror,
            next_step="choose another one with --serve",
        ) from error
    say(f"serving            socket://127.0.0.1:{tcp_port} until Ctrl-C")
    with listener:
        listener.settimeout(ALIVE_SECONDS)
        while True:
            if not running.alive():
                raise LinkFailed(
                    "the program that runs the board ended", value=running.log_tail() or None
                )
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            with closing(client):
                _bridge(running.connection, client)


def _bridge(board: socket.socket, client: socket.socket) -> None:
    """Copy bytes both ways until either side closes."""
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    other = {board: client, client: board}
    while True:
        for source in select.select([board, client], [], [])[0]:
            try:
                data = source.recv(READ_BYTES)
                other[source].sendall(data)
            except OSError:
                return
            if not data:
                return
