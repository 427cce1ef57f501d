"""TRANSPOSE against the oracle: every permutation of four axes."""

from __future__ import annotations

from itertools import permutations

import pytest

from exporter.ops.base import Dialect
from exporter.ops.transpose import output_is_the_permuted_shape, permutation_is_constant
from tests.ops.harness import check_models, check_operator
from tests.ops.models import Operand, assert_refused, model, numbers


def transpose(shape: tuple[int, ...], permutation: tuple[int, ...]) -> bytes:
    source = Operand(shape, 0.05, 9)
    permuted = source.with_shape(*(shape[axis] for axis in permutation))
    return model("TRANSPOSE", [source, numbers(list(permutation))], permuted)


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("TRANSPOSE", range(30), dialect=dialect)


def test_every_permutation_of_four_axes() -> None:
    check_models({f"{p}": transpose((2, 3, 4, 5), p) for p in permutations(range(4))}, vectors=8)


def test_other_ranks() -> None:
    cases = [
        ((7,), (0,)),
        ((3, 5), (1, 0)),
        ((2, 3, 2, 4, 3), (4, 1, 0, 3, 2)),
        ((1, 4, 1), (2, 0, 1)),
    ]
    check_models({f"{p}": transpose(shape, p) for shape, p in cases})


def test_axes_counted_from_the_end() -> None:
    check_models({"negative": transpose((2, 3, 4), (-1, 0, -2))})


def test_what_is_refused() -> None:
    x = Operand((2, 3, 4))
    wrong = model("TRANSPOSE", [x, numbers([1, 0, 2])], Operand((2, 3, 4)))
    assert_refused(wrong, output_is_the_permuted_shape)
    repeated = model("TRANSPOSE", [x, numbers([1, 1, 2])], Operand((3, 3, 4)))
    assert_refused(repeated, permutation_is_constant)
    outside = model("TRANSPOSE", [x, numbers([0, 1, 3])], Operand((2, 3, 4)))
    assert_refused(outside, permutation_is_constant)
    short = model("TRANSPOSE", [x, numbers([1, 0])], Operand((3, 2, 4)))
    assert_refused(short, permutation_is_constant)
