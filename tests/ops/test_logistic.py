"""LOGISTIC against the oracle: every input value, in place."""

from __future__ import annotations

import pytest

from exporter.ops.base import Dialect
from exporter.ops.logistic import output_scale_is_1_256
from exporter.ops.lookup import input_and_output_share_shape
from tests.ops.harness import check_models, check_operator, compile_graph
from tests.ops.models import Operand, assert_refused, model

X = Operand((4, 3), 0.03, 11)
Y = Operand((4, 3), 1 / 256, -128)


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    """Tensors of 300 elements: the sawtooth vector holds every value."""
    check_operator("LOGISTIC", range(30), dialect=dialect)


def test_one_element() -> None:
    check_models({"1": model("LOGISTIC", [X.with_shape(1)], Y.with_shape(1))})


def test_it_runs_in_place() -> None:
    _, program = compile_graph(model("LOGISTIC", [X], Y))
    assert program.arena_bytes == 12


def test_a_wrong_output_shape_is_refused() -> None:
    data = model("LOGISTIC", [X], Y.with_shape(4, 4))
    assert_refused(data, input_and_output_share_shape)


def test_another_output_scale_is_refused() -> None:
    data = model("LOGISTIC", [X], Operand((4, 3), 1 / 128, -128))
    assert_refused(data, output_scale_is_1_256)
