"""SPLIT against the oracle."""

from __future__ import annotations

import pytest

from exporter.ops.base import Dialect
from exporter.ops.split import axis_is_constant, parts_are_equal, parts_are_int8
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import check_models, check_operator
from tests.ops.models import Operand, assert_refused, model, numbers

X = Operand((2, 3, 4), 0.05, 9)


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("SPLIT", range(24), dialect=dialect)


def _in_two(axis: int, shape: tuple[int, ...], scale: float = 0.05) -> bytes:
    builder = ModelBuilder()
    x = builder.tensor("x", [2, 4, 4], scale=0.05, zero_point=9)
    parts = [builder.tensor(name, shape, scale=scale, zero_point=9) for name in ("a", "b")]
    builder.op("SPLIT", [builder.constant("axis", [axis]), x], parts, num_splits=2)
    return builder.finish([x], parts)


def test_every_axis_from_both_ends() -> None:
    shapes = ((1, 4, 4), (2, 2, 4), (2, 4, 2))
    check_models({f"axis {axis}": _in_two(axis, shapes[axis]) for axis in range(-3, 3)})


def test_what_is_refused() -> None:
    assert_refused(_in_two(3, (1, 4, 4)), axis_is_constant)
    assert_refused(_in_two(0, (1, 4, 4), 0.06), parts_are_int8)
    assert_refused(_in_two(0, (2, 2, 4)), parts_are_equal)
    third = model("SPLIT", [numbers(1), X], X.with_shape(2, 1, 4), num_splits=3)
    assert_refused(third, parts_are_equal)
