"""`nanoexport monitor` as a user runs it: in a terminal, into a pipe, from a recording."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from exporter.flash.native import NativeProcess
from exporter.link.monitor.events import TextLine
from exporter.link.monitor.recording import Recorder
from tests.hil.support import COMMAND, REPOSITORY, nanoexport, refused
from tests.link.build import HIL, compile_c
from tests.link.monitor.scenes import RUN

PATIENCE_SECONDS = 60.0
ENTER_SCREEN, LEAVE_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"
KEYS = {
    "schema_version", "port", "mode", "recording", "seconds", "model", "board", "build_id",
    "dialect", "events", "inferences", "ticks_hz", "ticks_median", "round_trip_seconds_median",
}  # fmt: skip


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The application `hil` with the fake model, as a native process."""
    return compile_c(tmp_path_factory.mktemp("hil") / "hil", HIL)


@pytest.fixture
def port(program: Path) -> Iterator[str]:
    """A pty with the fake model on it."""
    with NativeProcess(program) as process:
        yield str(process.port)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """The run of the scenes."""
    with Recorder(tmp_path / "run.jsonl") as recorder:
        for event in RUN:
            recorder.take(event)
    return tmp_path / "run.jsonl"


class Terminal:
    """The command in a terminal of 100 columns and 30 rows."""

    def __init__(self, *arguments: object, term: str = "xterm-256color") -> None:
        self.master, slave = os.openpty()
        termios.tcsetwinsize(self.master, (30, 100))
        self.attributes = termios.tcgetattr(self.master)
        self.said = b""
        self.ended = False
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=REPOSITORY,
            env={**os.environ, "TERM": term, "PYTHONIOENCODING": "utf-8"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)  # so that the master tells when all has been read

    @property
    def text(self) -> str:
        """What it has shown so far, without control sequences."""
        return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", self.said).decode("utf-8", "replace")

    def wait_for(self, found: str) -> None:
        """Until it shows that."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while found not in self.text:
            assert time.monotonic() < deadline, self.text
            assert not self.ended, self.text
            self.read(0.1)

    def end(self) -> int:
        """Until it ends: its exit code."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.ended:
            assert time.monotonic() < deadline, self.text
            self.read(0.1)
        return self.process.wait(PATIENCE_SECONDS)

    def read(self, seconds: float) -> None:
        """What it shows next, within that time."""
        if select.select([self.master], [], [], seconds)[0]:
            try:
                self.said += os.read(self.master, 1 << 16)
            except OSError:  # nobody holds the other side any more
                self.ended = True


@contextmanager
def terminal(*arguments: object, term: str = "xterm-256color") -> Iterator[Terminal]:
    """The command, killed if the test has not ended it."""
    it = Terminal(*arguments, term=term)
    try:
        yield it
    finally:
        it.process.kill()
        it.process.wait()
        os.close(it.master)


def assert_restored(it: Terminal) -> None:
    assert it.said.count(ENTER_SCREEN) == it.said.count(LEAVE_SCREEN) == 1
    assert it.said.rfind(b"\x1b[?25h") > it.said.find(b"\x1b[?25l"), "the cursor is hidden"
    assert termios.tcgetattr(it.master) == it.attributes
    assert "Traceback" not in it.text


def test_inferences_in_a_terminal(port: str, tmp_path: Path) -> None:
    arguments = ("monitor", "--port", port, "--run", "--count", "30", "--rate", "40")
    with terminal(*arguments, "--record", tmp_path / "run.jsonl") as it:
        it.wait_for("fake@host on")
        it.wait_for("round trip median")
        assert it.end() == 0
        assert_restored(it)
        assert "guards intact" in it.text and "output 0 sum" in it.text
        after = it.said.partition(LEAVE_SCREEN)[2].decode()
        assert "30 inferences, median" in after and "run.jsonl" in after
    replayed = nanoexport("monitor", "--replay", tmp_path / "run.jsonl", "--speed", "max", "--json")
    assert replayed.document["inferences"] == 30 and "fake@host" in replayed.err


def test_a_replay_stays_until_the_key(recording: Path) -> None:
    with terminal("monitor", "--replay", recording, "--speed", "max") as it:
        it.wait_for("end of the recording")
        assert termios.tcgetattr(it.master) != it.attributes  # keys come singly
        os.write(it.master, b"xq")
        assert it.end() == 0
        assert_restored(it)
        assert "restarts: 1" in it.said.partition(LEAVE_SCREEN)[2].decode()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_signals_restore_the_terminal(ending: signal.Signals, port: str) -> None:
    with terminal("monitor", "--port", port) as it:
        it.wait_for("connected")
        it.process.send_signal(ending)
        assert it.end() == 0
        assert_restored(it)


def test_an_error_restores_the_terminal(recording: Path) -> None:
    with recording.open("ab") as file:
        file.write(b"{nonsense\n")
    with terminal("monitor", "--replay", recording, "--speed", "max") as it:
        assert it.end() == 2
        assert_restored(it)
        assert "is damaged" in it.said.partition(LEAVE_SCREEN)[2].decode()


def test_a_resized_terminal(recording: Path) -> None:
    with terminal("monitor", "--replay", recording) as it:
        it.wait_for("digits@mps2-an386")
        for size in ((5, 20), (1, 1), (50, 200)):
            termios.tcsetwinsize(it.master, size)
            it.process.send_signal(signal.SIGWINCH)
            before = len(it.said)
            while len(it.said) == before:
                assert not it.ended, it.text
                it.read(0.1)
        os.write(it.master, b"q")
        assert it.end() == 0
        assert_restored(it)


@pytest.mark.parametrize(("more", "term"), [((), "dumb"), (("--plain",), "xterm")])
def test_terminals_that_get_lines(more: tuple[str, ...], term: str, recording: Path) -> None:
    with terminal("monitor", "--replay", recording, "--speed", "max", *more, term=term) as it:
        assert it.end() == 0
        assert b"\x1b" not in it.said and "warning: warm" in it.text


def test_lines_in_a_pipe_and_one_document(port: str, tmp_path: Path) -> None:
    inputs = tmp_path / "mine.npz"
    image = np.arange(16, dtype=np.int8).reshape(2, 1, 8)
    np.savez(inputs, image=image, large=np.zeros((2, 1, 3000), np.int8))
    run = nanoexport(
        "monitor", "--port", port, "--board", "host", "--run", "--inputs", inputs, "--count", "2",
        "--json",
    )  # fmt: skip
    assert run.code == 0, run.err
    assert set(run.document) == KEYS
    assert (run.document["model"], run.document["inferences"]) == ("fake", 2)
    assert run.document["ticks_median"] > 0
    assert "output 0 sum: 23.000 27.000 31.000 35.000" in run.err  # 8 + 9, and so on; plus 6


def test_a_reader_that_goes_away_ends_it(port: str) -> None:
    with subprocess.Popen(
        [*COMMAND, "monitor", "--port", port, "--run"],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        assert b"fake@host" in process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE_SECONDS) == 0
        assert process.stderr.read() == b""


def test_letters_that_stdout_cannot_show(recording: Path) -> None:
    with Recorder(recording) as recorder:
        recorder.take(TextLine(at=RUN[-1].at, text="日本 warm"))
    done = subprocess.run(
        [*COMMAND, "monitor", "--replay", recording, "--speed", "max"],
        cwd=REPOSITORY, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True, timeout=PATIENCE_SECONDS, check=True,
    )  # fmt: skip
    assert b"?? warm" in done.stdout


WRONG = {
    "no port": ((), "there is no port"),
    "no emulator": (("--port", "emulator"), "there is no port"),
    "count without run": (("--port", "x", "--count", "3"), "--count means nothing without --run"),
    "inputs without run": (("--port", "x", "--inputs", "a.npz"), "--inputs means nothing"),
    "listen and run": (("--port", "x", "--listen", "--run"), "--listen means nothing with --run"),
    "speed without replay": (("--port", "x", "--speed", "2"), "--speed means nothing"),
    "replay of a port": (("--port", "x", "--replay", "a"), "--port means nothing with --replay"),
    "record a replay": (("--record", "x", "--replay", "a"), "--record means nothing"),
    "no such recording": (("--replay", "absent.jsonl"), "cannot read the recording"),
    "no speed": (("--replay", "a", "--speed", "0"), "'0' is neither a number above 0 nor 'max'"),
    "not a speed": (("--replay", "a", "--speed", "fast"), "'fast' is neither"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage_is_told(name: str) -> None:
    arguments, told = WRONG[name]
    refused(nanoexport("monitor", *arguments, "--json"), 2, told)


def test_inputs_that_do_not_fit_are_told(port: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", image=np.zeros((1, 9), np.int8))
    run = nanoexport(
        "monitor", "--port", port, "--run", "--inputs", tmp_path / "mine.npz", "--json"
    )
    refused(run, 2, "does not fit the input 'image'")
    assert json.loads(run.out)["port"] == port


def test_a_full_disk_is_told(port: str) -> None:
    refused(nanoexport("monitor", "--port", port, "--record", "/dev/full", "--json"), 2, "No space")
