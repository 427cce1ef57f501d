"""RESHAPE: a view, which costs neither a kernel nor a copy."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.ops.base import Dialect, input_and_output_share_quantization
from exporter.ops.reshape import element_count_is_kept
from tests import random_layers as layers
from tests import random_shape_layers as more
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import check_models, compile_graph
from tests.ops.models import Operand, assert_refused, model, numbers


def between_layers(shape: tuple[int, ...]) -> bytes:
    """RELU, RESHAPE to `shape`, TANH."""
    rng = np.random.default_rng(1)
    builder = ModelBuilder()
    x = layers.activation_tensor(builder, rng, (2, 3, 4))
    y = more.rectifier(builder, rng, "RELU", x)
    y = more.table(builder, rng, "TANH", more.reshape(builder, rng, y, shape))
    return builder.finish([x], [y])


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_between_layers(dialect: Dialect) -> None:
    shapes = [(24,), (2, 12), (6, 2, 2), (1, 2, 3, 4)]
    check_models({f"{shape}": between_layers(shape) for shape in shapes}, dialect=dialect)


def test_it_costs_nothing() -> None:
    _, program = compile_graph(between_layers((6, 4)))
    assert [step.kind for step in program.steps] == ["RELU", "TANH"]
    assert program.arena_bytes == 24


def test_what_is_refused() -> None:
    x = Operand((2, 3, 4))
    fewer = model("RESHAPE", [x, numbers([2, 11])], Operand((2, 11)), new_shape=[2, 11])
    assert_refused(fewer, element_count_is_kept)
    rescaled = model("RESHAPE", [x, numbers([24])], Operand((24,), 0.06), new_shape=[24])
    assert_refused(rescaled, input_and_output_share_quantization)
