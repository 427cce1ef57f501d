"""A serial port on the network by RFC 2217, on pyserial's `rfc2217.PortManager`."""

from __future__ import annotations

import contextlib
import select
import socket
import termios
import threading
import time
from types import TracebackType
from typing import Any, Self

import serial
import serial.rfc2217

_POLL_SECONDS = 0.05
_CHUNK_BYTES = 1024
PORT_MANAGER: Any = serial.rfc2217.PortManager
"""Its types say that it takes a client's port; it takes what reads and writes."""


class PtySerial(serial.Serial):
    """A pty as a port. It has no modem lines: what is set is forgotten, what is asked is on.

    Nor has it a parity, and glibc refuses settings of which nothing is taken.
    """

    def _reconfigure_port(self, force_update: bool = False) -> None:
        with contextlib.suppress(termios.error):
            vars(serial.Serial)["_reconfigure_port"](self, force_update)

    def _update_dtr_state(self) -> None:
        pass

    def _update_rts_state(self) -> None:
        pass

    @property
    def cts(self) -> bool:
        return True

    @property
    def dsr(self) -> bool:
        return True

    @property
    def cd(self) -> bool:
        return True

    @property
    def ri(self) -> bool:
        return False


class Rfc2217Server:
    """Serves the pty at `path` to one client after another, on `url`. A context manager.

    A board listens at one baud rate: at another one than `baud`, each byte arrives as a wrong one.
    After `die_after_bytes` from the board the connection ends, once, and nobody listens for
    `dead_seconds`. The board's bytes come at `bytes_per_second` at most.
    """

    def __init__(
        self,
        path: str,
        *,
        baud: int = 115200,
        die_after_bytes: int | None = None,
        dead_seconds: float = 0.0,
        bytes_per_second: float = 1e9,
    ) -> None:
        self._path = path
        self._baud = baud
        self._remaining = die_after_bytes
        self._dead_seconds = dead_seconds
        self._bytes_per_second = bytes_per_second
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._address = self._listener.getsockname()
        self.port: int = self._address[1]
        self.url = f"rfc2217://127.0.0.1:{self.port}"
        self.clients = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.url)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._thread.join(30)
        self._listener.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            if not select.select([self._listener], [], [], _POLL_SECONDS)[0]:
                continue
            connection, _ = self._listener.accept()
            self.clients += 1
            with (
                connection,
                PtySerial(self._path, timeout=0) as port,
                contextlib.suppress(OSError),
            ):
                self._serve(connection, port)
            if self._remaining is not None and self._remaining <= 0:
                self._die()

    def _serve(self, connection: socket.socket, port: PtySerial) -> None:
        manager = PORT_MANAGER(port, _Writer(connection))
        sources: list[socket.socket | PtySerial] = [connection, port]
        while not self._closing.is_set():
            ready = select.select(sources, [], [], _POLL_SECONDS)[0]
            if connection in ready:
                data = connection.recv(_CHUNK_BYTES)
                if not data:
                    return
                port.write(self._heard(port, b"".join(manager.filter(data))))
            if port in ready:
                data = port.read(_CHUNK_BYTES)
                time.sleep(len(data) / self._bytes_per_second)
                connection.sendall(b"".join(manager.escape(self._heard(port, data))))
                if self._remaining is not None:
                    self._remaining -= len(data)
                    if self._remaining <= 0:
                        return

    def _heard(self, port: PtySerial, data: bytes) -> bytes:
        return data if port.baudrate == self._baud else bytes(byte ^ 0x5A for byte in data)

    def _die(self) -> None:
        self._remaining = None
        self._listener.close()
        time.sleep(self._dead_seconds)
        self._listener = socket.create_server(self._address)


class _Writer:
    """What a PortManager answers by."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, data: bytes) -> Any:
        self._connection.sendall(data)
