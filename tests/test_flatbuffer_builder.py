"""The test models themselves: the runtimes accept them, and they are reproducible."""

from __future__ import annotations

import numpy as np
import pytest
import tflite

from exporter.oracle import Oracle
from tests.flatbuffer_builder import OPERATORS, ModelBuilder
from tests.random_models import RECIPES, random_model


@pytest.mark.parametrize("operator", list(RECIPES))
def test_reference_accepts_random_models(operator: str) -> None:
    for seed in (0, 1):
        with Oracle(random_model(operator, seed), name=f"{operator} {seed}") as oracle:
            rng = np.random.default_rng(seed)
            inputs = [rng.integers(-128, 128, t.shape).astype(np.int8) for t in oracle.inputs]
            outputs = oracle.run(inputs)
        assert all(output.dtype == np.int8 for output in outputs) and outputs


@pytest.mark.parametrize("operator", list(RECIPES))
def test_a_seed_gives_one_model(operator: str) -> None:
    assert random_model(operator, 5) == random_model(operator, 5)
    assert random_model(operator, 5) != random_model(operator, 6)


def test_every_operator_but_the_refused_ones_has_a_recipe() -> None:
    refused = {"ABS", "CUSTOM", "DEQUANTIZE", "HARD_SWISH", "SHAPE", "WHILE"}
    assert set(RECIPES) == set(OPERATORS) - refused


def test_what_is_written_can_be_read() -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4, 4, 2], scale=0.5, zero_point=-3)
    w = builder.tensor("w", [3, 2, 2, 2], "int8", [0.1, 0.2, 0.3], data=np.arange(24))
    b = builder.tensor("b", [3], "int32", [0.05, 0.1, 0.15], data=[1, -2, 70000])
    y = builder.tensor("y", [1, 2, 4, 3], scale=0.25, zero_point=7)
    builder.op("CONV_2D", [x, w, b], [y], padding="SAME", stride_h=2, activation="RELU6")
    model = tflite.Model.GetRootAs(builder.finish([x], [y]), 0)
    graph, (code,) = model.Subgraphs(0), [model.OperatorCodes(0)]
    assert code.BuiltinCode() == tflite.BuiltinOperator.CONV_2D and code.Version() == 3
    weights = graph.Tensors(w)
    assert weights.ShapeAsNumpy().tolist() == [3, 2, 2, 2]
    assert weights.Quantization().ScaleAsNumpy().tolist() == [
        np.float32(s) for s in (0.1, 0.2, 0.3)
    ]
    assert bytes(model.Buffers(weights.Buffer()).DataAsNumpy()) == bytes(range(24))
    bias = model.Buffers(graph.Tensors(b).Buffer()).DataAsNumpy().view(np.int32)
    assert bias.tolist() == [1, -2, 70000]
    options = tflite.Conv2DOptions()
    table = graph.Operators(0).BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    assert (options.StrideH(), options.StrideW(), options.DilationHFactor()) == (2, 1, 1)
    assert options.FusedActivationFunction() == tflite.ActivationFunctionType.RELU6


def test_an_unknown_option_is_refused() -> None:
    builder = ModelBuilder()
    with pytest.raises(ValueError, match="no option"):
        builder.op("SOFTMAX", [0], [1], padding="SAME")
