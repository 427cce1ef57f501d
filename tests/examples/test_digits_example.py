"""The committed files of examples/digits: what they hold, and how good the network is."""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from exporter.convert import TrainedModel, convert_loaded
from exporter.hil.vectors import quantize
from exporter.oracle import Oracle

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"

needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow (the extra `convert`)"
)
needs_sklearn = pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="needs scikit-learn"
)


def images(name: str) -> np.ndarray:  # type: ignore[type-arg]
    with np.load(DIGITS / name) as data:
        x: np.ndarray = data["x"]  # type: ignore[type-arg]
    return x


def test_data_is_what_the_readme_says() -> None:
    calibration, test = images("calibration.npz"), images("test.npz")
    with np.load(DIGITS / "test.npz") as data:
        labels = data["y"]
    assert calibration.shape == (200, 8, 8, 1) and test.shape == (450, 8, 8, 1)
    assert calibration.dtype == test.dtype == np.float32
    assert test.min() == 0 and test.max() == 1
    assert sorted(np.unique(labels)) == list(range(10)) and np.bincount(labels).min() > 40


def test_no_test_image_calibrated_the_network() -> None:
    seen = {image.tobytes() for image in images("calibration.npz")}
    assert not any(image.tobytes() in seen for image in images("test.npz"))


@needs_tensorflow
def test_accuracy_and_size(tmp_path: Path) -> None:
    with np.load(DIGITS / "test.npz") as data:
        x, y = data["x"], data["y"]
    with TrainedModel(DIGITS / "digits.keras") as model:
        report = convert_loaded(model, DIGITS / "calibration.npz", tmp_path / "d.tflite")
        float_right = (model.predict(x)[0].argmax(axis=1) == y).mean()
    with Oracle((tmp_path / "d.tflite").read_bytes()) as oracle:
        inputs = quantize(x, oracle.inputs[0])
        outputs = [oracle.run([image[None]])[0] for image in inputs]
    int8_right = (np.concatenate(outputs).argmax(axis=1) == y).mean()
    assert float_right >= 0.985
    assert int8_right >= float_right - 0.005
    assert report.bytes < 14_000 and report.operators["CONV_2D"] == 3


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_digits", DIGITS / "train.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@needs_tensorflow
@needs_sklearn
def test_the_script_makes_these_very_files() -> None:
    """All but the training itself, which takes two minutes."""
    script = load_script()
    x_train, _, x_test, y_test = script.load_data()
    with np.load(DIGITS / "test.npz") as data:
        assert np.array_equal(data["x"], x_test) and np.array_equal(data["y"], y_test)
    known = {image.tobytes() for image in x_train}
    assert all(image.tobytes() in known for image in images("calibration.npz"))
    assert script.build_model().count_params() == 7_346


@needs_tensorflow
@needs_sklearn
def test_no_test_image_compresses_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DIGITS)
    data = import_module("compression_data").compression_data(seed=0)
    known = {image.tobytes() for image in images("test.npz")}
    assert [len(array) for array in data] == [8 * 1010, 8 * 1010, 337, 337]
    assert not any(image.tobytes() in known for part in data[::2] for image in part)
