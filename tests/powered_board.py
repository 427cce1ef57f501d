"""An emulated board as a farm has it: on a serial cable that stays, with a power switch."""

from __future__ import annotations

import contextlib
import os
import pty
import queue
import select
import socket
import termios
import threading
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from exporter.board import Board
from exporter.flash import Emulator

_SWITCH_SECONDS = 60.0
_CHUNK_BYTES = 4096


class PoweredBoard:
    """`path` is the serial port of the board: a pty that outlives the emulator behind it.

    While the power is off, what is sent to the board is lost. A context manager; the power is on at
    first. One thread does everything: the kernel ends an emulator with the thread that started it.
    """

    def __init__(self, board: Board, elf: Path) -> None:
        self._board = board
        self._elf = elf
        self._emulator: Emulator | None = None
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self.boots = 0
        self._wishes: queue.Queue[bool | None] = queue.Queue()
        self._bell, self._ringer = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name=f"board on {self.path}")
        self._thread.start()

    def __enter__(self) -> Self:
        self.switch(on=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wish(None)
        self._thread.join(_SWITCH_SECONDS)
        for end in (self._bell, self._ringer):
            end.close()
        for descriptor in (self._master, self._slave):
            os.close(descriptor)

    def switch(self, *, on: bool) -> None:
        """Switch the power; returns when it is done."""
        self._wish(on)
        self._wishes.join()

    def replace(self, elf: Path) -> None:
        """Another image in its flash, started."""
        self.switch(on=False)
        self._elf = elf
        self.switch(on=True)

    @property
    def on(self) -> bool:
        """Whether the board has power."""
        return self._emulator is not None

    def _wish(self, wish: bool | None) -> None:
        self._wishes.put(wish)
        self._ringer.send(b"!")

    def _run(self) -> None:
        while True:
            sources: list[int | socket.socket] = [self._bell, self._master]
            if self._emulator is not None:
                sources.append(self._emulator.connection)
            ready = select.select(sources, [], [])[0]
            if self._bell in ready:
                self._bell.recv(1)
                if not self._fulfil(self._wishes.get()):
                    return
            else:
                self._carry(ready)

    def _fulfil(self, on: bool | None) -> bool:
        """Do what was wished for; whether to go on."""
        try:
            if not on and self._emulator is not None:
                self._emulator.stop()
                self._emulator = None
                termios.tcflush(self._slave, termios.TCIFLUSH)  # what nobody has read
            if on and self._emulator is None:
                self.boots += 1
                self._emulator = Emulator(self._board, self._elf, arguments=self._noise())
        finally:
            self._wishes.task_done()
        return on is not None

    def _noise(self) -> tuple[str, ...]:
        """RAM has any contents after power-up, which tells boots apart; an emulator's is zero."""
        address = symbol_address(self._elf, "boots")
        return ("-device", f"loader,addr={address:#x},data={1000 * self.boots},data-len=4")

    def _carry(self, ready: list[int | socket.socket]) -> None:
        """Bytes from one end to the other."""
        connection = self._emulator.connection if self._emulator is not None else None
        if self._master in ready:
            data = os.read(self._master, _CHUNK_BYTES)
            if connection is not None:
                connection.sendall(data)
        if connection is not None and connection in ready:
            data = connection.recv(_CHUNK_BYTES)
            with contextlib.suppress(BlockingIOError):  # nobody listens, and the buffer is full
                os.write(self._master, data)


def symbol_address(elf: Path, name: str) -> int:
    """Where a variable of the firmware is."""
    with elf.open("rb") as stream:
        table = ELFFile(stream).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        symbols = table.get_symbol_by_name(name)
        assert symbols is not None
        return int(symbols[0]["st_value"])
