"""SPLIT_V against the oracle."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from exporter.ops.base import Dialect
from exporter.ops.split_v import (
    axis_is_constant,
    parts_are_int8,
    parts_fill_the_input,
    sizes_are_constant,
)
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import check_models, check_operator
from tests.ops.models import assert_refused


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("SPLIT_V", range(24), dialect=dialect)


def _parts(sizes: Sequence[int], given: Sequence[int], axis: int = 1, scale: float = 0.05) -> bytes:
    builder = ModelBuilder()
    x = builder.tensor("x", [2, 5, 3], scale=0.05, zero_point=9)
    parts = [builder.tensor(f"y{n}", [2, n, 3], scale=scale, zero_point=9) for n in sizes]
    constants = [builder.constant("sizes", given), builder.constant("axis", [axis])]
    builder.op("SPLIT_V", [x, *constants], parts, num_splits=len(sizes))
    return builder.finish([x], parts)


def test_the_rest_is_a_part() -> None:
    models = {f"{given}": _parts((1, 3, 1), given) for given in ((1, 3, 1), (1, -1, 1), (1, 3, -1))}
    check_models(models | {"from the end": _parts((2, 3), (2, 3), -2), "one": _parts((5,), (-1,))})


def test_what_is_refused() -> None:
    assert_refused(_parts((2, 3), (2, 3), 3), axis_is_constant)
    assert_refused(_parts((2, 3), (2, 3), 1, 0.06), parts_are_int8)
    assert_refused(_parts((2, 3), (-1, -1)), sizes_are_constant)
    assert_refused(_parts((2, 3), (2, 1, 2)), sizes_are_constant)
    assert_refused(_parts((2, 2), (2, 2)), parts_fill_the_input)
    assert_refused(_parts((3, 2), (2, 3)), parts_fill_the_input)
