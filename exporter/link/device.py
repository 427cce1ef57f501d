"""A board on the link as a typed object: its tensors, its runs, its memory."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from exporter.errors import BadInput, LinkFailed
from exporter.link.faults import Fault
from exporter.link.messages import (
    Command,
    ExpectedIdentity,
    Identity,
    InvokeResult,
    LogLine,
    MemoryReport,
    ProfileResult,
    Status,
    StepDescription,
    TensorDescription,
)
from exporter.link.session import RequestRefused, Session, Timing
from exporter.link.transport import Transport

_Decoded = TypeVar("_Decoded")
_WRITE_HEADER = struct.Struct("<HI")  # tensor, offset
_READ_REQUEST = struct.Struct("<HIH")  # tensor, offset, count
_PROFILE_HEADER = struct.Struct("<HI")  # readings, their ticks


class Device:
    """The device behind `transport`, which it owns from here on.

    The constructor finds the device and reads its identity and tensors; every method raises
    LinkFailed (DeviceRestarted after a crash) within its deadline.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        timing: Timing | None = None,
        on_log: Callable[[LogLine], None] | None = None,
    ) -> None:
        self._session = Session(transport, timing, on_log)
        self._steps: tuple[StepDescription, ...] | None = None
        try:
            self._session.handshake()
            self.identity = self.identify()
            tensors = [
                self._describe(Command.DESCRIBE_TENSOR, index, TensorDescription.decode)
                for index in range(self.identity.input_count + self.identity.output_count)
            ]
        except BaseException:
            transport.close()
            raise
        self.inputs = tuple(tensors[: self.identity.input_count])
        self.outputs = tuple(tensors[self.identity.input_count :])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the port back."""
        self._session.transport.close()

    @property
    def name(self) -> str:
        """The port, as a person knows it."""
        return self._session.transport.name

    @property
    def repeated_requests(self) -> int:
        """Requests that had to be sent again: 0 on a link without loss."""
        return self._session.repeated_requests

    def identify(self) -> Identity:
        """Model, build, dialect and board, asked anew."""
        return read_identity(self._session)

    def steps(self) -> tuple[StepDescription, ...]:
        """Operator and name of each step of the model, in order."""
        if self._steps is None:
            self._steps = tuple(
                self._describe(Command.DESCRIBE_STEP, index, StepDescription.decode)
                for index in range(self.identity.step_count)
            )
        return self._steps

    def poison(self, pattern: int = 0xA5) -> None:
        """Fill the whole arena with the byte `pattern`, inputs and outputs included."""
        self._session.request(Command.POISON, bytes([pattern]))

    def write_input(self, index: int, values: npt.NDArray[np.generic]) -> None:
        """Write input `index`; `values` has its dtype and shape, else BadInput."""
        tensor = _pick(self.inputs, index, "input")
        if values.dtype != tensor.dtype or values.shape != tensor.shape:
            raise BadInput(
                f"these values do not fit input {index}, {tensor.name}",
                value=f"{values.dtype} {list(values.shape)}",
                allowed=f"{tensor.dtype} {list(tensor.shape)}",
            )
        data = values.astype(tensor.dtype.newbyteorder("<")).tobytes()
        size = self._session.max_payload - _WRITE_HEADER.size
        deadline = self._deadline(len(data))
        for offset in range(0, len(data), size):
            payload = _WRITE_HEADER.pack(index, offset) + data[offset : offset + size]
            self._session.request(Command.WRITE, payload, deadline - time.monotonic())

    def read_output(self, index: int) -> npt.NDArray[np.generic]:
        """Output `index` as the last run left it, in its dtype and shape."""
        tensor = _pick(self.outputs, index, "output")
        return self._read(len(self.inputs) + index, tensor)

    def read_input(self, index: int) -> npt.NDArray[np.generic]:
        """Input `index` as it is now: a run may have used its place for something else."""
        return self._read(index, _pick(self.inputs, index, "input"))

    def invoke(self, deadline_seconds: float = 30.0) -> InvokeResult:
        """Run the model once; never twice, however often the link repeats the request."""
        reply = self._session.request(Command.INVOKE, b"", deadline_seconds)
        return _decode(Command.INVOKE, InvokeResult.decode, reply)

    def profile(self, deadline_seconds: float = 60.0) -> ProfileResult:
        """Run the model step by step, with a reading of the ticks around each."""
        deadline = time.monotonic() + deadline_seconds
        capacity = (self._session.max_payload - _PROFILE_HEADER.size) // 8
        step_ticks: list[int] = []
        reading_ticks: list[float] = []
        while len(step_ticks) < self.identity.step_count:
            first = len(step_ticks)
            count = min(capacity, self.identity.step_count - first)
            reply = self._session.request(
                Command.PROFILE, struct.pack("<HH", first, count), deadline - time.monotonic()
            )
            readings, ticks = _decode(Command.PROFILE, _PROFILE_HEADER.unpack_from, reply)
            step_ticks += struct.unpack_from(f"<{count}Q", reply, _PROFILE_HEADER.size)
            reading_ticks.append(ticks / readings)
        mean = sum(reading_ticks) / len(reading_ticks) if reading_ticks else 0.0
        return ProfileResult(tuple(step_ticks), mean)

    def spin(self, instructions: int, deadline_seconds: float = 30.0) -> int | None:
        """Ticks that so many instructions take; None where the platform cannot count them."""
        try:
            reply = self._session.request(
                Command.SPIN, struct.pack("<I", instructions), deadline_seconds
            )
        except RequestRefused as refusal:
            if refusal.status == Status.UNSUPPORTED:
                return None
            raise
        ticks: int = _decode(Command.SPIN, struct.Struct("<Q").unpack_from, reply)[0]
        return ticks

    def memory(self) -> MemoryReport:
        """Arena, guards, stack of the last run, image: measured on the device."""
        return _decode(Command.MEMORY, MemoryReport.decode, self._session.request(Command.MEMORY))

    def take_fault(self) -> Fault | None:
        """What ended the boot before this one, told once; None where nothing crashed."""
        reply = self._session.request(Command.TAKE_FAULT)
        return _decode(Command.TAKE_FAULT, Fault.decode, reply)

    def reset(self) -> None:
        """Reset the device and wait for its next boot."""
        self._session.restart()

    def poll(self, seconds: float) -> None:
        """Let log lines come in for up to `seconds`."""
        self._session.poll(seconds)

    def _deadline(self, size: int) -> float:
        return time.monotonic() + self._session.timing.transfer_deadline(size)

    def _describe(
        self, command: Command, index: int, decode: Callable[[bytes], _Decoded]
    ) -> _Decoded:
        return _decode(
            command, decode, self._session.description(command, struct.pack("<H", index))
        )

    def _read(self, number: int, tensor: TensorDescription) -> npt.NDArray[np.generic]:
        data = bytearray()
        deadline = self._deadline(tensor.size_bytes)
        while len(data) < tensor.size_bytes:
            count = min(self._session.max_payload, tensor.size_bytes - len(data))
            payload = _READ_REQUEST.pack(number, len(data), count)
            reply = self._session.request(Command.READ, payload, deadline - time.monotonic())
            if len(reply) != count:
                raise _misfit(Command.READ, f"{len(reply)} bytes where {count} were asked for")
            data += reply
        wire = tensor.dtype.newbyteorder("<")
        return np.frombuffer(bytes(data), wire).astype(tensor.dtype).reshape(tensor.shape)


def read_identity(session: Session) -> Identity:
    """What the device behind `session` says of itself. Raises LinkFailed."""
    return _decode(
        Command.IDENTIFY,
        lambda data: Identity.decode(data, session.boot_nonce, session.max_payload),
        session.description(Command.IDENTIFY),
    )


def require_identity(identity: Identity, expected: ExpectedIdentity) -> None:
    """Raises LinkFailed where the device carries another model, build, dialect or board."""
    for name, what in (
        ("board", "the firmware on the device was built for another board"),
        ("model_sha256", "the device carries another model"),
        ("dialect", "the firmware on the device computes in another dialect"),
        ("build_id", "the device carries another build of the model"),
    ):
        found, wanted = getattr(identity, name), getattr(expected, name)
        if wanted is not None and found != wanted:
            raise LinkFailed(
                what,
                value=f"{name} {found} (model {identity.model_name}, board {identity.board})",
                allowed=f"{name} {wanted}",
                next_step="flash the firmware anew, or name the right board and port",
            )


def _pick(tensors: tuple[TensorDescription, ...], index: int, kind: str) -> TensorDescription:
    if 0 <= index < len(tensors):
        return tensors[index]
    raise BadInput(f"the model has no such {kind}", value=index, allowed=f"0 to {len(tensors) - 1}")


def _decode(command: Command, decode: Callable[[bytes], _Decoded], data: bytes) -> _Decoded:
    try:
        return decode(data)
    except (struct.error, KeyError) as error:
        raise _misfit(command, str(error)) from error


def _misfit(command: Command, why: str) -> LinkFailed:
    return LinkFailed(
        f"the reply to {command.name} does not fit the protocol",
        value=why,
        next_step="render, build and flash the firmware anew with this nanoexport",
    )
