"""The man in the middle: a transport that rewrites single frames between host and board.

It goes by the sequence numbers of requests, never by the order in which frames come: requests may
be repeated, and several may be under way. What it writes anew has a valid CRC.
"""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Callable

from exporter.link import frames
from exporter.link.messages import Command, Kind, Message
from exporter.link.transport import Transport

READ_REQUEST = struct.Struct("<HIH")
"""Tensor, offset, count: PROTOCOL.md, "12 READ"."""
_LONGEST_PIECE = 1 << 16


class Tamper:
    """What is done to frames on their way. This one lets everything pass.

    A frame is whole, its delimiters included. `changed` counts the frames that were not passed on
    as they came.
    """

    def __init__(self) -> None:
        self.changed = 0

    def request(self, message: Message, frame: bytes) -> bytes:
        """What the device gets for a request of the host."""
        return frame

    def reply(self, message: Message, frame: bytes, read: tuple[int, int] | None) -> bytes:
        """What the host gets for a reply. `read`: tensor and offset, where it answers a READ."""
        return frame


class Census(Tamper):
    """Lets everything pass, and counts the requests of each command, repetitions once."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[tuple[int, int]] = set()

    @property
    def requests(self) -> Counter[int]:
        """Requests by command."""
        return Counter(command for command, _ in self._seen)

    def request(self, message: Message, frame: bytes) -> bytes:
        """See Tamper."""
        self._seen.add((message.command, message.sequence))
        return frame


class Relay(Transport):
    """`inner` with a `tamper` on it, which may be exchanged at any time."""

    def __init__(self, inner: Transport) -> None:
        self.name = inner.name
        self.tamper = Tamper()
        self._inner = inner
        self._to_device = _Splitter()
        self._to_host = _Splitter()
        self._arrived = bytearray()
        self._reads: dict[int, tuple[int, int]] = {}

    def write(self, data: bytes) -> None:
        """See Transport."""
        passed = self._to_device.feed(data, self._request)
        if passed:
            self._inner.write(passed)

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        deadline = time.monotonic() + timeout_seconds
        while not self._arrived:
            remaining = deadline - time.monotonic()
            data = self._inner.read(max_bytes, max(0.0, remaining))
            self._arrived += self._to_host.feed(data, self._reply)
            if remaining <= 0:
                break
        data = bytes(self._arrived[:max_bytes])
        del self._arrived[:max_bytes]
        return data

    def close(self) -> None:
        """See Transport."""
        self._inner.close()

    def _request(self, message: Message, frame: bytes) -> bytes:
        if message.kind != Kind.REQUEST:
            return frame
        if message.command == Command.READ and len(message.payload) == READ_REQUEST.size:
            tensor, offset, _ = READ_REQUEST.unpack(message.payload)
            self._reads[message.sequence] = tensor, offset
        return self._counted(frame, self.tamper.request(message, frame))

    def _reply(self, message: Message, frame: bytes) -> bytes:
        if message.kind != Kind.REPLY:
            return frame
        read = self._reads.get(message.sequence) if message.command == Command.READ else None
        return self._counted(frame, self.tamper.reply(message, frame, read))

    def _counted(self, frame: bytes, passed: bytes) -> bytes:
        self.tamper.changed += passed != frame
        return passed


class _Splitter:
    """Finds whole frames in a stream; what is none passes as it is."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes, passed: Callable[[Message, bytes], bytes]) -> bytes:
        """The bytes to pass on, each message in them replaced by what `passed` makes of it."""
        *ended, self._pending = (self._pending + data).split(frames.DELIMITER)
        out = b"".join(_passed(encoded, passed) for encoded in ended)
        if len(self._pending) > _LONGEST_PIECE:  # noise, not a frame
            out, self._pending = out + self._pending, b""
        return out


def _passed(encoded: bytes, passed: Callable[[Message, bytes], bytes]) -> bytes:
    """A frame without its delimiters, as it is to be sent; nothing stands between two frames."""
    if not encoded:
        return b""
    frame = frames.DELIMITER + encoded + frames.DELIMITER
    body = frames.decode(encoded)
    message = Message.decode(body) if body is not None else None
    return frame if message is None else passed(message, frame)
