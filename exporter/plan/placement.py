"""Which region of a board's memory has the arena, and which has each array of weights.

The arena goes to the fastest RAM in which it fits beside stack and data. Weights go, those read
most per byte first, to the fastest region that has room: a flash, or a RAM to which the start-up
code copies them. With one flash and one RAM there is nothing to choose. What code and data take is
only known once it is linked: while there is a choice an estimate is kept free for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporter.board import Board, MemoryRegion, Placeable
from exporter.errors import CheckFailed
from exporter.graph.ir import short_name
from exporter.plan.program import ConstantArray, Program, Step

DATA_BYTES = 8192
"""Kept free in the first RAM beside the stack; the link application takes 4,300."""

PROGRAM_BYTES, FUNCTION_BYTES = 13312, 1152
"""Kept free in the first flash: for start-up code and link, and for each kernel function."""

SLACK_BYTES = 128
"""Kept free in a RAM with the arena: its guards, and what alignment takes."""


@dataclass(frozen=True)
class WeightsIn:
    """Arrays that are read in `region`; `source`: the flash from which they are copied there."""

    region: MemoryRegion
    source: MemoryRegion | None
    names: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class Placement:
    """The region of the arena, and those of the weights, each array in one of them."""

    arena: MemoryRegion
    weights: tuple[WeightsIn, ...]
    first_flash: MemoryRegion
    first_ram: MemoryRegion

    @property
    def arena_is_apart(self) -> bool:
        """Whether the arena is not among the other data."""
        return self.arena != self.first_ram

    @property
    def weights_apart(self) -> tuple[WeightsIn, ...]:
        """The weights that are not with the program."""
        return tuple(part for part in self.weights if part.region != self.first_flash)

    @property
    def is_usual(self) -> bool:
        """Whether the linker script of the board says it all."""
        return not (self.arena_is_apart or self.weights_apart)

    def region_of(self, constant: str) -> MemoryRegion:
        """Where the array of that name is read."""
        return next(part.region for part in self.weights if constant in part.names)


@dataclass(frozen=True)
class RegionUse:
    """What a model takes of one region, in bytes: program, data and stack come on top."""

    region: str
    kind: str
    bytes: int
    arena_bytes: int
    weights_bytes: int
    """Read here."""
    copies_bytes: int
    """Stored here and copied elsewhere at start."""


def use_by_region(program: Program, board: Board) -> tuple[RegionUse, ...]:
    """What the model takes of each region of the board. Raises CheckFailed as `place` does."""
    placement = place(program, board)

    def use(region: MemoryRegion) -> RegionUse:
        return RegionUse(
            region.name,
            region.kind,
            region.bytes,
            program.arena_bytes if region == placement.arena else 0,
            sum(part.bytes for part in placement.weights if part.region == region),
            sum(part.bytes for part in placement.weights if part.source == region),
        )

    return tuple(use(region) for region in board.memory)


def place(program: Program, board: Board) -> Placement:
    """Regions for arena and weights. Deterministic.

    Raises CheckFailed where one of them fits in no region, by how much and for which layer.
    """
    arena = _arena_region(program, board)
    weights = _weights_regions(program, board, arena)
    return Placement(arena, weights, board.region("flash"), board.region("ram"))


def heat(program: Program) -> dict[str, float]:
    """Reads per byte of each array in one inference, by name, if every output is made alone.

    Kernels that make several outputs at a time read less often, for all arrays alike.
    """
    return {
        constant.name: _reads_per_byte(step, constant)
        for step in program.steps
        for constant in program.constants
        if constant.name in step.constants
    }


def _reads_per_byte(step: Step, constant: ConstantArray) -> float:
    """Weights and what belongs to a channel: once per position; a table: once per element."""
    output = next(tensor for role, tensor in step.operands if role == "output")
    if step.macs:
        return math.prod(output.shape[:-1])
    return math.prod(output.shape) / constant.values.size


def _homes(board: Board, what: Placeable) -> list[MemoryRegion]:
    """The regions that may hold `what`, the fastest first; of equals those that need no copy."""
    homes = [region for region in board.memory if region.may_hold(what)]
    return sorted(homes, key=lambda region: (region.access_cost, region.kind == "ram"))


def _arena_region(program: Program, board: Board) -> MemoryRegion:
    homes = _homes(board, "arena")
    rooms = {
        region: region.bytes - (board.stack_bytes if region == board.region("ram") else 0)
        for region in homes
    }
    for spare in (DATA_BYTES + SLACK_BYTES, 0):
        for region in homes:
            kept = spare if region == board.region("ram") else min(spare, SLACK_BYTES)
            if program.arena_bytes + kept <= rooms[region]:
                return region
    raise _too_large(
        board, "RAM", program.arena_bytes, rooms, program.peak_step if program.steps else None
    )


def _weights_regions(program: Program, board: Board, arena: MemoryRegion) -> tuple[WeightsIn, ...]:
    """Each array in the fastest region that has room for it; with one region, all there."""
    homes = _homes(board, "weights")
    first = board.region("flash")
    if homes == [first]:
        if program.weights_bytes > first.bytes:
            raise _no_room_for_weights(program, board, homes)
        return (_part(first, None, program.constants),)
    space = _Space(program, board, arena)
    found: dict[tuple[MemoryRegion, MemoryRegion | None], list[ConstantArray]] = {}
    for constant in _hottest_first(program):
        place = space.take(homes, _aligned(constant.bytes))
        if place is None:
            raise _no_room_for_weights(program, board, homes)
        found.setdefault(place, []).append(constant)
    return tuple(_part(region, source, arrays) for (region, source), arrays in found.items())


def _hottest_first(program: Program) -> list[ConstantArray]:
    heats = heat(program)
    return sorted(program.constants, key=lambda c: -heats[c.name])  # else in the program's order


def _part(
    region: MemoryRegion, source: MemoryRegion | None, arrays: Sequence[ConstantArray]
) -> WeightsIn:
    size = sum(_aligned(constant.bytes) for constant in arrays)
    return WeightsIn(region, source, tuple(constant.name for constant in arrays), size)


class _Space:
    """What is left of each region while weights are given theirs."""

    def __init__(self, program: Program, board: Board, arena: MemoryRegion) -> None:
        flash, ram = board.region("flash"), board.region("ram")
        self.first_flash = flash
        self.left = {region: region.bytes - SLACK_BYTES for region in board.memory}
        self.left[arena] -= program.arena_bytes
        self.left[ram] -= board.stack_bytes + DATA_BYTES
        self.program_bytes = PROGRAM_BYTES + FUNCTION_BYTES * len(program.functions)
        self.left[flash] -= self.program_bytes
        self.sources = [r for r in reversed(_homes(board, "weights")) if r.kind == "flash"]

    def take(
        self, homes: Sequence[MemoryRegion], size: int
    ) -> tuple[MemoryRegion, MemoryRegion | None] | None:
        """A region for `size` bytes, and the slowest flash with room where they are copied."""
        for region in homes:
            if self.left[region] < size:
                continue
            source = None
            if region.kind == "ram":
                source = next((r for r in self.sources if self.left[r] >= size), None)
                if source is None:
                    continue
                self.left[source] -= size
            self.left[region] -= size
            return region, source
        return self._last_resort(homes, size)

    def _last_resort(
        self, homes: Sequence[MemoryRegion], size: int
    ) -> tuple[MemoryRegion, None] | None:
        """The first flash, without what is kept free there: the linker knows what is needed."""
        first = self.first_flash
        if first not in homes or self.left[first] + self.program_bytes < size:
            return None
        self.left[first] -= size
        return first, None


def _aligned(size: int) -> int:
    return -(-size // 4) * 4


def _no_room_for_weights(
    program: Program, board: Board, homes: Sequence[MemoryRegion]
) -> CheckFailed:
    def constant_bytes(step: Step) -> int:
        return sum(array.bytes for array in program.constants if array.name in step.constants)

    rooms = {region: region.bytes for region in homes if region.kind == "flash"}
    heaviest = max(program.steps, key=constant_bytes)
    return _too_large(board, "flash", program.weights_bytes, rooms, heaviest)


def _too_large(
    board: Board, kind: str, used: int, rooms: Mapping[MemoryRegion, int], layer: Step | None
) -> CheckFailed:
    """`rooms`: bytes of each region that could have held it; weights may be shared out."""
    room = sum(rooms.values()) if kind == "flash" else max(rooms.values())
    over = f"{used - room} bytes too much {kind}" if used > room else f"too little {kind}"
    most = ""
    if layer is not None:
        most = f", most of it for layer {layer.op_index} {layer.kind} '{short_name(layer.name)}'"
    return CheckFailed(
        f"the model does not fit {board.name}: {over}{most}",
        value=f"{used} bytes",
        allowed=f"{room} bytes"
        if len(rooms) == 1
        else ", ".join(f"{bytes_} bytes in {region.name}" for region, bytes_ in rooms.items()),
        next_step="take a board with more memory or a smaller model; "
        "'nanoexport inspect MODEL --board BOARD' shows what each layer takes",
    )
