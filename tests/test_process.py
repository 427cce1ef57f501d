"""The door to subprocesses: deadlines hold, nothing is left running, messages say what to do."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exporter import process
from exporter.errors import CheckFailed, LinkFailed, MissingTool
from tests.processes import wait_until_gone

PYTHON = sys.executable


def run_python(code: str, **options: object) -> process.Completed:
    """Run a line of Python through the door."""
    arguments = {"timeout_seconds": 10.0} | options
    return process.run([PYTHON, "-c", code], **arguments)  # type: ignore[arg-type]


def test_output_is_captured_apart() -> None:
    completed = run_python("import sys; print('out'); print('err', file=sys.stderr)")
    assert (completed.stdout, completed.stderr) == ("out\n", "err\n")
    assert completed.output == "out\nerr\n"


def test_stdin_is_given_or_empty() -> None:
    code = "import sys; print(sys.stdin.read() or 'nothing')"
    assert run_python(code, stdin="text").stdout == "text\n"
    assert run_python(code).stdout == "nothing\n"


def test_failure_shows_the_end_of_the_output() -> None:
    with pytest.raises(CheckFailed, match="exit code 3") as caught:
        run_python("print('\\n'.join(map(str, range(100)))); raise SystemExit(3)")
    shown = str(caught.value.value).splitlines()
    assert len(shown) == process.TAIL_LINES
    assert shown[-1] == "99"


def test_failure_raises_what_the_caller_wants() -> None:
    with pytest.raises(LinkFailed):
        run_python("raise SystemExit(1)", error=LinkFailed)
    assert run_python("raise SystemExit(4)", check=False).returncode == 4


def test_a_crash_is_named_by_its_signal() -> None:
    with pytest.raises(CheckFailed, match="signal SIGSEGV"):
        run_python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")


def test_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    """A child of the child is gone too."""
    note = tmp_path / "pid"
    code = (
        "import subprocess, sys, time; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        f"open({str(note)!r}, 'w').write(str(child.pid)); print('begun', flush=True); "
        "time.sleep(60)"
    )
    started = time.monotonic()
    with pytest.raises(CheckFailed, match="did not finish within 1 s") as caught:
        run_python(code, timeout_seconds=1.0)
    assert time.monotonic() - started < 5
    assert "begun" in str(caught.value.value)
    assert wait_until_gone(int(note.read_text(encoding="ascii")))


def test_interrupt_ends_the_child(tmp_path: Path) -> None:
    """Ctrl-C at the caller: KeyboardInterrupt passes on, the child is gone."""
    note = tmp_path / "pid"
    child = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = (
        "import sys; from exporter import process\n"
        f"process.run([sys.executable, '-c', {child!r}], timeout_seconds=60)"
    )
    caller = subprocess.Popen(
        [PYTHON, "-c", code], cwd=Path(__file__).parent.parent, stderr=subprocess.PIPE
    )
    pid = _wait_for_note(note)
    caller.send_signal(signal.SIGINT)
    _, errors = caller.communicate(timeout=10)
    assert b"KeyboardInterrupt" in errors
    assert wait_until_gone(pid)


def _wait_for_note(note: Path) -> int:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if note.exists() and (text := note.read_text(encoding="ascii")):
            return int(text)
        time.sleep(0.02)
    raise AssertionError("the child never started")


def test_dry_run_logs_and_runs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = tmp_path / "made by the child"
    with caplog.at_level(logging.INFO):
        completed = run_python(f"open({str(target)!r}, 'w')", dry_run=True)
    assert completed.returncode == 0
    assert not target.exists()
    assert "made by the child" in caplog.text


@pytest.mark.parametrize(
    ("tool", "package"),
    [
        ("qemu-system-arm", "qemu-system-arm"),
        ("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf"),
    ],
)
def test_missing_tool_names_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tool: str, package: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool) as caught:
        process.run([tool, "--version"], timeout_seconds=10)
    assert caught.value.value == tool
    assert f"Debian package {package}" in str(caught.value.next_step)
    with pytest.raises(MissingTool):
        process.spawn([tool])


def test_tools_beside_python_come_first() -> None:
    assert process.find_tool("python") == str(Path(PYTHON).parent / "python")
    path = run_python("import os; print(os.environ['PATH'])").stdout
    assert path.startswith(str(Path(PYTHON).parent) + os.pathsep)


def test_spawned_child_is_stopped_and_its_log_read() -> None:
    code = "import time; print('hello', flush=True); time.sleep(60)"
    with process.spawn([PYTHON, "-c", code]) as child:
        deadline = time.monotonic() + 10
        while not child.log() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert child.alive()
        assert child.log_tail() == "hello"
        pid = child.pid
    assert not child.alive()
    assert child.status() == "signal SIGKILL"
    assert wait_until_gone(pid)
    child.stop()  # again, harmless


def test_spawned_child_that_ends_says_how() -> None:
    with process.spawn([PYTHON, "-c", "raise SystemExit('no such option')"]) as child:
        deadline = time.monotonic() + 10
        while child.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert child.status() == "exit code 1"
        assert child.log_tail() == "no such option"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is of Linux")
def test_spawned_child_dies_with_its_parent() -> None:
    code = (
        "import sys, time; from exporter import process\n"
        "child = process.spawn([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [PYTHON, "-c", code], cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate(timeout=10)
    assert wait_until_gone(pid)


@pytest.mark.parametrize(("name", "is_in_setup"), [("openocd", True), ("pyocd", False)])
def test_make_setup_is_named_for_what_it_installs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, is_in_setup: bool
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match=name) as refusal:
        process.find_tool(name)
    assert ("make setup" in str(refusal.value.next_step)) is is_in_setup
