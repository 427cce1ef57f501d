"""Conversion end to end, from every source, and everything that can be wrong with its input."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.convert import (
    ConvertSettings,
    TrainedModel,
    convert,
    convert_loaded,
    convert_model,
    trained,
)
from exporter.convert.sources import find_source, h5
from exporter.errors import BadInput, CheckFailed, MissingTool
from exporter.hil.vectors import dequantize, quantize
from exporter.oracle import Oracle
from exporter.worker import Worker
from tests.conftest import MODELS
from tests.convert.conftest import Zoo


@pytest.mark.parametrize("source", ["image.keras", "image.h5", "image_saved_model", "image.tflite"])
def test_every_source_converts_and_predicts(zoo: Zoo, tmp_path: Path, source: str) -> None:
    lines: list[str] = []
    output = tmp_path / "out.tflite"
    x = np.load(zoo["image.npz"])["x"]
    with TrainedModel(zoo[source], lines.append) as model:
        report = convert_loaded(model, zoo["image.npz"], output)
        (expected,) = model.predict(x)
    assert report.bytes == output.stat().st_size and report.samples == 20
    assert report.inputs[0].shape == (1, 6, 6, 2) and report.outputs[0].shape == (1, 3)
    assert report.operators["CONV_2D"] == 1 and report.warnings == ()
    assert lines[0] == "importing TensorFlow" and any("calibrating" in line for line in lines)
    assert expected.shape == (20, 3)
    with Oracle(output.read_bytes()) as oracle:
        (image,), (probabilities,) = oracle.inputs, oracle.outputs
        got = [dequantize(oracle.run([quantize(s[None], image)])[0], probabilities) for s in x]
    assert np.abs(np.concatenate(got) - expected).max() < 0.03


def test_two_inputs_keep_their_order_and_their_data(zoo: Zoo, tmp_path: Path) -> None:
    with np.load(zoo["pair.npz"]) as data:
        right, left = data["right"], data["left"]
    with TrainedModel(zoo["pair.keras"]) as model:
        report = convert_loaded(model, zoo["pair.npz"], tmp_path / "out.tflite")
        difference, dense = model.predict(right, left)
    scales = {t.name: t.scale for t in report.inputs}
    assert [t.name for t in report.inputs] == ["right", "left"]
    assert scales["right"] == pytest.approx(50 / 255, rel=0.1)
    assert scales["left"] == pytest.approx(2 / 255, rel=0.1)
    assert [t.shape for t in report.outputs] == [(1, 4), (1, 2)]
    assert np.allclose(difference, right - left) and dense.shape == (20, 2)


def test_same_files_same_bytes(zoo: Zoo, tmp_path: Path) -> None:
    digests = {
        convert(zoo["image.keras"], zoo["image.npz"], tmp_path / f"{i}.tflite").sha256
        for i in range(2)
    }
    assert len(digests) == 1


def test_settings_reach_the_quantiser(zoo: Zoo, tmp_path: Path) -> None:
    settings = ConvertSettings(edges="uint8", ranges="mse", weights="int4", bias_correction=True)
    lines: list[str] = []
    output = tmp_path / "out.tflite"
    report = convert(zoo["image.tflite"], zoo["image.npz"], output, settings, progress=lines.append)
    assert report.settings == settings
    assert report.inputs[0].dtype == report.outputs[0].dtype == "uint8"
    assert any("counting" in line for line in lines)
    assert any("correcting the bias of layer 2 of 2" in line for line in lines)


def test_one_observation_serves_many_settings(zoo: Zoo) -> None:
    x = np.load(zoo["image.npz"])["x"]
    with TrainedModel(zoo["image.keras"]) as model:
        seen = model.observe([x])
        flatbuffers = {model.quantized(ConvertSettings(ranges=r)) for r in ("minmax", "mse")}
    assert len(flatbuffers) == 2
    assert seen["image"].highest == x.max() and seen["image"].counts.sum() == x.size


def test_a_float_flatbuffer_is_not_overwritten_by_its_own_conversion(zoo: Zoo) -> None:
    before = zoo["image.tflite"].read_bytes()
    with pytest.raises(BadInput, match="the output would replace"):
        convert(zoo["image.tflite"], zoo["image.npz"], zoo["image.tflite"])
    assert zoo["image.tflite"].read_bytes() == before


def test_calibration_data_is_not_overwritten(zoo: Zoo) -> None:
    before = zoo["image.npz"].read_bytes()
    with pytest.raises(BadInput, match="the output would replace"):
        convert(zoo["image.tflite"], zoo["image.npz"], zoo["image.npz"])
    assert zoo["image.npz"].read_bytes() == before


# --- objects of a running program ----------------------------------------------------------------


def test_a_keras_object_converts_as_its_file_does(zoo: Zoo, tmp_path: Path) -> None:
    keras: Any = import_module("keras")
    x = np.load(zoo["image.npz"])["x"]
    model = keras.models.load_model(zoo["image.keras"])
    report = convert_model(model, x, tmp_path / "object.tflite")
    again = convert(zoo["image.keras"], zoo["image.npz"], tmp_path / "file.tflite")
    assert (report.inputs, report.operators) == (again.inputs, again.operators)
    assert report.model == model.name


@pytest.mark.parametrize("captured", ["Variable", "constant"])
def test_a_concrete_function_converts_with_what_it_captured(tmp_path: Path, captured: str) -> None:
    tf: Any = pytest.importorskip("tensorflow", reason="needs TensorFlow (the extra `convert`)")
    kernel = getattr(tf, captured)(np.eye(4, dtype=np.float32))
    function = tf.function(lambda right, left: [left @ kernel, left - right])
    specs = [tf.TensorSpec((None, 4), tf.float32, name=n) for n in ("right", "left")]
    rng = np.random.default_rng(0)
    samples = {
        "left": rng.uniform(-1, 1, (20, 4)).astype(np.float32),
        "right": rng.uniform(0, 50, (20, 4)).astype(np.float32),
    }
    concrete = function.get_concrete_function(*specs)
    report = convert_model(concrete, samples, tmp_path / "out.tflite")
    assert report.operators == {"FULLY_CONNECTED": 1, "SUB": 1}
    assert report.outputs[0].scale == pytest.approx(2 / 255, rel=0.1)


def test_an_object_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no model that can be converted") as caught:
        convert_model(object(), np.zeros((1, 4), np.float32), tmp_path / "out.tflite")
    assert "get_concrete_function" in str(caught.value.next_step)


# --- models that must be refused -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "what", "value"),
    [
        ("custom.keras", "Keras cannot load the model", "Mystery"),
        ("dynamic.keras", "the input 'x' has a dynamic shape", "float32 [?, ?, ?, 3]"),
        ("integer.keras", "the input 'x' is not float32", "int32 [?, 4]"),
        ("batch.keras", "the input 'x' has no batch dimension of one", "float32 [8, 4]"),
        ("only.weights.h5", "holds weights without a model", "model_config"),
        ("broken.keras", "is not a Keras 3 model, or is cut short", "zip"),
        ("truncated.keras", "is not a Keras 3 model, or is cut short", "bytes"),
        ("broken.h5", "is not an HDF5 file", "not a mo"),
        ("truncated.h5", "Keras cannot load the model", ""),
        ("empty_folder", "is not a SavedModel", "saved_model.pb"),
        ("broken_folder", "TensorFlow cannot load the SavedModel", ""),
        ("absent.keras", "there is no model at", None),
        ("model.joblib", "of a format that cannot be converted", ".joblib"),
        ("int8.tflite", "is converted already", "CONV_2D"),
        ("hybrid.tflite", "has integer weights under float activations", "FULLY_CONNECTED"),
        ("dynamic.tflite", "has a dynamic shape", "float32 [?, ?, ?, 3]"),
        ("model.tflite", "is not a TFLite flatbuffer", "identifier"),
    ],
)
def test_bad_models(zoo: Zoo, tmp_path: Path, model: str, what: str, value: str | None) -> None:
    """In this process, which has imported TensorFlow already."""
    path = zoo[model] if zoo[model].exists() else _broken(zoo, tmp_path, model)
    with pytest.raises(BadInput) as caught:
        find_source(path).load(path)
    assert what in caught.value.what
    assert value is None or value in str(caught.value.value)
    assert caught.value.exit_code == 2 and caught.value.allowed and caught.value.next_step


def _broken(zoo: Zoo, folder: Path, name: str) -> Path:
    """Files that are damaged in the way their name says."""
    path = folder / name
    if name.startswith("truncated"):
        whole = zoo["image" + path.suffix].read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif name.endswith("folder"):
        path.mkdir()
        if name.startswith("broken"):
            (path / "saved_model.pb").write_bytes(b"\xff" * 40)
    elif not name.startswith("absent"):
        path.write_text("not a model")
    return path


@pytest.mark.parametrize(
    ("model", "what", "value"),
    [
        ("no_int8.keras", "cannot make an int8 flatbuffer", "Erfinv"),
        ("custom.keras", "Keras cannot load the model", "Mystery"),
    ],
)
def test_errors_come_through_from_the_worker(
    zoo: Zoo, tmp_path: Path, model: str, what: str, value: str
) -> None:
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((20, 4, 4), np.float32))
    with pytest.raises(BadInput, match=what) as caught:
        convert(zoo[model], tmp_path / "x.npz", tmp_path / "out.tflite")
    assert value in str(caught.value.value)
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"], "something was left on disk"


@pytest.mark.parametrize(
    ("name", "version", "shape"),
    [
        ("image.h5", 3, (6, 6, 2)),
        ("keras_2.h5", 2, (4,)),
        ("vww_96.h5", 2, (96, 96, 3)),
        ("pretrainedResnet.h5", 2, (32, 32, 3)),
    ],
)
def test_h5_files_are_read_by_the_keras_that_wrote_them(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch, name: str, version: int, shape: tuple[int, ...]
) -> None:
    """Keras 3 reads some files of Keras 2, and refuses vww_96.h5 for instance."""
    path = zoo[name] if zoo[name].exists() else MODELS / name
    if not path.exists():
        pytest.skip("needs ../shared/models")

    def must_not_run(path: Path) -> Any:
        raise AssertionError("the wrong Keras")

    wrong = "_load_with_keras_2" if version == 3 else "load_with_keras_3"
    monkeypatch.setattr(h5, wrong, must_not_run)
    assert find_source(path).load(path).inputs[0].shape == shape


def test_without_tf_keras_its_installation_is_named(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingTool, match="was written by Keras 2, and tf_keras") as caught:
        find_source(zoo["keras_2.h5"]).load(zoo["keras_2.h5"])
    assert caught.value.next_step == "pip install 'tf_keras==2.19.0'"
    assert caught.value.exit_code == 3


# --- output, tools, crashes ----------------------------------------------------------------------


def test_an_output_that_cannot_be_written_is_said_at_once(zoo: Zoo, tmp_path: Path) -> None:
    for output in (tmp_path / "no" / "such" / "out.tflite", tmp_path):
        with pytest.raises(BadInput, match="cannot write") as caught:
            convert(zoo["image.keras"], zoo["image.npz"], output)
        assert str(output) in caught.value.what


def test_an_old_output_survives_a_failure(zoo: Zoo, tmp_path: Path) -> None:
    output = tmp_path / "old.tflite"
    output.write_bytes(b"old")
    np.savez(tmp_path / "bad.npz", x=np.zeros((3, 5, 5, 2), np.float32))
    with pytest.raises(BadInput):
        convert(zoo["image.keras"], tmp_path / "bad.npz", output)
    assert output.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 2


def test_missing_tensorflow_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def without_tensorflow(name: str) -> Any:
        return None if name == "tensorflow" else object()

    monkeypatch.setattr("importlib.util.find_spec", without_tensorflow)
    (tmp_path / "m.keras").write_bytes(b"")
    with pytest.raises(MissingTool, match="needs TensorFlow") as caught:
        convert(tmp_path / "m.keras", tmp_path / "d.npz", tmp_path / "o.tflite")
    assert caught.value.next_step == "pip install 'nanoexport[convert]'"
    assert caught.value.exit_code == 3


def test_a_crash_of_tensorflow_names_the_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("tensorflow", reason="needs TensorFlow (the extra `convert`)")

    class Crashing(Worker):
        def __init__(self, module: str, **environment: str) -> None:
            super().__init__("tests.oracle.crashing_worker", **environment)

    monkeypatch.setattr(trained, "Worker", Crashing)
    (tmp_path / "m.keras").write_bytes(b"")
    np.savez(tmp_path / "d.npz", x=np.zeros((10, 1), np.float32))
    with pytest.raises(CheckFailed, match=r"TensorFlow failed on '.*m\.keras'"):
        convert(tmp_path / "m.keras", tmp_path / "d.npz", tmp_path / "o.tflite")
