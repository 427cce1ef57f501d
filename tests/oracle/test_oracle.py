"""The oracle on real runtimes: exactness, order of inputs, intermediates, refusals."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from exporter.errors import BadInput, CheckFailed
from exporter.oracle import Oracle
from exporter.oracle.backends import TENSORFLOW, installed_version
from tests.flatbuffer_builder import ModelBuilder
from tests.random_layers import activation_tensor, binary, conv_2d, fully_connected

MODELS = Path(__file__).resolve().parents[2] / ".." / "shared" / "models"


def two_layer_model() -> tuple[bytes, int, int]:
    """Bytes, index of the intermediate tensor, index of the output."""
    builder, rng = ModelBuilder(), np.random.default_rng(0)
    x = activation_tensor(builder, rng, (1, 6, 6, 3))
    h = conv_2d(builder, rng, x, 4, activation="RELU", name="first")
    y = conv_2d(builder, rng, h, 2, name="second")
    return builder.finish([x], [y]), h, y


def subtraction(inputs_swapped: bool) -> bytes:
    """a - b with equal scales, whose subgraph lists its inputs as (a, b) or (b, a)."""
    builder = ModelBuilder()
    a, b = (builder.tensor(n, [1, 3], scale=0.5, zero_point=0) for n in "ab")
    y = builder.tensor("y", [1, 3], scale=0.5, zero_point=0)
    builder.op("SUB", [a, b], [y])
    return builder.finish([b, a] if inputs_swapped else [a, b], [y])


def test_run_all_gives_the_intermediates_and_the_same_output() -> None:
    model, h, y = two_layer_model()
    x = np.arange(-54, 54, dtype=np.int8).reshape(1, 6, 6, 3)
    with Oracle(model) as oracle:
        (output,) = oracle.run([x])
        tensors = oracle.run_all([x])
    assert set(tensors) == {0, h, y}
    assert tensors[h].shape == (1, 6, 6, 4) and tensors[h].std() > 0
    assert np.array_equal(tensors[y], output) and np.array_equal(tensors[0], x)


@pytest.mark.parametrize("swapped", [False, True])
def test_inputs_are_in_the_order_of_the_subgraph(swapped: bool) -> None:
    a, b = np.array([[10, 20, 30]], np.int8), np.array([[1, 2, 3]], np.int8)
    with Oracle(subtraction(swapped)) as oracle:
        assert [t.name for t in oracle.inputs] == (["b", "a"] if swapped else ["a", "b"])
        (y,) = oracle.run([b, a] if swapped else [a, b])
    assert y.tolist() == [[9, 18, 27]]


def test_another_model_in_the_same_process() -> None:
    a, b = np.array([[10, 20, 30]], np.int8), np.array([[1, 2, 3]], np.int8)
    with Oracle(subtraction(False)) as oracle:
        worker = oracle._worker
        oracle.load(subtraction(True))
        assert [t.name for t in oracle.inputs] == ["b", "a"]
        assert oracle.run([b, a])[0].tolist() == [[9, 18, 27]]
        with pytest.raises(BadInput, match="refuses"):
            oracle.load(b"no model")
        oracle.load(subtraction(False))
        assert oracle.run([a, b])[0].tolist() == [[9, 18, 27]]
        assert oracle._worker is worker


def test_one_process_serves_all_calls_and_ends_with_the_oracle() -> None:
    with Oracle(subtraction(False)) as oracle:
        assert oracle._worker is not None
        pid = oracle._worker.pid
        for _ in range(3):
            oracle.run([np.zeros((1, 3), np.int8)] * 2)
        assert oracle._worker.pid == pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.skipif(
    installed_version("ai-edge-litert") is None, reason="needs ai-edge-litert, extra `litert`"
)
def test_dialects_differ_where_they_should() -> None:
    """Dense layers round once in `litert`, twice in `tflite` (docs/architecture.md)."""
    builder, rng = ModelBuilder(), np.random.default_rng(1)
    x = activation_tensor(builder, rng, (400, 4))
    y = fully_connected(builder, rng, x, 64)
    model = builder.finish([x], [y])
    data = [rng.integers(-128, 128, (400, 4)).astype(np.int8)]
    results = []
    for dialect in ("tflite", "litert"):
        with Oracle(model, dialect) as oracle:
            results.append(oracle.run(data)[0].astype(int))
    difference = np.abs(results[0] - results[1])
    assert difference.max() == 1 and 0 < difference.mean() < 0.05


@pytest.mark.skipif(installed_version("tensorflow") is None, reason="needs TensorFlow")
def test_tensorflow_stands_in_for_tflite_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tflite-runtime has no wheel: the same bytes, from 4 s of start instead of 0.1."""
    model, _, _ = two_layer_model()
    x = np.random.default_rng(2).integers(-128, 128, (1, 6, 6, 3)).astype(np.int8)
    with Oracle(model) as oracle:
        expected = oracle.run_all([x])
    monkeypatch.setattr("exporter.oracle.oracle.find_backends", lambda dialect: (TENSORFLOW,))
    with Oracle(model) as oracle:
        got = oracle.run_all([x])
    assert set(got) == set(expected)
    assert all(np.array_equal(got[i], expected[i]) for i in got)


@pytest.mark.parametrize(
    ("inputs", "what"),
    [
        ([], "wrong number of input tensors"),
        ([np.zeros((1, 3), np.int8)], "wrong number of input tensors"),
        ([np.zeros((1, 3), np.int8), np.zeros((3,), np.int8)], "does not fit the input 'b'"),
        ([np.zeros((1, 3), np.float32)] * 2, "does not fit the input 'a'"),
    ],
)
def test_wrong_inputs_are_refused(inputs: list[np.ndarray], what: str) -> None:  # type: ignore[type-arg]
    with Oracle(subtraction(False)) as oracle, pytest.raises(BadInput, match=what):
        oracle.run(inputs)


@pytest.mark.parametrize("model", [b"", b"not a flatbuffer at all", b"\0" * 64])
def test_no_flatbuffer_is_refused_by_name(model: bytes) -> None:
    with pytest.raises((BadInput, CheckFailed), match=r"odd\.tflite"):
        Oracle(model, name="odd.tflite")


def test_a_model_that_the_reference_cannot_prepare_is_refused() -> None:
    builder, rng = ModelBuilder(), np.random.default_rng(0)
    a = activation_tensor(builder, rng, (1, 2, 3), "a")
    b = activation_tensor(builder, rng, (1, 2, 3), "b")
    y = binary(builder, rng, "ADD", a, b)
    builder.op("CONCATENATION", [a, y], [builder.tensor("z", [1, 2, 6], scale=9.0)], axis=2)
    with pytest.raises(BadInput, match=r"refuses model\.tflite") as caught:
        Oracle(builder.finish([a, b], [y + 1]), name="model.tflite")
    assert caught.value.exit_code == 2


def test_killed_between_calls_it_starts_again() -> None:
    zeros = [np.zeros((1, 3), np.int8)] * 2
    with Oracle(subtraction(False)) as oracle:
        oracle.run(zeros)
        assert oracle._worker is not None
        os.kill(oracle._worker.pid, signal.SIGKILL)
        oracle._worker._process.wait()
        assert oracle.run(zeros)[0].tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(
    "name", ["ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "vww_96_int8"]
)
def test_published_models_run(name: str) -> None:
    path = MODELS / f"{name}.tflite"
    if not path.exists():
        pytest.skip("needs ../shared/models")
    with Oracle(path.read_bytes(), name=name) as oracle:
        x = [np.full(t.shape, t.zero_point, np.int8) for t in oracle.inputs]
        tensors = oracle.run_all(x)
        for info, value in zip(oracle.outputs, oracle.run(x), strict=True):
            assert value.shape == info.shape
            assert np.array_equal(value, tensors[info.index])
