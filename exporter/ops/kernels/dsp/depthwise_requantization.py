"""The forms of requantisation that the depthwise micro-kernels know.

TFLite computes `h = (acc * M + 2^30) >> 31`, then `(h + 2^(s-1) - (h < 0)) >> s`, then adds the
zero point. With `acc' = acc * 2^(1+d)` the high word of `acc' * M` is `h` with d more bits,
unrounded, so that both roundings and the zero point are one addend before one shift by S = s + d:

    output = (high word(acc' * M) + 2^(d-1) + 2^(S-1) + (zero point << S)) >> S

for d >= 1, except that halves of negative sums are rounded up instead of down. That is no
difference where the fused activation gives every negative sum the same output.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exporter.ops.arithmetic import INT32_MAX
from exporter.ops.layers import SpatialLayer

Int64Array = npt.NDArray[np.int64]

INT16_MIN, INT16_MAX = -(2**15), 2**15 - 1

SHIFTS = (10, 11, 9, 12, 8, 13, 7, 14, 6, 15, 5, 16, 4, 17, 3, 18, 2, 1)
"""Shifts in the order of preference: layers that agree share their micro-kernels."""
MOST_RIGHT = 22
"""The zero point shifted left by more may not fit beside the product."""


@dataclass(frozen=True, eq=False)
class Form:
    """Scaled weights [KH,KW,O] and bias [O], and what follows the sum, per channel; all int64.

    `shift` is S where it is common to all channels, else 0; `shifts`: of each channel.
    """

    weights: Int64Array
    bias: Int64Array
    multiplier: Int64Array
    addend: Int64Array
    shifts: Int64Array
    shift: int
    text: str

    def transposed(self) -> Form:
        """The same with rows and columns of the weights exchanged."""
        return replace(self, weights=self.weights.swapaxes(0, 1))


def scaled(layer: SpatialLayer) -> Form | None:
    """Two instructions: where some shift suits every channel and signs do not matter."""
    facts = _facts(layer)
    if not (facts.sign_is_free | facts.is_constant).all():
        return None
    shift = next((shift for shift in SHIFTS if _suits(facts, shift)), None)
    if shift is None:
        return None
    d = shift - facts.right
    rounding = np.where(facts.right > 0, 1 << (shift - 1), 0) + (1 << np.maximum(d - 1, 0))
    text = f"two-instruction requantisation, shift {shift}"
    return _form(layer, facts, 1 + d + facts.left, np.full_like(d, shift), rounding, shift, text)


def plain(layer: SpatialLayer) -> Form | None:
    """Four instructions, a shift for each channel: d = 0, the high word rounded by SMMLAR."""
    facts = _facts(layer)
    fits = (facts.right >= 1) & (facts.right <= MOST_RIGHT) & (facts.left == 0) & (facts.most >= 1)
    if not (fits | facts.is_constant).all():
        return None
    shifts = np.where(facts.is_constant, 1, facts.right)
    rounding: Int64Array = 1 << (shifts - 1)
    signs = (facts.sign_is_free | facts.is_constant).all()
    why = "no shift suits all channels" if signs else "negative sums round away from zero"
    text = f"four-instruction requantisation: {why}"
    return _form(layer, facts, np.ones_like(shifts), shifts, rounding, 0, text)


def _form(
    layer: SpatialLayer,
    facts: _Facts,
    bits: Int64Array,
    shifts: Int64Array,
    rounding: Int64Array,
    shift: int,
    text: str,
) -> Form:
    """Constant channels get no weights: what follows the sum is their output."""
    live = np.where(facts.is_constant, 0, 1)
    scale = live << np.where(facts.is_constant, 0, bits)
    zero_point = layer.requantization.zero_point
    return Form(
        weights=layer.weights.astype(np.int64) * scale,
        bias=layer.sums.bias * scale,
        multiplier=facts.mantissa * live,
        addend=np.where(
            facts.is_constant, facts.constant << shifts, rounding + (zero_point << shifts)
        ),
        shifts=shifts,
        shift=shift,
        text=text,
    )


@dataclass(frozen=True, eq=False)
class _Facts:
    """Per channel, int64 or bool [O]."""

    mantissa: Int64Array
    right: Int64Array
    left: Int64Array
    """Bits by which the multiplier shifts."""
    most: Int64Array
    """Bits by which weights and sum can be scaled within int16 and int32."""
    sign_is_free: npt.NDArray[np.bool_]
    """How halves of negative sums are rounded makes no difference."""
    is_constant: npt.NDArray[np.bool_]
    """Every input gives the output `constant`."""
    constant: Int64Array


def _facts(layer: SpatialLayer) -> _Facts:
    sums, requantization = layer.sums, layer.requantization
    shift = np.array([-multiplier.shift for multiplier in requantization.multipliers], np.int64)
    right = np.maximum(shift, 0)
    low, high = requantization.apply(sums.low), requantization.apply(sums.high)
    clamps = requantization.low >= requantization.zero_point
    return _Facts(
        mantissa=np.array([m.mantissa for m in requantization.multipliers], np.int64),
        right=right,
        left=np.maximum(-shift, 0),
        most=_most_bits(layer),
        sign_is_free=clamps | (sums.low >= 0) | (right == 0),
        is_constant=low == high,
        constant=low,
    )


def _most_bits(layer: SpatialLayer) -> Int64Array:
    weights = layer.weights.astype(np.int64).reshape(-1, layer.channels, 1)
    bits = np.arange(16)
    fits = (weights.max(axis=0) << bits <= INT16_MAX) & (weights.min(axis=0) << bits >= INT16_MIN)
    fits &= layer.sums.magnitude[:, None] << bits <= INT32_MAX
    most: Int64Array = fits.sum(axis=1) - 1
    return most


def _suits(facts: _Facts, shift: int) -> bool:
    d = shift - facts.right
    fits = (d >= 1) & (1 + d + facts.left <= facts.most)
    return bool((fits | facts.is_constant).all())
