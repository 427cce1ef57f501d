"""Requantisation as one product, one sum and one shift, proven equal to the reference.

The reference rounds twice, halves away from zero. As a function of the accumulator it is a
staircase of at most 256 steps, and so is

    (((sum * 2^lift * multiplier) >> 32) + offset - (sum < 0 ? away : 0)) >> shift

with a multiplier and an offset per channel, and one `lift`, `away` and `shift` for the layer. Two
such functions are equal where they step at the same accumulators. `scaling` computes the steps of
the reference inside the proven bounds, and from them the offsets that reproduce every one.

Halves away from zero move each step of a negative sum by one unit of the first rounding. That is
2^(lift - 1) where all channels shift alike, and `away` gives it. Where the activation cuts at the
zero point, as ReLU does, no such step is left, and `away` is 0. Other layers have no scaling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporter.ops.arithmetic import Rounding
from exporter.ops.base import Target
from exporter.ops.candidate import Constant, Param
from exporter.ops.linear import Accumulator, Requantization

Int64Array = npt.NDArray[np.int64]

NUDGES = (0, 1, -1, 2, -2, 4, -4, 8, -8, 16, -16)
"""Tried on the multipliers where the exact one leaves no offset."""
LARGEST_SHIFT = 22
"""Keeps `zero point << shift`, and its sum with a product, inside int32."""
UNBOUNDED = 1 << 40

PLAIN_INSTRUCTIONS, SCALED_INSTRUCTIONS = 15, 8
"""Per output on Armv7-M, measured: loads of the constants and the store included."""
CLAMP_INSTRUCTIONS = 5
"""What a core without SSAT takes longer."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """See the module. `multipliers`, `offsets`: int32 [O]; 1 <= shift <= 22, 0 <= lift <= 30."""

    multipliers: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int32]
    lift: int
    away: int
    shift: int

    @property
    def is_uniform(self) -> bool:
        """Whether all channels have one multiplier and one offset."""
        return len({*self.multipliers.tolist()}) == len({*self.offsets.tolist()}) == 1

    def apply(self, sums: Int64Array) -> Int64Array:
        """The outputs of the accumulators `sums` [O,N], before clamping."""
        products = _products(sums, self.multipliers.astype(np.int64), self.lift, self.away)
        return products + self.offsets[:, None] >> self.shift

    def constants(self) -> tuple[Constant, Constant]:
        """The arrays `multiplier` and `offset`."""
        return (
            Constant("multiplier", self.multipliers, "one per output channel"),
            Constant("offset", self.offsets, "output zero point and rounding, one per channel"),
        )


def scaling(sums: Accumulator, requantization: Requantization) -> Scaling | None:
    """What equals `requantization` for every accumulator that `sums` allows; None if not found."""
    shifts = np.array([multiplier.shift for multiplier in requantization.multipliers])
    if shifts.min() < -31 or shifts.max() > 30:
        return None
    steps = _Steps.of(sums, requantization)
    moving = steps.inside.any(axis=1)
    if not moving.any():
        return None
    leftmost = int(shifts[moving].max())
    # A channel that never leaves its step needs no product: its accumulator may be any int32.
    largest = int(np.maximum(np.abs(sums.low), np.abs(sums.high))[moving].max())
    lift = min(31 - largest.bit_length(), LARGEST_SHIFT + 1 + leftmost)
    shift = lift - 1 - leftmost
    if lift < 0 or not 1 <= shift <= LARGEST_SHIFT:
        return None
    mantissas = np.array([multiplier.mantissa for multiplier in requantization.multipliers])
    exact = np.where(moving, mantissas >> np.minimum(leftmost - shifts, 31).clip(0), 0)
    nominal = (requantization.zero_point << shift) + (1 << (shift - 1))
    for away in (0, 1 << lift >> 1):
        found = _fit(steps, exact, nominal, lift, away, shift)
        if found is not None:
            return found
    return None


@dataclass(frozen=True, eq=False)
class _Steps:
    """Where the reference reaches each output level. int64 arrays [O,levels].

    `reached`: the lowest accumulator, from low to high + 1, that gives `levels` or more.
    """

    levels: Int64Array
    reached: Int64Array
    low: Int64Array
    high: Int64Array

    @classmethod
    def of(cls, sums: Accumulator, requantization: Requantization) -> _Steps:
        low, high = sums.low[:, None], sums.high[:, None]
        levels = np.arange(requantization.low + 1, requantization.high + 1)[None]
        wanted = levels - requantization.zero_point
        first = np.broadcast_to(low, (len(low), levels.shape[1]))
        last = np.broadcast_to(high + 1, first.shape)
        while (first < last).any():
            middle = first + last >> 1
            enough = _reference(middle, requantization) >= wanted
            searching = first < last
            first, last = (
                np.where(searching & ~enough, middle + 1, first),
                np.where(searching & enough, middle, last),
            )
        return cls(levels, first, low, high)

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        """Which steps lie between two accumulators that occur."""
        return (self.reached > self.low) & (self.reached <= self.high)


def _reference(sums: Int64Array, requantization: Requantization) -> Int64Array:
    """`Requantization.apply` without zero point and clamp, for accumulators [O,N]."""
    mantissas = np.array([m.mantissa for m in requantization.multipliers], np.int64)[:, None]
    shifts = np.array([m.shift for m in requantization.multipliers], np.int64)[:, None]
    one = np.int64(1)
    if requantization.rounding is Rounding.SINGLE:
        single: Int64Array = (sums * mantissas + (one << 30 - shifts)) >> 31 - shifts
        return single
    high = ((sums << shifts.clip(0)) * mantissas + (1 << 30)) >> 31
    right = -shifts.clip(None, 0)
    half = (one << right) >> 1
    double: Int64Array = (high + half - ((high < 0) & (right > 0))) >> right
    return double


def _fit(
    steps: _Steps, exact: Int64Array, nominal: int, lift: int, away: int, shift: int
) -> Scaling | None:
    """Multipliers near `exact` and offsets near `nominal` that step where the reference steps."""
    multipliers, offsets = exact.copy(), np.zeros_like(exact)
    missing = np.ones(len(exact), bool)
    for nudge in NUDGES:
        tried = np.where(exact > 0, (exact + nudge).clip(0, 2**31 - 1), 0)
        lowest, highest = _offsets(steps, tried, lift, away, shift)
        found = missing & (lowest <= highest)
        multipliers[found] = tried[found]
        offsets[found] = np.clip(
            _common(lowest[found], highest[found], nominal), lowest[found], highest[found]
        )
        missing &= ~found
        if not missing.any():
            return Scaling(
                multipliers.astype(np.int32), offsets.astype(np.int32), lift, away, shift
            )
    return None


def _common(lowest: Int64Array, highest: Int64Array, nominal: int) -> int:
    """The offset nearest to `nominal` that serves all channels, where there is one."""
    if not len(lowest):
        return nominal
    return int(min(max(nominal, lowest.max()), highest.min()))


def _offsets(
    steps: _Steps, multipliers: Int64Array, lift: int, away: int, shift: int
) -> tuple[Int64Array, Int64Array]:
    """The lowest and the highest offset, [O] each, that give every step."""
    level = steps.levels << shift
    enough = level - _products(steps.reached, multipliers, lift, away)
    too_much = level - _products(steps.reached - 1, multipliers, lift, away)
    lowest = np.where(steps.reached <= steps.high, enough, -UNBOUNDED).max(axis=1)
    return lowest, np.where(steps.reached > steps.low, too_much, UNBOUNDED).min(axis=1) - 1


def _products(sums: Int64Array, multipliers: Int64Array, lift: int, away: int) -> Int64Array:
    """What is added to the offset: int64 [O,N] of accumulators [O,N] and multipliers [O]."""
    return ((sums << lift) * multipliers[:, None] >> 32) - away * (sums < 0)


@dataclass(frozen=True, eq=False)
class Finish:
    """How a generic kernel turns sums into outputs: parameters and constants for its template.

    `instructions`: per output, as measured on Armv7-M.
    """

    params: dict[str, Param]
    constants: tuple[Constant, ...]
    instructions: int
    choice: str


LITERALS_PAY_BYTES = 300
"""What a function of its own, with its multiplier as a literal, may take when flash comes first."""


def finish(
    sums: Accumulator, requantization: Requantization, target: Target, outputs: int
) -> Finish:
    """The form that costs `target` least for `outputs` outputs of each channel."""
    clamp = 0 if target.thumb2 else CLAMP_INSTRUCTIONS
    limits: dict[str, Param] = {"low": requantization.low, "high": requantization.high}
    plain = Finish(
        limits | {"requantize": requantization.form(sums), "zero_point": requantization.zero_point},
        requantization.constants(),
        PLAIN_INSTRUCTIONS + clamp,
        "requantised in two steps",
    )
    scaled = scaling(sums, requantization)
    if scaled is None:
        return plain
    numbers = limits | {"lift": scaled.lift, "away": scaled.away, "shift": scaled.shift}
    saved = PLAIN_INSTRUCTIONS - SCALED_INSTRUCTIONS
    bytes_of_plain = sum(constant.bytes for constant in plain.constants)
    if scaled.is_uniform and (target.optimize == "speed" or bytes_of_plain > LITERALS_PAY_BYTES):
        literals: dict[str, Param] = {
            "requantize": "uniform",
            "multiplier": int(scaled.multipliers[0]),
            "offset": int(scaled.offsets[0]),
        }
        return Finish(
            numbers | literals, (), SCALED_INSTRUCTIONS + clamp, "one multiplier, as a literal"
        )
    extra = sum(constant.bytes for constant in scaled.constants()) - bytes_of_plain
    worth = outputs * saved * len(scaled.offsets) > extra * target.price_of_flash
    if target.optimize == "size" or not worth:
        return plain
    return Finish(
        numbers | {"requantize": "scaled"},
        scaled.constants(),
        SCALED_INSTRUCTIONS + clamp,
        "requantised in one step",
    )
