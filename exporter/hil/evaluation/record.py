"""What was computed so far, on disk: an evaluation that is killed goes on where it stopped.

A file of JSON lines that only ever grows. The first one says what the results are of; each other
is one sample's outputs, from a board or from the oracle, with a CRC-32 of itself, so that a line
that a crash or a loss of power tore or filled with zeros is told from a whole one, and run again.

    {"nanoexport_evaluation": 1, "of": {"model_sha256": ..., "inputs_sha256": ..., ...}}
    {"crc": 1234, "by": "board", "sample": 17, "outputs": ["gH+A..."], "stack": 204, "device": "A"}
    {"crc": 5678, "by": "oracle", "sample": 17, "outputs": ["gH+A..."]}
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

import numpy as np

if sys.platform != "win32":
    import fcntl

from exporter.arrays import Array
from exporter.errors import BadInput

Author = Literal["board", "oracle"]

VERSION = 1
MAGIC = "nanoexport_evaluation"
_BEGINNING = b'{"nanoexport_evaluation":'
SYNC_SECONDS = 1.0
"""What a loss of power may cost. A process that is killed loses nothing that was added."""


@dataclass(frozen=True, eq=False)
class Result:
    """One sample's outputs, int8, in the shapes of the model's; `stack_bytes` where measured."""

    outputs: list[Array]
    stack_bytes: int = 0
    device: str = ""


@dataclass(frozen=True)
class Output:
    """The form of one output of the model."""

    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass
class Kept:
    """What the record holds, by sample. `damaged` counts lines that had to be left out."""

    board: dict[int, Result] = field(default_factory=dict)
    oracle: dict[int, Result] = field(default_factory=dict)
    damaged: int = 0

    def by(self, author: Author) -> dict[int, Result]:
        return self.board if author == "board" else self.oracle


class Record:
    """The open record at `path`, locked: a second run on it is refused.

    `of` says what the results are of, JSON-able by name; `outputs` are the model's. A record that
    is of something else is refused, unless it is begun anew by `fresh`. A file that is no record
    is never written to. `kept` is what it held and what was added since. Raises BadInput.
    """

    def __init__(
        self, path: Path, of: Mapping[str, object], outputs: Sequence[Output], *, fresh: bool
    ) -> None:
        self.path = path
        self.kept = Kept()
        self._outputs = outputs
        self._synced = time.monotonic()
        self._file = _opened(path)
        try:
            _lock(self._file, path)
            self._begin(of, fresh)
        except BaseException:
            with suppress(OSError):  # what is raised says more
                self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def add(self, author: Author, sample: int, result: Result) -> None:
        """Keep a result; at most `SYNC_SECONDS` later it also outlives a loss of power."""
        self._write(_line(author, sample, result))
        self.kept.by(author)[sample] = result
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync()

    def close(self) -> None:
        """All of it onto the disk, and the lock given back."""
        if not self._file.closed:
            try:
                self._sync()
            finally:
                with suppress(OSError):  # of a line that found no room, which was told then
                    self._file.close()

    def _begin(self, of: Mapping[str, object], fresh: bool) -> None:
        content = self._file.read()
        first, newline, rest = content.partition(b"\n")
        header = {MAGIC: VERSION, "of": dict(of)}
        # A run that was killed while it wrote its first line, or a file that it just made.
        torn = not newline and (first.startswith(_BEGINNING) or _BEGINNING.startswith(first))
        if not torn:
            found = _header(self.path, first)
            if not fresh:
                _check_same(self.path, found, header)
        if torn or fresh:
            self._file.truncate(0)
            self._write(_encoded(header))
            self._sync()
        else:
            self._take(rest)

    def _take(self, content: bytes) -> None:
        """The results in `content`; what the last run left of a line is cut off."""
        whole, newline, torn = content.rpartition(b"\n")
        for line in whole.split(b"\n") if newline else []:
            self._take_line(line)
        if torn:
            self.kept.damaged += 1
            self._file.truncate(self._file.tell() - len(torn))

    def _take_line(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            stated = entry.pop("crc")
            whole = stated == _crc(entry)
            result = Result(
                [_array(t, o) for t, o in zip(entry["outputs"], self._outputs, strict=True)],
                int(entry.get("stack", 0)),
                str(entry.get("device", "")),
            )
            if not whole:
                raise ValueError("another CRC")
            self.kept.by(entry["by"])[int(entry["sample"])] = result
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.kept.damaged += 1

    def _write(self, line: bytes) -> None:
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise _unusable(self.path, error) from error

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _unusable(self.path, error) from error
        self._synced = time.monotonic()


def _line(author: Author, sample: int, result: Result) -> bytes:
    texts = [base64.b64encode(np.ascontiguousarray(o).tobytes()).decode() for o in result.outputs]
    entry: dict[str, Any] = {"by": author, "sample": sample, "outputs": texts}
    if author == "board":
        entry |= {"stack": result.stack_bytes, "device": result.device}
    return _encoded({"crc": _crc(entry), **entry})


def _encoded(entry: Mapping[str, object]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def _crc(entry: Mapping[str, object]) -> int:
    return zlib.crc32(_encoded(entry))


def _array(text: str, output: Output) -> Array:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    return np.frombuffer(data, np.int8).reshape(output.shape)


def _opened(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise _unusable(path, error) from None
    file.seek(0)
    return file


def _lock(file: BinaryIO, path: Path) -> None:
    """The system gives the lock back when the process ends, however it does."""
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BadInput(
            f"another evaluation is writing to the record '{path}'",
            value="it is locked",
            allowed="one run at a time on a record",
            next_step="wait until it ends, or name another file: --results FILE",
        ) from None
    except OSError as error:
        raise _unusable(path, error) from None


def _header(path: Path, line: bytes) -> dict[str, Any]:
    """The first line of a record. Raises BadInput for any other file: it is left as it is."""
    try:
        found = json.loads(line)
        version = found[MAGIC]
        of = found["of"]
    except (ValueError, KeyError, TypeError, RecursionError):
        version, of = None, None
    if version != VERSION or not isinstance(of, dict):
        raise BadInput(
            f"'{path}' is no record of an evaluation",
            value="another file" if version is None else f"version {version}",
            allowed=f"a file that does not exist, or a record of version {VERSION}",
            next_step="name another file: --results FILE",
        )
    return of


def _check_same(path: Path, found: Mapping[str, object], header: Mapping[str, Any]) -> None:
    wanted = header["of"]
    names = [*wanted, *(name for name in found if name not in wanted)]
    other = [name for name in names if found.get(name) != wanted.get(name)]
    if other:
        raise BadInput(
            f"the record '{path}' is of another evaluation",
            value="; ".join(f"{name} {_short(found.get(name))}" for name in other),
            allowed="; ".join(f"{name} {_short(wanted.get(name))}" for name in other),
            next_step="name another file with --results, or begin this one anew with --fresh, "
            "which drops what it holds",
        )


def _short(value: object) -> str:
    """Hashes are told apart by their beginning."""
    text = str(value)
    return f"{text[:16]}..." if len(text) > 40 else text


def _unusable(path: Path, error: OSError) -> BadInput:
    return BadInput(
        f"cannot write the record '{path}'",
        value=error.strerror or str(error),
        allowed="a file in a folder that can be written to, with room for the results",
        next_step="name another file with --results, or set NANOEXPORT_CACHE",
    )
