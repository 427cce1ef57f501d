"""SLICE against the oracle."""

from __future__ import annotations

import pytest

from exporter.ops.base import Dialect
from exporter.ops.slice import box_is_constant, output_is_the_box
from tests.ops.harness import check_models, check_operator
from tests.ops.models import Operand, assert_refused, model, numbers

X = Operand((1, 4, 6, 8), 0.05, 9)


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("SLICE", range(30), dialect=dialect)


def _box(begin: tuple[int, ...], size: tuple[int, ...], shape: tuple[int, ...]) -> bytes:
    return model("SLICE", [X, numbers(begin), numbers(size)], X.with_shape(*shape))


def test_boxes_in_one_piece_and_in_many() -> None:
    models = {
        "rows": _box((0, 1, 0, 0), (1, 2, -1, -1), (1, 2, 6, 8)),
        "columns": _box((0, 0, 2, 0), (-1, -1, 3, -1), (1, 4, 3, 8)),
        "channels": _box((0, 0, 0, 3), (1, 4, 6, 5), (1, 4, 6, 5)),
        "one pixel": _box((0, 3, 5, 0), (1, 1, 1, 8), (1, 1, 1, 8)),
        "one element": _box((0, 3, 5, 7), (1, 1, 1, 1), (1, 1, 1, 1)),
        "all": _box((0, 0, 0, 0), (-1, -1, -1, -1), (1, 4, 6, 8)),
    }
    check_models(models)


def test_what_is_refused() -> None:
    begin, size = (0, 0, 2, 0), (1, 4, 3, 8)
    assert_refused(_box(begin[:3], size, (1, 4, 3, 8)), box_is_constant)
    assert_refused(_box(begin, size, (1, 4, 4, 8)), output_is_the_box)
    assert_refused(_box((0, 0, 4, 0), size, (1, 4, 3, 8)), output_is_the_box)
    assert_refused(_box((0, 0, -1, 0), size, (1, 4, 3, 8)), output_is_the_box)
    assert_refused(_box(begin, (1, 4, -1, 8), (1, 4, 3, 8)), output_is_the_box)
