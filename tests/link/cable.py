"""A cable that can be pulled out and put back: between a device on TCP and whoever connects."""

from __future__ import annotations

import contextlib
import select
import socket
import threading

_POLL_SECONDS = 0.02


class Cable:
    """Listens at `port`; bytes of whoever connects go to the device and back, until `pull`.

    The device keeps its connection, as a board with a supply of its own keeps running.
    """

    def __init__(self, device_port: int) -> None:
        self._device = socket.create_connection(("127.0.0.1", device_port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self._host: socket.socket | None = None
        self._carried = 0
        self._pull_at: int | None = None
        self._next_port: int | None = None
        self.pulls = 0
        self._open = True
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def pull_after(self, byte_count: int, device_port: int | None = None) -> None:
        """Pull the cable once so many bytes more have passed; whoever connects again is let in.

        With `device_port` it is put into another device then.
        """
        self._next_port = device_port
        self._pull_at = self._carried + byte_count

    def close(self) -> None:
        """End it."""
        self._open = False
        self._thread.join()
        for end in (self._device, self._listener, self._host):
            if end is not None:
                end.close()

    def _serve(self) -> None:
        while self._open:
            ends = [self._device, self._listener, *([self._host] if self._host else [])]
            for end in select.select(ends, [], [], _POLL_SECONDS)[0]:
                if end is self._listener:
                    self._host = self._listener.accept()[0]
                elif end is self._device:
                    self._carry(self._device, self._host)
                elif end is self._host:
                    self._carry(self._host, self._device)

    def _carry(self, source: socket.socket, target: socket.socket | None) -> None:
        with contextlib.suppress(OSError):
            data = source.recv(64)
            self._carried += len(data)
            if data and target is not None:
                target.sendall(data)
            if not data or (self._pull_at is not None and self._carried >= self._pull_at):
                self._pull()

    def _pull(self) -> None:
        self._pull_at = None
        if self._host is not None:
            self.pulls += 1
            self._host.close()
            self._host = None
        if self._next_port is not None:
            self._device.close()
            self._device = socket.create_connection(("127.0.0.1", self._next_port))
            self._next_port = None
