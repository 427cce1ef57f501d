"""What the monitor sees, one type for each kind of event. They are also the lines of a recording.

`at` is the time on the host, in seconds since 1970 (UTC). Numbers are bounded, so that nothing that
takes events has to mind what a damaged recording holds.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

_Count = Annotated[int, Field(ge=0, lt=2**64)]
_U32 = Annotated[int, Field(ge=0, lt=2**32)]
_I32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
_Seconds = Annotated[float, Field(ge=0, le=2**33, allow_inf_nan=False)]
Mode = Literal["watch", "listen", "run"]


class _Data(pydantic.BaseModel):
    # A scale that is no number must survive a recording.
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class TensorInfo(_Data):
    """An input or output: `real = scale * (stored - zero_point)`; dtype is int8, int16 or int32."""

    name: str
    dtype: Literal["int8", "int16", "int32"]
    shape: tuple[_U32, ...]
    scale: float
    zero_point: _I32
    size_bytes: _U32


class _Event(_Data):
    at: _Seconds


class Began(_Event):
    """The monitor starts. Modes: watch only reads, listen sends nothing, run makes inferences."""

    kind: Literal["began"] = "began"
    port: str
    mode: Mode


class Connected(_Event):
    """The device said who it is: at first, and again after each restart or loss of the port."""

    kind: Literal["connected"] = "connected"
    again: bool
    model: str
    model_sha256: str
    board: str
    build_id: str
    dialect: str
    boot_nonce: _U32
    ticks_hz: _U32
    arena_bytes: _U32
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    @property
    def origin(self) -> str:
        """Which model on which board, as lines name it."""
        return f"{self.model}@{self.board}"


class Silent(_Event):
    """Nothing on the port speaks the protocol; text that comes is shown."""

    kind: Literal["silent"] = "silent"
    port: str


class Log(_Event):
    """A log line of the link. `level` is debug, info, warning, error or "level N".

    `sequence` counts the lines since boot, modulo 65536.
    """

    kind: Literal["log"] = "log"
    level: str
    text: str
    sequence: _U32
    boot_nonce: _U32


class TextLine(_Event):
    """A line of plain text, from firmware that does not speak the protocol."""

    kind: Literal["text"] = "text"
    text: str


class TensorRead(_Event):
    """The stored integers of a tensor, in memory order, when they differ from those before.

    Of a large one only every `stride`-th.
    """

    kind: Literal["tensor"] = "tensor"
    role: Literal["input", "output"]
    index: _U32
    stride: Annotated[int, Field(ge=1, lt=2**32)] = 1
    values: tuple[_I32, ...]


class Memory(_Event):
    """The device's own account of its memory, in bytes, when it differs from the one before."""

    kind: Literal["memory"] = "memory"
    arena_bytes: _U32
    guard_bytes: _U32
    guard_below_damaged: _U32
    guard_above_damaged: _U32
    stack_bytes: _U32
    image_bytes: _U32
    bad_frames: _U32


class Inference(_Event):
    """One run of the model: ticks on the device, seconds on the host from request to reply."""

    kind: Literal["inference"] = "inference"
    number: _Count
    ticks: _Count
    round_trip_seconds: _Seconds
    stack_bytes: _U32


class Throughput(_Event):
    """What went over the link in the last `seconds`; damage and repetitions since connecting."""

    kind: Literal["throughput"] = "throughput"
    seconds: _Seconds
    received_bytes: _Count
    sent_bytes: _Count
    inferences: _Count
    bad_frames: _Count
    repeated_requests: _Count


class Restarted(_Event):
    """The device started anew; `fault` says in words what ended the boot before."""

    kind: Literal["restarted"] = "restarted"
    what: str
    fault: str


class Trouble(_Event):
    """A request that failed; the monitor goes on."""

    kind: Literal["trouble"] = "trouble"
    what: str
    value: str


class Disconnected(_Event):
    """The port is gone; the monitor waits for it."""

    kind: Literal["disconnected"] = "disconnected"
    what: str
    value: str


class Reopened(_Event):
    """The port is back."""

    kind: Literal["reopened"] = "reopened"
    port: str


class Ended(_Event):
    """This run of the monitor ends."""

    kind: Literal["ended"] = "ended"


Event = (
    Began
    | Connected
    | Silent
    | Log
    | TextLine
    | TensorRead
    | Memory
    | Inference
    | Throughput
    | Restarted
    | Trouble
    | Disconnected
    | Reopened
    | Ended
)
_ADAPTER: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(
    Annotated[Event, Field(discriminator="kind")]
)


def now() -> float:
    """The time of an event that happens now, to the microsecond."""
    return round(time.time(), 6)


def to_json(event: Event) -> str:
    """One line without its end."""
    return event.model_dump_json()


def from_json(line: str) -> Event:
    """The event in a line. Raises pydantic.ValidationError."""
    event: Event = _ADAPTER.validate_json(line)
    return event
