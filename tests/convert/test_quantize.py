"""Float flatbuffers in integers, by every setting, without a source around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.convert.audit import audit
from exporter.convert.bias_correction import output_error, watched
from exporter.convert.normalise import normalised
from exporter.convert.observe import observe
from exporter.convert.quantize import with_ranges
from exporter.convert.settings import ConvertSettings
from exporter.errors import BadInput
from exporter.graph.ir import Graph, Tensor
from exporter.graph.tflite_reader import read
from exporter.hil.vectors import dequantize, quantize
from exporter.ops.base import Target
from exporter.oracle import Oracle
from exporter.oracle.backends import TENSORFLOW, TFLITE_RUNTIME
from exporter.plan.compile import compile_model
from exporter.worker import Array
from tests.convert.float_models import (
    IMAGE,
    converted,
    flatbuffer_of,
    images,
    silent,
    small_cnn,
    tf,
)

pytest.importorskip("tensorflow", reason="needs TensorFlow (the extra `convert`)")


@pytest.fixture(scope="module")
def cnn() -> bytes:
    return flatbuffer_of(small_cnn(), IMAGE)


def quantised(cnn: bytes, **chosen: Any) -> tuple[bytes, Graph]:
    settings = ConvertSettings(**chosen)
    data = converted(cnn, images(), settings)
    audit(data, mode=settings.mode, edges=settings.edge_type)
    return data, read(data)


def layer(graph: Graph, kind: str) -> Any:
    return next(op for op in graph.ops if op.kind == kind)


def real(tensor: Tensor) -> Array:
    """The numbers that a constant of zero point 0 stands for."""
    assert tensor.quantization is not None
    values: Array = tensor.constant.astype(np.float64) * np.array(tensor.quantization.scales)
    return values


def worst(data: bytes, dialect: str = "tflite") -> float:
    """The largest error of a probability."""
    right = np.asarray(small_cnn()(tf().constant(images())))
    with Oracle(data, dialect) as oracle:
        (image,), (output,) = oracle.inputs, oracle.outputs
        got = [dequantize(oracle.run([quantize(x[None], image)])[0], output) for x in images()]
    return float(np.abs(np.concatenate(got) - right).max())


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse"])
def test_every_range_method_gives_a_good_model(cnn: bytes, ranges: str) -> None:
    data, graph = quantised(cnn, ranges=ranges)
    assert worst(data) < 0.06
    assert [op.kind for op in graph.ops] == [
        "CONV_2D", "DEPTHWISE_CONV_2D", "MEAN", "FULLY_CONNECTED", "SOFTMAX",
    ]  # fmt: skip


def test_a_percentile_narrows_the_ranges(cnn: bytes) -> None:
    _, whole = quantised(cnn)
    _, most = quantised(cnn, ranges="percentile", percentile=95.0)
    outputs = [layer(g, "CONV_2D").outputs[0] for g in (whole, most)]
    assert most[outputs[1]].scale < 0.8 * whole[outputs[0]].scale


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse"])
def test_a_fixed_range_stays_as_tflite_demands(cnn: bytes, ranges: str) -> None:
    _, graph = quantised(cnn, ranges=ranges, percentile=60.0)
    probabilities = graph[graph.outputs[0]]
    assert (probabilities.scale, probabilities.zero_point) == (1 / 256, -128)


def test_weights_have_a_scale_for_each_channel_or_one(cnn: bytes) -> None:
    _, channels = quantised(cnn)
    _, tensor = quantised(cnn, per_tensor=True)
    for kind, count in (("CONV_2D", 5), ("DEPTHWISE_CONV_2D", 5), ("FULLY_CONNECTED", 7)):
        for graph, expected in ((channels, count), (tensor, 1)):
            weights = graph[layer(graph, kind).input(1)]
            assert weights.quantization is not None
            assert len(weights.quantization.scales) == expected


@pytest.mark.parametrize(("edges", "dtype"), [("uint8", "uint8"), ("float", "float32")])
def test_edges_have_the_type_that_was_asked_for(cnn: bytes, edges: str, dtype: str) -> None:
    _, graph = quantised(cnn, edges=edges)
    assert {graph[t].dtype for t in (*graph.inputs, *graph.outputs)} == {dtype}
    assert graph[layer(graph, "CONV_2D").input(0)].dtype == "int8"


@pytest.mark.parametrize(("edges", "dtype"), [(None, "int16"), ("float", "float32")])
def test_16_bit_activations_over_8_bit_weights(cnn: bytes, edges: str, dtype: str) -> None:
    _, graph = quantised(cnn, mode="int16x8", edges=edges)
    conv = layer(graph, "CONV_2D")
    assert [graph[t].dtype for t in conv.inputs] == ["int16", "int8", "int64"]
    assert graph[conv.input(0)].zero_point == 0
    assert {graph[t].dtype for t in (*graph.inputs, *graph.outputs)} == {dtype}


def test_16_bits_are_more_accurate_than_8(cnn: bytes) -> None:
    short, byte = quantised(cnn, mode="int16x8")[0], quantised(cnn)[0]
    assert outputs_error(cnn, short, images()) < 0.5 * outputs_error(cnn, byte, images())


# --- observation ---------------------------------------------------------------------------------


def test_observed_ranges_are_those_of_the_values(cnn: bytes) -> None:
    seen = observe(cnn, [images()], silent)
    graph = read(cnn)
    image, probabilities = seen[graph.inputs[0]], seen[graph.outputs[0]]
    assert (image.lowest, image.highest) == (images().min(), images().max())
    assert image.counts.sum() == images().size
    right = np.asarray(small_cnn()(tf().constant(images())))
    assert probabilities.highest == pytest.approx(right.max(), rel=1e-5)


def test_an_addition_in_place_does_not_spoil_the_range_of_what_it_reads() -> None:
    def call(x: Any) -> Any:
        return tf().nn.relu(x) * 2.0 + tf().nn.relu(-x) * 3.0 + 100.0

    flatbuffer = flatbuffer_of(call, (50,))
    seen = observe(flatbuffer, [np.linspace(-1, 1, 50, dtype=np.float32)[None]], silent)
    assert sorted(round(o.highest) for o in seen.values()) == [1, 1, 1, 1, 2, 3, 3, 103]


def test_what_is_not_finite_names_the_tensor_and_the_sample() -> None:
    flatbuffer = flatbuffer_of(tf().math.log, (4,))
    samples = np.ones((3, 4), np.float32)
    samples[2] = -1
    with pytest.raises(BadInput, match="computes NaN") as caught:
        observe(flatbuffer, [samples], silent)
    assert "sample 2" in str(caught.value.value)


# --- models trained with fake-quant --------------------------------------------------------------


def trained_with_fake_quant(x: Any) -> Any:
    rng = np.random.default_rng(0)
    fake = tf().quantization.fake_quant_with_min_max_vars
    kernel = fake(
        tf().constant(rng.normal(size=(3, 3, 2, 4)).astype(np.float32)), -2.0, 2.0,
        narrow_range=True,
    )  # fmt: skip
    x = fake(x, -1.0, 1.0)
    bias = tf().constant([0.1, 0.2, 0.3, 0.4])
    return fake(tf().nn.relu(tf().nn.conv2d(x, kernel, 1, "SAME") + bias), 0.0, 6.0)


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse"])
def test_fake_quant_keeps_its_ranges(ranges: Any) -> None:
    """Whatever the samples were: theirs are ten times as wide."""
    flatbuffer = flatbuffer_of(trained_with_fake_quant, IMAGE)
    graph = read(converted(flatbuffer, 10 * images(), ConvertSettings(ranges=ranges)))
    (conv,) = graph.ops
    x, weights, bias = (graph[conv.input(k)] for k in range(3))
    output = graph[conv.outputs[0]]
    assert [x.scale, weights.scale, output.scale] == [
        float(np.float32(s)) for s in (2 / 255, 4 / 254, 6 / 255)
    ]
    assert (x.zero_point, weights.zero_point, output.zero_point) == (0, 0, -128)
    assert bias.scale == pytest.approx(x.scale * weights.scale, rel=1e-6)
    assert np.allclose(real(bias), [0.1, 0.2, 0.3, 0.4], atol=bias.scale)


# --- int4 ----------------------------------------------------------------------------------------


def test_int4_weights_take_half_the_bytes() -> None:
    kernel = np.random.default_rng(0).normal(size=(64, 80)).astype(np.float32)
    flatbuffer = flatbuffer_of(lambda x: tf().matmul(x, tf().constant(kernel)), (64,))
    samples = np.random.default_rng(1).normal(size=(20, 64)).astype(np.float32)
    whole, half = (
        len(converted(flatbuffer, samples, ConvertSettings(weights=w))) for w in ("int8", "int4")
    )
    assert whole - half == pytest.approx(kernel.size / 2, abs=200)


def test_int4_weights_are_read_as_small_integers(cnn: bytes) -> None:
    _, graph = quantised(cnn, weights="int4")
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        op = layer(graph, kind)
        x, weights, bias = (graph[op.input(k)] for k in range(3))
        assert weights.dtype == "int8" and np.abs(weights.constant.astype(int)).max() == 7
        assert weights.quantization and bias.quantization
        assert np.allclose(
            bias.quantization.scales, x.scale * np.array(weights.quantization.scales), rtol=1e-6
        )


def test_int4_weights_compute_what_litert_says_and_stay_near_the_float_model(cnn: bytes) -> None:
    data, _ = quantised(cnn, weights="int4")
    assert worst(data, "litert") < 0.15


def test_what_one_runtime_refuses_another_of_the_dialect_computes(cnn: bytes) -> None:
    data, _ = quantised(cnn, weights="int4")
    with Oracle(data, "tflite") as oracle:
        assert oracle.backend is TENSORFLOW
    assert worst(data, "tflite") < 0.15


def test_a_runtime_that_refuses_int4_names_the_dialect_that_does_not(
    cnn: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.oracle.oracle.find_backends", lambda _: (TFLITE_RUNTIME,))
    data, _ = quantised(cnn, weights="int4")
    with pytest.raises(BadInput, match=r"tflite-runtime 2\.14 refuses") as caught:
        Oracle(data, "tflite")
    assert "--dialect litert" in str(caught.value.next_step)


def test_the_engine_compiles_int4_weights(cnn: bytes, tmp_path: Path) -> None:
    path = tmp_path / "int4.tflite"
    path.write_bytes(quantised(cnn, weights="int4")[0])
    assert compile_model(path, Target()).program.steps


def test_a_channel_without_weights_keeps_a_bias_that_fits() -> None:
    kernel = np.zeros((4, 2), np.float32)
    kernel[:, 0] = [1, -1, 2, 3]
    kernel[0, 1] = 1e-12
    flatbuffer = flatbuffer_of(
        lambda x: tf().matmul(x, tf().constant(kernel)) + tf().constant([1.0, 5.0]), (4,)
    )
    samples = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    graph = read(converted(flatbuffer, samples, ConvertSettings(weights="int4")))
    bias = graph[layer(graph, "FULLY_CONNECTED").input(2)]
    assert np.abs(bias.constant.astype(np.int64)).max() <= 2**30
    assert np.allclose(real(bias), [1, 5], rtol=1e-2)


def test_layers_that_share_int4_weights_keep_their_own_biases() -> None:
    """Each bias is in steps of its own layer's input scale, and of the one weight scale."""
    kernel = np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)

    def function(x: Any) -> Any:
        shared = tf().constant(kernel)
        first = tf().nn.relu(tf().matmul(x, shared) + tf().constant([1.0, 2.0, 3.0, 4.0]))
        return tf().matmul(first, shared) + tf().constant([40.0, 30.0, 20.0, 10.0])

    samples = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    graph = read(converted(flatbuffer_of(function, (4,)), samples, ConvertSettings(weights="int4")))
    first, second = (op for op in graph.ops if op.kind == "FULLY_CONNECTED")
    assert first.input(1) == second.input(1)
    for op, wanted in ((first, [1, 2, 3, 4]), (second, [40, 30, 20, 10])):
        bias, inputs, weights = (graph[op.input(k)].quantization for k in (2, 0, 1))
        assert bias and inputs and weights
        assert np.allclose(bias.scales, inputs.scale * np.array(weights.scales), rtol=1e-6)
        assert np.allclose(real(graph[op.input(2)]), wanted, rtol=1e-2)


# --- bias correction -----------------------------------------------------------------------------


def outputs_error(flatbuffer: bytes, data: bytes, samples: Array) -> float:
    return output_error(
        watched(data, [samples], []).outputs, watched(flatbuffer, [samples], []).outputs
    )


def test_bias_correction_helps_where_rounding_shifts_the_mean(cnn: bytes) -> None:
    """Positive inputs and int4 weights: every layer's mean moves; also on samples not used."""
    samples = np.abs(images(64))
    plain = converted(cnn, samples, ConvertSettings(weights="int4"))
    better = converted(cnn, samples, ConvertSettings(weights="int4", bias_correction=True))
    fresh = np.abs(np.random.default_rng(9).normal(size=(64, *IMAGE))).astype(np.float32)
    assert outputs_error(cnn, better, samples) < 0.7 * outputs_error(cnn, plain, samples)
    assert outputs_error(cnn, better, fresh) < outputs_error(cnn, plain, fresh)


def test_bias_correction_never_makes_the_samples_worse(cnn: bytes) -> None:
    plain = converted(cnn, images(), ConvertSettings())
    better = converted(cnn, images(), ConvertSettings(bias_correction=True))
    assert outputs_error(cnn, better, images()) <= outputs_error(cnn, plain, images())


# --- flatbuffers of others -----------------------------------------------------------------------


def flattened(x: Any) -> Any:
    x = tf().nn.relu(x)
    x = tf().reshape(x, [tf().shape(x)[0], 72])
    return tf().matmul(x, tf().constant(np.eye(72, 9, dtype=np.float32)))


@pytest.mark.parametrize("kind", ["open batch", "float16 weights"])
def test_what_other_programs_leave_in_a_flatbuffer_becomes_integers(kind: str) -> None:
    spec = tf().TensorSpec((None, *IMAGE), tf().float32, name="x")
    function = tf().function(flattened).get_concrete_function(spec)
    converter = tf().lite.TFLiteConverter.from_concrete_functions([function])
    if kind == "float16 weights":
        converter.optimizations = [tf().lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf().float16]
    original = converter.convert()
    assert "SHAPE" in {op.kind for op in read(original).ops}
    data = converted(normalised(original), images(), ConvertSettings())
    kinds = [op.kind for op in audit(data).graph.ops]
    assert "FULLY_CONNECTED" in kinds and not {"SHAPE", "DEQUANTIZE", "PACK"} & set(kinds)


def test_a_model_without_ranges_is_not_taken_for_an_integer_one(cnn: bytes) -> None:
    with pytest.raises(BadInput, match="floating point"):
        audit(with_ranges(cnn, {}))
