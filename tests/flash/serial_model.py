"""A device at the other end of a pty, in a thread; what models of boot loaders are built on."""

from __future__ import annotations

import os
import pty
import select
import termios
import threading
import tty
from abc import ABC, abstractmethod
from collections import deque
from types import TracebackType
from typing import Self

_END_SECONDS = 20.0
_CHUNK_BYTES = 4096
BAUD_RATES = {termios.B300: 300, termios.B115200: 115200, termios.B460800: 460800}


class PowerLost(Exception):
    """The device has no power any more."""


class SerialModel(ABC):
    """`path` is its port; `received` every byte that it got. A context manager.

    With `cut_at_byte` the power goes once that many bytes have come, and `power_on` brings it back.
    A byte of a position in `flipped` arrives with one bit wrong.
    """

    def __init__(self, *, cut_at_byte: int | None = None, flipped: tuple[int, ...] = ()) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self.received = bytearray()
        self.cut_at_byte = cut_at_byte
        self.flipped = flipped
        self.failure: BaseException | None = None
        self._arrived: deque[int] = deque()
        self.unplugs = False
        """Whether a cut takes the port, too."""
        self._plugged = True
        self._bell, self._ringer = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"model on {self.path}")

    @abstractmethod
    def boot(self) -> None:
        """What the device does with power, until it is lost: for ever."""

    def take(self, count: int) -> bytes:
        """The next bytes from the host. Raises PowerLost."""
        start = len(self.received)
        while len(self.received) < start + count:
            if self.cut_at_byte is not None and len(self.received) >= self.cut_at_byte:
                self.cut_at_byte = None
                if self.unplugs:
                    self.unplug()
                self._arrived.clear()
                raise PowerLost
            if not self._arrived:
                self._wait()
            byte = self._arrived.popleft()
            self.received.append(byte ^ 0x10 if len(self.received) in self.flipped else byte)
        return bytes(self.received[start:])

    def _wait(self) -> None:
        if self._bell in select.select([self._bell, self._master], [], [])[0]:
            raise EOFError
        self._arrived.extend(os.read(self._master, _CHUNK_BYTES))

    def give(self, data: bytes) -> None:
        """Bytes to the host."""
        os.write(self._master, data)

    def fresh_port(self) -> str:
        """The port, at another baud rate than hosts set.

        A pty has no parity, and glibc refuses settings of which nothing is taken.
        """
        settings = termios.tcgetattr(self._slave)
        settings[4] = settings[5] = termios.B300
        termios.tcsetattr(self._slave, termios.TCSANOW, settings)
        return self.path

    def host_baud(self) -> int:
        """The rate that the host has set."""
        return BAUD_RATES.get(termios.tcgetattr(self._slave)[4], 0)

    def unplug(self) -> None:
        """The port is gone, for good: another model takes over."""
        for descriptor in (self._master, self._slave):
            os.close(descriptor)
        self._plugged = False

    def power_on(self) -> None:
        """After a cut: what was sent in between is lost."""
        self._thread.join(_END_SECONDS)
        assert not self._thread.is_alive(), "it still has power"
        while select.select([self._master], [], [], 0)[0]:
            os.read(self._master, _CHUNK_BYTES)
        self._thread = threading.Thread(target=self._run, name=f"model on {self.path}")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.boot()
        except (PowerLost, EOFError):
            pass
        except BaseException as failure:
            self.failure = failure
            raise

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.write(self._ringer, b"!")
        self._thread.join(_END_SECONDS)
        for descriptor in (self._bell, self._ringer):
            os.close(descriptor)
        if self._plugged:
            self.unplug()
        assert self.failure is None
