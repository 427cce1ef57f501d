"""The one door to subprocesses: logged, with a deadline, and nothing left running.

`run` is for programs that end by themselves, `spawn` for those that are ended (emulators).
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from exporter.errors import CheckFailed, MissingTool, NanoexportError

_log = logging.getLogger(__name__)

TAIL_LINES = 30
_GRACE_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

# Where a program comes from, for the message when it is missing.
PACKAGES = {
    "arm-none-eabi-gcc": "Debian package gcc-arm-none-eabi",
    "arm-none-eabi-objcopy": "Debian package binutils-arm-none-eabi",
    "riscv64-unknown-elf-gcc": "Debian package gcc-riscv64-unknown-elf",
    "riscv64-unknown-elf-objcopy": "Debian package binutils-riscv64-unknown-elf",
    "gcc": "Debian package gcc",
    "qemu-system-arm": "Debian package qemu-system-arm",
    "qemu-system-riscv32": "Debian package qemu-system-misc",
    "gdb-multiarch": "Debian package gdb-multiarch",
    "openocd": "Debian package openocd",
    "ser2net": "Debian package ser2net",
    "node": "Debian package nodejs",
    "npm": "Debian package npm",
    "cmake": "Python package cmake",
    "ninja": "Python package ninja",
    "python-zig": "Python package ziglang",
    "adafruit-nrfutil": "Python package adafruit-nrfutil",
    "esptool": "Python package esptool",
    "pyocd": "Python package pyocd",
}

NOT_OF_SETUP = frozenset({"pyocd"})
"""What `make setup` does not install, as no test needs it."""


@dataclass(frozen=True)
class Completed:
    """A program that has ended."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Standard output, then standard error."""
        return self.stdout + self.stderr


def find_tool(name: str) -> str:
    """The path of a program: beside the running Python first, then on PATH.

    Raises MissingTool, with the package that has it.
    """
    beside = Path(sys.executable).parent / name
    if os.sep not in name and os.access(beside, os.X_OK):
        return str(beside)
    found = shutil.which(name)
    if found is None:
        package = PACKAGES.get(name)
        setup = "" if name in NOT_OF_SETUP else ", or run: make setup"
        raise MissingTool(
            f"the program {name} is not installed",
            value=name,
            next_step=f"install the {package}{setup}" if package else None,
        )
    return found


def tool_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for children: the folder of the running Python comes first on PATH."""
    environment = dict(os.environ)
    beside = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([beside, environment.get("PATH", os.defpath)])
    environment.update(extra or {})
    return environment


def run(
    argv: Sequence[str],
    *,
    timeout_seconds: float,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
    check: bool = True,
    error: type[NanoexportError] = CheckFailed,
    dry_run: bool = False,
) -> Completed:
    """Run a program to its end and return what it printed.

    `argv[0]` is a name, looked up by `find_tool`. Raises MissingTool where it is absent, and
    `error` when it takes longer than `timeout_seconds` or, with `check`, does not return 0. A dry
    run logs the command and returns success. However it ends, its whole process group is gone.
    """
    command = (find_tool(argv[0]), *argv[1:])
    _log.info("%s$ %s", f"{cwd} " if cwd else "", shlex.join(argv))
    if dry_run:
        return Completed(tuple(argv), 0, "", "")
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=tool_environment(environment),
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout_seconds)
    except subprocess.TimeoutExpired as expired:
        raise error(
            f"{argv[0]} did not finish within {timeout_seconds:g} s",
            value=tail(_text(expired.stdout) + _text(expired.stderr)) or None,
            next_step=f"run it by hand: {shlex.join(argv)}",
        ) from None
    finally:
        kill_group(process)
    completed = Completed(tuple(argv), process.returncode, stdout, stderr)
    _log.debug("%s", completed.output)
    if check and process.returncode != 0:
        raise error(
            f"{argv[0]} failed with {exit_status(process.returncode)}",
            value=tail(completed.output) or None,
            next_step=f"run it by hand: {shlex.join(argv)}",
        )
    return completed


def exit_status(returncode: int) -> str:
    """A return code in words: negative ones are signals."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"signal {signal.Signals(-returncode).name}"
    except ValueError:
        return f"signal {-returncode}"


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of a program's output."""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def kill_group(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """End a process started here with all its children, and reap it. Harmless once it has ended."""
    if process.returncode is None:  # not reaped yet: its id cannot be another process by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _log.warning("process %d does not end", process.pid)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


class Child:
    """A long-lived program. A context manager: it does not outlive the block, nor this process."""

    def __init__(self, argv: tuple[str, ...], process: subprocess.Popen[bytes], log: IO[bytes]):
        self.argv = argv
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def log(self) -> str:
        """What it has written to standard output and standard error so far."""
        if self._log.closed:
            return ""
        size = os.fstat(self._log.fileno()).st_size  # the file position is shared with the child
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def log_tail(self) -> str:
        """The last lines of the log."""
        return tail(self.log())

    def status(self) -> str:
        """How it ended, or that it runs."""
        code = self._process.poll()
        return "running" if code is None else exit_status(code)

    def wait(self, seconds: float) -> str:
        """Wait that long for it to end by itself; `status()` afterwards."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.status()

    def stop(self) -> None:
        """End it, at once. Harmless when it has ended."""
        kill_group(self._process)
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def spawn(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start a long-lived program; what it prints goes to a file that `Child.log_tail` reads.

    On Linux the kernel kills it when the thread that called `spawn` ends, be it by a crash or a
    kill: call it from a thread that lives as long as the child is wanted. Raises MissingTool.
    """
    command = (find_tool(argv[0]), *argv[1:])
    _log.info("%s &", shlex.join(argv))
    log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by Child.stop
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=tool_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            start_new_session=True,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - one system call, no lock
        )
    except BaseException:
        log.close()
        raise
    return Child(tuple(argv), process, log)


def _die_with_parent() -> Callable[[], None] | None:
    """What the child does between fork and exec: ask the kernel to be killed with its parent."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the request was in place
            os._exit(1)

    return ask


def end_with_parent() -> None:
    """Asks the kernel to kill this process when the thread that started it ends. Linux only."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def without_input() -> Iterator[None]:
    """Code that asks its user gets no answer, rather than a worker's next request."""
    kept = os.dup(0)
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def _text(output: bytes | str | None) -> str:
    if isinstance(output, bytes):
        return output.decode(errors="replace")
    return output or ""
