"""RELU_N1_TO_1 against the oracle: every input value, in place."""

from __future__ import annotations

import pytest

from exporter.ops.base import Dialect
from exporter.ops.lookup import input_and_output_share_shape, scales_are_close
from tests.ops.harness import check_models, check_operator, compile_graph
from tests.ops.models import Operand, assert_refused, model

X = Operand((4, 3), 0.03, 11)
Y = Operand((4, 3), 0.02, -7)


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    """Tensors of 300 elements: the sawtooth vector holds every value."""
    check_operator("RELU_N1_TO_1", range(30), dialect=dialect)


def test_one_element() -> None:
    check_models({"1": model("RELU_N1_TO_1", [X.with_shape(1)], Y.with_shape(1))})


def test_it_runs_in_place() -> None:
    _, program = compile_graph(model("RELU_N1_TO_1", [X], Y))
    assert program.arena_bytes == 12


def test_a_wrong_output_shape_is_refused() -> None:
    data = model("RELU_N1_TO_1", [X], Y.with_shape(4, 4))
    assert_refused(data, input_and_output_share_shape)


def test_scales_near_the_limit() -> None:
    """The input, shifted left, just fits an int32."""
    data = model("RELU_N1_TO_1", [Operand((256,), 1.0, -128)], Operand((256,), 2.0**-22, 3))
    check_models({"largest shift": data})


def test_scales_beyond_the_limit_are_refused() -> None:
    data = model("RELU_N1_TO_1", [X], Operand((4, 3), 1e-9))
    assert_refused(data, scales_are_close)


@pytest.mark.parametrize(
    ("scale", "zero_point", "output_scale"),
    [
        (0.09908148646354675, 26, 0.08807243406772614),
        (0.022332066670060158, -124, 0.001069799647666514),
    ],
)
def test_the_scales_are_divided_in_float32(
    scale: float, zero_point: int, output_scale: float
) -> None:
    """Scales at which double would give another output for some input."""
    source = Operand((256,), scale, zero_point)
    check_models({"RELU_N1_TO_1": model("RELU_N1_TO_1", [source], Operand((256,), output_scale))})
