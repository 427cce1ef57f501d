"""What events look like in characters: cleaned text, numbers with units, bars and sparklines."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.link.monitor.events import TensorInfo

_LEVELS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"
# Control, format (text direction too), surrogate, private, unassigned; separators of lines.
_UNSEEN = ("C", "Zl", "Zp")


def clean(text: str) -> str:
    """`text` without anything that could steer a terminal; a tab is a space."""
    return "".join(
        character
        for character in text.replace("\t", " ")
        if not unicodedata.category(character).startswith(_UNSEEN)
    )


def clock(at: float) -> str:
    """The time of day of an event, local, to the millisecond."""
    return datetime.fromtimestamp(at).isoformat(sep=" ", timespec="milliseconds").split(" ")[1]


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    whole = max(0, int(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def real(value: float) -> str:
    """A real number in seven characters or so."""
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"


def per_second(count: float, seconds: float) -> str:
    """So many a second."""
    number = count / seconds if seconds > 0 else 0.0
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}"


def microseconds(value: float) -> str:
    """Seconds shown as microseconds."""
    return f"{value * 1e6:,.1f} us" if value < 1e-3 else f"{value * 1e6:,.0f} us"


def dequantized(tensor: TensorInfo | None, stored: Sequence[int]) -> NDArray[np.float64]:
    """The real numbers; the stored ones where the scale is no positive number or unknown."""
    values = np.array(stored, dtype=np.float64)
    if tensor is None or not (math.isfinite(tensor.scale) and tensor.scale > 0):
        return values
    return (values - tensor.zero_point) * tensor.scale


def sparkline(values: Sequence[float] | NDArray[Any], width: int) -> str:
    """`values` as one line of at most `width` characters; several share one by their mean."""
    if len(values) == 0 or width <= 0:
        return ""
    parts = np.array_split(np.asarray(values, dtype=np.float64), min(width, len(values)))
    means = np.array([part.mean() for part in parts])
    low, span = float(means.min()), float(np.ptp(means))
    if span == 0:
        return _LEVELS[0] * len(means)
    return "".join(_LEVELS[int((mean - low) / span * (len(_LEVELS) - 1) + 0.5)] for mean in means)


def bar(begin: float, end: float, width: int) -> str:
    """A bar from `begin` to `end`, both in 0 to 1 of `width` characters; its end to an eighth."""
    first = round(begin * width)
    eighths = max(0, round((end * width - first) * 8))
    whole, rest = divmod(eighths, 8)
    drawn = " " * first + "█" * whole + (_EIGHTHS[rest] if rest else "")
    return drawn.ljust(width)[:width]


def histogram(values: Sequence[int], bins: int) -> list[tuple[int, int, int]]:
    """At most `bins` bins of equal width as (first, last, count), from the least to the greatest.

    Where there are few different values each has a bin of its own.
    """
    low, span = min(values), max(values) - min(values) + 1
    width = -(-span // max(1, bins))
    counts = [0] * -(-span // width)
    for value in values:
        counts[(value - low) // width] += 1
    return [(low + i * width, low + (i + 1) * width - 1, count) for i, count in enumerate(counts)]
