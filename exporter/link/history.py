"""What went over a link lately: what an error says besides what went wrong."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from exporter.errors import LinkFailed
from exporter.link.messages import Command, LogLine, Message

SENT_FRAMES = 8
LOG_LINES = 20
RECEIVED_BYTES = 64


@dataclass
class LinkCounts:
    """Of one session, over all connections."""

    sent_bytes: int = 0
    received_bytes: int = 0
    repeated_requests: int = 0
    damaged_frames: int = 0
    """Frames received that were cut or failed their CRC."""
    damage_notices: int = 0
    """What the device said of frames that came to it damaged."""
    time_outs: int = 0
    reconnections: int = 0


class History:
    """The last frames sent, bytes received and log lines, bounded; and the counts."""

    def __init__(self) -> None:
        self.counts = LinkCounts()
        self._sent: deque[str] = deque(maxlen=SENT_FRAMES)
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._received = b""

    @property
    def last_bytes(self) -> bytes:
        """The last bytes received, damaged ones included."""
        return self._received

    def sent(self, request: Message, frame_bytes: int) -> None:
        """A request went out."""
        self.counts.sent_bytes += frame_bytes
        name = Command(request.command).name
        self._sent.append(f"{name}, sequence {request.sequence}, {frame_bytes} bytes")

    def received(self, data: bytes) -> None:
        """Bytes came in."""
        self.counts.received_bytes += len(data)
        self._received = (self._received + data)[-RECEIVED_BYTES:]

    def logged(self, line: LogLine) -> None:
        """The device sent a log line."""
        self._log.append(f"{line.level}: {line.text}")

    def attach(self, error: LinkFailed) -> None:
        """Give `error` what was sent, what came, and the log of the device."""
        error.sent = tuple(self._sent)
        error.received = self._received
        error.log = tuple(self._log)

    def describe(self) -> str:
        """What was sent last and what came in this session, in one line."""
        text = (
            f"sent last: {'; '.join(list(self._sent)[-2:])}; "
            f"received in this session {self.counts.received_bytes} bytes, "
            f"{self.counts.damaged_frames} damaged frames, "
            f"last bytes {self._received.hex(' ') or 'none'}"
        )
        return f"{text}; the device's last log line: {self._log[-1]}" if self._log else text
