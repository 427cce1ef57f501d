"""Well-formed flatbuffers that no compiler can make sense of: each is refused with a message.

What is left to chance here would reach a user as a traceback, or a board as wrong numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from exporter import ops, passes
from exporter.errors import BadInput
from exporter.graph.tflite_reader import read
from exporter.graph.verify import verify
from exporter.ops.base import Target
from exporter.plan.check import check
from exporter.plan.planner import plan
from exporter.plan.program import Program
from exporter.render.model import Origin, render_description, render_model
from tests import random_layers as layers
from tests import random_shape_layers as shapes
from tests.flatbuffer_builder import OPERATORS, ModelBuilder
from tests.random_models import RECIPES

REFUSED_KINDS = set(OPERATORS) - set(RECIPES)


def compiled(data: bytes) -> Program:
    """All stages up to the C text."""
    graph = passes.run(verify(read(data), after="reading"))
    graph = ops.check(graph)
    program = check(plan(graph, Target()), graph)
    render_model(program)
    render_description(program, prefix="model", origin=Origin("host", "gcc 1", "0" * 64, "0" * 64))
    return program


def refused(data: bytes) -> BadInput:
    with pytest.raises(BadInput) as caught:
        compiled(data)
    return caught.value


def assert_compiles_or_names(culprit: str, data: bytes) -> None:
    """Either `data` compiles, or the refusal names `culprit`."""
    message = ""
    try:
        compiled(data)
    except BadInput as error:
        message = error.what
    assert not message or culprit in message


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def conv_model(
    x_scale: float = 0.1,
    w_scale: Any = 0.1,
    y_scale: float = 0.1,
    shape: tuple[int, ...] = (2, 3, 3, 2),
    bias: int = 0,
    axis: int = 0,
    **options: Any,
) -> bytes:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 6, 6, 2], scale=x_scale, zero_point=0)
    w = builder.tensor("w", shape, "int8", w_scale, None, axis, data=np.ones(shape))
    b = builder.tensor("b", [2], "int32", 0.01, data=[bias, bias])
    y = builder.tensor("the layer", [1, 6, 6, 2], scale=y_scale, zero_point=0)
    builder.op("CONV_2D", [x, w, b], [y], **{"padding": "SAME", **options})
    return builder.finish([x], [y])


def test_the_model_that_is_broken_below_is_sound() -> None:
    assert len(compiled(conv_model()).steps) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"stride_h": 0}, {"stride_w": 0}, {"stride_h": -1}, {"stride_w": -2},
        {"dilation_h": 0}, {"dilation_w": 0}, {"dilation_h": -1}, {"dilation_w": -1},
        {"activation": "TANH"}, {"padding": "VALID"},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_convolution_options(options: dict[str, Any]) -> None:
    assert "'the layer'" in refused(conv_model(**options)).what


@pytest.mark.parametrize("exponent", [20, 30, 31, 32, 33, 40, 63, 64, 70, 100])
def test_multipliers_that_shift_out_of_an_int32(exponent: int) -> None:
    """Also those that shift an int64 of the compiler itself around."""
    error = refused(conv_model(x_scale=2.0**exponent, w_scale=1.0, y_scale=1.0))
    assert "CONV_2D 'the layer'" in error.what


def test_an_accumulator_that_overflows_names_its_layer() -> None:
    error = refused(conv_model(bias=2**31 - 1))
    assert "layer 0 CONV_2D 'the layer' could overflow" in error.what
    assert error.value is not None and error.next_step


def test_as_many_scales_as_some_other_axis_has() -> None:
    refused(conv_model(shape=(2, 3, 3, 2), w_scale=[0.1, 0.2, 0.3], axis=1))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_scales(scale: float) -> None:
    for model in (conv_model(x_scale=scale), conv_model(y_scale=scale)):
        refused(model)


def _binary(kind: str, left: float, right: float, output: float, activation: str) -> bytes:
    builder = ModelBuilder()
    x, y = builder.tensor("x", [1, 4], scale=left), builder.tensor("y", [1, 4], scale=right)
    z = builder.tensor("z", [1, 4], scale=output)
    builder.op(kind, [x, y], [z], activation=activation)
    return builder.finish([x, y], [z])


EXTREME_SCALES = [(1e38, 1e38, 1e-38), (1e38, 3e38, 1e38), (1.0, 1.0, 1e-45), (1e-45,) * 3]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("scales", EXTREME_SCALES, ids=str)
@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("activation", ["NONE", "RELU6"])
def test_scales_at_the_ends_of_float32(
    kind: str, scales: tuple[float, float, float], activation: str
) -> None:
    """Either it compiles or it is refused; infinities must not be met on the way."""
    assert_compiles_or_names("'z'", _binary(kind, *scales, activation))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("scales", [(1e38, 1e-38), (1e38, 0.01), (1e-45, 1e-45)], ids=str)
@pytest.mark.parametrize("kind", ["RELU", "RELU6", "RELU_N1_TO_1", "QUANTIZE"])
def test_rescaling_at_the_ends_of_float32(kind: str, scales: tuple[float, float]) -> None:
    builder = ModelBuilder()
    x, y = (builder.tensor(name, [1, 4], scale=s) for name, s in zip("xy", scales, strict=True))
    builder.op(kind, [x], [y])
    assert_compiles_or_names("'y'", builder.finish([x], [y]))


@pytest.mark.parametrize("kind", sorted(RECIPES))
def test_wrong_numbers_of_operands(kind: str) -> None:
    """From no input to four, none to all of them left out; one output and two."""
    problems = []
    for operands, outputs in product(range(-3, 5), (1, 2)):
        problem = _problem_of(_model_of_operands(kind, operands, outputs))
        if problem == "accepted" and outputs == 1 and operands > 0:
            problem = None  # an operand too many may be left unread
        if problem:
            problems.append(f"{operands} inputs, {outputs} outputs: {problem}")
    assert not problems, "\n".join(problems)


def _model_of_operands(kind: str, operands: int, outputs: int) -> bytes:
    """`operands` inputs; left-out ones where negative."""
    builder = ModelBuilder()
    x = layers.activation_tensor(builder, rng(), (1, 4, 4, 2))
    made = [layers.like(builder, builder.tensors[x], f"y{i}", (1, 4, 4, 2)) for i in range(outputs)]
    builder.op(kind, [x] * operands if operands >= 0 else [-1] * -operands, made)
    return builder.finish([x], made[:1])


def _problem_of(model: bytes) -> str | None:
    """What else than a refusal becomes of `model`."""
    try:
        compiled(model)
    except BadInput:
        return None
    except Exception as error:  # every kind is what this is about
        return f"{type(error).__name__}: {error}"
    return "accepted"


@pytest.mark.parametrize("kind", sorted(RECIPES))
def test_operators_without_their_options(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing table stands for the schema's defaults, or is refused; it is no crash."""
    form = OPERATORS[kind]
    monkeypatch.setitem(OPERATORS, kind, type(form)(None, form.fields, form.version))
    for seed in range(3):
        builder = ModelBuilder()
        inputs, outputs = RECIPES[kind](builder, np.random.default_rng(seed), "realistic")
        assert_compiles_or_names(kind, builder.finish(inputs, outputs))


@pytest.mark.parametrize("kind", sorted(REFUSED_KINDS))
def test_unsupported_operators_are_named_with_their_layer(kind: str) -> None:
    builder = ModelBuilder()
    x, y = (builder.tensor(name, [1, 4], scale=0.1) for name in ("x", "the layer"))
    builder.op(kind, [x], [y])
    what = refused(builder.finish([x], [y])).what
    assert kind in what and "'the layer'" in what and "not a supported operator" in what


FOLDABLE: dict[str, Callable[[ModelBuilder, int], int]] = {
    "RELU": lambda b, k: shapes.rectifier(b, rng(), "RELU", k),
    "RESHAPE": lambda b, k: shapes.reshape(
        b, rng(), shapes.reshape(b, rng(), k, (1, 32)), (1, 4, 4, 2)
    ),
    "ADD": lambda b, k: layers.binary(b, rng(), "ADD", k, k),
    "CONV_2D": lambda b, k: layers.conv_2d(b, rng(), k, 2),
    "MAX_POOL_2D": lambda b, k: layers.pool_2d(b, rng(), "MAX_POOL_2D", k, (1, 1), (1, 1)),
    "PAD": lambda b, k: shapes.pad(b, rng(), k, [(0, 0)] * 4),
    "TRANSPOSE": lambda b, k: shapes.transpose(b, rng(), k, (0, 1, 2, 3)),
    "SOFTMAX": lambda b, k: shapes.softmax(b, rng(), k),
    "CONCATENATION": lambda b, k: shapes.concatenation(b, rng(), [k], 3),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(FOLDABLE))
def test_layers_that_read_only_constants(kind: str) -> None:
    """They compile or are refused."""
    builder = ModelBuilder()
    x = layers.activation_tensor(builder, rng(), (1, 4, 4, 2))
    made = FOLDABLE[kind](builder, layers.constant_tensor(builder, rng(), (1, 4, 4, 2)))
    y = layers.binary(builder, rng(), "ADD", x, made)
    assert_compiles_or_names(kind, builder.finish([x], [y]))


@pytest.mark.parametrize(
    "spec",
    [
        {"dtype": "float32"}, {"dtype": "int32"}, {"dtype": "int64"}, {"dtype": "bool"}, {},
        {"scale": [0.1, 0.2, 0.3], "quantized_dimension": 1},
    ],
    ids=str,
)  # fmt: skip
def test_inputs_that_nobody_reads_are_still_the_interface(spec: dict[str, Any]) -> None:
    builder = ModelBuilder()
    x = layers.activation_tensor(builder, rng(), (1, 4))
    unused = builder.tensor("unused one", [1, 3], **spec)
    y = shapes.rectifier(builder, rng(), "RELU", x)
    assert "'unused one'" in refused(builder.finish([x, unused], [y])).what


def test_a_claimed_size_beyond_all_memory_is_refused() -> None:
    builder = ModelBuilder()
    x = layers.activation_tensor(builder, rng(), (1, 2**20, 2**20, 4), "huge")
    y = layers.pool_2d(builder, rng(), "MAX_POOL_2D", x)
    assert "'huge'" in refused(builder.finish([x], [y])).what
