"""The arena as a map: which bytes hold what during which stage, with names for people."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from exporter.graph.ir import short_name
from exporter.plan.program import Buffer, Program, Stage, Step

Kind = Literal["input", "output", "activation", "rows", "ring", "scratch"]

MARKS = string.ascii_lowercase + string.ascii_uppercase
FREE, SHARED = ".", "#"
HEAD_COLUMNS = 40


@dataclass(frozen=True)
class MapStage:
    """A stage: the layers it runs, as the flatbuffer numbers them, and the bytes that are live."""

    index: int
    layers: str
    title: str
    live_bytes: int


@dataclass(frozen=True)
class MapBuffer:
    """Bytes [offset, offset + bytes) of the arena, live from stage `first` to stage `last`: in none
    where `last` is below `first`, which is an input that is never read.

    `mark`: its letter in the map of text, which others have too where there are more than letters.
    """

    name: str
    kind: Kind
    mark: str
    offset: int
    bytes: int
    first: int
    last: int

    @property
    def end(self) -> int:
        return self.offset + self.bytes

    @property
    def stages(self) -> str:
        """When it is live, in words."""
        if self.last < self.first:
            return "never read"
        if self.first == self.last:
            return f"stage {self.first}"
        return f"stages {self.first} to {self.last}"

    def lives_in(self, stage: int) -> bool:
        return self.first <= stage <= self.last


@dataclass(frozen=True)
class MemoryMap:
    """`peak`: the number of the stage that sets the peak, None where nothing is computed."""

    model: str
    arena_bytes: int
    stages: tuple[MapStage, ...]
    buffers: tuple[MapBuffer, ...]
    peak: int | None


def memory_map(program: Program) -> MemoryMap:
    """The map of a plan: buffers by time, then by place."""
    stages = tuple(_stage(program, index) for index in range(len(program.stages)))
    ordered = sorted(program.buffers, key=lambda b: (b.first, b.offset, b.bytes, b.name))
    namer = _Namer(program)
    return MemoryMap(
        model=program.name,
        arena_bytes=program.arena_bytes,
        stages=stages,
        buffers=tuple(
            _buffer(buffer, namer, MARKS[n % len(MARKS)], len(stages))
            for n, buffer in enumerate(ordered)
        ),
        peak=program.stage_of(program.peak_step) if program.steps else None,
    )


def layers_of(program: Program, stage: Stage) -> str:
    """`layer 3`, or `layers 0 to 7`."""
    first, last = program.steps[stage.first], program.steps[stage.last]
    if stage.is_group:
        return f"layers {first.op_index} to {last.op_index}"
    return f"layer {first.op_index}"


def _stage(program: Program, index: int) -> MapStage:
    stage = program.stages[index]
    kinds = [step.kind for step in program.steps[stage.first : stage.last + 1]]
    title = f"{kinds[0]} to {kinds[-1]}" if stage.is_group else kinds[0]
    live = program.live_bytes(program.steps[stage.first])
    return MapStage(index, layers_of(program, stage), title, live)


def _buffer(buffer: Buffer, namer: _Namer, mark: str, stages: int) -> MapBuffer:
    """Inputs are written before the first stage, outputs read after the last: drawn in these."""
    kind, name = namer.describe(buffer)
    last_stage = max(stages - 1, 0)
    return MapBuffer(
        name=name,
        kind=kind,
        mark=mark,
        offset=buffer.offset,
        bytes=buffer.bytes,
        first=max(buffer.first, 0),
        last=min(buffer.last, last_stage),
    )


class _Namer:
    """Names for the buffers of a program, which the planner calls `ring_3` or `tensor_17`."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.makers: Mapping[int, Step] = {step.output.tensor: step for step in program.steps}
        self.inputs = {port.tensor.id: port.tensor for port in program.inputs}
        self.read_at_last = len(program.stages)

    def describe(self, buffer: Buffer) -> tuple[Kind, str]:
        what, number = buffer.name.rsplit("_", 1)
        if what == "ring":
            return "ring", f"ring of layer {self.program.steps[int(number)].op_index}"
        if what == "scratch":
            stage = next(s for s in self.program.stages if s.first == int(number))
            return "scratch", f"scratch of {layers_of(self.program, stage)}"
        if what == "rows":
            return "rows", self._rows(int(number))
        name = self._whole(buffer)
        if what == "input":
            return "input", name
        if buffer.last >= self.read_at_last:
            return "output", f"{name}, the model's"
        return "activation", name

    def _whole(self, buffer: Buffer) -> str:
        """Everything that is made there: parts of one tensor may have several makers."""
        inputs = [self.inputs[tensor] for tensor in buffer.tensors if tensor in self.inputs]
        makers = [self.makers[tensor] for tensor in buffer.tensors if tensor in self.makers]
        names = [f"input '{short_name(tensor.name)}'" for tensor in inputs]
        if len(makers) == 1:
            part = makers[0].part
            number = "" if part is None else f" {part}"
            names.append(f"layer {makers[0].op_index}'s output{number}")
        elif makers:
            layers = dict.fromkeys(maker.op_index for maker in makers)
            names.append(f"outputs of layers {', '.join(map(str, layers))}")
        return " and ".join(names)

    def _rows(self, tensor: int) -> str:
        given = self.program.given
        if given is not None and given.tensor == tensor:
            return f"{given.slots} rows of the input"
        maker = self.makers[tensor]
        slots = maker.output.slots
        return f"{slots} row{'s' if slots > 1 else ''} of layer {maker.op_index}"


def text_lines(the_map: MemoryMap, columns: int = 64) -> Iterator[str]:
    """Stages down, bytes across, a letter for each buffer; then what the letters stand for."""
    head = max([len(_head(stage)) for stage in the_map.stages], default=0)
    yield f"{'':{head}}  {'live B':>9}  0{f'{the_map.arena_bytes:,}':>{columns - 1}}"
    for stage in the_map.stages:
        live = [buffer for buffer in the_map.buffers if buffer.lives_in(stage.index)]
        cells = "".join(_cell(live, *span) for span in _spans(the_map.arena_bytes, columns))
        peak = "  <- peak" if stage.index == the_map.peak else ""
        yield f"{_head(stage):{head}}  {stage.live_bytes:>9,}  {cells}{peak}"
    yield f"{FREE} free   {SHARED} two buffers on the same bytes, as planned"
    for b in the_map.buffers:
        yield f"{b.mark}  {b.bytes:>9,} bytes at {b.offset:>9,}, {b.stages:<16}  {b.name}"


def _head(stage: MapStage) -> str:
    head = f"{stage.index:>3} {stage.layers} {stage.title}"
    return head if len(head) <= HEAD_COLUMNS else f"{head[: HEAD_COLUMNS - 3]}..."


def _spans(arena_bytes: int, columns: int) -> Iterator[tuple[int, int]]:
    """The bytes that each column stands for: one at least."""
    for column in range(columns):
        start = column * arena_bytes // columns
        yield start, max((column + 1) * arena_bytes // columns, start + 1)


def _cell(live: Sequence[MapBuffer], start: int, end: int) -> str:
    """The smallest buffer that has some of these bytes; or that two have the same of them."""
    here = sorted(
        (max(b.offset, start), min(b.end, end), b.bytes, b.mark)
        for b in live
        if b.offset < end and b.end > start
    )
    if any(after[0] < before[1] for before, after in pairwise(here)):
        return SHARED
    return min(here, key=lambda part: part[2])[3] if here else FREE
