"""Connected boards: found by USB ids, asked only where the ids are known."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exporter.board import Board, all_boards, load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.commands.connected import show_connected, show_probed
from exporter.console import Output
from exporter.errors import LinkFailed, MissingTool
from exporter.flash.native import NativeProcess
from exporter.hil import discovery
from exporter.hil.discovery import (
    QUICK,
    UsbPort,
    boards_at,
    ports_of,
    shared_ports_of,
    survey,
)
from exporter.hil.real_board import carrying
from exporter.link.pacing import Timing
from tests.hil.silent_line import Line

pytest_plugins = ["tests.hil.fixtures"]

ST_LINK: dict[str, Any] = {"vid": 0x0483, "pid": 0x374B}
STRANGER: dict[str, Any] = {"vid": 0x2341, "pid": 0x0042}
"""A board of somebody else: what hangs on it may be a machine."""


NO_IMAGE = Path("unread.elf")


def linked(name: str, **usb: Any) -> Board:
    """A board whose link has these USB ids."""
    link = {"kind": "vcp", "usb": [ST_LINK | usb]}
    base = load_board("mps2-an386").model_dump()
    return Board.model_validate(base | {"name": name, "link": link})


@pytest.fixture(name="line")
def fixture_line() -> Iterator[Line]:
    with Line() as line:
        yield line


@pytest.fixture(name="system")
def fixture_system(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """The ports that the system lists."""
    listed: list[SimpleNamespace] = []
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: listed)
    return listed


@pytest.fixture(name="firmware")
def fixture_firmware(own_cache: Path, small_model: Path) -> ModelFirmware:
    return firmware_for(small_model, load_board("host"), Settings())


def port(device: str, serial_number: str | None = "0669FF", **usb: Any) -> SimpleNamespace:
    """A port as pyserial lists it."""
    known = {"vid": None, "pid": None, "product": None} | usb
    return SimpleNamespace(device=device, serial_number=serial_number, **known)


def test_a_port_of_unknown_ids_gets_no_byte(
    system: list[SimpleNamespace], line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor one that is not on USB at all."""
    with Line() as modem:
        system += [port(line.path, **STRANGER), port(modem.path)]
        show_connected(Output(), all_boards())
        assert line.received() == modem.received() == b""
    told = capsys.readouterr().out
    assert f"not asked, as their ids are of no board: {line.path}" in told
    assert "--probe" in told and modem.path not in told


def test_a_known_port_is_asked_and_silence_is_told(
    system: list[SimpleNamespace], line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Timing(handshake_seconds=0.3, transfer_seconds=0.3)
    monkeypatch.setattr(discovery.ask, "__defaults__", (None, quick))
    system.append(port(line.path, **ST_LINK))
    (found,) = survey([linked("one"), linked("two"), linked("three", pid=0x374E)])
    assert found.boards == ("one", "two"), "an ST-LINK is on many boards"
    assert found.identity is None and "nothing" in str(found.problem).lower()
    assert line.received().count(b"\0") >= 1, "HELLO, framed"


def test_a_bridge_that_many_devices_have_gets_no_byte(
    system: list[SimpleNamespace], line: Line
) -> None:
    board = linked("one", shared=True)
    system.append(port(line.path, **ST_LINK))
    (found,) = survey([board])
    assert found.boards == ("one",) and found.identity is None
    assert found.problem == f"not asked, many devices have this bridge: --probe {line.path}"
    assert ports_of(board) == [] and [p.device for p in shared_ports_of(board)] == [line.path]
    with (
        pytest.raises(MissingTool, match="cannot be told") as caught,
        carrying(board, NO_IMAGE, None),
    ):
        pass
    assert line.path in str(caught.value.value)
    assert line.received() == b""


def test_what_runs_there_is_worth_more_than_the_ids(
    system: list[SimpleNamespace], firmware: ModelFirmware, capsys: pytest.CaptureFixture[str]
) -> None:
    with NativeProcess(firmware.firmware.elf) as process:
        system.append(port(str(process.port), **ST_LINK))
        output = Output(as_json=True)
        show_connected(output, [linked("one"), linked("two")])
        output.finish()
    (found,) = json.loads(capsys.readouterr().out)["ports"]
    assert found["boards"] == ["host"] and found["asked"]
    assert found["runs"]["build_id"] == firmware.build_id
    assert found["usb"] == "0483:374b" and found["serial_number"] == "0669FF"


def test_a_port_that_was_named_is_asked_whatever_its_ids(
    system: list[SimpleNamespace], firmware: ModelFirmware, capsys: pytest.CaptureFixture[str]
) -> None:
    with NativeProcess(firmware.firmware.elf) as process:
        show_probed(Output(), str(process.port))
    assert firmware.build_id in capsys.readouterr().out


def test_silence_at_a_named_port(line: Line) -> None:
    with pytest.raises(LinkFailed):
        discovery.ask(line.path, timing=Timing(handshake_seconds=0.3))


def test_a_busy_port_names_its_holder(system: list[SimpleNamespace], line: Line) -> None:
    """Another process has it open: it is told which, and nothing is sent."""
    system.append(port(line.path, **ST_LINK))
    holder = os.fork()
    if holder == 0:
        os.close(line.master)
        signal_read, _ = os.pipe()
        os.read(signal_read, 1)  # until it is ended
        os._exit(0)
    try:
        (found,) = survey([linked("one")])
    finally:
        os.kill(holder, 9)
        os.waitpid(holder, 0)
    assert f"pid {holder}" in str(found.problem)
    assert line.received() == b""


def test_ids_that_others_share_are_told_apart_by_the_product() -> None:
    boards = [linked("pico", product="Pico"), linked("any")]
    found = UsbPort("/dev/ttyACM0", **ST_LINK, product="Pico (debug)")
    assert [b.name for b in boards_at(found, boards)] == ["pico", "any"]
    assert [b.name for b in boards_at(UsbPort("x", **ST_LINK), boards)] == ["any"]


def test_a_board_is_asked_for_two_seconds_at_most() -> None:
    assert QUICK.handshake_seconds <= 2
