"""Geometry of the page's pictures, in pixels: histograms as paths, with what is written on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.convert.measures import Ends, Spread

WIDTH, HEIGHT = 320, 96
"""Of the plot; the axis' labels are below it."""

_NEAR = 0.12
"""Share of the width below which two labels of the axis would touch."""

_STEP = WIDTH / 255
"""What one step of int8 takes of the whole width."""


@dataclass(frozen=True)
class Label:
    """A number on the axis. `anchor` as SVG has it."""

    x: float
    text: str
    anchor: str


@dataclass(frozen=True)
class Histogram:
    """Two step curves over one axis, on a logarithmic scale; `low`, `high` of the chosen range."""

    floats: str
    integers: str
    low: float | None
    high: float | None
    labels: tuple[Label, ...]


def histogram(spread: Spread, chosen: Ends | None = None) -> Histogram:
    """The picture of a spread; `chosen` is marked."""
    top = max(*spread.float_counts, *spread.int_counts, 1)
    place = _Axis(spread.low, spread.high)
    return Histogram(
        floats=_steps(spread.float_counts, top, closed=True),
        integers=_steps(spread.int_counts, top, closed=False),
        low=None if chosen is None else place(chosen[0]),
        high=None if chosen is None else place(chosen[1]),
        labels=_labels(spread, chosen, place),
    )


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(WIDTH * min(max(share, 0.0), 1.0), 1)


def _steps(counts: Sequence[int], top: int, *, closed: bool) -> str:
    """A path along the tops of bars whose heights are the logarithms of the counts."""
    width = WIDTH / len(counts)
    heights = [round(HEIGHT * (1 - math.log1p(c) / math.log1p(top)), 1) for c in counts]
    steps = [f"V{_short(h)}H{_short((i + 1) * width)}" for i, h in enumerate(heights)]
    end = f"V{HEIGHT}Z" if closed else ""
    return f"M0 {HEIGHT if closed else _short(heights[0])}{''.join(steps)}{end}"


def _short(number: float) -> str:
    return f"{round(number, 1):g}"


def _labels(spread: Spread, chosen: Ends | None, place: _Axis) -> tuple[Label, ...]:
    """The ends, and zero where there is room for it.

    An axis that ends with the chosen range has half a step more, which is not worth a number.
    """
    low, high = spread.low, spread.high
    if chosen is not None:
        low = chosen[0] if place(chosen[0]) < _STEP else low
        high = chosen[1] if place(chosen[1]) > WIDTH - _STEP else high
    ends = (Label(0.0, _number(low), "start"), Label(float(WIDTH), _number(high), "end"))
    zero = place(0.0)
    room = 2 * _NEAR * WIDTH < zero < (1 - 2 * _NEAR) * WIDTH
    return (ends[0], Label(zero, "0", "middle"), ends[1]) if room else ends


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
