"""CONCATENATION against the oracle."""

from __future__ import annotations

import pytest

from exporter.ops.base import Dialect
from exporter.ops.concatenation import (
    all_share_quantization,
    axis_is_in_range,
    has_no_activation,
    shapes_agree,
)
from tests.ops.harness import check_models, check_operator
from tests.ops.models import Operand, assert_refused, model, noise

X = Operand((2, 3, 4), 0.05, 9)


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("CONCATENATION", range(30), dialect=dialect)


def test_every_axis_from_both_ends() -> None:
    models = {}
    for axis in range(-3, 3):
        shape = [2, 3, 4]
        shape[axis] = 5
        inputs = [X, X.with_shape(*shape)]
        shape[axis] += X.shape[axis]
        models[f"axis {axis}"] = model("CONCATENATION", inputs, X.with_shape(*shape), axis=axis)
    check_models(models)


def test_constants_among_the_inputs() -> None:
    k = noise((2, 2, 4), 0.05, 9)
    models = {
        "first": model("CONCATENATION", [k, X], X.with_shape(2, 5, 4), axis=1),
        "between": model("CONCATENATION", [X, k, X], X.with_shape(2, 8, 4), axis=1),
    }
    check_models(models)


def test_one_tensor_twice_and_one_alone() -> None:
    models = {
        "twice": model("CONCATENATION", [X, X], X.with_shape(2, 3, 8), axis=2),
        "alone": model("CONCATENATION", [X], X, axis=0),
    }
    check_models(models)


def test_many_inputs() -> None:
    inputs = [Operand((1, 2, size), 0.05, 9) for size in range(1, 11)]
    check_models({"ten": model("CONCATENATION", inputs, X.with_shape(1, 2, 55), axis=2)})


def test_what_is_refused() -> None:
    y = X.with_shape(4, 3, 4)
    rescaled = model("CONCATENATION", [X, Operand((2, 3, 4), 0.06, 9)], y, axis=0)
    assert_refused(rescaled, all_share_quantization)
    activated = model("CONCATENATION", [X, X], y, axis=0, activation="RELU")
    assert_refused(activated, has_no_activation)
    assert_refused(model("CONCATENATION", [X, X], y, axis=3), axis_is_in_range)
    assert_refused(model("CONCATENATION", [X, X], y, axis=1), shapes_agree)
    assert_refused(model("CONCATENATION", [X, X], y.with_shape(5, 3, 4), axis=0), shapes_agree)
