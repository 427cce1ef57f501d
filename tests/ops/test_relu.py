"""RELU against the oracle: every input value, in place."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.ops.arithmetic import quantize_multiplier, requantize
from exporter.ops.base import Dialect
from exporter.ops.lookup import input_and_output_share_shape, scales_are_close
from tests.ops.harness import check_models, check_operator, compile_graph
from tests.ops.models import Operand, assert_refused, model

X = Operand((4, 3), 0.03, 11)
Y = Operand((4, 3), 0.02, -7)


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    """Tensors of 300 elements: the sawtooth vector holds every value."""
    check_operator("RELU", range(30), dialect=dialect)


def test_one_element() -> None:
    check_models({"1": model("RELU", [X.with_shape(1)], Y.with_shape(1))})


def test_it_runs_in_place() -> None:
    _, program = compile_graph(model("RELU", [X], Y))
    assert program.arena_bytes == 12


def test_a_wrong_output_shape_is_refused() -> None:
    data = model("RELU", [X], Y.with_shape(4, 4))
    assert_refused(data, input_and_output_share_shape)


def test_scales_near_the_limit() -> None:
    """The input, shifted left, just fits an int32."""
    data = model("RELU", [Operand((256,), 1.0, -128)], Operand((256,), 2.0**-22, 3))
    check_models({"largest shift": data})


def test_scales_beyond_the_limit_are_refused() -> None:
    data = model("RELU", [X], Operand((4, 3), 1e-9))
    assert_refused(data, scales_are_close)


def test_the_quotient_of_scales_is_taken_as_the_reference_does() -> None:
    """Pairs of scales whose quotient rounds differently in float32 and in double."""
    rng = np.random.default_rng(3)
    models = {}
    while len(models) < 3:
        scales = rng.uniform(0.001, 0.1, 2).astype(np.float32)
        zero_point = int(rng.integers(-128, 128))
        if _depends_on_precision(*scales, zero_point):
            source = Operand((256,), float(scales[0]), zero_point)
            output = Operand((256,), float(scales[1]))
            models[f"{scales}"] = model("RELU", [source], output)
    check_models(models)


def _depends_on_precision(source: np.float32, output: np.float32, zero_point: int) -> bool:
    single = quantize_multiplier(float(source / output))
    double = quantize_multiplier(float(source) / float(output))
    steps = np.arange(-128, 128) - zero_point
    results = [np.clip(requantize(steps, m), -128, 127) for m in (single, double)]
    return not np.array_equal(*results)
