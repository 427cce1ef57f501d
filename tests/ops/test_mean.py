"""MEAN against the oracle, over any axes."""

from __future__ import annotations

from itertools import combinations

import pytest

from exporter.ops.base import Dialect
from exporter.ops.mean import axes_are_constant, output_lacks_the_axes, sum_fits
from tests.ops.harness import check_models, check_operator
from tests.ops.models import Operand, assert_refused, model, numbers


def mean(
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    keep_dims: bool = False,
    scales: tuple[float, float] = (0.05, 0.03),
    zero_points: tuple[int, int] = (-7, 12),
) -> bytes:
    reduced = {axis % len(shape) for axis in axes}
    kept = [1 if axis in reduced else size for axis, size in enumerate(shape)]
    if not keep_dims:
        kept = [size for axis, size in enumerate(shape) if axis not in reduced]
    source = Operand(shape, scales[0], zero_points[0])
    output = Operand(tuple(kept), scales[1], zero_points[1])
    return model("MEAN", [source, numbers(list(axes))], output, keep_dims=keep_dims)


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("MEAN", range(40), dialect=dialect)


def test_every_set_of_axes() -> None:
    axes = [a for count in (1, 2, 3, 4) for a in combinations(range(4), count)]
    models = {
        f"{a} {keep_dims}": mean((2, 3, 5, 6), a, keep_dims)
        for a in axes
        for keep_dims in (False, True)
    }
    check_models(models)


def test_axes_that_repeat_or_count_from_the_end() -> None:
    check_models({f"{axes}": mean((2, 3, 4), axes) for axes in ((-1,), (1, -2), (2, 2, 0))})


def test_other_ranks() -> None:
    models = {
        "rank 1": mean((9,), (0,)),
        "rank 2": mean((5, 7), (0,), True),
        "rank 5": mean((2, 3, 2, 2, 3), (1, 3)),
        "axes of one element": mean((1, 4, 1, 3), (0, 2)),
    }
    check_models(models)


def test_scales_far_apart() -> None:
    models = {
        f"{scale} {zero_points}": mean((1, 6, 7, 5), (1, 2), False, (0.05, scale), zero_points)
        for scale in (0.05, 1e-4, 2e-6, 3.0, 1e7)
        for zero_points in ((-128, 127), (127, -128), (0, 0))
    }
    check_models(models)


def test_a_large_image() -> None:
    check_models({"96x96": mean((1, 96, 96, 6), (1, 2), zero_points=(127, 0))}, vectors=4)


def test_what_is_refused() -> None:
    x = Operand((2, 3, 4))
    rank = model("MEAN", [x, numbers([1])], Operand((2, 1, 4)))
    assert_refused(rank, output_lacks_the_axes)
    size = model("MEAN", [x, numbers([1])], Operand((2, 3)), keep_dims=False)
    assert_refused(size, output_lacks_the_axes)
    outside = model("MEAN", [x, numbers([3])], Operand((2, 3)))
    assert_refused(outside, axes_are_constant)
    variable = model("MEAN", [x, Operand((1,), None, 0, None, "int32")], Operand((2, 4)))
    assert_refused(variable, axes_are_constant)
    assert_refused(mean((4, 8), (0,), scales=(1.0, 1e-8)), sum_fits)
