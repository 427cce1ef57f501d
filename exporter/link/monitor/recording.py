"""Recordings: one JSON object a line. The first is a header; the others are events.

A recording is only ever appended to, a line at a time, so that whatever ends the program costs the
last line at most. Readers leave such a torn line out; a recording that is continued drops it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pydantic

from exporter.errors import BadInput
from exporter.link.monitor.events import Began, Event, from_json, to_json

SCHEMA_VERSION = 1
_HEADER = {"kind": "nanoexport-recording", "schema_version": SCHEMA_VERSION}
_MAX_LINE_BYTES = 1 << 20
_PAUSE_SECONDS = 0.1


class Recorder:
    """Appends events to the file `path`, each written at once. Raises BadInput."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            if path.exists() and path.stat().st_size:
                _drop_torn_line(path)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise _unwritable(path, error) from None
        if self._file.tell() == 0:
            self._write(json.dumps(_HEADER))

    def take(self, event: Event) -> None:
        """Write one event. Raises BadInput where the disk is full."""
        self._write(to_json(event))

    def _write(self, line: str) -> None:
        data = memoryview(line.encode() + b"\n")
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
        except OSError as error:
            raise _unwritable(self._path, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


def read_recording(path: Path) -> Iterator[Event]:
    """The events in the file `path`, in order; a torn last line is left out.

    Raises BadInput, where need be after the events before the fault: no such file, not a recording,
    one of a newer schema, a damaged line (its number is told).
    """
    try:
        with path.open("rb") as file:
            _check_header(path, _line(path, file, 1))
            number = 2
            while line := _line(path, file, number):
                if not line.endswith(b"\n"):
                    return
                yield _event(path, number, line)
                number += 1
    except OSError as error:
        raise BadInput(
            f"cannot read the recording '{path}'",
            value=error.strerror,
            allowed="a file that nanoexport monitor --record wrote",
            next_step="check the path",
        ) from None


def replay(
    events: Iterable[Event],
    take: Callable[[Event], None],
    speed: float | None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Hand events on at `speed` times the pace at which they were recorded; None: without pause.

    The time between two runs of the monitor in one recording is left out.
    """
    due = before = None
    for event in events:
        now = time.monotonic()
        if speed is None or due is None or before is None or isinstance(event, Began):
            due = now
        else:
            due += max(0.0, event.at - before) / speed
        before = event.at
        while (wait := due - time.monotonic()) > 0:
            sleep(min(wait, _PAUSE_SECONDS))
        take(event)


def _line(path: Path, file: BinaryIO, number: int) -> bytes:
    line = file.readline(_MAX_LINE_BYTES)
    if len(line) == _MAX_LINE_BYTES:
        raise _damaged(path, number, f"a line of over {_MAX_LINE_BYTES:,} bytes")
    return line


def _check_header(path: Path, line: bytes) -> None:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("kind") != _HEADER["kind"]:
        raise BadInput(
            f"'{path}' is not a recording",
            value=_shown(line),
            allowed="a file that nanoexport monitor --record wrote",
            next_step="name another file",
        )
    if header.get("schema_version") != SCHEMA_VERSION:
        raise BadInput(
            f"the recording '{path}' has another schema",
            value=f"schema_version {header.get('schema_version')!r}",
            allowed=f"schema_version {SCHEMA_VERSION}",
            next_step="replay it with the nanoexport that recorded it",
        )


def _shown(line: bytes) -> str:
    """The first line of a file that is something else."""
    text = line[:40].decode("utf-8", "replace").rstrip("\n")
    if not line:
        return "an empty file"
    return repr(text) if text.isprintable() and "\ufffd" not in text else "a binary file"


def _event(path: Path, number: int, line: bytes) -> Event:
    try:
        return from_json(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise _damaged(path, number, "bytes that are not UTF-8") from None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _damaged(
            path, number, f"{place}: {first['msg']}" if place else first["msg"]
        ) from None


def _damaged(path: Path, number: int, why: str) -> BadInput:
    return BadInput(
        f"line {number} of the recording '{path}' is damaged",
        value=why,
        allowed="one event, as JSON",
        next_step="the lines before it are good: cut the file there to replay them",
    )


def _drop_torn_line(path: Path) -> None:
    """Make `path` end with a whole line. Raises BadInput where it is no recording."""
    with path.open("r+b") as file:
        _check_header(path, _line(path, file, 1))
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - _MAX_LINE_BYTES)
        file.seek(start)
        file.truncate(start + file.read().rfind(b"\n") + 1)


def _unwritable(path: Path, error: OSError) -> BadInput:
    return BadInput(
        f"cannot write the recording '{path}'",
        value=error.strerror,
        allowed="a file in a folder that exists, on a disk with room",
    )
