"""Requantisation in the cheapest exact form that a layer's proven bounds allow.

With the multiplier M * 2^(-31 - s), TFLite's two roundings of a sum are
`h = round(sum * M / 2^31)`, then `round(h / 2^s)` with ties away from zero. Two forms compute it:

* `scaled`: the sum is made 2^(1+d) times as large offline, by way of weights and bias, with
  d = S - s for a shift S that all channels share. Then
  `((sum' * M >> 32) + R) >> S` with `R = 2^(d-1) + 2^(S-1) + (zero point << S)` is the output,
  but for ties of negative sums, which it rounds up. Exact where no value below the zero point
  leaves the activation.
* `shifted`: the sum is doubled; `(h + R - (sum < 0)) >> s` with `R = 2^(s-1) + (zero point << s)`
  is the output for any sign, with a shift for each channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from exporter.ops.arithmetic import Rounding
from exporter.ops.linear import Accumulator, Requantization

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

LARGEST_SHIFT = 22
"""Up to here the zero point, shifted left, and a requantised sum fit int32 together."""
INT16_MAX = 2**15 - 1


@dataclass(frozen=True, eq=False)
class DspRequantization:
    """`records` int32 [O, 2 or 3] follow the weights of each channel; `gain` int64 [O] is what
    weights and bias are multiplied with; `shift` is S of the scaled form, 0 otherwise.
    """

    form: Literal["scaled", "shifted"]
    gain: Int64Array
    records: Int32Array
    shift: int
    reason: str = ""
    """What ruled out a cheaper form, for reports; empty where this is the cheapest."""


def scaled(
    requantization: Requantization,
    sums: Accumulator,
    largest_weight: Int64Array,
    least_gain: int = 2,
) -> DspRequantization | str:
    """The scaled form, or why it is not exact here.

    `largest_weight`: magnitudes, int64 [O]; `least_gain`: what every sum is multiplied with anyway,
    a power of two.
    """
    if requantization.rounding is not Rounding.DOUBLE:
        return "one rounding"
    if requantization.low < requantization.zero_point:
        return "no ReLU"
    shifts = _right_shifts(requantization)
    largest = max(shifts) + least_gain.bit_length() - 1
    ahead = largest - shifts  # d
    gain = 2 ** (1 + ahead)
    if min(shifts) < 1 or largest > LARGEST_SHIFT:
        return f"shifts {min(shifts)} to {max(shifts)}"
    if np.any(largest_weight * gain > INT16_MAX) or np.any(sums.magnitude * gain >= 2**31):
        return f"shifts {min(shifts)} to {max(shifts)} too far apart"
    rounding = 2 ** (ahead - 1) + (1 << (largest - 1)) + (requantization.zero_point << largest)
    records = np.stack([_mantissas(requantization), rounding], axis=1)
    return DspRequantization("scaled", gain, records.astype(np.int32), int(largest))


def shifted(
    requantization: Requantization, sums: Accumulator, reason: str
) -> DspRequantization | None:
    """The shifted form; None where it is not exact."""
    shifts = _right_shifts(requantization)
    if requantization.rounding is not Rounding.DOUBLE or sums.magnitude.max() >= 2**30:
        return None
    if min(shifts) < 1 or max(shifts) > LARGEST_SHIFT:
        return None
    rounding = (1 << (shifts - 1)) + (requantization.zero_point << shifts)
    records = np.stack([_mantissas(requantization), rounding, shifts], axis=1)
    gain = np.full(len(shifts), 2, np.int64)
    return DspRequantization("shifted", gain, records.astype(np.int32), 0, reason)


def _mantissas(requantization: Requantization) -> Int64Array:
    return np.array([m.mantissa for m in requantization.multipliers], np.int64)


def _right_shifts(requantization: Requantization) -> Int64Array:
    """Bits to the right per channel; where the multiplier is 0 any shift gives the zero point."""
    shifts = np.array([-m.shift for m in requantization.multipliers], np.int64)
    dead = _mantissas(requantization) == 0
    if dead.any():
        shifts[dead] = shifts[~dead].max() if not dead.all() else 1
    return shifts
