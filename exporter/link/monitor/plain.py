"""The monitor as lines: for files, pipes and terminals that cannot do more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

from exporter.link.monitor import events, text
from exporter.link.monitor.events import Event
from exporter.link.monitor.picture import Picture

_SHOWN_VALUES = 8
_TOP_VALUES = 3


class PlainView:
    """Writes lines: time, origin, what. Tensors and inferences come at most once a second."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._picture = Picture()
        self._told_tensors: dict[tuple[str, int], tuple[int, ...]] = {}

    def take(self, event: Event) -> None:
        """Write the lines of one event. Raises OSError where the reader has gone."""
        self._picture.take(event)
        show = _LINES.get(event.kind)
        lines = show(self, event) if show else []
        for line in lines:
            print(text.clock(event.at), text.clean(line), file=self._out, flush=True)

    @property
    def _origin(self) -> str:
        return self._picture.device.origin if self._picture.device else "device"

    def _note(self, what: str) -> list[str]:
        return [f"-- {self._origin}: {what}"]

    def _connected(self, event: events.Connected) -> list[str]:
        return self._note(
            f"build {event.build_id[:12]}, dialect {event.dialect}, boot {event.boot_nonce:08x}"
        )

    def _silent(self, event: events.Silent) -> list[str]:
        return self._note(f"{event.port} does not answer; showing the text it sends")

    def _log(self, event: events.Log) -> list[str]:
        return [f"{self._origin} [{event.boot_nonce:08x}] {event.level}: {event.text}"]

    def _text(self, event: events.TextLine) -> list[str]:
        return [f"{self._origin}: {event.text}"]

    def _memory(self, event: events.Memory) -> list[str]:
        damaged = event.guard_below_damaged + event.guard_above_damaged
        guards = f"DAMAGED in {damaged} bytes" if damaged else "intact"
        return [
            f"{self._origin} arena {event.arena_bytes:,} bytes, guards {guards}, "
            f"stack {event.stack_bytes:,}, image {event.image_bytes:,}"
        ]

    def _throughput(self, event: events.Throughput) -> list[str]:
        lines = self._tensors()
        if event.inferences:
            each = self._picture.latencies
            trip = float(np.median([one.round_trip_seconds for one in each]))
            ticks = float(np.median([one.ticks for one in each]))
            lines.append(
                f"{self._origin} {self._picture.inferences:,} inferences, "
                f"{text.per_second(event.inferences, event.seconds)}/s, median "
                f"{ticks:,.0f} ticks, round trip {text.microseconds(trip)}"
            )
        return lines

    def _tensors(self) -> list[str]:
        """Outputs that have changed since they were last told."""
        lines = []
        for key, read in sorted(self._picture.tensors.items()):
            role, index = key
            if role == "output" and self._told_tensors.get(key) != read.values:
                self._told_tensors[key] = read.values
                info = self._picture.describe(role, index)
                name = info.name if info else ""
                values = text.dequantized(info, read.values)
                lines.append(f"{self._origin} output {index} {name}: {_values(values)}")
        return lines

    def _restarted(self, event: events.Restarted) -> list[str]:
        return self._note(f"{event.what}: {event.fault}")

    def _trouble(self, event: events.Trouble) -> list[str]:
        return self._note(f"{event.what}: {event.value}")

    def _disconnected(self, event: events.Disconnected) -> list[str]:
        return self._note(f"{event.what}: {event.value}; waiting for it")

    def _reopened(self, event: events.Reopened) -> list[str]:
        return self._note(f"{event.port} is back")

    def _ended(self, event: events.Ended) -> list[str]:
        return [*self._tensors(), *self._note("end")]


def _values(values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    """All of a few values, the greatest of many with their indices."""
    if len(values) <= _SHOWN_VALUES:
        return " ".join(text.real(value) for value in values)
    top = np.argsort(-values, kind="stable")[:_TOP_VALUES]
    return ", ".join(f"[{i}] {text.real(values[i])}" for i in top) + f" of {len(values)}"


# The key is the event's `kind`, which is also what types it.
_LINES: dict[str, Callable[[PlainView, Any], list[str]]] = {
    "connected": PlainView._connected,
    "silent": PlainView._silent,
    "log": PlainView._log,
    "text": PlainView._text,
    "memory": PlainView._memory,
    "throughput": PlainView._throughput,
    "restarted": PlainView._restarted,
    "trouble": PlainView._trouble,
    "disconnected": PlainView._disconnected,
    "reopened": PlainView._reopened,
    "ended": PlainView._ended,
}
