"""Asks a device again and again what it holds, without changing anything on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from numpy.typing import NDArray

from exporter.link.device import Device
from exporter.link.messages import TensorDescription
from exporter.link.monitor import events
from exporter.link.monitor.events import Event, now
from exporter.link.monitor.meter import Meter
from exporter.link.session import RequestRefused

POLLED_BYTES = 1024
"""Larger tensors are not read again and again: at 115,200 baud these are 0.1 s of each second."""
_POLL_SECONDS = 1.0
_OUTPUT_SECONDS = 0.2
Role = Literal["input", "output"]


class Poll:
    """Asks a device once a second for its tensors and its memory; tells what has changed."""

    def __init__(
        self,
        device: Device,
        meter: Meter,
        take: Callable[[Event], None],
        *,
        running: bool,
    ) -> None:
        self._device = device
        self._meter = meter
        self._take = take
        self._running = running
        self._vector: Sequence[NDArray[Any]] = ()
        self._last: dict[object, Event] = {}
        self._refused: set[str] = set()
        self._read_at = -_OUTPUT_SECONDS
        self._due = time.monotonic()

    @property
    def due_seconds(self) -> float:
        """Seconds until `when_due` has something to do."""
        return max(0.0, self._due - time.monotonic())

    def when_due(self) -> None:
        """Poll where a second has passed."""
        if self.due_seconds == 0:
            self.poll()

    def poll(self) -> None:
        """Read what there is to read, and tell how much went over the link."""
        self._due = time.monotonic() + _POLL_SECONDS
        self._read_tensors()
        with self._unless_refused("MEMORY") as wanted:
            if wanted:
                self._read_memory()
        self._meter.tell(
            bad_frames=self._device.link_counts.damaged_frames,
            repeated_requests=self._device.repeated_requests,
        )

    def ran(self, vector: Sequence[NDArray[Any]]) -> None:
        """An inference of `vector` was made: its outputs are read, a few times a second."""
        self._vector = vector
        if time.monotonic() - self._read_at >= _OUTPUT_SECONDS:
            self._read_tensors()

    def _read_tensors(self) -> None:
        """Outputs from the device; inputs too, where it was not us who wrote them."""
        self._read_at = time.monotonic()
        device = self._device
        for index, values in enumerate(self._vector):
            self._tell_values("input", index, values)
        if not self._running:
            self._read("input", device.inputs, device.read_input)
        self._read("output", device.outputs, device.read_output)

    def _read(
        self,
        role: Role,
        tensors: Sequence[TensorDescription],
        read: Callable[[int], NDArray[Any]],
    ) -> None:
        for index, tensor in enumerate(tensors):
            if tensor.size_bytes <= POLLED_BYTES:
                with self._unless_refused("READ") as wanted:
                    if wanted:
                        self._tell_values(role, index, read(index))

    def _tell_values(self, role: Role, index: int, values: NDArray[Any]) -> None:
        """At most POLLED_BYTES values of it: every so many of a large input."""
        stride = -(-values.size // POLLED_BYTES) or 1
        stored = tuple(values.ravel()[::stride].tolist())
        event = events.TensorRead(at=now(), role=role, index=index, stride=stride, values=stored)
        self._tell((role, index), event)

    def _read_memory(self) -> None:
        report = self._device.memory()
        self._tell(
            "memory",
            events.Memory(
                at=now(),
                arena_bytes=report.arena_bytes,
                guard_bytes=report.guard_bytes,
                guard_below_damaged=report.guard_below_damaged,
                guard_above_damaged=report.guard_above_damaged,
                stack_bytes=report.stack_bytes,
                image_bytes=report.image_bytes,
                bad_frames=report.bad_frames,
            ),
        )

    @contextmanager
    def _unless_refused(self, request: str) -> Iterator[bool]:
        """Whether to send such a request: a device that has refused one is not asked again."""
        try:
            yield request not in self._refused
        except RequestRefused as refusal:
            self._refused.add(request)
            self._take(events.Trouble(at=now(), what=refusal.what, value=refusal.value or ""))

    def _tell(self, key: object, event: Event) -> None:
        before = self._last.get(key)
        if before is None or before.model_copy(update={"at": event.at}) != event:
            self._take(event)
        self._last[key] = event
