"""The monitor: log lines, plain text, restarts, lost ports, Ctrl-C."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from exporter.errors import MissingTool
from exporter.flash.native import NativeProcess
from exporter.link import Timing, Transport, frames, open_port
from exporter.link.messages import Kind, Message
from exporter.link.monitor import TextLines, monitor
from exporter.link.transport import ConnectionBroken
from tests.link.devices import BOOT_NONCE, StubTransport

HASTY = Timing(handshake_seconds=0.05, hello_seconds=0.01, retry_seconds=0.02)
LOG = frames.encode(Message(Kind.LOG, 2, 0, 0, BOOT_NONCE, b"warm\n").encode())


def test_text_lines_between_frames() -> None:
    lines = TextLines()
    assert lines.feed(b"output: 1 -2\r\nhal") == ["output: 1 -2"]
    assert lines.feed(b"f\n" + LOG + b"next\n") == ["half", "next"]
    assert lines.feed(b"dam\xffaged\n" + b"x" * 1100 + b"\nfine\n")[-1:] == ["fine"]


class Script(Transport):
    """Says one portion at each read, then what the last entry raises."""

    name = "script"

    def __init__(self, *portions: bytes | BaseException) -> None:
        self._portions = list(portions)

    def write(self, data: bytes) -> None:
        """See Transport."""

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        portion = self._portions.pop(0)
        if not portion:
            time.sleep(min(timeout_seconds, 0.01))
        if isinstance(portion, BaseException):
            raise portion
        return portion

    def close(self) -> None:
        """See Transport."""


def test_plain_text_of_firmware_without_the_link() -> None:
    out = io.StringIO()
    script = Script(b"output: 3\n", *[b""] * 50, b"output: 4\n", KeyboardInterrupt())
    monitor(lambda: script, out, timing=HASTY)
    assert "device: output: 3" in out.getvalue() and "device: output: 4" in out.getvalue()
    assert "does not answer" in out.getvalue() and out.getvalue().endswith("end\n")


class Restarting(StubTransport):
    """The device in memory, which restarts after some reads; later Ctrl-C is pressed."""

    reads = 0

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        self.reads += 1
        if self.reads == 20:
            self._library.stub_boot(BOOT_NONCE + 9)  # its log line "boot" waits to be read
        if self.reads == 40:
            raise KeyboardInterrupt
        return super().read(max_bytes, min(timeout_seconds, 0.001))


def test_log_lines_and_restarts(stub: StubTransport) -> None:
    out = io.StringIO()
    monitor(lambda: Restarting(stub._library), out, timing=HASTY)
    lines = out.getvalue().splitlines()
    assert any("fake@host [12345681] info: boot" in line for line in lines)
    assert any("restarted" in line and "pc=0x00001234" in line for line in lines)
    assert sum("build aabb00000000, dialect tflite" in line for line in lines) == 2


def test_a_lost_port_is_opened_again() -> None:
    out = io.StringIO()
    scripts = [
        Script(b"one\n", ConnectionBroken("the connection to script broke", value="unplugged")),
        Script(b"two\n", KeyboardInterrupt()),
    ]
    monitor(lambda: scripts.pop(0), out, timing=HASTY)
    assert "device: one" in out.getvalue() and "unplugged" in out.getvalue()
    assert "device: two" in out.getvalue()


def test_a_port_that_stays_away_ends_the_monitor() -> None:
    ports: list[Transport] = [Script(ConnectionBroken("broke", value="unplugged"))]

    def open_once() -> Transport:
        if ports:
            return ports.pop()
        raise MissingTool("the port is not there")

    with pytest.raises(MissingTool):
        monitor(open_once, io.StringIO(), timing=HASTY, reopen_seconds=0.1)


def test_a_real_device(hil_program: Path) -> None:
    out = io.StringIO()

    class Interrupted(io.StringIO):
        def write(self, text: str) -> int:
            out.write(text)
            if "dialect" in text:
                raise KeyboardInterrupt
            return len(text)

    with NativeProcess(hil_program) as process:
        monitor(lambda: open_port(process.port or ""), Interrupted(), timing=Timing())
    assert "fake@host: build aabb" in out.getvalue()
