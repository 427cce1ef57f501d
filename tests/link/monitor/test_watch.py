"""Watching a port: text, garbage, restarts, lost ports, inferences, Ctrl-C; and what is sent."""

from __future__ import annotations

import io
import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.errors import LinkFailed, MissingTool
from exporter.flash.native import NativeProcess
from exporter.link import Timing, Transport, frames, open_port
from exporter.link.messages import Command, Kind, Message, Status
from exporter.link.monitor import events
from exporter.link.monitor.events import Event, TensorInfo
from exporter.link.monitor.plain import PlainView
from exporter.link.monitor.recording import Recorder, read_recording, replay
from exporter.link.monitor.tap import TextLines
from exporter.link.monitor.watch import Plan, Vector, watch
from exporter.link.session import DeviceRestarted
from exporter.link.transport import ConnectionBroken
from tests.link.devices import BOOT_NONCE, SilentTransport, StubTransport

HASTY = Timing(handshake_seconds=0.05, hello_seconds=0.01, retry_seconds=0.02)
LOG = frames.encode(Message(Kind.LOG, 2, 0, 0, BOOT_NONCE, b"warm\n").encode())
UNPLUGGED = ConnectionBroken("the connection to script broke", value="unplugged")


def watched(open_transport: Callable[[], Transport], plan: Plan | None = None) -> list[Event]:
    """What is seen until the transport raises KeyboardInterrupt, or the inferences are made."""
    seen: list[Event] = []
    watch("script", open_transport, seen.append, plan or Plan(timing=HASTY))
    return seen


def lines(seen: Sequence[Event]) -> str:
    out = io.StringIO()
    view = PlainView(out)
    for event in seen:
        view.take(event)
    return out.getvalue()


def of(kind: type[Event], seen: Sequence[Event]) -> list[Any]:
    return [event for event in seen if isinstance(event, kind)]


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
        self.written = b""

    def write(self, data: bytes) -> None:
        """See Transport."""
        self.written += data

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
    script = Script(b"output: 3\n", *[b""] * 50, b"output: 4\n", KeyboardInterrupt())
    told = lines(watched(lambda: script))
    assert "device: output: 3" in told and "device: output: 4" in told
    assert "does not answer" in told and told.endswith("end\n")


def test_garbage_is_no_text_and_no_end() -> None:
    noise = random.Random(5).randbytes
    script = Script(*(noise(200) for _ in range(200)), b"\0fine\n", KeyboardInterrupt())
    seen = watched(lambda: script, Plan(listen_only=True))
    assert "device: fine" in lines(seen)
    assert {event.kind for event in seen} <= {"began", "text", "ended"}


def test_listening_sends_nothing() -> None:
    other = frames.encode(Message(Kind.LOG, 1, 0, 0, BOOT_NONCE + 1, b"boot").encode())
    script = Script(LOG, b"", other, b"and text\n", KeyboardInterrupt())
    seen = watched(lambda: script, Plan(listen_only=True))
    assert script.written == b""
    assert [event.kind for event in seen] == ["began", "log", "restarted", "log", "text", "ended"]


def test_listening_measures_the_traffic() -> None:
    script = Script(*[b"12345678\n", *[b""] * 9] * 30, KeyboardInterrupt())  # over a second
    seen = watched(lambda: script, Plan(listen_only=True))
    assert of(events.Throughput, seen)
    assert sum(flow.received_bytes for flow in of(events.Throughput, seen)) > 90
    assert all(flow.sent_bytes == 0 for flow in of(events.Throughput, seen))


def test_lost_log_lines_are_counted() -> None:
    def log(sequence: int, boot_nonce: int = BOOT_NONCE) -> bytes:
        return frames.encode(Message(Kind.LOG, 1, 0, sequence, boot_nonce, b"x").encode())

    said: list[bytes | BaseException] = [
        log(0xFFFF),
        log(0),
        log(3),
        log(2),
        log(9, BOOT_NONCE + 1),
        KeyboardInterrupt(),
    ]
    seen = watched(lambda: Script(*said), Plan(listen_only=True))
    assert [(e.what, e.value) for e in of(events.Trouble, seen)] == [("log lines were lost", "2")]


def test_a_silent_device_is_met_when_it_speaks(stub: StubTransport) -> None:
    """HELLO is lost at first; the log line of a boot shows that there is a device after all."""

    class Deaf(StubTransport):
        reads = 0

        def write(self, data: bytes) -> None:
            if self.reads > 30:
                super().write(data)

        def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
            self.reads += 1
            if self.reads == 30:
                self._library.stub_boot(BOOT_NONCE + 2)
            if self.reads == 200:
                raise KeyboardInterrupt
            return super().read(max_bytes, min(timeout_seconds, 0.005))

    seen = watched(lambda: Deaf(stub._library))
    assert [type(e) for e in seen[:4]] == [
        events.Began, events.Silent, events.Log, events.Connected,
    ]  # fmt: skip


class Restarting(StubTransport):
    """The device in memory, which restarts after some reads; later Ctrl-C is pressed."""

    reads = 0

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        self.reads += 1
        if self.reads == 60:
            self._library.stub_boot(BOOT_NONCE + 9)  # its log line "boot" waits to be read
        if self.reads == 160:
            raise KeyboardInterrupt
        return super().read(max_bytes, min(timeout_seconds, 0.001))


def test_log_lines_and_restarts(stub: StubTransport) -> None:
    seen = watched(lambda: Restarting(stub._library))
    told = lines(seen).splitlines()
    assert any("fake@host [12345681] info: boot" in line for line in told)
    assert any("restarted" in line and "pc=0x00001234" in line for line in told)
    assert sum("build aabb00000000, dialect tflite" in line for line in told) == 2
    assert [met.again for met in of(events.Connected, seen)] == [False, True]


class Observed(StubTransport):
    """The device in memory; the commands that it is asked are kept. Ctrl-C after some reads."""

    def __init__(self, library: Any, *, reads: int) -> None:
        self.asked: set[int] = set()
        self._decoder = frames.Decoder()
        self._left = reads
        super().__init__(library)

    def write(self, data: bytes) -> None:
        """See Transport."""
        requests = [Message.decode(body) for body in self._decoder.feed(data)]
        self.asked |= {request.command for request in requests if request}
        super().write(data)

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt
        return super().read(max_bytes, min(timeout_seconds, 0.001))


CHANGING = {Command.POISON, Command.PROFILE, Command.SPIN, Command.TAKE_FAULT, Command.RESET}


def test_watching_only_asks(stub: StubTransport) -> None:
    observed = Observed(stub._library, reads=150)
    seen = watched(lambda: observed)
    assert observed.asked >= {Command.READ, Command.MEMORY}
    assert observed.asked.isdisjoint({*CHANGING, Command.INVOKE, Command.WRITE})
    reads = {(e.role, e.index): e.values for e in of(events.TensorRead, seen)}
    # input 1 has 3,000 bytes, too many to be asked for all the time
    assert reads.keys() == {("input", 0), ("output", 0), ("output", 1)}
    assert reads["output", 1] == (0,) and len(reads["input", 0]) == 8
    (memory,) = of(events.Memory, seen)
    assert (memory.arena_bytes, memory.guard_bytes) == (3024, 16)
    assert of(events.Throughput, seen)[0].sent_bytes > 0


def vectors(*firsts: int) -> Callable[[Sequence[TensorInfo]], Iterator[Vector]]:
    """Inputs of the fake model, whose first byte is what it misbehaves by."""

    def of(inputs: Sequence[TensorInfo]) -> Iterator[Vector]:
        for first in itertools.cycle(firsts):
            image = np.zeros((1, 8), np.int8)
            image[0, 0] = first
            yield image, np.full((1, 3000), 7, np.int8)

    return of


def test_inferences_are_made_and_counted(stub: StubTransport) -> None:
    observed = Observed(stub._library, reads=100_000)
    plan = Plan(timing=HASTY, vectors=vectors(5, 6), count=3)
    seen = watched(lambda: observed, plan)
    assert Command.INVOKE in observed.asked and observed.asked.isdisjoint(CHANGING)
    runs = of(events.Inference, seen)
    assert [run.number for run in runs] == [1, 2, 3]
    assert all(run.ticks > 0 and run.stack_bytes > 0 for run in runs)
    assert sum(flow.inferences for flow in of(events.Throughput, seen)) == 3
    last = {(e.role, e.index): e for e in of(events.TensorRead, seen)}
    assert last["output", 1].values == (3,) and last["output", 0].values == (5, 0, 0, 0)
    assert (last["input", 1].stride, len(last["input", 1].values)) == (3, 1000)
    assert seen[-1].kind == "ended"


def test_the_rate_is_kept(stub: StubTransport) -> None:
    plan = Plan(timing=HASTY, vectors=vectors(5), count=4, rate_hz=20)
    seen = watched(lambda: Observed(stub._library, reads=100_000), plan)
    runs = of(events.Inference, seen)
    assert runs[-1].at - seen[0].at >= 0.149  # three pauses of 50 ms; clocks may differ by 1 ms


class Refusing(Observed):
    """Says UNSUPPORTED to `refused`, which the device never hears of."""

    refused = Command.MEMORY
    refusal = b""

    def write(self, data: bytes) -> None:
        """See Transport."""
        for body in frames.Decoder().feed(data):
            request = Message.decode(body)
            if request is None or request.command != self.refused:
                super().write(data)
            else:
                reply = replace(request, kind=Kind.REPLY, status=Status.UNSUPPORTED, payload=b"")
                self.refusal = frames.encode(reply.encode())

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        refusal, self.refusal = self.refusal, b""
        return refusal or super().read(max_bytes, timeout_seconds)


def test_what_a_device_refuses_is_not_asked_again(stub: StubTransport) -> None:
    seen = watched(lambda: Refusing(stub._library, reads=1200))
    assert len(of(events.Throughput, seen)) >= 2
    (trouble,) = of(events.Trouble, seen)
    assert "MEMORY" in trouble.what and trouble.value == "UNSUPPORTED"
    assert len(of(events.TensorRead, seen)) == 3  # which did not change


def test_a_device_that_refuses_to_run_ends_it(stub: StubTransport) -> None:
    class NoRun(Refusing):
        refused = Command.INVOKE

    plan = Plan(timing=HASTY, vectors=vectors(5), count=3)
    with pytest.raises(LinkFailed, match="refused INVOKE"):
        watched(lambda: NoRun(stub._library, reads=100_000), plan)


def test_another_version_of_the_protocol_is_an_error() -> None:
    reply = frames.encode(Message(Kind.REPLY, 1, 0, 0, BOOT_NONCE, b"", 9).encode())
    with pytest.raises(LinkFailed, match="version"):
        watched(lambda: SilentTransport(reply))


def test_a_lost_port_is_opened_again() -> None:
    scripts = [Script(b"one\n", UNPLUGGED), Script(b"two\n", KeyboardInterrupt())]
    told = lines(watched(lambda: scripts.pop(0)))
    assert "device: one" in told and "unplugged" in told
    assert "device: two" in told


def test_a_port_that_stays_away_ends_the_monitor() -> None:
    ports: list[Transport] = [Script(UNPLUGGED)]

    def open_once() -> Transport:
        if ports:
            return ports.pop()
        raise MissingTool("the port is not there")

    with pytest.raises(MissingTool):
        watched(open_once, Plan(timing=HASTY, reopen_seconds=0.1))


def test_a_real_device_recorded_and_replayed(hil_program: Path, tmp_path: Path) -> None:
    """One crash among the inferences; the replay tells the same lines as the run."""
    seen: list[Event] = []
    plan = Plan(vectors=vectors(1, 103, 2), count=2)
    with NativeProcess(hil_program) as process, Recorder(tmp_path / "run.jsonl") as recorder:

        def take(event: Event) -> None:
            recorder.take(event)
            seen.append(event)

        watch("pty", lambda: open_port(process.port or ""), take, plan)
    told = lines(seen)
    assert "fake@host: build aabb" in told and "SIGSEGV" in told and "info: boot" in told
    assert [run.number for run in of(events.Inference, seen)] == [1, 2]
    outputs = [e.values for e in of(events.TensorRead, seen) if (e.role, e.index) == ("output", 0)]
    assert outputs[-1] == (2, 0, 0, 0)  # the third vector: a crash does not start them over
    again: list[Event] = []
    replay(read_recording(tmp_path / "run.jsonl"), again.append, None)
    assert again == seen and lines(again) == told


def test_a_model_that_always_crashes_ends_it(hil_program: Path) -> None:
    with NativeProcess(hil_program) as process, pytest.raises(DeviceRestarted, match="INVOKE"):
        watched(lambda: open_port(process.port or ""), Plan(vectors=vectors(103), count=3))
