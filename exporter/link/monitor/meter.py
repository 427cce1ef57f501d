"""How much goes over a link, and how many inferences are made: told once a second."""

from __future__ import annotations

import time
from collections.abc import Callable

from exporter.link.monitor import events
from exporter.link.monitor.events import Event, now
from exporter.link.monitor.tap import Tap

_EVERY_SECONDS = 1.0


class Meter:
    """Counts from when it is made; `inferences` is raised by whoever makes them."""

    def __init__(self, tap: Tap, take: Callable[[Event], None]) -> None:
        self.inferences = 0
        self._tap = tap
        self._take = take
        self._since = time.monotonic()
        self._counted = (0, 0, 0)

    def when_due(self, *, bad_frames: int, repeated_requests: int = 0) -> None:
        """Tell, where a second has passed."""
        if time.monotonic() - self._since >= _EVERY_SECONDS:
            self.tell(bad_frames=bad_frames, repeated_requests=repeated_requests)

    def tell(self, *, bad_frames: int, repeated_requests: int = 0) -> None:
        """Tell what has happened since the last time."""
        at = time.monotonic()
        counts = (self._tap.received_bytes, self._tap.sent_bytes, self.inferences)
        received, sent, inferences = (
            count - before for count, before in zip(counts, self._counted, strict=True)
        )
        self._take(
            events.Throughput(
                at=now(),
                seconds=at - self._since,
                received_bytes=received,
                sent_bytes=sent,
                inferences=inferences,
                bad_frames=bad_frames,
                repeated_requests=repeated_requests,
            )
        )
        self._since, self._counted = at, counts
