"""STRIDED_SLICE against the oracle."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.ops.base import Dialect
from exporter.ops.strided_slice import (
    dropped_axes_are_inside,
    ends_are_constant,
    has_no_unusual_masks,
    output_is_the_slice,
    strides_are_positive,
)
from tests.ops.harness import check_models, check_operator
from tests.ops.models import Operand, assert_refused, model, numbers

X = Operand((4, 6, 8), 0.05, 9)


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("STRIDED_SLICE", range(40), dialect=dialect)


def _slice(begin: list[int], end: list[int], strides: list[int], shape: tuple[int, ...],
           **masks: Any) -> bytes:  # fmt: skip
    operands = [X, numbers(begin), numbers(end), numbers(strides)]
    return model("STRIDED_SLICE", operands, X.with_shape(*shape), **masks)


def test_ends_beyond_the_tensor_and_masks() -> None:
    models = {
        "beyond": _slice([0, -9, 2], [9, 4, 99], [1, 1, 2], (4, 4, 3)),
        "masked": _slice([3, 5, 5], [0, 1, 6], [2, 1, 1], (2, 1, 6), begin_mask=5, end_mask=3),
        "dropped": _slice([2, 0, -1], [0, 6, 0], [1, 2, 1], (3,), shrink_axis_mask=5),
        "one row": _slice([1, 0, 0], [2, 6, 8], [1, 1, 1], (6, 8), shrink_axis_mask=1),
    }
    check_models(models)


def test_what_is_refused() -> None:
    ones, ends = [1, 1, 1], [4, 6, 8]
    assert_refused(_slice([0, 0], [4, 6], [1, 1], (4, 6, 8)), ends_are_constant)
    assert_refused(_slice([0] * 3, ends, ones, (4, 6, 8), ellipsis_mask=1), has_no_unusual_masks)
    assert_refused(_slice([0] * 3, ends, ones, (4, 6, 8), new_axis_mask=1), has_no_unusual_masks)
    assert_refused(_slice([3, 0, 0], [0, 6, 8], [-1, 1, 1], (3, 6, 8)), strides_are_positive)
    outside = _slice([4, 0, 0], [5, 6, 8], ones, (6, 8), shrink_axis_mask=1)
    assert_refused(outside, dropped_axes_are_inside)
    assert_refused(_slice([1, 0, 0], ends, ones, (4, 6, 8)), output_is_the_slice)
