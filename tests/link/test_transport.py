"""Ports that are absent, busy, misnamed, or gone; and the transports over real ones."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial.rfc2217

from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.link import SerialTransport, SocketTransport, Transport, open_port
from exporter.link.ports import port_holders


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A pseudo terminal: its master end, and the path of the other."""
    master, slave = pty.openpty()
    path = os.ttyname(slave)
    os.close(slave)
    yield master, path
    os.close(master)


def read_all(transport: Transport, size: int, seconds: float = 3.0) -> bytes:
    """`size` bytes, or what came of them in time."""
    data = b""
    deadline = time.monotonic() + seconds
    while len(data) < size and time.monotonic() < deadline:
        data += transport.read(size - len(data), 0.1)
    return data


def test_serial_port_moves_bytes_as_they_are(terminal: tuple[int, str]) -> None:
    master, path = terminal
    every_byte = bytes(range(256))
    transport = open_port(path)
    transport.write(every_byte)
    assert os.read(master, 512) == every_byte
    os.write(master, every_byte)
    assert read_all(transport, 256) == every_byte
    transport.close()
    transport.close()


def test_read_waits_no_longer_than_told(terminal: tuple[int, str]) -> None:
    transport = open_port(terminal[1])
    start = time.monotonic()
    assert transport.read(100, 0.2) == b""
    assert 0.2 <= time.monotonic() - start < 0.5
    transport.close()


def test_an_absent_port(tmp_path: Path) -> None:
    with pytest.raises(MissingTool) as caught:
        open_port(str(tmp_path / "ttyACM7"))
    assert "ttyACM7 is not there" in caught.value.what and caught.value.exit_code == 3


def test_a_path_that_is_no_terminal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingTool, match="cannot be opened"):
        open_port(str(tmp_path / "file"))


HOLD = """
import os, sys
os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
print("held", flush=True)
input()
"""


def test_a_busy_port_names_its_holder(terminal: tuple[int, str]) -> None:
    argv = [sys.executable, "-c", HOLD, terminal[1]]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        with pytest.raises(MissingTool) as caught:
            open_port(terminal[1])
        assert holder.stdin
        holder.stdin.close()
    assert f"pid {holder.pid}" in str(caught.value) and caught.value.exit_code == 3
    assert port_holders(Path(terminal[1])) == []
    open_port(terminal[1]).close()


def test_a_port_that_this_process_holds_is_busy(terminal: tuple[int, str]) -> None:
    first = open_port(terminal[1])
    with pytest.raises(MissingTool, match="in use") as caught:
        open_port(terminal[1])
    assert f"pid {os.getpid()}" in str(caught.value)
    first.close()
    open_port(terminal[1]).close()


@pytest.mark.parametrize(
    "name", ["", "ftp://host:1", "socket://host", "rfc2217://:1", "socket://h:x"]
)
def test_what_is_no_port_is_bad_input(name: str) -> None:
    with pytest.raises(BadInput, match="no port"):
        open_port(name)


def test_a_tcp_port_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(MissingTool, match=str(number)):
        open_port(f"socket://127.0.0.1:{number}")
    assert time.monotonic() - start < 5


def test_socket_transport_moves_bytes_and_notices_the_end() -> None:
    ours, theirs = socket.socketpair()
    transport = SocketTransport(ours)
    transport.write(b"ping")
    assert theirs.recv(10) == b"ping"
    theirs.sendall(b"pong")
    assert transport.read(2, 1) == b"po" and transport.read(10, 1) == b"ng"
    assert transport.read(10, 0.01) == b""
    theirs.close()
    with pytest.raises(LinkFailed, match="broke"):
        transport.read(10, 1)
    with pytest.raises(LinkFailed, match="broke"):
        transport.write(b"x")
    transport.close()


def test_a_lost_serial_port_is_noticed(terminal: tuple[int, str]) -> None:
    master, slave = pty.openpty()
    transport = open_port(os.ttyname(slave))
    os.close(slave)
    os.close(master)
    with pytest.raises(LinkFailed, match="broke"):
        transport.read(10, 1)
    transport.close()


def serve_rfc2217(server: socket.socket, port: serial.Serial) -> None:
    """A minimal RFC 2217 server that sends back what it gets, for one connection."""
    connection, _ = server.accept()
    with connection, connection.makefile("rwb", buffering=0) as stream:
        manager = serial.rfc2217.PortManager(port, stream)  # type: ignore[arg-type]
        while data := connection.recv(1024):
            connection.sendall(b"".join(manager.escape(b"".join(manager.filter(data)))))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pyserial 3.5 and threads
def test_rfc2217_moves_bytes() -> None:
    port = serial.serial_for_url("loop://", timeout=0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve_rfc2217, args=(server, port), daemon=True)
        thread.start()
        transport = SerialTransport(f"rfc2217://127.0.0.1:{server.getsockname()[1]}")
        transport.write(bytes(range(256)))
        assert read_all(transport, 256) == bytes(range(256))
        transport.close()
        thread.join(5)
        assert not thread.is_alive()


def test_a_closed_socket_is_a_broken_connection() -> None:
    ours, theirs = socket.socketpair()
    transport = SocketTransport(ours)
    transport.close()
    for move in (lambda: transport.write(b"x"), lambda: transport.read(1, 0.1)):
        with pytest.raises(LinkFailed, match="broke"):
            move()
    theirs.close()
