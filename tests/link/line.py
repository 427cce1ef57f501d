"""A serial line of a given baud rate behind USB of a given latency, on a clock of its own.

The device is the C side of the link (stub_platform.c), fed byte by byte as the bytes arrive.
Nothing waits in real time, so that rates are exact and the same on any computer.
"""

from __future__ import annotations

import ctypes
from collections import deque

from exporter.link.transport import Transport
from tests.link.devices import BOOT_NONCE

BITS_PER_BYTE = 10
"""8N1: start bit, eight data bits, stop bit."""
PACKET_BYTES = 62
"""What a USB converter passes on at once: a full-speed packet but for its two status bytes."""


class SimulatedLine(Transport):
    """Bytes in both directions at `baud`, each `latency_seconds` late.

    The device serves one request at a time: it is busy until the last byte of its reply has been
    handed to the UART, and `busy_seconds` longer. What arrives meanwhile waits in a ring of
    `ring_bytes`; what exceeds that is lost, and counted in `overruns`.
    """

    name = "a simulated line"

    def __init__(
        self,
        library: ctypes.CDLL,
        *,
        baud: int,
        latency_seconds: float,
        ring_bytes: int,
        busy_seconds: float = 0.0,
    ) -> None:
        self._library = library
        library.stub_sent.restype = ctypes.c_size_t
        library.stub_receive.restype = ctypes.c_bool
        self._byte_seconds = BITS_PER_BYTE / baud
        self._latency = latency_seconds
        self._ring_bytes = ring_bytes
        self.busy_seconds = busy_seconds
        self.overruns = 0
        self.fullest_ring = 0
        self._buffer = ctypes.create_string_buffer(1 << 20)
        self._now = 0.0
        self._down_free = 0.0  # when the line to the device is idle again
        self._device_free = 0.0
        self._down: deque[tuple[float, int]] = deque()  # arrival, byte
        self._ring: deque[int] = deque()
        self._up: deque[tuple[float, bytes]] = deque()  # arrival, packet
        library.stub_boot(ctypes.c_uint32(BOOT_NONCE))
        library.stub_sent(self._buffer, ctypes.c_size_t(len(self._buffer)))

    def now(self) -> float:
        """See Transport: the simulated time."""
        return self._now

    def write(self, data: bytes) -> None:
        """See Transport. The operating system takes all of it at once."""
        start = max(self._now + self._latency, self._down_free)
        self._down.extend(
            (start + (place + 1) * self._byte_seconds, byte) for place, byte in enumerate(data)
        )
        self._down_free = start + len(data) * self._byte_seconds

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport. Time passes until there is something, or `timeout_seconds`."""
        until = self._now + timeout_seconds
        while not (self._up and self._up[0][0] <= self._now):
            if not self._advance(until):
                self._now = max(self._now, until)
                return b""
        arrival, packet = self._up.popleft()
        if len(packet) > max_bytes:
            self._up.appendleft((arrival, packet[max_bytes:]))
        return packet[:max_bytes]

    def close(self) -> None:
        """See Transport."""

    def _advance(self, until: float) -> bool:
        """One event more; False where none comes until then."""
        reply = self._up[0][0] if self._up else float("inf")
        arrival = self._down[0][0] if self._down else float("inf")
        serving = max(self._now, self._device_free) if self._ring else float("inf")
        when = min(reply, arrival, serving)
        if when > until:
            return False
        self._now = max(self._now, when)
        if when == serving:
            self._serve()
        elif when == arrival:
            self._arrive(self._down.popleft()[1])
        return True

    def _arrive(self, byte: int) -> None:
        if len(self._ring) == self._ring_bytes:
            self.overruns += 1
            return
        self._ring.append(byte)
        self.fullest_ring = max(self.fullest_ring, len(self._ring))

    def _serve(self) -> None:
        """The device takes a byte; what it answers keeps it busy while it is sent."""
        self._library.stub_receive(bytes([self._ring.popleft()]), ctypes.c_size_t(1))
        count = self._library.stub_sent(self._buffer, ctypes.c_size_t(len(self._buffer)))
        sent = self._buffer.raw[:count] if count else b""
        for start in range(0, count, PACKET_BYTES):
            packet = sent[start : start + PACKET_BYTES]
            gone = self._now + (start + len(packet)) * self._byte_seconds
            self._up.append((gone + self._latency, packet))
        if count:
            self._device_free = self._now + count * self._byte_seconds + self.busy_seconds
