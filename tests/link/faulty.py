"""A link that drops, flips, doubles and inserts bytes, splits, merges, stalls, breaks: seeded."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from exporter.link.transport import ConnectionBroken, Transport


@dataclass(frozen=True)
class Faults:
    """What goes wrong. Rates are per byte, of either direction, or per call where it says so."""

    error_rate: float = 0.0
    """A byte is dropped, has a bit flipped, is doubled, or gets a random one before it."""
    repeats_per_write: float = 0.0
    """All of what was written arrives twice."""
    stalls_per_read: float = 0.0
    stall_seconds: float = 0.0
    breaks_per_call: float = 0.0
    """The connection breaks, until `mend` is called."""
    split: bool = True
    """Writes and reads come in small portions, or several as one."""


class FaultyTransport(Transport):
    """`inner` behind the faults. What happens depends on `seed` and on what is sent alone."""

    def __init__(self, inner: Transport, seed: int, faults: Faults) -> None:
        self.name = f"faulty {inner.name}"
        self.inner = inner
        self.faults = faults
        self.injected = 0
        self.carried_bytes = 0
        self.broken = False
        self._random = random.Random(seed)
        self._held = b""
        self._action: Callable[[], None] | None = None
        self._action_at = 0
        self._until_error = self._gap()

    def now(self) -> float:
        """See Transport."""
        return self.inner.now()

    def after_bytes(self, count: int, action: Callable[[], None]) -> None:
        """Call `action` once, when `count` bytes more have passed, in the middle of a transfer."""
        self._action_at = self.carried_bytes + count
        self._action = action

    def write(self, data: bytes) -> None:
        """See Transport. A part of what was written may come with the next write or read."""
        self._perhaps_break()
        copies = 1 + (self._random.random() < self.faults.repeats_per_write)
        for _ in range(copies):
            self._held += self._damage(data)
        cut = len(self._held)
        if self.faults.split and self._random.random() < 0.5:
            cut = self._random.randrange(len(self._held) + 1)
        self._flush(cut)

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        self._perhaps_break()
        self._flush(len(self._held))
        if self._random.random() < self.faults.stalls_per_read:
            time.sleep(self.faults.stall_seconds)
        size = self._random.randrange(1, 400) if self.faults.split else max_bytes
        return self._damage(self.inner.read(min(max_bytes, size), timeout_seconds))

    def close(self) -> None:
        """See Transport."""
        self.inner.close()

    def damage(self, faults: Faults) -> None:
        """Go on with other faults."""
        self.faults = faults
        self._until_error = self._gap()

    def mend(self) -> FaultyTransport:
        """The cable is back, and whatever was on its way is lost."""
        self.broken = False
        self._held = b""
        return self

    def _flush(self, cut: int) -> None:
        if cut:
            self.inner.write(self._held[:cut])
            self._held = self._held[cut:]

    def _perhaps_break(self) -> None:
        if self._random.random() < self.faults.breaks_per_call:
            self.broken = True
            self.injected += 1
        if self.broken:
            raise ConnectionBroken(f"the connection to {self.name} broke", value="unplugged")

    def _gap(self) -> int:
        """Good bytes before the next bad one, distributed as independent errors are."""
        if not 0 < self.faults.error_rate < 1:
            return 0 if self.faults.error_rate else 1 << 62
        return int(math.log(1 - self._random.random()) / math.log1p(-self.faults.error_rate))

    def _damage(self, data: bytes) -> bytes:
        if self._action is not None and self.carried_bytes + len(data) >= self._action_at:
            action, self._action = self._action, None
            action()
        self.carried_bytes += len(data)
        done = bytearray()
        while self._until_error < len(data):
            place = self._until_error
            done += data[:place] + self._bad(data[place])
            data = data[place + 1 :]
            self._until_error = self._gap()
            self.injected += 1
        self._until_error -= len(data)
        return bytes(done) + data

    def _bad(self, byte: int) -> bytes:
        flipped = byte ^ 1 << self._random.randrange(8)
        inserted = self._random.randrange(256)
        choices = (b"", bytes([flipped]), bytes([byte, byte]), bytes([inserted, byte]))
        return self._random.choice(choices)
