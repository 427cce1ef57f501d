"""Each rule of the audit fires on a model built to break it; int8 models pass."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.convert.audit import ERRORS, WARNINGS, Audit, AuditFailed, audit, examine
from exporter.convert.audit.rules import described
from exporter.errors import BadInput
from exporter.ops.base import Target
from tests.flatbuffer_builder import ModelBuilder
from tests.hil.support import nanoexport, refused, saved
from tests.random_models import RECIPES, random_model

MODELS = Path(__file__).resolve().parents[2] / ".." / "shared" / "models"


def failure(model: bytes) -> AuditFailed:
    with pytest.raises(AuditFailed) as caught:
        audit(model, "net.tflite")
    assert caught.value.exit_code == 2 and caught.value.allowed and caught.value.next_step
    return caught.value


@pytest.mark.parametrize("operator", list(RECIPES))
def test_int8_models_pass(operator: str) -> None:
    assert audit(random_model(operator, 0)).graph.ops


@pytest.mark.parametrize(
    "name", ["ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "vww_96_int8"]
)
def test_published_int8_models_pass(name: str) -> None:
    path = MODELS / f"{name}.tflite"
    if not path.exists():
        pytest.skip("needs ../shared/models")
    audited = audit(path.read_bytes(), name, target=Target(instruction_set="dsp"))
    # Training left vww channels without weights; nothing else is worth a word.
    told = {"vww_96_int8": ["dead-channels"]}.get(name, [])
    assert [warning.rule for warning in audited.warnings] == told


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
    assert audit(builder.finish([x], [y])).graph.ops


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
    with pytest.raises(BadInput, match=r"net\.tflite is not a TFLite flatbuffer"):
        audit(b"nothing of the kind", "net.tflite")


# --- what the rules beside the first few find ----------------------------------------------------


def found(audited: Audit) -> dict[str, str]:
    """Places by rule, errors and warnings alike."""
    return {f.rule: "; ".join(f.found) for f in (*audited.errors, *audited.warnings)}


def unary(kind: str = "RELU", **output: Any) -> tuple[ModelBuilder, int, int]:
    """One operator on [1, 4]; `output` overrides its output's type and scale."""
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], scale=0.1, zero_point=0)
    y = builder.tensor("block/act;block/y", [1, 4], **{"scale": 0.1, "zero_point": 0, **output})
    builder.op(kind, [x], [y])
    return builder, x, y


def dense(
    weights: Any = ((1, 2, 3, 4), (5, 6, 7, 8)),
    w_scale: Any = 0.01,
    w_zero: Any = None,
    dtype: str = "int8",
    w_dtype: str = "int8",
    b_dtype: str = "int32",
    y_scale: float = 0.1,
) -> bytes:
    """FULLY_CONNECTED [1, 4] -> [1, 2]."""
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], dtype, scale=0.1, zero_point=0)
    w = builder.tensor("w", [2, 4], w_dtype, w_scale, w_zero, data=weights)
    b = builder.tensor("b", [2], b_dtype, 0.001, data=[3, -4])
    y = builder.tensor("net/dense/BiasAdd", [1, 2], dtype, scale=y_scale, zero_point=0)
    builder.op("FULLY_CONNECTED", [x, w, b], [y])
    return builder.finish([x], [y])


def with_spare_buffer() -> bytes:
    builder, x, y = unary()
    builder.spare_buffers.append(b"left over")
    return builder.finish([x], [y])


def with_subgraphs() -> bytes:
    builder, x, y = unary()
    builder.other_subgraphs += ["while_cond", "while_body"]
    return builder.finish([x], [y])


def with_variable() -> bytes:
    builder, x, y = unary()
    s = builder.tensor("gru/state", [1, 4], scale=0.1, zero_point=0, is_variable=True)
    z = builder.tensor("z", [1, 4], scale=0.1, zero_point=0)
    builder.op("ADD", [y, s], [z])
    return builder.finish([x, s], [z])


def custom(code: str) -> bytes:
    builder, x, y = unary()
    z = builder.tensor("net/erf/Erf", [1, 4], scale=0.1, zero_point=0)
    builder.op("CUSTOM", [y], [z], custom_code=code)
    return builder.finish([x], [z])


def computed_shape() -> bytes:
    builder, x, y = unary()
    shape = builder.tensor("flatten/Shape", [2], "int32")
    z = builder.tensor("flatten/Reshape", [4, 1], scale=0.1, zero_point=0)
    builder.op("SHAPE", [x], [shape])
    builder.op("RESHAPE", [y, shape], [z], new_shape=[4, 1])
    return builder.finish([x], [z])


def unread_input() -> bytes:
    builder, x, y = unary()
    extra = builder.tensor("token_types", [1, 4], scale=0.1, zero_point=0)
    return builder.finish([x, extra], [y])


def unused_tensor() -> bytes:
    builder, x, y = unary()
    builder.tensor("old/bias", [4], "int32", 0.1, data=[1, 2, 3, 4])
    return builder.finish([x], [y])


def dead_end() -> bytes:
    builder, x, y = unary()
    z = builder.tensor("aux/head", [1, 4], scale=0.1, zero_point=0)
    builder.op("RELU", [x], [z])
    return builder.finish([x], [y])


def added(mask: float, *, constant: bool = True, kind: str = "ADD") -> bytes:
    """Scores and a mask of one large value, on the scale that calibration finds for their sum."""
    builder = ModelBuilder()
    x = builder.tensor("attention/scores", [1, 4], scale=0.05, zero_point=0)
    data = [0, -128, 0, 0] if constant else None
    m = builder.tensor("attention/mask", [1, 4], scale=mask / 128, zero_point=0, data=data)
    s = builder.tensor("attention/masked", [1, 4], scale=mask / 255, zero_point=127)
    y = builder.tensor("attention/Softmax", [1, 4], scale=1 / 256, zero_point=-128)
    builder.op(kind, [x, m], [s])
    builder.op("SOFTMAX", [s], [y])
    return builder.finish([x] if constant else [x, m], [y])


def scaled(scale: float) -> bytes:
    builder, x, y = unary("LOGISTIC", scale=scale)
    z = builder.tensor("z", [1, 4], scale=0.1, zero_point=0)
    builder.op("QUANTIZE", [y], [z])
    return builder.finish([x], [z])


def dead_branch() -> bytes:
    """RELU of what is never positive, added to what is alive."""
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], scale=0.1, zero_point=127)
    d = builder.tensor("branch/Relu", [1, 4], scale=0.1, zero_point=-128)
    y = builder.tensor("sum", [1, 4], scale=0.1, zero_point=0)
    builder.op("RELU", [x], [d])
    builder.op("ADD", [x, d], [y])
    return builder.finish([x], [y])


def unsupported() -> bytes:
    builder, x, y = unary()
    z = builder.tensor("net/hs", [1, 4], scale=0.1, zero_point=0)
    w = builder.tensor("net/grow", [1, 5], scale=0.1, zero_point=0)
    builder.op("HARD_SWISH", [y], [z])
    builder.op("RELU", [z], [w])
    return builder.finish([x], [w])


def typed(dtype: str) -> bytes:
    """A layer in the middle whose output is of another integer type."""
    builder, x, y = unary(dtype=dtype)
    z = builder.tensor("z", [1, 4], scale=0.1, zero_point=0)
    builder.op("QUANTIZE", [y], [z])
    return builder.finish([x], [z])


BROKEN: list[tuple[str, bytes, str]] = [
    ("subgraphs", with_subgraphs(), "'while_cond'; 'while_body'"),
    ("variables", with_variable(), "the variable 'gru/state' int8 [1, 4]"),
    ("flex", custom("FlexErf"), "layer 1 CUSTOM:FlexErf 'net/erf/Erf'"),
    ("custom", custom("Detector"), "layer 1 CUSTOM:Detector 'net/erf/Erf'"),
    (
        "dynamic-shape",
        computed_shape(),
        "layer 1 SHAPE 'flatten/Shape'; layer 2 RESHAPE 'flatten/Reshape'",
    ),
    ("integer-types", typed("int16"), "layer 0 RELU 'block/y' ('block/y' int16 [1, 4])"),
    ("integer-types", typed("uint8"), "layer 0 RELU 'block/y' ('block/y' uint8 [1, 4])"),
    ("biases", dense(b_dtype="int64"), "layer 0 FULLY_CONNECTED 'net/dense/BiasAdd' (bias 'b' "),
    ("zero-point", dense(w_zero=7), "'w' int8 [2, 4] has 7, allowed 0 to 0"),
    ("unused-tensor", unread_input(), "input 'token_types' int8 [1, 4]"),
    ("unused-tensor", unused_tensor(), "tensor 'old/bias' int32 [4]"),
    ("unused-tensor", dead_end(), "layer 1 RELU 'aux/head', whose output nobody reads"),
    ("unused-buffer", with_spare_buffer(), "buffer 1 of 9 bytes"),
    (
        "degenerate-scale",
        added(1e9),
        "layer 0 ADD 'attention/masked': 'attention/scores' int8 [1, 4], -6.4 to 6.35, covers "
        "3.3e-06 steps of the output's scale 3.92e+06 beside 'attention/mask' int8 [1, 4] up to "
        "-1e+09",
    ),
    ("degenerate-scale", added(1e9, constant=False), "beside 'attention/mask' int8 [1, 4] up to"),
    ("degenerate-scale", added(1e4, kind="SUB"), "layer 0 SUB 'attention/masked'"),
    ("extreme-scale", scaled(1e6), "layer 0 LOGISTIC 'block/y': scale 1e+06"),
    ("extreme-scale", scaled(1e-12), "layer 0 LOGISTIC 'block/y': scale 1e-12"),
    ("constant-output", dense(y_scale=1e3), "layer 0 FULLY_CONNECTED 'net/dense/BiasAdd'"),
    ("constant-output", dense(weights=np.zeros((2, 4))), "layer 0 FULLY_CONNECTED"),
    ("constant-layer", dead_branch(), "layer 0 RELU 'branch/Relu'"),
    ("few-steps", added(450), "covers 7.2 steps"),
    ("coarse-input", added(1000), "layer 1 SOFTMAX 'attention/Softmax': input 'attention/masked'"),
    (
        "uneven-channels",
        dense(w_scale=[1e-6, 0.1], y_scale=1e-4),
        "layer 0 FULLY_CONNECTED 'net/dense/BiasAdd': scales 1e-06 to 0.1",
    ),
    ("dead-channels", dense(((0, 0, 0, 0), (5, 6, 7, 8))), "'net/dense/BiasAdd' (1 of 2)"),
    ("not-compiled", unsupported(), "layer 1 HARD_SWISH 'net/hs' is not a supported operator"),
    ("not-compiled", unsupported(), "layer 2 RELU 'net/grow' breaks the rule: "),
]


@pytest.mark.parametrize(
    ("rule", "model", "place"), BROKEN, ids=[f"{b[0]}-{b[2][:30]}" for b in BROKEN]
)
def test_a_model_that_breaks_the_rule(rule: str, model: bytes, place: str) -> None:
    assert place in found(examine(model, "net", target=Target()))[rule]


def test_every_rule_is_broken_by_some_model() -> None:
    elsewhere = {"control-flow", "hybrid", "float", "edges", "no-scale"}  # tests of their own
    names = [rule.name for rule in (*ERRORS, *WARNINGS)]
    assert len(set(names)) == len(names) and {b[0] for b in BROKEN} | elsewhere == set(names)


def test_an_attention_mask_that_bounds_itself_passes() -> None:
    assert not examine(added(30)).errors


def test_everything_that_is_wrong_is_told_together() -> None:
    builder, x, _ = unary()
    lost = builder.tensor("lost", [1, 4], "float32")
    y = builder.tensor("y", [1, 4], scale=1e6, zero_point=0)
    builder.op("LOGISTIC", [x], [y])
    error = failure(builder.finish([x, lost], [y]))
    rules = ["edges", "extreme-scale", "unused-tensor"]
    assert [f.rule for f in error.findings] == rules
    assert error.what == f"net.tflite {error.findings[0].what}"
    assert all(f"also: it {f.what}" in str(error) for f in error.findings[1:])
    assert all(f"also it {f.what}: " in str(error.as_dict()["value"]) for f in error.findings[1:])


@pytest.mark.parametrize(
    ("edges", "dtype", "passes"),
    [("uint8", "uint8", True), ("uint8", "int8", False), ("float", "float32", True),
     ("int8", "float32", False), ("float", "int8", False)],
)  # fmt: skip
def test_edges_are_of_the_type_that_was_asked_for(edges: Any, dtype: str, passes: bool) -> None:
    builder = ModelBuilder()
    quantised: dict[str, Any] = {} if dtype == "float32" else {"scale": 0.1, "zero_point": 0}
    x = builder.tensor("x", [1, 4], dtype, **quantised)
    a, b = (builder.tensor(n, [1, 4], scale=0.1, zero_point=0) for n in "ab")
    y = builder.tensor("y", [1, 4], dtype, **quantised)
    builder.op("QUANTIZE", [x], [a])
    builder.op("RELU", [a], [b])
    builder.op("DEQUANTIZE" if dtype == "float32" else "QUANTIZE", [b], [y])
    assert bool(examine(builder.finish([x], [y]), edges=edges).errors) != passes


def test_a_float_layer_is_no_edge() -> None:
    builder = ModelBuilder()
    x, y = (builder.tensor(n, [1, 4], "float32") for n in "xy")
    builder.op("RELU", [x], [y])
    assert list(found(examine(builder.finish([x], [y]), edges="float"))) == ["float"]


def test_16_bit_activations_are_a_mode_of_their_own() -> None:
    model = dense(dtype="int16", b_dtype="int64")
    assert list(found(examine(model, mode="int16x8"))) == []
    assert set(found(examine(model))) == {"edges", "biases"}


def test_16_bit_activations_have_no_zero_point() -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], "int16", scale=0.1, zero_point=5)
    y = builder.tensor("y", [1, 4], "int16", scale=0.1, zero_point=0)
    builder.op("RELU", [x], [y])
    told = found(examine(builder.finish([x], [y]), mode="int16x8"))
    assert told == {"zero-point": "'x' int16 [1, 4] has 5, allowed 0 to 0"}


def test_weights_of_4_bits_pass() -> None:
    assert found(examine(dense(bytes([0x21, 0x43, 0xF5, 0x87]), w_dtype="int4"))) == {}


def test_weights_of_4_bits_are_compiled() -> None:
    model = dense(bytes(4 * [0x21]), w_dtype="int4")
    assert "not-compiled" not in found(examine(model, target=Target()))


def test_an_overflow_is_told_for_a_board() -> None:
    builder, x, _ = unary()
    w = builder.tensor("w", [2, 4], scale=0.01, data=np.ones((2, 4)))
    b = builder.tensor("b", [2], "int32", 0.001, data=[2**31 - 1, 0])
    y = builder.tensor("y", [1, 2], scale=0.1, zero_point=0)
    builder.op("FULLY_CONNECTED", [x, w, b], [y])
    told = found(examine(builder.finish([x], [y]), target=Target()))
    assert "could overflow its 32-bit accumulator: magnitudes up to" in told["not-compiled"]


@pytest.mark.parametrize(
    ("output", "layer"),
    [
        ("m/long/Relu;m/c/BiasAdd;m/c/Conv2D", "m/c/Conv2D"),
        ("StatefulPartitionedCall:0", "m/dense/MatMul"),
        ("Identity", "m/dense/MatMul"),
        ("StatefulPartitionedCall/m/d:0", "StatefulPartitionedCall/m/d"),
        ("m/d1/Relu;shared/Conv2D", "m/d1/Relu"),  # the next layer has the shorter name too
    ],
)
def test_layers_have_the_shortest_telling_name(output: str, layer: str) -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], scale=0.1, zero_point=0)
    w = builder.tensor("m/dense/MatMul", [4, 4], scale=0.1, data=np.eye(4))
    y = builder.tensor(output, [1, 4], scale=0.1, zero_point=0)
    z = builder.tensor("m/d2/Relu;shared/Conv2D", [1, 4], scale=0.1, zero_point=0)
    builder.op("FULLY_CONNECTED", [x, w, -1], [y])
    builder.op("RELU", [y], [z])
    graph = audit(builder.finish([x], [z])).graph
    assert described(graph, graph.ops[0]) == f"layer 0 FULLY_CONNECTED '{layer}'"


def test_corrupt_models_are_refused_or_audited() -> None:
    rng = np.random.default_rng(3)
    models = [random_model(kind, 1) for kind in RECIPES]
    for _ in range(400):
        data = bytearray(models[rng.integers(len(models))])
        at = int(rng.integers(2, len(data) // 4)) * 4
        data[at : at + 4] = int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1])).to_bytes(4, "little")
        with contextlib.suppress(BadInput):
            examine(bytes(data), target=Target())


# --- the command ---------------------------------------------------------------------------------


def test_the_command_says_what_passed(tmp_path: Path) -> None:
    run = nanoexport("audit", saved(tmp_path, dense()), "--board", "mps2-an386")
    assert run.code == 0
    assert run.out.rstrip().endswith(
        "strictly int8: 1 operators, 4 tensors, all of them for mps2-an386"
    )


def test_the_command_lists_every_finding(tmp_path: Path) -> None:
    run = nanoexport("audit", saved(tmp_path, unsupported()), "--board", "mps2-an386", "--json")
    refused(run, 2, "cannot be compiled for the board", "layer 1 HARD_SWISH", "layer 2 RELU")
    assert run.document["passed"] is False
    assert [f["rule"] for f in run.document["findings"]] == ["not-compiled"]
    assert len(run.document["findings"][0]["found"]) == 2


def test_other_modes_are_not_for_boards(tmp_path: Path) -> None:
    options = ("--mode", "int16x8", "--board", "host", "--json")
    run = nanoexport("audit", saved(tmp_path, dense()), *options)
    findings = {f["rule"]: f["found"] for f in run.document["findings"]}
    assert findings["not-compiled"] == [
        "int16x8 with int16 edges, where boards run int8 throughout"
    ]


def test_the_command_shows_warnings_and_passes(tmp_path: Path) -> None:
    run = nanoexport("audit", saved(tmp_path, dense(((0, 0, 0, 0), (5, 6, 7, 8)))))
    assert run.code == 0 and "warning: " in run.out and "(1 of 2)" in run.out


@pytest.mark.parametrize("arguments", [["--edges", "int7"], ["--board", "nowhere"]])
def test_the_command_refuses_what_it_does_not_know(arguments: list[str], tmp_path: Path) -> None:
    refused(nanoexport("audit", saved(tmp_path, dense()), *arguments, "--json"), 2)


def test_the_command_refuses_a_missing_file(tmp_path: Path) -> None:
    refused(nanoexport("audit", tmp_path / "none.tflite", "--json"), 2, "none.tflite")
