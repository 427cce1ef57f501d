"""ADD against the oracle, with broadcasting, constants and shared operands."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.ops.additive import output_scale_is_wide_enough
from exporter.ops.base import Dialect
from exporter.ops.elementwise import output_is_the_broadcast
from tests.ops.harness import check_models, check_operator, compile_graph
from tests.ops.models import Operand, assert_refused, constant, model, noise

A = Operand((2, 3, 4), 0.04, -5)
Y = Operand((2, 3, 4), 0.07, 3)


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("ADD", range(40), dialect=dialect)


def test_broadcasting() -> None:
    shapes = [
        ((2, 3, 4), (4,)),
        ((4,), (2, 3, 4)),
        ((2, 3, 4), (1,)),
        ((2, 1, 4), (3, 1)),
        ((2, 3, 1), (1, 1, 4)),
        ((2, 3, 1), (2, 3, 4)),
        ((1, 3, 1), (2, 1, 4)),
        ((2, 3, 1, 2, 2), (3, 2, 1, 2)),
    ]
    models = {
        f"{left} with {right}": model(
            "ADD",
            [A.with_shape(*left), Operand(right, 0.03, 7)],
            Y.with_shape(*np.broadcast_shapes(left, right)),
            activation="RELU",
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
        models[f"{name} right"] = model("ADD", [variable, operand], Y)
        models[f"{name} left"] = model("ADD", [operand, variable], Y)
    check_models(models)


def test_a_constant_of_one_value_makes_a_table() -> None:
    _, program = compile_graph(model("ADD", [A, constant(37, 0.2, -9)], Y))
    assert program.functions[0].kernel == "generic/lookup"


def test_one_tensor_as_both_operands() -> None:
    check_models({"itself": model("ADD", [A, A], Y)})


def test_it_runs_in_place() -> None:
    data = model("ADD", [A, Operand((2, 3, 4), 0.03, 7)], Y)
    _, program = compile_graph(data)
    assert program.arena_bytes == 2 * 24


def test_a_wrong_output_shape_is_refused() -> None:
    assert_refused(model("ADD", [A, A], Y.with_shape(2, 3, 5)), output_is_the_broadcast)
    assert_refused(model("ADD", [A, A.with_shape(3, 3)], Y), output_is_the_broadcast)


def test_an_output_scale_that_overflows_is_refused() -> None:
    assert_refused(model("ADD", [A, A], Operand((2, 3, 4), 1e-9)), output_scale_is_wide_enough)
