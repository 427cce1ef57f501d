"""A board that breaks its connection has ended, or has not: what is said then."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from exporter import flash
from exporter.board import load_board
from exporter.flash import RunningBoard
from exporter.hil.session import BoardEnded, open_image, suit
from exporter.link import Device
from exporter.link.transport import ConnectionBroken


class Process(RunningBoard):
    """A native process as the session sees it, which has closed its end of the line."""

    def __init__(self, *, living: bool) -> None:
        self.living = living
        self.connection, other = socket.socketpair()
        other.close()

    def alive(self) -> bool:
        return self.living

    def log_tail(self) -> str:
        return "its last words"

    def stop(self) -> None:
        self.connection.close()


def read(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash, "start", lambda *_: process)
    with open_image(load_board("host"), Path("firmware.elf"), None) as line:
        line.transport.read(1, 1.0)


def test_a_board_that_ended_says_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BoardEnded, match="its last words"):
        read(Process(living=False), monkeypatch)


def test_a_connection_that_a_living_board_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionBroken, match="the process host"):
        read(Process(living=True), monkeypatch)


@pytest.mark.parametrize(
    ("name", "share", "guarded"), [("mps2-an386", 1 / 40, False), ("a board of mine", 0.5, True)]
)
def test_a_device_runs_as_suits_the_board_it_says_it_is(
    name: str, share: float, guarded: bool
) -> None:
    device = SimpleNamespace(identity=SimpleNamespace(board=name))
    suit(cast(Device, device), "/dev/ttyACM0")
    assert (device.watchdog_share, device.guarded) == (share, guarded)
