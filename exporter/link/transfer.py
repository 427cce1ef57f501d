"""A tensor on its way, in portions: several requests ahead of their replies, none of them twice.

PROTOCOL.md, "Transfers", is the authority. Replies come in the order of the requests, so a reply
tells of all requests before it: those still open were lost, and what they carried is asked for
anew, under a new sequence number.
"""

from __future__ import annotations

import abc
import struct
from dataclasses import dataclass

from exporter.link import frames
from exporter.link.failures import misfit
from exporter.link.messages import HEADER, Command, Kind, Message, Status
from exporter.link.session import Session
from exporter.link.transport import ConnectionBroken

REPLY_AHEAD_BYTES = 16384
"""Replies to have outstanding at most: what any host's driver holds while it is busy."""
FRAME_BYTES = 2 + 1 + frames.CRC_BYTES + HEADER.size
"""A frame without its payload, but for one byte of COBS for each 254."""
_LEAST_PAYLOAD_BYTES = 24
_MISSING, _ASKED, _THERE = 0, 1, 2
_MARKED = {state: bytes([state, state, _THERE]) + bytes(253) for state in range(3)}


class Content(abc.ABC):
    """Bytes of a tensor that a command moves, `size` of them."""

    command: Command
    size: int
    header_bytes: int
    """Of the request's payload."""

    @abc.abstractmethod
    def request(self, start: int, end: int) -> bytes:
        """The payload of the request for bytes `start` to `end`."""

    @abc.abstractmethod
    def take(self, start: int, end: int, payload: bytes) -> None:
        """The reply to it. Raises LinkFailed where it does not fit."""


class WriteContent(Content):
    """Bytes for the tensor called `number` on the link."""

    command = Command.WRITE
    HEADER = struct.Struct("<HI")  # tensor, offset
    header_bytes = HEADER.size

    def __init__(self, number: int, data: bytes) -> None:
        self._number = number
        self._data = data
        self.size = len(data)

    def request(self, start: int, end: int) -> bytes:
        """See Content."""
        return self.HEADER.pack(self._number, start) + self._data[start:end]

    def take(self, start: int, end: int, payload: bytes) -> None:
        """See Content."""
        if payload:
            raise misfit(Command.WRITE, f"{len(payload)} bytes where none were asked for")


class ReadContent(Content):
    """`size` bytes of the tensor called `number` on the link: `data`, once they are there."""

    command = Command.READ
    HEADER = struct.Struct("<HIH")  # tensor, offset, count
    header_bytes = HEADER.size

    def __init__(self, number: int, size: int) -> None:
        self._number = number
        self.size = size
        self.data = bytearray(size)

    def request(self, start: int, end: int) -> bytes:
        """See Content."""
        return self.HEADER.pack(self._number, start, end - start)

    def take(self, start: int, end: int, payload: bytes) -> None:
        """See Content."""
        if len(payload) != end - start:
            raise misfit(Command.READ, f"{len(payload)} bytes where {end - start} were asked for")
        self.data[start:end] = payload


@dataclass(frozen=True)
class _Portion:
    start: int
    end: int
    frame_bytes: int
    sent_at: float

    @property
    def size(self) -> int:
        return self.end - self.start


def transfer(session: Session, content: Content, seconds: float) -> None:
    """Move all of `content` within `seconds`. Raises as Session.request."""
    with session.telling(content.command.name):
        _Transfer(session, content, session.now() + seconds).run(seconds)


class _Transfer:
    def __init__(self, session: Session, content: Content, deadline: float) -> None:
        self._session = session
        self._content = content
        self._deadline = deadline
        self._bytes = bytearray(content.size)  # of each: missing, asked for, there
        self._left = content.size
        self._open: dict[int, _Portion] = {}  # by sequence number, oldest first
        self._doubted: dict[int, _Portion] = {}  # asked for anew; their replies still count
        self._most = _most_bytes(session, content)
        self._repairs = session.timing.quick_repeats
        self._pause = session.pause(content.command, session.window_bytes)
        self._waiting_since = session.now()

    def run(self, seconds: float) -> None:
        """Until every byte is there."""
        while self._left > 0:
            try:
                self._step()
            except ConnectionBroken as broken:
                self._session.reconnect(broken, self._deadline)
                self._forget()
            if self._left > 0 and self._session.now() >= self._deadline:
                raise self._session.unanswered(self._content.command, seconds)

    def _step(self) -> None:
        self._ask_ahead()
        overdue = self._waiting_since + self._pause
        self._see(self._session.next_message(min(overdue, self._deadline)))
        if self._session.now() >= self._waiting_since + self._pause:
            self._repeat_oldest()

    def _ask_ahead(self) -> None:
        """Ask for what is missing as long as the device can hold the requests."""
        while (start := self._bytes.find(_MISSING)) >= 0:
            size = min(self._most, self._session.portion.bytes)
            end = min(start + size, len(self._bytes))
            ends = (self._bytes.find(state, start, end) for state in (_ASKED, _THERE))
            end = min([end, *(place for place in ends if place >= 0)])
            if not self._has_room(end - start):
                return
            self._ask(start, end)

    def _has_room(self, size: int) -> bool:
        open_frames = sum(portion.frame_bytes for portion in self._open.values())
        open_replies = sum(portion.size for portion in self._open.values())
        request = self._frame_bytes(size)
        return not self._open or (
            open_frames + request <= self._session.window_bytes
            and open_replies + size <= REPLY_AHEAD_BYTES
        )

    def _frame_bytes(self, size: int) -> int:
        payload = self._content.header_bytes
        payload += size if self._content.command == Command.WRITE else 0
        return FRAME_BYTES + payload + payload // 254

    def _ask(self, start: int, end: int) -> None:
        if not self._open:
            self._waiting_since = self._session.now()
        payload = self._content.request(start, end)
        sequence, frame_bytes = self._session.post(self._content.command, payload)
        self._open[sequence] = _Portion(start, end, frame_bytes, self._session.now())
        self._mark(start, end, _ASKED)

    def _mark(self, start: int, end: int, state: int) -> None:
        """What is there stays there."""
        before = self._bytes[start:end]
        self._left -= (end - start - before.count(_THERE)) if state == _THERE else 0
        self._bytes[start:end] = before.translate(_MARKED[state])

    def _see(self, message: Message | None) -> None:
        if message is None:
            return
        if message.kind == Kind.DAMAGED:
            self._doubt_oldest()
        elif message.kind == Kind.REPLY and message.command == self._content.command:
            self._take(message)

    def _take(self, message: Message) -> None:
        portion = self._open.get(message.sequence) or self._doubted.get(message.sequence)
        if portion is None or not self._session.concerns_us(message):
            return
        if message.status == Status.STALE:
            self._lose(message.sequence)
            return
        payload = self._session.accept(self._content.command, message)
        self._content.take(portion.start, portion.end, payload)
        self._mark(portion.start, portion.end, _THERE)
        self._session.answered(self._content.command, portion.sent_at)
        self._session.portion.arrived(portion.size)
        self._lose_before(message.sequence)
        self._repairs = self._session.timing.quick_repeats
        self._pause = self._session.pause(self._content.command, self._session.window_bytes)
        self._waiting_since = self._session.now()

    def _lose_before(self, sequence: int) -> None:
        """Replies come in order: what was asked for before this one got none, or it was lost."""
        for older in [s for s in self._open if (sequence - s) & 0xFFFF < 0x8000]:
            portion = self._open[older]
            if older == sequence:
                del self._open[older]
            else:
                self._lose(older)
                self._session.portion.lost(portion.size)
        self._doubted = {
            s: p for s, p in self._doubted.items() if (sequence - s) & 0xFFFF >= 0x8000
        }

    def _lose(self, sequence: int) -> None:
        """Ask for it anew."""
        portion = self._open.pop(sequence, None)
        if portion is not None:
            self._mark(portion.start, portion.end, _MISSING)
            self._session.history.counts.repeated_requests += 1

    def _doubt_oldest(self) -> None:
        """A frame came damaged, here or there: as replies come in order, it was the oldest one's.

        Not for ever, since what damages frames may be a peer that babbles.
        """
        if self._open and self._repairs > 0:
            self._repairs -= 1
            oldest, portion = next(iter(self._open.items()))
            self._doubted[oldest] = portion
            self._session.portion.lost(portion.size)
            self._lose(oldest)

    def _repeat_oldest(self) -> None:
        """No reply for long: one small request more, whose reply tells of all before it."""
        self._session.history.counts.time_outs += 1
        self._pause = min(2 * self._pause, self._session.timing.longest_retry_seconds)
        self._waiting_since = self._session.now()
        if self._open:
            portion = next(iter(self._open.values()))
            self._session.portion.lost(portion.size)
            end = min(portion.end, portion.start + self._session.portion.bytes)
            self._session.history.counts.repeated_requests += 1
            self._ask(portion.start, end)

    def _forget(self) -> None:
        """Another connection: nothing sent on the old one will be answered."""
        for sequence in list(self._open):
            self._lose(sequence)
        self._doubted.clear()


def _most_bytes(session: Session, content: Content) -> int:
    """Bytes of a portion, so that two requests fit the window and each the largest payload."""
    if content.command != Command.WRITE:
        return session.max_payload
    payload = min(session.max_payload, session.window_bytes // 2 - FRAME_BYTES)
    payload -= max(0, payload) // 254
    return max(payload, _LEAST_PAYLOAD_BYTES) - content.header_bytes
