"""Hears what a device says unasked, and sends nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from exporter.link import frames
from exporter.link.messages import Kind, LogLine, Message
from exporter.link.monitor.meter import Meter
from exporter.link.monitor.tap import Tap

_READ_BYTES = 4096
_LONGEST_READ_SECONDS = 0.25


class Listener:
    """Hands on log lines, and notices when another boot speaks."""

    def __init__(
        self,
        tap: Tap,
        meter: Meter,
        on_log: Callable[[LogLine], None],
        on_boot: Callable[[], None],
    ) -> None:
        self._tap = tap
        self._meter = meter
        self._on_log = on_log
        self._on_boot = on_boot
        self._decoder = frames.Decoder()
        self._last: LogLine | None = None

    def listen(self, seconds: float) -> bool:
        """Whether a frame came within that time; returns as soon as one does."""
        deadline = time.monotonic() + seconds
        heard = False
        while not heard and (remaining := deadline - time.monotonic()) > 0:
            data = self._tap.read(_READ_BYTES, min(remaining, _LONGEST_READ_SECONDS))
            for body in self._decoder.feed(data):
                heard = True
                message = Message.decode(body)
                if message is not None and message.kind == Kind.LOG:
                    self._hear(LogLine.of(message))
            self._meter.when_due(bad_frames=self._decoder.bad_frames)
        return heard

    def _hear(self, line: LogLine) -> None:
        last, self._last = self._last, line
        # The nonce changes in a boot, too, when a host says the first HELLO; the lines go on then.
        if last and last.boot_nonce != line.boot_nonce and line.sequence <= last.sequence:
            self._on_boot()
        self._on_log(line)
