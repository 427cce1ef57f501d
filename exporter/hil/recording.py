"""What a test did with its device: enough to do it again, and to know whether it was lost."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.build.firmware import ModelFirmware
from exporter.errors import LinkFailed
from exporter.flash import RunningBoard
from exporter.hil.pool import Place
from exporter.hil.session import ENDING_SECONDS, conduct
from exporter.link.device import Device
from exporter.link.messages import Identity, InvokeResult, LogLine, ProfileResult
from exporter.link.transport import ConnectionBroken, Transport

Array = npt.NDArray[np.generic]

MOST_INFERENCES = 16
MOST_BYTES = 4 << 20
MOST_LOG_LINES = 1000


@dataclass
class Inference:
    """One run of the model. `number` counts from 0 since the device was opened.

    `inputs` and `outputs`: what was written before it and read after it, by index. `poison`: the
    pattern that the arena was filled with before, None where it was left as it was.
    """

    number: int
    kind: str
    poison: int | None
    inputs: dict[int, Array]
    outputs: dict[int, Array] = field(default_factory=dict)
    ticks: int | None = None

    @property
    def size_bytes(self) -> int:
        """Of all arrays."""
        return sum(a.nbytes for a in (*self.inputs.values(), *self.outputs.values()))


@dataclass
class Recording:
    """One attempt of a test at one place. `lost`: why its device is gone, None where it is not."""

    place: Place
    firmware: ModelFirmware
    seed: int
    identity: Identity | None = None
    inferences: deque[Inference] = field(default_factory=deque)
    inference_count: int = 0
    log: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_LOG_LINES))
    lost: str | None = None
    board_log: str = ""
    """The last lines of the program that is or runs the board."""
    _running: RunningBoard | None = None
    _was_started: bool = False

    @property
    def opened(self) -> bool:
        """Whether there was a board at all."""
        return self._was_started or self.identity is not None

    @property
    def ticks(self) -> int | None:
        """Of the last inference."""
        return self.inferences[-1].ticks if self.inferences else None

    def started(self, running: RunningBoard) -> None:
        """The board was started for this test."""
        self._running, self._was_started = running, True

    def on_log(self, line: LogLine) -> None:
        """A line that the device said."""
        self.log.append(f"{line.sequence} {line.level} {line.text}")

    def on_lost(self, failure: LinkFailed) -> None:
        """The connection broke, or the board ended, whatever the test makes of it."""
        self.lost = self.lost or f"{failure.what}: {failure.value}"

    def keep(self, inference: Inference) -> None:
        """Add an inference; the oldest go where there are too many, or too many bytes."""
        self.inference_count += 1
        self.inferences.append(inference)
        while len(self.inferences) > MOST_INFERENCES or self._too_large():
            self.inferences.popleft()

    def close(self) -> None:
        """Note how the program ended and what it said last, before it is stopped."""
        running, self._running = self._running, None
        if running is None:
            return
        if self.lost is not None:
            time.sleep(ENDING_SECONDS)
            if not running.alive():
                self.lost = f"the program that is the board ended ({self.lost})"
        self.board_log = running.log_tail()

    def _too_large(self) -> bool:
        held = sum(inference.size_bytes for inference in self.inferences)
        return len(self.inferences) > 1 and held > MOST_BYTES


class _Watched(Transport):
    """A transport that tells when it breaks."""

    def __init__(self, inner: Transport, on_lost: Callable[[LinkFailed], None]) -> None:
        self.name = inner.name
        self._inner = inner
        self._on_lost = on_lost

    def write(self, data: bytes) -> None:
        """See Transport."""
        try:
            self._inner.write(data)
        except ConnectionBroken as failure:
            self._on_lost(failure)
            raise

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        try:
            return self._inner.read(max_bytes, timeout_seconds)
        except ConnectionBroken as failure:
            self._on_lost(failure)
            raise

    def close(self) -> None:
        """See Transport."""
        self._inner.close()


class RecordingDevice(Device):
    """A device whose inferences go into `recording`."""

    def __init__(
        self,
        transport: Transport,
        recording: Recording,
        reopen: Callable[[], Transport] | None = None,
    ) -> None:
        self._recording = recording
        self._inputs: dict[int, Array] = {}
        self._poison: int | None = None

        def again() -> Transport:
            assert reopen is not None
            found = _Watched(reopen(), recording.on_lost)
            recording.lost = None  # it was the cable, and it is back
            return found

        super().__init__(
            _Watched(transport, recording.on_lost),
            on_log=recording.on_log,
            **conduct(
                recording.firmware.board, recording.firmware.firmware.elf, recording.place.port
            ),
            reopen=again if reopen is not None else None,
        )
        recording.identity = self.identity

    def poison(self, pattern: int = 0xA5) -> None:
        """See Device."""
        super().poison(pattern)
        self._poison = pattern
        self._inputs.clear()

    def write_input(self, index: int, values: npt.NDArray[np.generic]) -> None:
        """See Device."""
        super().write_input(index, values)
        self._inputs[index] = values.copy()

    def invoke(self, *arguments: Any, **options: Any) -> InvokeResult:
        """See Device."""
        inference = self._begin("invoke")
        result = super().invoke(*arguments, **options)
        inference.ticks = result.ticks
        return result

    def profile(self, *arguments: Any, **options: Any) -> ProfileResult:
        """See Device."""
        inference = self._begin("profile")
        result = super().profile(*arguments, **options)
        inference.ticks = sum(result.step_ticks)
        return result

    def read_output(self, index: int) -> npt.NDArray[np.generic]:
        """See Device."""
        values = super().read_output(index)
        if self._recording.inferences:
            self._recording.inferences[-1].outputs.setdefault(index, values.copy())
        return values

    def _begin(self, kind: str) -> Inference:
        """Noted before it runs: the inference that never ends is the one to look at."""
        number = self._recording.inference_count
        inference = Inference(number, kind, self._poison, dict(self._inputs))
        self._recording.keep(inference)
        self._inputs.clear()
        self._poison = None
        return inference
