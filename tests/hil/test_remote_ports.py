"""Boards at the other end of a network: raw TCP by ser2net, RFC 2217; and what goes wrong there."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.errors import MissingTool
from exporter.flash import NativeProcess
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import Verification, verify_on_board
from exporter.link import Device, Timing, open_port
from exporter.link.session import NoAnswer
from exporter.link.transport import ConnectionBroken
from tests.powered_board import PoweredBoard
from tests.rfc2217_server import Rfc2217Server
from tests.ser2net import ser2net

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = [
    pytest.mark.toolchain,
    pytest.mark.emulator,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # pyserial 3.5 and threads
]

BOARD = "mps2-an386"
VECTORS = 3


@pytest.fixture(scope="module")
def firmware(small_model: Path, firmware_cache: Path) -> ModelFirmware:
    return firmware_for(small_model, load_board(BOARD), Settings(), cache=firmware_cache)


@pytest.fixture(scope="module")
def board(firmware: ModelFirmware) -> Iterator[PoweredBoard]:
    with PoweredBoard(firmware.board, firmware.firmware.elf) as board:
        yield board


def verified(firmware: ModelFirmware, port: str) -> Verification:
    vectors = make_vectors([p.tensor for p in firmware.program.inputs], VECTORS, seed=1)
    return verify_on_board(firmware, vectors, port=port)


def answers(port: str) -> bool:
    with Device(open_port(port)) as device:
        return device.identity.board == BOARD


def test_bit_exact_through_ser2net(
    firmware: ModelFirmware, board: PoweredBoard, tmp_path: Path
) -> None:
    with ser2net(board.path, tmp_path) as port:
        assert verified(firmware, f"socket://127.0.0.1:{port}").bit_exact


def test_bit_exact_through_rfc2217(firmware: ModelFirmware, board: PoweredBoard) -> None:
    with Rfc2217Server(board.path) as server:
        assert verified(firmware, server.url).bit_exact


def test_bit_exact_through_rfc2217_to_a_native_process(
    small_model: Path, firmware_cache: Path
) -> None:
    native = firmware_for(small_model, load_board("host"), Settings(), cache=firmware_cache)
    with NativeProcess(native.firmware.elf, tcp=False) as process:
        assert process.port is not None
        with Rfc2217Server(process.port) as server:
            assert verified(native, server.url).bit_exact


def test_a_slow_link_is_no_failure(firmware: ModelFirmware, board: PoweredBoard) -> None:
    with Rfc2217Server(board.path, bytes_per_second=1000) as server:
        assert verified(firmware, server.url).bit_exact


def test_a_port_that_somebody_else_uses(board: PoweredBoard, tmp_path: Path) -> None:
    with ser2net(board.path, tmp_path) as number:
        port = f"socket://127.0.0.1:{number}"
        with Device(open_port(port)), pytest.raises(ConnectionBroken) as caught:
            Device(open_port(port))
        assert "Port already in use" in str(caught.value.value)
        assert answers(port)


def test_a_server_of_rfc2217_that_dies_and_comes_back(
    firmware: ModelFirmware, board: PoweredBoard
) -> None:
    with Rfc2217Server(board.path, die_after_bytes=2000, dead_seconds=0.5) as server:
        with (
            Device(open_port(server.url)) as device,
            pytest.raises(ConnectionBroken, match="broke"),
        ):
            ask_often(device)
        assert server.clients == 1
        wait_for_listener(server.url)
        assert verified(firmware, server.url).bit_exact


def test_a_ser2net_that_dies_and_comes_back(
    firmware: ModelFirmware, board: PoweredBoard, tmp_path: Path
) -> None:
    with ser2net(board.path, tmp_path) as number:
        device = Device(open_port(f"socket://127.0.0.1:{number}"))
        device.poison()
    with pytest.raises(ConnectionBroken, match="broke"), device:
        device.memory()
    with ser2net(board.path, tmp_path, port=number):
        assert verified(firmware, f"socket://127.0.0.1:{number}").bit_exact


def ask_often(device: Device) -> None:
    """More than the servers here live to hear."""
    for _ in range(1000):
        device.memory()


def wait_for_listener(url: str) -> None:
    """Until the server is back. Raises MissingTool where it does not come."""
    deadline = time.monotonic() + 30
    while True:
        try:
            open_port(url).close()
            return
        except MissingTool:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
def test_a_server_that_is_not_there(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    with pytest.raises(MissingTool, match=f"{number} cannot be opened") as caught:
        open_port(f"{scheme}://127.0.0.1:{number}")
    assert "the other end is running" in str(caught.value.next_step)


@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
def test_a_host_that_nobody_knows(scheme: str) -> None:
    with pytest.raises(MissingTool, match="cannot be opened"):
        open_port(f"{scheme}://board.invalid:7")


def test_raw_tcp_is_no_rfc2217(board: PoweredBoard, tmp_path: Path) -> None:
    with ser2net(board.path, tmp_path) as number, pytest.raises(MissingTool) as caught:
        open_port(f"rfc2217://127.0.0.1:{number}")
    assert "RFC2217" in str(caught.value.value)


def test_another_baud_rate(board: PoweredBoard) -> None:
    timing = Timing(handshake_seconds=1.0)
    with Rfc2217Server(board.path, baud=115200) as server:
        with pytest.raises(NoAnswer) as caught:
            Device(open_port(server.url, 9600), timing=timing)
        assert "baud" in str(caught.value.next_step)
        assert answers(server.url)
