"""Python workers: code that may crash, or is slow to import, runs in a process of its own.

A worker is a module that calls `serve` with a table of handlers and is run by `Worker` as
`python -m MODULE`. Both sides exchange messages over the worker's stdin and stdout:

    offset  size  meaning
    0       4     H: length of the header in bytes, big endian
    4       8     P: length of the payload in bytes, big endian
    12      H     header: JSON object {"kind", "fields", "arrays": [[dtype, shape], ...]}
    12+H    P     payload: the arrays' raw bytes, C order, one after the other

A third kind of process beside the two of `exporter/process.py`: one that is talked to.

A request is answered by any number of messages of kind "progress", then one "done", "error" or
"failed". Whatever else the worker's libraries print goes to a log that the host can show.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from exporter import errors
from exporter.process import exit_status, kill_group, tail, tool_environment

Array = NDArray[Any]
Progress = Callable[[str], None]

_LENGTHS = struct.Struct(">IQ")
_PACKAGE_ROOT = Path(__file__).resolve().parent.parent
_CLOSE_SECONDS = 5.0

_log = logging.getLogger(__name__)


class WorkerDied(Exception):
    """The worker ended without an answer. `how` says by which signal or exit code."""

    def __init__(self, how: str, log: str) -> None:
        super().__init__(how)
        self.how = how
        self.log = log


class WorkerTimedOut(Exception):
    """The worker sent nothing within its deadline, and was ended."""


class WorkerFailed(Exception):
    """A handler raised something unexpected; `str()` is that exception's type and text."""


@dataclass(frozen=True)
class Message:
    """One request or reply: JSON-able fields and arrays of any shape and numeric dtype."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    arrays: Sequence[Array] = ()


Handler = Callable[[Message, Progress], Message]


def send(stream: IO[bytes], message: Message) -> None:
    """Writes one message and flushes."""
    arrays = [np.ascontiguousarray(a).reshape(np.shape(a)) for a in message.arrays]
    header = json.dumps(
        {
            "kind": message.kind,
            "fields": message.fields,
            "arrays": [[a.dtype.str, list(a.shape)] for a in arrays],
        }
    ).encode()
    stream.write(_LENGTHS.pack(len(header), sum(a.nbytes for a in arrays)) + header)
    for array in arrays:
        stream.write(array.tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> Message | None:
    """Reads one message; None where the stream ends, even in the middle of one."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    header_size, payload_size = _LENGTHS.unpack(lengths)
    header, payload = stream.read(header_size), stream.read(payload_size)
    if len(header) < header_size or len(payload) < payload_size:
        return None
    content = json.loads(header)
    return Message(content["kind"], content["fields"], _arrays(content["arrays"], payload))


def _arrays(forms: list[tuple[str, list[int]]], payload: bytes) -> list[Array]:
    arrays, offset = [], 0
    for dtype_name, shape in forms:
        dtype = np.dtype(dtype_name)
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        arrays.append(np.frombuffer(payload[offset : offset + size], dtype).reshape(shape).copy())
        offset += size
    return arrays


# --- the worker's side ---------------------------------------------------------------------------


def serve(handlers: Mapping[str, Handler]) -> None:
    """Answers requests by their kind until stdin ends. Called once, by the worker's main module."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    # From here on, what C++ libraries print to stdout joins stderr instead of corrupting replies.
    os.dup2(2, 1)

    def progress(text: str) -> None:
        send(replies, Message("progress", {"text": text}))

    while (request := receive(requests)) is not None:
        send(replies, _answer(handlers[request.kind], request, progress))


def _answer(handler: Handler, request: Message, progress: Progress) -> Message:
    try:
        return handler(request, progress)
    except errors.NanoexportError as error:
        return Message("error", {"class": type(error).__name__, **error.as_dict()})
    except Exception as error:  # the host decides what it means
        return Message("failed", {"text": f"{type(error).__name__}: {error}"})


# --- the host's side -----------------------------------------------------------------------------


class Worker:
    """A running worker. Use it as a context manager, or call `close`.

    `python` is the interpreter. Raises OSError where it is none. The worker's temporary files are
    in a folder that goes with it: it may be ended while it has some.
    """

    closing_seconds = 0.0
    """How long a worker that has things to put right at the end of its requests may take for it."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        python: str = sys.executable,
        **environment: str,
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._folder = tempfile.TemporaryDirectory(prefix="nanoexport-", ignore_cleanup_errors=True)
        # -P and PYTHONPATH: the worker runs this very package, and nothing of the current folder.
        path = os.pathsep.join([str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        argv = [python, "-P", "-m", module, *arguments]
        _log.info("%s &", shlex.join(argv))
        extra = {"PYTHONPATH": path, "TMPDIR": self._folder.name, **environment}
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=tool_environment(extra),
                start_new_session=True,
            )
        except BaseException:
            self._log.close()
            self._folder.cleanup()
            raise
        self._timed_out = False

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the worker can take a request."""
        return self._process.poll() is None and not self._log.closed

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def request(
        self, message: Message, deadline_s: float, progress: Progress | None = None
    ) -> Message:
        """Sends a request and returns its answer.

        `deadline_s` runs anew with each progress message. Raises WorkerDied, WorkerTimedOut,
        WorkerFailed, or the NanoexportError that the handler raised.
        """
        try:
            reply = self._exchange(message, deadline_s, progress or (lambda _: None))
        except OSError:  # the pipe broke while the request was being written
            reply = None
        except BaseException:  # of `progress`, or Ctrl-C: the next request would get this answer
            self.close()
            raise
        if self._timed_out:
            self.close()
            raise WorkerTimedOut
        if reply is None:
            death = WorkerDied(self._how_it_ended(), self.log_tail())
            self.close()
            raise death
        return _checked(reply)

    def _exchange(self, message: Message, deadline_s: float, progress: Progress) -> Message | None:
        assert self._process.stdin is not None and self._process.stdout is not None
        if self._process.stdin.closed:
            return None
        with _Alarm(deadline_s, self._expire) as alarm:
            send(self._process.stdin, message)
            while (reply := receive(self._process.stdout)) is not None:
                if reply.kind != "progress":
                    return reply
                alarm.rearm()
                progress(reply.fields["text"])
        return None

    def _expire(self) -> None:
        """Called by the alarm's thread: the blocked read or write then ends by itself.

        The whole group: what the worker forked has the other end of the pipe too.
        """
        self._timed_out = True
        if self._process.returncode is None:  # not reaped: its id cannot be another process by now
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _how_it_ended(self) -> str:
        try:
            return exit_status(self._process.wait(timeout=_CLOSE_SECONDS))
        except subprocess.TimeoutExpired:
            return "its pipe was closed"

    def log_tail(self) -> str:
        """The last lines that the worker's libraries printed."""
        if self._log.closed:
            return ""
        size = os.fstat(self._log.fileno()).st_size  # the file position is shared with the worker
        return tail(os.pread(self._log.fileno(), size, 0).decode(errors="replace"))

    def close(self) -> None:
        """Ends the worker, whatever it is doing. Harmless once it has ended."""
        assert self._process.stdin is not None
        # A request that could not be written is still in the buffer, and closing tries once more.
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if self.closing_seconds:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self.closing_seconds)
        kill_group(self._process)
        self._log.close()
        self._folder.cleanup()


class _Alarm:
    """Calls `action` once when `seconds` pass between two of: entry, `rearm`, exit."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._seconds = seconds
        self._action = action

    def rearm(self) -> None:
        self._timer.cancel()
        self.__enter__()

    def __enter__(self) -> _Alarm:
        self._timer = threading.Timer(self._seconds, self._action)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _checked(reply: Message) -> Message:
    if reply.kind == "failed":
        raise WorkerFailed(reply.fields["text"])
    if reply.kind == "error":
        raise _rebuilt(reply.fields)
    return reply


def _rebuilt(fields: dict[str, Any]) -> errors.NanoexportError:
    """The error of the worker's side, as it was raised there."""
    kind: type[errors.NanoexportError] = getattr(errors, fields["class"])
    return kind(
        fields["what"],
        value=fields["value"],
        allowed=fields["allowed"],
        next_step=fields["next"],
    )
