"""Each rule of the audit fires on a model built to break it; int8 models pass."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from exporter.convert.audit import audit
from exporter.errors import BadInput
from tests.flatbuffer_builder import ModelBuilder
from tests.random_models import RECIPES, random_model

MODELS = Path(__file__).resolve().parents[2] / ".." / "shared" / "models"


def failure(model: bytes) -> BadInput:
    with pytest.raises(BadInput) as caught:
        audit(model, "net.tflite")
    assert caught.value.exit_code == 2 and caught.value.allowed and caught.value.next_step
    return caught.value


@pytest.mark.parametrize("operator", list(RECIPES))
def test_int8_models_pass(operator: str) -> None:
    assert audit(random_model(operator, 0)).ops


@pytest.mark.parametrize(
    "name", ["ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "vww_96_int8"]
)
def test_published_int8_models_pass(name: str) -> None:
    path = MODELS / f"{name}.tflite"
    if not path.exists():
        pytest.skip("needs ../shared/models")
    assert audit(path.read_bytes(), name).ops


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ad01_fp32", "computes in floating point"),
        ("kws_ref_model_float32", "is a hybrid model"),  # its name says float32, its weights int8
    ],
)
def test_published_float_models_fail(name: str, what: str) -> None:
    path = MODELS / f"{name}.tflite"
    if not path.exists():
        pytest.skip("needs ../shared/models")
    assert what in failure(path.read_bytes()).what


def test_float_model() -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], "float32")
    w = builder.tensor("w", [2, 4], "float32", data=np.ones((2, 4)))
    y = builder.tensor("dense_3/BiasAdd", [1, 2], "float32")
    builder.op("FULLY_CONNECTED", [x, w, -1], [y])
    error = failure(builder.finish([x], [y]))
    assert error.what == "net.tflite computes in floating point"
    assert error.value == "layer 0 FULLY_CONNECTED 'dense_3/BiasAdd' ('x' float32 [1, 4])"
    assert "nanoexport convert" in str(error.next_step)


def test_hybrid_model() -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], "float32")
    w = builder.tensor("w", [2, 4], "int8", 0.1, data=np.ones((2, 4)))
    y = builder.tensor("y", [1, 2], "float32")
    builder.op("FULLY_CONNECTED", [x, w, -1], [y], asymmetric_quantize_inputs=True)
    error = failure(builder.finish([x], [y]))
    assert "hybrid model" in error.what and "dynamic-range" in str(error.next_step)
    assert error.value == "layer 0 FULLY_CONNECTED 'y' (weights int8)"


def test_float_at_the_edges() -> None:
    """What the converter gives when inference_input_type is left at its default."""
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], "float32")
    q = builder.tensor("q", [1, 4], scale=0.1, zero_point=0)
    y = builder.tensor("y", [1, 4], "float32")
    builder.op("QUANTIZE", [x], [q])
    builder.op("DEQUANTIZE", [q], [y])
    error = failure(builder.finish([x], [y]))
    assert "computes in floating point" in error.what
    assert "layer 0 QUANTIZE 'q'" in str(error.value)
    assert "layer 1 DEQUANTIZE 'y'" in str(error.value)


def test_uint8_at_the_edges() -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], "uint8", 0.1, 128)
    y = builder.tensor("y", [1, 4], "int8", 0.1, 0)
    builder.op("QUANTIZE", [x], [y])
    error = failure(builder.finish([x], [y]))
    assert "inputs or outputs that are not int8" in error.what
    assert error.value == "input 'x' uint8 [1, 4]"


def test_dynamic_shape() -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 1, 4], scale=0.1, zero_point=0, shape_signature=[1, -1, 4])
    y = builder.tensor("y", [1, 1, 4], scale=0.1, zero_point=0)
    builder.op("RELU", [x], [y])
    error = failure(builder.finish([x], [y]))
    assert "dynamic shape" in error.what and error.value == "'x' int8 [1, -1, 4]"


def test_an_open_batch_is_no_dynamic_shape() -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], scale=0.1, zero_point=0, shape_signature=[-1, 4])
    y = builder.tensor("y", [1, 4], scale=0.1, zero_point=0)
    builder.op("RELU", [x], [y])
    assert audit(builder.finish([x], [y])).ops


def test_control_flow() -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], scale=0.1, zero_point=0)
    y = builder.tensor("y", [1, 4], scale=0.1, zero_point=0)
    builder.op("WHILE", [x], [y], cond=0, body=0)
    error = failure(builder.finish([x], [y]))
    assert "control flow" in error.what and error.value == "layer 0 WHILE 'y'"


@pytest.mark.parametrize("scale", [None, 0.0, -0.5, float("inf"), float("nan")])
def test_int8_without_a_scale(scale: float | None) -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], scale=0.1, zero_point=0)
    y = builder.tensor("y", [1, 4], scale=scale)
    builder.op("RELU", [x], [y])
    assert "'y'" in str(failure(builder.finish([x], [y])).value)


def test_many_findings_are_counted() -> None:
    builder = ModelBuilder()
    tensors = [builder.tensor(f"t{i}", [1, 4], "float32") for i in range(9)]
    for a, b in pairwise(tensors):
        builder.op("RELU", [a], [b])
    assert str(failure(builder.finish(tensors[:1], tensors[-1:])).value).endswith("and 3 more")


def test_no_flatbuffer() -> None:
    assert "net.tflite" in failure(b"nothing of the kind").what
