"""The door to other projects' converters: they crash, hang and print, and an error comes of it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.errors import BadInput, MissingTool
from exporter.foreign import client, foreign
from exporter.foreign.client import Converter
from exporter.foreign.processes import complaint
from exporter.worker import Message
from tests.processes import wait_until_gone

STAND_IN = Converter("stand-in", "tests.foreign.stand_in", {})


def ask(how: str, converter: Converter = STAND_IN) -> Message:
    return foreign(converter, Message("convert", {"how": how}), Path("m.onnx"), "try another")


@pytest.mark.parametrize(
    ("how", "what", "value"),
    [
        ("crash", "stand-in crashed on the model 'm.onnx'", "SIGABRT; something about memory"),
        ("hang", "stand-in did not answer on the model 'm.onnx'", "nothing for 2 s"),
        ("fork", "stand-in did not answer on the model 'm.onnx'", "nothing for 2 s"),
        ("fail", "stand-in failed on the model 'm.onnx'", "RuntimeError: out of ideas"),
    ],
)
def test_failures_are_bad_input(
    monkeypatch: pytest.MonkeyPatch, how: str, what: str, value: str
) -> None:
    monkeypatch.setattr(client, "DEADLINE_S", 2.0)
    with pytest.raises(BadInput) as caught:
        ask(how)
    assert caught.value.what == what and value in str(caught.value.value)
    assert caught.value.next_step == "try another"


def test_what_a_converter_prints_and_asks_is_kept_from_the_pipe() -> None:
    assert ask("ask").fields == {"printed": "a question\n", "read": ""}


def test_another_interpreter_gets_this_package_and_nothing_else_of_ours() -> None:
    """Its own numpy is to be found, not one that was built for our Python."""
    code = "import exporter.foreign.torch_worker, sys; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    ours = {"click", "tflite", "pydantic", "jinja2", "yaml", "rich", "flatbuffers"}
    assert "numpy" in modules and not ours & set(modules)


@pytest.mark.parametrize("python", ["/no/such/python", "."])
def test_an_interpreter_that_does_not_run(python: str) -> None:
    with pytest.raises(MissingTool, match="the interpreter for stand-in does not run") as caught:
        ask("fail", Converter("stand-in", "tests.foreign.stand_in", {}, python))
    assert python in str(caught.value.value)


def test_a_converter_ends_with_the_process_that_asked(tmp_path: Path) -> None:
    """Even one that hangs, when that process is killed."""
    code = (
        "from exporter.worker import Message, Worker\n"
        "w = Worker('tests.foreign.stand_in')\n"
        "w.request(Message('convert', {'how': 'hang'}), 60, lambda _: print(w.pid, flush=True))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as asker:
        assert asker.stdout is not None
        pid = int(asker.stdout.readline())
        asker.send_signal(signal.SIGKILL)
        assert wait_until_gone(pid)


@pytest.mark.parametrize(
    ("error", "printed", "said"),
    [
        (ValueError("first\nsecond"), "noise", "ValueError: first"),
        (SystemExit(1), "\x1b[31mERROR:\x1b[0m no such op\nusage", "ERROR: no such op"),
        (SystemExit(1), "", "SystemExit"),
    ],
)
def test_complaints_are_one_line(error: BaseException, printed: str, said: str) -> None:
    assert complaint(error, printed) == said
    assert not re.search(r"[\n\x1b]", said)
