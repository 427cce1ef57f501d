"""The present state of what is watched, as its events have made it: what the live view draws."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from exporter.link.monitor import events
from exporter.link.monitor.events import Event, TensorInfo

_KEPT_LINES = 500
_KEPT_INFERENCES = 1000
_KEPT_SECONDS = 600
_SHOWN_VALUE = 160


@dataclass(frozen=True)
class Line:
    """A line of the log panel. Levels as those of Log, and "note" for what the monitor says."""

    at: float
    level: str
    text: str


@dataclass
class Picture:
    """Everything is bounded, however long the monitor runs."""

    port: str = ""
    mode: events.Mode = "watch"
    state: str = "waiting"
    at: float = 0.0
    began_at: float = 0.0
    boot_at: float | None = None
    boot_seen: bool = False
    device: events.Connected | None = None
    memory: events.Memory | None = None
    throughput: events.Throughput | None = None
    tensors: dict[tuple[str, int], events.TensorRead] = field(default_factory=dict)
    history: dict[int, deque[int]] = field(default_factory=dict)
    latencies: deque[events.Inference] = field(
        default_factory=lambda: deque(maxlen=_KEPT_INFERENCES)
    )
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    inferences: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Follow one event."""
        self.at = event.at
        self.counts[event.kind] = self.counts.get(event.kind, 0) + 1
        handler = _HANDLERS.get(event.kind)
        if handler is not None:
            handler(self, event)

    def describe(self, role: str, index: int) -> TensorInfo | None:
        """What the device says of a tensor; None where it has said nothing."""
        if self.device is None:
            return None
        tensors = self.device.inputs if role == "input" else self.device.outputs
        return tensors[index] if index < len(tensors) else None

    def note(self, at: float, level: str, text: str) -> None:
        """A line in the log panel."""
        self.lines.append(Line(at, level, text))

    def forget_the_boot(self) -> None:
        """What was measured holds for one boot."""
        self.boot_at, self.memory, self.throughput = None, None, None
        self.tensors.clear()
        self.history.clear()


def _began(picture: Picture, event: events.Began) -> None:
    picture.forget_the_boot()
    picture.device = None
    picture.latencies.clear()
    picture.inferences = 0
    picture.port, picture.mode, picture.began_at = event.port, event.mode, event.at
    picture.state = "listening" if event.mode == "listen" else "connecting"


def _connected(picture: Picture, event: events.Connected) -> None:
    if picture.boot_at is None:
        picture.boot_at = event.at
    picture.device = event
    picture.state = "connected"
    build = f"build {event.build_id[:12]}, dialect {event.dialect}"
    picture.note(event.at, "note", f"{'again: ' if event.again else ''}{event.origin}, {build}")


def _silent(picture: Picture, event: events.Silent) -> None:
    picture.state = "no answer"
    picture.note(event.at, "note", "no answer; showing the text that comes")


def _log(picture: Picture, event: events.Log) -> None:
    picture.note(event.at, event.level, event.text)


def _text(picture: Picture, event: events.TextLine) -> None:
    picture.note(event.at, "text", event.text)


def _tensor(picture: Picture, event: events.TensorRead) -> None:
    picture.tensors[event.role, event.index] = event


def _memory(picture: Picture, event: events.Memory) -> None:
    picture.memory = event


def _inference(picture: Picture, event: events.Inference) -> None:
    picture.inferences = event.number
    picture.latencies.append(event)


def _throughput(picture: Picture, event: events.Throughput) -> None:
    """Comes once a second, and so gives the history of single values its time."""
    picture.throughput = event
    for (role, index), tensor in picture.tensors.items():
        if role == "output" and len(tensor.values) == 1:
            past = picture.history.setdefault(index, deque(maxlen=_KEPT_SECONDS))
            past.append(tensor.values[0])


def _restarted(picture: Picture, event: events.Restarted) -> None:
    picture.forget_the_boot()
    picture.state = "restarted"
    picture.boot_seen = True
    picture.note(event.at, "error", f"{event.what}: {event.fault}")


def _trouble(picture: Picture, event: events.Trouble) -> None:
    value = event.value
    if len(value) > _SHOWN_VALUE:  # a dump of bytes; the lines and recordings have all of it
        value = value[: _SHOWN_VALUE - 1] + "…"
    picture.note(event.at, "warning", f"{event.what}: {value}")


def _disconnected(picture: Picture, event: events.Disconnected) -> None:
    picture.state = "disconnected"
    # What comes back may be another boot: the nonces of emulated boards repeat.
    picture.boot_at, picture.boot_seen, picture.throughput = None, False, None
    picture.note(event.at, "error", f"{event.what}: {event.value}; waiting for it")


def _reopened(picture: Picture, event: events.Reopened) -> None:
    picture.state = "listening" if picture.mode == "listen" else "connecting"
    picture.note(event.at, "note", f"{event.port} is back")


def _ended(picture: Picture, event: events.Ended) -> None:
    picture.state = "ended"


# The key is the event's `kind`, which is also what types it.
_HANDLERS: dict[str, Callable[[Picture, Any], None]] = {
    "began": _began,
    "connected": _connected,
    "silent": _silent,
    "log": _log,
    "text": _text,
    "tensor": _tensor,
    "memory": _memory,
    "inference": _inference,
    "throughput": _throughput,
    "restarted": _restarted,
    "trouble": _trouble,
    "disconnected": _disconnected,
    "reopened": _reopened,
    "ended": _ended,
}
