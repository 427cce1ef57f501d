"""The memory map of a plan as one SVG that needs nothing else: stages down, bytes across."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exporter.plan.memory_map import Kind, MapBuffer, MemoryMap
from exporter.render.environment import render

LEFT, TOP, ROW, RIGHT = 284, 84, 24, 96
MAP_WIDTH = 720
"""Pixels: labels to the left, the axis above, a stage's row, live bytes to the right; the arena."""

CHARACTER = 6.2
"""Width of a character of the labels in buffers, at most."""
INSET = 4
TICKS = 8


@dataclass(frozen=True)
class Box:
    """A buffer's rectangle in pixels; `title` is the tooltip."""

    kind: Kind
    x: float
    y: int
    width: float
    height: int
    title: str


@dataclass(frozen=True)
class Label:
    """What is written into a buffer: where it begins, in pixels, and in which stage's row."""

    x: float
    stage: int
    text: str

    @property
    def end(self) -> float:
        return self.x + len(self.text) * CHARACTER

    def collides(self, others: Iterable[Label]) -> bool:
        """Whether it would be written over another one."""
        return any(o.stage == self.stage and self.x < o.end and o.x < self.end for o in others)


@dataclass(frozen=True)
class Tick:
    """A mark of the axis."""

    x: float
    text: str


def memory_svg(the_map: MemoryMap, board: str) -> str:
    """The text of the SVG."""
    rows = max(len(the_map.stages), 1)
    return render(
        "report/memory_map.svg.j2",
        map=the_map,
        board=board,
        boxes=[_box(the_map, buffer) for buffer in the_map.buffers if buffer.first <= buffer.last],
        labels=_labels(the_map),
        kinds=list(dict.fromkeys(buffer.kind for buffer in the_map.buffers)),
        ticks=list(_ticks(the_map.arena_bytes)),
        left=LEFT,
        top=TOP,
        row=ROW,
        map_width=MAP_WIDTH,
        width=LEFT + MAP_WIDTH + RIGHT,
        bottom=TOP + rows * ROW,
        height=TOP + rows * ROW + 16,
    )


def _box(the_map: MemoryMap, buffer: MapBuffer) -> Box:
    scale = MAP_WIDTH / the_map.arena_bytes
    width = max(buffer.bytes * scale, 1.0)
    return Box(
        kind=buffer.kind,
        x=round(LEFT + buffer.offset * scale, 2),
        y=TOP + buffer.first * ROW + 2,
        width=round(width, 2),
        height=(buffer.last - buffer.first + 1) * ROW - 4,
        title=f"{buffer.name}: {buffer.bytes:,} bytes at {buffer.offset:,}, {buffer.stages}",
    )


def _labels(the_map: MemoryMap) -> list[Label]:
    """The largest buffers are labelled first; one where no text fits stays without."""
    labels: list[Label] = []
    for buffer in sorted(the_map.buffers, key=lambda b: -b.bytes):
        places = list(_places(the_map, buffer))
        for text in (f"{buffer.name}, {buffer.bytes:,} B", buffer.name, f"{buffer.bytes:,} B"):
            label = next(
                (
                    label
                    for stage, start, end in places
                    if (label := Label(start + INSET, stage, text)).end < end
                    and not label.collides(labels)
                ),
                None,
            )
            if label is not None:
                labels.append(label)
                break
    return labels


def _places(the_map: MemoryMap, buffer: MapBuffer) -> Iterator[tuple[int, float, float]]:
    """Stage, beginning and end in pixels: where nothing else lives, the widest first; then all."""
    scale = MAP_WIDTH / max(the_map.arena_bytes, 1)
    stages = range(buffer.first, buffer.last + 1)
    alone = [
        (stage, start, end) for stage in stages for start, end in _alone(the_map, buffer, stage)
    ]
    alone.sort(key=lambda place: place[1] - place[2])
    for stage, start, end in (*alone, *((s, buffer.offset, buffer.end) for s in stages)):
        yield stage, round(LEFT + start * scale, 2), LEFT + end * scale


def _alone(the_map: MemoryMap, buffer: MapBuffer, stage: int) -> Iterator[tuple[int, int]]:
    """The bytes of `buffer` that no other one has in a stage."""
    start = buffer.offset
    for other in sorted(the_map.buffers, key=lambda b: b.offset):
        if other is not buffer and other.lives_in(stage):
            if other.offset > start:
                yield start, min(other.offset, buffer.end)
            start = max(start, other.end)
        if start >= buffer.end:
            return
    yield start, buffer.end


def _ticks(arena_bytes: int) -> Iterator[Tick]:
    """Round numbers of bytes, at most TICKS, and the end."""
    step = next(s for s in _round_numbers() if arena_bytes <= s * TICKS)
    last = arena_bytes - 0.6 * step
    for value in range(0, arena_bytes, step):
        if value == 0 or value <= last:
            yield Tick(round(LEFT + value * MAP_WIDTH / arena_bytes, 2), f"{value:,}")
    yield Tick(LEFT + MAP_WIDTH, f"{arena_bytes:,}")


def _round_numbers() -> Iterator[int]:
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10
