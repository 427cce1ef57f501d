"""Transports for tests: the C device in memory, and a peer that says nothing of use."""

from __future__ import annotations

import ctypes
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

    @property
    def loader_entries(self) -> int:
        """How often the library's devices were to reset into their boot loader."""
        return int(self._library.stub_loader_entries())

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
