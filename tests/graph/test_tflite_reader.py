"""The reader: every field of a flatbuffer arrives in the graph, and what is no model is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite

from exporter.convert.int4 import packed
from exporter.errors import BadInput
from exporter.graph.ir import Graph, Quantization
from exporter.graph.tflite_reader import constant_bytes, read, read_file
from tests.flatbuffer_builder import ModelBuilder


def _conv_model(**options: Any) -> bytes:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 6, 5, 2], scale=0.5, zero_point=-3)
    w = builder.tensor("w", [3, 2, 2, 2], "int8", [0.1, 0.2, 0.3], data=np.arange(24))
    b = builder.tensor("b", [3], "int32", [0.05, 0.1, 0.15], data=[1, -2, 70000])
    y = builder.tensor("y;fused/relu", [1, 6, 5, 3], scale=0.25, zero_point=7)
    builder.op("CONV_2D", [x, w, b], [y], padding="SAME", **options)
    return builder.finish([x], [y])


@pytest.fixture
def conv() -> Graph:
    return read(_conv_model(activation="RELU6", stride_w=2, dilation_h=3), name="small")


def test_tensors_keep_name_shape_and_type(conv: Graph) -> None:
    found = {t.id: (t.name, t.shape, t.dtype) for t in conv.tensors.values()}
    assert found == {
        0: ("x", (1, 6, 5, 2), "int8"),
        1: ("w", (3, 2, 2, 2), "int8"),
        2: ("b", (3,), "int32"),
        3: ("y;fused/relu", (1, 6, 5, 3), "int8"),
    }


def test_where_a_constant_is_stored(conv: Graph) -> None:
    model = _conv_model()
    for tensor in conv.tensors.values():
        stored = constant_bytes(model, tensor.id)
        contents = bytes(model[place] for place in stored)
        assert contents == (tensor.constant.tobytes() if tensor.is_constant else b"")
    flipped = bytearray(model)
    flipped[constant_bytes(model, 1)[5]] ^= 0x40
    changed = np.argwhere(read(bytes(flipped))[1].constant != conv[1].constant)
    assert changed.tolist() == [[0, 1, 0, 1]]
    with pytest.raises(BadInput, match="corrupt"):
        constant_bytes(model[: len(model) // 2], 1)


def test_quantization_per_tensor_and_per_channel(conv: Graph) -> None:
    assert conv[0].quantization == Quantization((0.5,), (-3,))
    assert (conv[0].scale, conv[0].zero_point) == (0.5, -3)
    weights = conv[1].quantization
    assert weights is not None and not weights.per_tensor
    assert weights.scales == tuple(float(np.float32(s)) for s in (0.1, 0.2, 0.3))
    assert weights.zero_points == (0, 0, 0)


def test_quantized_dimension_is_read() -> None:
    builder = ModelBuilder()
    w = builder.tensor("w", [2, 3], "int8", [1.0, 2.0, 3.0], [4, 5, 6], 1, data=np.arange(6))
    x = builder.tensor("x", [1])
    graph = read(builder.finish([x], [x]))
    assert graph[w].quantization == Quantization((1.0, 2.0, 3.0), (4, 5, 6), axis=1)
    assert graph[x].quantization is None


def test_constants_have_their_values_and_cannot_be_changed(conv: Graph) -> None:
    assert np.array_equal(conv[1].constant, np.arange(24).reshape(3, 2, 2, 2))
    assert conv[2].constant.tolist() == [1, -2, 70000] and conv[2].constant.dtype == np.int32
    assert not conv[0].is_constant and conv[1].is_constant
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(conv[1].constant)[0] = 1


def test_options_are_in_snake_case_with_names_for_enumerations(conv: Graph) -> None:
    assert dict(conv.ops[0].options) == {
        "padding": "SAME",
        "stride_w": 2,
        "stride_h": 1,
        "dilation_wfactor": 1,
        "dilation_hfactor": 3,
        "fused_activation_function": "RELU6",
        **{k: v for k, v in conv.ops[0].options.items() if k == "quantized_bias_type"},
    }


@pytest.mark.parametrize("activation", ["NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH"])
def test_every_activation_is_named(activation: str) -> None:
    graph = read(_conv_model(activation=activation))
    assert graph.ops[0].options["fused_activation_function"] == activation


def test_floats_booleans_and_defaults_of_options() -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4])
    builder.op("SOFTMAX", [x], [builder.tensor("s", [1, 4])], beta=2.5)
    builder.op("MEAN", [x, x], [builder.tensor("m", [1, 1])], keep_dims=True)
    builder.op("MEAN", [x, x], [builder.tensor("n", [1, 1])])
    builder.op("CONCATENATION", [x, x], [builder.tensor("c", [1, 8])], axis=-1)
    softmax, mean, mean_default, concat = read(builder.finish([x], [x])).ops
    assert softmax.options["beta"] == 2.5
    assert mean.options["keep_dims"] is True and mean_default.options["keep_dims"] is False
    assert concat.options["axis"] == -1
    assert concat.options["fused_activation_function"] == "NONE"


def test_left_out_inputs_are_none() -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4])
    w = builder.tensor("w", [2, 4], "int8", 0.5, data=np.ones(8))
    y = builder.tensor("y", [1, 2])
    builder.op("FULLY_CONNECTED", [x, w, -1], [y])
    (op,) = read(builder.finish([x], [y])).ops
    assert op.inputs == (x, w, None)
    assert op.optional_input(2) is None and op.optional_input(3) is None


def test_several_inputs_and_outputs_in_order() -> None:
    builder = ModelBuilder()
    a, b, c = (builder.tensor(name, [1, 4]) for name in "abc")
    builder.op("ADD", [a, b], [c])
    graph = read(builder.finish([b, a], [c, a]))
    assert graph.inputs == (b, a) and graph.outputs == (c, a)
    assert graph.producer(c) is graph.ops[0] and graph.producer(a) is None
    assert graph.consumers(a) == graph.ops


def test_hash_and_name_are_those_of_the_file(tmp_path: Path) -> None:
    data = _conv_model()
    path = tmp_path / "my model.tflite"
    path.write_bytes(data)
    graph, model = read_file(path)
    assert model == data and graph.name == "my model"
    assert graph.sha256 == hashlib.sha256(data).hexdigest()


def test_tensors_without_a_name_get_one() -> None:
    builder = ModelBuilder()
    x = builder.tensor("", [1])
    assert read(builder.finish([x], [x]))[x].name == "tensor_0"


def test_custom_operators_carry_their_name() -> None:
    builder = ModelBuilder()
    x, y = builder.tensor("x", [1]), builder.tensor("y", [1])
    builder.op("CUSTOM", [x], [y], custom_code="MyOp")
    assert read(builder.finish([x], [y])).ops[0].kind == "CUSTOM:MyOp"


def test_reading_twice_gives_the_same(conv: Graph) -> None:
    again = read(_conv_model(activation="RELU6", stride_w=2, dilation_h=3), name="small")
    assert again.ops == conv.ops and again.sha256 == conv.sha256


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"", b"TFL3", b"\0" * 64, b"PK\x03\x04" + b"\0" * 64, b"\x89PNG\r\n\x1a\n" * 9],
    ids=["empty", "four bytes", "zeros", "zip", "png"],
)
def test_what_is_no_flatbuffer_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match="not a TFLite flatbuffer") as caught:
        read(data, source="m.tflite")
    assert "m.tflite" in caught.value.what and caught.value.next_step


def test_a_header_alone_is_corrupt() -> None:
    with pytest.raises(BadInput, match="corrupt or truncated"):
        read(b"\x08\0\0\0TFL3")


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.tflite", tmp_path):
        with pytest.raises(BadInput, match="cannot read the model") as caught:
            read_file(path)
        assert str(path) in caught.value.what and caught.value.value


def test_several_subgraphs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite.Model, "SubgraphsLength", lambda _: 2)
    with pytest.raises(BadInput, match="control flow") as caught:
        read(_conv_model())
    assert caught.value.value == "2 subgraphs"


def test_sparse_constants_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite.Tensor, "Sparsity", lambda _: object())
    with pytest.raises(BadInput, match="'w' has a storage format") as caught:
        read(_conv_model())
    assert caught.value.value == "int8, sparse"


@pytest.mark.parametrize("size", [23, 25, 1])
def test_constants_of_the_wrong_size_are_refused(size: int) -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1])
    builder.tensor("w", [24], "int8", 0.5, data=bytes(size))
    with pytest.raises(BadInput, match="corrupt"):
        read(builder.finish([x], [x]))


def test_zero_points_without_a_scale_each_are_refused() -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [4], "int8", [0.5], [1, 2], 0)
    with pytest.raises(BadInput, match="corrupt"):
        read(builder.finish([x], [x]))


@pytest.mark.parametrize(("inputs", "outputs"), [([9], [0]), ([0], [9]), ([-1], [0]), ([0], [-2])])
def test_ports_that_do_not_exist_are_refused(inputs: list[int], outputs: list[int]) -> None:
    builder = ModelBuilder()
    builder.tensor("x", [1])
    with pytest.raises(BadInput, match="corrupt"):
        read(builder.finish(inputs, outputs))


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_int4_constants_are_read_as_int8(count: int) -> None:
    """Two to a byte, the first in the low half."""
    values = (np.arange(count) * 5 % 16 - 8).astype(np.int8)
    builder = ModelBuilder()
    x = builder.tensor("x", [1, count], scale=0.5)
    w = builder.tensor("w", [1, count], "int4", 0.1, data=packed(values).tobytes())
    y = builder.tensor("y", [1, 1], scale=0.25)
    builder.op("FULLY_CONNECTED", [x, w, -1], [y])
    weights = read(builder.finish([x], [y]))[w]
    assert weights.dtype == "int8" and weights.constant.tolist() == [values.tolist()]


def test_several_subgraphs_are_read_only_to_be_looked_at() -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1])
    builder.other_subgraphs.append("body")
    data = builder.finish([x], [x])
    assert read(data, first_subgraph=True).inputs == (x,)
    with pytest.raises(BadInput, match="control flow"):
        read(data)


def test_int4_constants_of_a_wrong_size_are_refused() -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], scale=0.5)
    w = builder.tensor("w", [1, 4], "int4", 0.1, data=b"123")
    y = builder.tensor("y", [1, 1], scale=0.25)
    builder.op("FULLY_CONNECTED", [x, w, -1], [y])
    with pytest.raises(BadInput, match="corrupt"):
        read(builder.finish([x], [y]))


@pytest.mark.parametrize("code", [0, 3])
def test_an_operator_is_known_by_either_of_its_codes(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Some writers leave the older field at 0, which is ADD."""
    write = tflite.OperatorCodeAddDeprecatedBuiltinCode
    monkeypatch.setattr(tflite, "OperatorCodeAddDeprecatedBuiltinCode", lambda b, _: write(b, code))
    assert [op.kind for op in read(_conv_model()).ops] == ["CONV_2D"]
