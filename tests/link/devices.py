"""Transports for tests: the C device in memory, and a link that damages what it carries."""

from __future__ import annotations

import ctypes
import random
import time

from exporter.link import Transport

BOOT_NONCE = 0x12345678


class StubTransport(Transport):
    """Bytes written are received by the C device at once; what it sends can be read at once."""

    name = "stub"

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.stub_sent.restype = ctypes.c_size_t
        library.stub_receive.restype = ctypes.c_bool
        self._buffer = ctypes.create_string_buffer(1 << 20)
        self.resets = 0
        self.closed = False
        self.boot(BOOT_NONCE)

    def boot(self, nonce: int) -> None:
        """Start the device anew, as a power cycle does; its log line `boot` is lost."""
        self._library.stub_boot(ctypes.c_uint32(nonce))
        self.read(len(self._buffer), 0)

    def write(self, data: bytes) -> None:
        """See Transport."""
        self.resets += self._library.stub_receive(data, ctypes.c_size_t(len(data)))

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport. Nothing can arrive later, so time passes only for the caller's sake."""
        count = self._library.stub_sent(self._buffer, ctypes.c_size_t(max_bytes))
        if count == 0 and timeout_seconds > 0:
            time.sleep(timeout_seconds)
        return self._buffer.raw[:count]

    def close(self) -> None:
        """See Transport."""
        self.closed = True


class FaultyTransport(Transport):
    """Damages single bytes at `error_rate` in both directions, and repeats whole writes.

    A damaged byte is dropped, has a bit flipped, is doubled, or gets a random one before it.
    """

    name = "faulty"

    def __init__(self, inner: Transport, seed: int, error_rate: float) -> None:
        self._inner = inner
        self._random = random.Random(seed)
        self._error_rate = error_rate

    def _damage(self, data: bytes) -> bytes:
        return b"".join(self._damage_byte(byte) for byte in data)

    def _damage_byte(self, byte: int) -> bytes:
        if self._random.random() >= self._error_rate:
            return bytes([byte])
        flipped = byte ^ 1 << self._random.randrange(8)
        inserted = self._random.randrange(256)
        choices = (b"", bytes([flipped]), bytes([byte, byte]), bytes([inserted, byte]))
        return self._random.choice(choices)

    def write(self, data: bytes) -> None:
        """See Transport."""
        copies = 2 if self._random.random() < 10 * self._error_rate else 1
        for _ in range(copies):
            damaged = self._damage(data)
            cut = self._random.randrange(len(damaged) + 1)
            self._inner.write(damaged[:cut])
            self._inner.write(damaged[cut:])

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport. Reads come in small portions."""
        size = self._random.randrange(1, 40)
        return self._damage(self._inner.read(min(max_bytes, size), timeout_seconds))

    def close(self) -> None:
        """See Transport."""
        self._inner.close()


class SilentTransport(Transport):
    """Swallows everything; says `noise` now and then."""

    name = "silent"

    def __init__(self, noise: bytes = b"") -> None:
        self._noise = noise
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        """See Transport."""
        self.written += data

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        time.sleep(min(timeout_seconds, 0.01))
        return self._noise[:max_bytes]

    def close(self) -> None:
        """See Transport."""
        self.closed = True
