"""PAD against the oracle, up to the five dimensions it supports."""

from __future__ import annotations

import pytest

from exporter.ops.base import Dialect, Target
from exporter.ops.padding import amounts_are_constant, output_is_the_padded_shape
from tests.ops.harness import check_models, check_operator, run_cases
from tests.ops.models import Operand, assert_refused, model, numbers
from tests.ops.variants import variants

X = Operand((2, 3, 4), 0.05, 9)


def pad(shape: tuple[int, ...], amounts: list[tuple[int, int]]) -> bytes:
    padded = tuple(size + sum(ends) for size, ends in zip(shape, amounts, strict=True))
    operands = [X.with_shape(*shape), numbers(amounts)]
    return model("PAD", operands, X.with_shape(*padded))


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("PAD", range(30), dialect=dialect)


def test_ranks_one_to_five() -> None:
    models = {
        "1": pad((5,), [(2, 3)]),
        "2": pad((5, 2), [(0, 3), (1, 0)]),
        "3": pad((2, 3, 4), [(1, 1), (0, 0), (0, 0)]),
        "4": pad((1, 6, 5, 3), [(0, 0), (1, 2), (3, 0), (0, 0)]),
        "5": pad((2, 2, 3, 2, 2), [(1, 0), (0, 1), (2, 2), (0, 0), (1, 1)]),
    }
    check_models(models)


def test_by_rows_between_guards() -> None:
    """Every kernel that is offered, that for one row after another among them."""
    models = {
        "all sides": pad((1, 6, 5, 3), [(0, 0), (1, 2), (3, 1), (0, 0)]),
        "left": pad((2, 4, 5, 3), [(0, 0), (0, 0), (2, 0), (0, 0)]),
        "above": pad((2, 4, 5, 3), [(0, 0), (3, 0), (0, 0), (0, 0)]),
        "channels": pad((1, 3, 4, 2), [(0, 0), (0, 1), (1, 0), (1, 2)]),
    }
    cases = list(variants(models, Target(), 3))
    assert len(cases) == 2 * len(models)
    run_cases(cases, "sanitized")


def test_no_padding_at_all() -> None:
    check_models({"none": pad((2, 3, 4), [(0, 0)] * 3)})


def test_what_is_refused() -> None:
    more: list[Operand] = []
    shape = model("PAD", [X, numbers([(1, 1)] * 3), *more], X.with_shape(4, 5, 5))
    assert_refused(shape, output_is_the_padded_shape)
    negative = model("PAD", [X, numbers([(0, 0), (-1, 0), (0, 0)]), *more], X.with_shape(2, 2, 4))
    assert_refused(negative, amounts_are_constant)
    rank = model("PAD", [X, numbers([(0, 0)] * 2), *more], X)
    assert_refused(rank, amounts_are_constant)
