"""The serial port of a board that runs on this computer, on a TCP port for others."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import closing

from exporter.errors import LinkFailed, MissingTool
from exporter.flash import RunningBoard

READ_BYTES = 4096
ALIVE_SECONDS = 0.5


def serve_port(say: Callable[[str], None], running: RunningBoard, tcp_port: int) -> None:
    """Keep the board running; bridge its serial port to one TCP client after another.

    Raises MissingTool where the TCP port is taken, LinkFailed when the board's program ends.
    """
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
