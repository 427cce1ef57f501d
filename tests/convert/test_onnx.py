"""ONNX models: what converts, in whose order of axes, and what is refused."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.convert import TrainedModel, convert_loaded
from exporter.convert.interchange import for_device
from exporter.convert.interpret import Interpreter
from exporter.convert.sources import find_source, onnx
from exporter.errors import BadInput, MissingTool
from exporter.graph.tflite_reader import read
from exporter.worker import Array, Message, Worker
from tests.convert.onnx_models import save_bad_models, save_good_models

IMAGE = (1, 2, 0)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("tensorflow", "onnx2tf"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package} (the extra `onnx`)")
    folder = tmp_path_factory.mktemp("onnx")
    save_good_models(folder)
    save_bad_models(folder)
    return folder


@pytest.fixture(scope="session")
def worker(models: Path) -> Iterator[Worker]:
    with Worker(onnx.ONNX2TF.module, **onnx.ONNX2TF.environment) as running:
        yield running


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, worker: Worker) -> None:
    """Sources are loaded here, and share one process with onnx2tf: each would import for 6 s."""

    def ask(converter: Any, request: Message, path: Path, next_step: str) -> Message:
        return worker.request(request, 120)

    monkeypatch.setattr(onnx, "foreign", ask)


def noise(*shape: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("name", "axes", "outputs"),
    [
        ("plain", [IMAGE], [(5,)]),
        ("depthwise", [IMAGE], [(3,)]),
        ("residual", [IMAGE], [(4,)]),
        ("pair", [IMAGE, None], [(2,), (2,)]),
        ("cube", [IMAGE], [(4,)]),
        ("map", [IMAGE], [(5, 4, 3)]),
    ],
)
def test_flatbuffer_computes_what_the_model_does(
    models: Path, name: str, axes: list[Any], outputs: list[tuple[int, ...]]
) -> None:
    """`cube` has height, width and channels of one size: its axes are told by its values."""
    path = models / f"{name}.onnx"
    loaded = find_source(path).load(path)
    assert [i.device_axes for i in loaded.inputs] == axes
    data = [noise(3, *i.shape) for i in loaded.inputs]
    assert loaded.predict is not None and loaded.flatbuffer is not None
    expected = loaded.predict(data)
    assert [a.shape for a in expected] == [(3, *shape) for shape in outputs]
    interpreter = Interpreter(loaded.flatbuffer)
    for number in interpreter.runs(for_device(loaded, data)):
        for output, array in zip(interpreter.outputs, expected, strict=True):
            got = interpreter.tensor(output["index"])
            assert np.allclose(got, array[number], rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("in_this_process")
def test_names_and_order_are_the_models(models: Path) -> None:
    path = models / "pair.onnx"
    loaded = find_source(path).load(path)
    assert loaded.flatbuffer is not None
    graph = read(loaded.flatbuffer)
    assert [graph[t].name for t in graph.inputs] == ["image", "extra.1"]
    assert [graph[t].name for t in graph.outputs] == ["second", "probability"]


def test_data_comes_in_the_models_order_or_channel_last(models: Path, tmp_path: Path) -> None:
    """End to end, in processes of their own; the warning says what was assumed."""
    data = noise(20, 3, 8, 6)
    for order, arrays in (("first", data), ("last", data.transpose(0, 2, 3, 1))):
        (tmp_path / order).mkdir()
        np.savez(tmp_path / order / "data.npz", x=arrays)
    with TrainedModel(models / "plain.onnx") as model:
        reports = [
            convert_loaded(model, tmp_path / order / "data.npz", tmp_path / f"{order}.tflite")
            for order in ("first", "last")
        ]
        first, last = (model.predict(a)[0] for a in (data, data.transpose(0, 2, 3, 1)))
    assert reports[0].sha256 == reports[1].sha256 and reports[0].source == "onnx"
    assert reports[0].inputs[0].shape == (1, 8, 6, 3)
    assert reports[0].warnings == ()
    assert "channel last, [20, 8, 6, 3]" in reports[1].warnings[0]
    assert "[N, 3, 8, 6]" in reports[1].warnings[0]
    assert np.array_equal(first, last)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("name", "what", "value"),
    [
        ("dynamic", "the input 'x' has a dynamic shape", "float32 [?, 3, ?, 4]"),
        ("integer", "the input 'x' is not float32", "int64 [1, 4]"),
        ("batch", "no batch dimension of one", "float32 [8, 4]"),
        ("scalar", "no batch dimension of one", "float32 []"),
        ("custom", "operators that are not ONNX's own", "mine.Mystery"),
        ("quantised", "is quantised already", "QuantizeLinear, DequantizeLinear"),
        ("no_form", "operators without a form in TensorFlow Lite", "MatrixDeterminant"),
        ("misfit", "onnxruntime cannot run", ""),
        ("absent", "there is no model at", None),
        ("empty", "is not an ONNX model, or is damaged", ""),
        ("truncated", "is not an ONNX model, or is damaged", ""),
        ("foreign", "is not an ONNX model, or is damaged", ""),
        ("folder", "is not an ONNX model, or is damaged", "IsADirectoryError"),
    ],
)
def test_bad_models(models: Path, tmp_path: Path, name: str, what: str, value: str | None) -> None:
    path = models / f"{name}.onnx"
    if not path.exists():
        path = _broken(models, tmp_path, name)
    with pytest.raises(BadInput) as caught:
        find_source(path).load(path)
    assert what in caught.value.what
    assert value is None or value in str(caught.value.value)
    assert caught.value.allowed and caught.value.next_step


@pytest.mark.usefixtures("in_this_process")
def test_a_wrong_translation_is_refused(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = onnx._run
    monkeypatch.setattr(onnx, "_run", lambda *how: [a * 1.01 for a in run(*how)])
    path = models / "residual.onnx"
    with pytest.raises(BadInput, match="onnx2tf made something else of it") as caught:
        find_source(path).load(path)
    assert "an output differs by 0.0099 of its largest value" in str(caught.value.value)


def _broken(models: Path, folder: Path, name: str) -> Path:
    path = folder / f"{name}.onnx"
    if name == "folder":
        path.mkdir()
    elif name != "absent":
        whole = (models / "plain.onnx").read_bytes()
        text = b'<?xml version="1.0"?>' * 20
        path.write_bytes({"empty": b"", "truncated": whole[: len(whole) // 2]}.get(name, text))
    return path


@pytest.mark.usefixtures("in_this_process")
def test_weights_in_files_beside_the_model(models: Path, tmp_path: Path) -> None:
    package: Any = importlib.import_module("onnx")
    model = package.load(str(models / "plain.onnx"))
    path = tmp_path / "outside.onnx"
    package.save(model, str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    assert find_source(path).load(path).inputs[0].name == "image"
    (tmp_path / "w.bin").unlink()
    with pytest.raises(BadInput, match="is not an ONNX model, or is damaged"):
        find_source(path).load(path)


def test_without_the_extra_its_installation_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = tmp_path / "m.onnx"
    path.write_bytes(b"")
    with pytest.raises(MissingTool, match="needs onnx, which is not installed") as caught:
        find_source(path).load(path)
    assert caught.value.next_step == "pip install 'nanoexport[onnx]'"
