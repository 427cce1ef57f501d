"""The serial line of a machine as stm32loader takes one: `read`, `write` and `timeout`."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Line:
    """One end of the line, at `socket://HOST:PORT`. A context manager.

    Once `limit` bytes have been sent `at_limit` is called, in the middle of whatever is sent.
    """

    def __init__(
        self, port: str, *, limit: int | None = None, at_limit: Callable[[], None] = lambda: None
    ) -> None:
        where = urlsplit(port)
        self.connection = socket.create_connection((where.hostname, where.port))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = 10.0
        self.sent = 0
        self._limit = limit
        self._at_limit = at_limit

    def write(self, data: bytes | bytearray) -> None:
        """Send; ConnectionError where the board has no power any more."""
        if self._limit is not None and self.sent + len(data) >= self._limit:
            first = self._limit - self.sent
            self._limit = None
            self._send(data[:first])
            self._at_limit()
            data = data[first:]
        self._send(data)

    def read(self, size: int = 1) -> bytes:
        """Up to `size` bytes, as many as come within `timeout`."""
        deadline = time.monotonic() + self.timeout
        data = b""
        while len(data) < size and (left := deadline - time.monotonic()) > 0:
            self.connection.settimeout(left)
            try:
                piece = self.connection.recv(size - len(data))
            except TimeoutError:
                break
            if not piece:
                raise ConnectionError("the board has no power")
            data += piece
        return data

    def _send(self, data: bytes | bytearray) -> None:
        self.connection.settimeout(self.timeout)
        self.connection.sendall(data)
        self.sent += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.connection.close()
