"""The one-shift forms: what they compute is recomputed here, for every pair of operands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exporter.ops.folded import high_product_form, linear_form
from exporter.ops.pooling import reciprocal_shift

INPUTS = np.arange(-128, 128, dtype=np.int64)


def rounded(values: NDArray[Any], limits: tuple[int, int]) -> NDArray[np.int64]:
    """Halves away from zero, clamped."""
    away = np.sign(values) * np.floor(np.abs(values) + 0.5)
    clamped: NDArray[np.int64] = np.clip(away, *limits).astype(np.int64)
    return clamped


@pytest.mark.parametrize(
    "slopes", [(0.5, 0.5), (0.7312957, 0.4124071), (1.0, -0.25), (2.3712345, 0.0112345)]
)
@pytest.mark.parametrize("limits", [(-128, 127), (3, 90)])
def test_linear(slopes: tuple[float, float], limits: tuple[int, int]) -> None:
    left, right = INPUTS[:, None], INPUTS
    expected = rounded(slopes[0] * left + slopes[1] * right, limits)
    form = linear_form(expected, slopes, 0.0, limits)
    assert form is not None
    sums = left * form.left_factor + right * form.right_factor
    assert 128 * (abs(form.left_factor) + abs(form.right_factor)) + abs(form.offset) < 2**31
    assert (np.clip((sums + form.offset) >> form.shift, *limits) == expected).all()


def test_what_is_not_linear_has_no_linear_form() -> None:
    expected = rounded(0.5 * INPUTS[:, None] + 0.5 * INPUTS, (-128, 127))
    expected[200, 100] += 1
    assert linear_form(expected, (0.5, 0.5), 0.0, (-128, 127)) is None


@pytest.mark.parametrize("slope", [0.0078, 0.013, 1.7, 0.00003])
def test_high_product(slope: float) -> None:
    limits = (-128, 127)
    products = (INPUTS[:, None] + 128) * (INPUTS - 5)
    expected = rounded(slope * products, limits)
    form = high_product_form(expected, products, slope, limits)
    assert form is not None
    assert np.abs(products).max() << form.scale < 2**31
    highs = (products << form.scale) * form.factor >> 32
    assert np.abs(highs).max() + abs(form.offset) < 2**31
    assert (np.clip((highs + form.offset) >> form.shift, *limits) == expected).all()


def test_a_reciprocal_that_is_not_exact_for_all_sums_is_not_used() -> None:
    assert reciprocal_shift([1, 2, 9, 64, 125])
    assert reciprocal_shift([9, 203]) == 0
