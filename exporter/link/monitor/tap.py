"""Between the port and the link: bytes are counted, and lines of plain text among them found."""

from __future__ import annotations

import string
from collections.abc import Callable

from exporter.link.transport import Transport

_MAX_LINE_BYTES = 1024
_PRINTABLE = frozenset(string.printable.encode()) - frozenset(b"\x0b\x0c\n")


class Tap(Transport):
    """Passes bytes on. It only borrows the transport: `close` leaves that open."""

    def __init__(self, transport: Transport, on_text: Callable[[str], None]) -> None:
        self.name = transport.name
        self.received_bytes = 0
        self.sent_bytes = 0
        self.text_lines = 0
        self._transport = transport
        self._on_text = on_text
        self._lines = TextLines()

    def write(self, data: bytes) -> None:
        """See Transport."""
        self._transport.write(data)
        self.sent_bytes += len(data)

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        data = self._transport.read(max_bytes, timeout_seconds)
        self.received_bytes += len(data)
        for line in self._lines.feed(data):
            self.text_lines += 1
            self._on_text(line)
        return data

    def close(self) -> None:
        """The owner of the transport closes it: a session that fails must not cost the port."""


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
