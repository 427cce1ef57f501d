"""The plain monitor of `nanoexport monitor`: what a device says, line by line, with its time.

It shows the log lines of the link, and plain text from firmware that does not speak it.
"""

from __future__ import annotations

import string
import time
from collections.abc import Callable
from datetime import datetime
from typing import TextIO

from exporter.errors import MissingTool
from exporter.link.device import read_identity
from exporter.link.messages import LogLine
from exporter.link.session import DeviceRestarted, NoAnswer, Session, Timing
from exporter.link.transport import ConnectionBroken, Transport

_LISTEN_SECONDS = 0.5
_REOPEN_SECONDS = 0.25
_MAX_LINE_BYTES = 1024
_PRINTABLE = frozenset(string.printable.encode()) - frozenset(b"\x0b\x0c\n")


def monitor(
    open_transport: Callable[[], Transport],
    out: TextIO,
    *,
    timing: Timing | None = None,
    reopen_seconds: float = 30.0,
) -> None:
    """Print what the device says until Ctrl-C, which returns.

    After a restart or a loss of the port it connects again, trying for `reopen_seconds`. Raises
    MissingTool where the port cannot be opened, LinkFailed for another protocol version.
    """
    printer = _Printer(out)
    timing = timing or Timing(handshake_seconds=3.0)
    try:
        transport = open_transport()
        while True:
            try:
                _watch(transport, printer, timing)
            except ConnectionBroken as broken:
                printer.note(f"{broken.what}: {broken.value}; waiting for it")
            finally:
                transport.close()
            transport = _reopen(open_transport, reopen_seconds)
    except KeyboardInterrupt:
        printer.note("end")


def _watch(transport: Transport, printer: _Printer, timing: Timing) -> None:
    """Print until the connection breaks."""
    shown = _ShowText(transport, printer)
    session = Session(shown, timing, printer.log)
    try:
        session.handshake()
        _introduce(session, printer)
    except NoAnswer:
        printer.note(f"{transport.name} does not answer; showing the text it sends")
    while True:
        try:
            session.poll(_LISTEN_SECONDS)
        except DeviceRestarted as restart:
            printer.note(f"{restart.what}: {restart.value}")
            _introduce(session, printer)


def _introduce(session: Session, printer: _Printer) -> None:
    identity = read_identity(session)
    printer.origin = f"{identity.model_name}@{identity.board}"
    printer.note(f"build {identity.build_id[:12]}, dialect {identity.dialect}")


def _reopen(open_transport: Callable[[], Transport], seconds: float) -> Transport:
    deadline = time.monotonic() + seconds
    while True:
        time.sleep(_REOPEN_SECONDS)
        try:
            return open_transport()
        except MissingTool:
            if time.monotonic() >= deadline:
                raise


class _Printer:
    """Writes lines: time, origin, boot nonce of the device, text."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.origin = "device"

    def log(self, line: LogLine) -> None:
        self._print(f"{self.origin} [{line.boot_nonce:08x}] {line.level}: {line.text}")

    def text(self, line: str) -> None:
        self._print(f"{self.origin}: {line}")

    def note(self, text: str) -> None:
        self._print(f"-- {self.origin}: {text}")

    def _print(self, line: str) -> None:
        now = datetime.now().isoformat(sep=" ", timespec="milliseconds")
        print(now.split(" ")[1], line, file=self._out, flush=True)


class _ShowText(Transport):
    """Passes bytes on, and prints the lines of plain text among them."""

    def __init__(self, transport: Transport, printer: _Printer) -> None:
        self.name = transport.name
        self._transport = transport
        self._printer = printer
        self._lines = TextLines()

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        data = self._transport.read(max_bytes, timeout_seconds)
        for line in self._lines.feed(data):
            self._printer.text(line)
        return data

    def close(self) -> None:
        self._transport.close()


class TextLines:
    """Finds lines of plain text in a stream that may also carry frames.

    The second byte of a frame is its version, which is not printable; so whatever holds such a byte
    is passed over up to the next delimiter.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._passed_over = 0

    def feed(self, data: bytes) -> list[str]:
        """Take received bytes; return the lines they complete, without their ends."""
        lines = []
        for byte in data:
            if byte == 0:
                self._line.clear()
                self._passed_over = 0
            elif self._passed_over:
                # Text firmware sends no delimiter: after a damaged byte, go on some time later.
                self._passed_over = (self._passed_over + 1) % _MAX_LINE_BYTES
            elif byte == ord("\n"):
                lines.append(self._line.decode("ascii").rstrip("\r"))
                self._line.clear()
            elif byte in _PRINTABLE and len(self._line) < _MAX_LINE_BYTES:
                self._line.append(byte)
            else:
                self._line.clear()
                self._passed_over = 1
        return [line for line in lines if line]
