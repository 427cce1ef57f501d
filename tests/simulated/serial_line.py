"""The serial cable between the host and a UART: one frame of ten bits after the other.

The host sends at its own rate. A UART at a rate that is off by more than MOST_ERROR, or whose pin
is not routed, gets or sends nothing that the host could read, and that is a violation.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

FRAME_BITS = 10
MOST_ERROR = 0.02
"""Ten bits must not shift by half of one, of which the sender may use half: about 2.5 % remain."""


class Receiver(Protocol):
    """A UART that takes what the line brings."""

    def receive(self, byte: int) -> None:
        """One byte has arrived."""


class SerialLine:
    """The host's end is `connection`'s peer; `baud` is the host's."""

    def __init__(self, connection: socket.socket, baud: int) -> None:
        self._connection = connection
        self.baud = baud
        self._to_board: deque[int] = deque()
        self._receiver: Receiver | None = None
        self._moving = False
        self._after: Callable[[float, Callable[[], None]], None] | None = None
        self.closed = False
        self.bytes_sent = 0

    @property
    def frame_seconds(self) -> float:
        """How long a byte takes."""
        return FRAME_BITS / self.baud

    @property
    def is_moving(self) -> bool:
        """Whether a byte is under way to the board."""
        return self._moving

    def attach(
        self, receiver: Receiver, after: Callable[[float, Callable[[], None]], None]
    ) -> None:
        """The board's UART, and the machine's clock."""
        self._receiver, self._after = receiver, after

    def restart(self) -> None:
        """The machine forgot its events; what was under way is lost."""
        self._moving = False

    def take_from_host(self, wait_seconds: float) -> bool:
        """Move what the host has sent onto the line. Returns whether there was any."""
        if self.closed or not select.select([self._connection], [], [], wait_seconds)[0]:
            return False
        data = self._connection.recv(4096)
        self.closed = not data
        self._to_board.extend(data)
        self._move()
        return bool(data)

    def _move(self) -> None:
        if self._to_board and not self._moving and self._after is not None:
            self._moving = True
            self._after(self.frame_seconds, self._arrive)

    def _arrive(self) -> None:
        self._moving = False
        byte = self._to_board.popleft()
        self._move()
        assert self._receiver is not None
        self._receiver.receive(byte)

    def is_off(self, baud: float) -> bool:
        """Whether a UART at this rate cannot be understood."""
        return abs(baud / self.baud - 1) > MOST_ERROR

    def send(self, byte: int) -> None:
        """One byte from the board has arrived at the host."""
        self.bytes_sent += 1
        try:
            self._connection.sendall(bytes([byte]))
        except OSError:
            self.closed = True
