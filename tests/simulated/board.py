"""A simulated board that runs: its machine in a thread, the host's end of its line."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from exporter.link import Device
from exporter.link.pacing import Timing
from exporter.link.transport import SocketTransport
from tests.simulated.machine import Halted, Machine
from tests.simulated.serial_line import SerialLine

STOP_SECONDS = 30.0
IDLE_SECONDS = 0.002
Builder = Callable[[SerialLine], Machine]


class SimulatedBoard:
    """A context manager. A machine that comes to a halt closes the line."""

    def __init__(self, build: Builder, baud: int, *, ready: bool = True) -> None:
        self.connection, board_end = socket.socketpair()
        self._board_end = board_end
        self._line = SerialLine(board_end, baud)
        self.machine = build(self._line)
        self.machine.ready = ready
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join(STOP_SECONDS)
        self.connection.close()
        assert not self._thread.is_alive(), "the machine does not stop"
        if self.failure is not None and not isinstance(self.failure, Halted):
            raise self.failure

    def device(self) -> Device:
        """The host's side of the link: HELLO, IDENTIFY, the tensors."""
        return Device(
            SocketTransport(self.connection, "the simulated board"),
            timing=Timing(least_retry_seconds=10.0, retry_seconds=20.0),
            watchdog_share=1 / 40,
            guarded=False,
        )

    @property
    def ended(self) -> bool:
        """Whether the machine has come to a halt."""
        return not self._thread.is_alive()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until it holds, of the machine; a deadline ends the test."""
        deadline = time.monotonic() + STOP_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            self._thread.join(IDLE_SECONDS)

    def _run(self) -> None:
        machine, line = self.machine, self._line
        try:
            machine.reset()
            while not self._stopping.is_set() and not line.closed and not machine.in_loader:
                idle = machine.is_asleep() and not line.is_moving
                line.take_from_host(IDLE_SECONDS if idle else 0)
                machine.step()
                if machine.reset_wanted:
                    machine.reset()
        except BaseException as failure:  # told when the board is left
            self.failure = failure
        finally:
            with contextlib.suppress(OSError):
                self._board_end.shutdown(socket.SHUT_RDWR)
            self._board_end.close()
