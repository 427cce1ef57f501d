"""MUL against the oracle, with broadcasting, constants and shared operands."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.ops.base import Dialect
from exporter.ops.elementwise import output_is_the_broadcast
from exporter.ops.mul import products_fit
from tests.ops.harness import check_models, check_operator, compile_graph
from tests.ops.models import Operand, assert_refused, constant, model, noise

A = Operand((2, 3, 4), 0.04, -5)
Y = Operand((2, 3, 4), 0.11, 3)


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("MUL", range(40), dialect=dialect)


def test_broadcasting() -> None:
    shapes = [
        ((2, 3, 4), (4,)),
        ((4,), (2, 3, 4)),
        ((2, 3, 4), (1,)),
        ((2, 1, 4), (3, 1)),
        ((2, 3, 1), (1, 1, 4)),
        ((2, 3, 1), (2, 3, 4)),
        ((1, 3, 1), (2, 1, 4)),
    ]
    models = {
        f"{left} with {right}": model(
            "MUL", [A.with_shape(*left), Operand(right, 0.03, 7)], Y, activation="RELU"
        )
        for left, right in shapes
    }
    check_models(models)


def test_constants_on_either_side() -> None:
    operands = {
        "scalar": constant(37, 0.2, -9),
        "one": constant([[-128]], 0.2, 127),
        "channels": noise((4,), 0.3, 5),
        "full": noise((2, 3, 4), 0.01, -128),
        "larger": noise((2, 3, 4), 0.01, -128),
    }
    models = {}
    for name, operand in operands.items():
        variable = A.with_shape(3, 1) if name == "larger" else A
        models[f"{name} right"] = model("MUL", [variable, operand], Y)
        models[f"{name} left"] = model("MUL", [operand, variable], Y)
    check_models(models)


def test_a_constant_of_one_value_makes_a_table() -> None:
    _, program = compile_graph(model("MUL", [A, constant(37, 0.2, -9)], Y))
    assert program.functions[0].kernel == "generic/lookup"


def test_one_tensor_as_both_operands() -> None:
    check_models({"itself": model("MUL", [A, A], Y)})


@pytest.mark.parametrize(
    ("scales", "values"),
    [
        ((0.0958162248134613, 0.06071467325091362, 0.10361786931753159), (19, 37)),
        ((0.05433310568332672, 0.024036448448896408, 0.012497145682573318), (8, 101)),
    ],
)
def test_the_scales_are_multiplied_in_float32(
    scales: tuple[float, float, float], values: tuple[int, int]
) -> None:
    """Scales and operands whose product another precision would round to its neighbour."""
    left, right, output = (Operand((2,), scale) for scale in scales)
    x, y = (np.array([value, -value], np.int8) for value in values)
    data = model("MUL", [left, right], output)
    check_models({"halves": data}, inputs=[[x, np.abs(y)], [x, -np.abs(y)]])


def test_it_runs_in_place() -> None:
    data = model("MUL", [A, Operand((2, 3, 4), 0.03, 7)], Y)
    _, program = compile_graph(data)
    assert program.arena_bytes == 2 * 24


def test_a_wrong_output_shape_is_refused() -> None:
    assert_refused(model("MUL", [A, A], Y.with_shape(2, 3, 5)), output_is_the_broadcast)
    assert_refused(model("MUL", [A, A.with_shape(3, 3)], Y), output_is_the_broadcast)


def test_an_output_scale_that_overflows_is_refused() -> None:
    assert_refused(model("MUL", [A, A], Operand((2, 3, 4), 1e-9)), products_fit)
