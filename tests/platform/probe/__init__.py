"""The probe: a small firmware that exercises the platform, and its client."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from exporter import process
from exporter.board import Board, all_boards
from exporter.build import Firmware, build
from exporter.errors import MissingTool
from exporter.flash import RunningBoard
from exporter.render.platform import render_platform
from exporter.toolchain import ToolchainName

SOURCE = Path(__file__).with_name("main.c")
EMULATED = [board.name for board in all_boards() if board.default_flasher.name == "emulator"]
"""The boards of QEMU. The Pico's emulator has tests of its own: test_rp2040.py."""

GREETING = 0xB007C0DE

# Against a hang. A loaded machine moves 1 KB/s, and replies come after 64 KB at most.
REPLY_SECONDS = 100.0


def need_tool(*names: str) -> None:
    """Skip the test, saying why, where a program is missing."""
    for name in names:
        try:
            process.find_tool(name)
        except MissingTool as error:
            pytest.skip(f"{error.what}: {error.next_step}")


def write_project(folder: Path, files: dict[str, str]) -> Path:
    """Write rendered files into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def build_probe(
    board: Board,
    folder: Path,
    *,
    toolchain: ToolchainName = "gcc",
    optimize: str = "speed",
    options: Sequence[str] = (),
    main: str | None = None,
) -> Firmware:
    """The probe, or another `main`, built for a board."""
    need_tool("cmake", "ninja", board.compilers[toolchain].program)
    files = render_platform(
        board,
        app={"main.c": main or SOURCE.read_text(encoding="utf-8")},
        toolchain=toolchain,
        optimize=optimize,
        model_sources=[],
    )
    files["nanoexport.json"] = json.dumps({"board": board.name, "toolchain": toolchain})
    return build(write_project(folder, files), options=options)


class Probe:
    """Talks to the probe over a connected socket. Waits at most REPLY_SECONDS for a reply."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(REPLY_SECONDS)
        self.wait_for_boot()

    def wait_for_boot(self) -> None:
        """The greeting: what is sent before it may be lost in the reset."""
        assert struct.unpack("<I", self.receive(4)) == (GREETING,)

    @classmethod
    def on(cls, emulator: RunningBoard) -> Probe:
        """The probe in an emulator."""
        return cls(emulator.connection)

    def ask(self, letter: str, argument: int = 0, *, words: int = 1) -> tuple[int, ...]:
        """One request; the words of its reply."""
        self.send(letter, argument)
        return struct.unpack(f"<{words}I", self.receive(4 * words))

    def send(self, letter: str, argument: int = 0) -> None:
        """A request without waiting for the reply."""
        self._connection.sendall(struct.pack("<cI", letter.encode(), argument))

    def receive(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        data = bytearray()
        while len(data) < size:
            chunk = self._connection.recv(size - len(data))
            assert chunk, f"the stream ended after {len(data)} of {size} bytes"
            data += chunk
        return bytes(data)

    def echo(self, data: bytes) -> bytes:
        """`data` there and back, both ways at once."""
        self.send("E", len(data))
        sender = threading.Thread(target=self._connection.sendall, args=(data,), daemon=True)
        sender.start()
        back = self.receive(len(data))
        sender.join()
        return back

    def sink(self, data: bytes) -> int:
        """`data` to the device, as fast as it takes it; the device's sum."""
        self.send("R", len(data))
        self._connection.sendall(data)
        return int(struct.unpack("<I", self.receive(4))[0])

    def source(self, size: int) -> bytes:
        """`size` bytes from the device."""
        self.send("W", size)
        return self.receive(size)

    def ticks_of_spin(self, instructions: int) -> int:
        """Ticks that a spin took."""
        low0, high0, low1, high1, exact = self.ask("T", instructions, words=5)
        assert exact == 1
        return (high1 << 32 | low1) - (high0 << 32 | low0)

    def take_fault(self) -> dict[str, int] | None:
        """The last fault, if any."""
        found, *values = self.ask("Q", words=8)
        names = ("reason", "cause", "status", "address", "pc", "lr", "sp")
        return dict(zip(names, values, strict=True)) if found else None
