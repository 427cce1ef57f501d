"""Ways to move bytes to and from a device: a serial port, its network forms, a raw socket."""

from __future__ import annotations

import abc
import contextlib
import select
import socket
import time

import serial

from exporter.errors import LinkFailed
from exporter.link import ports

DEFAULT_BAUD = 115200
_POLL_SECONDS = 0.05
_WRITE_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_REFUSED_SECONDS = 1.0
_FIRST_BYTES = 80


class ConnectionBroken(LinkFailed):
    """The other end, or the port itself, is gone."""


class Transport(abc.ABC):
    """A stream of bytes in both directions.

    To add one:
    1. Subclass, give it a `name` a person recognises (a port, an address).
    2. `read` returns what has arrived, at most `max_bytes`, as soon as there is anything; after
       `timeout_seconds` without a byte it returns b"". It never blocks longer.
    3. `write` hands over all of `data` or raises.
    4. A peer that is gone raises LinkFailed in both; `close` never raises.
    """

    name: str

    def now(self) -> float:
        """Seconds on the clock that time-outs are on; a simulated line has its own."""
        return time.monotonic()

    @abc.abstractmethod
    def write(self, data: bytes) -> None:
        """Send all of `data`. Raises LinkFailed."""

    @abc.abstractmethod
    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """Up to `max_bytes` that have arrived; b"" after the timeout. Raises LinkFailed."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give the port back."""


class SerialTransport(Transport):
    """A serial device (`/dev/ttyACM0`), `socket://host:port` or `rfc2217://host:port`.

    DTR and RTS are set before opening, since on many boards they reset or halt the chip; both stay
    asserted by default, as a USB CDC device sends only while DTR is.
    Raises MissingTool where the port is absent, busy or not permitted; BadInput for another URL.
    """

    def __init__(
        self, url: str, baud: int = DEFAULT_BAUD, *, dtr: bool = True, rts: bool = True
    ) -> None:
        self.name = url
        is_path = ports.check_url(url).scheme == ""
        if is_path:
            ports.check_path(url)
        try:
            # Fixed time-outs: pyserial negotiates an rfc2217:// port anew whenever one is changed.
            port = serial.serial_for_url(
                url, do_not_open=True, baudrate=baud, timeout=_POLL_SECONDS
            )
            port.dtr, port.rts = dtr, rts
            if is_path:
                port.exclusive = True
                port.write_timeout = _WRITE_SECONDS
            port.open()
        except (serial.SerialException, OSError, ValueError) as error:
            raise ports.open_error(url, error) from error
        self._port = port

    def write(self, data: bytes) -> None:
        """See Transport."""
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise _gone(self.name, error) from error

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        deadline = time.monotonic() + timeout_seconds
        try:
            while True:
                waiting = self._port.in_waiting
                # With nothing waiting this is where it waits: for one byte, _POLL_SECONDS long.
                data: bytes = self._port.read(min(max_bytes, max(1, waiting)))
                if data or time.monotonic() >= deadline:
                    return data
        except (serial.SerialException, OSError, TypeError) as error:
            # TypeError: pyserial reads from a descriptor that a lost port has set to None.
            raise _gone(self.name, error) from error

    def close(self) -> None:
        """See Transport."""
        with contextlib.suppress(serial.SerialException, OSError):  # gone is what was wanted
            self._port.close()


class SocketTransport(Transport):
    """A connected stream socket, as an emulator's serial port is. It takes the socket over."""

    def __init__(self, connection: socket.socket, name: str | None = None) -> None:
        self._socket = connection
        self._first = b""
        self.name = name if name is not None else _peer_name(connection)
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, data: bytes) -> None:
        """See Transport."""
        try:
            self._socket.settimeout(_WRITE_SECONDS)
            self._socket.sendall(data)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._first += self._socket.recv(_FIRST_BYTES)
            raise self._broken(error) from error

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        try:
            if not select.select([self._socket], [], [], max(0.0, timeout_seconds))[0]:
                return b""
            data = self._socket.recv(max_bytes)
        except (OSError, ValueError) as error:
            raise self._broken(error) from error
        if not data:
            raise self._broken("the other side closed the connection")
        self._first += data[: _FIRST_BYTES - len(self._first)]
        return data

    def close(self) -> None:
        """See Transport."""
        self._socket.close()

    def _broken(self, why: object) -> ConnectionBroken:
        """With the text, if it is any, that a server sent instead of the board: ser2net does."""
        text = self._first.decode("latin-1").strip()
        said = text and text.isascii() and text.isprintable()
        return _gone(self.name, f"{why}; it said: {text}" if said else why)


def connect_tcp(
    host: str, port: int, deadline_seconds: float = _CONNECT_SECONDS
) -> SocketTransport:
    """Connect to a serial port on TCP, trying again until it listens. Raises MissingTool.

    A host that does not answer at all has `_CONNECT_SECONDS` for it: it may be far away.
    """
    deadline = time.monotonic() + deadline_seconds
    while True:
        try:
            connection = socket.create_connection((host, port), timeout=_CONNECT_SECONDS)
            return SocketTransport(connection, f"{host}:{port}")
        except OSError as error:
            if time.monotonic() >= deadline:
                raise ports.open_error(f"socket://{host}:{port}", error) from error
            time.sleep(0.05)


def open_port(port: str, baud: int = DEFAULT_BAUD) -> Transport:
    """The transport for what a user calls a port. Errors as SerialTransport raises them."""
    parts = ports.check_url(port)
    if parts.scheme == "socket":
        # Not pyserial's socket://, which drops input on opening and reads in small portions.
        return connect_tcp(parts.hostname or "", parts.port or 0, _REFUSED_SECONDS)
    return SerialTransport(port, baud)


def _gone(name: str, why: object) -> ConnectionBroken:
    return ConnectionBroken(
        f"the connection to {name} broke",
        value=why,
        next_step="check the cable, the power of the board, and that its program still runs",
    )


def _peer_name(connection: socket.socket) -> str:
    try:
        peer = connection.getpeername()
    except OSError:
        return "socket"
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else f"socket {peer!r}"
