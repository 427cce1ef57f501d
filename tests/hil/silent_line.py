"""A serial port behind which nobody answers; what is sent to it can be read."""

from __future__ import annotations

import os
import pty
import select
import tty
from types import TracebackType
from typing import Self


class Line:
    """A terminal as a serial port, `path`. A context manager."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)

    def received(self) -> bytes:
        """All that was sent to it since the last call."""
        data = b""
        while select.select([self.master], [], [], 0)[0]:
            data += os.read(self.master, 4096)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self.master)
        os.close(self.slave)
