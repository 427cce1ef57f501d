"""Both forms of requantisation against the reference: the ends of what is proven, and every tie."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exporter.ops.arithmetic import INT32_MAX, Multiplier, Rounding
from exporter.ops.arithmetic import requantize as requantize_reference
from exporter.ops.kernels.dsp import requantize
from exporter.ops.linear import Accumulator, Requantization

Int64Array = npt.NDArray[np.int64]
CHANNELS, LAYERS = 6, 250


def test_forms_are_exact_where_they_are_offered() -> None:
    rng = np.random.default_rng(5)
    found = set()
    for _ in range(LAYERS):
        requantization, sums = _layer(rng)
        weights = rng.integers(-128, 128, (CHANNELS, 3))
        gain = int(rng.choice([1, 2, 8]))
        for form in (
            requantize.cheapest(requantization, sums, weights, gain),
            requantize.shifted(requantization, sums, "as asked for"),
        ):
            if form is None:
                continue
            live = form.multiplier > 0
            shifts = [-m.shift for m in requantization.multipliers]
            found.add((form.name, form.reason[:6], bool(live.all()), min(shifts) < 0))
            scaled = weights * (form.gain // (gain if form.shift else 2))[:, None]
            assert scaled.min() >= -(2**15) and scaled.max() < 2**15
            assert np.all(sums.magnitude * form.gain <= INT32_MAX)
            values = _values(requantization, sums)
            expected = _reference(requantization, values)
            assert np.array_equal(_outputs(form, requantization, values), expected)
    names = {name for name, *_ in found}
    assert names == {"scaled", "shifted"}
    for what in (
        ("scaled", "", True, False),
        ("scaled", "", True, True),
        ("scaled", "", False, False),
        ("shifted", "no ReL", True, False),
        ("shifted", "shifts", True, False),
        ("shifted", "as ask", False, False),
    ):
        assert what in found, what


def _layer(rng: np.random.Generator) -> tuple[Requantization, Accumulator]:
    """Some with a ReLU, without negative sums, with dead channels, or with shifts to the left."""
    nearest = int(rng.choice([-2, 1, 1, 5, 15]))
    shifts = rng.integers(nearest, nearest + int(rng.choice([1, 4, 9])), CHANNELS)
    mantissas = rng.integers(2**30, 2**31, CHANNELS)
    mantissas[rng.random(CHANNELS) < rng.choice([0, 0.3])] = 0
    zero_point = int(rng.choice([-128, 0, 127, rng.integers(-128, 128)]))
    low = int(rng.choice([-128, zero_point, max(zero_point - 1, -128)]))
    # As far as the bits of a sum allow, or what gives outputs inside int8.
    bits = rng.integers(8, 12, CHANNELS) + shifts if rng.random() < 0.8 else 29 + 0 * shifts
    magnitude = np.int64(2) ** np.minimum(bits, 31 - np.maximum(-shifts, 0)) - 1
    least = rng.choice([-magnitude, 0 * magnitude])
    constant = rng.random(CHANNELS) < rng.choice([0, 0.3])
    requantization = Requantization(
        tuple(Multiplier(int(m), -int(s)) for m, s in zip(mantissas, shifts, strict=True)),
        Rounding.DOUBLE,
        zero_point,
        low,
        127,
    )
    high = np.where(constant, least, magnitude)
    return requantization, Accumulator(least, least, high, magnitude)


def _values(requantization: Requantization, sums: Accumulator) -> Int64Array:
    """Sums [..,O] inside their bounds: the ends, zero, and both sides of the ties near zero."""
    steps = np.arange(-40, 41)[:, None] / 2
    factors = [m.mantissa * 2.0 ** (m.shift - 31) for m in requantization.multipliers]
    ties = np.rint(steps / np.maximum(factors, 2.0**-31)).astype(np.int64)
    values = np.concatenate([ties - 1, ties, ties + 1, [sums.low, sums.high]])
    inside: Int64Array = np.clip(values, sums.low, sums.high)
    return inside


def _reference(requantization: Requantization, values: Int64Array) -> Int64Array:
    scaled = [
        requantize_reference(values[:, channel], multiplier)
        for channel, multiplier in enumerate(requantization.multipliers)
    ]
    outputs = np.stack(scaled, axis=1) + requantization.zero_point
    return np.clip(outputs, requantization.low, requantization.high)


def _outputs(form: requantize.Form, last: Requantization, values: Int64Array) -> Int64Array:
    """What a kernel makes of its scaled sums."""
    sums = values * form.gain
    if form.shift:
        results = (sums * form.multiplier >> 32) + form.addend >> form.shift
    else:
        high = sums * form.multiplier + 2**31 >> 32
        results = high + form.addend - (sums < 0) >> form.shifts
    return np.clip(np.clip(results, -128, 127), last.low, last.high)
