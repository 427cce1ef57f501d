"""Requantisation in the cheapest exact form that a layer's proven bounds allow.

With the multiplier M * 2^(-31 - s), TFLite's two roundings of a sum are
`h = round(sum * M / 2^31)`, halves up, then `round(h / 2^s)`, halves away from zero; with s < 0 the
sum is shifted to the left first, and h is all. Two forms compute it:

* `scaled`, two instructions: the sum is made 2^(1+S-s) times as large offline, by way of weights
  and bias, for a shift S that all channels share. With d = S - s >= 1 the high word of `sum' * M`
  is h with d more bits, unrounded, so that `((sum' * M >> 32) + R) >> S` with
  `R = 2^(d-1) + 2^(S-1) + (zero point << S)` is the output, but for halves of negative sums, which
  it rounds up. Exact where the sign is free: no value below the zero point leaves the activation,
  or no sum is negative, or nothing is rounded twice (s <= 0; then d = S, and R lacks 2^(S-1)).
* `shifted`, four instructions: the sum is doubled; `(h + R - (sum < 0)) >> s` with
  `R = 2^(s-1) + (zero point << s)` is the output for any sign, each channel with its own s >= 1.

Channels with the same output for every input get no weights and no multiplier in either form: R
alone is their output.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from exporter.ops.arithmetic import INT32_MAX, Rounding
from exporter.ops.linear import Accumulator, Requantization

BoolArray = npt.NDArray[np.bool_]
Int64Array = npt.NDArray[np.int64]

LARGEST_SHIFT = 22
"""Up to here the zero point, shifted left, and a requantised sum fit int32 together."""
SHIFTS = range(1, LARGEST_SHIFT + 1)
INT16_MIN, INT16_MAX = -(2**15), 2**15 - 1


@dataclass(frozen=True, eq=False)
class Form:
    """What becomes of the sum of each channel; int64 [O] each.

    `gain`: what weights and bias are multiplied with; 0 where the output is constant. `addend`: R.
    `shift`: S of the scaled form, 0 otherwise. `reason`: what ruled out a cheaper form.
    """

    name: Literal["scaled", "shifted"]
    gain: Int64Array
    multiplier: Int64Array
    addend: Int64Array
    shifts: Int64Array
    shift: int = 0
    reason: str = ""

    @property
    def records(self) -> npt.NDArray[np.int32]:
        """Words that follow the weights of each channel, int32 [O, 2 or 3]."""
        words = [self.multiplier, self.addend] + ([] if self.shift else [self.shifts])
        return np.stack(words, axis=1).astype(np.int32)

    @property
    def text(self) -> str:
        return f"{self.name} requantisation" + (f" ({self.reason})" if self.reason else "")


def cheapest(
    requantization: Requantization,
    sums: Accumulator,
    weights: Int64Array,
    kernel_gain: int = 1,
    shifts: Iterable[int] = SHIFTS,
) -> Form | None:
    """The cheapest form that is exact for a kernel of int16 weights; None where none is.

    `weights` [O,K]: of a kernel whose sums are `kernel_gain` times as large, a power of two;
    `shifts`: S in the order of preference.
    """
    if requantization.rounding is not Rounding.DOUBLE:
        return None
    facts = _facts(requantization, sums)
    if not facts.sign_is_free.all():
        return shifted(requantization, sums, "no ReLU")
    ends = np.stack([weights.min(axis=1), weights.max(axis=1)], axis=1)
    for shift in shifts:
        ahead = shift - facts.right  # d
        # Nothing fits a gain of 2^31, and nothing overflows an int64 with it.
        gain = 1 << np.clip(1 + ahead + facts.left, 0, 31)
        scaled = ends * (gain // kernel_gain)[:, None]
        fits = (ahead >= 1) & (gain >= kernel_gain) & (sums.magnitude * gain <= INT32_MAX)
        fits &= (scaled[:, 0] >= INT16_MIN) & (scaled[:, 1] <= INT16_MAX)
        if (fits | facts.is_constant).all():
            rounding = np.where(facts.right > 0, 1 << (shift - 1), 0)
            rounding += 1 << np.maximum(ahead - 1, 0)
            return _form("scaled", requantization, facts, gain, np.full_like(gain, shift), rounding)
    right = -_shifts(requantization)[~facts.is_constant]
    reason = f"shifts {min(right)} to {max(right)} too far apart"
    return shifted(requantization, sums, reason)


def shifted(requantization: Requantization, sums: Accumulator, reason: str) -> Form | None:
    """The shifted form; None where it is not exact."""
    facts = _facts(requantization, sums)
    fits = doubled_fits(requantization, sums) | facts.is_constant
    if requantization.rounding is not Rounding.DOUBLE or not fits.all():
        return None
    shifts = np.where(facts.is_constant, 1, facts.right)
    gain, rounding = np.full_like(shifts, 2), 1 << (shifts - 1)
    return _form("shifted", requantization, facts, gain, shifts, rounding, reason)


def doubled_fits(requantization: Requantization, sums: Accumulator) -> BoolArray:
    """Where one word holds a doubled sum, and another R for shifts of single channels; bool [O]."""
    right = -_shifts(requantization)
    return (right >= 1) & (right <= LARGEST_SHIFT) & (sums.magnitude < 2**30)


@dataclass(frozen=True, eq=False)
class _Facts:
    """Of each channel, int64 or bool [O]. The multiplier's shift, either way; `sign_is_free`: how
    halves of negative sums are rounded makes no difference; `constant`: the output for any input.
    """

    right: Int64Array
    left: Int64Array
    sign_is_free: BoolArray
    is_constant: BoolArray
    constant: Int64Array


def _facts(requantization: Requantization, sums: Accumulator) -> _Facts:
    shifts = _shifts(requantization)
    low, high = requantization.apply(sums.low), requantization.apply(sums.high)
    clamps = requantization.low >= requantization.zero_point
    return _Facts(
        right=np.maximum(-shifts, 0),
        left=np.maximum(shifts, 0),
        sign_is_free=clamps | (sums.low >= 0) | (shifts >= 0) | (low == high),
        is_constant=low == high,
        constant=low,
    )


def _shifts(requantization: Requantization) -> Int64Array:
    """To the left, int64 [O]."""
    return np.array([multiplier.shift for multiplier in requantization.multipliers], np.int64)


def _form(
    name: Literal["scaled", "shifted"],
    requantization: Requantization,
    facts: _Facts,
    gain: Int64Array,
    shifts: Int64Array,
    rounding: Int64Array,
    reason: str = "",
) -> Form:
    mantissas = np.array([m.mantissa for m in requantization.multipliers], np.int64)
    addend = rounding + (requantization.zero_point << shifts)
    return Form(
        name=name,
        gain=np.where(facts.is_constant, 0, gain),
        multiplier=np.where(facts.is_constant, 0, mantissas),
        addend=np.where(facts.is_constant, facts.constant << shifts, addend),
        shifts=shifts,
        shift=int(shifts[0]) if name == "scaled" else 0,
        reason=reason,
    )
