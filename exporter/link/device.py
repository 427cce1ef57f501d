"""A board on the link as a typed object: its tensors, its runs, its memory."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from exporter.errors import BadInput, LinkFailed
from exporter.link.failures import misfit
from exporter.link.faults import Fault
from exporter.link.history import LinkCounts
from exporter.link.loader import reset_to_loader
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
from exporter.link.pacing import Timing
from exporter.link.session import Explain, RequestRefused, Session
from exporter.link.transfer import ReadContent, WriteContent, transfer
from exporter.link.transport import Transport

_Decoded = TypeVar("_Decoded")
_INVOKE_REQUEST = struct.Struct("<II")  # watchdog in milliseconds, flags
_INVOKE_WITH_INTERRUPTS = 1
_INVOKE_WITH_GUARDS = 2
_LONGEST_WATCHDOG_MS = 0xFFFFFFFF
_PROFILE_HEADER = struct.Struct("<HI")  # readings, their ticks


class Device:
    """The device behind `transport`, which it owns from here on.

    The constructor finds the device and reads its identity and tensors; every method raises
    LinkFailed (DeviceRestarted after a crash) within its deadline. With `reopen` it outlives the
    loss of the port: see Session. `watchdog_share` is the part of a run's deadline after which the
    device's watchdog ends the run: little where the device's seconds last longer than ours, as an
    emulator's do. With `guarded` a run that stores next to its arena faults at once, where the
    core can tell; an emulator becomes slow by it. `explain` words the report of a crash.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        timing: Timing | None = None,
        on_log: Callable[[LogLine], None] | None = None,
        reopen: Callable[[], Transport] | None = None,
        watchdog_share: float = 0.5,
        guarded: bool = True,
        explain: Explain | None = None,
    ) -> None:
        self.guarded = guarded
        self.watchdog_share = watchdog_share
        self._session = Session(transport, timing, on_log, reopen=reopen, explain=explain)
        self._steps: tuple[StepDescription, ...] | None = None
        try:
            self._session.handshake()
            self.identity = self.identify()
            tensors = [
                self._describe(Command.DESCRIBE_TENSOR, index, TensorDescription.decode)
                for index in range(self.identity.input_count + self.identity.output_count)
            ]
        except BaseException:
            self.close()
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

    @property
    def link_counts(self) -> LinkCounts:
        """Bytes, repetitions and damage on the link since this device was opened."""
        return self._session.history.counts

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
        self._transfer(WriteContent(index, data))

    def read_output(self, index: int) -> npt.NDArray[np.generic]:
        """Output `index` as the last run left it, in its dtype and shape."""
        tensor = _pick(self.outputs, index, "output")
        return self._read(len(self.inputs) + index, tensor)

    def read_input(self, index: int) -> npt.NDArray[np.generic]:
        """Input `index` as it is now: a run may have used its place for something else."""
        return self._read(index, _pick(self.inputs, index, "input"))

    def invoke(
        self,
        deadline_seconds: float = 30.0,
        *,
        watchdog_seconds: float | None = None,
        interrupts: bool = False,
        guarded: bool | None = None,
    ) -> InvokeResult:
        """Run the model once; never twice, however often the link repeats the request.

        After `watchdog_seconds` of the device's time its watchdog, where it has one, ends the run
        (DeviceRestarted); by default after a part of `deadline_seconds`, with 0 never. With
        `interrupts` they stay enabled; the stack is then not measured and told as 0. `guarded` is
        as in the constructor, whose value is the default.
        """
        if watchdog_seconds is None:
            watchdog_seconds = deadline_seconds * self.watchdog_share
        milliseconds = math.ceil(min(max(0, 1000 * watchdog_seconds), _LONGEST_WATCHDOG_MS))
        with_guards = self.guarded if guarded is None else guarded
        flags = _INVOKE_WITH_INTERRUPTS * interrupts | _INVOKE_WITH_GUARDS * with_guards
        request = _INVOKE_REQUEST.pack(milliseconds, flags)
        reply = self._session.request(Command.INVOKE, request, deadline_seconds)
        return _decode(Command.INVOKE, InvokeResult.decode, reply)

    def profile(self, deadline_seconds: float = 60.0) -> ProfileResult:
        """Run the model step by step, with a reading of the ticks around each."""
        deadline = self._session.now() + deadline_seconds
        capacity = (self._session.max_payload - _PROFILE_HEADER.size) // 8
        step_ticks: list[int] = []
        reading_ticks: list[float] = []
        while len(step_ticks) < self.identity.step_count:
            first = len(step_ticks)
            count = min(capacity, self.identity.step_count - first)
            reply = self._profile(first, count, deadline - self._session.now())
            layout = struct.Struct(f"{_PROFILE_HEADER.format}{count}Q")
            readings, ticks, *each = _decode(Command.PROFILE, layout.unpack_from, reply)
            step_ticks += each
            reading_ticks.append(ticks / max(1, readings))
        mean = sum(reading_ticks) / len(reading_ticks) if reading_ticks else 0.0
        return ProfileResult(tuple(step_ticks), mean)

    def run_step(self, index: int, deadline_seconds: float = 60.0) -> None:
        """Run one step of the model: step 0, or the one behind the last that ran."""
        self._profile(index, 1, deadline_seconds)

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

    def load(self, period_us: int, instructions: int) -> int | None:
        """From now on a timer interrupts each run that keeps interrupts enabled, every `period_us`,
        and executes so many instructions each time; a period of 0 ends that.

        Returns the interrupts served since the last call; None where the board has no timer.
        """
        try:
            reply = self._session.request(Command.LOAD, struct.pack("<II", period_us, instructions))
        except RequestRefused as refusal:
            if refusal.status == Status.UNSUPPORTED:
                return None
            raise
        served: int = _decode(Command.LOAD, struct.Struct("<I").unpack_from, reply)[0]
        return served

    def reading_ticks(self) -> float:
        """Ticks that a reading of the counter itself takes: part of every other figure."""
        reply = self._session.request(Command.PROFILE, struct.pack("<HH", 0, 0))
        readings, ticks = _decode(Command.PROFILE, _PROFILE_HEADER.unpack_from, reply)
        return float(ticks / max(1, readings))

    def memory(self) -> MemoryReport:
        """Arena, guards, stack of the last run, image: measured on the device."""
        return _decode(Command.MEMORY, MemoryReport.decode, self._session.request(Command.MEMORY))

    def take_fault(self) -> Fault | None:
        """What ended the boot before this one, told once; None where nothing crashed."""
        record = self._session.description(Command.TAKE_FAULT)
        return _decode(Command.TAKE_FAULT, Fault.decode, record)

    def reset(self) -> None:
        """Reset the device and wait for its next boot."""
        self._session.restart()

    def reset_to_loader(self) -> None:
        """Reset the device into its boot loader, which does not speak this protocol.

        Raises LinkFailed where it does not say that it will. A device without a loader starts
        anew. Close this Device before the port is used for the loader.
        """
        reset_to_loader(self._session)

    def poll(self, seconds: float) -> None:
        """Let log lines come in for up to `seconds`."""
        self._session.poll(seconds)

    def _profile(self, first: int, count: int, seconds: float) -> bytes:
        return self._session.request(Command.PROFILE, struct.pack("<HH", first, count), seconds)

    def _transfer(self, content: WriteContent | ReadContent) -> None:
        transfer(self._session, content, self._session.timing.transfer_deadline(content.size))

    def _describe(
        self, command: Command, index: int, decode: Callable[[bytes], _Decoded]
    ) -> _Decoded:
        return _decode(
            command, decode, self._session.description(command, struct.pack("<H", index))
        )

    def _read(self, number: int, tensor: TensorDescription) -> npt.NDArray[np.generic]:
        content = ReadContent(number, tensor.size_bytes)
        self._transfer(content)
        wire = tensor.dtype.newbyteorder("<")
        return np.frombuffer(bytes(content.data), wire).astype(tensor.dtype).reshape(tensor.shape)


def read_identity(session: Session) -> Identity:
    """What the device behind `session` says of itself. Raises LinkFailed."""
    return _decode(
        Command.IDENTIFY,
        lambda data: Identity.decode(data, session.boot_nonce, session.max_payload),
        session.description(Command.IDENTIFY),
    )


class WrongIdentity(LinkFailed):
    """The device is not the one that is meant: `field` of its Identity is `found`."""

    def __init__(
        self, field: str, found: str, what: str, *, value: str, allowed: str, next_step: str
    ) -> None:
        super().__init__(what, value=value, allowed=allowed, next_step=next_step)
        self.field = field
        self.found = found


_IDENTITY_CHECKS = {
    "board": "the firmware on the device was built for another board",
    "chip_id": "this is another unit",
    "model_sha256": "the device carries another model",
    "dialect": "the firmware on the device computes in another dialect",
    "toolchain": "the firmware on the device was made by another compiler",
    "templates_sha256": "the firmware on the device was rendered from other templates",
    "build_id": "the device carries another build of the model",
    "elf_build_id": "the image on the device is not the one that was built",
}
"""What each field means where it differs, from the coarsest to the finest."""


def require_identity(identity: Identity, expected: ExpectedIdentity) -> None:
    """Raises WrongIdentity where the device is not the expected one, saying which it is."""
    for name in differing_fields(identity, expected):
        found = getattr(identity, name)
        raise WrongIdentity(
            name,
            found,
            _IDENTITY_CHECKS[name],
            value=f"{name} {found or 'none'} (model {identity.model_name}, "
            f"board {identity.board}, build {identity.build_id[:16]})",
            allowed=f"{name} {getattr(expected, name)}",
            next_step="name the port of the right unit"
            if name == "chip_id"
            else "flash the firmware anew, or name the right board and port",
        )


def differing_fields(identity: Identity, expected: ExpectedIdentity) -> list[str]:
    """Names of the fields that are not as expected, the coarsest first."""
    return [
        name
        for name in _IDENTITY_CHECKS
        if getattr(expected, name) not in (None, getattr(identity, name))
    ]


def _pick(tensors: tuple[TensorDescription, ...], index: int, kind: str) -> TensorDescription:
    if 0 <= index < len(tensors):
        return tensors[index]
    raise BadInput(f"the model has no such {kind}", value=index, allowed=f"0 to {len(tensors) - 1}")


def _decode(command: Command, decode: Callable[[bytes], _Decoded], data: bytes) -> _Decoded:
    try:
        return decode(data)
    except (struct.error, KeyError) as error:
        raise misfit(command, str(error)) from error
