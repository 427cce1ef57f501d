"""How long an inference takes, as a distribution: by itself, and while a timer interrupts it.

What varies are the inputs, since kernels may take longer for some values than for others; caches
and bus where the board has any; and the interrupts of a load. Figures are of whole inferences
between two readings of the board's tick counter, kept in ticks, and converted: to microseconds of
the board's clock, and to instructions where ticks count them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from exporter.board import Board, all_boards
from exporter.build.firmware import ModelFirmware
from exporter.errors import BadInput
from exporter.hil.calibration import instructions_per_tick
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import SHORTEST_DEADLINE_SECONDS, SLOWEST_MACS_PER_SECOND
from exporter.link.device import Device

MICROSECONDS = 1_000_000
MOST_LOAD = 0.9
"""Part of the time that interrupts may take: beyond it, an inference might never end."""
SLOWER_UNDER_LOAD = 1 / (1 - MOST_LOAD)
LONGEST_PROBE = 100_000
"""Instructions by which the time that a load's take is known."""
BINS = 8
QUANTILES = {"min": 0.0, "median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True)
class Load:
    """An interrupt every `period_us`, each of which executes `instructions`."""

    period_us: int
    instructions: int

    def describe(self) -> str:
        return f"{self.instructions:,} instructions every {self.period_us:,} us"


@dataclass(frozen=True)
class Clock:
    """What a tick is: so many a second; so many instructions, None where it counts none.

    `reading_ticks` is what reading the counter takes by itself.
    """

    hz: int
    instructions_per_tick: float | None
    reading_ticks: float

    @classmethod
    def of(cls, device: Device, board: Board) -> Clock:
        """The clock of a device, asked for. Raises LinkFailed."""
        return cls(
            device.identity.ticks_hz,
            instructions_per_tick(device, board),
            device.reading_ticks(),
        )

    def microseconds(self, ticks: float) -> float:
        """Ticks as time of the board's clock."""
        return ticks * MICROSECONDS / self.hz

    def instructions(self, ticks: float) -> int | None:
        """Ticks as instructions, without those of the reading; None where ticks count none."""
        if self.instructions_per_tick is None:
            return None
        return round(max(0.0, ticks - self.reading_ticks) * self.instructions_per_tick)

    def instructions_between(self, ticks: int) -> int | None:
        """A difference of two readings as instructions."""
        per_tick = self.instructions_per_tick
        return None if per_tick is None else round(ticks * per_tick)


@dataclass(frozen=True)
class Latency:
    """Ticks of each inference, in the order of the runs, and what they were measured under."""

    ticks: tuple[int, ...]
    clock: Clock
    load: Load | None = None
    interrupts: int = 0
    """Served in all runs together."""
    stack_bytes: int = 0
    """The deepest of all runs; 0 under load, where it is not measured."""

    @property
    def condition(self) -> str:
        return "quiet" if self.load is None else "under load"

    @property
    def worst(self) -> int:
        return max(self.ticks)

    @property
    def jitter(self) -> int:
        """Ticks between the fastest and the slowest inference."""
        return max(self.ticks) - min(self.ticks)

    def quantile(self, part: float) -> int:
        """The smallest figure that at least this part of the runs does not exceed."""
        return sorted(self.ticks)[max(0, math.ceil(part * len(self.ticks)) - 1)]

    def histogram(self, bins: int = BINS) -> list[tuple[int, int, int]]:
        """(from, to, runs): how many inferences took `from` to `to` ticks, both included."""
        lowest, width = min(self.ticks), self.jitter // bins + 1
        starts = range(lowest, self.worst + 1, width)
        return [
            (
                start,
                min(start + width - 1, self.worst),
                sum(start <= t < start + width for t in self.ticks),
            )
            for start in starts
        ]

    def as_dict(self) -> dict[str, Any]:
        """The document of a distribution."""
        ticks = {name: self.quantile(part) for name, part in QUANTILES.items()}
        counted = self.clock.instructions_per_tick is not None
        return {
            "runs": len(self.ticks),
            "load": asdict(self.load) if self.load else None,
            "interrupts": self.interrupts,
            "ticks": {**ticks, "jitter": self.jitter},
            "microseconds": {
                name: self.clock.microseconds(value)
                for name, value in {**ticks, "jitter": self.jitter}.items()
            },
            "instructions": {
                **{name: self.clock.instructions(value) for name, value in ticks.items()},
                "jitter": self.clock.instructions_between(self.jitter),
            }
            if counted
            else None,
            "histogram": [
                {"from_ticks": start, "to_ticks": end, "runs": runs}
                for start, end, runs in self.histogram()
            ],
        }


def measure_latency(
    device: Device, firmware: ModelFirmware, clock: Clock, *, runs: int, load: Load | None = None
) -> Latency:
    """`runs` inferences on inputs of all kinds, where there may be caches after one uncounted.

    Raises:
        BadInput: the board has no timer, or the load leaves too little time. LinkFailed: the board.
    """
    if load is not None:
        _begin_load(device, firmware.board, load)
    invoke = _invoker(device, firmware, interrupts=load is not None)
    vectors = make_vectors([port.tensor for port in firmware.program.inputs], runs)
    if firmware.board.evidence != "emulated":
        invoke(vectors[0])
    if load is not None:
        device.load(load.period_us, load.instructions)  # begins to count anew
    results = [invoke(vector) for vector in vectors]
    interrupts = device.load(0, 0) if load is not None else 0
    ticks, stacks = zip(*results, strict=True)
    return Latency(tuple(ticks), clock, load, interrupts or 0, max(stacks))


def _invoker(
    device: Device, firmware: ModelFirmware, *, interrupts: bool
) -> Callable[[Any], tuple[int, int]]:
    """Ticks and stack bytes of one inference on a vector."""
    seconds = max(SHORTEST_DEADLINE_SECONDS, firmware.program.macs / SLOWEST_MACS_PER_SECOND)
    if interrupts:
        seconds *= SLOWER_UNDER_LOAD

    def invoke(vector: Any) -> tuple[int, int]:
        for index, values in enumerate(vector):
            device.write_input(index, values)
        result = device.invoke(seconds, interrupts=interrupts)
        return result.ticks, result.stack_bytes

    return invoke


def _begin_load(device: Device, board: Board, load: Load) -> None:
    check_timer(board)
    probe = max(1, min(load.instructions, LONGEST_PROBE))
    ticks = device.spin(probe)
    if ticks is not None:
        taken_us = ticks * load.instructions / probe * MICROSECONDS / device.identity.ticks_hz
        if taken_us > MOST_LOAD * load.period_us:
            raise BadInput(
                f"this interrupt load leaves {board.name} too little time for the model",
                value=f"{load.describe()}, which take {taken_us:.1f} us",
                allowed=f"{100 * MOST_LOAD:.0f}% of the period",
                next_step="lengthen period_us, or lessen instructions",
            )
    if device.load(load.period_us, load.instructions) is None:
        raise no_timer(board)


def check_timer(board: Board) -> None:
    """Raises BadInput where the board has no timer for a load."""
    if board.timer is None:
        raise no_timer(board)


def no_timer(board: Board) -> BadInput:
    """What to say where there is no timer."""
    return BadInput(
        f"{board.name} has no timer: there is no interrupt load",
        allowed=[other.name for other in all_boards() if other.timer is not None],
        next_step="leave the interrupt load out, or take one of these boards",
    )
