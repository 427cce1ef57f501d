"""The native process as a board: its command, its first line, and what can go wrong."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.errors import BadInput, LinkFailed
from exporter.flash import FlashOptions
from exporter.flash.native import NativeFlasher, NativeProcess, native_argv

ECHO = """
import os, socket
port = socket.socket(fileno=int(os.environ["NANO_HOST_SERIAL"], 16))
port.sendall(port.recv(100))
"""


def program(folder: Path, script: str) -> Path:
    """A program that does what `script` says."""
    path = folder / "firmware.elf"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_argv(tmp_path: Path) -> None:
    elf = tmp_path / "firmware.elf"
    assert native_argv(elf, tcp=False) == [str(elf)]
    assert native_argv(elf, tcp=True) == [str(elf), "--tcp", "0"]


@pytest.mark.parametrize(
    ("line", "port"),
    [("pty: /dev/pts/77", "/dev/pts/77"), ("tcp: 4242", "socket://127.0.0.1:4242")],
)
def test_port_is_what_the_first_line_says(tmp_path: Path, line: str, port: str) -> None:
    elf = program(tmp_path, f"echo '{line}'; exec sleep 20")
    with NativeProcess(elf) as running:
        assert running.port == port and running.alive()
        assert line in running.log_tail()
    assert not running.alive()


def test_flashed_its_port_is_one_end_of_a_socket_pair(tmp_path: Path) -> None:
    elf = program(tmp_path, f"exec {sys.executable} -c '{ECHO}'")
    with NativeFlasher().start(load_board("host"), elf, FlashOptions()) as running:
        assert running.connection is not None and running.alive()
        running.connection.sendall(b"echoed")
        assert running.connection.recv(100) == b"echoed"
    assert not running.alive()


def test_the_end_of_the_process_is_the_end_of_the_stream(tmp_path: Path) -> None:
    with NativeFlasher().start(
        load_board("host"), program(tmp_path, "exit 3"), FlashOptions()
    ) as running:
        assert running.connection is not None
        running.connection.settimeout(30)
        assert running.connection.recv(100) == b""


def test_a_program_that_ends_at_once_is_an_error(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(LinkFailed, match="exit code 3") as caught:
        NativeProcess(program(tmp_path, "echo broken; exit 3"))
    assert "broken" in str(caught.value) and time.monotonic() - start < 5


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no image"):
        NativeProcess(tmp_path / "firmware.elf")
