"""What the bodies of frames say: the tables of PROTOCOL.md, "Bodies" and "Commands", as types."""

from __future__ import annotations

import enum
import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporter.link.frames import MAX_BODY_BYTES

PROTOCOL_VERSION = 2
HEADER = struct.Struct("<BBBBHI")
LEAST_PAYLOAD_BYTES, MOST_PAYLOAD_BYTES = 48, MAX_BODY_BYTES - HEADER.size
"""What a device may state in HELLO: its longest fixed reply, and what a host has room for."""
ANY_BOOT = 0
"""Boot nonce of a request that any boot of the device may serve: hello only."""


class Kind(enum.IntEnum):
    """What a frame is."""

    REQUEST = 1
    REPLY = 2
    LOG = 3
    DAMAGED = 4


class Command(enum.IntEnum):
    """What a request asks for."""

    HELLO = 0x01
    IDENTIFY = 0x02
    DESCRIBE_TENSOR = 0x03
    DESCRIBE_STEP = 0x04
    POISON = 0x10
    WRITE = 0x11
    READ = 0x12
    INVOKE = 0x20
    PROFILE = 0x21
    SPIN = 0x22
    LOAD = 0x23
    MEMORY = 0x30
    TAKE_FAULT = 0x31
    RESET = 0x32
    RESET_TO_LOADER = 0x33


class Status(enum.IntEnum):
    """How a request went."""

    OK = 0
    MALFORMED = 1
    UNKNOWN_COMMAND = 2
    OUT_OF_RANGE = 3
    UNSUPPORTED = 4
    OUT_OF_ORDER = 5
    REBOOTED = 6
    STALE = 7
    BAD_VERSION = 8


@dataclass(frozen=True)
class Message:
    """A body: header and payload. `command` is the level where `kind` is LOG."""

    kind: int
    command: int
    status: int
    sequence: int
    boot_nonce: int
    payload: bytes = b""
    version: int = PROTOCOL_VERSION

    def encode(self) -> bytes:
        """The bytes of the body."""
        header = HEADER.pack(
            self.version, self.kind, self.command, self.status, self.sequence, self.boot_nonce
        )
        return header + self.payload

    @classmethod
    def decode(cls, body: bytes) -> Message | None:
        """The message in a body; None where it is shorter than a header."""
        if len(body) < HEADER.size:
            return None
        version, kind, command, status, sequence, boot_nonce = HEADER.unpack_from(body)
        payload = body[HEADER.size :]
        return cls(kind, command, status, sequence, boot_nonce, payload, version)


@dataclass(frozen=True)
class Hello:
    """Where a session can start: the last sequence number served, the largest payload, and the
    window: bytes of requests that the device holds while it is busy.
    """

    LAYOUT = struct.Struct("<HHI")
    last_sequence: int
    max_payload: int
    window_bytes: int

    @classmethod
    def decode(cls, payload: bytes) -> Hello:
        """Raises struct.error where the payload is too short."""
        return cls(*cls.LAYOUT.unpack_from(payload))


@dataclass(frozen=True)
class Identity:
    """Which model, build and board answers. `max_payload` and `boot_nonce` are of this boot.

    Hashes and `chip_id` are hexadecimal; `elf_build_id` is zeros where the linker left none,
    `chip_id` empty where the chip has no number of its own.
    """

    LAYOUT = struct.Struct("<32s32s32s20sIIHHH")
    model_name: str
    model_sha256: str
    build_id: str
    templates_sha256: str
    elf_build_id: str
    dialect: str
    toolchain: str
    board: str
    chip_id: str
    ticks_hz: int
    arena_bytes: int
    input_count: int
    output_count: int
    step_count: int
    protocol_version: int
    boot_nonce: int
    max_payload: int

    @classmethod
    def decode(cls, description: bytes, boot_nonce: int, max_payload: int) -> Identity:
        """Raises struct.error where the description is too short."""
        sha256, build_id, templates, elf, ticks_hz, arena, inputs, outputs, steps = (
            cls.LAYOUT.unpack_from(description)
        )
        texts = _texts(description[cls.LAYOUT.size :], 5)
        return cls(
            model_name=texts[0],
            model_sha256=sha256.hex(),
            build_id=build_id.hex(),
            templates_sha256=templates.hex(),
            elf_build_id=elf.hex(),
            dialect=texts[2],
            toolchain=texts[3],
            board=texts[1],
            chip_id=texts[4],
            ticks_hz=ticks_hz,
            arena_bytes=arena,
            input_count=inputs,
            output_count=outputs,
            step_count=steps,
            protocol_version=PROTOCOL_VERSION,
            boot_nonce=boot_nonce,
            max_payload=max_payload,
        )


@dataclass(frozen=True)
class ExpectedIdentity:
    """What the host built, to compare with what the device says; None is not compared."""

    model_sha256: str | None = None
    build_id: str | None = None
    dialect: str | None = None
    board: str | None = None
    chip_id: str | None = None
    """Of the one unit that is meant, where several carry the same firmware."""
    toolchain: str | None = None
    templates_sha256: str | None = None
    elf_build_id: str | None = None


_DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<i1"), 2: np.dtype("<i2"), 3: np.dtype("<i4")}


@dataclass(frozen=True)
class TensorDescription:
    """One input or output of the model: `real = scale * (stored - zero_point)`."""

    LAYOUT = struct.Struct("<fiI")
    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    size_bytes: int

    @classmethod
    def decode(cls, description: bytes) -> TensorDescription:
        """Raises struct.error where it is too short, KeyError where the type is unknown."""
        kind, rank = struct.unpack_from("<BB", description)
        shape = struct.unpack_from(f"<{rank}I", description, 2)
        offset = 2 + 4 * rank
        scale, zero_point, size = cls.LAYOUT.unpack_from(description, offset)
        (name,) = _texts(description[offset + cls.LAYOUT.size :], 1)
        dtype = _DTYPES[kind]
        if size != math.prod(shape) * dtype.itemsize:
            raise struct.error(f"tensor {name} of shape {list(shape)} {dtype} in {size} bytes")
        return cls(name, dtype, shape, scale, zero_point, size)


@dataclass(frozen=True)
class StepDescription:
    """One step of the model: the operator and the name of its output in the flatbuffer."""

    op: str
    name: str

    @classmethod
    def decode(cls, description: bytes) -> StepDescription:
        """Raises struct.error where the description is too short."""
        return cls(*_texts(description, 2))


@dataclass(frozen=True)
class InvokeResult:
    """One inference: ticks of the whole of it, stack bytes used below the entry of invoke."""

    LAYOUT = struct.Struct("<QI")
    ticks: int
    stack_bytes: int

    @classmethod
    def decode(cls, payload: bytes) -> InvokeResult:
        """Raises struct.error where the payload is too short."""
        return cls(*cls.LAYOUT.unpack_from(payload))


@dataclass(frozen=True)
class ProfileResult:
    """Ticks of each step as read, and of a reading with nothing in it, to be subtracted."""

    step_ticks: tuple[int, ...]
    reading_ticks: float


@dataclass(frozen=True)
class MemoryReport:
    """Arena, its guards, stack and image, in bytes; `guard_*_damaged` are 0 when intact.

    `image_crc32`: over the image as it is stored; 0 where the device cannot read it whole.
    """

    LAYOUT = struct.Struct("<8I")
    arena_bytes: int
    guard_bytes: int
    guard_below_damaged: int
    guard_above_damaged: int
    stack_bytes: int
    image_bytes: int
    bad_frames: int
    image_crc32: int

    @property
    def guards_intact(self) -> bool:
        """Whether nothing was written next to the arena since boot."""
        return self.guard_below_damaged == 0 and self.guard_above_damaged == 0

    @classmethod
    def decode(cls, payload: bytes) -> MemoryReport:
        """Raises struct.error where the payload is too short."""
        return cls(*cls.LAYOUT.unpack_from(payload))


LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class LogLine:
    """One line of text from the device. `sequence` counts the lines since boot."""

    level: str
    text: str
    sequence: int
    boot_nonce: int

    @classmethod
    def of(cls, message: Message) -> LogLine:
        """The line in a message of kind LOG."""
        known = message.command < len(LOG_LEVELS)
        level = LOG_LEVELS[message.command] if known else f"level {message.command}"
        text = message.payload.decode("utf-8", "replace")
        return cls(level, text, message.sequence, message.boot_nonce)


def _texts(data: bytes, count: int) -> list[str]:
    """`count` texts, each a u16 size and its bytes in UTF-8."""
    texts = []
    for _ in range(count):
        (size,) = struct.unpack_from("<H", data)
        if len(data) < 2 + size:
            raise struct.error(f"text of {size} bytes in {len(data) - 2}")
        texts.append(data[2 : 2 + size].decode("utf-8", "replace"))
        data = data[2 + size :]
    return texts
