"""From what was observed of a tensor to the range that its integers will span.

Pure functions of one tensor's histogram. A range is (lowest, highest) as real numbers; TFLite
widens it to hold zero, and replaces it where an operator fixes its output's range (SOFTMAX,
LOGISTIC, TANH).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from exporter.convert.settings import ConvertSettings

BINS = 2048
LEVELS = 255
"""Steps between the 256 values of an int8 tensor."""

_GRID = 16
_FINE = 8
"""The search looks at ends that are k/_GRID of the observed ones, then k/(_GRID * _FINE)."""

Range = tuple[float, float]
_Floats = npt.NDArray[np.float64]


def _no_counts() -> npt.NDArray[np.int64]:
    return np.zeros(BINS, np.int64)


@dataclass(frozen=True, eq=False)
class Observed:
    """All values that a tensor had over the samples: the extremes, and BINS equal bins between."""

    lowest: float
    highest: float
    counts: npt.NDArray[np.int64] = field(default_factory=_no_counts)

    @property
    def edges(self) -> _Floats:
        """float64 [BINS + 1]."""
        return np.linspace(self.lowest, self.highest, BINS + 1)

    @property
    def centres(self) -> _Floats:
        """float64 [BINS]."""
        return (self.edges[:-1] + self.edges[1:]) / 2


def chosen_range(observed: Observed, settings: ConvertSettings) -> Range:
    """The range by the settings' method. A tensor that was the same everywhere keeps its value."""
    if settings.ranges == "minmax" or observed.lowest == observed.highest:
        return minmax(observed)
    assert observed.counts.any(), "this range needs a histogram"
    if settings.ranges == "percentile":
        return percentile(observed, settings.percentile)
    return least_error(observed)


def minmax(observed: Observed) -> Range:
    """Everything that was seen."""
    return observed.lowest, observed.highest


def percentile(observed: Observed, percent: float) -> Range:
    """The range that is left when half of the other percents is cut from each end.

    To the edge of a bin, so never more than that is cut.
    """
    cut = observed.counts.sum() * (100 - percent) / 200
    below = np.cumsum(observed.counts)
    above = np.cumsum(observed.counts[::-1])
    edges = observed.edges
    first = int(np.searchsorted(below, cut, side="right"))
    last = BINS - int(np.searchsorted(above, cut, side="right"))
    return float(edges[first]), float(edges[last])


def least_error(observed: Observed) -> Range:
    """The range with the least mean squared error of int8: clipping against rounding.

    Searched on a grid of shares of both ends, then more finely around the best (as in Banner et
    al., "Post training 4-bit quantization", 2019, but on the histogram itself). Of equal ranges
    the widest wins.
    """
    shares = np.arange(1, _GRID + 1) / _GRID
    lowest, highest = _best(observed, shares, shares)
    near = np.arange(-_FINE, _FINE + 1) / (_GRID * _FINE)
    return _scaled(observed, *_best(observed, _around(lowest, near), _around(highest, near)))


def _around(share: float, near: _Floats) -> _Floats:
    shares = share + near
    return shares[(shares > 0) & (shares <= 1)]


def _best(observed: Observed, lowest: _Floats, highest: _Floats) -> tuple[float, float]:
    """The pair of shares with the least error."""
    # An end on zero's far side is zero: only the other one is searched.
    lowest = lowest if observed.lowest < 0 else np.ones(1)
    highest = highest if observed.highest > 0 else np.ones(1)
    pairs = [(low, high) for low in lowest[::-1] for high in highest[::-1]]
    errors = [expected_error(observed, _scaled(observed, *pair)) for pair in pairs]
    low, high = pairs[int(np.argmin(errors))]
    return float(low), float(high)


def _scaled(observed: Observed, low: float, high: float) -> Range:
    return observed.lowest * low, observed.highest * high


def expected_error(observed: Observed, bounds: Range) -> float:
    """The mean squared error of int8 values of this range, every value at its bin's centre."""
    low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
    scale = (high - low) / LEVELS
    zero_point = round(-low / scale)
    centres = observed.centres
    steps = np.clip(np.rint(centres / scale) + zero_point, 0, LEVELS) - zero_point
    errors = (steps * scale - centres) ** 2
    return float(np.dot(errors, observed.counts) / max(1, observed.counts.sum()))
