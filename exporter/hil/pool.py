"""The devices of a run, each used by one test at a time, also across processes and runs.

A pool file lists them:

    places:
      - {board: mps2-an386, count: 8}                  # emulated: at most eight at once
      - {board: nucleo, port: /dev/ttyACM0, chip_id: "0042001e"}
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Self

import pydantic
import yaml

from exporter.board import load_board
from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.graph.metadata import complaints
from exporter.hil.locks import Lock, holder, port_key, try_lock
from exporter.hil.real_board import is_written

POLL_SECONDS = 0.1
_FORM = "places: a list of {board, port} or {board, count}, as docs/testing.md shows"


@dataclass(frozen=True)
class Place:
    """Where a board is. Without `port` it is started (an emulator, or a process of this machine),
    or it is the real one that is connected.

    `port`: a device path, socket://HOST:PORT, rfc2217://HOST:PORT, or labgrid://PLACE.
    `chip_id`: what the chip there says of itself, where that is to be checked.
    `slot`: which of a limited number of started boards, counted from 1; None: there is no limit.
    """

    board: str
    port: str | None = None
    chip_id: str | None = None
    slot: int | None = None

    @classmethod
    def named(cls, board: str, port: str | None = None) -> Self:
        """The place of a board that was named alone, or with its port; any number are started, but
        of a real one there is one.
        """
        return cls(board, port, slot=1 if port is None and is_written(load_board(board)) else None)

    @property
    def name(self) -> str:
        """As reports name it."""
        if self.port is not None:
            return f"{self.board} on {self.port}"
        return self.board if self.slot is None else f"{self.board} #{self.slot}"

    @property
    def key(self) -> str | None:
        """Under which it is locked; None where any number may be started."""
        if self.port is not None:
            return port_key(self.port)
        return None if self.slot is None else f"started {self.board} {self.slot}"


class DevicePool:
    """`places`, of which each is used once at a time.

    `broken_file`: where the processes of one run tell each other which places have failed; without
    it only this process knows. Raises BadInput where two places are one port.
    """

    def __init__(self, places: Sequence[Place], *, broken_file: Path | None = None) -> None:
        self.places = tuple(places)
        self._broken_file = broken_file
        self._broken: dict[str, str] = {}
        _require_distinct(self.places)

    @contextmanager
    def acquire(self, board: str | None = None, *, wait_seconds: float) -> Iterator[Place]:
        """A free place (of `board`) under an exclusive lock, the first in the pool's order.

        Raises:
            BadInput: the pool has none of `board`. LinkFailed: all of them are broken.
            MissingTool: none became free in `wait_seconds`; says who holds them.
        """
        place, lock = self._wait(board, time.monotonic() + wait_seconds, wait_seconds)
        try:
            yield place
        finally:
            if lock is not None:
                lock.release()

    def broken(self, place: Place, why: str) -> None:
        """Use `place` no more in this run. One without a limit stays: each start is a new board."""
        if place.key is None:
            return
        self._broken[place.key] = why
        if self._broken_file is not None:
            line = json.dumps({"key": place.key, "why": why}) + "\n"
            # One write to the end of a file is whole, also beside those of other processes.
            descriptor = os.open(self._broken_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)

    def broken_places(self) -> dict[Place, str]:
        """The places that failed, and why, in any process of this run."""
        if self._broken_file is not None and self._broken_file.exists():
            for line in self._broken_file.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                self._broken[entry["key"]] = entry["why"]
        return {p: self._broken[p.key] for p in self.places if p.key in self._broken and p.key}

    def _wait(
        self, board: str | None, deadline: float, wait_seconds: float
    ) -> tuple[Place, Lock | None]:
        candidates = [place for place in self.places if board in (None, place.board)]
        if not candidates:
            raise BadInput(
                f"there is no place with the board {board}",
                value=", ".join(place.name for place in self.places) or "an empty pool",
                next_step="add it to the pool, or name it with --nano-board",
            )
        while True:
            broken = self.broken_places()
            usable = [place for place in candidates if place not in broken]
            if not usable:
                raise _all_broken(board, broken)
            for place in usable:
                if place.key is None:
                    return place, None
                lock = try_lock(place.key)
                if lock is None:
                    continue
                if place not in self.broken_places():  # its last user may have said so since
                    return place, lock
                lock.release()
            if time.monotonic() >= deadline:
                raise _none_free(usable, wait_seconds)
            time.sleep(POLL_SECONDS)


def _require_distinct(places: Sequence[Place]) -> None:
    keys = Counter(place.key for place in places if place.key is not None)
    twice = [place.name for place in places if place.key is not None and keys[place.key] > 1]
    if twice:
        raise BadInput(
            "two places of the pool are one port",
            value=", ".join(twice),
            allowed="each port once; links to a device are the device",
        )


def _all_broken(board: str | None, broken: dict[Place, str]) -> LinkFailed:
    reasons = [f"{p.name}: {why}" for p, why in broken.items() if board in (None, p.board)]
    return LinkFailed(
        f"every place {f'with the board {board} ' if board else ''}failed in this run",
        value="; ".join(reasons),
        next_step="check the boards and their cables, then run again",
    )


def _none_free(places: Sequence[Place], wait_seconds: float) -> MissingTool:
    holders = [f"{p.name} is held by {holder(p.key)}" for p in places if p.key is not None]
    return MissingTool(
        f"no place became free within {wait_seconds:g} s",
        value="; ".join(holders),
        next_step="wait for the runs that hold them, or add places to the pool",
    )


# --- the pool file -------------------------------------------------------------------------------


class _Entry(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    board: str
    port: str | None = None
    chip_id: str | None = None
    count: Annotated[int, pydantic.Field(ge=1, le=1000)] | None = None

    @pydantic.model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.count is not None and self.port is not None:
            raise ValueError("count is of boards that are started: leave out count or port")
        if self.chip_id is not None and self.port is None:
            raise ValueError("chip_id is of a chip at a port: name the port")
        return self

    def places(self) -> list[Place]:
        if self.port is not None:
            return [Place(self.board, self.port, self.chip_id)]
        return [Place(self.board, slot=slot + 1) for slot in range(self.count or 1)]


class _PoolFile(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    places: Annotated[list[_Entry], pydantic.Field(min_length=1)]


def _reason(error: Exception) -> str | None:
    """What is wrong with the file, in one line."""
    if isinstance(error, OSError):
        return error.strerror
    if isinstance(error, pydantic.ValidationError):
        return "; ".join(complaints(error))
    return " ".join(str(error).split())


def read_pool(path: Path) -> list[Place]:
    """The places that the file lists. Raises BadInput: no such file, another form, a board."""
    try:
        content = _PoolFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:  # a date may be none
        raise BadInput(
            f"the pool file '{path}' cannot be used", value=_reason(error), allowed=_FORM
        ) from error
    places = [
        replace(place, board=load_board(place.board).name)
        for entry in content.places
        for place in entry.places()
    ]
    _require_distinct(places)
    return places
